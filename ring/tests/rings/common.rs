//! What the tests share: members to place, and naive checks of a ring.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ring::{Class, NodeId, PartitionCount, Placed, Ring, Weight};

pub(crate) fn member(id: u64, zone: &str, weight: u16) -> Placed {
    let zone = zone.parse().expect("the tests name valid zones");
    let weight = Weight::new(weight).expect("the tests give valid weights");
    Placed {
        id: NodeId::new(id),
        zone,
        weight,
    }
}

/// Members 1 to `count` of equal weight, in turn in each of `zones` zones.
pub(crate) fn members_in_zones(count: u64, zones: u64) -> Vec<Placed> {
    (1..=count)
        .map(|id| member(id, &format!("z{}", id % zones), 100))
        .collect()
}

pub(crate) fn first_ring(partitions: u32, copies: u8, members: &[Placed]) -> Ring {
    let partitions = PartitionCount::new(partitions).expect("the tests give valid counts");
    Ring::first(partitions, copies, members).expect("the tests give valid members")
}

pub(crate) fn next_ring(ring: &Ring, members: &[Placed]) -> Ring {
    ring.next(members).expect("the tests give valid members")
}

/// The first n of the lists of all partitions.
pub(crate) fn lists(ring: &Ring, n: u8) -> impl Iterator<Item = &[NodeId]> {
    ring.partitions()
        .partitions()
        .map(move |partition| ring.primaries(Class { n, partition }))
}

/// How many (partition, node) pairs of n copies `new` has that `old` has not.
pub(crate) fn additions(old: &Ring, new: &Ring, n: u8) -> usize {
    lists(old, n)
        .zip(lists(new, n))
        .map(|(old, new)| new.iter().filter(|node| !old.contains(node)).count())
        .sum()
}

/// How often each member is among the first n.
pub(crate) fn loads(ring: &Ring, n: u8) -> BTreeMap<NodeId, usize> {
    let mut loads: BTreeMap<NodeId, usize> =
        ring.members().iter().map(|member| (member.id, 0)).collect();
    for node in lists(ring, n).flatten() {
        *loads.entry(*node).or_default() += 1;
    }
    loads
}

/// The difference between the largest and the smallest load.
pub(crate) fn imbalance(ring: &Ring, n: u8) -> usize {
    let loads = loads(ring, n);
    let (least, most) = (loads.values().min(), loads.values().max());
    most.zip(least).map_or(0, |(most, least)| most - least)
}

/// With how many others each member shares a partition.
pub(crate) fn peers(ring: &Ring) -> Vec<usize> {
    let mut peers: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for list in lists(ring, ring.copies()) {
        for node in list {
            peers
                .entry(*node)
                .or_default()
                .extend(list.iter().filter(|peer| *peer != node));
        }
    }
    peers.values().map(BTreeSet::len).collect()
}

/// Every list, those of the last partitions included, names min(copies, members) distinct members,
/// and the loads count them.
pub(crate) fn assert_well_formed(ring: &Ring) {
    let len = ring.members().len().min(usize::from(ring.copies()));
    let ids: BTreeSet<NodeId> = ring.members().iter().map(|member| member.id).collect();
    assert_eq!(
        lists(ring, ring.copies()).count(),
        ring.partitions().get() as usize
    );
    for list in lists(ring, ring.copies()) {
        let distinct: BTreeSet<&NodeId> = list.iter().collect();
        assert_eq!((list.len(), distinct.len()), (len, len), "{list:?}");
        assert!(list.iter().all(|node| ids.contains(node)), "{list:?}");
    }
    for (node, load) in loads(ring, ring.copies()) {
        assert_eq!(ring.load_of(node) as usize, load);
    }
}

/// The first n of every list are spread over zones as far as possible: moving a copy from one part
/// of a zone to another part that has room never makes them more equal, at any depth.
pub(crate) fn assert_spread_over_zones(ring: &Ring) {
    let all: Vec<&Placed> = ring.members().iter().collect();
    for n in 1..=ring.copies() {
        for list in lists(ring, n) {
            let chosen: Vec<&Placed> = all
                .iter()
                .copied()
                .filter(|m| list.contains(&m.id))
                .collect();
            assert!(is_spread(&chosen, &all, 0), "{chosen:?}");
        }
    }
}

fn is_spread(chosen: &[&Placed], zone: &[&Placed], depth: usize) -> bool {
    let part_of = |member: &Placed| member.zone.components().nth(depth).map(str::to_owned);
    let parts: BTreeSet<Option<String>> = zone.iter().map(|member| part_of(member)).collect();
    let of = |members: &[&Placed], part: &Option<String>| -> usize {
        members
            .iter()
            .filter(|member| part_of(member) == *part)
            .count()
    };
    let even = parts.iter().all(|more| {
        parts.iter().all(|less| {
            let full = of(chosen, less) == of(zone, less);
            full || of(chosen, more) <= of(chosen, less) + 1
        })
    });
    even && parts.iter().filter(|part| part.is_some()).all(|part| {
        let within = |members: &[&Placed]| -> Vec<Placed> {
            members
                .iter()
                .filter(|m| part_of(m) == *part)
                .map(|m| (*m).clone())
                .collect()
        };
        let (chosen, zone) = (within(chosen), within(zone));
        let (chosen, zone): (Vec<_>, Vec<_>) = (chosen.iter().collect(), zone.iter().collect());
        is_spread(&chosen, &zone, depth + 1)
    })
}

/// Every member holds its exact share, rounded down or up.
pub(crate) fn assert_shares_are_kept(ring: &Ring) {
    let shares = ring.exact_shares(ring.copies());
    for (member, share) in ring.members().iter().zip(shares) {
        let load = u64::from(ring.load_of(member.id));
        assert!(
            (share.floor()..=share.ceil()).contains(&load),
            "{} holds {load} of {share}",
            member.id
        );
    }
}

/// Members that stand in one zone and have one weight differ by one partition at most.
pub(crate) fn assert_equals_have_equal_loads(ring: &Ring) {
    let mut kinds: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for member in ring.members() {
        let kind = kinds.entry((&member.zone, member.weight)).or_default();
        kind.push(ring.load_of(member.id));
    }
    for (kind, loads) in kinds {
        let (least, most) = (loads.iter().min(), loads.iter().max());
        assert!(
            most.zip(least)
                .is_none_or(|(most, least)| most - least <= 1),
            "{kind:?}: {loads:?}"
        );
    }
}
