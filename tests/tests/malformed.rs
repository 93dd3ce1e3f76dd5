//! Malformed input, a bounded part of it with every build. More: `quorate-sim --fuzz`.
//!
//! The only test of its file, so alone in its process: the memory of the process is judged, and the thread
//! of any other test would add a stack and a heap to it.

use quorate_tests::fuzz::run::{Plan, run};
use quorate_tests::fuzz::{TARGETS, Tally};

#[test]
fn malformed_input_is_refused_without_panic_wrong_acceptance_or_much_memory_or_time() {
    let report = run(&Plan {
        targets: TARGETS.iter().collect(),
        inputs: 300_000,
        seed: 2026,
        jobs: 2,
    });
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    for line in &report.lines {
        let Tally {
            accepted, refused, ..
        } = line.tally;
        assert!(accepted > 0, "{} took nothing at all", line.target);
        assert!(refused > 0, "{} refused nothing at all", line.target);
    }
}
