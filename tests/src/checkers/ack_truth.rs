//! I10, ack truth: at the instant of an ok, so many distinct nodes hold the write as were asked, so many
//! of them primaries and so many durably. And what a replica tells its peers to be durable is.
//!
//! White box: it sees every batch that a node writes and syncs. Source: Riak's fallbacks on one machine
//! (Node-Diversity.md), where w=2 was acknowledged by one physical node.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::causality::Clock;
use quorate_core::record::{VnodeRecord, decode_hint, decode_object, decode_vnode, keys};
use quorate_core::{Family, Write};
use quorate_protocol::ids::{Dot, VnodeId};
use quorate_ring::Class;

/// What was promised with one acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Nodes.
    pub w: u8,
    /// Primaries among them.
    pub pw: u8,
    /// Durable copies among them.
    pub dw: u8,
}

/// Never synced: the power went off first.
const LOST: u64 = u64::MAX;

/// Which node wrote which dot, and in which batch.
#[derive(Clone, Debug, Default)]
pub struct AckTruth {
    held: BTreeMap<Dot, BTreeMap<usize, u64>>,
    /// What each replica last told to be durable.
    told: BTreeMap<(usize, Class), Clock>,
    /// What nodes got back after they had lost it: in a snapshot first, maybe, and once more later.
    relearned: BTreeSet<(usize, Dot)>,
    /// Vnodes that are being filled page by page. Those of one node that came with one version have one id.
    filling: BTreeSet<(usize, Class, VnodeId)>,
}

impl AckTruth {
    /// A node wrote a batch.
    pub fn wrote(&mut self, node: usize, batch: u64, writes: &[Write]) {
        for write in writes {
            let Write::Put { family, key, value } = write else {
                continue;
            };
            match family {
                Family::Log => {
                    if let Some((_, dot)) = keys::parse_log_key(key) {
                        self.holds(dot, node, batch);
                    }
                }
                Family::Hints => {
                    if let Ok(hint) = decode_hint(key, value) {
                        hint.settles
                            .into_iter()
                            .for_each(|dot| self.holds(dot, node, batch));
                    }
                }
                Family::Objects
                | Family::Chunks
                | Family::Vnodes
                | Family::Requests
                | Family::Expiry => {}
            }
        }
    }

    /// What a node has without a log entry of its own: it came with a snapshot, where others had lost or cut what
    /// their logs said of it. Asked for where that can be.
    pub fn wrote_with_pages(&mut self, node: usize, batch: u64, writes: &[Write]) {
        for write in writes {
            let Write::Put { family, key, value } = write else {
                continue;
            };
            match family {
                Family::Objects => {
                    if let Ok(object) = decode_object(key, value) {
                        object.dots().for_each(|dot| self.holds(dot, node, batch));
                    }
                }
                Family::Vnodes => {
                    if let (Some(class), Ok(vnode)) =
                        (keys::parse_vnode_key(key), decode_vnode(key, value))
                    {
                        self.fills((node, class), batch, &vnode);
                    }
                }
                Family::Log
                | Family::Chunks
                | Family::Hints
                | Family::Requests
                | Family::Expiry => {}
            }
        }
    }

    /// With the last page a vnode has all that its sender had, deletes and what they superseded included.
    fn fills(&mut self, (node, class): (usize, Class), batch: u64, vnode: &VnodeRecord) {
        if vnode.rebuilding.is_some() {
            self.filling.insert((node, class, vnode.vnode));
        } else if self.filling.remove(&(node, class, vnode.vnode)) {
            let known: Vec<Dot> = self.held.keys().copied().collect();
            let filled = known.into_iter().filter(|dot| vnode.clock.contains(*dot));
            filled.for_each(|dot| self.holds(dot, node, batch));
        }
    }

    fn holds(&mut self, dot: Dot, node: usize, batch: u64) {
        let held = self
            .held
            .entry(dot)
            .or_default()
            .entry(node)
            .or_insert(batch);
        if *held == LOST {
            *held = batch;
            self.relearned.insert((node, dot));
        }
    }

    /// A node lost its batches after this one.
    pub fn lost(&mut self, node: usize, after: u64) {
        self.told.retain(|(told, _), _| *told != node);
        for nodes in self.held.values_mut() {
            if let Some(batch) = nodes.get_mut(&node).filter(|batch| **batch > after) {
                *batch = LOST;
            }
        }
    }

    /// A node tells a peer what it has durably: what is wrong with that, if anything. Dots that it was given
    /// with a whole snapshot have no batch of their own and are left out.
    pub fn tells(
        &mut self,
        node: usize,
        class: Class,
        durable: Clock,
        synced: u64,
    ) -> Option<String> {
        let before = self.told.remove(&(node, class)).unwrap_or_default();
        let runs = before.missing_from(&durable);
        // The end of an actor is endless: what is known to be written is gone through, not what is told.
        let mut news = runs.flat_map(|(actor, first, length)| {
            let last = first.saturating_add(length - 1);
            self.held
                .range(Dot::new(actor, first)..=Dot::new(actor, last))
        });
        let early = news.find_map(|(dot, nodes)| {
            let batch = nodes.get(&node);
            let early = batch.is_some_and(|&batch| batch > synced && batch != LOST);
            (early && !self.relearned.contains(&(node, *dot))).then_some(*dot)
        });
        drop(news);
        self.told.insert((node, class), durable);
        early.map(|dot| {
            format!("node {node} tells that it has {dot} durably, and has not synced it")
        })
    }

    /// A client is told ok: what is wrong with that, if anything.
    #[must_use]
    pub fn judge(
        &self,
        dot: Dot,
        promise: Promise,
        primaries: &BTreeSet<usize>,
        synced: impl Fn(usize) -> u64,
    ) -> Option<String> {
        let none = BTreeMap::new();
        let held = self.held.get(&dot).unwrap_or(&none);
        let durable = held
            .iter()
            .filter(|(node, batch)| **batch <= synced(**node))
            .count();
        let at_primaries = held.keys().filter(|node| primaries.contains(node)).count();
        let all = [
            ("w", promise.w, held.len()),
            ("pw", promise.pw, at_primaries),
            ("dw", promise.dw, durable),
        ];
        let broken = all
            .into_iter()
            .find(|(_, promised, found)| *found < usize::from(*promised));
        broken.map(|(what, promised, found)| {
            format!("{dot} was acknowledged with {what}={promised}, and {found} nodes have it so")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_core::record::{RebuildStage, Rebuilding, encode_vnode};
    use quorate_protocol::ids::{ActorId, StorageId};
    use quorate_protocol::versioned::MapVersion;
    use quorate_ring::{PartitionId, RingVersion};

    fn log(dot: Dot) -> Vec<Write> {
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        vec![Write::Put {
            family: Family::Log,
            key: keys::log_key(class, dot),
            value: Bytes::new(),
        }]
    }

    fn judge(truth: &AckTruth, (w, pw, dw): (u8, u8, u8), synced: u64) -> Option<String> {
        let dot = Dot::new(ActorId::new(1), 1);
        let primaries = BTreeSet::from([0, 1]);
        truth.judge(dot, Promise { w, pw, dw }, &primaries, |_| synced)
    }

    #[test]
    fn it_counts_nodes_primaries_and_durable_copies() {
        let dot = Dot::new(ActorId::new(1), 1);
        let mut truth = AckTruth::default();
        truth.wrote(0, 7, &log(dot));
        truth.wrote(4, 9, &log(dot));
        truth.wrote(4, 11, &log(dot));
        assert_eq!(judge(&truth, (2, 1, 2), 9), None);
        assert!(judge(&truth, (3, 0, 0), 9).is_some_and(|why| why.contains("w=3")));
        assert!(judge(&truth, (2, 2, 0), 9).is_some_and(|why| why.contains("pw=2")));
        assert!(judge(&truth, (2, 0, 2), 8).is_some_and(|why| why.contains("dw=2")));
    }

    #[test]
    fn what_a_power_cut_took_was_never_durable() {
        let dot = Dot::new(ActorId::new(1), 1);
        let mut truth = AckTruth::default();
        truth.wrote(0, 7, &log(dot));
        truth.lost(0, 6);
        assert!(judge(&truth, (1, 0, 1), 100).is_some());
    }

    #[test]
    fn what_is_told_to_be_durable_was_synced() {
        let dot = Dot::new(ActorId::new(1), 1);
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        let mut clock = Clock::new();
        clock.add(dot);
        let mut truth = AckTruth::default();
        truth.wrote(0, 7, &log(dot));
        assert_eq!(truth.tells(1, class, clock.clone(), 6), None);
        assert!(truth.clone().tells(0, class, clock.clone(), 6).is_some());
        assert_eq!(truth.tells(0, class, clock, 7), None);
    }

    fn vnode(clock: &[Dot], rebuilding: Option<Rebuilding>) -> Vec<Write> {
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        let mut record = VnodeRecord {
            vnode: VnodeId::new(5),
            storage: StorageId::new(1),
            ring: RingVersion::FIRST,
            epoch: MapVersion::FIRST,
            complete: None,
            clock: Clock::new(),
            settled: Clock::new(),
            actors: BTreeMap::default(),
            promised: BTreeSet::default(),
            folding: 0,
            voids: Clock::new(),
            damaged: false,
            rebuilding,
        };
        clock.iter().for_each(|&dot| {
            record.clock.add(dot);
        });
        let key = keys::vnode_key(class);
        vec![Write::Put {
            family: Family::Vnodes,
            value: encode_vnode(&key, &record),
            key,
        }]
    }

    #[test]
    fn what_comes_page_by_page_counts_with_the_last_page() {
        let dot = Dot::new(ActorId::new(1), 1);
        let filling = Rebuilding {
            lost: false,
            united: false,
            objects: 0,
            stage: RebuildStage::Waiting,
        };
        let mut truth = AckTruth::default();
        truth.wrote(0, 7, &log(dot));
        truth.wrote_with_pages(1, 3, &vnode(&[dot], None));
        assert!(judge(&truth, (2, 2, 0), 9).is_some(), "it was told nothing");
        truth.wrote_with_pages(1, 4, &vnode(&[], Some(filling)));
        assert!(judge(&truth, (2, 2, 0), 9).is_some(), "it is being filled");
        truth.wrote_with_pages(1, 5, &vnode(&[dot], None));
        assert_eq!(judge(&truth, (2, 2, 0), 9), None);
    }
}
