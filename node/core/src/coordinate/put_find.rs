//! Retries: a write whose request id was seen before gets no second dot.
//!
//! The coordinator of the first try remembers the id. If a client had to turn to another node,
//! that one asks everybody reachable whether they have seen the id, and ships the dot they found.
//!
//! It asks for the dot alone first: that answer is small and comes soon also where links are slow, and with it
//! no second dot will be minted. The object is fetched from one of those that know it, and only where this
//! node has not applied the dot itself.

use std::collections::BTreeSet;

use quorate_protocol::client::Role;
use quorate_protocol::ids::{Dot, RequestId};
use quorate_protocol::peer::{FindRequest, FoundRequest};
use quorate_ring::NodeId;

use super::put::{PutOp, Puts, Shipment, seen_by_writer};
use crate::causality::{Object, check_dots};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::record::decode_request;
use crate::record::keys::{self, ChunkOwner};
use crate::shared::{Asker, Cx};
use crate::shelf::{Arrival, Place, damaged};
use crate::store::{Family, StoreError};

/// The search for a first try at other nodes.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Nodes that have not said yet whether they know it.
    pub(crate) asked: BTreeSet<NodeId>,
    /// Nodes that know it, and whose object was not asked for yet.
    holders: BTreeSet<NodeId>,
    /// Whose object is on its way.
    fetching: Option<NodeId>,
}

impl Search {
    /// Whether an answer is awaited that decides what becomes of the operation.
    pub(crate) fn goes_on(&self) -> bool {
        self.fetching.is_some() || !self.asked.is_empty()
    }

    /// Whether the first try is known to have left a write somewhere.
    pub(crate) const fn has_found(&self) -> bool {
        self.fetching.is_some()
    }

    /// Whether an answer of this node is awaited.
    pub(crate) fn awaits(&self, node: NodeId) -> bool {
        self.fetching == Some(node) || self.asked.contains(&node)
    }

    /// A node will not answer.
    pub(crate) fn lose(&mut self, node: NodeId) {
        self.asked.remove(&node);
        self.holders.remove(&node);
        self.fetching.take_if(|fetching| *fetching == node);
    }
}

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

    /// The dot that a request id got, as far as this node's replica or hints of the key tell.
    pub(crate) fn first_dot(
        &self,
        place: &Place,
        request: RequestId,
    ) -> Result<Option<Dot>, StoreError> {
        if self.s.vnodes.contains_key(&place.class) {
            return self.dot_in_vnode(place, request);
        }
        let hint = self.load_hints(place, false)?;
        Ok(hint.and_then(|hint| dot_of(&hint.requests, request)))
    }

    fn dot_in_vnode(&self, place: &Place, request: RequestId) -> Result<Option<Dot>, StoreError> {
        let key = keys::request_key(place.class, request);
        let Some(bytes) = self.get(Family::Requests, &key)? else {
            return Ok(None);
        };
        let record =
            decode_request(&key, &bytes).map_err(|error| damaged(Family::Requests, &error))?;
        let same = (record.bucket, &record.key) == (place.bucket, &place.key);
        Ok(same.then_some(record.dot))
    }

    fn first_try_in_vnode(
        &self,
        place: &Place,
        request: RequestId,
    ) -> Result<Option<FirstTry>, StoreError> {
        match self.dot_in_vnode(place, request)? {
            Some(dot) => self.own_copy(place, dot),
            None => Ok(None),
        }
    }

    /// This node's copy, which has the dot applied, to be shipped once more.
    ///
    /// Where nothing says what became of the dot's version, the copy has no word on it: it may have been lost here without
    /// a sign, and would take the version from those that have it (seed 1787). If all members are known to have the dot,
    /// there is nothing to tell them; if not, `None`: others are asked.
    fn own_copy(&self, place: &Place, dot: Dot) -> Result<Option<FirstTry>, StoreError> {
        let mut object = self.load_proven(place)?;
        self.load_bodies(ChunkOwner::Vnode, place, &mut object, |_| true)?;
        let denied = self.s.vnodes.get(&place.class).filter(|vnode| {
            let mut deletes = vnode.deletes_of(place.bucket, &place.key);
            !vnode.denied(&object, &[dot]).is_empty() && !deletes.any(|delete| delete == dot)
        });
        let settles = match denied.filter(|_| !self.s.breaks(Plant::RetryShipsAbsence)) {
            None => with_dots(&object, [dot]),
            Some(vnode) if vnode.settled.contains(dot) => with_dots(&object, []),
            Some(_) => return Ok(None),
        };
        Ok(Some(FirstTry {
            dot,
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
        Ok(dot_of(&hint.requests, request).map(|dot| FirstTry {
            dot,
            object: hint.object,
            settles: hint.settles,
            role: Role::Fallback,
        }))
    }
}

fn dot_of(requests: &[(RequestId, Dot)], request: RequestId) -> Option<Dot> {
    let mut requests = requests.iter();
    let found = requests.find(|(seen, _)| *seen == request);
    found.map(|&(_, dot)| dot)
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

    /// Whether there may have been a try before this one.
    pub(crate) fn may_be_a_retry(&self, cx: &Cx<'_>) -> bool {
        self.ask.retry || cx.s.may_be_late() || (self.may_be_repeated() && self.is_known(cx))
    }

    /// Whether this node has seen the request.
    pub(crate) fn is_known(&self, cx: &Cx<'_>) -> bool {
        matches!(cx.first_dot(&self.place, self.ask.request), Ok(Some(_)))
    }

    /// Ships the first try's dot once more if this node knows it.
    pub(crate) fn ship_first_try(&mut self, cx: &mut Cx<'_>, id: u64) -> bool {
        let found = cx.first_try(&self.place, self.ask.request);
        let Ok(Some(found)) = found else {
            if found.is_ok() && self.is_known(cx) {
                cx.s.doubt(self.place.class);
            }
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
            self.ask_for_first_try(cx, id, node, false);
        }
        self.search.asked = others.into_iter().collect();
        self.search.goes_on()
    }

    /// Asks one node what it knows of the first try: its dot, or the whole of it.
    fn ask_for_first_try(&self, cx: &mut Cx<'_>, id: u64, node: NodeId, whole: bool) {
        let message = FindRequest {
            op: id,
            class: self.place.class,
            bucket: self.place.bucket,
            key: self.place.key.clone(),
            request: self.ask.request,
            whole,
        };
        let left = cx.s.ms_until(self.deadline_us);
        cx.s.send(node, message, left, Priority::Foreground);
    }

    /// A node that was asked has restarted.
    pub(super) fn ask_the_restarted(&self, cx: &mut Cx<'_>, id: u64, node: NodeId) {
        let whole = self.search.fetching == Some(node);
        self.ask_for_first_try(cx, id, node, whole);
    }

    /// A node knows the first try. Ships it if its dot was applied here as well; if not, asks for the
    /// object, of one node at a time.
    fn found_at(&mut self, cx: &mut Cx<'_>, id: u64, node: NodeId, dot: Dot) {
        let vnode = cx.s.vnodes.get(&self.place.class);
        if vnode.is_some_and(|vnode| vnode.clock.contains(dot))
            && let Ok(Some(found)) = cx.own_copy(&self.place, dot)
        {
            return self.ship_again(cx, id, found);
        }
        self.search.holders.insert(node);
        if self.search.fetching.is_none() {
            self.fetch(cx, id);
        }
    }

    /// Asks the next holder for the object. A holder that is slow stays one to be asked again.
    fn fetch(&mut self, cx: &mut Cx<'_>, id: u64) {
        let reachable = |node: &NodeId| cx.s.view.is_reachable(*node);
        self.search.holders.retain(reachable);
        let slow = self.search.fetching.take();
        let next = self.search.holders.pop_first().or(slow);
        self.search.holders.extend(slow.filter(|_| next != slow));
        self.search.fetching = next;
        if let Some(node) = next {
            self.due_us = self.deadline_us.min(cx.s.now.mono_us + cx.s.timing.find_us);
            self.ask_for_first_try(cx, id, node, true);
        }
    }

    /// Ships the first try's dot to everybody once more.
    fn ship_again(&mut self, cx: &mut Cx<'_>, id: u64, found: FirstTry) {
        cx.s.note(Note::RetryRecognised);
        self.search = Search::default();
        self.due_us = self
            .deadline_us
            .min(cx.s.now.mono_us + cx.s.timing.hedge_us);
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
            match cx.s.stood_in_for(self.place.class) {
                Some(target) => {
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
        let id = found.op;
        if !self.ops.get(&id).is_some_and(|op| op.search.awaits(from)) {
            return;
        }
        let Some(mut op) = self.ops.remove(&id) else {
            return;
        };
        self.due.remove(&(op.due_us, id));
        let dot = found.dot.filter(|dot| {
            let dots = found.settles.iter().chain([dot]);
            // What members have agreed to be lost is not done.
            let vnode = cx.s.vnodes.get(&op.place.class);
            check_dots(dots).is_ok() && !vnode.is_some_and(|vnode| vnode.is_void(*dot))
        });
        let whole = dot.is_some_and(|dot| found.settles.contains(&dot));
        match (dot, Object::from_peer(found.object)) {
            (Some(dot), Ok(object)) if whole => {
                op.search = Search::default();
                op.adopt(cx, id, dot, object, found.settles);
                return self.keep_or_end(cx, id, op);
            }
            // The answer to an earlier question: whole is what is awaited.
            (Some(_), Ok(_)) if op.search.fetching == Some(from) => {}
            (Some(dot), Ok(_)) => {
                op.search.asked.remove(&from);
                op.found_at(cx, id, from, dot);
            }
            (None, _) | (Some(_), Err(_)) => op.search.lose(from),
        }
        self.after_search(cx, id, op);
    }

    /// Once nobody is left to ask, the retry is the first try after all, unless that has reached this
    /// node while it asked.
    pub(crate) fn after_search(&mut self, cx: &mut Cx<'_>, id: u64, mut op: PutOp) {
        if op.shipment.is_none() && op.search.fetching.is_none() {
            op.fetch(cx, id);
        }
        if op.shipment.is_none() && !op.search.goes_on() {
            self.due.remove(&(op.due_us, id));
            op.due_us = op.deadline_us.min(cx.s.now.mono_us + cx.s.timing.hedge_us);
            if !op.ship_first_try(cx, id) {
                op.write(cx, id);
            }
        }
        self.keep_or_end(cx, id, op);
    }

    /// Nobody answered for a while: who has not said that it knows the first try does not, and who has it
    /// is asked for it again.
    pub(crate) fn search_on(&mut self, cx: &mut Cx<'_>, id: u64, mut op: PutOp) {
        op.search.asked.clear();
        if op.search.has_found() && !op.ship_first_try(cx, id) {
            op.fetch(cx, id);
        }
        self.after_search(cx, id, op);
    }
}
