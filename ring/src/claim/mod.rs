//! The claim: which members a partition's list names.

use crate::hash::PartitionCount;
use crate::ids::NodeId;
use crate::member::Placed;
use crate::ring::{COPIES_MAX, MEMBERS_MAX};

/// Why no ring can be made of what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Not from 1 to [`COPIES_MAX`].
    #[error("{0} copies: a ring has 1 to {COPIES_MAX}")]
    Copies(u8),
    /// None, or more than [`MEMBERS_MAX`].
    #[error("{0} members: a ring has 1 to {MEMBERS_MAX}")]
    MemberCount(usize),
    /// One node given twice.
    #[error("member {0} is listed twice")]
    MemberTwice(NodeId),
    /// The ring to follow has the largest version number there is.
    #[error("no ring version is left after this one")]
    NoVersionLeft,
}

/// The outcome of a claim.
pub(crate) struct Claimed {
    /// The members in ascending order of their ids.
    pub(crate) members: Vec<Placed>,
    /// The lists of all partitions, one after the other, each min(copies, members) long.
    pub(crate) places: Vec<NodeId>,
}

/// Claims all partitions for these members.
///
/// `old` are the lists before, in the form of [`Claimed::places`]; empty if there are none.
///
/// # Errors
/// If `copies` or the number of members is out of bounds, or a member is listed twice.
pub(crate) fn claim(
    partitions: PartitionCount,
    copies: u8,
    members: &[Placed],
    old: &[NodeId],
) -> Result<Claimed, ClaimError> {
    let members = sorted(members)?;
    if !(1..=COPIES_MAX).contains(&copies) {
        return Err(ClaimError::Copies(copies));
    }
    let list_len = members.len().min(usize::from(copies));
    let _ = old;
    let count = partitions.get() as usize * list_len;
    let places = (0..count)
        .map(|place| members[place % members.len()].id)
        .collect();
    Ok(Claimed { members, places })
}

fn sorted(members: &[Placed]) -> Result<Vec<Placed>, ClaimError> {
    if members.is_empty() || members.len() > MEMBERS_MAX {
        return Err(ClaimError::MemberCount(members.len()));
    }
    let mut members = members.to_vec();
    members.sort_unstable_by_key(|member| member.id);
    match members.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => Err(ClaimError::MemberTwice(pair[1].id)),
        None => Ok(members),
    }
}
