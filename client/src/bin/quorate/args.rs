//! The command line.

use clap::{Parser, Subcommand};

use crate::cmd::{
    backup, bucket, certs, cluster, completions, converged, delete, get, handoff, keys, lag, load,
    ping, preflist, put, repair, ring, scrub, status, verify, wait,
};

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
    /// Write a value
    Put(put::Put),
    Get(get::Get),
    Delete(delete::Delete),
    Keys(keys::Keys),
    Load(load::Load),
    Verify(verify::Verify),
    /// Show which nodes hold a key, and who stands in for them
    Preflist(preflist::Preflist),
    /// Create, list or describe buckets
    #[command(subcommand)]
    Bucket(bucket::Bucket),
    Status(status::Status),
    /// Show how partitions are spread over nodes
    Ring(ring::Ring),
    Handoff(handoff::Handoff),
    Converged(converged::Converged),
    Wait(wait::Wait),
    Lag(lag::Lag),
    #[command(subcommand)]
    Backup(backup::Backup),
    Repair(repair::Repair),
    /// Look at, or pause, the reading of all stored data in the background
    #[command(subcommand)]
    Scrub(scrub::Scrub),
    /// Ask nodes for a sign of life
    Ping(ping::Ping),
    /// Make certificates
    #[command(subcommand)]
    Certs(certs::Certs),
    /// Make a new cluster
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_options_of_a_command_share_a_name() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_key_is_no_certificate_and_a_file_no_session() {
        let line = [
            "quorate",
            "put",
            "b",
            "k",
            "--file",
            "f",
            "--session",
            "s",
            "--key",
            "me.key",
            "--deadline",
            "2s",
        ];
        assert!(Args::try_parse_from(line).is_ok());
        for wrong in [
            &["quorate", "put", "b", "k"][..],
            &["quorate", "put", "b", "k", "v", "--file", "f"],
        ] {
            assert!(Args::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
