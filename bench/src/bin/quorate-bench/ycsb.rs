//! `quorate-bench ycsb`: how many requests, how fast, for how much CPU time.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use quorate_bench::ycsb::{self, Distribution, Mix, Report, Settings, Target};
use quorate_tests::process::Programs;

use crate::connect::Elsewhere;
use crate::tell;

/// Measure requests: the workloads of YCSB, in a closed or open loop
///
/// Makes a cluster of three nodes in a temporary directory; with connection settings (those of `quorate`, from options
/// or the environment) it takes a running one. Keys are written first. Give another --seed to measure the same cluster again.
///
/// a: half reads, half updates. b: 95 % reads, 5 % updates. c: reads. d: 95 % reads of what is new, 5 % inserts.
/// f: half reads, half read-modify-writes. get: reads. put: updates. There is no e: it scans ranges of keys in order, and keys
/// are placed by hash and listed by partition.
#[derive(Args)]
pub(crate) struct Ycsb {
    /// One of a, b, c, d, f, get, put
    #[arg(long, default_value = "a")]
    workload: Mix,
    /// Which keys are asked for; if not given: uniform for get and put, latest for d, otherwise zipfian
    #[arg(long, value_enum)]
    distribution: Option<Keys>,
    /// Keys written before the first run
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    keys: u64,
    /// Bytes of each value, 24 at least
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Requests under way at the same time; with --rate the most there may be
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    outstanding: u16,
    /// Requests due each second, whatever becomes of those before; times count from when they are due
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Seconds at the beginning of each run that do not count
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Seconds of each run that count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Repetitions; figures are medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// What chance starts from, and what keys are named after
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The bucket of a running cluster
    #[arg(long, default_value = "default")]
    bucket: String,
    /// Processes of a running cluster on this machine, separated by commas: their CPU time is told
    #[arg(long, value_delimiter = ',', value_name = "PID", requires = "seeds")]
    pids: Vec<u32>,
    /// Write all figures into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    connect: Elsewhere,
}

#[derive(Clone, Copy, ValueEnum)]
enum Keys {
    Uniform,
    Zipfian,
    Latest,
}

impl From<Keys> for Distribution {
    fn from(keys: Keys) -> Self {
        match keys {
            Keys::Uniform => Self::Uniform,
            Keys::Zipfian => Self::Zipfian,
            Keys::Latest => Self::Latest,
        }
    }
}

impl Ycsb {
    pub(crate) async fn run(mut self) -> Result<(), Box<dyn Error>> {
        let html = self.html.take();
        let json = self.json.take();
        // Interrupted, the cluster is dropped as at any end: processes and files go with it.
        let report = tokio::select! {
            report = self.measure() => report?,
            _ = tokio::signal::ctrl_c() => return Err("interrupted: nothing is reported".into()),
        };
        if let Some(file) = html {
            fs::write(&file, report.html())
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(tell(&report, &report.json(), json.as_deref())?)
    }

    async fn measure(self) -> Result<Report, Box<dyn Error>> {
        let settings = self.settings();
        let Some(connect) = self.connect.named() else {
            return Ok(ycsb::run_on_own_cluster(&Programs::find()?, settings).await?);
        };
        let (client, bucket) = connect.bucket(&self.bucket).await?;
        let target = Target {
            bucket,
            pids: self.pids,
        };
        let report = ycsb::run(&target, settings).await;
        client.close().await;
        Ok(report?)
    }

    fn settings(&self) -> Settings {
        // On popular keys updates meet each other, and what is measured is no longer one request.
        let usual = match self.workload.name {
            "get" | "put" => Distribution::Uniform,
            _ if self.workload.inserts() => Distribution::Latest,
            _ => Distribution::Zipfian,
        };
        Settings {
            mix: self.workload,
            distribution: self.distribution.map_or(usual, Distribution::from),
            keys: self.keys,
            value_bytes: self.value_bytes,
            outstanding: self.outstanding.into(),
            rate: self.rate,
            warm_up: Duration::from_secs(self.warm_up),
            time: Duration::from_secs(self.seconds),
            runs: self.runs.into(),
            seed: self.seed,
        }
    }
}
