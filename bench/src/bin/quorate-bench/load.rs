//! `quorate-bench load`: many keys, fast.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_bench::Workload;
use quorate_bench::load::{Loaded, Loader};
use quorate_client::{Client, Profile, TlsFiles};

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
    /// Client ports of some nodes, separated by commas
    #[arg(
        long,
        env = "QUORATE_SEEDS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        required = true
    )]
    seeds: Vec<String>,
    /// The certificate of the cluster's authority
    #[arg(long, env = "QUORATE_CA", value_name = "FILE")]
    ca: PathBuf,
    /// This client's certificate
    #[arg(long, env = "QUORATE_CERT", value_name = "FILE")]
    cert: PathBuf,
    /// This client's private key
    #[arg(long, env = "QUORATE_KEY", value_name = "FILE")]
    key: PathBuf,
}

/// Time for one write, all tries of the library included.
const DEADLINE: Duration = Duration::from_secs(10);

impl Load {
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let tls = TlsFiles {
            ca: self.ca,
            cert: self.cert,
            key: self.key,
        };
        let profile = Profile {
            deadline: Some(DEADLINE),
            ..Profile::default()
        };
        let builder = Client::builder().seeds(self.seeds).tls(tls);
        let client = builder.profile(profile).connect().await?;
        let bucket = client.bucket(&self.bucket);
        bucket.definition().await?;
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
