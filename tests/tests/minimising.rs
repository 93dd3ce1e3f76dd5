//! A failing seed is made smaller before it is shown. Needs the feature `planted`, for something that fails.
#![cfg(feature = "planted")]

use quorate_core::{Plant, Replica};
use quorate_tests::sim::config::Config;
use quorate_tests::sim::failure::{Teller, attempt, smallest};
use quorate_tests::sim::minimise::{Bound, Smallest};
use quorate_tests::sim::overrides::Case;
use quorate_tests::sim::trace::Trace;

const BOUND: Bound = Bound {
    runs: 30,
    until: None,
};

fn plant(replica: &mut Replica) {
    replica.plant(Plant::SettlesIgnored);
}

/// The first seed that fails and has something to take away.
fn failing() -> Case {
    (0..200)
        .map(Case::from)
        .find(|case| {
            let tried = attempt(case, Trace::default(), &plant);
            !tried.symptoms().is_empty() && tried.faults.len() > 3
        })
        .unwrap_or_else(|| unreachable!("the table of planted bugs says that one is caught"))
}

#[test]
fn a_minimised_run_fails_in_the_same_way_with_fewer_operations_and_faults() {
    let whole = failing();
    let first = attempt(&whole, Trace::default(), &plant);
    let found = smallest(&whole, BOUND, &plant);
    let Some((symptom, Smallest { case, tried, runs })) = found else {
        unreachable!("it failed a moment ago")
    };
    assert!(runs <= BOUND.runs);
    let again = attempt(&case, Trace::default(), &plant);
    assert!(again.symptoms().contains(&symptom), "{case} does not fail");
    assert!(tried.faults.len() < first.faults.len(), "{case}");
    let own = Config::of(&whole);
    let operations = tried.size.clients * tried.size.operations;
    assert!(operations < own.clients * own.operations, "{case}");
    // The same effort finds the same.
    let second = smallest(&whole, BOUND, &plant).map(|(_, found)| found.case);
    assert_eq!(second, Some(case));
}

#[test]
fn a_failure_is_told_with_its_key_and_how_to_see_it_again() {
    let whole = failing();
    let first = attempt(&whole, Trace::default(), &plant);
    let teller = Teller {
        prepare: &plant,
        option: " --plant SettlesIgnored",
    };
    let told = teller.explain(&whole, &first, BOUND).join("\n");
    for part in [
        "the smallest run found",
        "what happened to",
        ": delete w",
        "again: quorate-sim --seed",
        "--plant SettlesIgnored --trace",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
}
