//! One number for the content of a whole vnode, kept while it changes.
//!
//! Each key with at least one version is hashed with the dots of its versions (xxh3, 128 bits: fast and
//! well mixed, without any key of its own, for nobody gains by forging the sum of his own disk); the digest
//! is the wrapping sum of all of them, so that neither the order of keys nor that of events matters, and
//! what goes in comes out again by subtraction. Contexts are no part of it: replicas drop them at different
//! times. Nor are values: a dot names one value for ever.

use std::fmt;

use quorate_protocol::{ContentDigest, Dot};
use quorate_ring::BucketId;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::object::Object;

/// The sum over the objects of a vnode, or of a part of it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// Nothing at all: the digest of an empty vnode.
    pub const EMPTY: Self = Self(0);

    /// What one key adds. Without a version it adds nothing.
    #[must_use]
    pub fn of_object(bucket: BucketId, key: &[u8], object: &Object) -> Self {
        if object.versions.is_empty() {
            return Self::EMPTY;
        }
        let mut dots: SmallVec<[Dot; 4]> = object.dots().collect();
        dots.sort_unstable();
        let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
        bytes.extend_from_slice(&bucket.get().to_be_bytes());
        bytes.extend_from_slice(&(key.len() as u64).to_be_bytes());
        bytes.extend_from_slice(key);
        for dot in dots {
            bytes.extend_from_slice(&dot.actor.get().to_be_bytes());
            bytes.extend_from_slice(&dot.counter.to_be_bytes());
        }
        Self(xxh3_128(&bytes))
    }

    /// With what `part` stands for.
    pub const fn add(&mut self, part: Self) {
        self.0 = self.0.wrapping_add(part.0);
    }

    /// Without what `part` stands for, which must be in it.
    pub const fn take(&mut self, part: Self) {
        self.0 = self.0.wrapping_sub(part.0);
    }

    /// Its 16 bytes, big endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Self::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(self) -> ContentDigest {
        ContentDigest::from_bytes(self.to_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:032x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{ActorId, RequestId};

    use super::*;
    use crate::causality::{Body, Version};

    const BUCKET: BucketId = BucketId::new(7);

    fn object(counters: &[u64]) -> Object {
        let version = |&counter: &u64| Version {
            dot: Dot::new(ActorId::new(1), counter),
            stamp: 0,
            expires_ms: 0,
            request: RequestId::new(0, 0),
            size: 0,
            body: Body::Absent,
        };
        Object {
            versions: counters.iter().map(version).collect(),
            context: Default::default(),
        }
    }

    #[test]
    fn neither_the_order_of_keys_nor_that_of_versions_matters_and_what_went_in_comes_out() {
        let parts = [
            Digest::of_object(BUCKET, b"a", &object(&[1])),
            Digest::of_object(BUCKET, b"b", &object(&[2, 3])),
            Digest::of_object(BUCKET, b"b", &object(&[3, 2])),
        ];
        assert_eq!(parts[1], parts[2]);
        let (mut there, mut back) = (Digest::EMPTY, Digest::EMPTY);
        parts[..2].iter().for_each(|&part| there.add(part));
        parts[..2].iter().rev().for_each(|&part| back.add(part));
        assert_eq!(there, back);
        there.take(parts[0]);
        assert_eq!(there, parts[1]);
        there.take(parts[1]);
        assert_eq!(there, Digest::EMPTY);
    }

    #[test]
    fn bucket_key_and_each_dot_count_and_an_object_without_versions_does_not() {
        let of = |bucket, key: &[u8], counters: &[u64]| {
            Digest::of_object(BucketId::new(bucket), key, &object(counters))
        };
        let one = of(7, b"key", &[1]);
        assert_ne!(one, of(8, b"key", &[1]));
        assert_ne!(one, of(7, b"kez", &[1]));
        assert_ne!(one, of(7, b"key", &[2]));
        assert_ne!(one, of(7, b"key", &[1, 2]));
        assert_eq!(of(7, b"key", &[]), Digest::EMPTY);
        assert_eq!(Digest::from_bytes(one.to_bytes()), one);
    }

    #[test]
    fn its_numbers_are_part_of_the_format() {
        let one = Digest::of_object(BUCKET, b"key", &object(&[1]));
        assert_eq!(
            format!("{one:?}"),
            "Digest(64df3c7f50dcf532ce93985526df557a)"
        );
    }
}
