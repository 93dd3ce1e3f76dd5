//! Reading and writing a vnode's objects: the only place where an object, its dots and the clock
//! change, always in one batch.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_protocol::ids::{Dot, RequestId};
use quorate_ring::{BucketId, Class, NodeId};

use crate::causality::{Body, Digest, Object, Version};
use crate::causality::{Merged, merge};
use crate::effects::Note;
use crate::plant::Plant;
use crate::record::keys::{self, ChunkOwner};
use crate::record::{
    LogKind, LogRecord, RebuildStage, RecordError, RequestRecord, assemble, decode_object,
    encode_log, encode_object, encode_request, encode_vnode,
};
use crate::shared::{Cx, Shared};
use crate::store::{Family, StoreError};

/// Where a key lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) class: Class,
    pub(crate) bucket: BucketId,
    pub(crate) key: Bytes,
}

impl Place {
    pub(crate) fn object_key(&self) -> Vec<u8> {
        keys::object_key(self.class, self.bucket, &self.key)
    }
}

/// An object that arrives, with exactly the dots that it settles.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) object: Object,
    pub(crate) settles: Vec<Dot>,
    pub(crate) requests: Vec<(RequestId, Dot)>,
}

impl Arrival {
    /// A version that comes along is settled by that: who holds it has applied its write, and says so.
    pub(crate) fn new(
        object: Object,
        mut settles: Vec<Dot>,
        requests: Vec<(RequestId, Dot)>,
    ) -> Self {
        let named: BTreeSet<Dot> = settles.iter().copied().collect();
        settles.extend(object.dots().filter(|dot| !named.contains(dot)));
        Self {
            object,
            settles,
            requests,
        }
    }
}

/// What became of an arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The versions held changed.
    pub(crate) changed: bool,
    /// Dots that were new here.
    pub(crate) new_dots: usize,
    /// It brought what was seen here, is not held, and nothing says why.
    pub(crate) at_a_loss: bool,
    /// Versions that are held now, did not come along, and do not expire.
    pub(crate) beside: Vec<Dot>,
}

pub(crate) fn damaged(family: Family, error: &RecordError) -> StoreError {
    StoreError::Damaged {
        family: family.name(),
        detail: error.to_string(),
    }
}

impl Cx<'_> {
    /// This node's copy of a key: an empty object if it certainly has none. Long values stay in
    /// their pieces.
    pub(crate) fn load(&self, place: &Place) -> Result<Object, StoreError> {
        let key = place.object_key();
        match self.get(Family::Objects, &key)? {
            None => Ok(Object::default()),
            Some(bytes) => {
                decode_object(&key, &bytes).map_err(|error| damaged(Family::Objects, &error))
            }
        }
    }

    /// This node's copy of a key as others may build on it. While a vnode is rebuilt, a version that it
    /// held before may have been superseded by writes that it has forgotten: until the sender's clock
    /// has judged it, it goes to nobody as something to keep.
    pub(crate) fn load_proven(&self, place: &Place) -> Result<Object, StoreError> {
        let mut object = self.load(place)?;
        if let Some(vnode) = self.s.held(place.class)
            && vnode.rebuilding.is_some()
        {
            object
                .versions
                .retain(|version| vnode.has_seen(version.dot, place.bucket, &place.key));
        }
        Ok(object)
    }

    /// Puts the pieces of long values together, for the versions wanted.
    pub(crate) fn load_bodies(
        &self,
        owner: ChunkOwner,
        place: &Place,
        object: &mut Object,
        wanted: impl Fn(Dot) -> bool,
    ) -> Result<(), StoreError> {
        for version in object
            .versions
            .iter_mut()
            .filter(|version| wanted(version.dot))
        {
            self.load_body(owner, place, version)?;
        }
        Ok(())
    }

    pub(crate) fn load_body(
        &self,
        owner: ChunkOwner,
        place: &Place,
        version: &mut Version,
    ) -> Result<(), StoreError> {
        let Body::Chunked { pieces, .. } = version.body else {
            return Ok(());
        };
        let mut found = Vec::new();
        for piece in 0..pieces {
            let key = keys::chunk_key(owner, place.class, place.bucket, version.dot, piece);
            let bytes = self
                .get(Family::Chunks, &key)?
                .ok_or_else(|| StoreError::Damaged {
                    family: Family::Chunks.name(),
                    detail: format!(
                        "piece {piece} of {pieces} of the value {} is missing",
                        version.dot
                    ),
                })?;
            found.push(bytes);
        }
        let content = assemble(version, &found).map_err(|error| damaged(Family::Chunks, &error))?;
        version.body = Body::Whole(content);
        Ok(())
    }

    /// Like an operation's result, but a sign of damage marks the vnode first.
    pub(crate) fn watch<T>(
        &mut self,
        class: Class,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged { .. }) = &result {
            self.s.mark_damaged(class);
        }
        result
    }

    /// Merges an arrival into the vnode's copy: object, dots, log and clock in one batch.
    ///
    /// The vnode must exist. On an error nothing was changed.
    pub(crate) fn apply(
        &mut self,
        place: &Place,
        mut arrival: Arrival,
    ) -> Result<Applied, StoreError> {
        let Some(vnode) = self.s.vnodes.get(&place.class) else {
            return Err(StoreError::Failed(format!(
                "no vnode of class {} here",
                place.class
            )));
        };
        if arrival.leave_voids_out(vnode) {
            // What its context says may come from a write that is none.
            let mixed = arrival.has_news(vnode);
            self.s.note(Note::Superseded);
            return if mixed {
                Err(StoreError::Failed(
                    "it is mixed with a write that all members know to be lost".to_owned(),
                ))
            } else {
                Ok(Applied::default())
            };
        }
        let news: Vec<Dot> = arrival
            .settles
            .iter()
            .copied()
            .filter(|&dot| !vnode.clock.contains(dot))
            .filter(|&dot| arrival.object.has(dot) || !self.s.breaks(Plant::SettlesIgnored))
            .collect();
        let loaded = self.load(place);
        let local = self.watch(place.class, loaded)?;
        let at_a_loss = self.s.vnodes.get(&place.class).is_some_and(|vnode| {
            let mut versions = arrival.object.versions.iter();
            versions.any(|version| {
                vnode.clock.contains(version.dot) && vnode.is_at_a_loss(&local, version)
            })
        });
        let merged = self.merged(place, &local, &arrival, &news);
        let too_many = merged.object.versions.len() > 2;
        if too_many && self.s.breaks(Plant::SiblingLimitStopsRepair) {
            return Err(StoreError::Failed("too many siblings".to_owned()));
        }
        let kept = merged.object.versions.iter();
        let others = kept.filter(|version| !arrival.object.has(version.dot) && !version.expires());
        let beside = others.map(|version| version.dot).collect();
        let versions_changed = !merged.object.dots().eq(local.dots());
        let worth_storing = merged.changed && (versions_changed || !news.is_empty());
        if worth_storing && !self.s.breaks(Plant::ClockWithoutObject) {
            let expired = self.expired_elsewhere(place, &local, &merged.object)?;
            self.s.store_object(place, &local, &merged.object);
            self.log_as_deletes(place, expired);
        }
        for &dot in &news {
            let request = arrival
                .requests
                .iter()
                .find(|(_, of)| *of == dot)
                .map(|(request, _)| *request);
            self.s
                .log_dot(place, dot, kind_of(&merged.object, dot), request);
        }
        Ok(Applied {
            changed: versions_changed,
            new_dots: news.len(),
            at_a_loss,
            beside,
        })
    }

    /// The vnode's copy as an arrival leaves it, of whose dots these are news.
    fn merged(&mut self, place: &Place, local: &Object, arrival: &Arrival, news: &[Dot]) -> Merged {
        let Some(vnode) = self.s.vnodes.get(&place.class) else {
            return Merged::default();
        };
        let mut merged = merge(
            local,
            &|dot| vnode.has_seen(dot, place.bucket, &place.key),
            &arrival.object,
            &arrival.settles,
        );
        let known = vnode.clock.covers_context(&arrival.object.context);
        if !merged.discarded.is_empty() {
            self.s.note(Note::Superseded);
        }
        if self.s.drop_late(place, local, &mut merged.object) {
            merged.changed = merged.object != *local;
        }
        // Without a new dot or version a context of which all is known here is not stored again: it may have
        // been dropped for good, and nothing would come to drop it a second time.
        if news.is_empty() && known && !grows(local, &merged.object) {
            merged.object.context = local.context.clone();
        }
        merged
    }
}

/// Whether a merged object has a version that the local one had not.
pub(crate) fn grows(local: &Object, merged: &Object) -> bool {
    merged.dots().any(|dot| !local.has(dot))
}

/// What a dot that came with an object was: a delete is neither held nor covered by the context, nor
/// is a write whose value expired.
pub(crate) fn kind_of(object: &Object, dot: Dot) -> LogKind {
    if object.has(dot) || object.context.covers(dot) {
        LogKind::Merged
    } else {
        LogKind::Delete
    }
}

impl Shared {
    /// Writes `new` as the vnode's copy in place of `old`, and removes the pieces of values that
    /// are no longer in it.
    ///
    /// Nothing is stored of a bucket that was dropped, whoever brings it.
    pub(crate) fn store_object(&mut self, place: &Place, old: &Object, new: &Object) {
        let nothing = Object::default();
        let new = if self.takes(place.bucket) {
            new
        } else {
            &nothing
        };
        self.count_object(place, old, new);
        self.write_object(place, old, new);
    }

    /// As [`Self::store_object`], of what the digest counts already: a record that was lost without a sign.
    pub(crate) fn put_back(&mut self, place: &Place, old: &Object, new: &Object) {
        if !self.takes(place.bucket) {
            return;
        }
        if let Some(vnode) = self.vnodes.get_mut(&place.class) {
            vnode.pass = None; // it has counted what was there before; a new one follows
            let (bucket, key) = (place.bucket, &place.key);
            vnode.put_back.take(Digest::of_object(bucket, key, old));
            vnode.put_back.add(Digest::of_object(bucket, key, new));
        }
        self.write_object(place, old, new);
    }

    fn write_object(&mut self, place: &Place, old: &Object, new: &Object) {
        let key = place.object_key();
        if new.is_empty() {
            self.delete(Family::Objects, key);
        } else {
            let (record, pieces) = encode_object(&key, new);
            self.put_chunks(ChunkOwner::Vnode, place, pieces);
            self.put(Family::Objects, key, record);
        }
        self.delete_chunks(ChunkOwner::Vnode, place, old, new);
        self.note_expiries(place, old, new);
    }

    /// Stores the pieces of long values.
    pub(crate) fn put_chunks(
        &mut self,
        owner: ChunkOwner,
        place: &Place,
        pieces: Vec<(Dot, u32, Bytes)>,
    ) {
        for (dot, piece, bytes) in pieces {
            if owner == ChunkOwner::Vnode
                && let Some(owners) = self.piece_owners.get_mut(&place.class)
            {
                owners.insert((place.bucket, dot));
            }
            self.put(
                Family::Chunks,
                keys::chunk_key(owner, place.class, place.bucket, dot, piece),
                bytes,
            );
        }
    }

    /// Removes the pieces of `old`'s long values that `new` does not hold.
    pub(crate) fn delete_chunks(
        &mut self,
        owner: ChunkOwner,
        place: &Place,
        old: &Object,
        new: &Object,
    ) {
        for version in old.versions.iter().filter(|version| !new.has(version.dot)) {
            let Body::Chunked { pieces, .. } = version.body else {
                continue;
            };
            for piece in 0..pieces {
                self.delete(
                    Family::Chunks,
                    keys::chunk_key(owner, place.class, place.bucket, version.dot, piece),
                );
            }
        }
    }

    /// Adds a dot to the vnode's clock and log, and remembers the request behind it.
    pub(crate) fn log_dot(
        &mut self,
        place: &Place,
        dot: Dot,
        kind: LogKind,
        request: Option<RequestId>,
    ) {
        let at_ms = self.now.wall_ms;
        let seq = self.step_seq();
        let Some(vnode) = self.vnodes.get_mut(&place.class) else {
            return;
        };
        if !vnode.apply_dot(dot) {
            return;
        }
        vnode.logged(&place.key);
        if let Some(pass) = &mut vnode.pass {
            pass.entry_comes(dot);
        }
        match kind {
            LogKind::Delete => vnode.remember_delete(dot, place.bucket, place.key.clone()),
            LogKind::Put | LogKind::Merged => {}
        }
        if self.planted.contains(&Plant::DurableBeforeFsync) {
            vnode.durable.add(dot);
        }
        self.unsynced.push_back((seq, place.class, dot));
        let key = keys::log_key(place.class, dot);
        let record = LogRecord {
            bucket: place.bucket,
            key: place.key.clone(),
            kind,
            request,
            at_ms,
        };
        let bytes = encode_log(&key, &record);
        self.put(Family::Log, key, bytes);
        if let Some(request) = request.filter(|_| self.takes(place.bucket)) {
            let key = keys::request_key(place.class, request);
            let record = RequestRecord {
                dot,
                bucket: place.bucket,
                key: place.key.clone(),
                at_ms,
            };
            let bytes = encode_request(&key, &record);
            self.put(Family::Requests, key, bytes);
            self.fresh_requests.push((place.class, request));
        }
    }

    /// Removes a log entry. The clock must be stored in the same step: the log alone has what came since.
    pub(crate) fn drop_log_entry(&mut self, place: &Place, dot: Dot) {
        self.delete(Family::Log, keys::log_key(place.class, dot));
        if let Some(vnode) = self.vnodes.get_mut(&place.class) {
            vnode.unlogged(dot, place.bucket, &place.key);
        }
    }

    /// Writes the vnode's record with its clock as it is now.
    pub(crate) fn store_vnode(&mut self, class: Class) {
        let Some(vnode) = self.held(class) else {
            return;
        };
        let key = keys::vnode_key(class);
        let bytes = encode_vnode(&key, &vnode.record());
        self.put(Family::Vnodes, key, bytes);
    }

    /// Something of the vnode's own is unreadable: from now on its absences count for nothing.
    ///
    /// A vnode that is being sifted is just about to find that out by itself.
    pub(crate) fn mark_damaged(&mut self, class: Class) {
        let Some(vnode) = self.held_mut(class) else {
            return;
        };
        let stage = vnode
            .rebuilding
            .as_ref()
            .map(|rebuilding| &rebuilding.stage);
        if matches!(stage, Some(RebuildStage::Sifting { .. })) {
            return;
        }
        if !std::mem::replace(&mut vnode.damaged, true) {
            vnode.revision += 1;
            self.note(Note::DamageFound);
            self.store_vnode(class);
        }
    }

    /// The members of a class: those that are written, this node included where it is one.
    pub(crate) fn members(&self, class: Class) -> Vec<NodeId> {
        self.view.members(class)
    }
}
