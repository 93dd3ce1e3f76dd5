//! Real processes under load and faults; see `quorate_tests::storm`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use quorate_tests::process::Programs;
use quorate_tests::storm::Storm;

/// Starts a cluster of real nodes, hurts it in every way while clients write and read, heals it, and
/// checks every promise on what they saw. Exit codes: 0 clean, 1 a promise was broken, 2 it did not
/// come to rest, 3 the storm could not be made.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How long, minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Operations in a second, all clients together.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// What chance starts from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients at the same time.
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Members of the cluster.
    #[arg(long, default_value_t = 5)]
    nodes: usize,
    /// Mean time between two faults, milliseconds.
    #[arg(long, default_value_t = 1_500)]
    gap_ms: u64,
    /// End once so many operations were done.
    #[arg(long)]
    operations: Option<u64>,
    /// Give each node a network namespace of its own, instead of a relay between them. For root.
    #[arg(long)]
    namespaces: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let storm = Storm {
        seed: arguments.seed,
        length: Duration::from_secs_f64(arguments.minutes.max(0.0) * 60.0),
        rate: arguments.rate,
        clients: arguments.clients,
        nodes: arguments.nodes,
        gap: Duration::from_millis(arguments.gap_ms),
        operations_max: arguments.operations.unwrap_or(u64::MAX),
        namespaces: arguments.namespaces,
    };
    let report = match Programs::find() {
        Ok(programs) => storm.run(&programs).await,
        Err(trouble) => Err(trouble),
    };
    match report {
        Ok(report) => {
            println!("{report}");
            let broken = !report.verdict.violations.is_empty();
            ExitCode::from(if broken {
                1
            } else if report.converged.is_err() {
                2
            } else {
                0
            })
        }
        Err(trouble) => {
            eprintln!("quorate-storm: {trouble}");
            ExitCode::from(3)
        }
    }
}
