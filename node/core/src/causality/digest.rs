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
//!
//! How many keys and bytes there are is summed up with it, by the same additions: so these are exact.

use std::fmt;

use quorate_protocol::{ContentDigest, Dot, Extent};
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
    /// Keys with a version.
    keys: u64,
    /// Of these keys and of all their versions' contents.
    bytes: u64,
}

/// Bytes of a digest that is stored.
pub const DIGEST_BYTES: usize = 48;

impl Digest {
    /// Nothing at all: the digest of an empty vnode.
    pub const EMPTY: Self = Self {
        lasting: 0,
        expiring: 0,
        keys: 0,
        bytes: 0,
    };

    /// What one key adds. Without a version it adds nothing.
    #[must_use]
    pub fn of_object(bucket: BucketId, key: &[u8], object: &Object) -> Self {
        let of = |expiring| {
            let versions = object.versions.iter();
            let wanted = |version: &&Version| version.expires() == expiring;
            sum_of(bucket, key, versions.filter(wanted).map(|one| one.dot))
        };
        let there = !object.versions.is_empty();
        let bytes = object.versions.iter().map(|version| version.size);
        let bytes = bytes.fold(key.len() as u64, u64::wrapping_add);
        Self {
            lasting: of(false),
            expiring: of(true),
            keys: u64::from(there),
            bytes: if there { bytes } else { 0 },
        }
    }

    /// With what `part` stands for.
    pub const fn add(&mut self, part: Self) {
        self.lasting = self.lasting.wrapping_add(part.lasting);
        self.expiring = self.expiring.wrapping_add(part.expiring);
        self.keys = self.keys.wrapping_add(part.keys);
        self.bytes = self.bytes.wrapping_add(part.bytes);
    }

    /// Without what `part` stands for, which must be in it.
    pub const fn take(&mut self, part: Self) {
        self.lasting = self.lasting.wrapping_sub(part.lasting);
        self.expiring = self.expiring.wrapping_sub(part.expiring);
        self.keys = self.keys.wrapping_sub(part.keys);
        self.bytes = self.bytes.wrapping_sub(part.bytes);
    }

    /// How many keys have a version, and how many bytes they and the contents of all their versions have.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        Extent {
            keys: self.keys,
            bytes: self.bytes,
        }
    }

    /// What lasts and what expires, 16 bytes each, then the numbers of keys and bytes, 8 bytes each, all big endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; DIGEST_BYTES] {
        let mut bytes = [0; DIGEST_BYTES];
        bytes[..16].copy_from_slice(&self.lasting.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.expiring.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.keys.to_be_bytes());
        bytes[40..].copy_from_slice(&self.bytes.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; DIGEST_BYTES]) -> Self {
        let sum = |at: usize| {
            let part = std::array::from_fn(|offset| bytes[at + offset]);
            u128::from_be_bytes(part)
        };
        let count = |at: usize| {
            let part = std::array::from_fn(|offset| bytes[at + offset]);
            u64::from_be_bytes(part)
        };
        Self {
            lasting: sum(0),
            expiring: sum(16),
            keys: count(32),
            bytes: count(40),
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
        let Self {
            lasting,
            expiring,
            keys,
            bytes,
        } = self;
        write!(
            f,
            "Digest({lasting:032x} {expiring:032x}, {keys} keys, {bytes} bytes)"
        )
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
        assert_eq!(one.extent(), Extent { keys: 1, bytes: 3 });
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
            "Digest(64df3c7f50dcf532ce93985526df557a 00000000000000000000000000000000, 1 keys, 3 bytes)"
        );
    }
}
