//! Newtypes for everything that is named by a number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that should have been an id in 16 hexadecimal digits and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is written as 16 hexadecimal digits")]
pub struct ParseIdError;

fn parse_hex16(text: &str) -> Result<u64, ParseIdError> {
    // The digits are checked one by one because `from_str_radix` would also take a sign.
    if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ParseIdError);
    }
    u64::from_str_radix(text, 16).map_err(|_| ParseIdError)
}

/// A 64-bit random id, shown and parsed as 16 hexadecimal digits, encoded as a plain number.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The id with this number; every number is valid.
            pub const fn new(id: u64) -> Self {
                Self(id)
            }

            /// The number behind the id.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{:016x}", self.0))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex16(text).map(Self)
            }
        }
    };
}

hex_id! {
    /// One node of the cluster, for as long as its data directory lives.
    NodeId
}

hex_id! {
    /// One bucket. Data carries this id, never the bucket's name.
    BucketId
}

impl BucketId {
    /// The id of a bucket that this version of the cluster map makes. Each version makes one bucket at most, so the
    /// number keeps ids apart; the random half keeps apart those of versions that were decided twice, because
    /// a cluster went back to a backup.
    #[must_use]
    pub const fn made(version: u32, random: u32) -> Self {
        Self((version as u64) << 32 | random as u64)
    }

    /// The version of the cluster map that made the bucket; those that a cluster is created with say 0. So an id
    /// that a later version does not name is that of a dropped bucket, never of one not heard of yet.
    #[must_use]
    pub const fn born(self) -> u64 {
        self.0 >> 32
    }
}

/// The number of one ring version. The first ring of a cluster has version 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RingVersion(u64);

impl RingVersion {
    /// The version of a cluster's first ring.
    pub const FIRST: Self = Self(1);

    /// The version with this number.
    pub const fn new(version: u64) -> Self {
        Self(version)
    }

    /// The number of the version.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version that follows. The largest number follows itself; [`crate::Ring::next`] refuses
    /// to make a ring from there.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for RingVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the equal parts of the hash space, counted from 0.
///
/// Whether a ring has this partition depends on its [`crate::PartitionCount`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(u16);

impl PartitionId {
    /// The partition with this number.
    pub const fn new(partition: u16) -> Self {
        Self(partition)
    }

    /// The number of the partition.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A replication class: all keys of one partition whose buckets keep the same number of copies.
///
/// All keys of a class share the same primaries, and a vnode is one node's replica of one class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Class {
    /// How many copies the class keeps.
    pub n: u8,
    /// The partition its keys hash into.
    pub partition: PartitionId,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("n{}/p{}", self.n, self.partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_as_sixteen_hex_digits_and_parsed_back() {
        let id = NodeId::new(0xbeef);
        assert_eq!(id.to_string(), "000000000000beef");
        assert_eq!("000000000000beef".parse(), Ok(id));
        assert_eq!("000000000000BEEF".parse(), Ok(id));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "beef",
            "+00000000000beef",
            "00000000000000000",
            "00000000 000beef",
            "é000000000beef",
        ] {
            assert_eq!(text.parse::<NodeId>(), Err(ParseIdError), "{text:?}");
        }
    }

    #[test]
    fn a_class_names_its_copies_and_its_partition() {
        let class = Class {
            n: 3,
            partition: PartitionId::new(17),
        };
        assert_eq!(class.to_string(), "n3/p17");
    }

    #[test]
    fn versions_count_up_and_stop_at_the_end() {
        assert_eq!(RingVersion::FIRST.next(), RingVersion::new(2));
        assert_eq!(
            RingVersion::new(u64::MAX).next(),
            RingVersion::new(u64::MAX)
        );
    }
}
