//! The second half of a write: shipped to everybody who should have it, stand-ins found for those
//! who do not answer, and the outcome told.

use std::collections::BTreeSet;

use quorate_protocol::client::{Role, Written};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::peer::ReplicaPut;
use quorate_ring::NodeId;

use super::get_answer::role_of;
use super::put::{PutOp, Shipment};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::quorum::write::{Ack, WriteVerdict};
use crate::shared::{Cx, Shared};

impl PutOp {
    /// Sends the write to everybody who should have it. This node's own copy is already written.
    pub(crate) fn ship(&mut self, cx: &mut Cx<'_>, id: u64, shipment: Shipment, own_role: Role) {
        let me = cx.s.view.me;
        self.tally.asked(me, self.sets_of(cx.s, me));
        self.tally.ack(
            me,
            Ack {
                role: own_role,
                durable: false,
            },
        );
        self.latency_us.insert(me, 0);
        self.own_batch = Some(if self.ask.quorum.dw > 0 {
            cx.s.sync_soon()
        } else {
            cx.s.step_seq()
        });
        self.shipment = Some(shipment);
        self.ship_to_others(cx, id);
    }

    pub(super) fn ship_to_others(&mut self, cx: &mut Cx<'_>, id: u64) {
        let me = cx.s.view.me;
        let stood_for: BTreeSet<NodeId> = self.stand_ins.values().copied().collect();
        for primary in cx.s.members(self.place.class) {
            if primary == me || stood_for.contains(&primary) {
                continue;
            }
            if cx.s.view.reaches(self.place.class, primary) {
                self.send_to(cx, id, primary, None);
            } else {
                self.add_stand_in(cx, id, primary);
            }
        }
    }

    pub(super) fn send_to(
        &mut self,
        cx: &mut Cx<'_>,
        id: u64,
        to: NodeId,
        hint_for: Option<NodeId>,
    ) {
        let sets = match hint_for {
            Some(primary) => cx.s.view.sets_of(self.place.class, primary),
            None => self.sets_of(cx.s, to),
        };
        let Some(shipment) = &self.shipment else {
            return;
        };
        self.tally.asked(to, sets);
        if cx.s.breaks(Plant::AcksGuessed) {
            let role = role_of(hint_for.is_some());
            let durable = false;
            self.tally.ack(to, Ack { role, durable });
        }
        let message = ReplicaPut {
            op: id,
            class: self.place.class,
            epoch: self.epoch,
            bucket: self.place.bucket,
            key: self.place.key.clone(),
            object: shipment.object.clone(),
            settles: shipment.settles.clone(),
            request: Some((self.ask.request, shipment.dot)),
            durable: self.ask.quorum.dw > 0,
            hint_for,
            repair: false,
        };
        let left = cx.s.ms_until(self.deadline_us);
        cx.s.send(to, message, left, Priority::Foreground);
    }

    /// Asks the next unused fallback to keep the write for a primary. Returns whether one was left.
    pub(super) fn add_stand_in(&mut self, cx: &mut Cx<'_>, id: u64, primary: NodeId) -> bool {
        if !self.ask.quorum.sloppy || self.stand_ins.values().any(|&target| target == primary) {
            return false;
        }
        let candidates = cx.s.view.fallbacks(self.place.class);
        let free = |node: &NodeId| cx.s.view.is_reachable(*node) && !self.tally.was_asked(*node);
        let Some(fallback) = candidates.into_iter().find(free) else {
            return false;
        };
        self.stand_ins.insert(fallback, primary);
        cx.s.note(Note::FallbackWrite);
        self.send_to(cx, id, fallback, Some(primary));
        true
    }

    /// A node will not store the write: somebody else is asked in its place.
    pub(super) fn lose(&mut self, cx: &mut Cx<'_>, id: u64, node: NodeId) {
        self.tally.fail(node);
        let primaries = cx.s.members(self.place.class);
        // A fallback's refusal may arrive twice: it is nobody whom a fallback could stand in for.
        let primary = match self.stand_ins.remove(&node) {
            Some(primary) => primary,
            None if primaries.contains(&node) => node,
            None => return,
        };
        self.add_stand_in(cx, id, primary);
    }

    /// In which sets a node counts: by its own place, or by that of the primary that it stands in for.
    pub(super) fn sets_of(&self, shared: &Shared, node: NodeId) -> u8 {
        let place = self.stand_ins.get(&node).copied().unwrap_or(node);
        shared.view.sets_of(self.place.class, place)
    }

    /// Silent primaries but these are given stand-ins, while their own answers are still welcome.
    pub(super) fn hedge(&mut self, cx: &mut Cx<'_>, id: u64, but: &BTreeSet<NodeId>) {
        let silent: Vec<NodeId> = self
            .tally
            .silent()
            .filter(|node| !self.stand_ins.contains_key(node) && !but.contains(node))
            .collect();
        for node in silent {
            self.add_stand_in(cx, id, node);
        }
    }

    /// Answers if the outcome is known. Returns whether the operation is over.
    pub(super) fn judge(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.shipment.is_none() {
            return true; // refused before anything was written
        }
        match self.tally.verdict() {
            WriteVerdict::Pending => false,
            WriteVerdict::Met => {
                self.answer(cx);
                true
            }
            WriteVerdict::OutOfReach => {
                let error = self.quorum_not_met(cx.s);
                cx.s.note(Note::QuorumNotMet);
                cx.s.reply(self.asker, error);
                true
            }
        }
    }

    /// A replica holds what this node wrote earlier and does not hold any more, as if it had been lost here: a context
    /// that names this write would claim that one too.
    pub(super) fn withhold_context(&mut self, cx: &mut Cx<'_>) {
        if let Some(shipment) = &mut self.shipment {
            shipment.seen = None;
        }
        cx.s.doubt(self.place.class);
    }

    fn answer(&mut self, cx: &mut Cx<'_>) {
        let Some(shipment) = self.shipment.take() else {
            return;
        };
        let written = Written {
            dot: Some(shipment.dot),
            context: shipment
                .seen
                .as_ref()
                .map(|seen| cx.s.seal(&self.place, seen))
                .unwrap_or_default(),
            siblings: shipment.siblings,
            info: self.info(cx.s, &shipment),
        };
        cx.s.reply(self.asker, written);
    }

    fn quorum_not_met(&self, shared: &Shared) -> WireError {
        let (option, needed, got) = self.tally.shortfall().unwrap_or(("w", 0, 0));
        let missing: Vec<NodeId> = self.without_ack(shared);
        let named = |&node: &NodeId| format!("{node}: {}", self.reason(shared, node));
        let names: Vec<String> = missing.iter().map(named).collect();
        WireError::new(
            ErrorCode::QuorumNotMet,
            format!(
                "the write was stored on {} nodes, but {option}={needed} was asked and {got} came (missing: {}); it is not undone and may still spread: repeat it with the same request id, or ask for less",
                self.tally.acks(),
                names.join(", "),
            ),
        )
        .counted(needed, got)
        .naming(missing)
    }

    /// Why a node has not acknowledged.
    fn reason(&self, shared: &Shared, node: NodeId) -> &'static str {
        match self.errors.get(&node) {
            Some(error) => error.code.name(),
            None if !shared.view.reaches(self.place.class, node) => "unreachable",
            None => "no answer yet",
        }
    }

    fn without_ack(&self, shared: &Shared) -> Vec<NodeId> {
        let mut missing = shared.members(self.place.class);
        missing.retain(|&node| self.tally.ack_of(node).is_none());
        missing
    }

    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        cx.s.note(Note::DeadlineExceeded);
        let acks = self.tally.acks();
        let error = if (acks == 0 && !self.search.has_found())
            || cx.s.breaks(Plant::DoubtReportedAsFailure)
        {
            WireError::new(
                ErrorCode::DeadlineExceeded,
                "the deadline passed before the write was stored anywhere: nothing was written",
            )
        } else {
            let (option, needed, got) = self.tally.shortfall().unwrap_or(("w", 0, 0));
            WireError::new(
                ErrorCode::InDoubt,
                format!(
                    "the deadline passed with {got} of {option}={needed}; the write is on {acks} nodes and may spread or not: repeat it with the same request id to be sure"
                ),
            )
            .counted(needed, got)
            .naming(self.without_ack(cx.s))
        };
        cx.s.reply(self.asker, error);
    }
}
