//! Keeping members where they were, without touching the balance of a beginning of the lists.
//!
//! A member that is in the first t places and was not before is an addition for buckets of t copies.
//! Each list has one member last, behind the first t; the fewest additions are there where as few
//! lists as possible have a member last that was among their first t before. That is a flow of least
//! cost again (see `search.rs` for the method): each list passes one unit, its last place, to a
//! member, at a cost of 0 or 1. It starts from the cheapest choice of every list, which upsets the
//! loads; what is too much at one member (*excess*) is then taken to others where it is missing, on
//! ways of least cost.
//!
//! Balance comes first, so only those exchanges count that may be part of another way to have the same
//! balance. Each member has a *level*: the largest step by which the sum that balance is measured by
//! would fall if it, or one that can pass load on to it, had one place less. (At weight w, the step
//! between loads of k and k + 1 is (2 k + 1) / w.) Levels never fall along an exchange, and where
//! they rise, load that went that way could not come back without harm. So load moves within a level
//! only; there it may also go from one whose next step up is the level to one whose last step was:
//! they meet at the level's *gate*.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::order::Prefix;

/// The lists before, in which members are looked for.
#[derive(Clone, Copy)]
pub(super) struct Old<'a> {
    /// One list after the other.
    pub(super) places: &'a [usize],
    /// The length of each.
    pub(super) len: usize,
}

impl Old<'_> {
    /// Whether a member was among the first `count` of a list.
    fn had(&self, list: usize, count: usize, member: usize) -> bool {
        let old = &self.places[list * self.len..][..self.len];
        old.iter().take(count).any(|&listed| listed == member)
    }
}

/// Makes a balanced beginning of the lists one of the same balance with fewer additions.
pub(super) fn stay(prefix: &mut Prefix<'_>, old: Old<'_>) {
    if old.len == 0 {
        return;
    }
    let mut stay = Stay {
        goals: prefix.loads.clone(),
        levels: levels(prefix),
        met_before: vec![0; prefix.loads.len()],
        gates_met_before: BTreeMap::new(),
        prefix,
        old,
    };
    stay.choose_cheapest();
    let mut raised = 0;
    while stay.has_excess() {
        let mut pass = Pass::new(&stay);
        if !pass.move_all(&mut stay) {
            stay.raise(&pass);
            // There is a way back to the loads from which this started, so every excess has a way;
            // one of least cost meets each member once and pays 1 at most to leave it.
            raised += 1;
            assert!(
                raised <= stay.goals.len() + 1,
                "loads that were reached cannot be reached again"
            );
        }
    }
}

/// The flow with its potentials.
///
/// A potential is how often potentials rose less how often the vertex was among those that were
/// reached and did not; only that second number is kept.
struct Stay<'a, 'b> {
    prefix: &'a mut Prefix<'b>,
    old: Old<'a>,
    /// The loads that are to be reached; always of the best balance.
    goals: Vec<u64>,
    levels: Vec<Level>,
    met_before: Vec<i32>,
    gates_met_before: BTreeMap<Level, i32>,
}

/// A step of the sum, in units of 2^-32: steps that differ do so by more than 2^-20.
type Level = u64;

/// The step between loads of `load` and one more.
fn step(load: u64, weight: u64) -> Level {
    ((2 * load + 1) << 32) / weight
}

/// The levels of all members; 0 for one without load that nobody can pass load on to.
fn levels(prefix: &Prefix<'_>) -> Vec<Level> {
    let weights = prefix.weights;
    let fall = |member: usize| {
        let below = prefix.loads[member].checked_sub(1);
        below.map_or(0, |load| step(load, weights[member]))
    };
    let mut from_the_largest: Vec<usize> = (0..weights.len()).collect();
    from_the_largest.sort_by_key(|&member| Reverse(fall(member)));
    let mut levels: Vec<Option<Level>> = vec![None; weights.len()];
    for top in from_the_largest {
        let mut reached = vec![top];
        while let Some(member) = reached.pop() {
            if levels[member].is_none() {
                levels[member] = Some(fall(top));
                let lists = prefix.may_leave[member].iter();
                reached.extend(lists.map(|&list| prefix.last_of(list)));
            }
        }
    }
    levels.into_iter().map(Option::unwrap_or_default).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Vertex {
    Member(usize),
    Gate(Level),
}

impl Stay<'_, '_> {
    /// 1 if a list loses a member from its first places when the member goes last.
    fn cost(&self, list: usize, member: usize) -> i32 {
        i32::from(self.old.had(list, self.prefix.last, member))
    }

    /// Puts members last that are no loss there.
    fn choose_cheapest(&mut self) {
        for member in 0..self.goals.len() {
            for at in 0..self.prefix.may_leave[member].len() {
                let list = self.prefix.may_leave[member][at];
                let last = self.prefix.last_of(list);
                let free = self.levels[member] == self.levels[last];
                if free && self.cost(list, member) < self.cost(list, last) {
                    self.give_up(member, list);
                }
            }
        }
    }

    /// A member goes last in a list, for the one that was.
    fn give_up(&mut self, member: usize, list: usize) {
        let last = self.prefix.last_of(list);
        self.prefix.exchange(member, list);
        self.prefix.shift_load(member, last);
    }

    fn excess_at(&self, member: usize) -> bool {
        self.prefix.loads[member] > self.goals[member]
    }

    fn has_excess(&self) -> bool {
        (0..self.goals.len()).any(|member| self.excess_at(member))
    }

    /// Whether a member's goal may rise by one if another's falls.
    fn may_rise(&self, member: usize) -> bool {
        step(self.goals[member], self.prefix.weights[member]) == self.levels[member]
    }

    /// Whether a member's goal may fall by one if another's rises.
    fn may_fall(&self, member: usize) -> bool {
        let below = self.goals[member].checked_sub(1);
        below.is_some_and(|goal| step(goal, self.prefix.weights[member]) == self.levels[member])
    }

    fn level(&self, vertex: Vertex) -> Level {
        match vertex {
            Vertex::Member(member) => self.levels[member],
            Vertex::Gate(level) => level,
        }
    }

    fn met_before(&self, vertex: Vertex) -> i32 {
        match vertex {
            Vertex::Member(member) => self.met_before[member],
            Vertex::Gate(gate) => self.gates_met_before.get(&gate).copied().unwrap_or(0),
        }
    }

    /// Whether a unit may pass from one vertex to another on a way of least cost.
    fn is_tight(&self, from: Vertex, to: Vertex, cost: i32) -> bool {
        self.level(from) == self.level(to) && cost + self.met_before(to) == self.met_before(from)
    }

    fn raise(&mut self, pass: &Pass) {
        for (before, &met) in self.met_before.iter_mut().zip(&pass.met) {
            *before += i32::from(met);
        }
        for &gate in pass.gates_tried.keys() {
            *self.gates_met_before.entry(gate).or_default() += 1;
        }
    }

    fn move_along(&mut self, way: &[Step]) {
        for arc in way.windows(2) {
            match (arc[0].vertex, arc[1]) {
                (
                    Vertex::Member(member),
                    Step {
                        list: Some(list), ..
                    },
                ) => {
                    self.give_up(member, list);
                }
                (Vertex::Member(member), Step { list: None, .. }) => self.goals[member] += 1,
                (
                    Vertex::Gate(_),
                    Step {
                        vertex: Vertex::Member(member),
                        ..
                    },
                ) => {
                    self.goals[member] -= 1;
                }
                // No arc leads from gate to gate.
                (
                    Vertex::Gate(_),
                    Step {
                        vertex: Vertex::Gate(_),
                        ..
                    },
                ) => {}
            }
        }
    }
}

/// A vertex on a way and, between two members, the list in which the one before it goes last.
#[derive(Clone, Copy)]
struct Step {
    vertex: Vertex,
    list: Option<usize>,
}

/// One search, depth first, from all excess there is.
struct Pass {
    met: Vec<bool>,
    /// The first list each member has not tried to leave.
    next: Vec<usize>,
    /// The gates that were met, and the first member each has not tried.
    gates_tried: BTreeMap<Level, usize>,
    /// The members of each level.
    on_level: BTreeMap<Level, Vec<usize>>,
}

impl Pass {
    fn new(stay: &Stay<'_, '_>) -> Self {
        let members = stay.goals.len();
        let mut on_level: BTreeMap<Level, Vec<usize>> = BTreeMap::new();
        for (member, &level) in stay.levels.iter().enumerate() {
            on_level.entry(level).or_default().push(member);
        }
        Self {
            met: vec![false; members],
            next: vec![0; members],
            gates_tried: BTreeMap::new(),
            on_level,
        }
    }

    /// Moves what can be moved; whether that was anything.
    fn move_all(&mut self, stay: &mut Stay<'_, '_>) -> bool {
        let mut moved = false;
        for member in 0..self.met.len() {
            while stay.excess_at(member) && !self.met[member] {
                let Some(way) = self.find_way(stay, member) else {
                    break;
                };
                stay.move_along(&way);
                self.reopen(&way);
                moved = true;
            }
        }
        moved
    }

    /// A way of tight arcs from a member to one that is short.
    fn find_way(&mut self, stay: &Stay<'_, '_>, from: usize) -> Option<Vec<Step>> {
        self.met[from] = true;
        let mut way = vec![Step {
            vertex: Vertex::Member(from),
            list: None,
        }];
        while let Some(step) = way.last() {
            let next = match step.vertex {
                Vertex::Member(member) => self.next_from_member(stay, member),
                Vertex::Gate(gate) => self.next_from_gate(stay, gate),
            };
            let Some(next) = next else {
                way.pop();
                continue;
            };
            way.push(next);
            match next.vertex {
                Vertex::Member(member) => {
                    self.met[member] = true;
                    if stay.prefix.loads[member] < stay.goals[member] {
                        return Some(way);
                    }
                }
                Vertex::Gate(gate) => {
                    self.gates_tried.insert(gate, 0);
                }
            }
        }
        None
    }

    /// A member goes last in a list, or its goal rises.
    fn next_from_member(&mut self, stay: &Stay<'_, '_>, member: usize) -> Option<Step> {
        let from = Vertex::Member(member);
        while let Some(&list) = stay.prefix.may_leave[member].get(self.next[member]) {
            self.next[member] += 1;
            let last = stay.prefix.last_of(list);
            let vertex = Vertex::Member(last);
            let cost = stay.cost(list, member) - stay.cost(list, last);
            if !self.met[last] && stay.is_tight(from, vertex, cost) {
                let list = Some(list);
                return Some(Step { vertex, list });
            }
        }
        let level = stay.levels[member];
        let vertex = Vertex::Gate(level);
        let open = stay.may_rise(member) && !self.gates_tried.contains_key(&level);
        (open && stay.is_tight(from, vertex, 0)).then_some(Step { vertex, list: None })
    }

    /// Somebody's goal falls.
    fn next_from_gate(&mut self, stay: &Stay<'_, '_>, gate: Level) -> Option<Step> {
        let members = self.on_level.get(&gate)?;
        let tried = self.gates_tried.get_mut(&gate)?;
        while let Some(&member) = members.get(*tried) {
            *tried += 1;
            let vertex = Vertex::Member(member);
            let open = stay.may_fall(member) && !self.met[member];
            if open && stay.is_tight(Vertex::Gate(gate), vertex, 0) {
                return Some(Step { vertex, list: None });
            }
        }
        None
    }

    /// What led on may do so again.
    fn reopen(&mut self, way: &[Step]) {
        for step in way {
            match step.vertex {
                Vertex::Member(member) => self.met[member] = false,
                Vertex::Gate(gate) => {
                    self.gates_tried.remove(&gate);
                }
            }
        }
    }
}
