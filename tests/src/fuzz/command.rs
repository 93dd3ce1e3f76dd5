//! `quorate-sim --fuzz`: options, and what is printed.

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;

use super::run::{Finding, Line, MEMORY_MAX, Plan, Report, feed, run};
use super::{TARGETS, TELLING, Tally, Target, hex, target, unhex};

/// Options of `--fuzz`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Feed malformed input to every decoder and to a live replica; or to these targets only. Exit code
    /// 1: something panicked, was accepted wrongly, or took too long or too much memory.
    #[arg(long, value_name = "TARGET,..", num_args = 0..=1, value_delimiter = ',', require_equals = false)]
    pub fuzz: Option<Vec<String>>,
    /// With --fuzz: how many inputs, over all targets.
    #[arg(long, default_value_t = 1_000_000, requires = "fuzz")]
    pub inputs: u64,
    /// With --fuzz and one target: feed this one input, in hex, and tell what happens.
    #[arg(long, value_name = "HEX", requires = "fuzz")]
    pub input: Option<String>,
    /// Threads that work side by side; as many as there are processors, unless given.
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

/// Feeds what the options say.
#[must_use]
pub fn main(options: &Options, seed: u64) -> ExitCode {
    let targets = match chosen(options.fuzz.as_deref().unwrap_or_default()) {
        Ok(targets) => targets,
        Err(unknown) => {
            let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            println!("'{unknown}' is no target; there are: {}", known.join(", "));
            return ExitCode::from(2);
        }
    };
    if let Some(digits) = &options.input {
        return again(&targets, digits);
    }
    let plan = Plan {
        targets,
        inputs: options.inputs,
        seed,
        jobs: options.jobs.unwrap_or_else(processors),
    };
    let started = Instant::now();
    let report = run(&plan);
    print(&plan, &report, started.elapsed());
    ExitCode::from(u8::from(!report.findings.is_empty()))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>, String> {
    let names: Vec<&String> = names.iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    names
        .into_iter()
        .map(|name| target(name).ok_or_else(|| name.clone()))
        .collect()
}

/// One input, once more.
fn again(targets: &[&'static Target], digits: &str) -> ExitCode {
    let ([target], Some(input)) = (targets, unhex(digits.trim())) else {
        println!("--input wants one target and an even number of hex digits");
        return ExitCode::from(2);
    };
    TELLING.store(true, Ordering::Relaxed);
    match feed(target, &input) {
        Ok(tally) => {
            println!(
                "{}: {} accepted, {} refused",
                target.name, tally.accepted, tally.refused
            );
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("{}: {what}", target.name);
            ExitCode::from(1)
        }
    }
}

fn print(plan: &Plan, report: &Report, took: Duration) {
    println!(
        "{:>10} {:>10} {:>10} {:>10} {:>10}  target",
        "inputs", "accepted", "refused", "a second", "longest"
    );
    let mut all = Tally::default();
    for line in &report.lines {
        all.add(line.tally);
        print_line(line);
    }
    let seconds = took.as_secs_f64().max(0.001);
    println!(
        "{} inputs ({} accepted, {} refused) in {seconds:.1} s: {:.0} a second; seed {}, {} threads",
        all.inputs,
        all.accepted,
        all.refused,
        all.inputs as f64 / seconds,
        plan.seed,
        plan.jobs
    );
    if let (Some(peak), Some(grown)) = (report.peak, report.grown) {
        println!(
            "peak memory {:.1} MiB resident, {:.1} MiB of it for inputs (bound {} MiB)",
            mib(peak.resident),
            mib(grown.resident),
            MEMORY_MAX >> 20
        );
    }
    for finding in &report.findings {
        print_finding(plan, finding);
    }
    println!("{} findings", report.findings.len());
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}

fn print_line(line: &Line) {
    let rate = line.tally.inputs as f64 / line.took.as_secs_f64().max(0.000_001);
    println!(
        "{:>10} {:>10} {:>10} {:>10.0} {:>7.1} ms  {}",
        line.tally.inputs,
        line.tally.accepted,
        line.tally.refused,
        rate,
        line.longest.as_secs_f64() * 1e3,
        line.target
    );
}

fn print_finding(plan: &Plan, finding: &Finding) {
    println!(
        "\n{}: {} (seed {}, number {})",
        finding.target, finding.what, plan.seed, finding.number
    );
    println!(
        "  again: quorate-sim --fuzz {} --input {}",
        finding.target,
        hex(&finding.input)
    );
}
