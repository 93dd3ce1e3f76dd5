//! Rings as large as they get: balance, movement against lower bounds, and time.

mod common;

use std::time::{Duration, Instant};

use quorate_ring::{PartitionCount, Placed, Ring};

use common::{additions, assert_well_formed, member, members_in_zones, spread_of_loads};

/// Twice what DESIGN.md promises, for slow and shared machines.
const FIRST_TIME_MAX: Duration = Duration::from_secs(10);
const NEXT_TIME_MAX: Duration = Duration::from_secs(2);

fn timed<T>(name: &str, limit: Duration, make: impl FnOnce() -> T) -> T {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test measures, the crate does not"
    )]
    let (start, made) = (Instant::now(), make());
    let took = start.elapsed();
    println!("{name}: {took:?}");
    assert!(took < limit, "{name} took {took:?}");
    made
}

fn first(partitions: u32, copies: u8, members: &[Placed]) -> Ring {
    let partitions = PartitionCount::new(partitions).unwrap();
    timed("first", FIRST_TIME_MAX, || {
        Ring::first(partitions, copies, members).unwrap()
    })
}

fn next(name: &str, ring: &Ring, members: &[Placed]) -> Ring {
    timed(name, NEXT_TIME_MAX, || ring.next(members).unwrap())
}

fn walk(zones: u64) {
    let all = members_in_zones(1100, zones);
    let ring = first(16_384, 3, &all[..1000]);
    for (name, now) in [
        ("one joins", 0..1001),
        ("one leaves", 1..1000),
        ("hundred join", 0..1100),
        ("hundred leave", 100..1000),
        ("one replaced", 1..1001),
        ("hundred replaced", 100..1100),
        ("half leave", 0..500),
    ] {
        let changed = next(name, &ring, &all[now.clone()]);
        let (least, most) = spread_of_loads(&changed);
        println!(
            "  {} additions, loads {least}..={most}",
            additions(&ring, &changed)
        );
        assert_well_formed(&changed);
    }
}
#[test]
fn no_zones() {
    walk(1)
}
#[test]
fn three_zones() {
    walk(3)
}
#[test]
fn two_zones() {
    walk(2)
}
#[test]
fn ten_zones() {
    walk(10)
}
#[test]
fn many_zones() {
    walk(200)
}
#[test]
fn max() {
    let all = members_in_zones(4096, 5000);
    let ring = first(65_536, 7, &all[..4000]);
    next("96 join", &ring, &all);
    let ring = first(65_536, 3, &all[..3]);
    next("4th joins", &ring, &all[..4]);
    let _ = member(1, "", 1);
}
