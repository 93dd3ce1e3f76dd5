//! The raw content of a ring, for encodings, and the way back: parsing it into a [`Ring`].

use serde::{Deserialize, Serialize};

use crate::bounded::at_most;
use crate::digest::RingDigest;
use crate::hash::PartitionCount;
use crate::ids::{NodeId, RingVersion};
use crate::member::Placed;
use crate::ring::{COPIES_MAX, Content, MEMBERS_MAX, Ring};

/// The largest number of places a ring can have.
const PLACES_MAX: usize = 65_536 * COPIES_MAX as usize;

/// The content of a ring as plain data, none of it checked but the bounds on its size.
///
/// [`Ring`] is encoded as this with serde; whoever has a format of their own converts with
/// [`Ring::to_parts`] and [`Ring::from_parts`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingParts {
    /// The number of the ring.
    pub version: RingVersion,
    /// The digest of the ring it was made from; none for the first.
    pub parent: Option<RingDigest>,
    /// How many partitions it has.
    pub partitions: PartitionCount,
    /// The largest n a bucket may have.
    pub copies: u8,
    /// The members in ascending order of their ids, none of them of weight 0.
    #[serde(deserialize_with = "at_most::<_, _, MEMBERS_MAX>")]
    pub members: Vec<Placed>,
    /// The lists of all partitions, one after the other: each of min(`copies`, members) indices
    /// into `members`.
    #[serde(deserialize_with = "at_most::<_, _, PLACES_MAX>")]
    pub places: Vec<u16>,
}

/// Why a content is not a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The number is 0, or 1 with a parent, or above 1 without.
    #[error(
        "ring version {0} does not go with its parent: the first ring is version 1 and the only one without"
    )]
    Version(RingVersion),
    /// Not from 1 to [`COPIES_MAX`].
    #[error("{0} copies: a ring has 1 to {COPIES_MAX}")]
    Copies(u8),
    /// None, or more than [`MEMBERS_MAX`].
    #[error("{0} members: a ring has 1 to {MEMBERS_MAX}")]
    MemberCount(usize),
    /// Not in strictly ascending order.
    #[error("member {0} is out of order or twice in the ring")]
    MemberOrder(NodeId),
    /// Of weight 0: drained members are no part of a ring.
    #[error("member {0} has weight 0 and is in the ring all the same")]
    Drained(NodeId),
    /// Not one list for each partition.
    #[error("{found} places in the ring's lists where {expected} are needed")]
    PlaceCount {
        /// What was found.
        found: usize,
        /// What the partitions, copies and members ask for.
        expected: usize,
    },
    /// An index without a member.
    #[error("a place names member {0}, which the ring does not have")]
    NoSuchMember(u16),
    /// A list that is not of distinct members.
    #[error("member {0} is twice in one list")]
    Repeated(NodeId),
}

impl Ring {
    /// The content of this ring as plain data.
    pub fn to_parts(&self) -> RingParts {
        let index = |node: &NodeId| {
            let found = self
                .members()
                .binary_search_by_key(node, |member| member.id);
            // Every place names a member, and 4,096 members are counted in 16 bits.
            found
                .ok()
                .and_then(|index| u16::try_from(index).ok())
                .unwrap_or(u16::MAX)
        };
        RingParts {
            version: self.version(),
            parent: self.parent(),
            partitions: self.partitions(),
            copies: self.copies(),
            members: self.members().to_vec(),
            places: self.places().iter().map(index).collect(),
        }
    }

    /// Parses the content of a ring: what is returned satisfies every promise of the type but
    /// those of the claim (balance, zones), which an older or newer claim may have weighed
    /// differently.
    ///
    /// # Errors
    /// If anything is out of bounds, out of order or missing.
    pub fn from_parts(parts: RingParts) -> Result<Self, RingError> {
        let RingParts {
            version,
            parent,
            partitions,
            copies,
            members,
            places,
        } = parts;
        if version.get() == 0 || (version == RingVersion::FIRST) != parent.is_none() {
            return Err(RingError::Version(version));
        }
        if !(1..=COPIES_MAX).contains(&copies) {
            return Err(RingError::Copies(copies));
        }
        check_members(&members)?;
        let list_len = members.len().min(usize::from(copies));
        let expected = partitions.get() as usize * list_len;
        if places.len() != expected {
            return Err(RingError::PlaceCount {
                found: places.len(),
                expected,
            });
        }
        let name = |&place: &u16| {
            members
                .get(usize::from(place))
                .map(|member| member.id)
                .ok_or(RingError::NoSuchMember(place))
        };
        let places: Vec<NodeId> = places.iter().map(name).collect::<Result<_, _>>()?;
        for list in places.chunks_exact(list_len) {
            if let Some(at) = (1..list_len).find(|&at| list[..at].contains(&list[at])) {
                return Err(RingError::Repeated(list[at]));
            }
        }
        Ok(Self::from_content(Content {
            version,
            parent,
            partitions,
            copies,
            members,
            places,
        }))
    }
}

fn check_members(members: &[Placed]) -> Result<(), RingError> {
    if members.is_empty() || members.len() > MEMBERS_MAX {
        return Err(RingError::MemberCount(members.len()));
    }
    if let Some(pair) = members.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        return Err(RingError::MemberOrder(pair[1].id));
    }
    match members.iter().find(|member| member.weight.is_drained()) {
        Some(member) => Err(RingError::Drained(member.id)),
        None => Ok(()),
    }
}

impl TryFrom<RingParts> for Ring {
    type Error = RingError;

    fn try_from(parts: RingParts) -> Result<Self, RingError> {
        Self::from_parts(parts)
    }
}

impl From<Ring> for RingParts {
    fn from(ring: Ring) -> Self {
        ring.to_parts()
    }
}
