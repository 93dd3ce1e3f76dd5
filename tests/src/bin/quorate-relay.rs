//! A UDP relay between nodes that can be told to misbehave.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use quorate_tests::relay::{Relay, Route, ask, serve};
use tokio::signal::unix::{SignalKind, signal};

/// Relays UDP between nodes, and cuts, delays, loses, repeats, damages or reorders packets as told.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: Option<Run>,
}

#[derive(Args)]
struct Run {
    /// File of the control socket; it exists while the relay is ready.
    #[arg(long)]
    control: PathBuf,
    /// FROM:TO=LISTEN=TARGET: node FROM reaches node TO at LISTEN, where TO listens at TARGET. Repeatable.
    #[arg(long = "route", required = true)]
    routes: Vec<Route>,
    /// What chance starts from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Subcommand)]
enum Action {
    /// Tell a running relay: cut I J, cut-oneway I J, delay I J MS or delay I J MS JITTER,
    /// loss|duplicate|corrupt|reorder I J PERCENT, heal or heal I J, stats. Nodes are numbers, or * for all.
    Ctl {
        /// File of the control socket.
        #[arg(long)]
        control: PathBuf,
        /// The words of one line.
        #[arg(required = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.action, arguments.run) {
        (Some(Action::Ctl { control, words }), _) => tell(&control, &words.join(" ")).await,
        (None, Some(run)) => relay(run).await,
        (None, None) => Err("nothing to do: see --help".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn tell(control: &std::path::Path, line: &str) -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", ask(control, line).await?);
    Ok(())
}

async fn relay(run: Run) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let relay = Relay::start(run.routes, run.seed).await?;
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(&relay, &run.control, end).await?;
    Ok(())
}
