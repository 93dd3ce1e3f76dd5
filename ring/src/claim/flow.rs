//! The assignment of members to partitions as a flow: its state and what changes it.
//!
//! Copies flow from each partition through its own copy of the domain tree ([`Spread`]) to members,
//! and from members to a common sink:
//!
//! ```text
//! n copies  -> partition's root -> domain [least, most] -> group [0, 1] -> member -> sink
//!               (one such tree for each partition)                    [share.least, share.most]
//! ```
//!
//! A place that the old ring has not costs 1, all else nothing. Wanted is the cheapest flow within
//! all bounds, which is the assignment with the fewest additions.
//!
//! The flow starts as what can stay of the old ring. It is within all bounds and costs nothing, but
//! is no flow yet: there are copies that were not given on (*excess*: of a partition, a member with
//! more places than its share, or the sink) and members that pass on more copies to the sink than
//! they hold (those below their share). `search.rs` takes one unit after the other from an excess
//! to where it is missing.

use super::scramble::Scramble;
use super::share::Share;
use super::spread::Spread;

/// What stands for a member in a place that is empty.
pub(super) const NOBODY: usize = usize::MAX;

/// What a claim starts from. All sizes are in bounds: see [`crate::ring::Content`].
pub(super) struct Problem<'a> {
    pub(super) spread: &'a Spread,
    /// For each member.
    pub(super) shares: &'a [Share],
    pub(super) partitions: usize,
    /// Length of each partition's list.
    pub(super) copies: usize,
    /// For each partition the members of its old list that are still there, others as [`NOBODY`],
    /// in the old order; all of one length, `old_len`.
    pub(super) old: &'a [usize],
    pub(super) old_len: usize,
}

impl Problem<'_> {
    /// The old list of a partition.
    pub(super) fn old_list(&self, partition: usize) -> &[usize] {
        &self.old[partition * self.old_len..][..self.old_len]
    }

    /// What a member costs in a partition: 1 if the old ring has it not there.
    pub(super) fn cost(&self, partition: usize, member: usize) -> i32 {
        i32::from(!self.old_list(partition).contains(&member))
    }
}

/// The flow.
///
/// Domains of partitions are numbered partition by partition (*cells*), and so are places.
pub(super) struct Flow<'a> {
    pub(super) problem: &'a Problem<'a>,
    /// The member in each place, or [`NOBODY`]; `copies` places for each partition.
    pub(super) places: Vec<usize>,
    /// For each place its position in the `held` list of its member.
    held_at: Vec<usize>,
    /// The places of each member.
    pub(super) held: Vec<Vec<usize>>,
    /// How many copies flow from each member to the sink: always within its share.
    pub(super) sent: Vec<usize>,
    /// How many copies flow into each cell: always within the bounds of its domain.
    pub(super) into: Vec<usize>,
    /// How many of those each cell has not passed on.
    pub(super) excess: Vec<usize>,
    /// How many more copies the sink takes; below 0 it has to give back.
    pub(super) wanted: isize,
}

impl<'a> Flow<'a> {
    /// What can stay of the old ring.
    pub(super) fn start(problem: &'a Problem<'a>) -> Self {
        let Problem {
            spread,
            shares,
            partitions,
            copies,
            ..
        } = *problem;
        let cells = partitions * spread.domains.len();
        let mut flow = Self {
            problem,
            places: vec![NOBODY; partitions * copies],
            held_at: vec![0; partitions * copies],
            held: vec![Vec::new(); shares.len()],
            sent: Vec::with_capacity(shares.len()),
            into: vec![0; cells],
            excess: vec![0; cells],
            wanted: 0,
        };
        for partition in 0..partitions {
            flow.keep(partition);
        }
        flow.scramble_held();
        for (held, share) in flow.held.iter().zip(shares) {
            flow.sent.push(held.len().clamp(share.least, share.most));
        }
        let sent: usize = flow.sent.iter().sum();
        // Both are below 2^19.
        flow.wanted = (partitions * copies).cast_signed() - sent.cast_signed();
        flow
    }

    /// Keeps as much of a partition's old list as zones allow.
    fn keep(&mut self, partition: usize) {
        let Problem { spread, copies, .. } = *self.problem;
        let domains = spread.domains.len();
        let mut counts = vec![0; domains];
        let mut needs = vec![0; domains];
        let mut taken = 0;
        for &member in self.problem.old_list(partition) {
            if member == NOBODY || self.group_is_taken(partition, spread.group_of[member]) {
                continue;
            }
            let domain = spread.domain_of(member);
            counts[domain] += 1;
            if spread.can_complete(&counts, &mut needs) {
                self.put(partition * copies + taken, member);
                taken += 1;
            } else {
                counts[domain] -= 1;
            }
        }
        // What was kept can be completed, so this cannot fail; it computes the needs.
        let complete = spread.can_complete(&counts, &mut needs);
        assert!(
            complete,
            "the kept part of a list violates the bounds of its zones"
        );
        let cells = partition * domains..(partition + 1) * domains;
        self.into[cells.clone()].copy_from_slice(&needs);
        let excess = &mut self.excess[cells];
        for (index, domain) in spread.domains.iter().enumerate() {
            let passed: usize = domain.children.iter().map(|&child| needs[child]).sum();
            excess[index] = needs[index] - passed - counts[index];
        }
    }

    /// Brings the places of each member into an order that differs from member to member.
    ///
    /// What a member gives up is taken from the front. Were that everywhere the first partitions,
    /// some would lose all copies at once while others keep theirs, and newcomers would share
    /// partitions with newcomers only.
    fn scramble_held(&mut self) {
        for (member, held) in self.held.iter_mut().enumerate() {
            Scramble::new(member as u64).shuffle(held);
            for (at, &place) in held.iter().enumerate() {
                self.held_at[place] = at;
            }
        }
    }

    /// The partition of a place.
    pub(super) fn partition_of(&self, place: usize) -> usize {
        place / self.problem.copies
    }

    /// The list of a partition, in no order, with empty places.
    pub(super) fn list(&self, partition: usize) -> &[usize] {
        &self.places[partition * self.problem.copies..][..self.problem.copies]
    }

    /// Whether a partition has a copy in a group.
    pub(super) fn group_is_taken(&self, partition: usize, group: usize) -> bool {
        let group_of = &self.problem.spread.group_of;
        self.list(partition)
            .iter()
            .any(|&member| member != NOBODY && group_of[member] == group)
    }

    /// How many places a member has beyond what it passes on.
    pub(super) fn surplus(&self, member: usize) -> usize {
        self.held[member].len().saturating_sub(self.sent[member])
    }

    /// Whether a member has fewer places than its share asks for.
    pub(super) fn is_short(&self, member: usize) -> bool {
        self.held[member].len() < self.sent[member]
    }

    /// Puts a member into an empty place.
    pub(super) fn put(&mut self, place: usize, member: usize) {
        assert_eq!(self.places[place], NOBODY, "a place holds one member");
        self.places[place] = member;
        self.held_at[place] = self.held[member].len();
        self.held[member].push(place);
    }

    /// Puts a member into any empty place of a partition and returns the place.
    pub(super) fn put_anywhere(&mut self, partition: usize, member: usize) -> usize {
        let empty = self
            .list(partition)
            .iter()
            .position(|&member| member == NOBODY);
        // A unit under way to a partition has left a place of it, or was never in one.
        let empty = empty.expect("a partition never has more members than places");
        let place = partition * self.problem.copies + empty;
        self.put(place, member);
        place
    }

    /// Empties a place.
    pub(super) fn take(&mut self, place: usize) {
        let member = std::mem::replace(&mut self.places[place], NOBODY);
        let at = self.held_at[place];
        self.held[member].swap_remove(at);
        if let Some(&moved) = self.held[member].get(at) {
            self.held_at[moved] = at;
        }
    }
}
