//! The main stage: many seeds, each run twice.

use std::ops::Range;
use std::time::Instant;

use super::plan::Plan;
use super::run::{Record, run};
use super::trace::{difference, hash};

/// Which seeds run where nobody says: about half a minute of one core.
const SEEDS: Range<u64> = 0..16;
const VARIABLE: &str = "QUORATE_WIRE_SEEDS";

#[test]
fn every_seed_loses_nothing_and_runs_the_same_again() {
    let seeds = wanted();
    let start = Instant::now();
    let (mut seconds, mut packets, mut lost, mut doubled, mut acknowledged) = (0, 0, 0, 0, 0);
    for seed in seeds.clone() {
        let plan = Plan::of(seed);
        let first = twice(&plan);
        seconds += first.took.as_secs();
        packets += first.tally.packets;
        lost += first.tally.lost;
        doubled += first.tally.doubled;
        acknowledged += first.acknowledged;
    }
    println!(
        "{} seeds twice in {:?}: {seconds} virtual seconds, {packets} packets, {lost} lost, {doubled} doubled, {acknowledged} writes acknowledged",
        seeds.count(),
        start.elapsed()
    );
    assert!(lost > 0 && acknowledged > 0, "nothing was provoked");
}

fn twice(plan: &Plan) -> Record {
    let seed = plan.seed;
    println!("seed {seed}: {plan:?}");
    let (first, second) = (run(plan), run(plan));
    if let Some(difference) = difference(&first.trace, &second.trace) {
        panic!("seed {seed} ran differently the second time, {difference}");
    }
    println!(
        "seed {seed}: {:?}, {} lines, trace {:016x}, {:?}, {} writes acknowledged",
        first.took,
        first.trace.len(),
        hash(&first.trace),
        first.tally,
        first.acknowledged
    );
    first
}

fn wanted() -> Range<u64> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return SEEDS;
    };
    let bounds = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    bounds.unwrap_or_else(|| panic!("{VARIABLE}={text}: give a range of seeds such as 0..300"))
}
