//! The commands, one file each.

pub(crate) mod certs;
pub(crate) mod cluster;
pub(crate) mod completions;

use crate::args::{Args, Command};
use crate::outcome::Done;
use crate::output::Out;

/// Does what the command line asks for.
pub(crate) fn run(args: Args, out: &mut Out) -> Done {
    match args.command {
        Command::Certs(certs) => certs::run(certs, out),
        Command::Cluster(cluster) => cluster::run(cluster, out),
        Command::Completions(completions) => completions::run(&completions, out),
    }
}
