//! Every planted bug is caught by the checker that is there for it. Needs the feature `planted`.
#![cfg(feature = "planted")]

use std::io::Write;

use quorate_core::{Plant, Replica};
use quorate_tests::scenario::play::{How, play, play_with};
use quorate_tests::scenario::stage::Weather;
use quorate_tests::scenario::{Scenario, all};
use quorate_tests::sim::planted::{hunt_all, line, rows};

#[test]
fn every_planted_bug_is_caught_within_its_budget_by_the_checker_that_is_there_for_it() {
    let rows = rows();
    let hunts = hunt_all(&rows);
    // Shown also where all is well: the table is a result of its own.
    let mut shown = std::io::stderr().lock();
    for (row, hunt) in rows.iter().zip(&hunts) {
        writeln!(shown, "{}", line(row, hunt)).expect("the test's own output takes a line");
    }
    let missed: Vec<String> = rows
        .iter()
        .zip(&hunts)
        .filter(|(_, hunt)| hunt.caught.is_none())
        .map(|(row, hunt)| format!("{:?} by {:?}: {hunt:?}", row.plant, row.by))
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

/// A node that is restored and goes on with its actor of before gives out dots that it had given out after its
/// backup.
#[test]
fn a_restored_node_that_goes_on_with_its_actor_is_caught() {
    let planted = |scenario: &Scenario, seed: u64| {
        let weather = if seed > 0 {
            Weather::Stormy
        } else {
            Weather::Calm
        };
        let how = How {
            seed,
            weather,
            ..How::default()
        };
        play_with(scenario, how, &|replica| replica.plant(Plant::ActorReused)).result
    };
    let mut restored = all();
    restored.retain(|scenario| scenario.name == "restore-all");
    let caught = (0..10).filter_map(|seed| planted(&restored[0], seed).err());
    let caught: Vec<String> = caught.map(|failure| failure.to_string()).collect();
    // By the dot itself, or by the write that another one of its name has swallowed.
    assert!(!caught.is_empty());
}

/// Rules of ring changes, each with a scenario that must not hold without it. Those that only a schedule of its own
/// meets (an open fence, a write that is not shipped anew) are broken in the core's `tests/moving/directed.rs`.
#[test]
fn a_broken_rule_of_ring_changes_is_caught_by_a_scenario() {
    let rules = [
        (Plant::ClaimsAssumed, "a07"),
        (Plant::GoneAssumed, "a06"),
        (Plant::OneQuorumForBoth, "a03"),
        (Plant::UnionRead, "a03"),
        (Plant::GoesOnUnheard, "a07"),
        (Plant::FencedStoodInFor, "a11"),
    ];
    let mut uncaught = Vec::new();
    for (plant, name) in rules {
        let mut scenarios = all();
        scenarios.retain(|scenario| scenario.name == name);
        let caught = (0..24).find(|&seed| {
            let how = How {
                seed,
                weather: Weather::ALL[usize::try_from(seed % 3).unwrap_or(0)],
                ..How::default()
            };
            let prepare = |replica: &mut Replica| replica.plant(plant);
            let is_broken = play_with(&scenarios[0], how, &prepare).result.is_err();
            is_broken && play(&scenarios[0], how).result.is_ok()
        });
        println!("{plant:?} is caught by {name} with seed {caught:?}");
        uncaught.extend(caught.is_none().then_some(plant));
    }
    assert_eq!(uncaught, [], "their scenarios hold without them");
}
