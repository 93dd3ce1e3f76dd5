//! The process: what `quorate-node` does between its command line and the driver.

#[cfg(feature = "rocksdb")]
mod checks;
#[cfg(feature = "rocksdb")]
mod inspect;
mod logging;
#[cfg(feature = "rocksdb")]
mod metrics;
#[cfg(feature = "rocksdb")]
mod peers;
#[cfg(feature = "rocksdb")]
mod restore;
#[cfg(feature = "rocksdb")]
mod run;

use std::fs;
use std::path::{Path, PathBuf};

use quorate_protocol::StorageId;
use quorate_protocol::map_file::{self, MapFileError};
use quorate_ring::NodeId;

use crate::config::{Config, ConfigError};
use crate::driver::StartError;
use crate::identity::{DataDir, DataDirError};
use crate::net::NetError;
use crate::tls::{Tls, TlsError, TlsFiles};

#[cfg(feature = "rocksdb")]
pub use checks::{DESCRIPTORS_MIN, LimitError};
#[cfg(feature = "rocksdb")]
pub use inspect::{Inspected, inspect};
#[cfg(feature = "rocksdb")]
pub use restore::{RestoreOptions, restore};
#[cfg(feature = "rocksdb")]
pub use run::run;

/// Why the process ends with exit code 1. Each is one line.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration or the secret.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A limit of the process.
    #[cfg(feature = "rocksdb")]
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The cluster map given to `init`.
    #[error("{path}: {source}")]
    MapFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MapFileError,
    },
    /// The cluster map given to `init`.
    #[error("cannot read the cluster map {path}: {source}")]
    MapRead {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database.
    #[cfg(feature = "rocksdb")]
    #[error(transparent)]
    Storage(#[from] crate::storage::rocks::OpenError),
    /// The database was not inspected.
    #[cfg(feature = "rocksdb")]
    #[error(transparent)]
    Offline(#[from] crate::storage::rocks::OfflineError),
    /// Nothing was restored.
    #[cfg(feature = "rocksdb")]
    #[error(transparent)]
    Restore(#[from] crate::backup::RestoreError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetError),
    /// The driver.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The logging filter.
    #[error("the log filter '{filter}' is wrong: {problem}")]
    LogFilter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The runtime, or signals.
    #[error("the system refuses {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of the node ended by itself.
    #[error("{0} has ended by itself, which is a bug: the node ends rather than run without it")]
    Broken(&'static str),
    /// A second signal came while the node was stopping.
    #[error("stopped at once by a second signal")]
    Hasty,
}

/// Makes the data directory of `node` from a cluster map file.
///
/// # Errors
/// The map is unreadable or damaged, or the directory cannot be made; see [`DataDir::init`].
pub fn init(dir: &Path, map: &Path, node: NodeId) -> Result<(), DaemonError> {
    let bytes = fs::read(map).map_err(|source| DaemonError::MapRead {
        path: map.to_owned(),
        source,
    })?;
    let map = map_file::decode(&bytes).map_err(|source| DaemonError::MapFile {
        path: map.to_owned(),
        source,
    })?;
    DataDir::init(dir, &map, node, StorageId::new(rand::random()))?;
    Ok(())
}

/// Checks everything a start would read, and changes nothing: configuration, secret, certificates,
/// and the data directory if it is free.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_config(path: &Path) -> Result<(), DaemonError> {
    let config = Config::load(path)?;
    config.load_secret()?;
    logging::filter(&config)?;
    let tls = load_tls(&config)?;
    DataDir::inspect(&config.data_dir, tls.node(), tls.cluster())?;
    Ok(())
}

fn load_tls(config: &Config) -> Result<Tls, TlsError> {
    let paths = config.tls.clone();
    Tls::load(TlsFiles {
        authority: paths.ca,
        certificate: paths.cert,
        key: paths.key,
    })
}
