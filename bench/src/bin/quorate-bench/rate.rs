//! `quorate-bench rate`: what requests take while they come at a fixed rate.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_bench::Workload;
use quorate_bench::rate::Steady;

use crate::connect::Connect;
use crate::tell;

/// Measure a running cluster at a fixed rate of requests
///
/// Every other request reads; the others read and replace what they read, with the bucket's defaults. The time of each
/// counts from when it was due, so that a pause is seen by all requests that fall into it. The keys are those that
/// `load` wrote with the same --seed.
#[derive(Args)]
pub(crate) struct Rate {
    /// How many keys there are
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Bytes of each value, 24 at least
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Requests a second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How long, in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// What keys and values are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The bucket
    #[arg(long, default_value = "default")]
    bucket: String,
    /// Write the figures into this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    connect: Connect,
}

impl Rate {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let (client, bucket) = self.connect.bucket(&self.bucket).await?;
        let steady = Steady {
            bucket,
            workload: Workload::new(self.seed, self.size),
            keys: self.keys,
            rate: self.rate,
            time: Duration::from_secs(self.seconds),
            seed: self.seed,
        };
        let measured = steady.run().await;
        client.close().await;
        Ok(tell(&measured, &measured.figures(), self.json.as_deref())?)
    }
}
