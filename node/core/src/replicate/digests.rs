//! The digest of each vnode: changed where an object changes, stored with the same batch.
//!
//! So after any crash it is exact: what the objects of the vnode on disk sum up to. Where they do not,
//! something was lost that no checksum told of. While a vnode that lost something is sifted, its digest is
//! that of the objects up to the sifting's place, and complete when it is through.

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_ring::{BucketId, Class};

use crate::causality::{Digest, Object};
use crate::plant::Plant;
use crate::record::{RebuildStage, decode_digest, decode_object, encode_digest, keys};
use crate::shared::Shared;
use crate::shelf::{Place, damaged};
use crate::store::{Family, Store, StoreError};
use crate::vnode::Vnode;

impl Vnode {
    /// Whether its digest speaks for a key already.
    fn counts(&self, bucket: BucketId, key: &Bytes) -> bool {
        let stage = self.rebuilding.as_ref().map(|state| &state.stage);
        match stage {
            Some(RebuildStage::Sifting { after }) => after
                .as_ref()
                .is_some_and(|last| (bucket, key) <= (last.0, &last.1)),
            Some(
                RebuildStage::Waiting | RebuildStage::Objects { .. } | RebuildStage::Log { .. },
            )
            | None => true,
        }
    }
}

impl Shared {
    /// An object changes: so does its vnode's digest.
    pub(crate) fn count_object(&mut self, place: &Place, old: &Object, new: &Object) {
        if old.dots().eq(new.dots()) {
            return;
        }
        let careless = self.breaks(Plant::ScrubIgnoresWrites);
        let Some(vnode) = self.held_mut(place.class) else {
            return;
        };
        if !vnode.counts(place.bucket, &place.key) {
            return;
        }
        let gone = Digest::of_object(place.bucket, &place.key, old);
        let come = Digest::of_object(place.bucket, &place.key, new);
        if let Some(pass) = vnode.pass.as_mut().filter(|_| !careless) {
            pass.object_changes(place.bucket, &place.key, gone, come);
        }
        vnode.digest.take(gone);
        vnode.digest.add(come);
        self.digests_changed.insert(place.class);
    }

    /// Sifting has come to an object and leaves this of it.
    pub(crate) fn count_sifted(&mut self, place: &Place, object: &Object) {
        if let Some(vnode) = self.vnodes.get_mut(&place.class) {
            vnode
                .digest
                .add(Digest::of_object(place.bucket, &place.key, object));
            self.digests_changed.insert(place.class);
        }
    }

    /// Counting begins again with the first object.
    pub(crate) fn reset_digest(&mut self, class: Class) {
        if let Some(vnode) = self.held_mut(class) {
            vnode.digest = Digest::EMPTY;
            self.digests_changed.insert(class);
        }
    }

    /// Writes the digests that this step changed; peers are told them with the clocks.
    pub(crate) fn store_digests(&mut self) {
        for class in std::mem::take(&mut self.digests_changed) {
            let Some(vnode) = self.held_mut(class) else {
                continue;
            };
            vnode.revision += 1;
            let key = keys::digest_key(class);
            let record = encode_digest(&key, &vnode.digest);
            self.put_last(Family::Vnodes, key, record);
        }
    }
}

/// What the objects of a vnode on disk sum up to.
///
/// # Errors
/// One of them cannot be read.
pub fn digest_of_objects(store: &dyn Store, class: Class) -> Result<Digest, StoreError> {
    let (from, to) = keys::class_range(class);
    let mut sum = Ok(Digest::EMPTY);
    store.scan(Family::Objects, &from, &to, &mut |key, record| {
        let part = decode_object(key, record).map(|object| {
            keys::parse_object_key(key).map_or(Digest::EMPTY, |(_, bucket, name)| {
                Digest::of_object(bucket, name, &object)
            })
        });
        match (&mut sum, part) {
            (Ok(sum), Ok(part)) => sum.add(part),
            (_, Err(error)) => sum = Err(damaged(Family::Objects, &error)),
            (Err(_), Ok(_)) => {}
        }
        if sum.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    sum
}

/// The digest that is stored for a vnode; that of an empty one where none was ever written.
///
/// # Errors
/// It cannot be read.
pub fn stored_digest(store: &dyn Store, class: Class) -> Result<Digest, StoreError> {
    let key = keys::digest_key(class);
    match store.get(Family::Vnodes, &key)? {
        None => Ok(Digest::EMPTY),
        Some(record) => {
            decode_digest(&key, &record).map_err(|error| damaged(Family::Vnodes, &error))
        }
    }
}
