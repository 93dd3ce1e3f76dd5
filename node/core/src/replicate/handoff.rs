//! Hinted handoff: what is kept for a primary goes to it as soon as it is back, in batches, one
//! at a time for each target, and is dropped only when the target has stored it durably.
//!
//! A hint is for a class; its target is only the first address. Where that has no place in the class any more, or is
//! called dead, any member takes it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::Dot;
use quorate_protocol::limits::{BATCH_BYTES, BATCH_ITEMS_MAX};
use quorate_protocol::peer::{Hints, HintsAck, SettledObject};
use quorate_ring::{Class, NodeId};

use crate::causality::Object;
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner, KeyRange};
use crate::record::{HintRecord, RecordError, decode_hint};
use crate::replicate::serve::check_arrival;
use crate::shared::{Cx, Shared};
use crate::shelf::{Applied, Arrival, Place};
use crate::store::Family;

/// A batch that a target has not acknowledged yet.
#[derive(Debug)]
struct InFlight {
    to: NodeId,
    number: u64,
    sent_us: u64,
    /// Storage keys and records as they were sent: a hint that changed since is kept.
    sent: Vec<(Vec<u8>, Bytes)>,
}

/// Where the handoff to one target stands.
#[derive(Debug, Default)]
struct Target {
    in_flight: Option<InFlight>,
    /// The next batch begins after this storage key.
    after: Option<Vec<u8>>,
    /// Not before this time: the throttle, or a pause after a refusal.
    not_before_us: u64,
}

/// Hinted handoff to all targets.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    targets: BTreeMap<NodeId, Target>,
}

impl Handoff {
    /// Objects on their way to a target right now.
    pub(crate) fn in_flight(&self, target: NodeId) -> u64 {
        let flying = self
            .targets
            .get(&target)
            .and_then(|state| state.in_flight.as_ref());
        flying.map_or(0, |batch| batch.sent.len() as u64)
    }

    /// The target is back, or gone: what was in flight is lost or will come again.
    pub(crate) fn on_peer_change(&mut self, node: NodeId) {
        self.targets.remove(&node);
        let lost = |batch: &mut InFlight| batch.to == node;
        for target in self.targets.values_mut() {
            if target.in_flight.take_if(lost).is_some() {
                target.after = None;
            }
        }
    }

    /// Other nodes may take what there is.
    pub(crate) fn on_map(&mut self, cx: &mut Cx<'_>) {
        self.targets.clear();
        if cx.s.breaks(Plant::HintsOfTheGoneDropped) {
            cx.drop_hints_of_the_gone();
        }
    }

    /// When the throttle lets the next batch of a handoff under way go.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let paused = |target: &&Target| target.in_flight.is_none() && target.after.is_some();
        self.targets
            .values()
            .filter(paused)
            .map(|target| target.not_before_us)
            .min()
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        if self.targets.is_empty() && cx.s.hints.is_empty() {
            return;
        }
        // A target without hints has nothing due: it would be asked about without end.
        self.targets
            .retain(|&node, target| target.in_flight.is_some() || cx.s.hints.for_target(node) > 0);
        let now_us = cx.s.now.mono_us;
        let goes = |&target: &NodeId| {
            let classes = cx.s.hints.classes(target);
            classes
                .iter()
                .any(|&class| cx.s.taker(class, target).is_some())
        };
        let ready: Vec<NodeId> = cx.s.hints.all_targets().filter(goes).collect();
        for node in ready {
            let target = self.targets.entry(node).or_default();
            let stuck = |batch: &InFlight| batch.sent_us + cx.s.timing.resend_us <= now_us;
            if target.in_flight.as_ref().is_some_and(stuck) {
                target.in_flight = None;
                target.after = None;
            }
            if target.in_flight.is_none() && target.not_before_us <= now_us {
                target.send_next(cx, node);
            }
        }
    }

    pub(crate) fn on_ack(&mut self, cx: &mut Cx<'_>, from: NodeId, ack: &HintsAck) {
        let careless = cx.s.breaks(Plant::HandoffUnverified);
        let answered =
            |batch: &InFlight| batch.number == ack.number && (batch.to == from || careless);
        let mut targets = self.targets.iter_mut();
        let sent = targets.find_map(|(&node, target)| {
            let batch = target.in_flight.take_if(|batch| answered(batch))?;
            Some((node, target, batch))
        });
        let Some((node, target, batch)) = sent else {
            return;
        };
        if ack.error.is_some() {
            target.after = None;
            target.not_before_us = cx.s.now.mono_us + cx.s.timing.resend_us;
            return;
        }
        for (key, sent) in batch.sent {
            cx.drop_if_unchanged(node, &key, &sent);
        }
        if target.not_before_us <= cx.s.now.mono_us {
            target.send_next(cx, node);
        }
    }
}

impl Target {
    fn send_next(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let Some((to, class, objects, sent)) = cx.collect_hints(node, self.after.as_deref()) else {
            self.after = None; // begin again with what was added meanwhile, at the next tick
            return;
        };
        self.after = sent.last().map(|(key, _)| key.clone());
        let bytes: usize = sent.iter().map(|(_, record)| record.len()).sum();
        let pause_us = cx.s.throttle.took(bytes as u64);
        self.not_before_us = cx.s.now.mono_us + pause_us;
        if cx.s.breaks(Plant::HintDroppedUnacknowledged) {
            for (key, record) in &sent {
                cx.drop_if_unchanged(node, key, record);
            }
        }
        if to == cx.s.view.me {
            return cx.take_own_hints(node, class, objects, sent);
        }
        let number = cx.s.new_op();
        self.in_flight = Some(InFlight {
            to,
            number,
            sent_us: cx.s.now.mono_us,
            sent,
        });
        let first = cx.s.view.peers().find(|&peer| cx.s.view.is_reachable(peer));
        let to = match first {
            Some(first) if cx.s.breaks(Plant::HandoffUnverified) => first,
            Some(_) | None => to,
        };
        cx.s.send(
            to,
            Hints {
                class,
                number,
                objects,
            },
            0,
            Priority::Background,
        );
    }
}

type Batch = (NodeId, Class, Vec<SettledObject>, Vec<(Vec<u8>, Bytes)>);

impl Cx<'_> {
    /// The next hints of one class for a target, as many as one message takes.
    fn collect_hints(&mut self, target: NodeId, after: Option<&[u8]>) -> Option<Batch> {
        let classes = self.s.hints.classes(target);
        classes.into_iter().find_map(|class| {
            let to = self.s.taker(class, target)?;
            let range = after_key(keys::hint_class_range(target, class), after)?;
            let mut records: Vec<(Vec<u8>, Bytes)> = Vec::new();
            let mut bytes = 0;
            let scanned = self.scan(Family::Hints, range, |key, record| {
                records.push((key.to_vec(), Bytes::copy_from_slice(record)));
                bytes += record.len();
                if records.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if let Err(error) = scanned {
                // What was read before the error is good; the rest is tried again later.
                drop(error);
            }
            self.readable_hints((target, to), class, records)
        })
    }

    /// Hints of a class of which this node alone can be reached: it takes them itself, in one batch.
    fn take_own_hints(
        &mut self,
        target: NodeId,
        class: Class,
        objects: Vec<SettledObject>,
        sent: Vec<(Vec<u8>, Bytes)>,
    ) {
        for (object, (key, record)) in objects.into_iter().zip(sent) {
            if self.take_hint(class, object).is_ok() {
                self.drop_if_unchanged(target, &key, &record);
            }
        }
    }

    /// The planted bug of a store that forgets what it keeps for a node that is no member any more.
    fn drop_hints_of_the_gone(&mut self) {
        for target in self.s.hints.all_targets().collect::<Vec<_>>() {
            for class in self.s.hints.classes(target) {
                if self.s.view.is_member(class, target) {
                    continue;
                }
                let mut records: Vec<(Vec<u8>, Bytes)> = Vec::new();
                let range = keys::hint_class_range(target, class);
                let scanned = self.scan(Family::Hints, range, |key, record| {
                    records.push((key.to_vec(), Bytes::copy_from_slice(record)));
                    ControlFlow::Continue(())
                });
                drop(scanned);
                for (key, record) in records {
                    self.drop_if_unchanged(target, &key, &record);
                }
            }
        }
    }

    /// Leaves out what cannot be read, or was dropped by this very step.
    fn readable_hints(
        &mut self,
        (target, to): (NodeId, NodeId),
        class: Class,
        records: Vec<(Vec<u8>, Bytes)>,
    ) -> Option<Batch> {
        let (mut objects, mut sent, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (key, record) in records {
            if self.get(Family::Hints, &key).is_ok_and(|now| now.is_none()) {
                continue;
            }
            let Some((place, mut hint)) = read_hint(&key, &record) else {
                let newer = matches!(
                    decode_hint(&key, &record),
                    Err(RecordError::NewerFormat { .. } | RecordError::UnknownCodec(_))
                );
                if let Some((_, class, bucket, name)) = keys::parse_hint_key(&key)
                    && !newer
                {
                    let key = Bytes::copy_from_slice(name);
                    self.s.note(Note::DamageFound);
                    self.lose_hint(target, &Place { class, bucket, key });
                }
                continue;
            };
            let stored = hint.clone();
            let loaded =
                self.load_bodies(ChunkOwner::Hint(target), &place, &mut hint.object, |_| true);
            if loaded.is_err() {
                self.salvage_hint(target, &place, &stored);
                continue;
            }
            bytes += usize::try_from(hint.object.bytes()).unwrap_or(usize::MAX);
            objects.push(settled(place, hint));
            sent.push((key, record));
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        (!objects.is_empty()).then_some((to, class, objects, sent))
    }

    fn drop_if_unchanged(&mut self, target: NodeId, key: &[u8], sent: &Bytes) {
        let unchanged = matches!(self.get(Family::Hints, key), Ok(Some(now)) if now == *sent);
        if let (true, Some((place, hint))) = (unchanged, read_hint(key, sent)) {
            self.s.drop_hint(target, &place, &hint.object);
        }
    }

    /// Takes hints that another node kept for this one. Acknowledged once all are durable.
    pub(crate) fn take_hints(&mut self, from: NodeId, hints: Hints) {
        let (class, number) = (hints.class, hints.number);
        let (mut news, mut error) = (Vec::new(), None);
        let early = self.s.vnodes.get(&class).is_some_and(|vnode| {
            let departs = vnode.peers.get(&from).is_some_and(|peer| peer.departing);
            departs && !self.s.knows_what_members_know(vnode)
        });
        if early {
            let why =
                "this replica lacks what others have, and cannot judge a copy without a place";
            error = Some(WireError::new(ErrorCode::Unavailable, why));
        }
        for object in hints.objects.into_iter().filter(|_| !early) {
            match self.take_hint(class, object.clone()) {
                Ok(applied) if applied.new_dots > 0 => news.push(object),
                Ok(_) => {}
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            }
        }
        if !self.s.is_member(from, class) {
            self.s.pass_on(class, &news);
        }
        match error {
            None => self.s.send_synced(
                from,
                HintsAck {
                    class,
                    number,
                    error: None,
                },
                Priority::Background,
            ),
            Some(error) => self.s.send(
                from,
                HintsAck {
                    class,
                    number,
                    error: Some(error),
                },
                0,
                Priority::Background,
            ),
        }
    }

    fn take_hint(&mut self, class: Class, hint: SettledObject) -> Result<Applied, WireError> {
        if !self.s.vnodes.contains_key(&class) {
            if self.s.breaks(Plant::HandoffUnverified) {
                return Ok(Applied::default());
            }
            return Err(WireError::new(
                ErrorCode::StaleRing,
                format!("this node has no vnode of {class}"),
            ));
        }
        if !self.s.writable {
            return Err(WireError::new(
                ErrorCode::StorageFailed,
                "this node's disk takes no writes at present",
            ));
        }
        let (place, mut arrival) = arrival(class, hint)?;
        if self.s.breaks(Plant::TimeToLiveAnew) {
            self.s.count_anew(&mut arrival.object);
        }
        self.s.check_peers_place(&place)?;
        self.s.keep_promise(class, &arrival)?;
        // A fallback has nothing else to give: what it merged with a lost write is taken as it is.
        let vnode = self.s.vnodes.get(&class);
        if vnode.is_some_and(|vnode| arrival.leave_voids_out(vnode) && !arrival.has_news(vnode)) {
            self.s.note(Note::Superseded);
            return Ok(Applied::default());
        }
        self.apply(&place, arrival)
            .map_err(|error| WireError::new(ErrorCode::StorageFailed, error.to_string()))
    }
}

impl Shared {
    /// Who takes what is kept of a class for a target, if anybody can be reached now.
    fn taker(&self, class: Class, target: NodeId) -> Option<NodeId> {
        let (view, me) = (&self.view, self.view.me);
        let has_place = view.is_member(class, target) && !view.is_dead(class, target);
        if has_place || self.breaks(Plant::HintsOfTheGoneKept) {
            return (target != me && view.is_reachable(target)).then_some(target);
        }
        let mut members = view.counted(class).into_iter();
        let other = members.find(|&node| node != me && view.is_reachable(node));
        other.or_else(|| self.vnodes.contains_key(&class).then_some(me))
    }

    /// Gives what hints have just brought to the other members that are not known to have it.
    ///
    /// Such a member may count as current: it came back when the write was in hints only, and none of those were for
    /// it. It would get the write by anti-entropy, a second later; if its peers died before, it would not
    /// know what they had acknowledged (seed 9777). Mostly the others have had it long ago, and nothing is sent.
    fn pass_on(&mut self, class: Class, news: &[SettledObject]) {
        let me = self.view.me;
        for member in self.members(class) {
            if member == me || !self.view.is_reachable(member) {
                continue;
            }
            let known = self.vnodes.get(&class);
            let known = known.and_then(|vnode| vnode.peers.get(&member));
            let lacks = |object: &&SettledObject| {
                let has = |dot: &Dot| known.is_some_and(|peer| peer.applied.contains(*dot));
                !object.settles.iter().all(has)
            };
            let objects: Vec<SettledObject> = news.iter().filter(lacks).cloned().collect();
            if !objects.is_empty() {
                let number = self.new_op();
                let hints = Hints {
                    class,
                    number,
                    objects,
                };
                self.send(member, hints, 0, Priority::Background);
            }
        }
    }
}

/// What a peer sent about one key, checked.
pub(crate) fn arrival(class: Class, sent: SettledObject) -> Result<(Place, Arrival), WireError> {
    let object = Object::from_peer(sent.object)
        .map_err(|error| WireError::new(ErrorCode::Protocol, error.to_string()))?;
    let place = Place {
        class,
        bucket: sent.bucket,
        key: sent.key,
    };
    let arrival = Arrival::new(object, sent.settles, sent.requests);
    check_arrival(&arrival)?;
    Ok((place, arrival))
}

fn read_hint(key: &[u8], record: &[u8]) -> Option<(Place, HintRecord)> {
    let (_, class, bucket, name) = keys::parse_hint_key(key)?;
    let hint = decode_hint(key, record).ok()?;
    Some((
        Place {
            class,
            bucket,
            key: Bytes::copy_from_slice(name),
        },
        hint,
    ))
}

fn settled(place: Place, hint: HintRecord) -> SettledObject {
    SettledObject {
        bucket: place.bucket,
        key: place.key,
        object: hint.object.to_peer(),
        settles: hint.settles,
        requests: hint.requests,
    }
}

/// What of a range lies behind a key, if anything can.
fn after_key((from, to): KeyRange, after: Option<&[u8]>) -> Option<KeyRange> {
    match after {
        Some(after) if after >= from.as_slice() => {
            let mut next = after.to_vec();
            next.push(0);
            (next < to).then_some((next, to))
        }
        Some(_) | None => Some((from, to)),
    }
}
