//! Who holds which acknowledged write: no fault may destroy the last copy, for that promises nothing.
//!
//! White box: it sees every batch. A vnode holds a write, or what replaced it there, once its log names
//! the write's dot; a fallback while its hint settles it.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::record::{decode_hint, decode_object, decode_vnode, keys};
use quorate_core::{Family, Write};
use quorate_protocol::ids::Dot;
use quorate_ring::Class;

use crate::checkers::given_up::Lost;
use crate::checkers::removal::Missing;

/// The copies of all acknowledged writes.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// The batch in which each node took in each dot.
    held: BTreeMap<Dot, BTreeMap<usize, u64>>,
    /// The dots of each hint.
    hints: BTreeMap<(usize, Vec<u8>), Vec<Dot>>,
    acked: BTreeSet<Dot>,
    classes: BTreeMap<Dot, Class>,
    /// Nodes that were removed by force: what only they hold is missing from reads.
    removed: BTreeSet<usize>,
    missing: Vec<Missing>,
    /// Nodes that are gone for good: what only they hold is lost.
    gone: BTreeSet<usize>,
    lost: Vec<Lost>,
    /// Vnodes that are being filled page by page.
    filling: BTreeSet<(usize, Class)>,
}

impl Copies {
    /// A node wrote a batch.
    pub fn wrote(&mut self, (node, batch): (usize, u64), writes: &[Write], at_us: u64) {
        for write in writes {
            match write {
                Write::Put {
                    family: Family::Log,
                    key,
                    ..
                } => {
                    if let Some((class, dot)) = keys::parse_log_key(key) {
                        self.classes.insert(dot, class);
                        self.holds(dot, (node, batch), at_us);
                    }
                }
                Write::Put {
                    family: Family::Hints,
                    key,
                    value,
                } => {
                    if let Ok(hint) = decode_hint(key, value) {
                        let dots: Vec<Dot> = hint.settles.into_iter().collect();
                        dots.iter()
                            .for_each(|&dot| self.holds(dot, (node, batch), at_us));
                        self.hints.insert((node, key.clone()), dots);
                    }
                }
                Write::Delete {
                    family: Family::Hints,
                    key,
                } => {
                    for dot in self.hints.remove(&(node, key.clone())).unwrap_or_default() {
                        self.drops(dot, node);
                        self.note_lost(&[dot], at_us);
                    }
                }
                Write::Clear {
                    family: Family::Log,
                    from,
                    to,
                } => self.forgets(node, (from, to), at_us),
                Write::Put { .. } | Write::Delete { .. } | Write::Clear { .. } => {}
            }
        }
    }

    /// What a node has without a log entry of its own, since it came in pages: with the last of them it has all that its sender had,
    /// deletes and what they superseded included.
    pub fn wrote_with_pages(&mut self, (node, batch): (usize, u64), writes: &[Write], at_us: u64) {
        for write in writes {
            let Write::Put { family, key, value } = write else {
                continue;
            };
            let dots: Vec<Dot> = match family {
                Family::Objects => decode_object(key, value)
                    .map(|object| object.dots().collect())
                    .unwrap_or_default(),
                Family::Vnodes => match (keys::parse_vnode_key(key), decode_vnode(key, value)) {
                    (Some(class), Ok(vnode)) if vnode.rebuilding.is_some() => {
                        self.filling.insert((node, class));
                        Vec::new()
                    }
                    (Some(class), Ok(vnode)) if self.filling.remove(&(node, class)) => {
                        let known = self.held.keys().copied();
                        // Of what is folded a clock does not say what there was, and void is what nobody has.
                        let says_nothing = |dot: &Dot| {
                            vnode.clock.has_folded(dot.actor) || vnode.voids.contains(*dot)
                        };
                        let has = |dot: &Dot| vnode.clock.contains(*dot) && !says_nothing(dot);
                        known.filter(has).collect()
                    }
                    _ => Vec::new(),
                },
                Family::Log
                | Family::Chunks
                | Family::Hints
                | Family::Requests
                | Family::Expiry => Vec::new(),
            };
            for dot in dots {
                self.holds(dot, (node, batch), at_us);
            }
        }
    }

    /// A vnode that lost something forgets what it had: nobody may count on the rest.
    fn forgets(&mut self, node: usize, (from, to): (&[u8], &[u8]), at_us: u64) {
        let mut forgotten = Vec::new();
        for (dot, class) in &self.classes {
            let key = keys::log_key(*class, *dot);
            if from <= key.as_slice()
                && key.as_slice() < to
                && let Some(nodes) = self.held.get_mut(dot)
                && nodes.remove(&node).is_some()
            {
                forgotten.push(*dot);
            }
        }
        self.note_lost(&forgotten, at_us);
    }

    fn holds(&mut self, dot: Dot, (node, batch): (usize, u64), at_us: u64) {
        let held = self.held.entry(dot).or_default();
        held.entry(node).or_insert(batch);
        if !self.missing.is_empty() && !self.removed.contains(&node) {
            let mut missing = self.missing.iter_mut();
            let open = missing.find(|missing| missing.dot == dot && missing.until_us == u64::MAX);
            if let Some(open) = open {
                open.until_us = at_us;
            }
        }
        if self.gone.contains(&node) {
            self.note_lost(&[dot], at_us);
        } else if !self.gone.is_empty() {
            let is_open = |lost: &&mut Lost| lost.dot == dot && lost.until_us == u64::MAX;
            let open = self.lost.iter_mut().filter(is_open);
            open.for_each(|lost| lost.until_us = at_us);
        }
    }

    fn drops(&mut self, dot: Dot, node: usize) {
        if let Some(nodes) = self.held.get_mut(&dot) {
            nodes.remove(&node);
        }
    }

    /// A client was told that this write is done.
    pub fn acked(&mut self, dot: Dot, at_us: u64) {
        self.acked.insert(dot);
        self.note_missing(&[dot], at_us);
    }

    /// A node was removed by force, and does not know it.
    pub fn is_removed(&mut self, node: usize, at_us: u64) {
        self.removed.insert(node);
        let acked: Vec<Dot> = self.acked.iter().copied().collect();
        self.note_missing(&acked, at_us);
    }

    /// A node that was removed is a member again.
    pub fn is_back(&mut self, node: usize) {
        self.removed.remove(&node);
    }

    /// Acknowledged writes that only nodes held which were removed by force, and when.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Nodes are gone for good, whatever is left of their disks.
    pub fn are_gone(&mut self, nodes: &BTreeSet<usize>, at_us: u64) {
        self.gone.extend(nodes);
        let all: Vec<Dot> = self.held.keys().copied().collect();
        self.note_lost(&all, at_us);
    }

    /// A node that was given up runs again: what it takes in from now on, and nobody else, is lost with it.
    pub fn is_back_in_vain(&mut self, node: usize) {
        self.gone.insert(node);
    }

    /// Writes that only nodes held which are gone for good, and when.
    #[must_use]
    pub fn lost_with_the_gone(&self) -> &[Lost] {
        &self.lost
    }

    /// Notes those of these writes that only nodes hold which are gone for good.
    fn note_lost(&mut self, dots: &[Dot], at_us: u64) {
        if self.gone.is_empty() {
            return;
        }
        for &dot in dots {
            let only_there = self.held.get(&dot).is_some_and(|holders| {
                !holders.is_empty() && holders.keys().all(|node| self.gone.contains(node))
            });
            let is_open = |lost: &Lost| lost.dot == dot && lost.until_us == u64::MAX;
            if only_there && !self.lost.iter().any(is_open) {
                self.lost.push(Lost {
                    dot,
                    from_us: at_us,
                    until_us: u64::MAX,
                });
            }
        }
    }

    /// Notes those of these writes that only nodes hold which were removed.
    fn note_missing(&mut self, dots: &[Dot], at_us: u64) {
        if self.removed.is_empty() {
            return;
        }
        for &dot in dots.iter().filter(|dot| self.acked.contains(dot)) {
            let holders = self.held.get(&dot);
            let only_there = holders.is_some_and(|holders| {
                !holders.is_empty() && holders.keys().all(|node| self.removed.contains(node))
            });
            let is_open = |missing: &Missing| missing.dot == dot && missing.until_us == u64::MAX;
            if only_there && !self.missing.iter().any(is_open) {
                self.missing.push(Missing {
                    dot,
                    from_us: at_us,
                    until_us: u64::MAX,
                });
            }
        }
    }

    /// A node lost what it wrote after this batch.
    pub fn lost(&mut self, node: usize, after: u64, at_us: u64) {
        let mut lost = Vec::new();
        for (&dot, nodes) in &mut self.held {
            if nodes.get(&node).is_some_and(|batch| *batch > after) {
                nodes.remove(&node);
                lost.push(dot);
            }
        }
        self.note_missing(&lost, at_us);
        self.note_lost(&lost, at_us);
    }

    /// Whether each acknowledged write that a node took in after this batch has another holder, whose
    /// copy is synced.
    #[must_use]
    pub fn may_lose(&self, node: usize, after: u64, synced: impl Fn(usize) -> u64) -> bool {
        let concerned = self.acked.iter().filter_map(|dot| self.held.get(dot));
        concerned
            .filter(|nodes| nodes.get(&node).is_some_and(|batch| *batch > after))
            .all(|nodes| {
                let counts = |other: usize| other != node && !self.gone.contains(&other);
                let mut others = nodes.iter().filter(|(other, _)| counts(**other));
                others.any(|(other, batch)| *batch <= synced(*other))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_protocol::ids::ActorId;
    use quorate_ring::{Class, PartitionId};

    fn log(counter: u64) -> Vec<Write> {
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        vec![Write::Put {
            family: Family::Log,
            key: keys::log_key(class, dot(counter)),
            value: Bytes::new(),
        }]
    }

    fn dot(counter: u64) -> Dot {
        Dot::new(ActorId::new(1), counter)
    }

    #[test]
    fn the_last_synced_copy_of_an_acknowledged_write_is_spared() {
        let mut copies = Copies::default();
        copies.wrote((0, 5), &log(1), 0);
        copies.wrote((1, 7), &log(1), 0);
        assert!(copies.may_lose(0, 0, |_| 0), "nobody was promised anything");
        copies.acked(dot(1), 0);
        assert!(
            !copies.may_lose(0, 0, |_| 6),
            "the other copy is not synced"
        );
        assert!(copies.may_lose(0, 0, |_| 7));
        copies.lost(0, 0, 0);
        assert!(!copies.may_lose(1, 0, |_| 100));
        assert!(
            copies.may_lose(1, 7, |_| 100),
            "its copy is older than that"
        );
    }
    #[test]
    fn what_only_a_removed_node_holds_is_missing_until_another_one_has_it() {
        let mut copies = Copies::default();
        copies.wrote((0, 5), &log(1), 1);
        copies.wrote((0, 6), &log(2), 1);
        copies.wrote((1, 7), &log(2), 1);
        copies.acked(dot(1), 2);
        copies.acked(dot(2), 2);
        copies.is_removed(0, 3);
        copies.wrote((1, 8), &log(1), 9);
        let known = Missing {
            dot: dot(1),
            from_us: 3,
            until_us: 9,
        };
        assert_eq!(copies.missing(), [known]);
    }
    #[test]
    fn what_only_those_hold_who_are_gone_is_lost_until_one_who_is_left_has_it() {
        let mut copies = Copies::default();
        copies.wrote((0, 5), &log(1), 1);
        copies.wrote((0, 6), &log(2), 1);
        copies.wrote((1, 7), &log(2), 1);
        copies.wrote((0, 7), &log(3), 1);
        copies.are_gone(&BTreeSet::from([0]), 3);
        copies.wrote((1, 8), &log(3), 9);
        let lost = |counter, until_us| Lost {
            dot: dot(counter),
            from_us: 3,
            until_us,
        };
        assert_eq!(copies.lost_with_the_gone(), [lost(1, u64::MAX), lost(3, 9)]);
        copies.acked(dot(2), 10);
        assert!(!copies.may_lose(1, 0, |_| 100), "the other holder is gone");
    }
    #[test]
    fn what_one_who_was_given_up_takes_in_when_it_is_back_is_lost_and_nothing_of_before() {
        let mut copies = Copies::default();
        copies.wrote((0, 5), &log(1), 1);
        copies.is_back_in_vain(0);
        copies.wrote((0, 6), &log(2), 3);
        copies.wrote((1, 7), &log(3), 3);
        copies.wrote((0, 8), &log(3), 4);
        let lost = Lost {
            dot: dot(2),
            from_us: 3,
            until_us: u64::MAX,
        };
        assert_eq!(copies.lost_with_the_gone(), [lost]);
    }
}
