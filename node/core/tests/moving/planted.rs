//! Rules that are broken on purpose, and found by random runs. What needs a schedule of its own is in `directed.rs`.

use quorate_core::Plant;

use crate::racing;
use crate::swarm::weather;
use crate::world::World;
use crate::wrong::Wrong;

/// Each rule, and how many random runs may pass before it is found.
const PLANTS: [(Wrong, u64); 2] = [
    (Wrong::Replica(Plant::HintsOfTheGoneKept), 20),
    (Wrong::Replica(Plant::OldVnodeRegained), 40),
];

#[test]
fn each_broken_rule_is_found() {
    let found = |(wrong, most): (Wrong, u64)| {
        let first = (0..most).find_map(|seed| {
            let mut world = World::new(seed, weather(seed), Some(wrong));
            world.run();
            world.end().err().map(|error| (seed, error))
        });
        eprintln!("{wrong:?}: {first:?}");
        first.is_none().then_some(wrong)
    };
    let missed: Vec<Wrong> = PLANTS.into_iter().filter_map(found).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Each rule that who makes versions may break, and how many races may pass before it is found. One quorum for both sets
/// lost something in 29 of 4,000 races.
const RACES: [(Wrong, u64); 5] = [
    (Wrong::NoBarrier, 60),
    (Wrong::NoJointNew, 60),
    (Wrong::GoneAtOnce, 20),
    (Wrong::CancelledAtOnce, 300),
    (Wrong::Replica(Plant::OneQuorumForBoth), 2_000),
];

#[test]
fn v01_each_broken_rule_loses_a_race() {
    let found = |(wrong, most): (Wrong, u64)| {
        let first = (0..most).find_map(|seed| Some((seed, racing::run(seed, Some(wrong)).err()?)));
        eprintln!("{wrong:?}: {first:?}");
        first.is_none().then_some(wrong)
    };
    let missed: Vec<Wrong> = RACES.into_iter().filter_map(found).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
