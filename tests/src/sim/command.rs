//! The command line: run one seed or many, say what went wrong and how to see it again.

use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Parser;

use super::batch::{Done, run_in_order};
use super::config::is_small;
use super::counters::Counters;
use super::run::{Report, Verdict, run};

/// Runs a whole cluster in one process, under virtual time and faults that one seed decides.
///
/// Exit codes: 0 all clean, 1 an invariant was broken, 2 a healed cluster did not settle, 3 the core
/// panicked.
#[derive(Debug, Parser)]
#[command(name = "quorate-sim", version)]
struct Args {
    /// Run this seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, from A up to but without B.
    #[arg(long, value_name = "A..B")]
    seeds: Option<Seeds>,
    /// Run seeds for so many minutes, from the first of --seeds, or from 0.
    #[arg(long)]
    minutes: Option<u64>,
    /// Print every event of the run; with --seed only.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Go on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
    /// Threads that run seeds side by side; as many as there are processors if not given. With --trace: one.
    #[arg(long)]
    jobs: Option<usize>,
    /// Fail if something that should be provoked never happened, or a run did not reach what it must.
    #[arg(long)]
    all_notes: bool,
    /// Break a rule on purpose and see which checker notices, after how many seeds: a rule's name, or all.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME|all")]
    plant: Option<String>,
    #[command(flatten)]
    fuzz: crate::fuzz::command::Options,
}

#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        let (from, to) = text
            .split_once("..")
            .ok_or("seeds are given as A..B, such as 1..2000")?;
        Ok(Self(parse(from)?..parse(to)?))
    }
}

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
    let args = Args::parse();
    #[cfg(feature = "planted")]
    if let Some(name) = &args.plant {
        return super::planted::table(name);
    }
    if args.fuzz.fuzz.is_some() {
        return crate::fuzz::command::main(&args.fuzz, args.seed.unwrap_or(1));
    }
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
    let jobs = args.jobs.unwrap_or(processors);
    run_in_order(
        seeds,
        jobs,
        |seed| run(seed, args.trace, &|_| {}),
        |done| {
            totals.run(done);
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

impl Totals {
    fn run(&mut self, done: Done<Report>) {
        self.runs += 1;
        self.took += done.took;
        match done.report {
            Some(report) => self.take(&report),
            None => {
                let seed = done.seed;
                println!(
                    "seed {seed}: the core panicked, see above; again: quorate-sim --seed {seed} --trace"
                );
                self.fail(3);
            }
        }
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
        self.faults += report.faults;
        if !is_small(report.seed) {
            self.large.take(report);
        }
        self.slowest = self.slowest.max((report.settled_after_us, report.seed));
        self.counters.add(&report.counters);
        match &report.verdict {
            Verdict::Clean => {}
            Verdict::Stuck(why) => {
                self.fail(2);
                print_failure(report, &[format!("stuck: {why}")]);
            }
            Verdict::Broken(violations) => {
                self.fail(1);
                let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
                print_failure(report, &lines);
            }
        }
    }

    fn print(&self, took: Duration) {
        println!("{} seeds, {} failed", self.runs, self.failed);
        self.large.print();
        println!(
            "{} operations, {} of them ok; {} faults",
            self.operations, self.ok, self.faults
        );
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

fn print_failure(report: &Report, lines: &[String]) {
    println!("seed {} ({})", report.seed, report.config);
    for line in lines.iter().take(5) {
        println!("  {line}");
    }
    if lines.len() > 5 {
        println!("  and {} more", lines.len() - 5);
    }
    for line in report.timeline.iter().take(60) {
        println!("    {line}");
    }
    println!("  again: quorate-sim --seed {} --trace", report.seed);
}
