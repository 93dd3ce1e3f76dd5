//! The command line: run one seed or many, say what went wrong and how to see it again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use super::args::{Args, Seeds};
use super::batch::{Done, run_in_order};
use super::config::is_small;
use super::counters::Counters;
use super::failure::{self, Attempt, Teller, attempt};
use super::overrides::Case;
use super::run::{Report, Verdict};
use super::trace::Trace;
use super::world::Prepare;
use crate::scenario::{self, command::Wish};

/// The command line was wrong, as `sysexits.h` numbers it: 1 to 3 speak of runs.
const USAGE: u8 = 64;
/// Failing seeds that are minimised; of more, only the first violation is told.
const EXPLAINED_MAX: u64 = 3;

/// Sums over all runs.
#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    failed: u64,
    operations: u64,
    ok: u64,
    faults: u64,
    virtual_us: u64,
    events: u64,
    /// One number for all traces: two builds that print the same ran every seed alike.
    courses: u64,
    /// Processor time of all runs.
    took: Duration,
    /// Runs of 5 to 9 nodes, and what each of them had at least.
    large: Least,
    /// The slowest convergence, microseconds, and its seed.
    slowest: (u64, u64),
    counters: Counters,
    worst: u8,
}

/// What each of some runs had at least.
#[derive(Debug)]
struct Least {
    runs: u64,
    operations: u64,
    faults: u64,
    fault_us: u64,
    /// Runs that did not reach what they must.
    short: Vec<u64>,
}

impl Default for Least {
    fn default() -> Self {
        Self {
            runs: 0,
            operations: u64::MAX,
            faults: u64::MAX,
            fault_us: u64::MAX,
            short: Vec::new(),
        }
    }
}

impl Least {
    fn take(&mut self, report: &Report) {
        self.runs += 1;
        self.operations = self.operations.min(report.operations);
        self.faults = self.faults.min(report.faults);
        self.fault_us = self.fault_us.min(report.fault_us);
        if !report.reached {
            self.short.push(report.seed);
        }
    }

    fn print(&self) {
        if self.runs > 0 {
            println!(
                "{} of them with 5 to 9 nodes, each with at least {} operations, {} faults and {:.0} virtual seconds of faults",
                self.runs,
                self.operations,
                self.faults,
                self.fault_us as f64 / 1e6,
            );
        }
        if !self.short.is_empty() {
            println!("did not reach what they must: seeds {:?}", self.short);
        }
    }
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if args.fuzz.fuzz.is_some() {
        return crate::fuzz::command::main(&args.fuzz, args.seed.unwrap_or(1));
    }
    if let Some(name) = &args.scenario {
        return walk(&args, name);
    }
    match &args.plant {
        None => run_seeds(
            &args,
            Teller {
                prepare: &|_| {},
                option: "",
            },
        ),
        Some(name) => planted(&args, name),
    }
}

fn walk(args: &Args, name: &str) -> ExitCode {
    failure::keep_panics_quiet();
    let seeds = args.seeds.clone().map(|Seeds(seeds)| seeds);
    let wish = Wish {
        name: name.to_owned(),
        seeds: seeds.or(args.seed.map(|seed| seed..seed + 1)),
        weather: args.weather,
        keep_going: args.keep_going,
        many: args.many.unwrap_or(0),
        trace: args.trace,
    };
    scenario::command::main(&wish).unwrap_or(ExitCode::from(USAGE))
}

#[cfg(feature = "planted")]
fn planted(args: &Args, name: &str) -> ExitCode {
    use quorate_core::Plant;

    let plant = Plant::ALL
        .iter()
        .copied()
        .find(|plant| format!("{plant:?}") == name);
    match (plant, args.seed) {
        (Some(plant), Some(_)) => run_seeds(
            args,
            Teller {
                prepare: &|replica| replica.plant(plant),
                option: &format!(" --plant {name}"),
            },
        ),
        (Some(_), None) => super::planted::table(name),
        (None, None) if name == "all" => super::planted::table(name),
        (None, _) => {
            eprintln!("no planted bug is called {name}; there are:");
            Plant::ALL.iter().for_each(|plant| eprintln!("  {plant:?}"));
            ExitCode::from(USAGE)
        }
    }
}

#[cfg(not(feature = "planted"))]
fn planted(_: &Args, name: &str) -> ExitCode {
    eprintln!(
        "--plant {name} needs a build with the feature `planted`: cargo run -p quorate-tests --features planted --bin quorate-sim -- --plant {name}"
    );
    ExitCode::from(USAGE)
}

fn run_seeds(args: &Args, teller: Teller<'_>) -> ExitCode {
    failure::keep_panics_quiet();
    let started = Instant::now();
    let until = args
        .minutes
        .map(|minutes| started + Duration::from_secs(minutes * 60));
    let seeds = match (args.seed, &args.seeds, until) {
        (Some(seed), ..) => seed..seed + 1,
        (None, Some(Seeds(range)), None) => range.clone(),
        (None, Some(Seeds(range)), Some(_)) => range.start..u64::MAX,
        (None, None, Some(_)) => 0..u64::MAX,
        (None, None, None) => 0..100,
    };
    let mut totals = Totals::default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    run_in_order(
        seeds,
        args.fuzz.jobs.unwrap_or(processors),
        |seed| Course::run(args, seed, teller.prepare),
        |done| {
            totals.run(done, args, teller);
            let time_is_up = until.is_some_and(|until| Instant::now() >= until);
            !time_is_up && (totals.worst == 0 || args.keep_going)
        },
    );
    totals.print(started.elapsed());
    let silent = totals.counters.silent();
    if args.all_notes && !silent.is_empty() {
        let names: Vec<String> = silent.iter().map(ToString::to_string).collect();
        println!("never happened, although it should: {}", names.join(", "));
        totals.worst = totals.worst.max(1);
    }
    if args.all_notes && !totals.large.short.is_empty() {
        totals.worst = totals.worst.max(1);
    }
    ExitCode::from(totals.worst)
}

/// What came of one seed.
struct Course {
    case: Case,
    first: Attempt,
    /// How the second run went, if there was to be one.
    second: Option<String>,
}

impl Course {
    fn run(args: &Args, seed: u64, prepare: Prepare<'_>) -> Self {
        let case = args.case(seed);
        let first = attempt(&case, Trace::new(args.trace), prepare);
        let again = || attempt(&case, Trace::default(), prepare).course();
        let second = args.twice.then(again);
        Self {
            case,
            first,
            second,
        }
    }
}

impl Totals {
    fn run(&mut self, done: Done<Course>, args: &Args, teller: Teller<'_>) {
        self.runs += 1;
        self.took += done.took;
        let Some(Course {
            case,
            first,
            second,
        }) = done.report
        else {
            return self.fail(3); // a panic of the simulator itself: of the core's, `attempt` makes a report
        };
        if let Some(report) = &first.report {
            self.take(report);
        }
        if let Some(other) = second.filter(|other| *other != first.course()) {
            self.fail(1);
            println!(
                "I19: {case} took two courses: {} and {other}",
                first.course()
            );
        }
        let code = match first.report.as_ref().map(|report| &report.verdict) {
            Some(Verdict::Clean) => return,
            Some(Verdict::Broken(_)) => 1,
            Some(Verdict::Stuck(_)) => 2,
            None => 3,
        };
        self.fail(code);
        let lines = if args.whole || self.failed > EXPLAINED_MAX {
            teller.brief(&case, &first)
        } else {
            teller.explain(&case, &first, failure::usual_bound())
        };
        lines.iter().for_each(|line| println!("{line}"));
    }

    fn fail(&mut self, code: u8) {
        self.failed += 1;
        self.worst = self.worst.max(code);
    }

    fn take(&mut self, report: &Report) {
        self.operations += report.operations;
        self.ok += report.ok;
        self.virtual_us += report.virtual_us;
        self.events += report.events;
        self.courses = self.courses.rotate_left(1) ^ report.hash;
        self.faults += report.faults;
        if !is_small(report.seed) {
            self.large.take(report);
        }
        self.slowest = self.slowest.max((report.settled_after_us, report.seed));
        self.counters.add(&report.counters);
    }

    fn print(&self, took: Duration) {
        println!("{} seeds, {} failed", self.runs, self.failed);
        self.large.print();
        println!(
            "{} operations, {} of them ok; {} faults",
            self.operations, self.ok, self.faults
        );
        println!("courses taken: {:016x}", self.courses);
        let used = self.took.as_secs_f64().max(0.001);
        println!(
            "{:.0} virtual seconds, {} events, in {used:.1} core-seconds ({:.1} s): {:.0} virtual seconds and {:.0} events per core-second",
            self.virtual_us as f64 / 1e6,
            self.events,
            took.as_secs_f64(),
            self.virtual_us as f64 / 1e6 / used,
            self.events as f64 / used,
        );
        let (slowest_us, seed) = self.slowest;
        println!(
            "slowest convergence {:.1} s, seed {seed}",
            slowest_us as f64 / 1e6
        );
        for (what, count) in self.counters.iter() {
            println!("{count:>12}  {what}");
        }
    }
}
