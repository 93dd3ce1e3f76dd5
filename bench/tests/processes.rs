//! The benchmark itself, small, with real processes: its figures must be those of what happened.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_bench::catch_up::{Settings, run};
use quorate_bench::ycsb::{self, Distribution};
use quorate_bench::{deletes, floor};
use quorate_tests::process::Programs;

const KEYS: u64 = 3_000;
const CHANGED: usize = 300;

#[tokio::test]
async fn a_return_is_measured_and_all_that_was_missed_comes_by_clocks_where_nobody_stands_in() {
    let settings = Settings {
        nodes: 3,
        partitions: 64,
        keys: KEYS,
        size: 100,
        changed: vec![CHANGED],
        runs: 1,
        hints: false,
        clients: 16,
        leaf_keys: 100,
        seed: 7,
        rest: Duration::from_secs(1),
        patience: Duration::from_secs(100),
    };
    let report = run(&Programs::find().unwrap(), settings).await.unwrap();
    assert_eq!(report.measured.len(), 2);
    let [none, some] = [&report.measured[0], &report.measured[1]];
    assert_eq!((none.missed, some.missed), (0, CHANGED as u64));
    assert_eq!((none.hints, some.hints), (0, 0));
    assert_eq!((none.returned.fetched, none.compared.found), (0, 0));
    assert_eq!(some.compared.found, CHANGED as u64);
    assert!(some.returned.fetched >= CHANGED as u64, "{some:?}");
    // Keys and values alone: a delete has no value.
    let least = CHANGED as u64 * (32 + 90);
    assert!(some.returned.received > least, "{some:?}");
    assert!(some.equal >= some.serving);
    assert!(some.all.cpu > Duration::ZERO);
    let medians = &report.json()["medians"];
    assert_eq!(medians[1]["clocks"]["bytes"], some.all.sent as f64);
    assert!(report.to_string().contains("hash tree"));
}

#[tokio::test]
async fn what_is_deleted_while_a_node_is_away_stays_deleted_and_nothing_is_left_of_it() {
    let settings = deletes::Settings {
        nodes: 3,
        partitions: 64,
        keys: KEYS,
        deleted: 1_000,
        contexts: false,
        size: 100,
        clients: 16,
        seed: 7,
        patience: Duration::from_secs(100),
    };
    let report = deletes::run(&Programs::find().unwrap(), settings)
        .await
        .unwrap();
    assert_eq!(report.problems(), Vec::<String>::new());
    assert!(report.checked.iter().all(|checked| checked.read == KEYS));
    for stored in &report.compacted {
        assert_eq!(stored.of("objects"), KEYS - 1_000);
        assert!(stored.file_bytes > stored.client_bytes / 10, "{stored:?}");
    }
    assert_eq!(report.json()["problems"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn requests_are_counted_with_the_cpu_time_of_the_nodes_and_open_loops_begin_all_that_is_due()
{
    let closed = ycsb::Settings {
        mix: "a".parse().unwrap(),
        distribution: Distribution::Zipfian,
        keys: 500,
        value_bytes: 100,
        outstanding: 8,
        rate: None,
        warm_up: Duration::from_millis(500),
        time: Duration::from_secs(2),
        runs: 2,
        seed: 7,
    };
    let open = ycsb::Settings {
        mix: "d".parse().unwrap(),
        distribution: Distribution::Latest,
        rate: Some(100),
        runs: 1,
        ..closed.clone()
    };
    let programs = Programs::find().unwrap();
    let report = ycsb::run_on_own_cluster(&programs, closed).await.unwrap();
    assert_eq!(report.measured.len(), 2);
    for run in &report.measured {
        let seconds = run.tally.seconds.iter();
        let counted: u64 = seconds.map(|second| second.times.count()).sum();
        assert_eq!(counted, run.tally.operations());
        assert!(counted > 100, "{counted}");
        assert_eq!((run.tally.failed(), run.tally.missing), (0, 0));
        assert!(run.server_cpu.is_some_and(|cpu| cpu > Duration::ZERO));
        assert!(run.client_cpu > Duration::ZERO);
    }
    let report = ycsb::run_on_own_cluster(&programs, open).await.unwrap();
    let tally = &report.measured[0].tally;
    assert_eq!(tally.operations() + tally.failed(), 200);
    assert_eq!(tally.missing, 0);
    assert!(report.html().contains("insert p99 us"));
}

#[tokio::test]
async fn the_bare_program_and_the_nodes_are_asked_in_turn_and_nothing_is_missing_in_either() {
    let settings = floor::Settings {
        program: env!("CARGO_BIN_EXE_quorate-bench").into(),
        sizes: vec![100, 1024],
        keys: 300,
        outstanding: 16,
        warm_up: Duration::from_millis(300),
        time: Duration::from_secs(1),
        runs: 2,
        seed: 7,
    };
    let programs = Programs::find().unwrap();
    let report = floor::run(&programs, settings).await.unwrap();
    assert_eq!(report.measured.len(), 4);
    for measured in &report.measured {
        let runs = measured.floor.iter().chain(&measured.real);
        assert_eq!(runs.clone().count(), 4);
        for run in runs {
            assert!(run.times.count() > 50, "{measured:?}");
            assert_eq!((run.failed, run.missing), (0, 0));
            assert!(run.server_cpu > Duration::ZERO && run.client_cpu > Duration::ZERO);
        }
    }
    let ratio = &report.json()["figures"]["put 1024 B: times the floor"]["median"];
    assert!(ratio.as_f64().is_some_and(|ratio| ratio > 1.0), "{report}");
}
