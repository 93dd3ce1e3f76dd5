//! `quorate-node inspect`.

use std::fs;
use std::io;
use std::path::Path;

use quorate_core::Census;

use super::{DaemonError, load_tls};
use crate::config::Config;
use crate::identity::DataDir;
use crate::storage::rocks::{RocksSettings, compact, look};

/// Everything is read once, so a cache is of little use, and the process' limit on files may be small.
const CACHE_BYTES: usize = 16 << 20;
const OPEN_FILES_MAX: i32 = 128;

/// What was found in a node's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// What is in it.
    pub census: Census,
    /// Bytes of all its files.
    pub file_bytes: u64,
}

impl Inspected {
    /// All figures, each under a name that stays, in an order that stays.
    #[must_use]
    pub fn figures(&self) -> Vec<(String, u64)> {
        let mut figures = self.census.figures();
        figures.push(("file_bytes".to_owned(), self.file_bytes));
        figures
    }
}

/// Counts all that the database of the stopped node holds which `config_path` describes; compacts it first if
/// wanted, and changes nothing otherwise.
///
/// # Errors
/// The configuration or the certificates are wrong, the node runs, or its database cannot be read.
pub fn inspect(config_path: &Path, compacted: bool) -> Result<Inspected, DaemonError> {
    let config = Config::load(config_path)?;
    let tls = load_tls(&config)?;
    let dir = DataDir::open(&config.data_dir, tls.node(), tls.cluster())?;
    let (path, owner) = (dir.database(), dir.identity().storage);
    let settings = RocksSettings {
        cache_bytes: CACHE_BYTES,
        open_files_max: OPEN_FILES_MAX,
    };
    if compacted {
        compact(&path, owner, settings)?;
    }
    let census = look(&path, owner, settings, Census::take)?;
    let system = |source| DaemonError::System {
        what: "a look at the files of the database",
        source,
    };
    let file_bytes = bytes_of(&path).map_err(system)?;
    Ok(Inspected { census, file_bytes })
}

/// Bytes of the files of a directory, without those that only tell what happened.
fn bytes_of(database: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(database)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("LOG") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
