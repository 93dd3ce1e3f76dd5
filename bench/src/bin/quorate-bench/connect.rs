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

/// The same, where a command makes a cluster of its own if none is named.
#[derive(Args)]
pub(crate) struct Elsewhere {
    /// Client ports of some nodes of a running cluster, separated by commas
    #[arg(
        long,
        env = "QUORATE_SEEDS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        requires_all = ["ca", "cert", "key"]
    )]
    seeds: Vec<String>,
    /// The certificate of the cluster's authority
    #[arg(long, env = "QUORATE_CA", value_name = "FILE", requires = "seeds")]
    ca: Option<PathBuf>,
    /// This client's certificate
    #[arg(long, env = "QUORATE_CERT", value_name = "FILE", requires = "seeds")]
    cert: Option<PathBuf>,
    /// This client's private key
    #[arg(long, env = "QUORATE_KEY", value_name = "FILE", requires = "seeds")]
    key: Option<PathBuf>,
}

impl Elsewhere {
    /// Nothing if no cluster was named.
    pub(crate) fn named(self) -> Option<Connect> {
        Some(Connect {
            seeds: self.seeds,
            ca: self.ca?,
            cert: self.cert?,
            key: self.key?,
        })
    }
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
