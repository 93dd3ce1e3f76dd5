//! Coordinating a write: merge into the own copy, ship to the others, count acknowledgements.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::Role;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::Dot;
use quorate_protocol::limits::{OBJECT_BYTES_MAX, SIBLINGS_MAX};
use quorate_protocol::map::BucketMode;
use quorate_protocol::peer::{PeerObject, ReplicaAck};
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;

use super::fence::Fenced;
use super::put_find::Search;
use super::{Ask, Work, WriteAsk, read_first};
use crate::causality::{Body, Object, Version, VersionVector};
use crate::effects::Note;
use crate::plant::Plant;
use crate::quorum::write::{Ack, WriteTally};
use crate::record::LogKind;
use crate::record::keys::ChunkOwner;
use crate::shared::{Asker, Cx, Local, Shared};
use crate::shelf::{Arrival, Place};
use crate::store::{BatchSeq, StoreError};

/// What is shipped to every replica of one write.
#[derive(Clone, Debug)]
pub(crate) struct Shipment {
    pub(crate) dot: Dot,
    pub(crate) object: PeerObject,
    pub(crate) settles: Vec<Dot>,
    pub(crate) siblings: u32,
    /// What the writer has now seen, its own write included; `None` if versions that it has not
    /// seen stand beside it. A version vector could not tell its own write from those, and would
    /// claim them.
    pub(crate) seen: Option<VersionVector>,
}

/// One write under way.
#[derive(Debug)]
pub(crate) struct PutOp {
    pub(crate) asker: Asker,
    pub(crate) place: Place,
    pub(crate) ask: WriteAsk,
    pub(crate) deadline_us: u64,
    pub(crate) started_us: u64,
    pub(crate) due_us: u64,
    pub(crate) tally: WriteTally,
    pub(crate) shipment: Option<Shipment>,
    /// Fallback to the primary it stands in for.
    pub(crate) stand_ins: BTreeMap<NodeId, NodeId>,
    pub(crate) own_batch: Option<BatchSeq>,
    pub(crate) latency_us: BTreeMap<NodeId, u64>,
    pub(crate) errors: BTreeMap<NodeId, WireError>,
    /// While a retried request id is looked for.
    pub(crate) search: Search,
    /// Under which epoch of the class it is shipped: only acknowledgements of this one count.
    pub(crate) epoch: MapVersion,
    /// Nodes that work under another epoch: they are asked again.
    pub(crate) fenced: BTreeMap<NodeId, Fenced>,
}

/// The writes that this replica coordinates.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    pub(crate) ops: BTreeMap<u64, PutOp>,
    pub(crate) due: BTreeSet<(u64, u64)>,
}

impl Puts {
    pub(crate) fn start(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        place: Place,
        ask: WriteAsk,
        deadline_us: u64,
    ) {
        let id = cx.s.new_op();
        let now_us = cx.s.now.mono_us;
        let mut op = PutOp {
            asker,
            tally: WriteTally::new(ask.quorum, cx.s.write_sets(place.class)),
            epoch: cx.s.view.epoch(place.class),
            fenced: BTreeMap::new(),
            place,
            ask,
            deadline_us,
            started_us: now_us,
            due_us: deadline_us.min(now_us + cx.s.timing.hedge_us),
            shipment: None,
            stand_ins: BTreeMap::new(),
            own_batch: None,
            latency_us: BTreeMap::new(),
            errors: BTreeMap::new(),
            search: Search::default(),
        };
        cx.s.note(if op.ask.content.is_some() {
            Note::Put
        } else {
            Note::Delete
        });
        let looks = !cx.s.breaks(Plant::RetryMintsAgain);
        let done = looks
            && ((op.may_be_repeated() && op.ship_first_try(cx, id))
                || (op.may_be_a_retry(cx) && op.look_for_first_try(cx, id)));
        if !done {
            op.write(cx, id);
        }
        self.keep_or_end(cx, id, op);
    }

    /// Looks at where an operation stands after an event, and keeps it if it is not over.
    pub(crate) fn keep_or_end(&mut self, cx: &mut Cx<'_>, id: u64, mut op: PutOp) {
        if !op.search.goes_on() && op.judge(cx) {
            self.due.remove(&(op.due_us, id));
        } else {
            self.due.insert((op.due_us, id));
            self.ops.insert(id, op);
        }
    }

    pub(crate) fn on_ack(&mut self, cx: &mut Cx<'_>, from: NodeId, ack: ReplicaAck) {
        let mut id = ack.op;
        if cx.s.breaks(Plant::LateAckCounted) && !self.ops.contains_key(&id) {
            id = self.ops.keys().next().copied().unwrap_or(id);
        }
        // Whoever was not asked has nothing to acknowledge.
        let asked = |op: &PutOp| op.tally.was_asked(from);
        if !self.ops.get(&id).is_some_and(asked) {
            return;
        }
        let Some(mut op) = self.ops.remove(&id) else {
            return;
        };
        if ack.epoch != op.epoch || op.is_of_an_earlier_epoch(cx.s, from, &ack) {
            op.fence(cx, from);
            return self.keep_or_end(cx, id, op);
        }
        op.latency_us
            .entry(from)
            .or_insert(cx.s.now.mono_us - op.started_us);
        if ack.overlooked && !cx.s.breaks(Plant::WriterNotTold) {
            op.withhold_context(cx);
        }
        let repeated = op.tally.ack_of(from).is_some();
        let counted_as = if repeated && cx.s.breaks(Plant::AckCountedTwice) {
            NodeId::new(u64::MAX - from.get())
        } else {
            from
        };
        match ack.error {
            None => op.tally.ack(
                counted_as,
                Ack {
                    role: ack.role,
                    durable: ack.durable,
                },
            ),
            Some(error) if error.code == ErrorCode::NoSuchBucket => {
                self.due.remove(&(op.due_us, id));
                return cx.s.reply(op.asker, error); // it was dropped, and this node will hear of it
            }
            Some(error) => {
                op.errors.insert(from, error);
                op.lose(cx, id, from);
            }
        }
        self.keep_or_end(cx, id, op);
    }

    /// Everything up to a batch is fsynced: this node's own copies of these writes are durable.
    pub(crate) fn on_synced(&mut self, cx: &mut Cx<'_>, synced: BatchSeq) {
        let me = cx.s.view.me;
        let ready: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, op)| op.own_batch.is_some_and(|batch| batch <= synced))
            .map(|(&id, _)| id)
            .collect();
        for id in ready {
            let Some(mut op) = self.ops.remove(&id) else {
                continue;
            };
            op.own_batch = None;
            if let Some(ack) = op.tally.ack_of(me) {
                op.tally.ack(
                    me,
                    Ack {
                        durable: true,
                        ..ack
                    },
                );
            }
            self.keep_or_end(cx, id, op);
        }
    }

    pub(crate) fn on_peer_down(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let concerned: Vec<u64> = self
            .ops
            .iter()
            .filter(|(_, op)| {
                op.tally.silent().any(|silent| silent == node) || op.search.awaits(node)
            })
            .map(|(&id, _)| id)
            .collect();
        for id in concerned {
            let Some(mut op) = self.ops.remove(&id) else {
                continue;
            };
            if op.search.awaits(node) {
                op.search.lose(node);
                self.due.remove(&(op.due_us, id));
                self.after_search(cx, id, op);
            } else {
                op.lose(cx, id, node);
                self.keep_or_end(cx, id, op);
            }
        }
    }

    /// A peer answers with a new life: what it was asked before is asked again.
    pub(crate) fn on_peer_restarted(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        for (&id, op) in &mut self.ops {
            if op.search.awaits(node) {
                op.ask_the_restarted(cx, id, node);
            } else if op.tally.silent().any(|silent| silent == node) {
                let hint_for = op.stand_ins.get(&node).copied();
                op.send_to(cx, id, node, hint_for);
            }
        }
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        while let Some(&(due_us, id)) = self.due.first() {
            if due_us > cx.s.now.mono_us {
                break;
            }
            self.due.pop_first();
            let Some(mut op) = self.ops.remove(&id) else {
                continue;
            };
            if op.due_us != due_us {
                self.ops.insert(id, op);
                continue;
            }
            if cx.s.now.mono_us >= op.deadline_us {
                op.give_up(cx);
                continue;
            }
            op.due_us = op.deadline_us;
            if op.search.goes_on() {
                self.search_on(cx, id, op);
            } else {
                op.send_again(cx, id);
                self.keep_or_end(cx, id, op);
            }
        }
    }

    pub(crate) fn forget_asker(&mut self, asker: Asker) {
        self.ops
            .values_mut()
            .filter(|op| op.asker == asker)
            .for_each(|op| op.asker = Asker::Nobody);
    }
}

impl PutOp {
    /// Mints the dot, writes this node's copy, ships the merged object.
    pub(crate) fn write(&mut self, cx: &mut Cx<'_>, id: u64) {
        if self.ask.reads_first {
            return self.read_first(cx);
        }
        let as_primary = cx.s.vnodes.contains_key(&self.place.class);
        let written = if as_primary {
            self.write_own_copy(cx)
        } else {
            self.write_own_hint(cx)
        };
        match written {
            Ok(shipment) => {
                let role = if as_primary {
                    Role::Primary
                } else {
                    Role::Fallback
                };
                self.ship(cx, id, shipment, role);
            }
            Err(error) => {
                let asker = std::mem::replace(&mut self.asker, Asker::Nobody);
                cx.s.reply(asker, error);
            }
        }
    }

    /// A retried delete without a context, of which nobody has seen the first try.
    fn read_first(&mut self, cx: &mut Cx<'_>) {
        let ask = Ask {
            asker: std::mem::replace(&mut self.asker, Asker::Nobody),
            place: self.place.clone(),
            deadline_us: self.deadline_us,
            work: Work::Read(read_first(self.ask.clone())),
        };
        cx.s.local.push_back(Local::Ask(Box::new(ask)));
    }

    fn write_own_copy(&mut self, cx: &mut Cx<'_>) -> Result<Shipment, WireError> {
        let class = self.place.class;
        let loaded = cx.load(&self.place);
        let old = cx
            .watch(class, loaded)
            .map_err(|error| storage_failed(&error))?;
        if self.replaces_all() || cx.s.breaks(Plant::ConcurrentOverwritten) {
            self.ask.seen.join(&old.read_context());
        }
        let mut object = old.clone();
        let loaded = cx.load_bodies(ChunkOwner::Vnode, &self.place, &mut object, |dot| {
            !self.ask.seen.covers(dot)
        });
        cx.watch(class, loaded)
            .map_err(|error| storage_failed(&error))?;
        self.check_room(cx.s, &object)?;
        let Some(dot) = cx.s.mint_dot(class, &object) else {
            return Err(not_here(&self.place));
        };
        let settles = self.write_into(cx, &mut object, dot);
        cx.s.store_object(&self.place, &old, &object);
        let kind = if self.ask.content.is_some() {
            LogKind::Put
        } else {
            LogKind::Delete
        };
        cx.s.log_dot(&self.place, dot, kind, Some(self.ask.request));
        let (object, settles) = self.proven(cx, object, settles);
        Ok(self.shipment(dot, &object, settles))
    }

    /// What others may build on, see [`Cx::load_proven`], and what that settles: of a version that is
    /// held here and left out nothing is said at all.
    fn proven(&self, cx: &Cx<'_>, full: Object, mut settles: Vec<Dot>) -> (Object, Vec<Dot>) {
        let Place { class, bucket, key } = &self.place;
        let Some(vnode) =
            cx.s.vnodes
                .get(class)
                .filter(|vnode| vnode.rebuilding.is_some())
        else {
            return (full, settles);
        };
        settles.retain(|&dot| !full.has(dot) || vnode.has_seen(dot, *bucket, key));
        let mut object = full;
        object
            .versions
            .retain(|version| vnode.has_seen(version.dot, *bucket, key));
        (object, settles)
    }

    fn write_own_hint(&mut self, cx: &mut Cx<'_>) -> Result<Shipment, WireError> {
        let known = cx
            .load_hints(&self.place, true)
            .map_err(|error| storage_failed(&error))?;
        let (mut object, mut before) = known
            .map(|hint| (hint.object, hint.settles))
            .unwrap_or_default();
        if self.replaces_all() {
            self.ask.seen.join(&object.read_context());
        }
        self.check_room(cx.s, &object)?;
        let Some(target) = cx.s.stood_in_for(self.place.class) else {
            return Err(not_here(&self.place));
        };
        let dot = cx.s.mint_fallback_dot(self.place.class, &object, &before);
        let mut settles = self.write_into(cx, &mut object, dot);
        settles.append(&mut before);
        settles.sort_unstable();
        settles.dedup();
        let arrival = Arrival {
            object: object.clone(),
            settles: settles.clone(),
            requests: vec![(self.ask.request, dot)],
        };
        cx.keep_hint(target, &self.place, arrival)
            .map_err(|error| {
                // The dot is never seen; another one by this actor would leave a gap for ever.
                cx.s.fallback_actors.remove(&self.place.class);
                storage_failed(&error)
            })?;
        self.stand_ins.insert(cx.s.view.me, target);
        cx.s.note(Note::FallbackCoordinated);
        Ok(self.shipment(dot, &object, settles))
    }

    /// Whether the write replaces whatever its coordinator holds: a put where the last write is shown. A
    /// delete removes there as well what its writer saw, and no put beside it.
    fn replaces_all(&self) -> bool {
        self.ask.mode == BucketMode::Lww && self.ask.content.is_some()
    }

    /// Replaces what the writer has seen by the new version. Returns exactly the dots settled.
    fn write_into(&self, cx: &mut Cx<'_>, object: &mut Object, dot: Dot) -> Vec<Dot> {
        let seen = &self.ask.seen;
        let mut settles: BTreeSet<Dot> = object.dots().collect();
        settles.insert(dot);
        // Some came by hints, repair or from before the start: the new one's stamp is to be larger.
        for version in &object.versions {
            cx.s.see_stamp(version.stamp);
        }
        object.versions.retain(|version| !seen.covers(version.dot));
        object.context.join(seen);
        if let Some(content) = &self.ask.content {
            let stamp = cx.s.stamp();
            let version = Version {
                dot,
                stamp,
                expires_ms: expiry_of(stamp, self.ask.ttl_ms),
                request: self.ask.request,
                size: content.value.len() as u64,
                body: Body::Whole(content.clone()),
            };
            let at = object.versions.partition_point(|other| other.dot < dot);
            object.versions.insert(at, version);
        }
        settles.into_iter().collect()
    }

    /// Refuses a write that would make a sibling set grow beyond its limits.
    fn check_room(&self, shared: &Shared, object: &Object) -> Result<(), WireError> {
        let Some(content) = &self.ask.content else {
            return Ok(());
        };
        let at_ms = shared.shown_at_ms();
        let kept = object
            .versions
            .iter()
            .filter(|version| !self.ask.seen.covers(version.dot) && !version.has_expired(at_ms));
        let (count, bytes) = kept.fold((0, 0), |(count, bytes), version| {
            (count + 1, bytes + version.size)
        });
        let bytes = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(content.value.len());
        if count < SIBLINGS_MAX && (count == 0 || bytes <= OBJECT_BYTES_MAX) {
            return Ok(());
        }
        Err(WireError::new(
            ErrorCode::TooLarge,
            format!(
                "the key has {count} siblings that this write does not replace, {bytes} bytes with it; the most is {SIBLINGS_MAX} siblings and {OBJECT_BYTES_MAX} bytes: read the key, merge its siblings, and write with the context of that read"
            ),
        ))
    }

    fn shipment(&self, dot: Dot, object: &Object, settles: Vec<Dot>) -> Shipment {
        Shipment {
            dot,
            object: object.to_peer(),
            settles,
            siblings: u32::try_from(object.versions.len()).unwrap_or(u32::MAX),
            seen: seen_by_writer(object, dot),
        }
    }
}

/// When a value expires that was accepted under this stamp, milliseconds since 1970; 0: never.
const fn expiry_of(stamp: u64, ttl_ms: u64) -> u64 {
    if ttl_ms == 0 {
        0
    } else {
        (stamp >> 16).saturating_add(ttl_ms)
    }
}

/// What the writer of `dot` has seen of the object as it is now; see [`Shipment::seen`].
pub(crate) fn seen_by_writer(object: &Object, dot: Dot) -> Option<VersionVector> {
    let alone = object.dots().all(|other| other == dot);
    alone.then(|| {
        let mut seen = object.read_context();
        seen.insert(dot);
        seen
    })
}

pub(crate) fn storage_failed(error: &StoreError) -> WireError {
    WireError::new(
        ErrorCode::StorageFailed,
        format!("{error}; nothing was written by this node: another replica can coordinate"),
    )
    .retry_after(10)
}

fn not_here(place: &Place) -> WireError {
    WireError::new(
        ErrorCode::Unavailable,
        format!("this node holds no replica of {}", place.class),
    )
    .retry_after(50)
}
