//! Who holds which acknowledged write: no fault may destroy the last copy, for that promises nothing.
//!
//! White box: it sees every batch. A vnode holds a write, or what replaced it there, once its log names
//! the write's dot; a fallback while its hint settles it.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::record::{decode_hint, keys};
use quorate_core::{Family, Write};
use quorate_protocol::ids::Dot;
use quorate_ring::Class;

/// The copies of all acknowledged writes.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// The batch in which each node took in each dot.
    held: BTreeMap<Dot, BTreeMap<usize, u64>>,
    /// The dots of each hint.
    hints: BTreeMap<(usize, Vec<u8>), Vec<Dot>>,
    acked: BTreeSet<Dot>,
    classes: BTreeMap<Dot, Class>,
}

impl Copies {
    /// A node wrote a batch.
    pub fn wrote(&mut self, node: usize, batch: u64, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put {
                    family: Family::Log,
                    key,
                    ..
                } => {
                    if let Some((class, dot)) = keys::parse_log_key(key) {
                        self.classes.insert(dot, class);
                        self.holds(dot, node, batch);
                    }
                }
                Write::Put {
                    family: Family::Hints,
                    key,
                    value,
                } => {
                    if let Ok(hint) = decode_hint(key, value) {
                        let dots: Vec<Dot> = hint.settles.into_iter().collect();
                        dots.iter().for_each(|&dot| self.holds(dot, node, batch));
                        self.hints.insert((node, key.clone()), dots);
                    }
                }
                Write::Delete {
                    family: Family::Hints,
                    key,
                } => {
                    for dot in self.hints.remove(&(node, key.clone())).unwrap_or_default() {
                        self.drops(dot, node);
                    }
                }
                Write::Clear {
                    family: Family::Log,
                    from,
                    to,
                } => self.forgets(node, from, to),
                Write::Put { .. } | Write::Delete { .. } | Write::Clear { .. } => {}
            }
        }
    }

    /// A vnode that lost something forgets what it had: nobody may count on the rest.
    fn forgets(&mut self, node: usize, from: &[u8], to: &[u8]) {
        for (dot, class) in &self.classes {
            let key = keys::log_key(*class, *dot);
            if from <= key.as_slice()
                && key.as_slice() < to
                && let Some(nodes) = self.held.get_mut(dot)
            {
                nodes.remove(&node);
            }
        }
    }

    fn holds(&mut self, dot: Dot, node: usize, batch: u64) {
        let held = self.held.entry(dot).or_default();
        held.entry(node).or_insert(batch);
    }

    fn drops(&mut self, dot: Dot, node: usize) {
        if let Some(nodes) = self.held.get_mut(&dot) {
            nodes.remove(&node);
        }
    }

    /// A client was told that this write is done.
    pub fn acked(&mut self, dot: Dot) {
        self.acked.insert(dot);
    }

    /// A node lost what it wrote after this batch.
    pub fn lost(&mut self, node: usize, after: u64) {
        for nodes in self.held.values_mut() {
            if nodes.get(&node).is_some_and(|batch| *batch > after) {
                nodes.remove(&node);
            }
        }
    }

    /// Whether each acknowledged write that a node took in after this batch has another holder, whose
    /// copy is synced.
    #[must_use]
    pub fn may_lose(&self, node: usize, after: u64, synced: impl Fn(usize) -> u64) -> bool {
        let concerned = self.acked.iter().filter_map(|dot| self.held.get(dot));
        concerned
            .filter(|nodes| nodes.get(&node).is_some_and(|batch| *batch > after))
            .all(|nodes| {
                let mut others = nodes.iter().filter(|(other, _)| **other != node);
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
        copies.wrote(0, 5, &log(1));
        copies.wrote(1, 7, &log(1));
        assert!(copies.may_lose(0, 0, |_| 0), "nobody was promised anything");
        copies.acked(dot(1));
        assert!(
            !copies.may_lose(0, 0, |_| 6),
            "the other copy is not synced"
        );
        assert!(copies.may_lose(0, 0, |_| 7));
        copies.lost(0, 0);
        assert!(!copies.may_lose(1, 0, |_| 100));
        assert!(
            copies.may_lose(1, 7, |_| 100),
            "its copy is older than that"
        );
    }
}
