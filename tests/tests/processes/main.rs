//! Scenarios with real processes, named after their lines. See `stage.rs` for how they share a
//! cluster.
//!
//! Run with `cargo test -p quorate-tests --features processes --test processes`, after
//! `cargo build -p quorate-node -p quorate-client`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod backups;
mod causality;
mod commands;
mod disks;
mod ending;
mod growing;
mod leftovers;
mod load;
mod recovering;
mod refusals;
mod requests;
mod returning;
mod rolling;
mod stage;
mod starting;
mod storm;
mod strangers;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use stage::Stage;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Five nodes are enough for the machine.
    arguments.test_threads = Some(1);
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(trouble) => {
            eprintln!("{trouble}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    requests::trials(&stage, &mut trials);
    returning::trials(&stage, &mut trials);
    causality::trials(&stage, &mut trials);
    ending::trials(&stage, &mut trials);
    refusals::trials(&stage, &mut trials);
    rolling::trials(&stage, &mut trials);
    growing::trials(&stage, &mut trials);
    recovering::trials(&stage, &mut trials);
    strangers::trials(&stage, &mut trials);
    commands::trials(&stage, &mut trials);
    disks::trials(&stage, &mut trials);
    backups::trials(&stage, &mut trials);
    leftovers::trials(&stage, &mut trials);
    load::trials(&stage, &mut trials);
    storm::trials(&stage, &mut trials);
    starting::trials(&stage, &mut trials);
    let conclusion = libtest_mimic::run(&arguments, trials);
    stage.close();
    conclusion.exit_code()
}
