//! Which cluster to talk to, and as whom.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_client::{Bucket, Client, Profile, TlsFiles};

/// Connection settings, as those of `quorate`.
#[derive(Args)]
pub(crate) struct Connect {
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

/// Time for one request, all tries of the library included.
const DEADLINE: Duration = Duration::from_secs(10);

impl Connect {
    /// A client, and a bucket of that name, which there is.
    pub(crate) async fn bucket(self, name: &str) -> Result<(Client, Bucket), Box<dyn Error>> {
        let client = self.client().await?;
        let bucket = client.bucket(name);
        bucket.definition().await?;
        Ok((client, bucket))
    }

    async fn client(self) -> Result<Client, Box<dyn Error>> {
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
        Ok(builder.profile(profile).connect().await?)
    }
}
