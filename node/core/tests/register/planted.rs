//! Rules broken on purpose: a checker that catches nothing is no checker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_core::Plant;

use crate::explore::{Bounds, NOTHING, explore};
use crate::swarm;

/// Each rule, what is said when it is broken, and within how many seeds.
const ROWS: [(Plant, &str, u64); 10] = [
    (Plant::AcceptedValueIgnored, "are both decided", 200),
    (Plant::AmnesiacVotes, "are both adopted", 2000),
    (Plant::BallotReused, "offers", 1000),
    (Plant::FoundedByMajority, "which nobody decided", 200),
    (Plant::LowerBallotTaken, "are both decided", 1000),
    (Plant::NewMembersDecide, "which nobody decided", 200),
    (Plant::OlderMapTaken, "goes back", 200),
    (Plant::RetriedChangeMadeAgain, "made twice", 200),
    (Plant::StaleChangeMade, "made from", 200),
    (Plant::VoteBeforeFsync, "are both decided", 1000),
];

/// The first seed in which a broken rule is noticed as it must be, and what is said of it.
fn hunt(plant: Plant, says: &str, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| {
        let run = catch_unwind(AssertUnwindSafe(|| swarm::run(seed, Some(plant), says)));
        let (violations, _) = run.ok()?;
        let caught = violations.into_iter().find(|what| what.contains(says))?;
        let (unprovoked, _) = swarm::run(seed, None, "");
        assert!(unprovoked.is_empty(), "seed {seed}: {unprovoked:?}");
        Some((seed, caught))
    })
}

#[test]
fn every_rule_of_the_register_that_is_broken_is_noticed() {
    let mut missed = Vec::new();
    for (plant, says, seeds) in ROWS {
        let name = format!("{plant:?}");
        match hunt(plant, says, seeds) {
            Some((seed, what)) => println!(
                "{name:<24} after {:>3} of {seeds:>4} seeds: {what}",
                seed + 1
            ),
            None => missed.push(plant),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

#[test]
fn every_rule_of_the_register_is_broken_once() {
    assert_eq!(ROWS.map(|(plant, ..)| plant), *Plant::OF_REGISTER);
}

#[test]
fn the_search_of_all_orders_finds_what_breaks_agreement_itself() {
    let crash = Bounds {
        crashes: 1,
        ..NOTHING
    };
    let after_a_crash = Bounds {
        attempts: 3,
        ..crash
    };
    let wipe = Bounds {
        wipes: 1,
        ..NOTHING
    };
    for (plant, bounds) in [
        (Plant::AcceptedValueIgnored, NOTHING),
        (Plant::AmnesiacVotes, wipe),
        (Plant::BallotReused, crash),
        (Plant::LowerBallotTaken, NOTHING),
        (Plant::VoteBeforeFsync, after_a_crash),
    ] {
        let found = explore(bounds, Some(plant));
        println!("{plant:?} after {} states: {:?}", found.states, found.wrong);
        assert!(found.wrong.is_some(), "{plant:?}: {found:?}");
    }
}
