//! Backups of the node's data: made while it serves, kept on its own disk or wherever its configuration says, and
//! restored offline.
//!
//! ```text
//! DIRECTORY/NODE/             one node's backups; several nodes may share DIRECTORY
//!   LOCK                      held by whoever changes something here
//!   0000000003.backup         a backup: whose it is and what belongs to it, written last; see `manifest.rs`
//!   pool/CHECKSUM             a file of one backup or of several, named by its content
//!   pool/incoming             a file that is being copied
//! DATA_DIR/backup.staging/    the checkpoint that is being copied
//! ```
//!
//! # Why a checkpoint and copies of our own
//!
//! RocksDB has a backup engine, but through its binding it tells neither how far it has come nor what it wrote anew,
//! takes no limit on its speed, checks sizes where it is asked to verify, and removes backups without a
//! word. So the database makes a checkpoint, one point in time over all column families (links, no copies,
//! the write-ahead log synced and included), and its files are copied at a bounded rate under their checksums.
//! A table never changes. One that an earlier backup has, by name, size and time of its last change, is not even
//! read again; other files are recognised by their content.
//!
//! # What is in a backup
//!
//! The database and the file of the cluster map, with what the register must remember. That file is read
//! after the checkpoint, so that it knows every bucket which the data names. Who the node is stands in the
//! backup's manifest. Private keys, the configuration and the cluster's secret are no data, and not part of it.

mod copy;
mod create;
mod desk;
mod manifest;
#[cfg(feature = "rocksdb")]
mod restore;
mod shelf;

use std::io;
use std::path::{Path, PathBuf};

use quorate_core::StoreError;

use crate::identity::{LockError, MapStateError};

pub use self::desk::{Desk, Parts};
pub use self::manifest::{FORMAT, Manifest, ManifestError, StoredFile};
#[cfg(feature = "rocksdb")]
pub use self::restore::{RestoreError, Restoring, Which, restore};
pub use self::shelf::{Listed, Shelf};

/// Where the checkpoint stands while it is copied, in the data directory.
pub(crate) const STAGING: &str = "backup.staging";

/// Where backups go, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    /// The directory; each node has one of its own in it.
    pub directory: PathBuf,
    /// Bytes that are read and written in a second at most, MiB.
    pub rate_mb: u32,
}

/// Why a backup was not made, verified or pruned.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Somebody else changes these backups.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database made no checkpoint.
    #[error("the database makes no checkpoint: {0}")]
    Storage(#[from] StoreError),
    /// The map file cannot be read.
    #[error("the map file cannot be backed up: {0}")]
    Map(#[from] MapStateError),
    /// The file system refused.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too little room.
    #[error(
        "the backup needs {needed_mb} MiB in {path}, where {free_mb} MiB are free and {reserve_mb} MiB of them are the node's reserve: make room, prune, or set another directory"
    )]
    Room {
        /// Where.
        path: PathBuf,
        /// What it needs.
        needed_mb: u64,
        /// What is there.
        free_mb: u64,
        /// What is left to the node.
        reserve_mb: u64,
    },
    /// The directory is part of the database.
    #[error("the backup directory {0} lies inside the database: set another one")]
    Inside(PathBuf),
    /// There are as many as are listed.
    #[error("there are {0} backups already: prune them first")]
    TooMany(usize),
    /// There is none of that number.
    #[error("there is no backup {0}")]
    Missing(u64),
    /// What is stored is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// A manifest cannot be read, so that it is not known which files are needed.
    #[error("{path} cannot be read ({problem}): nothing is removed while it is there")]
    Unknown {
        /// The manifest.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The node stops.
    #[error("the node was stopped meanwhile")]
    Stopped,
}

pub(crate) fn io_error<'a>(
    what: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> BackupError + 'a {
    move |source| BackupError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}
