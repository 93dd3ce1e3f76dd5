//! The sender's side: a page of objects or of the dot log. It remembers nothing between pages.

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::{Dot, TransferId};
use quorate_protocol::limits::{BATCH_BYTES, BATCH_ITEMS_MAX};
use quorate_protocol::peer::{
    SettledObject, SnapshotAsk, SnapshotEntry, SnapshotPage, SnapshotPlace,
};
use quorate_ring::{Class, NodeId};

use super::sift::rest_of;
use super::spans::are_sound;
use super::take::page_bytes;
use crate::effects::{Effect, Priority, TransferNews, TransferStep};
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner};
use crate::record::{KeyPlace, LogKind, decode_log};
use crate::shared::Cx;
use crate::shelf::{Place, damaged};
use crate::store::{Family, StoreError};
use crate::vnode::Vnode;

/// Bytes that a log entry takes beside its key.
const ENTRY_BYTES: usize = 64;

impl Cx<'_> {
    /// Hands over a page, or says why not.
    pub(crate) fn answer_snapshot(&mut self, from: NodeId, ask: &SnapshotAsk) {
        let now_us = self.s.now.mono_us;
        if !self.s.is_member(from, ask.class) {
            return;
        }
        let gone =
            !self.s.vnodes.contains_key(&ask.class) && !self.s.breaks(Plant::FilledByTheGone);
        let dropped = self.s.view.version.dropped;
        let Some(vnode) = self.s.held_mut(ask.class) else {
            return;
        };
        // From here on nothing is dropped any more because the asker had it once.
        vnode.meet_storage(from, ask.asker, now_us);
        let mut page = SnapshotPage {
            class: ask.class,
            number: ask.number,
            storage: vnode.storage,
            clock: vnode.durable.to_wire(),
            voids: Box::default(),
            same: Box::default(),
            objects: Vec::new(),
            entries: Vec::new(),
            pause_ms: 0,
            next: None,
            dropped,
            error: refusal(vnode, ask, gone).map(Box::new),
        };
        if page.error.is_none() {
            let filled = if let Some(names) = &ask.names {
                self.fill_names(&mut page, names, ask.place.key.as_ref())
            } else if ask.place.log {
                self.fill_log(&mut page, ask.place.dot)
            } else if ask.spans.is_empty() || !are_sound(&ask.spans, ask.place.key.as_ref()) {
                self.fill_objects(&mut page, ask.place.key.as_ref())
            } else {
                self.fill_differing(&mut page, ask.place.key.as_ref(), &ask.spans)
            };
            if let Err(error) = self.watch(ask.class, filled) {
                page.objects.clear();
                page.entries.clear();
                let error = WireError::new(ErrorCode::StorageFailed, error.to_string());
                page.error = Some(Box::new(error));
            }
        }
        let ends = page.error.is_none() && page.next.is_none();
        if let Some(vnode) = self.s.held(ask.class).filter(|_| ends) {
            page.voids = vnode.voids.to_wire().into();
        }
        self.tell_of_sending(from, ask, &page);
        if page.error.is_none() {
            let now_us = self.s.now.mono_us;
            page.pause_ms = self.s.throttle.handed_out(page_bytes(&page), now_us);
        }
        self.s.send(from, page, 0, Priority::Background);
    }

    /// Both ends log the beginning and the end of a transfer.
    fn tell_of_sending(&mut self, to: NodeId, ask: &SnapshotAsk, page: &SnapshotPage) {
        let step = if ask.names.is_some() || page.error.is_some() {
            return; // a comparison of ranges
        } else if ask.storage.is_none() {
            TransferStep::Sends
        } else if page.next.is_none() {
            TransferStep::Sent
        } else {
            return;
        };
        self.s.perform(Effect::Transfer(TransferNews {
            id: TransferId::of(page.storage, ask.asker),
            class: ask.class,
            peer: Some(to),
            step,
        }));
    }

    fn fill_objects(
        &self,
        page: &mut SnapshotPage,
        after: Option<&KeyPlace>,
    ) -> Result<(), StoreError> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        let mut more = false;
        self.scan(
            Family::Objects,
            rest_of(page.class, after),
            |key, record| {
                if found.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
                    more = true;
                    return ControlFlow::Break(());
                }
                bytes += key.len() + record.len();
                found.push(key.to_vec());
                ControlFlow::Continue(())
            },
        )?;
        let (mut last, mut bytes) = (None, 0);
        for key in found {
            let Some((class, bucket, name)) = keys::parse_object_key(&key) else {
                continue;
            };
            if bytes >= BATCH_BYTES as u64 {
                more = true; // long values lie elsewhere and were not counted by the scan
                break;
            }
            let key = Bytes::copy_from_slice(name);
            last = Some((bucket, key.clone()));
            if let Some(object) = self.handed_over(Place { class, bucket, key })? {
                let versions = object.object.versions.iter();
                bytes += versions.map(|version| version.size).sum::<u64>();
                page.objects.push(object);
            }
        }
        page.next = Some(Box::new(SnapshotPlace {
            log: !more,
            key: last.filter(|_| more),
            dot: None,
        }));
        Ok(())
    }

    /// An object with the dots that it settles for certain: those that it holds, and the deletes that
    /// its context stands for.
    pub(crate) fn handed_over(&self, place: Place) -> Result<Option<SettledObject>, StoreError> {
        let mut object = self.load(&place)?;
        if object.is_empty() {
            return Ok(None);
        }
        self.load_bodies(ChunkOwner::Vnode, &place, &mut object, |_| true)?;
        let mut settles: Vec<Dot> = object.dots().collect();
        if let Some(vnode) = self.s.held(place.class) {
            settles.extend(vnode.deletes_of(place.bucket, &place.key));
        }
        settles.sort_unstable();
        settles.dedup();
        Ok(Some(SettledObject {
            bucket: place.bucket,
            key: place.key,
            object: object.to_peer(),
            settles,
            requests: Vec::new(),
        }))
    }

    fn fill_log(&self, page: &mut SnapshotPage, after: Option<Dot>) -> Result<(), StoreError> {
        let (mut from, to) = keys::log_range(page.class);
        if let Some(dot) = after {
            from = keys::log_key(page.class, dot);
            from.push(0);
        }
        let mut found: Vec<(Dot, Vec<u8>, Bytes)> = Vec::new();
        let (mut bytes, mut more) = (0, false);
        self.scan(Family::Log, (from, to), |key, record| {
            if found.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
                more = true;
                return ControlFlow::Break(());
            }
            bytes += record.len() + ENTRY_BYTES;
            let entry = keys::parse_log_key(key);
            found.extend(entry.map(|(_, dot)| (dot, key.to_vec(), Bytes::copy_from_slice(record))));
            ControlFlow::Continue(())
        })?;
        for (dot, key, record) in &found {
            let entry = decode_log(key, record).map_err(|error| damaged(Family::Log, &error))?;
            page.entries.push(SnapshotEntry {
                dot: *dot,
                bucket: entry.bucket,
                key: entry.key,
                delete: entry.kind == LogKind::Delete,
                request: entry.request,
                at_ms: entry.at_ms,
            });
        }
        let last = found.last().map(|(dot, _, _)| *dot);
        let next = last.filter(|_| more).map(|dot| SnapshotPlace {
            log: true,
            key: None,
            dot: Some(dot),
        });
        page.next = next.map(Box::new);
        Ok(())
    }
}

fn refusal(vnode: &Vnode, ask: &SnapshotAsk, gone: bool) -> Option<WireError> {
    let why = if ask.current && gone {
        "this replica has no place any more, and does not know what came since"
    } else if !vnode.is_true() {
        "this replica has lost something itself"
    } else if !vnode.filling_is_durable() {
        "this replica was just filled itself, and has not fsynced that yet"
    } else if ask.current && !vnode.is_current() {
        "this replica is catching up itself"
    } else if ask.storage.is_some_and(|storage| storage != vnode.storage) {
        "this replica has another storage than at the start of the transfer"
    } else {
        return None;
    };
    let class: Class = ask.class;
    Some(WireError::new(
        ErrorCode::Unavailable,
        format!("{why}, and cannot fill another one of {class}"),
    ))
}
