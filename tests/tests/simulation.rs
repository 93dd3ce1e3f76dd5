//! A bounded part of the simulator's seeds, run with every build.

use quorate_tests::sim::config::Config;
use quorate_tests::sim::counters::{Counter, Counters};
use quorate_tests::sim::overrides::{Case, Overrides};
use quorate_tests::sim::run::{Report, Verdict, run, run_case, run_configured};
use quorate_tests::sim::trace::Trace;

fn sound(seed: u64) -> Report {
    clean(&Case::from(seed), run(seed, false, &|_| {}))
}

fn sound_without_a_majority(seed: u64) -> Report {
    let overrides = Overrides {
        majority_lost: true,
        ..Overrides::default()
    };
    let case = Case { seed, overrides };
    clean(&case, run_case(&case, Trace::default(), &|_| {}))
}

/// Found when clients asked for buckets. In the runs of the others nobody did.
const WITH_BUCKETS: &[u64] = &[1246, 3757, 9777, 17398, 20812];

/// As the seed ran when it found its bug.
fn sound_as_it_was(seed: u64) -> Report {
    let mut config = Config::draw(seed);
    if !WITH_BUCKETS.contains(&seed) {
        config.founding = None;
    }
    clean(
        &Case::from(seed),
        run_configured(config, Trace::default(), &|_| {}),
    )
}

fn clean(case: &Case, report: Report) -> Report {
    assert_eq!(
        report.verdict,
        Verdict::Clean,
        "{}:\n{}\nagain: quorate-sim {case} --trace",
        report.config,
        report.timeline.join("\n")
    );
    report
}

/// Seeds in which the simulator once found a bug of ours, with what it was.
const KEPT: &[(u64, &str)] = &[
    (11, "a lost frame of clocks was never sent again"),
    (24, "a stale read that timed out showed an empty value"),
    (
        46,
        "a context was dropped while a member lacked the delete it stood for",
    ),
    (57, "a repeated answer of a replica was read as a delete"),
    (
        79,
        "the context of a timed-out read claimed values that it did not show",
    ),
    (
        92,
        "a context was dropped while a member lacked the delete it stood for",
    ),
    (
        403,
        "an old copy of a disk asked for what it once had before its peers noticed, and kept an overwritten value",
    ),
    (
        404,
        "a fallback coordinated a write that asked for a strict quorum",
    ),
    (
        458,
        "a node just started took living primaries for dead and wrote beside them",
    ),
    (
        1252,
        "the first try arrived while a retry asked others for it, and was carried out again",
    ),
    (
        1246,
        "a late question of an ended life silenced the present one, and logs were kept for ever",
    ),
    (
        1326,
        "pieces of a long value outlived the record that named them",
    ),
    (
        3669,
        "hints hid that a disk was an old copy from peers that had restarted",
    ),
    (
        3757,
        "a second copy of a delete that had found nothing deleted what came since",
    ),
    (4668, "a retried delete without a context deleted nothing"),
    (
        9777,
        "who had got a write from hints died before a replica that counted as current knew of it",
    ),
    (
        9886,
        "a read was answered while a question that decides it was open",
    ),
    (
        17398,
        "a second copy of a request carried it out after the first was refused as not done",
    ),
    (
        20812,
        "late answers of an ended life made a node deaf to the present one for ever",
    ),
];

#[test]
fn seeds_that_once_found_a_bug_stay_clean() {
    for &(seed, story) in KEPT {
        println!("seed {seed}: {story}");
        sound_as_it_was(seed);
    }
}

/// The gate's own stage runs two thousand, and demands that they provoke all that can be provoked.
#[test]
fn many_seeds_are_clean() {
    for seed in 1000..1040 {
        sound(seed);
    }
}

/// Two of them were stuck once: a member was removed by force while the cluster was short of members.
#[test]
fn a_cluster_that_lost_its_majority_recovers_loses_nothing_else_and_turns_the_lost_away() {
    let mut counters = Counters::default();
    for seed in (0..10).chain([76, 86]) {
        counters.add(&sound_without_a_majority(seed).counters);
    }
    for what in [
        "a majority is lost for good",
        "another one is lost before the recovery",
        "recovered without a majority",
        "who was called gone is back",
        "who was called gone hears of it",
    ] {
        assert!(
            counters.of(Counter::Turn(what)) > 0,
            "never happened: {what}"
        );
    }
}

#[test]
fn one_seed_takes_one_course() {
    for seed in [3, 7, 11] {
        let (one, other) = (sound(seed), sound(seed));
        assert_eq!((one.hash, one.events), (other.hash, other.events));
        assert_ne!(one.hash, sound(seed + 1).hash);
    }
}
