//! `quorate-bench compare`: two measurements side by side.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

/// Compare two files that `ycsb --json` or `floor --json` wrote
///
/// Prints settings that differ, and all figures that both files have: medians, from the least to the most of all runs, and
/// how many times A's median B's is. A star: the runs of both overlap, and the difference may be chance.
#[derive(Args)]
pub(crate) struct Compare {
    /// What is compared with
    #[arg(value_name = "A.json")]
    first: PathBuf,
    /// What is compared
    #[arg(value_name = "B.json")]
    second: PathBuf,
}

impl Compare {
    pub(crate) fn run(&self) -> Result<(), Box<dyn Error>> {
        let (first, second) = (read(&self.first)?, read(&self.second)?);
        print!("{}", quorate_bench::compare::compare(&first, &second)?);
        Ok(())
    }
}

fn read(file: &Path) -> Result<Value, String> {
    let told = |error: &dyn Error| format!("{}: {error}", file.display());
    let text = fs::read(file).map_err(|error| told(&error))?;
    serde_json::from_slice(&text).map_err(|error| told(&error))
}
