//! Every scenario, once in calm weather and a few times in bad weather. Told in words by
//! `quorate-sim --scenario NAME`.

use quorate_tests::scenario::play::{How, play};
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

#[test]
fn every_scenario_holds_in_bad_weather() {
    for scenario in all() {
        for seed in 1..4 {
            let how = How {
                seed,
                stormy: true,
                ..How::default()
            };
            holds(&scenario, how);
        }
    }
}

#[test]
fn one_seed_is_one_walk() {
    for scenario in all().into_iter().take(3) {
        let how = How {
            seed: 7,
            stormy: true,
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
        let (stormy, how) = (seed > 0, How::default());
        let how = How {
            seed,
            stormy,
            ..how
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
