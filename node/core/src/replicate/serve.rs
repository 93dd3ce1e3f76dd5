//! Serving coordinators: reads, writes, hints, request ids and listings, as a primary or fallback.

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::client::{Role, SessionNeed};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::{ActorId, Dot};
use quorate_protocol::limits::KEYS_PAGE_MAX;
use quorate_protocol::peer::{
    Denial, FindRequest, FoundRequest, PeerObject, ReplicaAck, ReplicaGet, ReplicaKeyPage,
    ReplicaKeys, ReplicaPut, ReplicaState, Want,
};
use quorate_protocol::versioned::MapVersion;
use quorate_ring::{Class, NodeId};

use crate::causality::{Body, Object, SIBLINGS_HARD_MAX, check_dots};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::record::decode_object;
use crate::record::keys::{self, ChunkOwner};
use crate::shared::{Cx, Shared};
use crate::shelf::{Arrival, Place};
use crate::store::{Family, StoreError};

fn storage_error(error: &StoreError) -> WireError {
    WireError::new(ErrorCode::StorageFailed, error.to_string())
}

pub(super) fn bad_object(error: &impl ToString) -> WireError {
    WireError::new(ErrorCode::Protocol, error.to_string())
}

/// Checks the dots that a peer names beside an object.
pub(super) fn check_arrival(arrival: &Arrival) -> Result<(), WireError> {
    let of_requests = arrival.requests.iter().map(|(_, dot)| dot);
    check_dots(arrival.settles.iter().chain(of_requests)).map_err(|error| bad_object(&error))
}

impl Cx<'_> {
    pub(crate) fn serve_get(&mut self, from: NodeId, get: ReplicaGet) {
        let place = Place {
            class: get.class,
            bucket: get.bucket,
            key: get.key.clone(),
        };
        let most = get.want.dots.len().max(get.seen.len());
        if most > SIBLINGS_HARD_MAX {
            let error = bad_object(&format!(
                "a read that asks for {most} dots; at most {SIBLINGS_HARD_MAX} can be"
            ));
            let error = Some(Box::new(error));
            let refused = ReplicaState {
                error,
                ..self.s.blank_state(get.op, get.class, Role::Primary)
            };
            return self.s.send(from, refused, 0, Priority::Foreground);
        }
        if let Err(error) = self.s.check_kept(get.bucket) {
            let error = Some(Box::new(error));
            let refused = ReplicaState {
                error,
                ..self.s.blank_state(get.op, get.class, Role::Primary)
            };
            return self.s.send(from, refused, 0, Priority::Foreground);
        }
        if self.s.is_fenced(get.class, get.epoch) {
            let mut fenced = self.s.blank_state(get.op, get.class, Role::Primary);
            fenced.catching_up = true;
            return self.s.send(from, fenced, 0, Priority::Foreground);
        }
        let answer = if self.s.vnodes.contains_key(&get.class) {
            let read = self.read_vnode(&place, &get);
            self.watch(get.class, read)
        } else {
            self.read_hints(&place, &get)
        };
        let epoch = self.s.epoch_of_answers(get.class, get.epoch);
        let state = answer.unwrap_or_else(|error| ReplicaState {
            error: Some(Box::new(storage_error(&error))),
            ..self.s.blank_state(get.op, get.class, Role::Primary)
        });
        let state = ReplicaState { epoch, ..state };
        self.s.send(from, state, 0, Priority::Foreground);
    }

    fn read_vnode(&self, place: &Place, get: &ReplicaGet) -> Result<ReplicaState, StoreError> {
        let mut object = self.load(place)?;
        self.load_bodies(ChunkOwner::Vnode, place, &mut object, |dot| {
            wants(&get.want, dot)
        })?;
        strip_bodies(&mut object, &get.want);
        let Some(vnode) = self.s.vnodes.get(&place.class) else {
            return Ok(self.s.blank_state(get.op, get.class, Role::Primary));
        };
        // A damaged vnode has seen what it no longer holds: its word would turn loss into a delete.
        let speaks = |dot: &&Dot| !vnode.damaged && vnode.clock.contains(**dot);
        let seen: Vec<Dot> = get.seen.iter().filter(speaks).copied().collect();
        let dots = vnode.denied(&object, &seen);
        let denial = (!dots.is_empty()).then(|| Denial {
            dots,
            ground: vnode.ground(place.bucket, &place.key).to_wire(),
        });
        // What a session has seen and a disk has lost is in the clock, but nobody knows it.
        let has = |dot: Dot| vnode.clock.contains(dot) && !vnode.is_void(dot);
        let has_all = |&(actor, counter): &(ActorId, u64)| {
            vnode.clock.known_up_to(actor, counter) && has(Dot::new(actor, counter))
        };
        let known = |need: &SessionNeed| {
            need.dots.iter().all(|&dot| has(dot)) && need.up_to.iter().all(has_all)
        };
        // Without a context nothing is left that a delete could stand for, or it was lost.
        let deletes = vnode.deletes_of(place.bucket, &place.key);
        let deletes = deletes.filter(|_| !vnode.damaged && !object.context.is_empty());
        let deletes = deletes.take(SIBLINGS_HARD_MAX).collect();
        Ok(ReplicaState {
            holds: !object.is_empty(),
            object: object.to_peer(),
            catching_up: !vnode.is_current(),
            proven: get
                .prove
                .as_ref()
                .is_some_and(|ground| vnode.proves(ground)),
            seen,
            denial: denial.map(Box::new),
            deletes,
            session_met: !vnode.damaged && get.session.as_ref().is_none_or(known),
            waits_for: self.s.awaited(vnode),
            ..self.s.blank_state(get.op, get.class, Role::Primary)
        })
    }

    fn read_hints(&self, place: &Place, get: &ReplicaGet) -> Result<ReplicaState, StoreError> {
        let Some(mut hint) = self.load_hints(place, true)? else {
            return Ok(self.s.blank_state(get.op, get.class, Role::Fallback));
        };
        strip_bodies(&mut hint.object, &get.want);
        let known = |need: &SessionNeed| {
            need.up_to.is_empty() && need.dots.iter().all(|dot| hint.settles.contains(dot))
        };
        Ok(ReplicaState {
            holds: true,
            object: hint.object.to_peer(),
            seen: get
                .seen
                .iter()
                .filter(|dot| hint.settles.contains(dot))
                .copied()
                .collect(),
            deletes: hint
                .settles
                .iter()
                .filter(|dot| !hint.object.has(**dot))
                .take(SIBLINGS_HARD_MAX)
                .copied()
                .collect(),
            session_met: get.session.as_ref().is_none_or(known),
            ..self.s.blank_state(get.op, get.class, Role::Fallback)
        })
    }

    pub(crate) fn serve_put(&mut self, from: NodeId, put: ReplicaPut) {
        let (op, durable, repair) = (put.op, put.durable, put.repair);
        let role = if put.hint_for.is_some() && !self.s.breaks(Plant::FallbackAsPrimary) {
            Role::Fallback
        } else {
            Role::Primary
        };
        if self.s.is_fenced(put.class, put.epoch) {
            let epoch = self.s.view.epoch(put.class);
            if !repair {
                let ack = ReplicaAck {
                    op,
                    epoch,
                    role,
                    durable: false,
                    overlooked: false,
                    error: Some(stale(put.epoch, epoch)),
                };
                self.s.send(from, ack, 0, Priority::Foreground);
            }
            return;
        }
        let (class, of) = (put.class, put.request.filter(|_| put.hint_for.is_none()));
        let epoch = self.s.epoch_of_answers(class, put.epoch);
        let result = self.store_put(put);
        if repair {
            return; // read repair is acknowledged to nobody
        }
        let (overlooked, error) = match result {
            Ok(overlooked) => (overlooked, None),
            Err(error) => (false, Some(error)),
        };
        if let (Some(error), Some((_, dot))) = (&error, of) {
            self.take_note_of_refusal(from, class, dot, error.code);
        }
        let stored = error.is_none();
        let ack = ReplicaAck {
            op,
            epoch,
            role,
            durable: durable && stored,
            overlooked,
            error,
        };
        if durable && stored && !self.s.breaks(Plant::DurableTooEarly) {
            self.s.send_synced(from, ack, Priority::Foreground);
        } else {
            self.s.send(from, ack, 0, Priority::Foreground);
        }
    }

    /// A write that was refused although nothing is wrong with it is missed from now on.
    fn take_note_of_refusal(&mut self, from: NodeId, class: Class, dot: Dot, code: ErrorCode) {
        let sound = matches!(
            code,
            ErrorCode::StorageFailed | ErrorCode::ClockAhead | ErrorCode::Unavailable
        );
        if sound && check_dots([&dot]).is_ok() {
            self.s.refused(from, class, dot);
        }
    }

    /// Stores what was sent. Returns whether its coordinator seems to have lost an earlier write of its own.
    fn store_put(&mut self, put: ReplicaPut) -> Result<bool, WireError> {
        let place = Place {
            class: put.class,
            bucket: put.bucket,
            key: put.key,
        };
        self.s.check_peers_place(&place)?;
        self.s.check_kept(place.bucket)?;
        if !self.s.writable {
            return Err(WireError::new(
                ErrorCode::StorageFailed,
                "this node's disk takes no writes at present",
            ));
        }
        let mut object = Object::from_peer(put.object).map_err(|error| bad_object(&error))?;
        if self.s.breaks(Plant::ExpiryByArrival) {
            self.s.count_anew(&mut object);
        }
        let ahead = object
            .versions
            .iter()
            .filter(|version| self.s.see_stamp(version.stamp))
            .count();
        if ahead > 0 && !put.repair {
            return Err(WireError::new(
                ErrorCode::ClockAhead,
                "the coordinator's time stamp lies more than 1 s ahead of this node's clock: set the clocks",
            ));
        }
        let requests = put.request.into_iter().collect();
        let arrival = Arrival::new(object, put.settles, requests);
        check_arrival(&arrival)?;
        let stored = match put.hint_for {
            Some(target) if target == self.s.view.me || !self.s.is_member(target, place.class) => {
                return Err(WireError::new(
                    ErrorCode::StaleRing,
                    format!(
                        "{target} is not another node that holds {} under ring {}: nothing is kept for it here",
                        place.class,
                        self.s.view.map().ring.version()
                    ),
                ));
            }
            Some(_) if self.s.breaks(Plant::HintAckedUnstored) => Ok(false),
            Some(target) => self.keep_hint(target, &place, arrival).map(|()| false),
            None if self.s.vnodes.contains_key(&place.class) => {
                self.s.keep_promise(place.class, &arrival)?;
                if let Some((_, dot)) = put.request.filter(|_| !put.repair) {
                    self.refuse_folded(&place, dot)?;
                }
                let applied = self.apply(&place, arrival);
                if put.repair && applied.as_ref().is_ok_and(|applied| applied.at_a_loss) {
                    self.s.doubt(place.class);
                }
                applied.map(|applied| put.request.is_some_and(|(_, dot)| applied.overlooks(dot)))
            }
            None => {
                return Err(WireError::new(
                    ErrorCode::StaleRing,
                    format!(
                        "this node is no primary of {} under ring {}",
                        place.class,
                        self.s.view.map().ring.version()
                    ),
                ));
            }
        };
        stored.map_err(|error| storage_error(&error))
    }

    pub(crate) fn serve_find(&mut self, from: NodeId, find: FindRequest) {
        let place = Place {
            class: find.class,
            bucket: find.bucket,
            key: find.key,
        };
        let blank = FoundRequest {
            op: find.op,
            dot: None,
            object: PeerObject::default(),
            settles: Vec::new(),
            error: None,
        };
        let first_try = if find.whole {
            self.first_try(&place, find.request)
                .map(|found| found.map(|found| (found.dot, found.object.to_peer(), found.settles)))
        } else {
            self.first_dot(&place, find.request)
                .map(|dot| dot.map(|dot| (dot, PeerObject::default(), Vec::new())))
        };
        let found = match first_try {
            Ok(None) => blank,
            Ok(Some((dot, object, settles))) => FoundRequest {
                dot: Some(dot),
                object,
                settles,
                ..blank
            },
            Err(error) => FoundRequest {
                error: Some(storage_error(&error)),
                ..blank
            },
        };
        self.s.send(from, found, 0, Priority::Foreground);
    }

    pub(crate) fn serve_keys(&mut self, from: NodeId, ask: ReplicaKeys) {
        let blank = ReplicaKeyPage {
            op: ask.op,
            keys: Vec::new(),
            more: false,
            catching_up: false,
            error: None,
        };
        let fenced = self.s.is_fenced(ask.class, ask.epoch);
        let page = match self.s.vnodes.get(&ask.class) {
            _ if self.s.view.has_dropped(ask.bucket) => ReplicaKeyPage {
                error: self.s.check_kept(ask.bucket).err(),
                ..blank
            },
            Some(_) if fenced => ReplicaKeyPage {
                error: Some(stale(ask.epoch, self.s.view.epoch(ask.class))),
                ..blank
            },
            None => ReplicaKeyPage {
                error: Some(WireError::new(
                    ErrorCode::StaleRing,
                    "this node is no primary of that partition",
                )),
                ..blank
            },
            Some(vnode) => {
                let catching_up = !vnode.is_current();
                match self.list(&ask) {
                    Ok((keys, more)) => ReplicaKeyPage {
                        keys,
                        more,
                        catching_up,
                        ..blank
                    },
                    Err(error) => ReplicaKeyPage {
                        error: Some(storage_error(&error)),
                        ..blank
                    },
                }
            }
        };
        self.s.send(from, page, 0, Priority::Foreground);
    }

    /// Keys with at least one version that has not expired, after the one given. A page ends early where many deleted
    /// keys lie between.
    fn list(&self, ask: &ReplicaKeys) -> Result<(Vec<Bytes>, bool), StoreError> {
        let limit = usize::try_from(ask.limit)
            .unwrap_or(KEYS_PAGE_MAX)
            .clamp(1, KEYS_PAGE_MAX);
        let (mut from, to) = keys::object_range(ask.class, ask.bucket);
        if let Some(after) = &ask.after {
            from = keys::object_key(ask.class, ask.bucket, after);
            from.push(0);
        }
        let (mut found, mut more) = (Vec::new(), false);
        let at_ms = self.s.shown_at_ms();
        self.scan(Family::Objects, (from, to), |storage_key, record| {
            let Some((_, _, key)) = keys::parse_object_key(storage_key) else {
                return ControlFlow::Continue(());
            };
            // An unreadable record is a key all the same: reading it will tell.
            let live =
                decode_object(storage_key, record).map_or(true, |object| object.is_visible(at_ms));
            if !live {
                return ControlFlow::Continue(());
            }
            if found.len() == limit {
                more = true;
                return ControlFlow::Break(());
            }
            found.push(Bytes::copy_from_slice(key));
            ControlFlow::Continue(())
        })?;
        Ok((found, more))
    }
}

fn wants(want: &Want, dot: Dot) -> bool {
    want.all || want.dots.contains(&dot)
}

fn strip_bodies(object: &mut Object, want: &Want) {
    for version in object
        .versions
        .iter_mut()
        .filter(|version| !wants(want, version.dot))
    {
        version.body = Body::Absent;
    }
}

/// A question or write of another epoch.
fn stale(theirs: MapVersion, ours: MapVersion) -> WireError {
    let (behind, of) = if theirs < ours {
        ("the coordinator", theirs)
    } else {
        ("this node", ours)
    };
    WireError::new(
        ErrorCode::StaleRing,
        format!("{behind} still works under version {of} of the cluster map, in which this partition stood elsewhere"),
    )
    .retry_after(50)
}

/// An answer that says nothing yet.
pub(crate) fn blank_state(op: u64, epoch: MapVersion, role: Role) -> ReplicaState {
    ReplicaState {
        op,
        epoch,
        role,
        object: PeerObject::default(),
        holds: false,
        catching_up: false,
        seen: Vec::new(),
        denial: None,
        proven: false,
        deletes: Vec::new(),
        session_met: false,
        error: None,
        waits_for: Vec::new(),
    }
}

impl Shared {
    fn blank_state(&self, op: u64, class: Class, role: Role) -> ReplicaState {
        blank_state(op, self.view.epoch(class), role)
    }

    /// Under which epoch a request is answered.
    fn epoch_of_answers(&self, class: Class, asked: MapVersion) -> MapVersion {
        if self.breaks(Plant::FenceOpen) {
            return asked;
        }
        self.view.epoch(class)
    }

    /// Whether a request works under another epoch than this node.
    fn is_fenced(&mut self, class: Class, epoch: MapVersion) -> bool {
        let fenced = epoch != self.view.epoch(class) && !self.breaks(Plant::FenceOpen);
        if fenced {
            self.note(Note::Fenced);
        }
        fenced
    }

    /// Whether a peer is a member of a class: only members are told clocks and dots.
    pub(crate) fn is_member(&self, node: NodeId, class: Class) -> bool {
        self.view.is_member(class, node)
    }
}
