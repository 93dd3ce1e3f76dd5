//! Identifiers that travel. All are opaque numbers drawn at random by whoever creates the thing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps a number that the caller drew or read.
            #[must_use]
            pub const fn new(raw: $inner) -> Self {
                Self(raw)
            }

            /// The number itself.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $width, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:0", $width, "x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <$inner>::from_str_radix(text, 16).map(Self)
            }
        }
    };
}

random_id! {
    /// One copy on its way from one storage to another.
    TransferId, u64, 16
}
random_id! {
    /// One life of one vnode, as the issuer of dots. Never issued twice: its upper 16 bits are the
    /// [generation](ActorId::generation) in which it was drawn, the others are random. So actors of one generation stand
    /// together in their order, and those of all that are over can be named by one number.
    ActorId, u64, 16
}

impl ActorId {
    /// Nobody's: in a clock it stands for all actors of the generations that are folded.
    pub const FOLDED: Self = Self(0);

    /// An actor of a generation, from a number that was drawn at random.
    #[must_use]
    pub const fn drawn(generation: u16, random: u64) -> Self {
        Self((generation as u64) << 48 | random >> 16)
    }

    /// The generation of actors that the cluster map named when it was drawn; from 1.
    #[must_use]
    pub const fn generation(self) -> u64 {
        self.0 >> 48
    }
}
random_id! {
    /// One vnode: one node's replica of one replication class, from gaining it to losing it. The number of the
    /// version of the cluster map that gave the node its place.
    VnodeId, u64, 16
}

impl VnodeId {
    /// The vnodes of places that no version has moved.
    pub const FOUNDING: Self = Self(0);
}
random_id! {
    /// One storage that a durable clock speaks for; a wiped or damaged vnode draws a new one.
    StorageId, u64, 16
}
random_id! {
    /// One life of one replica, from its opening to its end.
    LifeId, u64, 16
}

impl TransferId {
    /// Of what goes from one storage to another. Going on after an interruption it is the same transfer.
    #[must_use]
    pub const fn of(from: StorageId, to: StorageId) -> Self {
        Self(from.0.rotate_left(32) ^ to.0)
    }
}

/// A cluster, drawn at its creation. Travels as 16 bytes, since MessagePack has no wider number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(u64, u64);

/// One client request, kept over its retries. Drawn by the client: a random half and a counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(u64, u64);

/// What a whole vnode holds, in one number: equal for two replicas whose keys have the same versions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentDigest(u64, u64);

/// What one version of the cluster map says, in one number: 128 bits of a cryptographic hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MapDigest(u64, u64);

macro_rules! wide_id {
    ($name:ident) => {
        impl $name {
            /// Joins the two halves.
            #[must_use]
            pub const fn new(high: u64, low: u64) -> Self {
                Self(high, low)
            }

            /// The 16 bytes, big endian.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                ((u128::from(self.0) << 64) | u128::from(self.1)).to_be_bytes()
            }

            /// The inverse of [`Self::to_bytes`].
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
                Self(
                    u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                    u64::from_be_bytes([i, j, k, l, m, n, o, p]),
                )
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}{:016x}", self.0, self.1)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                u128::from_str_radix(text, 16).map(|raw| Self::from_bytes(raw.to_be_bytes()))
            }
        }
    };
}

wide_id!(ClusterId);
wide_id!(RequestId);
wide_id!(ContentDigest);
wide_id!(MapDigest);

/// The identity of one accepted write: the issuing actor and its counter, which starts at 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who accepted the write.
    pub actor: ActorId,
    /// The how-manieth write of that actor, from 1.
    pub counter: u64,
}

impl Dot {
    /// Names the `counter`th write of `actor`.
    #[must_use]
    pub const fn new(actor: ActorId, counter: u64) -> Self {
        Self { actor, counter }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.counter)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
