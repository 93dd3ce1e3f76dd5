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

/// A node that is restored and goes on with its actor of before gives out dots that it had given out after its
/// backup.
#[cfg(feature = "planted")]
#[test]
fn a_restored_node_that_goes_on_with_its_actor_is_caught() {
    use quorate_core::Plant;
    use quorate_tests::scenario::play::play_with;

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
#[cfg(feature = "planted")]
#[test]
fn a_broken_rule_of_ring_changes_is_caught_by_a_scenario() {
    use quorate_core::Plant;
    use quorate_tests::scenario::play::play_with;

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
        let caught = (0..6).find(|&seed| {
            let how = How {
                seed,
                weather: Weather::ALL[usize::try_from(seed % 3).unwrap_or(0)],
                ..How::default()
            };
            let prepare = |replica: &mut quorate_core::Replica| replica.plant(plant);
            let is_broken = play_with(&scenarios[0], how, &prepare).result.is_err();
            is_broken && play(&scenarios[0], how).result.is_ok()
        });
        println!("{plant:?} is caught by {name} with seed {caught:?}");
        uncaught.extend(caught.is_none().then_some(plant));
    }
    assert_eq!(uncaught, [], "their scenarios hold without them");
}
