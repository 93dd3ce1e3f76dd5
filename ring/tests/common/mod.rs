//! What the tests share: members to place, and naive checks of a ring.
#![allow(dead_code, reason = "every test target uses a part of it")]

use quorate_ring::{Class, NodeId, Placed, Ring, Weight};

pub fn member(id: u64, zone: &str, weight: u16) -> Placed {
    let zone = zone.parse().expect("the tests name valid zones");
    let weight = Weight::new(weight).expect("the tests give valid weights");
    Placed {
        id: NodeId::new(id),
        zone,
        weight,
    }
}

/// Members 1 to `count` of equal weight, in turn in each of `zones` zones.
pub fn members_in_zones(count: u64, zones: u64) -> Vec<Placed> {
    (1..=count)
        .map(|id| member(id, &format!("z{}", id % zones), 100))
        .collect()
}

/// The lists of all partitions.
pub fn lists(ring: &Ring) -> impl Iterator<Item = &[NodeId]> {
    let n = ring.copies();
    ring.partitions()
        .partitions()
        .map(move |partition| ring.primaries(Class { n, partition }))
}

/// How many (partition, node) pairs `new` has that `old` has not.
pub fn additions(old: &Ring, new: &Ring) -> usize {
    lists(old)
        .zip(lists(new))
        .map(|(old, new)| new.iter().filter(|node| !old.contains(node)).count())
        .sum()
}

/// The least and the largest load.
pub fn spread_of_loads(ring: &Ring) -> (u32, u32) {
    let loads = || ring.members().iter().map(|member| ring.load_of(member.id));
    (loads().min().unwrap_or(0), loads().max().unwrap_or(0))
}

/// Every list names min(copies, members) distinct members, and the loads count them.
pub fn assert_well_formed(ring: &Ring) {
    let len = ring.members().len().min(usize::from(ring.copies()));
    for list in lists(ring) {
        assert_eq!(list.len(), len);
        for (at, node) in list.iter().enumerate() {
            assert!(!list[..at].contains(node), "{node} is twice in a list");
            assert!(
                ring.members().iter().any(|member| member.id == *node),
                "{node} is no member"
            );
        }
    }
    let load: u32 = ring
        .members()
        .iter()
        .map(|member| ring.load_of(member.id))
        .sum();
    assert_eq!(load as usize, ring.partitions().get() as usize * len);
}
