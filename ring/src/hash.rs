//! From a key to its partition.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::{BucketId, PartitionId};

/// The position of a key on the ring: XXH3 (64 bits) of the key, seeded with its bucket's id.
///
/// Frozen: a different hash would put every key somewhere else. Golden vectors guard it. It is not
/// keyed with a secret, so whoever may choose keys may also choose their partition.
pub fn placement_hash(bucket: BucketId, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, bucket.get())
}

/// Into how many partitions a cluster's hash space is cut: a power of two, 1 to 65,536.
///
/// Fixed when a cluster is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartitionCount {
    bits: u8,
}

/// A number that cannot be a count of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} partitions: the count must be a power of two, from 1 to 65536")]
pub struct PartitionCountError(pub u32);

impl PartitionCount {
    /// The largest count, so that a [`PartitionId`] fits 16 bits.
    pub const MAX: Self = Self { bits: 16 };

    /// Parses a count.
    ///
    /// # Errors
    /// If it is not a power of two or above 65,536.
    pub const fn new(count: u32) -> Result<Self, PartitionCountError> {
        let mut bits = 0;
        while bits <= Self::MAX.bits {
            if count == 1 << bits {
                return Ok(Self { bits });
            }
            bits += 1;
        }
        Err(PartitionCountError(count))
    }

    /// The number of partitions.
    pub const fn get(self) -> u32 {
        1 << self.bits
    }

    /// The partition that a [`placement_hash`] falls into: the top bits of the hash.
    pub const fn partition_of(self, hash: u64) -> PartitionId {
        let [high, low, ..] = hash.to_be_bytes();
        let top = u16::from_be_bytes([high, low]) as u32;
        // At most 16 bits remain of a 16-bit number, and none for a single partition.
        let [_, _, high, low] = (top >> (16 - self.bits)).to_be_bytes();
        PartitionId::new(u16::from_be_bytes([high, low]))
    }

    /// All partitions in order.
    pub fn partitions(self) -> impl DoubleEndedIterator<Item = PartitionId> {
        // 65,536 partitions end with number 65,535: the inclusive range is what fits 16 bits.
        let last = u16::try_from(self.get() - 1).unwrap_or(u16::MAX);
        (0..=last).map(PartitionId::new)
    }

    /// Whether a ring of this many partitions has this one.
    pub const fn contains(self, partition: PartitionId) -> bool {
        (partition.get() as u32) < self.get()
    }
}

impl TryFrom<u32> for PartitionCount {
    type Error = PartitionCountError;

    fn try_from(count: u32) -> Result<Self, Self::Error> {
        Self::new(count)
    }
}

impl From<PartitionCount> for u32 {
    fn from(count: PartitionCount) -> Self {
        count.get()
    }
}

impl fmt::Display for PartitionCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_powers_of_two_up_to_65536_are_counts() {
        for count in [1, 2, 16, 1024, 65_536] {
            assert_eq!(
                PartitionCount::new(count).map(PartitionCount::get),
                Ok(count)
            );
        }
        for count in [0, 3, 12, 65_535, 131_072, u32::MAX] {
            assert_eq!(PartitionCount::new(count), Err(PartitionCountError(count)));
        }
    }

    #[test]
    fn the_top_bits_of_the_hash_choose_the_partition() {
        let of = |count, hash| PartitionCount::new(count).unwrap().partition_of(hash).get();
        assert_eq!(of(1, u64::MAX), 0);
        assert_eq!(of(2, 1 << 63), 1);
        assert_eq!(of(16, 0xf000_0000_0000_0000), 15);
        assert_eq!(of(65_536, u64::MAX), 65_535);
        assert_eq!(of(65_536, 0x1234_5678_9abc_def0), 0x1234);
    }

    #[test]
    fn the_partitions_are_counted_from_zero_to_the_last() {
        assert_eq!(PartitionCount::new(1).unwrap().partitions().count(), 1);
        assert_eq!(PartitionCount::MAX.partitions().count(), 65_536);
        assert_eq!(
            PartitionCount::MAX.partitions().next_back(),
            Some(PartitionId::new(65_535))
        );
        assert!(
            !PartitionCount::new(16)
                .unwrap()
                .contains(PartitionId::new(16))
        );
    }
}
