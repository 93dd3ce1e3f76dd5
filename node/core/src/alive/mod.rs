//! Who was alive when: what lets a replica that comes back tell for whom it must wait.
//!
//! A node that was alive at any moment of this one's absence may hold writes that this one lacks, and
//! must be heard before this one's word counts. A node that was away all that time holds nothing
//! new, and must not be waited for: it may never come back. No node can tell the two apart by itself, so
//! each keeps a small durable record, and those that were there bear witness.
//!
//! # What is kept
//!
//! * A **position** counts the goings of peers as this replica sees them. Each peer has the position of
//!   its `last` going, and whether it is `up`. So "whom did you see since position e" is answered
//!   exactly, in space that grows with the number of peers and not with time: seen were those that
//!   are up, and those whose last going is later than e. Nothing needs pruning.
//! * For each peer the **mark** that it told last: its own position. A mark says "what I ask you about
//!   begins here". It was told before it was stored, so whatever its owner saw after this replica's
//!   last stored step has a later position. A power cut that takes the tail of this replica's batches, or
//!   an old copy of its disk, takes the newer marks along, and only makes the span longer.
//! * For each peer whether it is **excusable**: it is away, and this replica needs nothing of it. Only
//!   while this replica is *settled* (it waits for nobody) does a peer become excusable, and do marks
//!   move: record and marks always describe the last moment at which nothing was owed, however
//!   many unfinished lives lie between.
//! * The **lives** of this replica. A mark of a life that is not remembered (another disk, an old
//!   backup, too many restarts ago) begins nowhere: the testimony is then not `exact`. A mark beyond what an
//!   ended life had stored counts as that life's stored end.
//! * The **gap**: where the last absence of this replica itself lies, until it knows whom it missed. Marks before an
//!   open gap get a testimony that is not `complete`. The gap is closed by taking all for seen who are not excused.
//!
//! # Who is excused
//!
//! After a start all peers are waited for. An excusable peer Z is let off when no node that
//! answered has seen it since this replica's mark, and either
//!
//! 1. somebody's testimony is complete: a **witness** that was there all the time (or closed its gaps by
//!    witnesses of its own) never saw Z. All who took part in a write and were in reach of the witness
//!    are among those that it names, hence waited for; or
//! 2. every other node answered exactly, and none saw Z: then Z can only have been **alone**, and one
//!    node alone acknowledges no write that two must hold. So one dead node does not
//!    block a cluster that was shut down as a whole.
//!
//! An excuse takes effect only when nobody else is left to wait for. So a late answer that
//! has seen Z still comes in time.
//!
//! # Why it is safe to rely on a record that may lose its tail
//!
//! What makes case 2 true, and case 1 for what happened just before this replica ended: *before a replica
//! listens to a peer, it is durable that this peer is not excusable.* Messages of a peer that was excusable are
//! held back until the fsync ([`Held`]), a few milliseconds at its return. So of two nodes
//! that hold a write together, coordinator and holder, each remembers the other, whatever either loses.
//! A lost `Down` only makes somebody wait.
//!
//! # What it does not do
//!
//! A node that was not restarted keeps what it knows: it waits for each peer whose link comes back, and
//! not for those its peers saw meanwhile. Two sides of a partition both go on; what the other side
//! did is learned from those of it that are met again. Likewise a witness speaks for those in its reach. A process
//! that stood still was there, as far as this goes.

mod absence;
mod held;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::AliveMark;
use quorate_ring::NodeId;

pub(crate) use self::held::{Held, Waiting};
use crate::record::{AlivePeer, AliveRecord};
use crate::store::BatchSeq;

/// Ended lives that are remembered. Who was away for more of them waits for everybody.
const LIVES_MAX: usize = 16;
/// A peer that is down and was heard all the same is not excusable for so long, microseconds.
const QUIET_US: u64 = 3_000_000;

/// What one replica has seen of its peers, and what they told it of each other.
#[derive(Debug)]
pub(crate) struct AliveLog {
    shard: u16,
    record: AliveRecord,
    /// The newest marks: stored as long as this replica is settled.
    told: BTreeMap<NodeId, BTreeMap<u16, AliveMark>>,
    /// Nobody is waited for.
    settled: bool,
    /// Whom nodes that answered saw, those that answered exactly, and whether a witness was among
    /// them; all since this replica was last settled.
    seen: BTreeSet<NodeId>,
    exact: BTreeSet<NodeId>,
    witnessed: bool,
    /// Peers that are excusable in what is durable, and the batch that changes it.
    unproven: BTreeMap<NodeId, BatchSeq>,
    heard_us: BTreeMap<NodeId, u64>,
    changed: bool,
}

impl AliveLog {
    /// Begins a life. Without a record, or with one of another division into shards, nobody is
    /// excusable.
    pub(crate) fn open(
        (shard, shards): (u16, u16),
        life: LifeId,
        stored: Option<AliveRecord>,
        peers: impl Iterator<Item = NodeId>,
    ) -> Self {
        let mut record = stored
            .filter(|record| record.shards == shards)
            .map_or_else(|| new_record(shards, life), |record| reopened(record, life));
        let known = std::mem::take(&mut record.peers);
        record.peers = peers.map(|node| (node, AlivePeer::default())).collect();
        for (node, peer) in known {
            record.peers.entry(node).and_modify(|entry| *entry = peer);
        }
        let gap = record.position;
        for peer in record.peers.values_mut().filter(|peer| !peer.excusable) {
            peer.up = false;
            peer.last = gap; // what was seen of it since may have been lost with the last batches
        }
        let marks = |peer: &AlivePeer| peer.marks.iter().map(|&mark| (mark.shard, mark)).collect();
        Self {
            shard,
            told: record
                .peers
                .iter()
                .map(|(&node, peer)| (node, marks(peer)))
                .collect(),
            record,
            settled: false,
            seen: BTreeSet::new(),
            exact: BTreeSet::new(),
            witnessed: false,
            unproven: BTreeMap::new(),
            heard_us: BTreeMap::new(),
            changed: true,
        }
    }

    /// The record, if it changed since it was last asked for.
    pub(crate) fn take_changed(&mut self) -> Option<&AliveRecord> {
        std::mem::take(&mut self.changed).then_some(&self.record)
    }

    /// The members changed. A new one is not excusable.
    pub(crate) fn set_peers(&mut self, peers: impl Iterator<Item = NodeId>) {
        let mut known = std::mem::take(&mut self.record.peers);
        let kept = |node| (node, known.remove(&node).unwrap_or_default());
        self.record.peers = peers.map(kept).collect();
        self.changed = true;
    }

    /// A peer answers; `seq` is the batch that will say so. Returns whether an fsync is awaited.
    pub(crate) fn up(&mut self, node: NodeId, seq: BatchSeq) -> bool {
        let Some(peer) = self.record.peers.get_mut(&node) else {
            return false;
        };
        self.changed |= !peer.up || peer.excusable;
        peer.up = true;
        let excusable = std::mem::take(&mut peer.excusable);
        if excusable {
            self.unproven.insert(node, seq);
        }
        excusable
    }

    /// This replica lost something: it needs all that anybody has, as it does not know what it had.
    pub(crate) fn owe(&mut self, seq: BatchSeq) {
        for (&node, peer) in &mut self.record.peers {
            if std::mem::take(&mut peer.excusable) {
                self.unproven.insert(node, seq);
                self.changed = true;
            }
        }
        self.settled = false;
    }

    /// A peer answers no longer.
    pub(crate) fn down(&mut self, node: NodeId) {
        self.heard_us.remove(&node);
        if self.record.peers.get(&node).is_some_and(|peer| peer.up) {
            self.went(node);
        }
    }

    fn went(&mut self, node: NodeId) {
        self.record.position += 1;
        if let Some(peer) = self.record.peers.get_mut(&node) {
            peer.up = false;
            peer.last = self.record.position;
        }
        self.changed = true;
    }

    /// A message of a peer came; `seq` is the batch that will say so. Returns whether it must wait
    /// until that is durable.
    pub(crate) fn heard(&mut self, node: NodeId, now_us: u64, seq: BatchSeq) -> bool {
        let Some(peer) = self.record.peers.get_mut(&node) else {
            return false;
        };
        if !peer.up {
            let before_us = self.heard_us.insert(node, now_us);
            let excusable = std::mem::take(&mut peer.excusable);
            if excusable {
                self.unproven.insert(node, seq);
            }
            if excusable || before_us.is_none() {
                self.went(node);
            }
        }
        self.unproven.contains_key(&node)
    }

    /// Everything up to this batch is durable. Returns whether messages were waiting for it.
    pub(crate) fn proven(&mut self, upto: BatchSeq) -> bool {
        let before = self.unproven.len();
        self.unproven.retain(|_, seq| *seq > upto);
        self.unproven.len() < before
    }

    /// While nobody is waited for, the record keeps up with the present.
    pub(crate) fn rest(&mut self, now_us: u64) {
        if !self.settled {
            return;
        }
        for (node, peer) in &mut self.record.peers {
            let quiet = |at_us: &u64| at_us + QUIET_US <= now_us;
            let excusable = !peer.up && self.heard_us.get(node).is_none_or(quiet);
            if excusable {
                self.heard_us.remove(node);
            }
            let marks = self.told.get(node);
            let marks = || marks.into_iter().flat_map(BTreeMap::values).copied();
            if peer.excusable != excusable || !marks().eq(peer.marks.iter().copied()) {
                (peer.excusable, peer.marks) = (excusable, marks().collect());
                self.changed = true;
            }
        }
    }
}

fn new_record(shards: u16, life: LifeId) -> AliveRecord {
    AliveRecord {
        shards,
        life,
        position: 1,
        gap: Some(1),
        lives: Vec::new(),
        peers: BTreeMap::new(),
    }
}

fn reopened(mut record: AliveRecord, life: LifeId) -> AliveRecord {
    record.lives.push((record.life, record.position));
    let forgotten = record.lives.len().saturating_sub(LIVES_MAX);
    record.lives.drain(..forgotten);
    record.position += 1;
    AliveRecord {
        life,
        gap: Some(record.position),
        ..record
    }
}
