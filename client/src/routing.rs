//! Which nodes to ask for a key, in which order: decisions only, no I/O.
//!
//! A request goes to a primary, which answers without passing it on. Which of the primaries is
//! drawn from the key, so that work spreads over them and every request for one key, retries
//! included, goes to the same one while it is there: it remembers request ids, and one coordinator
//! makes no siblings by itself. Where no primary is reachable a fallback coordinates; any other
//! node passes the request on.

use quorate_protocol::map::ClusterMap;
use quorate_ring::{BucketId, Class, NodeId, placement_hash};

/// What the connections know about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reach {
    /// A connection is there.
    Connected,
    /// Nothing is known: dialling will tell.
    Untried,
    /// Being dialled right now.
    Dialing,
    /// The last try to reach it failed.
    Down,
}

impl Reach {
    /// Nodes of a lower rank go first, whatever their role.
    const fn rank(self) -> u8 {
        match self {
            Self::Connected | Self::Untried => 0,
            Self::Dialing => 1,
            Self::Down => 2,
        }
    }
}

/// Where a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its replication class.
    pub(crate) class: Class,
    /// Chooses among the primaries: the same number for the same key.
    pub(crate) spread: u64,
}

impl Target {
    /// The place of a key in a bucket of `n` copies.
    pub(crate) fn of_key(map: &ClusterMap, bucket: BucketId, n: u8, key: &[u8]) -> Self {
        let class = Class {
            n,
            partition: map.ring.partition_of(bucket, key),
        };
        // The high bits choose the partition: the low ones are independent of it.
        Self {
            class,
            spread: placement_hash(bucket, key),
        }
    }
}

/// All members in the order in which a request for `target` considers them.
///
/// Reachable ones first, then those being dialled, then those that were down; in each group the
/// primaries, then the fallbacks in their order.
pub(crate) fn order(
    map: &ClusterMap,
    target: Target,
    reach: impl Fn(NodeId) -> Reach,
) -> Vec<NodeId> {
    let primaries = map.ring.primaries(target.class);
    let first = usize::try_from(target.spread % (primaries.len().max(1) as u64)).unwrap_or(0);
    let rotated = primaries
        .iter()
        .cycle()
        .skip(first)
        .take(primaries.len())
        .copied();
    let mut nodes: Vec<NodeId> = rotated.chain(map.ring.fallbacks(target.class)).collect();
    nodes.sort_by_key(|&node| reach(node).rank());
    nodes
}

/// All members, for requests that any node can answer, beginning at a place that `spread` chooses.
pub(crate) fn anybody(
    map: &ClusterMap,
    spread: u64,
    reach: impl Fn(NodeId) -> Reach,
) -> Vec<NodeId> {
    let members = &map.members;
    let first = usize::try_from(spread % (members.len().max(1) as u64)).unwrap_or(0);
    let mut nodes: Vec<NodeId> = members
        .iter()
        .cycle()
        .skip(first)
        .take(members.len())
        .map(|member| member.id)
        .collect();
    // Here a connection at hand beats one still to be made.
    nodes.sort_by_key(|&node| reach(node));
    nodes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::map;

    fn key(map: &ClusterMap, key: &str) -> Target {
        Target::of_key(map, BucketId::new(1), 3, key.as_bytes())
    }

    #[test]
    fn healthy_requests_go_to_a_primary_and_one_key_always_to_the_same() {
        let map = map(5);
        for number in 0..100 {
            let target = key(&map, &format!("key{number}"));
            let order = order(&map, target, |_| Reach::Connected);
            let primaries: BTreeSet<_> = map.ring.primaries(target.class).iter().copied().collect();
            assert_eq!(
                order[..3].iter().copied().collect::<BTreeSet<_>>(),
                primaries
            );
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 5);
            assert_eq!(order, super::order(&map, target, |_| Reach::Connected));
        }
    }

    #[test]
    fn keys_of_one_partition_spread_over_its_primaries() {
        let map = map(5);
        let partition = key(&map, "key0").class.partition;
        let firsts: BTreeSet<_> = (0..2000)
            .map(|number| key(&map, &format!("key{number}")))
            .filter(|target| target.class.partition == partition)
            .map(|target| order(&map, target, |_| Reach::Connected)[0])
            .collect();
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn a_primary_that_is_down_goes_behind_the_fallbacks() {
        let map = map(5);
        let target = key(&map, "key");
        let healthy = order(&map, target, |_| Reach::Untried);
        let down = healthy[0];
        let order = order(&map, target, |node| {
            if node == down {
                Reach::Down
            } else {
                Reach::Connected
            }
        });
        assert_eq!(order[..2], healthy[1..3]);
        assert_eq!(order[4], down);
    }

    #[test]
    fn with_all_primaries_down_a_fallback_goes_first_and_nobody_is_left_out() {
        let map = map(5);
        let target = key(&map, "key");
        let primaries = map.ring.primaries(target.class).to_vec();
        let fallbacks: Vec<_> = map.ring.fallbacks(target.class).collect();
        let order = order(&map, target, |node| {
            if primaries.contains(&node) {
                Reach::Down
            } else {
                Reach::Dialing
            }
        });
        assert_eq!(order[..2], fallbacks);
        assert_eq!(order.len(), 5);
    }

    #[test]
    fn a_node_at_hand_answers_what_anybody_can() {
        let map = map(5);
        let at_hand = map.members[3].id;
        let order = anybody(&map, 0, |node| {
            if node == at_hand {
                Reach::Connected
            } else {
                Reach::Untried
            }
        });
        assert_eq!(order[0], at_hand);
        assert_eq!(order.len(), 5);
    }
}
