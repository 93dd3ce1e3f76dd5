//! The command line: run one seed or many, say what went wrong and how to see it again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Parser;
use quorate_core::Note;

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
    /// Fail if something that should be provoked never happened.
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
    virtual_us: u64,
    events: u64,
    /// The slowest convergence, microseconds, and its seed.
    slowest: (u64, u64),
    notes: BTreeMap<Note, u64>,
    worst: u8,
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
    for seed in seeds {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        totals.run(seed, args.trace);
        if totals.worst > 0 && !args.keep_going {
            break;
        }
    }
    totals.print(started.elapsed());
    let silent = totals.silent();
    if args.all_notes && !silent.is_empty() {
        println!("never happened, although it should: {silent:?}");
        totals.worst = totals.worst.max(1);
    }
    ExitCode::from(totals.worst)
}

impl Totals {
    fn run(&mut self, seed: u64, trace: bool) {
        self.runs += 1;
        match std::panic::catch_unwind(|| run(seed, trace, &|_| {})) {
            Ok(report) => self.take(&report),
            Err(_) => {
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
        self.slowest = self.slowest.max((report.settled_after_us, report.seed));
        for (note, count) in &report.notes {
            *self.notes.entry(*note).or_default() += count;
        }
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
        let seconds = took.as_secs_f64().max(0.001);
        println!("{} seeds, {} failed", self.runs, self.failed);
        println!("{} operations, {} of them ok", self.operations, self.ok);
        println!(
            "{:.0} virtual seconds, {} events, in {seconds:.1} s: {:.0} virtual seconds and {:.0} events per second",
            self.virtual_us as f64 / 1e6,
            self.events,
            self.virtual_us as f64 / 1e6 / seconds,
            self.events as f64 / seconds,
        );
        let (slowest_us, seed) = self.slowest;
        println!(
            "slowest convergence {:.1} s, seed {seed}",
            slowest_us as f64 / 1e6
        );
        for (note, count) in &self.notes {
            println!("{:>12}  {note:?}", count);
        }
    }

    /// What the faults should provoke and did not.
    fn silent(&self) -> Vec<Note> {
        PROVOKED
            .iter()
            .copied()
            .filter(|note| !self.notes.contains_key(note))
            .collect()
    }
}

/// What runs must provoke sooner or later. Missing are notes that only damaged disks cause, and those
/// that would show a bug.
pub const PROVOKED: &[Note] = &[
    Note::Get,
    Note::Put,
    Note::Delete,
    Note::Forwarded,
    Note::FallbackWrite,
    Note::FallbackCoordinated,
    Note::HintStored,
    Note::HintDelivered,
    Note::ReadRepair,
    Note::FallbackRepair,
    Note::Superseded,
    Note::SiblingsRead,
    Note::AntiEntropyFetched,
    Note::CaughtUp,
    Note::WaitedForCatchUp,
    Note::LogDropped,
    Note::ContextDropped,
    Note::ObjectRemoved,
    Note::RetryRecognised,
    Note::DeadlineExceeded,
    Note::QuorumNotMet,
    Note::PeerBehindItsWord,
];

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
