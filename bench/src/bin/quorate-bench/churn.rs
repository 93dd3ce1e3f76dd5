//! `quorate-bench churn`: a load under which nodes come and go.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_bench::Workload;
use quorate_bench::churn::{Churn as Load, Churned, Until};

use crate::connect::Connect;
use crate::tell;

/// Load a running cluster while its nodes come and go, and check what every read returns
///
/// Keys are written for the first time, read, and replaced by what was read, with r=w=2. After the load it waits until all
/// replicas have the same, and reads everything once more. Fails if anything acknowledged is missing, anything replaced
/// is back, a read was stale, or a request failed after all its tries.
#[derive(Args)]
pub(crate) struct Churn {
    /// How many keys
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Bytes of each value, 24 at least
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How many clients
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1000))]
    clients: u64,
    /// Operations a second, of all clients together
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// How long, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Until there is a file of that name, instead
    #[arg(long, value_name = "FILE")]
    until: Option<PathBuf>,
    /// What keys and values are made from: another one than that of earlier runs
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

impl Churn {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let (client, bucket) = self.connect.bucket(&self.bucket).await?;
        let seconds = Until::After(Duration::from_secs(self.seconds));
        let load = Load {
            client: client.clone(),
            bucket,
            workload: Workload::new(self.seed, self.size),
            keys: self.keys,
            clients: self.clients,
            rate: self.rate,
            until: self.until.map_or(seconds, Until::File),
        };
        let churned: Churned = load.run().await;
        client.close().await;
        tell(&churned, &churned.figures(), self.json.as_deref())?;
        if churned.is_clean() {
            Ok(())
        } else {
            Err("not everything is as it must be: see above".into())
        }
    }
}
