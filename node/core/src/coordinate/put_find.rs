//! Retries: a write whose request id was seen before gets no second dot.
//!
//! The coordinator of the first try remembers the id. If a client had to turn to another node,
//! that one asks everybody reachable whether they have seen the id, and ships the dot they found.

use std::collections::BTreeSet;

use quorate_protocol::client::Role;
use quorate_protocol::ids::{Dot, RequestId};
use quorate_protocol::peer::{FindRequest, FoundRequest};
use quorate_ring::NodeId;

use super::put::{PutOp, Puts, Shipment, seen_by_writer};
use crate::causality::{Object, check_dots};
use crate::effects::{Note, Priority};
use crate::record::decode_request;
use crate::record::keys::{self, ChunkOwner};
use crate::shared::{Asker, Cx};
use crate::shelf::{Arrival, Place, damaged};
use crate::store::{Family, StoreError};

/// What is known here of a request id.
#[derive(Clone, Debug)]
pub(crate) struct FirstTry {
    pub(crate) dot: Dot,
    pub(crate) object: Object,
    pub(crate) settles: Vec<Dot>,
    pub(crate) role: Role,
}

impl Cx<'_> {
    /// Looks for a request id in this node's replica or hints of the key.
    pub(crate) fn first_try(
        &self,
        place: &Place,
        request: RequestId,
    ) -> Result<Option<FirstTry>, StoreError> {
        if self.s.vnodes.contains_key(&place.class) {
            self.first_try_in_vnode(place, request)
        } else {
            self.first_try_in_hints(place, request)
        }
    }

    fn first_try_in_vnode(
        &self,
        place: &Place,
        request: RequestId,
    ) -> Result<Option<FirstTry>, StoreError> {
        let key = keys::request_key(place.class, request);
        let Some(bytes) = self.get(Family::Requests, &key)? else {
            return Ok(None);
        };
        let record =
            decode_request(&key, &bytes).map_err(|error| damaged(Family::Requests, &error))?;
        if (record.bucket, &record.key) != (place.bucket, &place.key) {
            return Ok(None);
        }
        let mut object = self.load_proven(place)?;
        self.load_bodies(ChunkOwner::Vnode, place, &mut object, |_| true)?;
        let settles = with_dots(&object, [record.dot]);
        Ok(Some(FirstTry {
            dot: record.dot,
            object,
            settles,
            role: Role::Primary,
        }))
    }

    fn first_try_in_hints(
        &self,
        place: &Place,
        request: RequestId,
    ) -> Result<Option<FirstTry>, StoreError> {
        let Some(hint) = self.load_hints(place, true)? else {
            return Ok(None);
        };
        let found = hint
            .requests
            .iter()
            .find(|(seen, _)| *seen == request)
            .map(|(_, dot)| *dot);
        Ok(found.map(|dot| FirstTry {
            dot,
            object: hint.object,
            settles: hint.settles,
            role: Role::Fallback,
        }))
    }
}

fn with_dots(object: &Object, more: impl IntoIterator<Item = Dot>) -> Vec<Dot> {
    let dots: BTreeSet<Dot> = object.dots().chain(more).collect();
    dots.into_iter().collect()
}

impl PutOp {
    /// Whether the same request may come twice although its client sent it once: the network between nodes
    /// may repeat what a node passed on.
    pub(crate) const fn may_be_repeated(&self) -> bool {
        matches!(self.asker, Asker::Node { .. })
    }

    /// Ships the first try's dot once more if this node knows it.
    pub(crate) fn ship_first_try(&mut self, cx: &mut Cx<'_>, id: u64) -> bool {
        let Ok(Some(found)) = cx.first_try(&self.place, self.ask.request) else {
            return false;
        };
        self.ship_again(cx, id, found);
        true
    }

    /// Looks for the first try here, and asks the others. Returns whether answers are awaited;
    /// otherwise the operation goes on at once: as a re-shipment if `shipment` is set.
    pub(crate) fn look_for_first_try(&mut self, cx: &mut Cx<'_>, id: u64) -> bool {
        if self.ship_first_try(cx, id) {
            return true;
        }
        let me = cx.s.view.me;
        let mut others: Vec<NodeId> = cx.s.members(self.place.class);
        others.extend(cx.s.view.fallbacks(self.place.class));
        others.retain(|&node| node != me && cx.s.view.is_reachable(node));
        self.due_us = self.deadline_us.min(cx.s.now.mono_us + cx.s.timing.find_us);
        for &node in &others {
            self.ask_for_first_try(cx, id, node);
        }
        self.finding = others.into_iter().collect();
        !self.finding.is_empty()
    }

    /// Asks one node whether it knows the first try.
    pub(super) fn ask_for_first_try(&self, cx: &mut Cx<'_>, id: u64, node: NodeId) {
        let message = FindRequest {
            op: id,
            class: self.place.class,
            bucket: self.place.bucket,
            key: self.place.key.clone(),
            request: self.ask.request,
        };
        let left = cx.s.ms_until(self.deadline_us);
        cx.s.send(node, message, left, Priority::Foreground);
    }

    /// Ships the first try's dot to everybody once more.
    fn ship_again(&mut self, cx: &mut Cx<'_>, id: u64, found: FirstTry) {
        cx.s.note(Note::RetryRecognised);
        self.finding.clear();
        let siblings = found.object.versions.len();
        let shipment = Shipment {
            dot: found.dot,
            object: found.object.to_peer(),
            settles: found.settles,
            siblings: u32::try_from(siblings).unwrap_or(u32::MAX),
            seen: seen_by_writer(&found.object, found.dot),
        };
        self.ship(cx, id, shipment, found.role);
    }

    /// Takes over a first try that another node knew.
    fn adopt(&mut self, cx: &mut Cx<'_>, id: u64, dot: Dot, object: Object, settles: Vec<Dot>) {
        let requests = vec![(self.ask.request, dot)];
        let arrival = Arrival {
            object: object.clone(),
            settles: settles.clone(),
            requests,
        };
        let as_primary = cx.s.vnodes.contains_key(&self.place.class);
        let stored = if as_primary {
            cx.apply(&self.place, arrival).map(|_| ())
        } else {
            match cx.s.view.primaries(self.place.class).first() {
                Some(&target) => {
                    self.stand_ins.insert(cx.s.view.me, target);
                    cx.keep_hint(target, &self.place, arrival)
                }
                None => Ok(()),
            }
        };
        let role = if as_primary {
            Role::Primary
        } else {
            Role::Fallback
        };
        match stored {
            Ok(()) => self.ship_again(
                cx,
                id,
                FirstTry {
                    dot,
                    object,
                    settles,
                    role,
                },
            ),
            Err(error) => cx.s.reply(self.asker, super::put::storage_failed(&error)),
        }
    }
}

impl Puts {
    pub(crate) fn on_found(&mut self, cx: &mut Cx<'_>, from: NodeId, found: FoundRequest) {
        let Some(mut op) = self.ops.remove(&found.op) else {
            return;
        };
        if !op.finding.remove(&from) {
            self.ops.insert(found.op, op);
            return;
        }
        let adopted = match (found.dot, Object::from_peer(found.object)) {
            (Some(dot), Ok(object)) if check_dots(found.settles.iter().chain([&dot])).is_ok() => {
                Some((dot, object))
            }
            (Some(_) | None, _) => None,
        };
        match adopted {
            Some((dot, object)) => {
                op.finding.clear();
                op.adopt(cx, found.op, dot, object, found.settles);
                self.keep_or_end(cx, found.op, op);
            }
            None => self.after_finding(cx, found.op, op),
        }
    }

    /// Once nobody is left to ask, the retry is the first try after all, unless that has reached this
    /// node while it asked.
    pub(crate) fn after_finding(&mut self, cx: &mut Cx<'_>, id: u64, mut op: PutOp) {
        if op.finding.is_empty() && op.shipment.is_none() {
            self.due.remove(&(op.due_us, id));
            op.due_us = op.deadline_us.min(cx.s.now.mono_us + cx.s.timing.hedge_us);
            if !op.ship_first_try(cx, id) {
                op.write(cx, id);
            }
        }
        if op.finding.is_empty() {
            self.keep_or_end(cx, id, op);
        } else {
            self.due.insert((op.due_us, id));
            self.ops.insert(id, op);
        }
    }
}
