//! Read repair: after the answer, every replica that showed itself stale gets the merged object,
//! also those that replied late, and fallbacks that stand in too.

use std::collections::BTreeSet;

use quorate_protocol::client::Role;
use quorate_protocol::ids::Dot;
use quorate_protocol::peer::ReplicaPut;
use quorate_ring::NodeId;

use super::get::GetOp;
use crate::causality::{Body, Object, merge_replies};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::shared::{Cx, Shared};

impl GetOp {
    /// Repairs once nobody is outstanding any more. Returns whether the operation is over.
    pub(crate) fn repair(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.tally.outstanding().next().is_some() {
            return false;
        }
        let merged = merge_replies(&self.views());
        if self.stale(&merged, cx.s).is_empty() || self.only_behind() {
            return true;
        }
        if self.ask_where_they_differ(cx)
            || self.ask_who_holds_what_is_denied(cx)
            || self.fetch_bodies(cx)
        {
            return false;
        }
        if merged
            .versions
            .iter()
            .all(|version| version.body != Body::Absent)
        {
            self.send_repairs(cx, &merged);
        }
        true
    }

    /// Whether replicas that are catching up answered and no current one: what they show may have been
    /// superseded by something that all of them lost, and is not to be spread.
    fn only_behind(&self) -> bool {
        self.tally.catching_up() > 0 && self.tally.primaries() == 0
    }

    /// Replicas whose versions are not those of the result. Contexts alone do not count: they go
    /// at their own pace when nothing needs them any more.
    fn stale(&self, merged: &Object, shared: &Shared) -> Vec<(NodeId, Role)> {
        let result: Vec<Dot> = merged.dots().collect();
        let is_stale = |(&node, reply): (&NodeId, &super::get::Reply)| {
            let differs = shared.breaks(Plant::RepairOnEveryRead)
                || !reply.object.dots().eq(result.iter().copied());
            let worth_it = reply.role == Role::Primary || reply.holds || !result.is_empty();
            (differs && worth_it).then_some((node, reply.role))
        };
        self.replies.iter().filter_map(is_stale).collect()
    }

    fn send_repairs(&self, cx: &mut Cx<'_>, merged: &Object) {
        // What a replica lacks and no context covers it may have lost: its word alone takes nothing from
        // others. Where it is true, they learn it with the write that superseded the version.
        let known = |dot: &Dot| merged.has(*dot) || merged.context.covers(*dot);
        let shown = self.replies.values().flat_map(|reply| reply.object.dots());
        // With their effect goes the deletes' own dots, or the replica would hold less than its clock says.
        let deletes = self.replies.values().flat_map(|reply| &reply.deletes);
        let settles: BTreeSet<Dot> = shown.filter(known).chain(deletes.copied()).collect();
        for (node, role) in self.stale(merged, cx.s) {
            let hint_for = self.stand_ins.get(&node).copied();
            if role == Role::Fallback && hint_for.is_none() {
                continue;
            }
            cx.s.note(if role == Role::Primary {
                Note::ReadRepair
            } else {
                Note::FallbackRepair
            });
            let message = ReplicaPut {
                op: 0,
                class: self.place.class,
                epoch: self.epoch,
                bucket: self.place.bucket,
                key: self.place.key.clone(),
                object: merged.to_peer(),
                settles: settles.iter().copied().collect(),
                request: None,
                durable: false,
                hint_for,
                repair: true,
            };
            cx.s.send(node, message, 0, Priority::Background);
        }
    }
}
