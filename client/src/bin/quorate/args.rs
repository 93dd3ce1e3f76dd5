//! The command line.

use clap::{Parser, Subcommand};

use crate::cmd;

/// Stores and reads values in a Quorate cluster, shows what the cluster does, and makes new ones.
///
/// Exit codes: 0 done; 1 refused or not found; 2 failed, or wrong usage.
#[derive(Parser)]
#[command(name = "quorate", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Print one JSON value instead of text and tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make certificates
    #[command(subcommand)]
    Certs(cmd::certs::Certs),
    /// Make a new cluster
    #[command(subcommand)]
    Cluster(cmd::cluster::Cluster),
    /// Print a completion script for a shell
    Completions(cmd::completions::Completions),
}
