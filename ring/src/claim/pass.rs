//! One search through the network for ways on which copies can move.

use super::flow::NOBODY;
use super::pool::Pool;
use super::search::{Search, Vertex};

/// One search through the network, depth first, from all excess there is.
///
/// A vertex from which nothing was found is not entered again; the vertices of a way that was found
/// are open again, so that many units can pass a member or the sink. A pass that moves nothing has
/// met exactly the vertices that can be reached.
pub(super) struct Pass<'a> {
    /// The members that were not met.
    pub(super) pool: Pool<'a>,
    pub(super) sink_met: bool,
    pub(super) cells_met: Vec<bool>,
    /// The first member the sink has not tried yet.
    next_of_sink: usize,
    /// The first place each member has not tried yet.
    next_of_member: Vec<usize>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(search: &Search<'a>) -> Self {
        let mut pool = Pool::new(search.flow.problem.spread, search.raised);
        for member in 0..search.members.len() {
            pool.insert(member, search.shelf(member));
        }
        Self {
            pool,
            sink_met: false,
            cells_met: vec![false; search.cells.len()],
            next_of_sink: 0,
            next_of_member: vec![0; search.members.len()],
        }
    }

    /// Moves what can be moved; whether that was anything.
    pub(super) fn move_all(&mut self, search: &mut Search<'_>) -> bool {
        let mut moved = false;
        for at in 0..search.roots.len() {
            let root = search.roots[at];
            while search.excess_at(root) && !self.is_met(root) {
                let Some(way) = self.find_way(search, root) else {
                    break;
                };
                search.move_along(&way);
                self.reopen(search, &way);
                moved = true;
            }
        }
        moved
    }

    fn is_met(&self, vertex: Vertex) -> bool {
        match vertex {
            Vertex::Sink => self.sink_met,
            Vertex::Member(member) => !self.pool.contains(member),
            Vertex::Cell(cell) => self.cells_met[cell],
            // Reached from one member only, which is met once and tries each place once.
            Vertex::Hole(_) => false,
        }
    }

    fn meet(&mut self, vertex: Vertex) {
        match vertex {
            Vertex::Sink => self.sink_met = true,
            Vertex::Member(member) => self.pool.remove(member),
            Vertex::Cell(cell) => self.cells_met[cell] = true,
            Vertex::Hole(_) => {}
        }
    }

    fn reopen(&mut self, search: &Search<'_>, way: &[Vertex]) {
        for (at, &vertex) in way.iter().enumerate() {
            match vertex {
                Vertex::Sink => self.sink_met = false,
                Vertex::Cell(cell) => self.cells_met[cell] = false,
                Vertex::Hole(_) => {}
                Vertex::Member(member) => {
                    self.pool.insert(member, search.shelf(member));
                    if matches!(way.get(at + 1), Some(Vertex::Hole(_))) {
                        // Another place has taken the position of the one that was given up.
                        self.next_of_member[member] -= 1;
                    }
                }
            }
        }
    }

    /// A way of tight arcs from `root` to where a unit is missing.
    fn find_way(&mut self, search: &Search<'_>, root: Vertex) -> Option<Vec<Vertex>> {
        self.meet(root);
        let mut way = vec![(root, 0)];
        while let Some((vertex, tried)) = way.last_mut() {
            let Some(next) = self.next_arc(search, *vertex, tried) else {
                way.pop();
                continue;
            };
            self.meet(next);
            way.push((next, 0));
            if search.ends_at(next) {
                return Some(way.into_iter().map(|(vertex, _)| vertex).collect());
            }
        }
        None
    }

    /// The end of the next tight arc out of a vertex that leads to a vertex that was not met.
    /// `tried` counts the arcs behind it, beginning with 0, where the vertex has no count of its
    /// own.
    fn next_arc(&mut self, search: &Search<'_>, from: Vertex, tried: &mut usize) -> Option<Vertex> {
        match from {
            Vertex::Sink => self.next_from_sink(search),
            Vertex::Member(member) => self.next_from_member(search, member),
            Vertex::Hole(place) => self.next_from_hole(search, place, tried),
            Vertex::Cell(cell) => self.next_from_cell(search, cell, tried),
        }
    }

    /// The sink asks a member to send less.
    fn next_from_sink(&mut self, search: &Search<'_>) -> Option<Vertex> {
        while self.next_of_sink < search.members.len() {
            let member = self.next_of_sink;
            if self.pool.contains(member) && search.can_send_less(member) {
                return Some(Vertex::Member(member));
            }
            self.next_of_sink += 1;
        }
        None
    }

    /// A member sends one more, or gives up one of its places.
    fn next_from_member(&mut self, search: &Search<'_>, member: usize) -> Option<Vertex> {
        if !self.sink_met && search.can_send(member) {
            return Some(Vertex::Sink);
        }
        while let Some(&place) = search.flow.held[member].get(self.next_of_member[member]) {
            self.next_of_member[member] += 1;
            if search.can_give_up(member, place) {
                return Some(Vertex::Hole(place));
            }
        }
        None
    }

    /// Another member of the same group takes the place, or the group gives it up.
    fn next_from_hole(
        &mut self,
        search: &Search<'_>,
        place: usize,
        tried: &mut usize,
    ) -> Option<Vertex> {
        let spread = search.flow.problem.spread;
        let partition = search.flow.partition_of(place);
        let group = spread.group_of[search.flow.places[place]];
        let potential = search.places[place];
        let from_old = self.next_old(search, partition, potential, tried, |member| {
            spread.group_of[member] == group
        });
        if from_old.is_some() {
            return from_old;
        }
        if let Some(member) = self.pool.any_in_group(group, potential + 1) {
            return Some(Vertex::Member(member));
        }
        let cell = partition * spread.domains.len() + spread.groups[group].domain;
        let open = !self.cells_met[cell] && search.cells[cell] == potential;
        open.then_some(Vertex::Cell(cell))
    }

    /// A member of a free group gets a place, or the copy goes to another domain.
    fn next_from_cell(
        &mut self,
        search: &Search<'_>,
        cell: usize,
        tried: &mut usize,
    ) -> Option<Vertex> {
        let spread = search.flow.problem.spread;
        let (partition, index) = (cell / spread.domains.len(), cell % spread.domains.len());
        let domain = &spread.domains[index];
        let potential = search.cells[cell];
        if domain.children.is_empty() {
            let taken = |group| search.flow.group_is_taken(partition, group);
            let from_old = self.next_old(search, partition, potential, tried, |member| {
                spread.domain_of(member) == index && !taken(spread.group_of[member])
            });
            if from_old.is_some() {
                return from_old;
            }
            if let Some(member) = self.pool.any_in_domain(index, potential + 1, taken) {
                return Some(Vertex::Member(member));
            }
        }
        let first = cell - index;
        let open = |cell: usize| !self.cells_met[cell] && search.cells[cell] == potential;
        let up = domain.parent.map(|parent| first + parent);
        let up = up.filter(|&parent| search.flow.into[cell] > domain.least && open(parent));
        let down = |&child: &usize| {
            let cell = first + child;
            (search.flow.into[cell] < spread.domains[child].most && open(cell)).then_some(cell)
        };
        up.or_else(|| domain.children.iter().find_map(down))
            .map(Vertex::Cell)
    }

    /// The next member of a partition's old list that may have its place again, at no cost.
    fn next_old(
        &self,
        search: &Search<'_>,
        partition: usize,
        potential: i32,
        tried: &mut usize,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<Vertex> {
        let old = search.flow.problem.old_list(partition);
        while let Some(&member) = old.get(*tried) {
            *tried += 1;
            if member != NOBODY
                && search.members[member] == potential
                && self.pool.contains(member)
                && allowed(member)
            {
                return Some(Vertex::Member(member));
            }
        }
        None
    }
}
