//! Rules broken on purpose: a checker that catches nothing is no checker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_core::Plant;

use crate::explore::{Bounds, NOTHING, explore};
use crate::{lost, swarm};

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

/// The same for recoveries after a majority is gone.
const RECOVERING: [(Plant, &str, u64); 3] = [
    (Plant::PledgeOfAFew, "leaves out members that live", 500),
    (Plant::PledgeUnsynced, "votes after it gave up", 2000),
    (Plant::RecoveredFromNothing, "is forgotten", 500),
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
fn every_rule_of_a_recovery_that_is_broken_is_noticed() {
    for (plant, says, seeds) in RECOVERING {
        let caught = (0..seeds).find_map(|seed| {
            let run = catch_unwind(AssertUnwindSafe(|| lost::run(seed, Some(plant))));
            let (violations, _) = run.ok()?;
            let caught = violations.into_iter().find(|what| what.contains(says))?;
            assert!(lost::run(seed, None).0.is_empty(), "seed {seed}");
            Some((seed, caught))
        });
        let Some((seed, what)) = caught else {
            panic!("{plant:?} is not noticed");
        };
        println!("{plant:?} after {} of {seeds} seeds: {what}", seed + 1);
    }
}

#[test]
fn a_number_without_its_lineage_takes_members_back_to_what_was_given_up() {
    let world = lost::gone_and_alive(Some(Plant::LineageIgnored));
    let back = |what: &String| what.contains("goes back");
    assert!(world.facts.violations.iter().any(back));
}

#[test]
fn every_rule_of_the_register_is_broken_once() {
    let rows = ROWS.iter().chain(&RECOVERING).map(|row| row.0);
    let mut broken: Vec<Plant> = rows.chain([Plant::LineageIgnored]).collect();
    broken.sort();
    assert_eq!(broken, *Plant::OF_REGISTER);
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
