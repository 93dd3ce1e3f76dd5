//! The claim: which members a partition's list names.

mod flow;
mod order;
mod pass;
mod pool;
mod scramble;
mod search;
mod share;
mod spread;
mod stay;

use self::flow::{NOBODY, Problem};
use self::order::Lists;
use self::share::Share;
use self::spread::Spread;
use self::stay::Old;
use crate::hash::PartitionCount;
use crate::ids::NodeId;
use crate::member::Placed;
use crate::ring::{COPIES_MAX, MEMBERS_MAX};
use crate::share::ExactShare;
use crate::zone_tree::ZoneTree;

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
    /// All members have weight 0.
    #[error("all members have weight 0: at least one must be left to hold the data")]
    AllDrained,
    /// The ring to follow has the largest version number there is.
    #[error("no ring version is left after this one")]
    NoVersionLeft,
}

/// The outcome of a claim.
pub(crate) struct Claimed {
    /// The members that may hold something, in ascending order of their ids.
    pub(crate) members: Vec<Placed>,
    /// The lists of all partitions, one after the other, each min(copies, members) long.
    pub(crate) places: Vec<NodeId>,
}

/// Claims all partitions for those of these members that are not drained.
///
/// `old` are the lists before, in the form of [`Claimed::places`]; empty if there are none.
///
/// # Errors
/// If `copies` or the number of members is out of bounds, a member is listed twice, or all of them
/// are drained.
pub(crate) fn claim(
    partitions: PartitionCount,
    copies: u8,
    members: &[Placed],
    old: &[NodeId],
) -> Result<Claimed, ClaimError> {
    let mut members = sorted(members)?;
    members.retain(|member| !member.weight.is_drained());
    if members.is_empty() {
        return Err(ClaimError::AllDrained);
    }
    if !(1..=COPIES_MAX).contains(&copies) {
        return Err(ClaimError::Copies(copies));
    }
    let list_len = members.len().min(usize::from(copies));
    let zones = ZoneTree::new(&members);
    let spread = Spread::new(&zones, members.len(), list_len);
    let weights = weights(&members);
    let partitions = partitions.get() as usize;
    let shares: Vec<Share> = share::exact_shares(&spread, &weights, partitions)
        .into_iter()
        .map(Share::from)
        .collect();
    let old_len = old.len() / partitions;
    let old: Vec<usize> = old.iter().map(|&node| index_of(&members, node)).collect();
    let problem = Problem {
        spread: &spread,
        shares: &shares,
        partitions,
        copies: list_len,
        old: &old,
        old_len,
    };
    let mut lists = Lists {
        places: search::solve(&problem),
        len: list_len,
    };
    let old = Old {
        places: &old,
        len: old_len,
    };
    order::settle(&mut lists, old);
    order::balance(&mut lists, &zones, &weights, old);
    let places = lists
        .places
        .iter()
        .map(|&member| members[member].id)
        .collect();
    Ok(Claimed { members, places })
}

/// The exact shares of members, none of them drained, for `copies` copies.
pub(crate) fn exact_shares(
    partitions: PartitionCount,
    copies: u8,
    members: &[Placed],
) -> Vec<ExactShare> {
    let list_len = members.len().min(usize::from(copies));
    let spread = Spread::new(&ZoneTree::new(members), members.len(), list_len);
    share::exact_shares(&spread, &weights(members), partitions.get() as usize)
}

fn weights(members: &[Placed]) -> Vec<u64> {
    let weights = members.iter().map(|member| member.weight.get());
    weights.map(u64::from).collect()
}

fn index_of(members: &[Placed], node: NodeId) -> usize {
    members
        .binary_search_by_key(&node, |member| member.id)
        .unwrap_or(NOBODY)
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

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod order_oracle;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Weight;

    /// Members with these zones, of equal weights, with ids that count from 0.
    pub(super) fn members(zones: &[&str]) -> Vec<Placed> {
        let member = |(id, zone): (u64, &&str)| Placed {
            id: NodeId::new(id),
            zone: zone.parse().unwrap(),
            weight: Weight::default(),
        };
        (0..).zip(zones).map(member).collect()
    }

    fn partitions(count: u32) -> PartitionCount {
        PartitionCount::new(count).unwrap()
    }

    #[test]
    fn input_out_of_bounds_is_refused_with_the_reason() {
        let refused = |copies, members: &[Placed]| claim(partitions(8), copies, members, &[]).err();
        let two = members(&["", ""]);
        assert_eq!(refused(0, &two), Some(ClaimError::Copies(0)));
        assert_eq!(refused(8, &two), Some(ClaimError::Copies(8)));
        assert_eq!(refused(3, &[]), Some(ClaimError::MemberCount(0)));
        assert_eq!(
            refused(3, &members(&[""; 4097])),
            Some(ClaimError::MemberCount(4097))
        );
        let twice = [two[1].clone(), two[0].clone(), two[1].clone()];
        assert_eq!(
            refused(3, &twice),
            Some(ClaimError::MemberTwice(NodeId::new(1)))
        );
    }

    #[test]
    fn drained_members_are_left_out_and_must_not_be_all() {
        let mut three = members(&["a", "b", "c"]);
        three[1].weight = Weight::DRAINED;
        let claimed = claim(partitions(4), 3, &three, &[]).unwrap();
        assert_eq!(claimed.members, [three[0].clone(), three[2].clone()]);
        assert_eq!(claimed.places.len(), 8);
        assert!(!claimed.places.contains(&three[1].id));
        let drained = claim(partitions(4), 3, &three[1..2], &[]).err();
        assert_eq!(drained, Some(ClaimError::AllDrained));
    }

    #[test]
    fn one_member_holds_everything_once() {
        let claimed = claim(partitions(4), 3, &members(&["a"]), &[]).unwrap();
        assert_eq!(claimed.places, [NodeId::new(0); 4]);
    }
}
