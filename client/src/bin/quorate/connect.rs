//! Options that say which cluster to talk to, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use quorate_client::{Client, Error, Kind, Member, NodeId, Profile, TlsFiles};

use crate::outcome::Failure;

/// Where the cluster is and who asks.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// Client ports of some nodes, separated by commas
    #[arg(
        id = "connect_seeds",
        long = "seeds",
        env = "QUORATE_SEEDS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        hide_env_values = true
    )]
    seeds: Vec<String>,
    /// The certificate of the cluster's authority
    #[arg(
        id = "connect_ca",
        long = "ca",
        env = "QUORATE_CA",
        value_name = "FILE",
        hide_env_values = true
    )]
    ca: Option<PathBuf>,
    /// This client's certificate
    #[arg(
        id = "connect_cert",
        long = "cert",
        env = "QUORATE_CERT",
        value_name = "FILE",
        hide_env_values = true
    )]
    cert: Option<PathBuf>,
    /// This client's private key
    #[arg(
        id = "connect_key",
        long = "key",
        env = "QUORATE_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    key: Option<PathBuf>,
    /// Time for each request, retries included
    #[arg(id = "connect_deadline", long = "deadline", value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) deadline: Duration,
}

/// Reads a time such as `2s` or `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 2s or 1m"))
}

impl Connect {
    /// Connects, or says which option is missing.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Ok(self.try_client().await?)
    }

    /// As [`Self::client`], keeping the error's kind.
    pub(crate) async fn try_client(&self) -> Result<Client, NoClient> {
        if self.seeds.is_empty() {
            return Err(NoClient::Missing("seeds", "QUORATE_SEEDS"));
        }
        let file = |path: &Option<PathBuf>, option, variable| {
            path.clone().ok_or(NoClient::Missing(option, variable))
        };
        let tls = TlsFiles {
            ca: file(&self.ca, "ca", "QUORATE_CA")?,
            cert: file(&self.cert, "cert", "QUORATE_CERT")?,
            key: file(&self.key, "key", "QUORATE_KEY")?,
        };
        let profile = Profile {
            deadline: Some(self.deadline),
            ..Profile::default()
        };
        Ok(Client::builder()
            .seeds(self.seeds.clone())
            .tls(tls)
            .profile(profile)
            .connect()
            .await?)
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoClient {
    /// An option is missing.
    #[error("no --{0} is given, and {1} is not set: which cluster is meant?")]
    Missing(&'static str, &'static str),
    /// Connecting failed.
    #[error(transparent)]
    Error(#[from] Error),
}

impl NoClient {
    /// Whether to wait and try again makes sense.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Error(error) if error.kind() == Kind::Retry)
    }
}

impl From<NoClient> for Failure {
    fn from(error: NoClient) -> Self {
        match error {
            NoClient::Missing(..) => Self::Failed(error.to_string()),
            NoClient::Error(error) => error.into(),
        }
    }
}

/// The member with that name or id.
pub(crate) fn member<'map>(
    map: &'map quorate_client::ClusterMap,
    name: &str,
) -> Result<&'map Member, Failure> {
    let id = name.parse::<NodeId>().ok();
    map.members
        .iter()
        .find(|member| member.name == name || Some(member.id) == id)
        .ok_or_else(|| {
            let names: Vec<&str> = map
                .members
                .iter()
                .map(|member| member.name.as_str())
                .collect();
            Failure::Refused(format!(
                "'{name}' is no member of this cluster: its members are {}",
                names.join(", ")
            ))
        })
}

/// A node's name for people, or its id where it is no member.
pub(crate) fn name_of(map: &quorate_client::ClusterMap, node: NodeId) -> String {
    map.member(node)
        .map_or_else(|| node.to_string(), |member| member.name.clone())
}
