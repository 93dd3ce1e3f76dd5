//! Every planted bug is caught by the checker that is there for it. Needs the feature `planted`.
#![cfg(feature = "planted")]

use std::io::Write;

use quorate_tests::sim::planted::{hunt_all, line, rows};

#[test]
fn every_planted_bug_is_caught_within_its_budget_by_the_checker_that_is_there_for_it() {
    let rows = rows();
    let hunts = hunt_all(&rows);
    // Shown also where all is well: the table is a result of its own.
    let mut shown = std::io::stderr().lock();
    for (row, hunt) in rows.iter().zip(&hunts) {
        writeln!(shown, "{}", line(row, hunt)).expect("the test's own output takes a line");
    }
    let missed: Vec<String> = rows
        .iter()
        .zip(&hunts)
        .filter(|(_, hunt)| hunt.caught.is_none())
        .map(|(row, hunt)| format!("{:?} by {:?}: {hunt:?}", row.plant, row.by))
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}
