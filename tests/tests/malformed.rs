//! Malformed input, a bounded part of it with every build. More: `quorate-sim --fuzz`.
#![allow(clippy::unwrap_used)]

use quorate_tests::fuzz::run::{Plan, feed, input, run};
use quorate_tests::fuzz::source::Source;
use quorate_tests::fuzz::{TARGETS, Tally, target, unhex};

fn plan(inputs: u64, seed: u64) -> Plan {
    Plan {
        targets: TARGETS.iter().collect(),
        inputs,
        seed,
        jobs: 2,
    }
}

#[test]
fn malformed_input_is_refused_without_panic_wrong_acceptance_or_much_memory_or_time() {
    let report = run(&plan(300_000, 2026));
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    for line in &report.lines {
        let Tally {
            accepted, refused, ..
        } = line.tally;
        assert!(accepted > 0, "{} took nothing at all", line.target);
        assert!(refused > 0, "{} refused nothing at all", line.target);
    }
}

#[test]
fn what_targets_draw_whole_is_mostly_taken() {
    for target in TARGETS {
        let drawn = (0..200).map(|seed| (target.draw)(&mut Source::seed(seed)));
        let taken = drawn
            .filter(|input| feed(target, input).is_ok_and(|tally| tally.accepted > 0))
            .count();
        assert!(taken >= 50, "{} takes {taken} of 200", target.name);
    }
}

#[test]
fn one_seed_gives_one_input() {
    let target = target("peer").unwrap();
    assert_eq!(input(7, target, 3), input(7, target, 3));
    assert_ne!(input(7, target, 3), input(7, target, 4));
    assert_ne!(input(7, target, 3), input(8, target, 3));
}

#[test]
fn an_input_is_printed_as_digits_that_are_read_back() {
    assert_eq!(unhex("00ff7f"), Some(vec![0, 255, 127]));
    assert_eq!(unhex("0"), None);
    assert_eq!(unhex("0g"), None);
    assert_eq!(unhex("é1"), None);
}
