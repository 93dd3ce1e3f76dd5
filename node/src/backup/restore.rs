//! Restoring a backup, while the node is stopped.
//!
//! Everything is put together beside what is there, read against its checksums while it is copied, made fit
//! to be opened (`quorate_core::record::restored_writes` says what that is and why), and then put in force in
//! one moment (`identity/swap.rs`). Before that moment nothing has changed, after it everything has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use quorate_core::record::{Restored, restored_writes};
use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::NodeId;

use super::copy::{Pace, copy};
use super::create::free_bytes;
use super::manifest::{MAP_FILE, Manifest, ManifestError};
use super::shelf::Shelf;
use super::{BackupError, io_error};
use crate::identity::{self, Identity, Lock, LockError, MapState, MapStateError, swap};
use crate::storage::rocks::{OfflineError, RocksSettings, adopt};

/// Room for what the database writes at its first opening.
const MARGIN_BYTES: u64 = 16 << 20;

/// Which backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of the greatest number.
    Latest,
    /// This one.
    Number(u64),
}

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct Restoring {
    /// The node's data directory; it need not exist.
    pub data_dir: PathBuf,
    /// The node whose it is.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where backups are: the directory of the configuration that made them, or the node's own one in it.
    pub from: PathBuf,
    /// Which backup.
    pub which: Which,
    /// Whether all nodes of the cluster are restored.
    pub restored: Restored,
    /// Whether data that is there is set aside.
    pub force: bool,
}

/// Why nothing was restored. What was there is there as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A node runs on the directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is data already.
    #[error(
        "{0} holds data already: nothing was changed; with --force it is set aside, not deleted"
    )]
    Data(PathBuf),
    /// There are no backups of this node.
    #[error("{from} holds no backups of node {node}{others}")]
    None {
        /// Where they were looked for.
        from: PathBuf,
        /// The node.
        node: NodeId,
        /// "; it holds those of ...", where it does.
        others: String,
    },
    /// There is no such backup.
    #[error("{dir} holds no backup {backup}: it holds {there}")]
    Missing {
        /// Where it was looked for.
        dir: PathBuf,
        /// Its number.
        backup: u64,
        /// Those that are there.
        there: String,
    },
    /// The manifest is of no use.
    #[error("backup {backup} in {dir}: {source}")]
    Manifest {
        /// Where.
        dir: PathBuf,
        /// Its number.
        backup: u64,
        /// What is wrong.
        source: ManifestError,
    },
    /// It is another node's.
    #[error(
        "backup {backup} is of node {found}, this configuration is of node {expected}: a node is restored from its own backups only"
    )]
    OtherNode {
        /// Its number.
        backup: u64,
        /// Whose it is.
        found: NodeId,
        /// Who wants it.
        expected: NodeId,
    },
    /// It is another cluster's.
    #[error("backup {backup} is of cluster {found}, this configuration is of cluster {expected}")]
    OtherCluster {
        /// Its number.
        backup: u64,
        /// Whose it is.
        found: ClusterId,
        /// Who wants it.
        expected: ClusterId,
    },
    /// A file is not what it was.
    #[error("backup {backup} is damaged: its file {name} {problem}; use another backup")]
    Damaged {
        /// Its number.
        backup: u64,
        /// Which file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Too little room.
    #[error("the backup needs {needed_mb} MiB in {path}, where {free_mb} MiB are free: make room")]
    Room {
        /// Where.
        path: PathBuf,
        /// What it needs.
        needed_mb: u64,
        /// What is there.
        free_mb: u64,
    },
    /// The restored cluster map is of no use.
    #[error("the cluster map in backup {backup}: {source}")]
    Map {
        /// The backup's number.
        backup: u64,
        /// What is wrong.
        source: MapStateError,
    },
    /// The restored database is of no use.
    #[error("the database in backup {backup}: {source}")]
    Database {
        /// The backup's number.
        backup: u64,
        /// What is wrong.
        source: OfflineError,
    },
    /// The backups cannot be read, or the file system refuses.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Restores a backup, and returns what it was.
///
/// # Errors
/// See [`RestoreError`].
pub fn restore(request: &Restoring, storage: StorageId) -> Result<Manifest, RestoreError> {
    let (shelf, manifest) = choose(request)?;
    let dir = &request.data_dir;
    identity::create_dir_all(dir).map_err(io_error("cannot create", dir))?;
    let _lock = Lock::take(dir)?;
    swap::finish(dir).map_err(io_error("cannot end an earlier restore of", dir))?;
    if ["db", "db.damaged"]
        .iter()
        .any(|name| dir.join(name).exists())
        && !request.force
    {
        return Err(RestoreError::Data(dir.clone()));
    }
    check_room(dir, manifest.bytes())?;
    let staged = swap::stage(dir).map_err(io_error("cannot create", dir))?;
    let done = put_together(&shelf, &manifest, &staged)
        .and_then(|()| make_fit(request, &manifest, &staged, storage));
    if let Err(error) = done {
        // Of no meaning, and removed by the next attempt where it cannot be now.
        let _ = fs::remove_dir_all(&staged);
        return Err(error);
    }
    let note = note(request, &manifest, shelf.dir());
    swap::put_in_force(dir, &note).map_err(io_error("cannot put the restored data in", dir))?;
    Ok(manifest)
}

/// Finds the backup and checks whose it is.
fn choose(request: &Restoring) -> Result<(Shelf, Manifest), RestoreError> {
    let shelves = [
        Shelf::of(&request.from, request.node),
        Shelf::at(&request.from),
    ];
    for shelf in shelves {
        let mut all = shelf.list()?;
        let numbers: Vec<String> = all.iter().map(|listed| listed.backup.to_string()).collect();
        let found = match request.which {
            Which::Latest => all.pop(),
            Which::Number(number) => {
                let missing = || RestoreError::Missing {
                    dir: shelf.dir().to_owned(),
                    backup: number,
                    there: numbers.join(", "),
                };
                let at = all.iter().position(|listed| listed.backup == number);
                match at {
                    Some(at) => Some(all.swap_remove(at)),
                    None if numbers.is_empty() => None,
                    None => return Err(missing()),
                }
            }
        };
        let Some(found) = found else {
            continue;
        };
        let manifest = found.manifest.map_err(|source| RestoreError::Manifest {
            dir: shelf.dir().to_owned(),
            backup: found.backup,
            source,
        })?;
        check_owner(request, &manifest)?;
        return Ok((shelf, manifest));
    }
    Err(RestoreError::None {
        from: request.from.clone(),
        node: request.node,
        others: others(&request.from),
    })
}

fn check_owner(request: &Restoring, manifest: &Manifest) -> Result<(), RestoreError> {
    let (found, backup) = (manifest.identity, manifest.backup);
    if found.cluster != request.cluster {
        return Err(RestoreError::OtherCluster {
            backup,
            found: found.cluster,
            expected: request.cluster,
        });
    }
    if found.node != request.node {
        return Err(RestoreError::OtherNode {
            backup,
            found: found.node,
            expected: request.node,
        });
    }
    Ok(())
}

/// Whose backups a directory has.
fn others(from: &Path) -> String {
    let entries = fs::read_dir(from).into_iter().flatten().flatten();
    let nodes: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<NodeId>().ok())
        .map(|node| node.to_string())
        .collect();
    if nodes.is_empty() {
        String::new()
    } else {
        format!(": it holds those of {}", nodes.join(", "))
    }
}

fn check_room(dir: &Path, bytes: u64) -> Result<(), RestoreError> {
    let (needed, free) = (bytes + MARGIN_BYTES, free_bytes(dir)?);
    if free >= needed {
        return Ok(());
    }
    Err(RestoreError::Room {
        path: dir.to_owned(),
        needed_mb: needed.div_ceil(1 << 20),
        free_mb: free >> 20,
    })
}

/// Copies every file, durably, and compares it with its checksum.
fn put_together(shelf: &Shelf, manifest: &Manifest, staged: &Path) -> Result<(), RestoreError> {
    let damaged = |name: &str, problem: String| RestoreError::Damaged {
        backup: manifest.backup,
        name: name.to_owned(),
        problem,
    };
    let database = staged.join("db");
    identity::create_dir_all(&database).map_err(io_error("cannot create", &database))?;
    let never = AtomicBool::new(false);
    let mut pace = Pace::new(u32::MAX, &never);
    for file in &manifest.files {
        let from = shelf.pooled(&file.checksum);
        if !from.exists() {
            return Err(damaged(&file.name, "is missing".to_owned()));
        }
        let content = copy(&from, &staged.join(&file.name), &mut pace, &mut |_| ())?;
        if content.checksum != file.checksum {
            let problem = "does not match its checksum".to_owned();
            return Err(damaged(&file.name, problem));
        }
    }
    if !staged.join(MAP_FILE).exists() {
        return Err(damaged(MAP_FILE, "is missing".to_owned()));
    }
    identity::sync_dir(&database).map_err(io_error("cannot sync", &database))?;
    Ok(())
}

/// Gives the restored state its new storage id, and tells its vnodes what they are.
fn make_fit(
    request: &Restoring,
    manifest: &Manifest,
    staged: &Path,
    storage: StorageId,
) -> Result<(), RestoreError> {
    let backup = manifest.backup;
    let map_file = staged.join(MAP_FILE);
    let bytes = fs::read(&map_file).map_err(io_error("cannot read", &map_file))?;
    let map_error = |source| RestoreError::Map { backup, source };
    let state = MapState::parse(&bytes).map_err(map_error)?;
    let newest = state.newest().map_err(map_error)?;
    let map = &newest.map().map;
    let database = staged.join("db");
    let owners = (manifest.identity.storage, storage);
    adopt(&database, owners, RocksSettings::default(), |store| {
        let has_peers = |class| map.ring.primaries(class).len() > 1;
        restored_writes(store, request.restored, has_peers, &mut rand::random)
    })
    .map_err(|source| RestoreError::Database { backup, source })?;
    sync_all(&database).map_err(io_error("cannot sync", &database))?;
    let all = request.restored == Restored::Cluster;
    let state = state.restored(storage, all).map_err(map_error)?;
    let stored = state.store(&map_file);
    stored.map_err(io_error("cannot write", &map_file))?;
    let identity = Identity {
        storage,
        ..manifest.identity
    };
    let path = staged.join("identity");
    identity::replace(&path, identity.to_text().as_bytes())
        .map_err(io_error("cannot write", &path))?;
    Ok(())
}

/// Makes the files of a directory durable, and that they are there.
fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        fs::File::open(entry?.path())?.sync_all()?;
    }
    identity::sync_dir(dir)
}

/// What the first start says.
fn note(request: &Restoring, manifest: &Manifest, dir: &Path) -> String {
    let label = if manifest.label.is_empty() {
        String::new()
    } else {
        format!(" ({})", manifest.label)
    };
    let what = match request.restored {
        Restored::Node => {
            "as one node of a cluster that goes on: its vnodes are filled again from their peers"
        }
        Restored::Cluster => {
            "with the whole cluster: vnodes that are older than their peers' are filled from those"
        }
    };
    format!(
        "this data was restored from backup {}{label} in {}, which was begun at {} ms since 1970, {what}",
        manifest.backup,
        dir.display(),
        manifest.began_ms
    )
}
