//! The data directory: who owns it, and what must be true before anything in it is touched.
//!
//! ```text
//! LOCK       held by the one process that uses the directory
//! identity   format, cluster, node and storage, as text with a checksum: see `file.rs`
//! map        the cluster map and the register's durable state: see `map_state.rs`
//! db/        the database
//! db.damaged/  a database that could not be opened, if there ever was one
//! restoring/, restored/, before-restore-1/  see `swap.rs`
//! ```
//!
//! `quorate-node init` makes it, `identity` last, so that a directory without that file was never
//! finished; every start checks the same things in the same order and changes nothing before the
//! last of them holds.

mod atomic;
mod file;
mod lock;
mod map_state;
pub(crate) mod swap;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::NodeId;

pub(crate) use atomic::{create_dir_all, replace, sync_dir};
pub use file::{FORMAT, Identity, IdentityFileError};
pub use lock::{Lock, LockError};
pub use map_state::{MapState, MapStateError};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Somebody else uses it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It was never initialised.
    #[error("{0} holds no data directory of a node: make one with `quorate-node init`")]
    Missing(PathBuf),
    /// It is initialised already.
    #[error("{0} is the data directory of node {1} already: nothing was changed")]
    Exists(PathBuf, NodeId),
    /// Something is in the way.
    #[error("{0} is not empty and no data directory: choose an empty or a new directory")]
    NotEmpty(PathBuf),
    /// The identity file is not readable as one.
    #[error("{path}: {source}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityFileError,
    },
    /// The map file is not readable as one.
    #[error("{path}: {source}")]
    Map {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: MapStateError,
    },
    /// The directory was made for another node.
    #[error(
        "{path} is the data directory of node {found}, this configuration is of node {expected}: use that node's own directory"
    )]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        found: NodeId,
        /// The node that wants it.
        expected: NodeId,
    },
    /// The directory was made for another cluster.
    #[error(
        "{path} belongs to cluster {found}, this configuration is of cluster {expected}: use a directory of this cluster"
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Its cluster.
        found: ClusterId,
        /// The cluster that wants it.
        expected: ClusterId,
    },
    /// The node is not in the map.
    #[error("node {node} is no member of cluster '{cluster}': the map names {members}")]
    NotAMember {
        /// The node.
        node: NodeId,
        /// The cluster's name.
        cluster: String,
        /// The members, for the person who mistyped one.
        members: String,
    },
    /// The node was given up.
    #[error(
        "node {0} was removed from cluster '{1}' by force and what it held was given up: it can never come back. Let a new node join"
    )]
    Expelled(NodeId, String),
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
}

/// A locked, checked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    // Held for as long as the directory is used.
    _lock: Lock,
}

impl DataDir {
    /// Makes a data directory for `node` from the cluster's map. A node that is to join is no member in it yet.
    ///
    /// # Errors
    /// The node is no member of a cluster that never ran, it was one and was given up, the directory is in use or not empty, or the system refuses. An
    /// interrupted attempt can be repeated.
    pub fn init(
        path: &Path,
        map: &VersionedMap,
        node: NodeId,
        storage: StorageId,
    ) -> Result<Self, DataDirError> {
        check_member(map, node)?;
        create_dir_all(path).map_err(|source| io_error("cannot create", path, source))?;
        let lock = Lock::take(path)?;
        check_unused(path)?;
        let identity = Identity {
            cluster: map.map.cluster,
            node,
            storage,
        };
        MapState::new(map.clone())
            .store(&map_path(path))
            .map_err(|source| io_error("cannot write", &map_path(path), source))?;
        let file = identity_path(path);
        replace(&file, identity.to_text().as_bytes())
            .map_err(|source| io_error("cannot write", &file, source))?;
        Ok(Self {
            path: path.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Locks and checks the data directory of `node` in `cluster`.
    ///
    /// # Errors
    /// It is in use, not initialised, damaged, of a newer format, or another's. Nothing was
    /// changed.
    pub fn open(path: &Path, node: NodeId, cluster: ClusterId) -> Result<Self, DataDirError> {
        if swap::is_pending(path) {
            let _lock = Lock::take(path)?;
            swap::finish(path)
                .map_err(|source| io_error("cannot end the restore of", path, source))?;
        }
        let identity = read_identity(path)?;
        check_owner(path, identity, node, cluster)?;
        let lock = Lock::take(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Checks what [`Self::open`] and [`Self::load_map`] would, without the lock.
    ///
    /// # Errors
    /// As theirs.
    pub fn inspect(
        path: &Path,
        node: NodeId,
        cluster: ClusterId,
    ) -> Result<MapState, DataDirError> {
        let identity = read_identity(path)?;
        check_owner(path, identity, node, cluster)?;
        load_map(path, identity)
    }

    /// Whose directory this is.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    /// Where a database goes that is damaged beyond opening, for a person to look at.
    #[must_use]
    pub fn damaged_database(&self) -> PathBuf {
        self.path.join("db.damaged")
    }

    /// The stored map, and what the register must remember.
    ///
    /// # Errors
    /// The file is missing, damaged, or of another cluster.
    pub fn load_map(&self) -> Result<MapState, DataDirError> {
        load_map(&self.path, self.identity)
    }

    /// What the first start after a restore has to say of it; `None` if it was said.
    ///
    /// # Errors
    /// The file system refused.
    pub fn take_note(&self) -> Result<Option<String>, DataDirError> {
        swap::take_note(&self.path)
            .map_err(|source| io_error("cannot take the restore's note in", &self.path, source))
    }

    /// Where the map is stored; to be replaced by [`MapState::store`] only.
    #[must_use]
    pub fn map_file(&self) -> PathBuf {
        map_path(&self.path)
    }
}

fn read_identity(path: &Path) -> Result<Identity, DataDirError> {
    let file = identity_path(path);
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DataDirError::Missing(path.to_owned()));
        }
        Err(source) => return Err(io_error("cannot read", &file, source)),
    };
    Identity::parse(&text).map_err(|source| DataDirError::Identity { path: file, source })
}

fn check_owner(
    path: &Path,
    found: Identity,
    node: NodeId,
    cluster: ClusterId,
) -> Result<(), DataDirError> {
    let path = path.to_owned();
    if found.cluster != cluster {
        return Err(DataDirError::OtherCluster {
            path,
            found: found.cluster,
            expected: cluster,
        });
    }
    if found.node != node {
        return Err(DataDirError::OtherNode {
            path,
            found: found.node,
            expected: node,
        });
    }
    Ok(())
}

fn load_map(path: &Path, identity: Identity) -> Result<MapState, DataDirError> {
    let file = map_path(path);
    let bytes = fs::read(&file).map_err(|source| io_error("cannot read", &file, source))?;
    let damaged = |source| DataDirError::Map {
        path: file.clone(),
        source,
    };
    let state = MapState::parse(&bytes).map_err(damaged)?;
    let newest = state.newest().map_err(damaged)?;
    let map = &newest.map().map;
    if map.cluster != identity.cluster {
        return Err(DataDirError::OtherCluster {
            path: file,
            found: map.cluster,
            expected: identity.cluster,
        });
    }
    Ok(state)
}

fn identity_path(path: &Path) -> PathBuf {
    swap::part(path, "identity")
}

fn map_path(path: &Path) -> PathBuf {
    swap::part(path, "map")
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> DataDirError {
    DataDirError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

/// A node that is to join begins with a version that was decided by others. In the first one, by which
/// a cluster is made, everybody is named.
fn check_member(version: &VersionedMap, node: NodeId) -> Result<(), DataDirError> {
    let map = &version.map;
    if version.expelled.binary_search(&node).is_ok() {
        return Err(DataDirError::Expelled(node, map.name.clone()));
    }
    if map.member(node).is_some() || version.version > MapVersion::FIRST {
        return Ok(());
    }
    let members: Vec<String> = map
        .members
        .iter()
        .map(|member| format!("{} ({})", member.id, member.name))
        .collect();
    Err(DataDirError::NotAMember {
        node,
        cluster: map.name.clone(),
        members: members.join(", "),
    })
}

/// A directory may be initialised if it holds at most what an interrupted attempt left.
fn check_unused(path: &Path) -> Result<(), DataDirError> {
    let file = identity_path(path);
    if let Ok(text) = fs::read(&file) {
        return Err(match Identity::parse(&text) {
            Ok(identity) => DataDirError::Exists(path.to_owned(), identity.node),
            Err(source) => DataDirError::Identity { path: file, source },
        });
    }
    let entries = fs::read_dir(path).map_err(|source| io_error("cannot read", path, source))?;
    for entry in entries {
        let name = entry
            .map_err(|source| io_error("cannot read", path, source))?
            .file_name();
        let ours = ["LOCK", "map", "map.new", "identity.new"]
            .iter()
            .any(|ours| name == *ours);
        if !ours {
            return Err(DataDirError::NotEmpty(path.to_owned()));
        }
    }
    Ok(())
}
