//! Measures Quorate; see the help of each command.

mod catch_up;
mod churn;
mod connect;
mod delete;
mod load;
mod rate;

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;

/// Measures Quorate
///
/// Exit codes: 0 done, 1 something failed, 2 the command line is wrong.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Load(load::Load),
    Churn(churn::Churn),
    CatchUp(catch_up::CatchUp),
    Delete(delete::Delete),
    Rate(rate::Rate),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Load(load) => load.run().await,
        Command::Churn(churn) => churn.run().await,
        Command::CatchUp(catch_up) => catch_up.run().await,
        Command::Delete(delete) => delete.run().await,
        Command::Rate(rate) => rate.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a report, and writes its figures into a file if wanted.
fn tell(report: &impl Display, figures: &Value, file: Option<&Path>) -> Result<(), String> {
    print!("{report}");
    let Some(file) = file else {
        return Ok(());
    };
    fs::write(file, format!("{figures:#}\n"))
        .map_err(|error| format!("{}: {error}", file.display()))
}
