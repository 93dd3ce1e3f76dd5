//! Who is asked for a key, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ring::{BucketId, Class, FALLBACKS_MAX, NodeId, PartitionId, Role};

use crate::common::{first_ring, member, members_in_zones};

#[test]
fn a_key_is_held_by_the_first_members_of_its_partitions_list() {
    let ring = first_ring(64, 3, &members_in_zones(6, 3));
    let partition = ring.partition_of(BucketId::new(1), b"key");
    let three = ring.primaries(Class { n: 3, partition });
    assert_eq!(three.len(), 3);
    for n in 0..=7 {
        let first = &three[..three.len().min(usize::from(n))];
        assert_eq!(ring.primaries(Class { n, partition }), first);
    }
}

#[test]
fn primaries_and_fallbacks_name_every_member_once_in_one_order_for_all_n() {
    let ring = first_ring(32, 3, &members_in_zones(9, 4));
    for partition in ring.partitions().partitions() {
        let order = |n| -> Vec<NodeId> {
            let class = Class { n, partition };
            ring.primaries(class)
                .iter()
                .copied()
                .chain(ring.fallbacks(class))
                .collect()
        };
        let distinct: BTreeSet<NodeId> = order(3).into_iter().collect();
        assert_eq!((distinct.len(), order(3).len()), (9, 9));
        assert!((0..=4).all(|n| order(n) == order(3)));
    }
}

#[test]
fn a_preference_list_is_the_primaries_and_the_first_fallbacks() {
    let ring = first_ring(32, 3, &members_in_zones(9, 3));
    for n in 1..=3 {
        let class = Class {
            n,
            partition: PartitionId::new(31),
        };
        let list = ring.preference_list(class);
        assert_eq!(list.primaries, ring.primaries(class));
        assert_eq!(list.fallbacks.len(), FALLBACKS_MAX);
        assert!(
            list.fallbacks
                .iter()
                .copied()
                .eq(ring.fallbacks(class).take(FALLBACKS_MAX))
        );
        assert!(
            list.iter()
                .all(|(node, role)| list.role(node) == Some(role))
        );
        assert_eq!(list.role(list.primaries[0]), Some(Role::Primary(0)));
        assert_eq!(list.role(NodeId::new(1000)), None);
    }
}

#[test]
fn a_partition_the_ring_does_not_have_is_held_by_nobody() {
    let ring = first_ring(16, 3, &members_in_zones(4, 1));
    let class = Class {
        n: 3,
        partition: PartitionId::new(16),
    };
    assert!(ring.primaries(class).is_empty());
    assert_eq!(ring.fallbacks(class).count(), 0);
    assert_eq!(ring.preference_list(class).iter().count(), 0);
}

#[test]
fn too_few_members_give_short_lists_without_fallbacks() {
    let ring = first_ring(16, 3, &members_in_zones(2, 1));
    let list = ring.preference_list(Class {
        n: 3,
        partition: PartitionId::new(5),
    });
    assert_eq!((list.primaries.len(), list.fallbacks.len()), (2, 0));
}

#[test]
fn fallbacks_come_first_from_zones_that_hold_fewest_copies() {
    // Five zones of two: three hold a copy, so the first two fallbacks stand in the other two.
    let ring = first_ring(64, 3, &members_in_zones(10, 5));
    let zone_of = |node: NodeId| node.get() % 5;
    for partition in ring.partitions().partitions() {
        let list = ring.preference_list(Class { n: 3, partition });
        let nodes = list.iter().take(5).map(|(node, _)| zone_of(node));
        assert_eq!(nodes.collect::<BTreeSet<_>>().len(), 5, "{list:?}");
    }
}

#[test]
fn within_a_zone_fallbacks_come_first_from_parts_that_hold_fewest_copies() {
    let zones = ["a/1", "a/1", "a/2", "b/1", "b/1", "b/2"];
    let members: Vec<_> = (0..)
        .zip(zones)
        .map(|(id, zone)| member(id, zone, 100))
        .collect();
    let ring = first_ring(64, 2, &members);
    for partition in ring.partitions().partitions() {
        let list = ring.preference_list(Class { n: 2, partition });
        let zone = |node: NodeId| {
            ring.members()
                .iter()
                .find(|m| m.id == node)
                .map(|m| m.zone.clone())
        };
        let four: BTreeSet<_> = list.iter().take(4).map(|(node, _)| zone(node)).collect();
        assert_eq!(four.len(), 4, "{list:?}");
    }
}

#[test]
fn when_a_node_is_away_its_work_goes_to_all_others_by_their_weights() {
    let mut members = members_in_zones(10, 1);
    members[9].weight = member(0, "", 300).weight;
    let ring = first_ring(4096, 3, &members);
    let mut work: BTreeMap<NodeId, usize> = BTreeMap::new();
    for partition in ring.partitions().partitions() {
        let list = ring.preference_list(Class { n: 3, partition });
        if list
            .role(NodeId::new(1))
            .is_some_and(|role| matches!(role, Role::Primary(_)))
        {
            *work.entry(list.fallbacks[0]).or_default() += 1;
        }
    }
    let heavy = work.remove(&NodeId::new(10)).unwrap();
    let (least, most) = (work.values().min().unwrap(), work.values().max().unwrap());
    assert!(work.len() == 8 && *most < 2 * least, "{work:?}");
    // Most partitions have the heavy node in their list; where it is not, it is a likely choice.
    assert!(heavy > *least, "{heavy} of {work:?}");
}

#[test]
fn a_change_elsewhere_leaves_the_order_of_fallbacks_as_it_was() {
    let all = members_in_zones(12, 1);
    let ring = first_ring(64, 3, &all[..11]);
    let next = ring.next(&all).unwrap();
    let newcomer = all[11].id;
    for partition in ring.partitions().partitions() {
        let class = Class { n: 3, partition };
        if ring.primaries(class) == next.primaries(class) {
            let others = next.fallbacks(class).filter(|&node| node != newcomer);
            assert!(others.eq(ring.fallbacks(class)));
        }
    }
}
