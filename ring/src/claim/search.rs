//! The cheapest flow, by the primal-dual method.
//!
//! Ford and Fulkerson's primal-dual method for flows of least cost (as in Ahuja, Magnanti and
//! Orlin, "Network Flows", chapter 9): each vertex has a potential, such that no arc with room left
//! has a negative reduced cost (cost + potential of its start - potential of its end). Units of
//! excess are moved along *tight* arcs, those of reduced cost 0, which keeps that true; when no
//! excess can reach a place where a unit is missing, the potentials of all vertices that were not
//! reached rise by 1, which makes further arcs tight. When no excess is left, the flow is one, and
//! no cheaper one exists.
//!
//! Costs are 0 and 1, and whether a copy of a partition can be taken over from its member is decided
//! by a handful of numbers, so one pass over the whole network is about as much work as reading the
//! ring once. It is never built: arcs are found where they are needed, those that cost 1 through a
//! [`Pool`].

use super::flow::{Flow, NOBODY, Problem};
use super::pool::{Pool, Shelf};

/// The places of all partitions, in no order within a partition: within all bounds, with the fewest
/// additions against the old lists.
pub(super) fn solve(problem: &Problem<'_>) -> Vec<usize> {
    let mut search = Search::new(Flow::start(problem));
    while search.has_excess() {
        let mut pass = search.pass();
        if !pass.move_all(&mut search) {
            search.raise(&pass);
        }
    }
    search.flow.places
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Vertex {
    Sink,
    Member(usize),
    /// The group of a place; reached when its member gives it up.
    Hole(usize),
    /// A domain of a partition.
    Cell(usize),
}

/// The flow with its potentials.
///
/// The group of a partition that holds no copy has no potential of its own: it has that of its
/// cell, from which alone it can be reached.
struct Search<'a> {
    flow: Flow<'a>,
    sink: i32,
    members: Vec<i32>,
    places: Vec<i32>,
    cells: Vec<i32>,
    /// How often potentials rose; no potential is above.
    raised: i32,
    /// Where there is excess, or was.
    roots: Vec<Vertex>,
}

impl<'a> Search<'a> {
    fn new(flow: Flow<'a>) -> Self {
        let cells = (0..flow.into.len()).map(Vertex::Cell);
        let members = (0..flow.held.len()).map(Vertex::Member);
        let roots = cells.chain(members).chain([Vertex::Sink]).collect();
        Self {
            sink: 0,
            members: vec![0; flow.held.len()],
            places: vec![0; flow.places.len()],
            cells: vec![0; flow.into.len()],
            raised: 0,
            roots,
            flow,
        }
    }

    fn excess_at(&self, vertex: Vertex) -> bool {
        match vertex {
            Vertex::Sink => self.flow.wanted < 0,
            Vertex::Member(member) => self.flow.surplus(member) > 0,
            Vertex::Cell(cell) => self.flow.excess[cell] > 0,
            Vertex::Hole(_) => false,
        }
    }

    fn has_excess(&mut self) -> bool {
        let mut roots = std::mem::take(&mut self.roots);
        roots.retain(|&root| self.excess_at(root));
        self.roots = roots;
        !self.roots.is_empty()
    }

    /// Whether a unit is missing at a vertex.
    fn ends_at(&self, vertex: Vertex) -> bool {
        match vertex {
            Vertex::Sink => self.flow.wanted > 0,
            Vertex::Member(member) => self.flow.is_short(member),
            Vertex::Cell(_) | Vertex::Hole(_) => false,
        }
    }

    fn can_send(&self, member: usize) -> bool {
        self.flow.sent[member] < self.flow.problem.shares[member].most
            && self.members[member] == self.sink
    }

    fn can_send_less(&self, member: usize) -> bool {
        self.flow.sent[member] > self.flow.problem.shares[member].least
            && self.members[member] == self.sink
    }

    fn can_give_up(&self, member: usize, place: usize) -> bool {
        let cost = self
            .flow
            .problem
            .cost(self.flow.partition_of(place), member);
        self.members[member] - cost == self.places[place]
    }

    fn shelf(&self, member: usize) -> Shelf {
        let ends_here =
            self.flow.is_short(member) || (self.flow.wanted > 0 && self.can_send(member));
        Shelf {
            potential: self.members[member],
            ends_here,
        }
    }

    fn pass(&self) -> Pass<'a> {
        let mut pool = Pool::new(self.flow.problem.spread, self.raised);
        for member in 0..self.members.len() {
            pool.insert(member, self.shelf(member));
        }
        Pass {
            pool,
            sink_met: false,
            cells_met: vec![false; self.cells.len()],
            next_of_sink: 0,
            next_of_member: vec![0; self.members.len()],
        }
    }

    /// Raises the potentials of all that a pass which moved nothing did not reach.
    fn raise(&mut self, pass: &Pass<'_>) {
        // A way of least cost meets each member once and pays 1 at most to get there. Without this
        // bound, a flow that does not exist would be sought for ever; the shares exclude that.
        self.raised += 1;
        assert!(
            usize::try_from(self.raised).is_ok_and(|raised| raised <= self.members.len() + 1),
            "the shares cannot be dealt out within the bounds of the zones"
        );
        for (place, &member) in self.flow.places.iter().enumerate() {
            if member != NOBODY && (pass.pool.contains(member) || !self.can_give_up(member, place))
            {
                self.places[place] += 1;
            }
        }
        for (member, potential) in self.members.iter_mut().enumerate() {
            *potential += i32::from(pass.pool.contains(member));
        }
        for (potential, &met) in self.cells.iter_mut().zip(&pass.cells_met) {
            *potential += i32::from(!met);
        }
        self.sink += i32::from(!pass.sink_met);
    }

    /// Moves one unit along a way of tight arcs.
    fn move_along(&mut self, way: &[Vertex]) {
        match way.first() {
            Some(&Vertex::Cell(cell)) => self.flow.excess[cell] -= 1,
            Some(Vertex::Sink) => self.flow.wanted += 1,
            Some(Vertex::Member(_) | Vertex::Hole(_)) | None => {}
        }
        for arc in way.windows(2) {
            self.move_over(arc[0], arc[1]);
        }
        if way.last() == Some(&Vertex::Sink) {
            self.flow.wanted -= 1;
        }
    }

    fn move_over(&mut self, from: Vertex, to: Vertex) {
        let domains = self.flow.problem.spread.domains.len();
        match (from, to) {
            (Vertex::Cell(cell), Vertex::Member(member)) => {
                let place = self.flow.put_anywhere(cell / domains, member);
                self.places[place] = self.cells[cell];
            }
            // Parents come before children, so a step back is a step up.
            (Vertex::Cell(child), Vertex::Cell(parent)) if parent < child => {
                self.flow.into[child] -= 1;
            }
            (Vertex::Cell(_), Vertex::Cell(child)) => self.flow.into[child] += 1,
            (Vertex::Member(_), Vertex::Hole(place)) => self.flow.take(place),
            (Vertex::Hole(place), Vertex::Member(member)) => self.flow.put(place, member),
            (Vertex::Member(member), Vertex::Sink) => self.flow.sent[member] += 1,
            (Vertex::Sink, Vertex::Member(member)) => self.flow.sent[member] -= 1,
            // A place that is given back to its cell was emptied by the arc before.
            (Vertex::Hole(_), _) | (_, Vertex::Hole(_) | Vertex::Sink) | (_, _) => {}
        }
    }
}

/// One search through the network, depth first, from all excess there is.
///
/// A vertex from which nothing was found is not entered again; the vertices of a way that was found
/// are open again, so that many units can pass a member or the sink. A pass that moves nothing has
/// met exactly the vertices that can be reached.
struct Pass<'a> {
    /// The members that were not met.
    pool: Pool<'a>,
    sink_met: bool,
    cells_met: Vec<bool>,
    /// The first member the sink has not tried yet.
    next_of_sink: usize,
    /// The first place each member has not tried yet.
    next_of_member: Vec<usize>,
}

impl Pass<'_> {
    /// Moves what can be moved; whether that was anything.
    fn move_all(&mut self, search: &mut Search<'_>) -> bool {
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
