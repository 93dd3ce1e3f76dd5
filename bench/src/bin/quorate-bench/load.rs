//! `quorate-bench load`: many keys, fast.

use std::error::Error;

use clap::Args;
use quorate_bench::Workload;
use quorate_bench::load::{Loaded, Loader};

use crate::connect::Connect;

/// Write many keys into a running cluster
///
/// Nothing is read before. Give another --seed to write other keys: the same ones a second time would leave
/// siblings. Connection settings are those of `quorate`, from options or the environment.
#[derive(Args)]
pub(crate) struct Load {
    /// How many
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Bytes of each value, 24 at least
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Writes under way at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// What keys and values are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The bucket
    #[arg(long, default_value = "default")]
    bucket: String,
    #[command(flatten)]
    connect: Connect,
}

impl Load {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let (client, bucket) = self.connect.bucket(&self.bucket).await?;
        let loader = Loader {
            bucket,
            workload: Workload::new(self.seed, self.size),
            clients: self.clients.into(),
        };
        let loaded = loader.fill(self.keys).await;
        client.close().await;
        report(&loaded)
    }
}

fn report(loaded: &Loaded) -> Result<(), Box<dyn Error>> {
    println!(
        "{} keys written in {:.1} s, {:.0} a second; {} took more than one try",
        loaded.written,
        loaded.took.as_secs_f64(),
        loaded.rate(),
        loaded.retried
    );
    for (code, count) in &loaded.failed {
        println!("{count} failed: {code}");
    }
    match &loaded.first_failure {
        None => Ok(()),
        Some(first) => Err(format!("not all keys are written; the first failure: {first}").into()),
    }
}
