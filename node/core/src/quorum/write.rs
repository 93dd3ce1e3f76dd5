//! Counting the acknowledgements of a write.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::Role;
use quorate_protocol::options::WriteQuorum;
use quorate_ring::NodeId;

/// One node's acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// As what it stored.
    pub role: Role,
    /// Whether it is fsynced.
    pub durable: bool,
}

/// What is known of a write so far. Counts nodes, never messages: an acknowledgement that is
/// repeated, or upgraded to durable, counts once.
///
/// While a class moves, a write has to reach two sets, each with all that was asked for; a node may count in both.
#[derive(Clone, Debug)]
pub struct WriteTally {
    need: WriteQuorum,
    sets: u8,
    acks: BTreeMap<NodeId, Ack>,
    failed: BTreeSet<NodeId>,
    /// In which sets each node that was asked counts: a bit for each.
    asked: BTreeMap<NodeId, u8>,
}

/// Every set, where there is one only.
pub const ALL_SETS: u8 = u8::MAX;

/// What the tally says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteVerdict {
    /// Neither reached nor out of reach.
    Pending,
    /// w, pw and dw are all met.
    Met,
    /// Everybody asked has answered or failed, and it is not enough.
    OutOfReach,
}

impl WriteTally {
    /// Nothing came yet of a write to so many sets, 1 or 2.
    #[must_use]
    pub const fn new(need: WriteQuorum, sets: u8) -> Self {
        Self {
            need,
            sets,
            acks: BTreeMap::new(),
            failed: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    /// What is needed.
    #[must_use]
    pub const fn need(&self) -> &WriteQuorum {
        &self.need
    }

    /// The write was sent to this node, which counts in these sets: by its own place, or by that of the primary
    /// that it stands in for.
    pub fn asked(&mut self, node: NodeId, sets: u8) {
        self.failed.remove(&node);
        self.asked.insert(node, sets);
    }

    /// Whether the write was sent to this node.
    #[must_use]
    pub fn was_asked(&self, node: NodeId) -> bool {
        self.asked.contains_key(&node)
    }

    /// A node stored it. A durable acknowledgement replaces one that was not.
    pub fn ack(&mut self, node: NodeId, ack: Ack) {
        self.failed.remove(&node);
        let known = self.acks.entry(node).or_insert(ack);
        known.durable |= ack.durable;
    }

    /// A node did not and will not store it.
    pub fn fail(&mut self, node: NodeId) {
        if !self.acks.contains_key(&node) {
            self.failed.insert(node);
        }
    }

    /// Nodes that stored it.
    #[must_use]
    pub fn acks(&self) -> u8 {
        count(self.acks.len())
    }

    /// Primaries that stored it.
    #[must_use]
    pub fn primaries(&self) -> u8 {
        count(
            self.acks
                .values()
                .filter(|ack| ack.role == Role::Primary)
                .count(),
        )
    }

    /// Fallbacks that stored it.
    #[must_use]
    pub fn fallbacks(&self) -> u8 {
        self.acks() - self.primaries()
    }

    /// Nodes that fsynced it.
    #[must_use]
    pub fn durable(&self) -> u8 {
        count(self.acks.values().filter(|ack| ack.durable).count())
    }

    /// A node's acknowledgement, if it came.
    #[must_use]
    pub fn ack_of(&self, node: NodeId) -> Option<Ack> {
        self.acks.get(&node).copied()
    }

    /// Nodes asked that neither stored nor failed.
    pub fn silent(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.asked
            .keys()
            .copied()
            .filter(|node| !self.acks.contains_key(node) && !self.failed.contains(node))
    }

    /// Nodes that failed.
    pub fn failed(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.failed.iter().copied()
    }

    /// Nodes of a set whose acknowledgement is like this.
    fn of_set(&self, set: u8, wanted: impl Fn(&Ack) -> bool) -> u8 {
        let inside = |node: &NodeId| {
            let sets = self.asked.get(node).copied().unwrap_or(ALL_SETS);
            self.sets == 1 || sets & (1 << set) != 0
        };
        let acks = self.acks.iter();
        count(
            acks.filter(|(node, ack)| inside(node) && wanted(ack))
                .count(),
        )
    }

    /// Whether an fsync is still awaited from a node that stored without one.
    fn awaits_fsync(&self) -> bool {
        let durable = |set| self.of_set(set, |ack| ack.durable);
        let short = (0..self.sets).any(|set| durable(set) < self.need.dw);
        short && self.acks.values().any(|ack| !ack.durable)
    }

    /// Which of the three needs is short, with what was needed and what came.
    #[must_use]
    pub fn shortfall(&self) -> Option<(&'static str, u8, u8)> {
        let needs = |set| {
            [
                ("w", self.need.w, self.of_set(set, |_| true)),
                (
                    "pw",
                    self.need.pw,
                    self.of_set(set, |ack| ack.role == Role::Primary),
                ),
                ("dw", self.need.dw, self.of_set(set, |ack| ack.durable)),
            ]
        };
        let mut needs = (0..self.sets).flat_map(needs);
        needs.find(|(_, needed, got)| got < needed)
    }

    /// What all this means.
    #[must_use]
    pub fn verdict(&self) -> WriteVerdict {
        if self.shortfall().is_none() {
            WriteVerdict::Met
        } else if self.silent().next().is_some() || self.awaits_fsync() {
            WriteVerdict::Pending
        } else {
            WriteVerdict::OutOfReach
        }
    }
}

/// Nodes of one request: at most n + 3, far below 255.
fn count(nodes: usize) -> u8 {
    u8::try_from(nodes).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(w: u8, pw: u8, dw: u8) -> WriteQuorum {
        WriteQuorum {
            n: 3,
            w,
            pw,
            dw,
            sloppy: true,
        }
    }

    fn node(id: u64) -> NodeId {
        NodeId::new(id)
    }

    const PRIMARY: Ack = Ack {
        role: Role::Primary,
        durable: false,
    };
    const FALLBACK: Ack = Ack {
        role: Role::Fallback,
        durable: false,
    };

    fn asked(need: WriteQuorum, nodes: &[u64]) -> WriteTally {
        let mut tally = WriteTally::new(need, 1);
        nodes.iter().for_each(|&id| tally.asked(node(id), ALL_SETS));
        tally
    }

    #[test]
    fn one_node_counts_once_however_often_it_answers() {
        let mut tally = asked(need(2, 0, 0), &[1, 2, 3]);
        tally.ack(node(1), PRIMARY);
        tally.ack(node(1), PRIMARY);
        assert_eq!(tally.verdict(), WriteVerdict::Pending);
        tally.ack(node(2), FALLBACK);
        assert_eq!(tally.verdict(), WriteVerdict::Met);
        assert_eq!((tally.primaries(), tally.fallbacks()), (1, 1));
    }

    #[test]
    fn each_set_of_a_class_that_moves_has_to_be_reached() {
        const OLD: u8 = 1;
        const NEW: u8 = 2;
        let mut tally = WriteTally::new(need(2, 1, 0), 2);
        for (id, sets) in [(1, OLD), (2, OLD | NEW), (3, OLD), (4, NEW)] {
            tally.asked(node(id), sets);
        }
        tally.ack(node(1), PRIMARY);
        tally.ack(node(3), PRIMARY);
        assert_eq!(tally.shortfall(), Some(("w", 2, 0)));
        tally.ack(node(2), FALLBACK);
        assert_eq!(tally.shortfall(), Some(("w", 2, 1)));
        tally.fail(node(4));
        assert_eq!(tally.verdict(), WriteVerdict::OutOfReach);
        tally.ack(node(4), FALLBACK);
        assert_eq!(tally.shortfall(), Some(("pw", 1, 0)));
    }

    #[test]
    fn fallbacks_count_for_w_and_not_for_pw() {
        let mut tally = asked(need(3, 3, 0), &[1, 2, 4]);
        tally.ack(node(1), PRIMARY);
        tally.ack(node(2), PRIMARY);
        tally.ack(node(4), FALLBACK);
        assert_eq!(tally.shortfall(), Some(("pw", 3, 2)));
        assert_eq!(tally.verdict(), WriteVerdict::OutOfReach);
    }

    #[test]
    fn durable_acknowledgements_are_waited_for() {
        let mut tally = asked(need(2, 0, 2), &[1, 2]);
        tally.ack(node(1), PRIMARY);
        tally.ack(
            node(2),
            Ack {
                role: Role::Primary,
                durable: true,
            },
        );
        assert_eq!(tally.verdict(), WriteVerdict::Pending);
        tally.ack(
            node(1),
            Ack {
                role: Role::Primary,
                durable: true,
            },
        );
        assert_eq!(tally.verdict(), WriteVerdict::Met);
    }

    #[test]
    fn a_failure_after_an_acknowledgement_does_not_take_it_back() {
        let mut tally = asked(need(1, 0, 0), &[1]);
        tally.ack(node(1), PRIMARY);
        tally.fail(node(1));
        assert_eq!(tally.verdict(), WriteVerdict::Met);
        assert_eq!(tally.failed().count(), 0);
    }

    #[test]
    fn all_failed_is_out_of_reach() {
        let mut tally = asked(need(1, 0, 0), &[1, 2]);
        tally.fail(node(1));
        assert_eq!(tally.verdict(), WriteVerdict::Pending);
        tally.fail(node(2));
        assert_eq!(tally.verdict(), WriteVerdict::OutOfReach);
    }
}
