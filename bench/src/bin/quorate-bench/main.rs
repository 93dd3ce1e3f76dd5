//! Measures Quorate; see the help of each command.

mod catch_up;
mod churn;
mod compare;
mod connect;
mod delete;
mod floor;
mod load;
mod rate;
mod ycsb;

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use quorate_bench::floor::SERVE;
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
    Ycsb(Box<ycsb::Ycsb>),
    Floor(floor::Floor),
    #[command(name = SERVE, hide = true)]
    FloorServer(floor::Server),
    Compare(compare::Compare),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Load(load) => load.run().await,
        Command::Churn(churn) => churn.run().await,
        Command::CatchUp(catch_up) => catch_up.run().await,
        Command::Delete(delete) => delete.run().await,
        Command::Rate(rate) => rate.run().await,
        Command::Ycsb(ycsb) => ycsb.run().await,
        Command::Floor(floor) => floor.run().await,
        Command::FloorServer(server) => server.run().await,
        Command::Compare(compare) => compare.run(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> Option<String> {
        let parsed = Arguments::try_parse_from(arguments.iter().copied());
        parsed.err().map(|error| error.to_string())
    }

    #[test]
    fn a_cluster_of_its_own_needs_no_connection_settings_and_others_need_all() {
        assert_eq!(refused(&["quorate-bench", "ycsb"]), None);
        assert!(refused(&["quorate-bench", "ycsb", "--seeds", "localhost:1"]).is_some());
        assert!(refused(&["quorate-bench", "ycsb", "--pids", "1"]).is_some());
        assert!(refused(&["quorate-bench", "load"]).is_some());
    }

    #[test]
    fn scans_are_refused_on_the_command_line() {
        let told = refused(&["quorate-bench", "ycsb", "--workload", "e"]);
        assert!(told.is_some_and(|told| told.contains("scans ranges of keys")));
    }
}
