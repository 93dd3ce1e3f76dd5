//! Findings are found: targets that panic, break a promise or take much memory.
//!
//! One test in a file of its own, since panics and memory belong to the whole process.

use quorate_tests::fuzz::run::{Finding, Plan, run};
use quorate_tests::fuzz::{TARGETS, Tally, Target};

/// Runs a target that is honest but for its check.
fn found(check: fn(&[u8]) -> Result<Tally, String>) -> Vec<Finding> {
    let honest = TARGETS[0];
    let target = Box::leak(Box::new(Target { check, ..honest }));
    let plan = Plan {
        targets: vec![target],
        inputs: 3000,
        seed: 1,
        jobs: 2,
    };
    run(&plan).findings
}

fn taken() -> Tally {
    Tally {
        accepted: 1,
        ..Tally::default()
    }
}

#[test]
fn targets_that_misbehave_are_found_out_and_their_inputs_made_small() {
    let panics = found(|input| {
        assert!(input.len() < 20, "too long for me");
        Ok(taken())
    });
    assert_eq!(panics.len(), 1, "{panics:?}");
    assert!(panics[0].what.contains("too long for me"));
    assert_eq!(panics[0].input.len(), 20);

    let lies = found(|input| match input {
        [] => Ok(taken()),
        _ => Err("it holds not".to_owned()),
    });
    assert_eq!((lies.len(), lies[0].input.len()), (1, 1), "{lies:?}");

    let swallows = found(|input| {
        let room = if input.len() > 20 { 200 << 20 } else { 1 };
        std::hint::black_box(Vec::<u8>::with_capacity(room));
        Ok(taken())
    });
    assert!(swallows[0].what.contains("memory grew"), "{swallows:?}");
}
