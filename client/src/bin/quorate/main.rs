//! `quorate`, the command-line tool: stores and reads values, shows a cluster, makes new ones.

mod args;
mod checksum;
mod cmd;
mod connect;
mod files;
mod journal;
mod moving;
mod options;
mod outcome;
mod output;
mod parallel;
mod progress;
mod show;
mod survey;
mod walk;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::output::Out;

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = Out::new(args.json);
    let done = cmd::run(args, &mut out).and_then(|()| out.flush());
    outcome::end(done, &mut out)
}
