//! Planted bugs: one rule of the core is broken on purpose, and seeds are run until the checker that is
//! there for it notices.

mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_core::Plant;

use super::config::{Config, Goals, Profile};
use super::run::{Verdict, run_configured};
use super::trace::Trace;
pub use table::{Row, rows};

/// What was made of one planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// The invariant whose checker noticed first of those expected, and what it said; `None` if none of
    /// them did within the budget.
    pub caught: Option<(String, String)>,
    /// Seeds that were run, the last one included.
    pub seeds: u64,
    /// Others that noticed something on the way, or in the same seed.
    pub others: Vec<String>,
}

/// Breaks a rule and runs seeds until one of those notices who must. Whoever notices the same in the same
/// run with no rule broken has not noticed the planted bug: such a seed does not count.
#[must_use]
pub fn hunt(row: &Row) -> Hunt {
    let mut others: Vec<String> = Vec::new();
    for seed in 0..row.seeds {
        let noticed = noticed(row, seed, true);
        let expected = |(by, _): &&(String, String)| row.by.contains(&by.as_str());
        let caught = noticed.iter().find(expected).cloned();
        let caught =
            caught.filter(|_| !self::noticed(row, seed, false).iter().any(|n| expected(&n)));
        let strangers = noticed.iter().map(|(by, _)| by);
        others.extend(
            strangers
                .filter(|by| !row.by.contains(&by.as_str()))
                .cloned(),
        );
        others.sort_unstable();
        others.dedup();
        if caught.is_some() {
            let seeds = seed + 1;
            return Hunt {
                caught,
                seeds,
                others,
            };
        }
    }
    Hunt {
        caught: None,
        seeds: row.seeds,
        others,
    }
}

/// Who noticed what in one run, with the rule broken or not.
fn noticed(row: &Row, seed: u64, broken: bool) -> Vec<(String, String)> {
    let config = short(seed, row);
    let report = catch_unwind(AssertUnwindSafe(|| {
        run_configured(config, Trace::new(false), &|replica| {
            if broken {
                replica.plant(row.plant);
            }
        })
    }));
    match report.map(|report| report.verdict) {
        Ok(Verdict::Clean) => Vec::new(),
        Ok(Verdict::Stuck(why)) => vec![("stuck".to_owned(), why)],
        Ok(Verdict::Broken(violations)) => violations
            .iter()
            .map(|violation| (violation.invariant.to_owned(), violation.to_string()))
            .collect(),
        Err(_) => vec![("panic".to_owned(), String::new())],
    }
}

/// The configuration of a seed as the planted bug wants it. Shorter than that of the swarm: what
/// is broken shows early or needs another seed.
fn short(seed: u64, row: &Row) -> Config {
    let mut config = row.weather.map_or_else(
        || Config::draw(seed),
        |weather| Config::in_weather(seed, weather),
    );
    config.goals = Goals::default();
    config.fault_us = config.fault_us.min(20_000_000);
    config.operations = config.operations.min(500 / config.clients.max(1));
    config.think_us = config.fault_us / u64::from(config.operations.max(1)) * 2 / 3;
    if let Some(needs) = row.needs {
        needs(&mut config);
    }
    config
}

/// Hunts several planted bugs on all processors. In the order of the rows.
#[must_use]
pub fn hunt_all(rows: &[Row]) -> Vec<Hunt> {
    let next = AtomicUsize::new(0);
    let found: Vec<Mutex<Option<Hunt>>> = rows.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some(index) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < rows.len())
        {
            let hunt = hunt(&rows[index]);
            if let Ok(mut slot) = found[index].lock() {
                *slot = Some(hunt);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..workers).for_each(|_| {
            scope.spawn(work);
        });
    });
    let taken = found.into_iter().zip(rows).map(|(slot, row)| {
        let hunt = slot.into_inner().ok().flatten();
        hunt.unwrap_or_else(|| unreachable!("{:?} was not hunted", row.plant))
    });
    taken.collect()
}

/// Prints a line for each planted bug of that name, or for all. Ends with 1 if one was not caught.
#[must_use]
pub fn table(name: &str) -> ExitCode {
    let chosen = |row: &Row| name == "all" || format!("{:?}", row.plant) == name;
    let rows: Vec<Row> = rows().into_iter().filter(chosen).collect();
    if rows.is_empty() {
        println!(
            "no planted bug is called {name}; there are {:?}",
            Plant::ALL
        );
        return ExitCode::FAILURE;
    }
    // A planted bug may make the core panic: that is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let hunts = hunt_all(&rows);
    rows.iter()
        .zip(&hunts)
        .for_each(|(row, hunt)| println!("{}", line(row, hunt)));
    let missed = hunts.iter().filter(|hunt| hunt.caught.is_none()).count();
    println!(
        "{} planted bugs, {} of them caught",
        rows.len(),
        rows.len() - missed
    );
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A line of the table.
#[must_use]
pub fn line(row: &Row, hunt: &Hunt) -> String {
    let name = format!("{:?}", row.plant);
    let others = if hunt.others.is_empty() {
        String::new()
    } else {
        format!(" (also {})", hunt.others.join(", "))
    };
    match &hunt.caught {
        Some((by, what)) => format!(
            "{name:<26} caught by {by:<5} after {:>3} of {:>3} seeds{others}; catalogue {}: {}",
            hunt.seeds,
            row.seeds,
            row.catalogue,
            what.chars().take(140).collect::<String>()
        ),
        None => format!(
            "{name:<26} NOT caught by {} in {:>3} seeds{others}; catalogue {}",
            row.by.join(" or "),
            row.seeds,
            row.catalogue
        ),
    }
}

/// Turns on what a planted bug needs.
pub type Needs = fn(&mut Config);

/// The weather in which a planted bug is looked for; `None`: as drawn.
pub type Weather = Option<Profile>;
