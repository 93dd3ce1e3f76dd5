//! Every scenario, once in calm weather and a few times in bad weather. Told in words by
//! `quorate-sim --scenario NAME`.

use quorate_tests::scenario::play::{How, play};
use quorate_tests::scenario::stage::{Stage, Weather};
use quorate_tests::scenario::{Scenario, all};

fn holds(scenario: &Scenario, how: How) {
    let played = play(scenario, how);
    assert_eq!(
        played.result,
        Ok(()),
        "{} with {how:?}:\n{}",
        scenario.name,
        played.told.join("\n")
    );
}

#[test]
fn every_scenario_holds_in_calm_weather() {
    for scenario in all() {
        holds(&scenario, How::default());
    }
}

/// Those in which the ring changes take longer: they get one seed in each weather here, and the others by command.
fn changes_the_ring(scenario: &Scenario) -> bool {
    scenario.name.starts_with(['a', 'v'])
}

#[test]
fn every_scenario_holds_in_bad_weather() {
    for scenario in all().iter().filter(|scenario| !changes_the_ring(scenario)) {
        for seed in 1..4 {
            let how = How {
                seed,
                weather: Weather::Stormy,
                ..How::default()
            };
            holds(scenario, how);
        }
    }
}

#[test]
fn every_change_of_the_ring_holds_in_wind_and_storm() {
    for scenario in all().iter().filter(|scenario| changes_the_ring(scenario)) {
        for (seed, weather) in [(1, Weather::Windy), (2, Weather::Stormy)] {
            let how = How {
                seed,
                weather,
                ..How::default()
            };
            holds(scenario, how);
        }
    }
}

#[test]
fn one_seed_is_one_walk() {
    for scenario in all().into_iter().take(3) {
        let how = How {
            seed: 7,
            weather: Weather::Stormy,
            ..How::default()
        };
        assert_eq!(play(&scenario, how).hash, play(&scenario, how).hash);
    }
}

#[test]
fn a_walk_that_does_not_hold_says_why() {
    let wrong = Scenario {
        name: "r00",
        sentence: "A scenario that promises what is not so.",
        stage: Stage::FIVE,
        walk: |walk| walk.equal("the number of nodes", 6, walk.world.nodes.len()),
        ..all()[0]
    };
    let told = play(&wrong, How::default())
        .result
        .map_err(|failure| failure.to_string());
    let should = "the number of nodes: should be 6, is 5";
    assert_eq!(told, Err(should.to_owned()));
}
