//! Large rings: balance, movement against lower bounds, how copies are strewn, and time.

mod common;

use std::time::{Duration, Instant};

use quorate_ring::{Placed, Ring};

use common::{
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

/// No change to equal members can do with fewer additions: who leaves must be replaced, who joins
/// must be given the least load a member has now, and so must who had less.
fn additions_min(old: &Ring, new: &Ring) -> usize {
    let is_new_member = |id| new.members().iter().any(|member| member.id == id);
    let departed = old
        .members()
        .iter()
        .filter(|member| !is_new_member(member.id));
    let departed: u32 = departed.map(|member| old.load_of(member.id)).sum();
    let least = new
        .members()
        .iter()
        .map(|member| new.load_of(member.id))
        .min()
        .unwrap_or(0);
    let wanting = new
        .members()
        .iter()
        .map(|member| least.saturating_sub(old.load_of(member.id)));
    wanting.sum::<u32>().max(departed) as usize
}

/// Members come and go; `allowed` is how many additions beyond the lower bound each change may have.
fn walk(zones: u64, allowed: usize) {
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
        assert!(
            (least..=least + allowed).contains(&moved),
            "{name}: {moved}, at least {least}"
        );
        assert!(
            peers(&changed).into_iter().all(|peers| peers > 60),
            "{name}"
        );
    }
}

#[test]
fn without_zones_every_change_moves_the_minimum() {
    walk(1, 0);
}

#[test]
fn with_two_zones_every_change_moves_the_minimum() {
    walk(2, 0);
}

#[test]
fn with_three_zones_a_change_moves_what_zones_of_unequal_size_ask_for() {
    // A member that joins in another zone than one left shifts load within both zones.
    walk(3, 60);
}

#[test]
fn with_two_hundred_zones_every_change_moves_the_minimum() {
    walk(200, 0);
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
