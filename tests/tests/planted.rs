//! Every planted bug is caught: a checker that catches nothing is no checker. Needs the feature `planted`.
#![cfg(feature = "planted")]

use quorate_core::Plant;
use quorate_tests::sim::planted::{SEEDS_MAX, catch};

#[test]
fn every_planted_bug_is_caught() {
    let missed: Vec<&Plant> = Plant::ALL
        .iter()
        .filter(|plant| catch(**plant).is_none())
        .collect();
    assert!(
        missed.is_empty(),
        "not caught in {SEEDS_MAX} seeds: {missed:?}"
    );
}
