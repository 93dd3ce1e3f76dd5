//! A page of which versions there are: what a repair of a range compares.

use bytes::Bytes;
use quorate_protocol::limits::BATCH_BYTES;
use quorate_protocol::peer::{SettledObject, SnapshotNames, SnapshotPage, SnapshotPlace};
use quorate_ring::Class;

use crate::record::keys::{self, ChunkOwner, KeyRange};
use crate::record::{KeyPlace, decode_object};
use crate::shared::Cx;
use crate::shelf::{Place, damaged};
use crate::store::{Family, StoreError};

impl Cx<'_> {
    pub(super) fn fill_names(
        &self,
        page: &mut SnapshotPage,
        names: &SnapshotNames,
        after: Option<&KeyPlace>,
    ) -> Result<(), StoreError> {
        let range = range_of(page.class, names.keys.as_ref(), after);
        // Read as the asker reads its own: nothing of it is to drive out what clients read.
        let records = self.records_between(Family::Objects, range, BATCH_BYTES as u64)?;
        let (count, mut value_bytes) = (records.found.len(), 0);
        if count == 0 && !records.all {
            return Err(StoreError::Failed(
                "all of it was removed just now".to_owned(),
            ));
        }
        for (number, (key, record)) in records.found.iter().enumerate() {
            let Some((class, bucket, name)) = keys::parse_object_key(key) else {
                continue;
            };
            let place = Place {
                class,
                bucket,
                key: Bytes::copy_from_slice(name),
            };
            let mut object =
                decode_object(key, record).map_err(|error| damaged(Family::Objects, &error))?;
            if names.values {
                self.load_bodies(ChunkOwner::Vnode, &place, &mut object, |_| true)?;
                value_bytes += object.bytes();
            }
            let mut object = object.to_peer();
            for version in object.versions.iter_mut().filter(|_| !names.values) {
                version.body = None;
            }
            // Long values lie elsewhere and were not counted by the scan.
            let full = value_bytes >= BATCH_BYTES as u64;
            let more = !records.all || (full && number + 1 < count);
            page.next = more.then(|| {
                Box::new(SnapshotPlace {
                    key: Some((place.bucket, place.key.clone())),
                    ..SnapshotPlace::default()
                })
            });
            page.objects.push(SettledObject {
                bucket: place.bucket,
                key: place.key,
                object,
                settles: Vec::new(),
                requests: Vec::new(),
            });
            if full {
                break;
            }
        }
        Ok(())
    }
}

/// The storage keys of a class after a place; only of one bucket's keys that begin in one way, if that is given.
pub(crate) fn range_of(
    class: Class,
    keys: Option<&KeyPlace>,
    after: Option<&KeyPlace>,
) -> KeyRange {
    let (from, to) = match keys {
        None => keys::class_range(class),
        Some((bucket, prefix)) => keys::object_prefix_range(class, *bucket, prefix),
    };
    let next = after.map(|(bucket, key)| {
        let mut next = keys::object_key(class, *bucket, key);
        next.push(0);
        next
    });
    (next.map_or(from.clone(), |next| next.max(from)), to)
}
