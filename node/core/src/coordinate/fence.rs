//! Requests while a class moves: what was begun under one epoch goes on under the next, and no answer of
//! another epoch counts.
//!
//! A replica that works under another epoch than the coordinator refuses and names its own. Whoever of the two is
//! behind learns the newer version by itself, within a heartbeat or two; until then the question is repeated. When
//! it is the coordinator that learns it, its writes are shipped once more, with the dots that they have, to the sets
//! of the new epoch, and its reads begin anew.

use quorate_protocol::client::Role;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::peer::{ReplicaAck, ReplicaState};
use quorate_ring::{BucketId, Class, NodeId};

use super::get::{GetOp, Gets};
use super::put::{PutOp, Puts};
use crate::effects::Note;
use crate::plant::Plant;
use crate::quorum::read::ReadTally;
use crate::quorum::write::WriteTally;
use crate::replicate::serve::blank_state;
use crate::shared::{Asker, Cx, Shared};

/// A node's last refusal of a write, since it works under another epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fenced {
    at_us: u64,
    /// Whether it has been asked again since.
    is_asked: bool,
}

/// An answer of another epoch says nothing but that its sender is to be asked again.
pub(super) fn fenced_state(state: &ReplicaState, role: Role) -> ReplicaState {
    ReplicaState {
        catching_up: true,
        ..blank_state(state.op, state.epoch, role)
    }
}

impl Shared {
    /// How many sets a write has to reach, each with its own quorum.
    pub(super) fn write_sets(&self, class: Class) -> u8 {
        if self.breaks(Plant::OneQuorumForBoth) {
            return 1;
        }
        self.view.write_sets(class)
    }

    /// The nodes that a read asks.
    pub(super) fn readers(&self, class: Class) -> Vec<NodeId> {
        if self.breaks(Plant::UnionRead) {
            return self.view.members(class);
        }
        self.view.readers(class)
    }

    /// Answers a request about a bucket that was dropped meanwhile.
    fn refuse_dropped(&mut self, asker: Asker, bucket: BucketId) {
        if let Err(error) = self.check_kept(bucket) {
            self.reply(asker, error);
        }
    }

    /// The primary for which a fallback keeps what it coordinates: one that counts in as many sets as any.
    pub(super) fn stood_in_for(&self, class: Class) -> Option<NodeId> {
        let sets = |node: &NodeId| self.view.sets_of(class, *node).count_ones();
        let members = self.view.counted(class).into_iter();
        members.rev().max_by_key(sets)
    }
}

impl Gets {
    /// Reads of dropped buckets end. Reads of classes that have moved on begin anew; repairs of such reads end.
    pub(crate) fn on_map(&mut self, cx: &mut Cx<'_>) {
        let moved = |op: &GetOp| op.epoch != cx.s.view.epoch(op.place.class);
        let concerned = self.ops.iter().filter(|(_, op)| moved(op));
        let concerned: Vec<u64> = concerned.map(|(&id, _)| id).collect();
        let dropped = |op: &GetOp| cx.s.view.has_dropped(op.place.bucket);
        let over = self.ops.iter().filter(|(_, op)| dropped(op));
        for id in over.map(|(&id, _)| id).collect::<Vec<_>>() {
            if let Some(op) = self.take_out(id).filter(|op| !op.answered) {
                cx.s.refuse_dropped(op.asker, op.place.bucket);
            }
        }
        for id in concerned {
            if let Some(mut op) = self.take_out(id).filter(|op| !op.answered) {
                op.begin_anew(cx);
                self.keep_or_end(cx, id, op);
            }
        }
    }
}

impl GetOp {
    fn begin_anew(&mut self, cx: &mut Cx<'_>) {
        self.epoch = cx.s.view.epoch(self.place.class);
        self.tally = ReadTally::new(self.ask.quorum);
        self.replies.clear();
        self.stand_ins.clear();
        self.errors.clear();
        self.awaited.clear();
        self.rounds = 0;
        self.retry_at_us = None;
        self.ask_everybody(cx);
    }
}

impl Puts {
    /// Writes of dropped buckets end. Writes of classes that have moved on are shipped to the sets of the new epoch.
    pub(crate) fn on_map(&mut self, cx: &mut Cx<'_>) {
        let moved = |op: &PutOp| op.epoch != cx.s.view.epoch(op.place.class);
        let concerned = self.ops.iter().filter(|(_, op)| moved(op));
        let concerned: Vec<u64> = concerned.map(|(&id, _)| id).collect();
        let dropped = |op: &PutOp| cx.s.view.has_dropped(op.place.bucket);
        let over = self.ops.iter().filter(|(_, op)| dropped(op));
        for id in over.map(|(&id, _)| id).collect::<Vec<_>>() {
            if let Some(op) = self.ops.remove(&id) {
                self.due.remove(&(op.due_us, id));
                cx.s.refuse_dropped(op.asker, op.place.bucket);
            }
        }
        for id in concerned {
            let Some(mut op) = self.ops.remove(&id) else {
                continue;
            };
            self.due.remove(&(op.due_us, id));
            if op.begin_epoch(cx, id) {
                self.keep_or_end(cx, id, op);
            }
        }
    }
}

impl PutOp {
    /// Goes on under the present epoch. Returns whether this node still may coordinate it.
    fn begin_epoch(&mut self, cx: &mut Cx<'_>, id: u64) -> bool {
        let (class, me) = (self.place.class, cx.s.view.me);
        let own = self.tally.ack_of(me);
        self.epoch = cx.s.view.epoch(class);
        self.fenced.clear();
        self.tally = WriteTally::new(self.ask.quorum, cx.s.write_sets(class));
        self.stand_ins.retain(|&node, _| node == me);
        let Some(own) = own else {
            return true; // nothing is written yet
        };
        let as_primary = !self.stand_ins.contains_key(&me);
        if as_primary && !cx.s.vnodes.contains_key(&class) {
            let asker = std::mem::replace(&mut self.asker, Asker::Nobody);
            cx.s.reply(asker, moved_away());
            return false;
        }
        cx.s.note(Note::ShippedAnew);
        self.tally.asked(me, self.sets_of(cx.s, me));
        self.tally.ack(me, own);
        if !cx.s.breaks(Plant::NotShippedAnew) {
            self.ship_to_others(cx, id);
        }
        true
    }

    /// Whether a primary refuses what was shipped under an earlier epoch, and has come to the present one as this node has
    /// since.
    pub(super) fn is_of_an_earlier_epoch(
        &self,
        shared: &Shared,
        from: NodeId,
        ack: &ReplicaAck,
    ) -> bool {
        let stale = |error: &WireError| error.code == ErrorCode::StaleRing;
        let refused = ack.error.as_ref().is_some_and(stale) && !self.stand_ins.contains_key(&from);
        refused && !shared.breaks(Plant::FencedStoodInFor)
    }

    /// A node works under another epoch: it is asked again soon.
    pub(super) fn fence(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self.tally.ack_of(node).is_none() {
            let refused = Fenced {
                at_us: cx.s.now.mono_us,
                is_asked: false,
            };
            self.fenced.insert(node, refused);
            self.due_us = self.due_us.min(cx.s.now.mono_us + cx.s.timing.retry_us);
        }
    }

    /// Asks once more who works under another epoch, and somebody else in place of whom is silent for too long.
    ///
    /// Nobody stands in for who refused a moment ago: it is there and is read. A write that counted a stand-in in its
    /// place would be missed by reads that this node and others like it answer (scenario A11, seed 3).
    pub(super) fn send_again(&mut self, cx: &mut Cx<'_>, id: u64) {
        let now_us = cx.s.now.mono_us;
        for (node, refused) in self.fenced.clone() {
            if !refused.is_asked && cx.s.view.is_reachable(node) {
                let hint_for = self.stand_ins.get(&node).copied();
                self.send_to(cx, id, node, hint_for);
                self.fenced.insert(
                    node,
                    Fenced {
                        is_asked: true,
                        ..refused
                    },
                );
            }
        }
        let silent_at_us = |refused: &Fenced| refused.at_us + cx.s.timing.hedge_us;
        let mut behind = self.fenced.clone();
        behind.retain(|_, refused| silent_at_us(refused) > now_us);
        if cx.s.breaks(Plant::FencedStoodInFor) {
            behind.clear();
        }
        let hedge_us = self.started_us + cx.s.timing.hedge_us;
        if hedge_us <= now_us {
            let next_us = behind.values().map(silent_at_us).min();
            self.due_us = self.due_us.min(next_us.unwrap_or(u64::MAX));
            self.hedge(cx, id, &behind.into_keys().collect());
        } else {
            self.due_us = self.due_us.min(hedge_us);
        }
    }
}

fn moved_away() -> WireError {
    WireError::new(
        ErrorCode::InDoubt,
        "the partition moved away from this node while it wrote: what it wrote is handed over, but how many nodes have it is not known; repeat it with the same request id to be sure",
    )
    .retry_after(10)
}
