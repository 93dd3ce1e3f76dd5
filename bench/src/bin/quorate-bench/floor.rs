//! `quorate-bench floor`: how many times the CPU time that cannot be saved do requests take.

use std::error::Error;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_bench::floor::{self, Settings};
use quorate_tests::process::Programs;
use tokio::sync::oneshot;

use crate::tell;

/// Measure requests beside a bare program that does only what it must
///
/// Makes a cluster of three nodes in a temporary directory, and beside it three servers of a bare program with the nodes' settings
/// of RocksDB and QUIC: copies on three, answers from two, and nothing else. Both are asked in turn, and the CPU time of their
/// processes is told for each request, as is the ratio: that one holds on any machine.
#[derive(Args)]
pub(crate) struct Floor {
    /// Bytes of values, each measured by itself, 24 at least
    #[arg(long, value_delimiter = ',', default_value = "100,1024")]
    value_bytes: Vec<usize>,
    /// Keys of each size
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// Requests under way at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    outstanding: u16,
    /// Seconds at the beginning of each run that do not count
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Seconds of each run that count
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Turns, each of the bare program and then of the nodes; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// What chance starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all figures into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Floor {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let settings = Settings {
            program: std::env::current_exe()?,
            sizes: self.value_bytes,
            keys: self.keys,
            outstanding: self.outstanding,
            warm_up: Duration::from_secs(self.warm_up),
            time: Duration::from_secs(self.seconds),
            runs: self.runs.into(),
            seed: self.seed,
        };
        let programs = Programs::find()?;
        // Interrupted, both are dropped as at any end: processes and files go with them.
        let report = tokio::select! {
            report = floor::run(&programs, settings) => report?,
            _ = tokio::signal::ctrl_c() => return Err("interrupted: nothing is reported".into()),
        };
        Ok(tell(&report, &report.json(), self.json.as_deref())?)
    }
}

/// One of the bare program's servers, started by `floor`
#[derive(Args)]
pub(crate) struct Server {
    /// Where its files are
    dir: PathBuf,
    /// Which one it is
    me: usize,
}

impl Server {
    /// Ends without a word when its standard input does: whoever started it is gone or wants no more.
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let (gone, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            let _ = gone.send(());
        });
        tokio::select! {
            ended = floor::serve(&self.dir, self.me) => Ok(ended?),
            _ = ended => Ok(()),
        }
    }
}
