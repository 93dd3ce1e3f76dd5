//! Where a key lives: the placement hash, partitions, the claim, preference lists and ring versions.
//!
//! Everything here is a pure function of its arguments: no clock, no I/O, no randomness, ordered
//! collections only. Two nodes that hold the same [`Ring`] agree on every answer it gives, and two
//! nodes that compute [`Ring::next`] from the same parent and the same members, in whatever order,
//! get the same ring to the last byte ([`Ring::digest`]).
//!
//! A key is hashed with its bucket's id ([`placement_hash`]); the top bits of the hash name one of
//! the [`PartitionCount`] partitions; the ring holds an ordered list of distinct members for each
//! partition. A bucket with n copies uses the first n of them ([`Ring::primaries`]); whoever else
//! may stand in follows in a fixed order ([`Ring::fallbacks`]).
//!
//! Staged changes of members become one next ring, and a comparison of it with the ring that is says
//! what moves ([`Ring::stage`], [`Plan`]).
//!
//! The crate's `README.md` states the objective of the claim and the source of its algorithm.
#![forbid(unsafe_code)]

mod bounded;
mod change;
mod claim;
mod digest;
mod hash;
mod ids;
mod member;
mod parts;
mod plan;
mod preference;
mod ring;
mod share;
mod zone;
mod zone_tree;

pub use change::{Change, ChangeError};
pub use claim::ClaimError;
pub use digest::RingDigest;
pub use hash::{PartitionCount, PartitionCountError, placement_hash};
pub use ids::{BucketId, Class, NodeId, ParseIdError, PartitionId, RingVersion};
pub use member::{Placed, Weight, WeightError};
pub use parts::{RingError, RingParts};
pub use plan::{
    ClassesPlan, Estimate, Gain, Move, NodeLoad, Plan, PlanError, Rates, Shift, Skew, StageError,
    Staged, Traffic, Warning, ZoneLoad,
};
pub use preference::{PreferenceList, Role};
pub use ring::{COPIES_MAX, FALLBACKS_MAX, MEMBERS_MAX, Ring};
pub use share::ExactShare;
pub use zone::{ZONE_BYTES_MAX, Zone, ZoneError};
