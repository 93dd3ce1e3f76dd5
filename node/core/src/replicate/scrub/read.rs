//! Reading one page of a pass.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use quorate_protocol::ids::Dot;
use quorate_protocol::limits::BATCH_ITEMS_MAX;
use quorate_ring::{Class, NodeId};

use super::pass::Stage;
use crate::causality::{Body, Digest, Object};
use crate::effects::Note;
use crate::record::keys::{self, ChunkOwner, KeyRange};
use crate::record::{KeyPlace, decode_hint, decode_log, decode_object};
use crate::shared::{Cx, Shared};
use crate::shelf::{Place, damaged};
use crate::store::{Family, StoreError};

/// What a look at a vnode costs beside what it reads.
const LOOK_BYTES: u64 = 64;

/// Records in order, and whether they are all of their range.
pub(in crate::replicate) struct Records {
    pub(in crate::replicate) found: BTreeMap<Vec<u8>, Bytes>,
    pub(in crate::replicate) all: bool,
    bytes: u64,
}

impl Cx<'_> {
    /// Reads on where the vnode's pass stands. Returns how many bytes were read, about.
    pub(super) fn scrub_page(&mut self, class: Class, most: u64) -> u64 {
        let pass = self
            .s
            .vnodes
            .get(&class)
            .and_then(|vnode| vnode.pass.as_ref());
        let Some(stage) = pass.map(|pass| pass.stage().clone()) else {
            return 0;
        };
        let read = match stage {
            Stage::Objects(after) => self.scrub_objects(class, after.as_ref(), most),
            Stage::Log(after) => self.scrub_log(class, after, most),
            Stage::Hints(after) => self.scrub_hints(class, after, most),
        };
        match self.watch(class, read) {
            Ok(bytes) => bytes + LOOK_BYTES,
            Err(StoreError::Damaged { .. }) => {
                self.s.found_bad(class);
                LOOK_BYTES
            }
            // Storage gives no answer: tried again at the next tick.
            Err(StoreError::Failed(_)) => most,
        }
    }

    fn scrub_objects(
        &mut self,
        class: Class,
        after: Option<&KeyPlace>,
        most: u64,
    ) -> Result<u64, StoreError> {
        let range = crate::replicate::rebuild::rest_of(class, after);
        let records = self.records_between(Family::Objects, range, most)?;
        let droppable = self.droppable(class);
        let mut bytes = 0;
        for (key, record) in &records.found {
            let Some((_, bucket, name)) = keys::parse_object_key(key) else {
                continue;
            };
            let object = decode_object(key, record).map_err(|e| damaged(Family::Objects, &e))?;
            let place = Place {
                class,
                bucket,
                key: Bytes::copy_from_slice(name),
            };
            bytes += (key.len() + record.len()) as u64;
            for version in &object.versions {
                if matches!(version.body, Body::Chunked { .. }) {
                    bytes += version.size;
                    self.load_body(ChunkOwner::Vnode, &place, &mut version.clone())?;
                }
            }
            bytes += self.scrub_expiries(&place, &object)?;
            let part = Digest::of_object(bucket, name, &object);
            if let Some(common) = droppable.as_ref().filter(|_| !object.context.is_empty()) {
                // Its log entry, which would come to this, may have been lost.
                self.drop_context(&place, object, common);
            }
            self.s.passed_object(class, (bucket, place.key), part);
            if bytes >= most {
                return Ok(bytes); // long values: the rest of the page comes later
            }
        }
        if records.all {
            self.s.pass_at(class, Stage::Log(None));
        }
        Ok(bytes)
    }

    /// Versions that expire and are not noted would stay for ever: they are noted again.
    fn scrub_expiries(&mut self, place: &Place, object: &Object) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for version in object.versions.iter().filter(|version| version.expires()) {
            let entry = keys::expiry_key(version.expires_ms, place.class, place.bucket, &place.key);
            bytes += entry.len() as u64;
            if self.get(Family::Expiry, &entry)?.is_none() {
                self.s.count_bad(place.class);
                self.s.note_expiries_again(place, object);
            }
        }
        Ok(bytes)
    }

    fn scrub_log(
        &mut self,
        class: Class,
        after: Option<Dot>,
        most: u64,
    ) -> Result<u64, StoreError> {
        let (mut from, to) = keys::log_range(class);
        if let Some(dot) = after {
            from = [&keys::log_key(class, dot)[..], &[0]].concat();
        }
        let records = self.records_between(Family::Log, (from, to), most)?;
        let (mut last, mut count) = (after, 0);
        for (key, record) in &records.found {
            decode_log(key, record).map_err(|error| damaged(Family::Log, &error))?;
            if let Some((_, dot)) = keys::parse_log_key(key) {
                (last, count) = (Some(dot), count + 1);
            }
        }
        if let Some(pass) = self.s.pass_of(class) {
            pass.read_entries(count);
        }
        self.s.pass_at(
            class,
            if records.all {
                Stage::Hints(None)
            } else {
                Stage::Log(last)
            },
        );
        Ok(records.bytes)
    }

    /// Hints have other holders and no clock: what cannot be read of one is left out, as handoff does.
    fn scrub_hints(
        &mut self,
        class: Class,
        after: Option<(NodeId, Option<KeyPlace>)>,
        most: u64,
    ) -> Result<u64, StoreError> {
        let mut targets = self.s.hints.targets(class);
        targets.sort_unstable();
        let from = after.as_ref().map(|(node, _)| *node);
        let next = targets
            .into_iter()
            .find(|&target| from.is_none_or(|from| target >= from));
        let Some(target) = next else {
            self.s.end_pass(class);
            return Ok(0);
        };
        let place = after
            .filter(|(node, _)| *node == target)
            .and_then(|(_, place)| place);
        let (mut from, to) = keys::hint_class_range(target, class);
        if let Some((bucket, key)) = &place {
            from = [&keys::hint_key(target, class, *bucket, key)[..], &[0]].concat();
        }
        let records = self.records_between(Family::Hints, (from, to), most)?;
        let mut last = place;
        for (storage_key, record) in &records.found {
            let Some((_, _, bucket, name)) = keys::parse_hint_key(storage_key) else {
                continue;
            };
            let key = Bytes::copy_from_slice(name);
            let place = Place { class, bucket, key };
            self.scrub_hint(target, &place, (storage_key, record))?;
            last = Some((bucket, place.key));
        }
        let stage = if records.all {
            // Node ids order; nothing stands between one and the next.
            match target.get().checked_add(1) {
                Some(next) => Stage::Hints(Some((NodeId::new(next), None))),
                None => {
                    self.s.end_pass(class);
                    return Ok(records.bytes);
                }
            }
        } else {
            Stage::Hints(Some((target, last)))
        };
        self.s.pass_at(class, stage);
        Ok(records.bytes)
    }

    fn scrub_hint(
        &mut self,
        target: NodeId,
        place: &Place,
        (key, record): (&[u8], &Bytes),
    ) -> Result<(), StoreError> {
        let Ok(hint) = decode_hint(key, record) else {
            self.s.note(Note::DamageFound);
            self.s.count_bad(place.class);
            self.lose_hint(target, place);
            return Ok(());
        };
        let mut object = hint.object.clone();
        match self.load_bodies(ChunkOwner::Hint(target), place, &mut object, |_| true) {
            Err(StoreError::Damaged { .. }) => {
                self.s.count_bad(place.class);
                self.salvage_hint(target, place, &hint);
                Ok(())
            }
            read => read,
        }
    }

    /// The first records of a range, those that this step wrote included and those that it removed
    /// left out.
    pub(in crate::replicate) fn records_between(
        &self,
        family: Family,
        (from, to): KeyRange,
        most: u64,
    ) -> Result<Records, StoreError> {
        let mut found: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
        let (mut bytes, mut all) = (0, true);
        self.read_through(family, (from.clone(), to.clone()), |key, record| {
            if bytes >= most || found.len() >= BATCH_ITEMS_MAX {
                all = false;
                return ControlFlow::Break(());
            }
            bytes += (key.len() + record.len()) as u64;
            found.insert(key.to_vec(), Bytes::copy_from_slice(record));
            ControlFlow::Continue(())
        })?;
        found.retain(|key, _| !self.s.is_removed(family, key));
        let end = if all {
            Some(to)
        } else {
            found.keys().next_back().cloned()
        };
        if let Some(end) = end {
            let range = (Bound::Included(from), Bound::Included(end));
            found.extend(self.s.written(family, range));
        } else {
            all = false;
        }
        Ok(Records { found, all, bytes })
    }
}

impl Shared {
    fn pass_of(&mut self, class: Class) -> Option<&mut super::Pass> {
        self.vnodes.get_mut(&class)?.pass.as_mut()
    }

    fn pass_at(&mut self, class: Class, stage: Stage) {
        if let Some(pass) = self.pass_of(class) {
            pass.set_stage(stage);
        }
    }

    fn passed_object(&mut self, class: Class, place: KeyPlace, part: Digest) {
        if let Some(pass) = self.pass_of(class) {
            pass.read_object(part);
            pass.set_stage(Stage::Objects(Some(place)));
        }
    }

    /// A record of a vnode could not be read: its pass is over, and it is damaged by now.
    fn found_bad(&mut self, class: Class) {
        self.count_bad(class);
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.pass = None;
        }
    }

    fn count_bad(&mut self, class: Class) {
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.bad_records += 1;
        }
    }
}
