//! A closed database, looked at without changing it, and compacted.

use std::path::Path;

use quorate_core::store::{Family, Store, StoreError};
use quorate_protocol::StorageId;
use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::RocksSettings;
use super::adopt::OfflineError;
use super::cache::new_cache;
use super::open::{Compactions, Opened, store_error};

/// Lets `view` read the closed database at `path`. Nothing is changed.
///
/// # Errors
/// There is none, it belongs to another storage, or it cannot be read.
pub fn look<T>(
    path: &Path,
    owner: StorageId,
    settings: RocksSettings,
    view: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
) -> Result<T, OfflineError> {
    let cache = new_cache(settings.cache_bytes);
    let opened = Opened::open_read_only(path, owner, settings, &cache)?;
    Ok(view(&opened)?)
}

/// Rewrites the closed database at `path` so that nothing is left in it of what was deleted or replaced.
///
/// # Errors
/// It cannot be opened or written: what it holds is as it was.
pub fn compact(path: &Path, owner: StorageId, settings: RocksSettings) -> Result<(), OfflineError> {
    let cache = new_cache(settings.cache_bytes);
    let opened = Opened::open(path, owner, settings, &cache, Compactions::Off)?;
    for family in Family::ALL {
        let column = opened.column(family)?;
        let failed = |error| store_error(family.name(), &error);
        opened.db.flush_cf(column).map_err(failed)?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        let whole = (None::<&[u8]>, None::<&[u8]>);
        opened
            .db
            .compact_range_cf_opt(column, whole.0, whole.1, &options);
    }
    Ok(())
}
