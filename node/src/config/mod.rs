//! The configuration file: every key, its default, and what is checked before anything is touched.
//!
//! `example.toml` beside this file is the documentation of every key; a test keeps it complete.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use quorate_ring::NodeId;
use serde::Deserialize;

use self::pace::default_dot_log_mb;
pub use self::pace::{Handoff, Scrub};
use crate::backup::BackupSettings;

mod pace;

/// The commented configuration that `quorate-node check-config --example` prints.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Most shards of one node: their number fits beside an operation's in 64 bits, and no machine of
/// today has more cores to give.
pub const SHARDS_MAX: u16 = 256;
/// Smallest cache that RocksDB works with at all well, MiB.
const CACHE_MB_MIN: u32 = 8;
const CACHE_MB_MAX: u32 = 1 << 20;
/// Fastest limit on backups, MiB a second: faster than any disk.
const BACKUP_RATE_MB_MAX: u32 = 1 << 16;
/// What QUIC demands of every path, and what the network takes at most (loopback).
const MTU_MIN: u16 = 1200;
const MTU_MAX: u16 = 65_000;

/// A configuration in which every path is absolute or relative to the working directory, and
/// every value within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's data directory.
    pub data_dir: PathBuf,
    /// Where peers connect.
    pub listen_peer: SocketAddr,
    /// Where clients connect.
    pub listen_client: SocketAddr,
    /// Certificates.
    pub tls: TlsPaths,
    /// The file with the key of context tokens.
    pub secret_file: PathBuf,
    /// Shards, at least 1.
    pub shards: u16,
    /// Block cache, MiB.
    pub cache_mb: u32,
    /// Free space below which no writes are taken, MiB.
    pub disk_reserve_mb: u32,
    /// Bytes of a replica's dot log beyond which it is cut, MiB.
    pub dot_log_mb: u32,
    /// First packet size on a new connection, bytes of UDP payload; `None`: QUIC's own 1200.
    pub initial_mtu: Option<u16>,
    /// Where the node's counters are written every 10 s.
    pub metrics_file: Option<PathBuf>,
    /// Which log lines are printed.
    pub log_filter: String,
    /// How they look.
    pub log_format: LogFormat,
    /// Addresses that replace those of the cluster map.
    pub peer_addresses: BTreeMap<NodeId, String>,
    /// Where backups go.
    pub backup: BackupSettings,
    /// How stored data is read through in the background.
    pub scrub: Scrub,
    /// How fast copies and hints travel.
    pub handoff: Handoff,
}

/// The node's certificate files, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPaths {
    /// The cluster's authority.
    pub ca: PathBuf,
    /// The node's certificate.
    pub cert: PathBuf,
    /// The node's private key.
    pub key: PathBuf,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML, lacks a key, or has one that does not exist.
    #[error("the configuration {path} is wrong: {detail}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        detail: String,
    },
    /// A value is out of bounds.
    #[error("the configuration {path} is wrong: {key} {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with its value and what would be right.
        problem: String,
    },
    /// The secret cannot be used.
    #[error("the secret file {path} {problem}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    data_dir: PathBuf,
    #[serde(default = "default_listen_peer")]
    listen_peer: String,
    #[serde(default = "default_listen_client")]
    listen_client: String,
    tls: RawTls,
    secret_file: PathBuf,
    #[serde(default = "default_shards")]
    shards: u16,
    #[serde(default = "default_cache_mb")]
    cache_mb: u32,
    #[serde(default = "default_disk_reserve_mb")]
    disk_reserve_mb: u32,
    #[serde(default = "default_dot_log_mb")]
    dot_log_mb: u32,
    initial_mtu: Option<u16>,
    metrics_file: Option<PathBuf>,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    backup: RawBackup,
    #[serde(default)]
    scrub: Scrub,
    #[serde(default)]
    handoff: Handoff,
    #[serde(default)]
    peer_addresses: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    filter: String,
    format: LogFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBackup {
    directory: Option<PathBuf>,
    rate_mb: u32,
}

impl Default for RawBackup {
    fn default() -> Self {
        Self {
            directory: None,
            rate_mb: 64,
        }
    }
}

fn default_listen_peer() -> String {
    "127.0.0.1:7400".to_owned()
}

fn default_listen_client() -> String {
    "127.0.0.1:7401".to_owned()
}

const fn default_shards() -> u16 {
    1
}

const fn default_cache_mb() -> u32 {
    256
}

const fn default_disk_reserve_mb() -> u32 {
    256
}

impl Config {
    /// Reads and checks the file at `path`. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// See [`ConfigError`]; each names the file and the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks the text of a configuration file that stands at `path`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig =
            toml::from_str(text).map_err(|error| parse_error(path, text, &error))?;
        raw.check(path)
    }

    /// Reads the key of context tokens.
    ///
    /// # Errors
    /// The file cannot be read, or holds anything but 64 hexadecimal digits.
    pub fn load_secret(&self) -> Result<[u8; 32], ConfigError> {
        let wrong = |problem: String| ConfigError::Secret {
            path: self.secret_file.clone(),
            problem,
        };
        let text = fs::read_to_string(&self.secret_file)
            .map_err(|error| wrong(format!("cannot be read: {error}")))?;
        parse_secret(text.trim()).ok_or_else(|| {
            wrong("does not hold 32 bytes as 64 hexadecimal digits: use the one made with the cluster".to_owned())
        })
    }
}

/// One line: where, and what.
fn parse_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error
        .span()
        .map(|span| text[..span.start].matches('\n').count() + 1);
    let message = error.message().replace('\n', " ");
    let detail = line.map_or_else(|| message.clone(), |line| format!("line {line}: {message}"));
    ConfigError::Parse {
        path: path.to_owned(),
        detail,
    }
}

fn parse_secret(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; 32];
    for (index, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(secret)
}

/// A key, and what is wrong with its value.
type Problem = (&'static str, String);

impl RawConfig {
    fn check(self, path: &Path) -> Result<Config, ConfigError> {
        let base = path.parent().unwrap_or(Path::new(""));
        self.check_numbers()
            .and_then(|()| self.build(base))
            .map_err(|(key, problem)| ConfigError::Value {
                path: path.to_owned(),
                key: key.to_owned(),
                problem,
            })
    }

    fn check_numbers(&self) -> Result<(), Problem> {
        if self.shards > SHARDS_MAX {
            return Err(("shards", format!("= {} is above {SHARDS_MAX}", self.shards)));
        }
        if !(CACHE_MB_MIN..=CACHE_MB_MAX).contains(&self.cache_mb) {
            let problem = format!(
                "= {} is not from {CACHE_MB_MIN} to {CACHE_MB_MAX}",
                self.cache_mb
            );
            return Err(("cache_mb", problem));
        }
        pace::check_dot_log(self.dot_log_mb)?;
        self.scrub.check()?;
        self.handoff.check()?;
        match self.initial_mtu {
            Some(mtu) if !(MTU_MIN..=MTU_MAX).contains(&mtu) => Err((
                "initial_mtu",
                format!("= {mtu} is not from {MTU_MIN} to {MTU_MAX}"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn build(self, base: &Path) -> Result<Config, Problem> {
        let data_dir = base.join(self.data_dir);
        Ok(Config {
            backup: backup_settings(base, &data_dir, self.backup)?,
            data_dir,
            listen_peer: listen_address("listen_peer", &self.listen_peer)?,
            listen_client: listen_address("listen_client", &self.listen_client)?,
            tls: TlsPaths {
                ca: base.join(self.tls.ca),
                cert: base.join(self.tls.cert),
                key: base.join(self.tls.key),
            },
            secret_file: base.join(self.secret_file),
            shards: if self.shards == 0 {
                cores()
            } else {
                self.shards
            },
            cache_mb: self.cache_mb,
            disk_reserve_mb: self.disk_reserve_mb,
            dot_log_mb: self.dot_log_mb,
            initial_mtu: self.initial_mtu,
            metrics_file: self.metrics_file.map(|file| base.join(file)),
            log_filter: self.log.filter,
            log_format: self.log.format,
            peer_addresses: peer_addresses(self.peer_addresses)?,
            scrub: self.scrub,
            handoff: self.handoff,
        })
    }
}

fn backup_settings(
    base: &Path,
    data_dir: &Path,
    raw: RawBackup,
) -> Result<BackupSettings, Problem> {
    if !(1..=BACKUP_RATE_MB_MAX).contains(&raw.rate_mb) {
        let problem = format!("= {} is not from 1 to {BACKUP_RATE_MB_MAX}", raw.rate_mb);
        return Err(("backup.rate_mb", problem));
    }
    let beside = || data_dir.with_file_name("backups");
    let directory = raw.directory.map_or_else(beside, |named| base.join(named));
    if directory.starts_with(data_dir.join("db")) {
        let problem = format!(
            "= '{}' lies inside the node's database: choose a directory outside of it",
            directory.display()
        );
        return Err(("backup.directory", problem));
    }
    Ok(BackupSettings {
        directory,
        rate_mb: raw.rate_mb,
    })
}

fn listen_address(key: &'static str, text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        (
            key,
            format!("= '{text}' is no address to listen on: write ip:port, as in 0.0.0.0:7400"),
        )
    })
}

fn peer_addresses(raw: BTreeMap<String, String>) -> Result<BTreeMap<NodeId, String>, Problem> {
    let parse = |(node, address): (String, String)| {
        let id: NodeId = node.parse().map_err(|_| {
            (
                "peer_addresses",
                format!("names '{node}': a node id has 16 hexadecimal digits"),
            )
        })?;
        if !is_host_and_port(&address) {
            return Err((
                "peer_addresses",
                format!("gives {node} the address '{address}': write host:port"),
            ));
        }
        Ok((id, address))
    };
    raw.into_iter().map(parse).collect()
}

fn is_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

fn cores() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(cores).unwrap_or(SHARDS_MAX).min(SHARDS_MAX)
}

#[cfg(test)]
mod tests;
