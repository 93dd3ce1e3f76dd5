//! Large rings: balance, movement against lower bounds, how copies are strewn, and time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use quorate_ring::{NodeId, Placed, Ring};

use crate::common::{
    additions, assert_well_formed, first_ring, imbalance, members_in_zones, next_ring, peers,
};

/// Five times what is promised (1 s, and 5 s from nothing), itself several times what it takes:
/// catches an algorithm that has become another one, not a machine that is busy.
const FIRST_TIME_MAX: Duration = Duration::from_secs(25);
const NEXT_TIME_MAX: Duration = Duration::from_secs(5);

#[expect(
    clippy::disallowed_methods,
    reason = "the tests measure; the crate has no clock"
)]
fn timed(name: &str, limit: Duration, make: impl FnOnce() -> Ring) -> Ring {
    let start = Instant::now();
    let ring = make();
    let took = start.elapsed();
    println!("{name}: {took:?}");
    assert!(took < limit, "{name} took {took:?}");
    ring
}

/// No change to members of equal weights can do with fewer additions.
///
/// Looked at is each part of the cluster whose load is given: a zone, if there are as many zones as
/// copies, otherwise all of it. Nobody there holds less than the part's average rounded down or more
/// than it rounded up. Whoever held less must be given what is lacking; and of what is to be held
/// in all, only what was held before and may be kept is no addition.
fn additions_min(old: &Ring, new: &Ring) -> usize {
    let mut parts: BTreeMap<&str, Vec<&Placed>> = BTreeMap::new();
    for member in new.members() {
        parts.entry(member.zone.as_str()).or_default().push(member);
    }
    let copies = usize::from(new.copies());
    let partitions = new.partitions().get() as usize;
    if parts.len() != copies {
        let all = new.members().iter().collect();
        return additions_in_part(old, all, partitions * copies);
    }
    let parts = parts.into_values();
    parts
        .map(|members| additions_in_part(old, members, partitions))
        .sum()
}

fn additions_in_part(old: &Ring, members: Vec<&Placed>, places: usize) -> usize {
    let (least, most) = (places / members.len(), places.div_ceil(members.len()));
    let held = members.iter().map(|member| old.load_of(member.id) as usize);
    let lacking: usize = held.clone().map(|held| least.saturating_sub(held)).sum();
    let kept: usize = held.map(|held| held.min(most)).sum();
    lacking.max(places - kept)
}

/// Members come and go; every change moves what it must.
fn walk(zones: u64) {
    let all = members_in_zones(1100, zones);
    let ring = timed("first", FIRST_TIME_MAX, || {
        first_ring(16_384, 3, &all[..1000])
    });
    let changes: [(&str, &[Placed]); 7] = [
        ("one joins", &all[..1001]),
        ("one leaves", &all[1..1000]),
        ("one is replaced", &all[1..1001]),
        ("a hundred join", &all[..1100]),
        ("a hundred leave", &all[100..1000]),
        ("a hundred are replaced", &all[100..1100]),
        ("half of all leave", &all[..500]),
    ];
    for (name, members) in changes {
        let changed = timed(name, NEXT_TIME_MAX, || next_ring(&ring, members));
        assert_well_formed(&changed);
        assert!(
            imbalance(&changed, 3) <= 1 + usize::from(zones == 3),
            "{name}"
        );
        let (moved, least) = (
            additions(&ring, &changed, 3),
            additions_min(&ring, &changed),
        );
        println!(
            "    {moved} additions, at least {least}; {} for n = 1",
            additions(&ring, &changed, 1)
        );
        assert_eq!(moved, least, "{name}");
        assert!(
            peers(&changed).into_iter().all(|peers| peers > 60),
            "{name}"
        );
    }
}

#[test]
fn without_zones_every_change_moves_the_minimum() {
    walk(1);
}

#[test]
fn with_two_zones_every_change_moves_the_minimum() {
    walk(2);
}

#[test]
fn with_three_zones_every_change_moves_the_minimum_of_each_zone() {
    // A member that joins in another zone than one left shifts load within both zones.
    walk(3);
}

#[test]
fn with_two_hundred_zones_every_change_moves_the_minimum() {
    walk(200);
}

/// Steps of a rolling replacement of the first 100 of 1,000 members by new ones in the same zones:
/// what moves in all is what the replaced ones held, whatever the size of the steps.
fn roll(zones: u64, step: usize) {
    let mut members = members_in_zones(1000, zones);
    let mut ring = first_ring(16_384, 3, &members);
    let (mut moved, mut replaced) = (0, 0);
    for first in (0..100).step_by(step) {
        for member in &mut members[first..first + step] {
            replaced += ring.load_of(member.id) as usize;
            member.id = NodeId::new(10_000 + member.id.get());
        }
        let next = next_ring(&ring, &members);
        assert_eq!(additions(&ring, &next, 3), additions_min(&ring, &next));
        moved += additions(&ring, &next, 3);
        ring = next;
    }
    assert_well_formed(&ring);
    assert_eq!(moved, replaced);
    println!("{zones} zones, {step} at a time: {moved} additions");
}

#[test]
fn a_rolling_replacement_of_a_hundred_of_a_thousand_moves_what_those_hundred_held() {
    for (zones, step) in [(1, 10), (3, 1), (3, 100), (200, 10)] {
        roll(zones, step);
    }
}

#[test]
fn the_largest_ring_can_be_made_and_changed() {
    let all = members_in_zones(4096, 5000);
    let limit = Duration::from_secs(60);
    let ring = timed("4000 members", limit, || {
        first_ring(65_536, 7, &all[..4000])
    });
    let changed = timed("96 join", limit, || ring.next(&all).unwrap());
    assert_well_formed(&changed);
    assert!(imbalance(&changed, 7) <= 1);
    assert_eq!(
        additions(&ring, &changed, 7),
        additions_min(&ring, &changed)
    );
}

#[test]
fn a_small_cluster_with_many_partitions_grows_by_the_minimum() {
    let all = members_in_zones(5, 1);
    let mut ring = first_ring(65_536, 3, &all[..3]);
    for count in [4, 5] {
        let grown = timed("joins", NEXT_TIME_MAX, || ring.next(&all[..count]).unwrap());
        assert_well_formed(&grown);
        assert!(imbalance(&grown, 3) <= 1);
        assert_eq!(additions(&ring, &grown, 3), additions_min(&ring, &grown));
        ring = grown;
    }
}
