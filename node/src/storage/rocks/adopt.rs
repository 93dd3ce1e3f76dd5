//! Giving a database to another storage, with what has to be changed in it at that.

use std::path::Path;

use quorate_core::store::{Store, StoreError, Write};
use quorate_protocol::StorageId;
use rocksdb::{WriteBatch, WriteOptions};

use super::cache::new_cache;
use super::open::{Compactions, OWNER_KEY, OpenError, Opened};
use super::{RocksSettings, add_writes};

/// Why nothing was done with a closed database.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the closed database at `path`, which belongs to the storage `from`, that of the storage `to`, in one durable
/// batch with what `change` wants written.
///
/// # Errors
/// It cannot be opened, read or written: it is as it was.
pub fn adopt(
    path: &Path,
    (from, to): (StorageId, StorageId),
    settings: RocksSettings,
    change: impl FnOnce(&dyn Store) -> Result<Vec<Write>, StoreError>,
) -> Result<(), OfflineError> {
    if !path.join("CURRENT").exists() {
        let (path, detail) = (path.to_owned(), "there is no database".to_owned());
        return Err(OpenError::Damaged { path, detail }.into());
    }
    let cache = new_cache(settings.cache_bytes);
    let opened = Opened::open(path, from, settings, &cache, Compactions::Off)?;
    let mut batch = WriteBatch::default();
    add_writes(&opened, &change(&opened)?, &mut batch)?;
    batch.put(OWNER_KEY, to.to_string());
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let written = opened.db.write_opt(batch, &synced);
    written.map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(())
}
