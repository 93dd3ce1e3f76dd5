//! Rules that are broken on purpose, and found out.

use quorate_core::Plant;

use crate::swarm::weather;
use crate::world::World;
use crate::wrong::Wrong;

/// Each rule, and how many random runs may pass before it is found.
const PLANTS: [(Wrong, u64); 23] = [
    (Wrong::Replica(Plant::AckOfAnotherEpoch), 1000),
    (Wrong::Replica(Plant::AnswerOfAnEarlierLife), 1000),
    (Wrong::Replica(Plant::AnswerOfAnotherEpoch), 1000),
    (Wrong::Replica(Plant::ClaimNotDurable), 1000),
    (Wrong::Replica(Plant::ClockOfBeforeTheFence), 1000),
    (Wrong::Replica(Plant::CoveredUnsynced), 1000),
    (Wrong::Replica(Plant::DeletedUncovered), 1000),
    (Wrong::Replica(Plant::FenceOpen), 1000),
    (Wrong::Replica(Plant::HintsOfTheGoneDropped), 1000),
    (Wrong::Replica(Plant::HintsOfTheGoneKept), 1000),
    (Wrong::Replica(Plant::MissedEpochsIgnored), 1000),
    (Wrong::Replica(Plant::NotShippedAnew), 1000),
    (Wrong::Replica(Plant::OldVnodeRegained), 1000),
    (Wrong::Replica(Plant::QuorumOfClocks), 1000),
    (Wrong::Replica(Plant::SealedWhileDeparting), 1000),
    (Wrong::Replica(Plant::SnapshotIsEnough), 1000),
    (Wrong::NoBarrier, 1000),
    (Wrong::NoJointNew, 1000),
    (Wrong::ClaimNotAwaited, 1000),
    (Wrong::AdoptedUnsynced, 1000),
    (Wrong::MovesOverlap, 1000),
    (Wrong::VnodeIdReused, 1000),
    (Wrong::CancelledAtOnce, 1000),
];

#[test]
fn each_broken_rule_is_found() {
    let found = |(wrong, most): (Wrong, u64)| {
        let first = (0..most).find_map(|seed| {
            let mut world = World::new(seed, weather(seed), Some(wrong));
            world.run();
            world.end().err().map(|error| (seed, error))
        });
        eprintln!("DBG {wrong:?}: {first:?}");
        first.is_none().then_some(wrong)
    };
    let missed: Vec<Wrong> = PLANTS.into_iter().filter_map(found).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
