//! One number for the content of a whole vnode, kept while it changes.
//!
//! Each key with at least one version is hashed with the dots of its versions (xxh3, 128 bits: fast and
//! well mixed, without any key of its own, for nobody gains by forging the sum of his own disk); the digest
//! is the wrapping sum of all of them, so that neither the order of keys nor that of events matters, and
//! what goes in comes out again by subtraction. Contexts are no part of it: replicas drop them at different
//! times. Nor are values: a dot names one value for ever.
//!
//! Versions that expire are summed up apart. Each replica removes them by its own time of day, so what is
//! left of them says nothing to others; what a disk must hold it says all the same.

use std::fmt;

use quorate_protocol::{ContentDigest, Dot};
use quorate_ring::BucketId;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use super::object::{Object, Version};

/// The sum over the objects of a vnode, or of a part of it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    /// Versions that stay until something supersedes them. Equal for replicas that have seen the same.
    lasting: u128,
    /// Versions that expire.
    expiring: u128,
}

impl Digest {
    /// Nothing at all: the digest of an empty vnode.
    pub const EMPTY: Self = Self {
        lasting: 0,
        expiring: 0,
    };

    /// What one key adds. Without a version it adds nothing.
    #[must_use]
    pub fn of_object(bucket: BucketId, key: &[u8], object: &Object) -> Self {
        let of = |expiring| {
            let versions = object.versions.iter();
            let wanted = |version: &&Version| version.expires() == expiring;
            sum_of(bucket, key, versions.filter(wanted).map(|one| one.dot))
        };
        Self {
            lasting: of(false),
            expiring: of(true),
        }
    }

    /// With what `part` stands for.
    pub const fn add(&mut self, part: Self) {
        self.lasting = self.lasting.wrapping_add(part.lasting);
        self.expiring = self.expiring.wrapping_add(part.expiring);
    }

    /// Without what `part` stands for, which must be in it.
    pub const fn take(&mut self, part: Self) {
        self.lasting = self.lasting.wrapping_sub(part.lasting);
        self.expiring = self.expiring.wrapping_sub(part.expiring);
    }

    /// What lasts and what expires, 16 bytes each, big endian.
    #[must_use]
    pub const fn to_bytes(self) -> [[u8; 16]; 2] {
        [self.lasting.to_be_bytes(), self.expiring.to_be_bytes()]
    }

    /// The inverse of [`Self::to_bytes`].
    #[must_use]
    pub const fn from_bytes([lasting, expiring]: [[u8; 16]; 2]) -> Self {
        Self {
            lasting: u128::from_be_bytes(lasting),
            expiring: u128::from_be_bytes(expiring),
        }
    }

    /// As it travels: what replicas compare.
    #[must_use]
    pub fn to_wire(self) -> ContentDigest {
        ContentDigest::from_bytes(self.lasting.to_be_bytes())
    }
}

/// What some versions of a key add; nothing where there is none.
fn sum_of(bucket: BucketId, key: &[u8], dots: impl Iterator<Item = Dot>) -> u128 {
    let mut dots: SmallVec<[Dot; 4]> = dots.collect();
    if dots.is_empty() {
        return 0;
    }
    dots.sort_unstable();
    let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
    bytes.extend_from_slice(&bucket.get().to_be_bytes());
    bytes.extend_from_slice(&(key.len() as u64).to_be_bytes());
    bytes.extend_from_slice(key);
    for dot in dots {
        bytes.extend_from_slice(&dot.actor.get().to_be_bytes());
        bytes.extend_from_slice(&dot.counter.to_be_bytes());
    }
    xxh3_128(&bytes)
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:032x} {:032x})", self.lasting, self.expiring)
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::{ActorId, RequestId};

    use super::*;
    use crate::causality::Body;

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
    fn versions_that_expire_count_and_are_not_told_to_peers() {
        let of = |object: &Object| Digest::of_object(BUCKET, b"key", object);
        let lasting = object(&[1]);
        let mut both = object(&[1, 2]);
        both.versions[1].expires_ms = 5;
        assert_ne!(of(&both), of(&lasting));
        assert_eq!(of(&both).to_wire(), of(&lasting).to_wire());
        assert_eq!(Digest::from_bytes(of(&both).to_bytes()), of(&both));
        both.versions.remove(0);
        assert_eq!(of(&both).to_wire(), Digest::EMPTY.to_wire());
    }

    #[test]
    fn its_numbers_are_part_of_the_format() {
        let one = Digest::of_object(BUCKET, b"key", &object(&[1]));
        assert_eq!(
            format!("{one:?}"),
            "Digest(64df3c7f50dcf532ce93985526df557a 00000000000000000000000000000000)"
        );
    }
}
