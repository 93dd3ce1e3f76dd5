//! Who holds a key, and who stands in when one of those is away.

use crate::ids::{NodeId, PartitionId};
use crate::ring::Ring;
use crate::zone_tree::ZoneTree;
use xxhash_rust::xxh3::xxh3_64;

/// The nodes a request considers, in order: the primaries of its class, then fallbacks.
///
/// No node is listed twice. At most n + [`crate::FALLBACKS_MAX`] nodes in total.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PreferenceList {
    /// Who holds the class; fewer than n if the cluster has fewer members.
    pub primaries: Vec<NodeId>,
    /// Who stands in for primaries that are away, the first choice first.
    pub fallbacks: Vec<NodeId>,
}

/// What a node is to a class; the number counts from 0 within its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// One of the holders.
    Primary(usize),
    /// One of those that stand in.
    Fallback(usize),
}

impl PreferenceList {
    /// The role of a node in this list, if it is in it.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        let position = |nodes: &[NodeId]| nodes.iter().position(|&listed| listed == node);
        position(&self.primaries)
            .map(Role::Primary)
            .or_else(|| position(&self.fallbacks).map(Role::Fallback))
    }

    /// All nodes in order, primaries first.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Role)> {
        let primaries = (0..).map(Role::Primary);
        let fallbacks = (0..).map(Role::Fallback);
        let primaries = self.primaries.iter().copied().zip(primaries);
        primaries.chain(self.fallbacks.iter().copied().zip(fallbacks))
    }
}

/// The members that are not in a partition's list, in the order in which they stand in.
///
/// Next is always a member whose widest zone holds the fewest of those before it, the list
/// included; among those the one whose next narrower zone does, and so on; among equals the first
/// by weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005).
/// So fallbacks spread over zones and, partition by partition, over members in proportion to their
/// weights, and a change of members moves few of them.
///
/// Each step looks at all members; a request takes a handful of steps.
pub(crate) struct Rest<'a> {
    zones: &'a ZoneTree,
    /// How many of the chosen stand in each zone.
    crowd: Vec<u32>,
    /// Index, rendezvous score (least first) and id of each member that was not chosen yet.
    left: Vec<(usize, u128, NodeId)>,
}

impl<'a> Rest<'a> {
    pub(crate) fn new(
        ring: &'a Ring,
        zones: &'a ZoneTree,
        partition: PartitionId,
        list: &[NodeId],
    ) -> Self {
        let mut rest = Self {
            zones,
            crowd: vec![0; zones.len()],
            left: Vec::new(),
        };
        rest.left.reserve(ring.members().len());
        for (index, member) in ring.members().iter().enumerate() {
            if list.contains(&member.id) {
                rest.crowd_in(index);
            } else {
                let score = score(partition, member.id, member.weight.get());
                rest.left.push((index, score, member.id));
            }
        }
        rest
    }

    fn crowd_in(&mut self, member: usize) {
        for &zone in self.zones.path(member) {
            self.crowd[zone as usize] += 1;
        }
    }
}

impl Iterator for Rest<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let crowds = |index| {
            self.zones
                .path(index)
                .iter()
                .map(|&zone| self.crowd[zone as usize])
        };
        let best = (0..self.left.len()).min_by(|&a, &b| {
            let ((a, score_a, id_a), (b, score_b, id_b)) = (self.left[a], self.left[b]);
            crowds(a)
                .cmp(crowds(b))
                .then((score_a, id_a).cmp(&(score_b, id_b)))
        })?;
        let (index, _, id) = self.left.swap_remove(best);
        self.crowd_in(index);
        Some(id)
    }
}

/// The rendezvous score of a member for a partition; the least wins, with a chance in proportion to
/// the weight: minus the logarithm of a uniform number, over the weight.
fn score(partition: PartitionId, id: NodeId, weight: u16) -> u128 {
    let [a, b] = partition.get().to_be_bytes();
    let [c, d, e, f, g, h, i, j] = id.get().to_be_bytes();
    let uniform = xxh3_64(&[a, b, c, d, e, f, g, h, i, j]);
    minus_log2(uniform) / u128::from(weight)
}

/// Minus the binary logarithm of `x / 2^64`, in units of 2^-80 and interpolated linearly between
/// powers of two: integers only, because floating point may differ between machines. Falls strictly
/// as `x` rises.
fn minus_log2(x: u64) -> u128 {
    let zeros = x.leading_zeros();
    // What follows the leading one, moved to the top of 64 bits.
    let mantissa = x.checked_shl(zeros + 1).unwrap_or(0);
    (u128::from(zeros + 1) << 80) - (u128::from(mantissa) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_role_of_its_position() {
        let list = PreferenceList {
            primaries: vec![NodeId::new(1), NodeId::new(2)],
            fallbacks: vec![NodeId::new(3)],
        };
        assert_eq!(list.role(NodeId::new(2)), Some(Role::Primary(1)));
        assert_eq!(list.role(NodeId::new(3)), Some(Role::Fallback(0)));
        assert_eq!(list.role(NodeId::new(4)), None);
        let roles: Vec<_> = list.iter().map(|(_, role)| role).collect();
        assert_eq!(
            roles,
            [Role::Primary(0), Role::Primary(1), Role::Fallback(0)]
        );
    }

    #[test]
    fn the_logarithm_falls_and_is_exact_at_powers_of_two() {
        assert_eq!(minus_log2(1 << 63), 1 << 80);
        assert_eq!(minus_log2(1 << 62), 2 << 80);
        assert_eq!(minus_log2(1), 64 << 80);
        let falling = [
            0,
            1,
            2,
            3,
            1 << 40,
            (1 << 40) + 1,
            u64::MAX / 2,
            u64::MAX - 1,
            u64::MAX,
        ];
        assert!(
            falling
                .windows(2)
                .all(|pair| minus_log2(pair[0]) > minus_log2(pair[1]))
        );
    }

    #[test]
    fn heavier_members_stand_in_more_often() {
        let (light, heavy) = (NodeId::new(1), NodeId::new(2));
        let wins = (0..4096)
            .map(PartitionId::new)
            .filter(|&partition| score(partition, heavy, 300) < score(partition, light, 100))
            .count();
        // Three of four, within what interpolation and chance allow.
        assert!((2900..3250).contains(&wins), "{wins}");
    }
}
