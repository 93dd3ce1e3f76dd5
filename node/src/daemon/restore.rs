//! `quorate-node restore`.

use std::path::{Path, PathBuf};

use quorate_core::record::Restored;
use quorate_protocol::StorageId;

use super::{DaemonError, load_tls};
use crate::backup::{self, Manifest, Restoring, Which};
use crate::config::Config;

/// What to restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Where backups are; `None`: where the configuration has them made.
    pub from: Option<PathBuf>,
    /// Which one.
    pub which: Which,
    /// Whether all nodes of the cluster are restored.
    pub restored: Restored,
    /// Whether data that is there is set aside.
    pub force: bool,
}

/// Restores the data directory of the node that `config_path` describes, and returns what it was.
///
/// # Errors
/// The configuration or the certificates are wrong, or see [`backup::RestoreError`]: nothing was changed.
pub fn restore(config_path: &Path, options: RestoreOptions) -> Result<Manifest, DaemonError> {
    let config = Config::load(config_path)?;
    let tls = load_tls(&config)?;
    let request = Restoring {
        data_dir: config.data_dir,
        node: tls.node(),
        cluster: tls.cluster(),
        from: options.from.unwrap_or(config.backup.directory),
        which: options.which,
        restored: options.restored,
        force: options.force,
    };
    Ok(backup::restore(&request, StorageId::new(rand::random()))?)
}
