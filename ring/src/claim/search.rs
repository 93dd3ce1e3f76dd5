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
//! [`super::pool::Pool`].

use super::flow::{Flow, NOBODY, Problem};
use super::pass::Pass;
use super::pool::Shelf;

/// The places of all partitions, in no order within a partition: within all bounds, with the fewest
/// additions against the old lists.
pub(super) fn solve(problem: &Problem<'_>) -> Vec<usize> {
    let mut search = Search::new(Flow::start(problem));
    while search.has_excess() {
        let mut pass = Pass::new(&search);
        if !pass.move_all(&mut search) {
            search.raise(&pass);
        }
    }
    search.flow.places
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vertex {
    /// Where all members send their copies.
    Sink,
    /// A member.
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
pub(super) struct Search<'a> {
    pub(super) flow: Flow<'a>,
    /// The potential of the sink.
    pub(super) sink: i32,
    /// The potential of each member.
    pub(super) members: Vec<i32>,
    /// The potential of the group of each place; of no meaning while the place is empty.
    pub(super) places: Vec<i32>,
    /// The potential of each cell.
    pub(super) cells: Vec<i32>,
    /// How often potentials rose; none is below 0 or above this.
    pub(super) raised: i32,
    /// Where there is excess, or was.
    pub(super) roots: Vec<Vertex>,
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

    /// Whether a vertex has copies it has not passed on.
    pub(super) fn excess_at(&self, vertex: Vertex) -> bool {
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
    pub(super) fn ends_at(&self, vertex: Vertex) -> bool {
        match vertex {
            Vertex::Sink => self.flow.wanted > 0,
            Vertex::Member(member) => self.flow.is_short(member),
            Vertex::Cell(_) | Vertex::Hole(_) => false,
        }
    }

    /// Whether the arc from a member to the sink has room and is tight.
    pub(super) fn can_send(&self, member: usize) -> bool {
        self.flow.sent[member] < self.flow.problem.shares[member].most
            && self.members[member] == self.sink
    }

    /// Whether the arc back from the sink to a member has room and is tight.
    pub(super) fn can_send_less(&self, member: usize) -> bool {
        self.flow.sent[member] > self.flow.problem.shares[member].least
            && self.members[member] == self.sink
    }

    /// Whether the arc back from a member to the group of its place is tight.
    pub(super) fn can_give_up(&self, member: usize, place: usize) -> bool {
        let cost = self
            .flow
            .problem
            .cost(self.flow.partition_of(place), member);
        self.members[member] - cost == self.places[place]
    }

    /// Where a member that was not met stands in the pool.
    pub(super) fn shelf(&self, member: usize) -> Shelf {
        let ends_here =
            self.flow.is_short(member) || (self.flow.wanted > 0 && self.can_send(member));
        Shelf {
            potential: self.members[member],
            ends_here,
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
    pub(super) fn move_along(&mut self, way: &[Vertex]) {
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
            // A place that is given back to its cell was emptied by the arc before; other pairs
            // are no arcs.
            (Vertex::Hole(_) | Vertex::Cell(_) | Vertex::Member(_) | Vertex::Sink, _) => {}
        }
    }
}
