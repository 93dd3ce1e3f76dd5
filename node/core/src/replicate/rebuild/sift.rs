//! Sifting: what a damaged vnode cannot read any more is thrown out, a bounded part in each tick, so
//! that afterwards every unreadable record is news.
//!
//! What storage itself cannot read is gone when it has been opened again ([`crate::record::lost_marks`]):
//! until then sifting waits at that place.

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_ring::Class;

use crate::causality::{Body, Object};
use crate::record::keys::{self, ChunkOwner, KeyRange};
use crate::record::{KeyPlace, RebuildStage};
use crate::shared::Cx;
use crate::shelf::Place;
use crate::store::{Family, StoreError};

/// Objects looked at in one tick, over all vnodes.
const OBJECTS_PER_TICK: usize = 1024;
/// Bytes of long values read in one tick, over all vnodes.
const BYTES_PER_TICK: u64 = 8 * 1024 * 1024;

/// What may still be read in this tick.
struct Budget {
    objects: usize,
    bytes: u64,
}

impl Cx<'_> {
    /// Goes on sifting all vnodes that need it.
    pub(super) fn sift_all(&mut self) {
        let mut budget = Budget {
            objects: OBJECTS_PER_TICK,
            bytes: BYTES_PER_TICK,
        };
        let sifting = |vnode: &crate::vnode::Vnode| match &vnode.rebuilding.as_ref()?.stage {
            RebuildStage::Sifting { after } => Some((vnode.class, after.clone())),
            RebuildStage::Waiting | RebuildStage::Objects { .. } | RebuildStage::Log { .. } => None,
        };
        let open: Vec<_> = self.s.vnodes.values().filter_map(sifting).collect();
        for (class, after) in open {
            if budget.objects == 0 || budget.bytes == 0 {
                return;
            }
            self.sift(class, after, &mut budget);
        }
    }

    fn sift(&mut self, class: Class, after: Option<KeyPlace>, budget: &mut Budget) {
        let range = rest_of(class, after.as_ref());
        let (found, ended) = self.readable_keys(range.clone(), budget.objects);
        let mut last = after;
        for key in &found {
            if budget.bytes == 0 {
                return self.sifted(class, RebuildStage::Sifting { after: last });
            }
            let Some((_, bucket, name)) = keys::parse_object_key(key) else {
                continue;
            };
            let place = Place {
                class,
                bucket,
                key: Bytes::copy_from_slice(name),
            };
            if self.sift_object(&place, budget).is_err() {
                return self.sifted(class, RebuildStage::Sifting { after: last });
            }
            budget.objects = budget.objects.saturating_sub(1);
            last = Some((place.bucket, place.key));
        }
        match ended {
            Ok(true) => self.sifted(class, RebuildStage::Waiting),
            Ok(false) | Err(StoreError::Failed(_) | StoreError::Damaged { .. }) => {
                self.sifted(class, RebuildStage::Sifting { after: last });
            }
        }
    }

    /// Keys in order, and how the scan ended: whether at the end of the range, or by which failure.
    fn readable_keys(
        &self,
        range: KeyRange,
        limit: usize,
    ) -> (Vec<Vec<u8>>, Result<bool, StoreError>) {
        let (from, to) = range.clone();
        let mut found = Vec::new();
        let scanned = self.scan(Family::Objects, range, |key, _| {
            found.push(key.to_vec());
            if found.len() >= limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let ended = scanned.map(|()| found.len() < limit);
        // What this very step wrote is passed over with the rest, or nobody would ever count it.
        let last = if ended == Ok(true) {
            Some(to)
        } else {
            found.last().cloned()
        };
        let fresh = last.map(|last| self.fresh_keys(Family::Objects, &from, &last));
        found.extend(fresh.into_iter().flatten());
        found.sort_unstable();
        found.dedup();
        (found, ended)
    }

    /// Throws out an object that cannot be read, or those of its versions that cannot.
    fn sift_object(&mut self, place: &Place, budget: &mut Budget) -> Result<(), StoreError> {
        let object = match self.load(place) {
            Ok(object) => object,
            Err(StoreError::Damaged { .. }) => {
                self.forget_for_damage(place.class);
                self.s.delete(Family::Objects, place.object_key());
                return Ok(());
            }
            Err(error @ StoreError::Failed(_)) => return Err(error),
        };
        let mut readable = Object {
            versions: Vec::new(),
            context: object.context.clone(),
        };
        for version in &object.versions {
            if matches!(version.body, Body::Chunked { .. }) {
                budget.bytes = budget.bytes.saturating_sub(version.size);
                let mut whole = Object {
                    versions: vec![version.clone()],
                    ..Object::default()
                };
                match self.load_bodies(ChunkOwner::Vnode, place, &mut whole, |_| true) {
                    Ok(()) => {}
                    Err(StoreError::Damaged { .. }) => continue,
                    Err(error @ StoreError::Failed(_)) => return Err(error),
                }
            }
            readable.versions.push(version.clone());
        }
        if !self.s.takes(place.bucket) {
            self.s.store_object(place, &object, &Object::default());
            return Ok(());
        }
        if readable != object {
            self.forget_for_damage(place.class);
            self.s.store_object(place, &object, &readable);
        }
        self.s.note_expiries_again(place, &readable);
        self.s.count_sifted(place, &readable);
        Ok(())
    }

    /// What has arrived since the vnode forgot could be in what is lost just now: it forgets again.
    fn forget_for_damage(&mut self, class: Class) {
        let vnode = self.s.vnodes.get(&class);
        if vnode.is_some_and(|vnode| !vnode.clock.is_empty()) {
            self.s.discard(class);
        }
    }

    fn sifted(&mut self, class: Class, stage: RebuildStage) {
        let Some(vnode) = self.s.vnodes.get_mut(&class) else {
            return;
        };
        if let Some(state) = &mut vnode.rebuilding {
            state.stage = stage;
        }
        self.s.store_vnode(class);
    }
}

/// The storage keys of a class after a place.
pub(crate) fn rest_of(class: Class, after: Option<&KeyPlace>) -> KeyRange {
    let (from, to) = keys::class_range(class);
    match after {
        None => (from, to),
        Some((bucket, key)) => {
            let mut next = keys::object_key(class, *bucket, key);
            next.push(0);
            (next, to)
        }
    }
}
