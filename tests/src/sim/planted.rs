//! Planted bugs: one rule of the core is broken on purpose, and seeds are run until a checker notices.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use quorate_core::Plant;

use super::run::{Verdict, run};

/// Within so many seeds a planted bug must be noticed.
pub const SEEDS_MAX: u64 = 500;

/// Who noticed, and how soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The invariant whose checker noticed; `stuck` or `panic` otherwise.
    pub by: String,
    /// Seeds that were run, the last one included.
    pub seeds: u64,
    /// What was seen.
    pub what: String,
}

/// Breaks a rule and runs seeds until somebody notices; `None` if nobody does.
#[must_use]
pub fn catch(plant: Plant) -> Option<Catch> {
    (0..SEEDS_MAX).find_map(|seed| {
        let (by, what) = noticed(plant, seed)?;
        Some(Catch {
            by,
            seeds: seed + 1,
            what,
        })
    })
}

fn noticed(plant: Plant, seed: u64) -> Option<(String, String)> {
    let report = catch_unwind(AssertUnwindSafe(|| {
        run(seed, false, &|replica| replica.plant(plant))
    }));
    match report.map(|report| report.verdict) {
        Ok(Verdict::Clean) => None,
        Ok(Verdict::Stuck(why)) => Some(("stuck".to_owned(), why)),
        Ok(Verdict::Broken(violations)) => violations
            .first()
            .map(|first| (first.invariant.to_owned(), first.to_string())),
        Err(_) => Some(("panic".to_owned(), String::new())),
    }
}

/// Prints a line for each planted bug of that name, or for all. Ends with 1 if one was not caught.
#[must_use]
pub fn table(name: &str) -> ExitCode {
    let chosen = |plant: &&Plant| name == "all" || format!("{plant:?}") == name;
    let plants: Vec<Plant> = Plant::ALL.iter().filter(chosen).copied().collect();
    if plants.is_empty() {
        println!(
            "no planted bug is called {name}; there are {:?}",
            Plant::ALL
        );
        return ExitCode::FAILURE;
    }
    let mut missed = 0;
    for plant in plants {
        match catch(plant) {
            Some(catch) => println!(
                "{:<28} caught by {:<8} after {:>3} seeds: {}",
                format!("{plant:?}"),
                catch.by,
                catch.seeds,
                catch.what.chars().take(160).collect::<String>()
            ),
            None => {
                missed += 1;
                println!(
                    "{:<28} not caught in {SEEDS_MAX} seeds",
                    format!("{plant:?}")
                );
            }
        }
    }
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
