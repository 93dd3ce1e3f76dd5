//! Storage over RocksDB: one database, a column family for each kind of record.
//!
//! Decisions, each with its reason:
//!
//! * A step is one `WriteBatch` over all families through the write-ahead log, not synced. The log
//!   is replayed up to the first damaged record ("point in time"): the torn tail that a power cut
//!   leaves is cut off with all that follows it, so a hole can never appear. The stricter modes
//!   would refuse to open after a power cut that wrote later pages before earlier ones; the laxer
//!   one skips records and makes holes. Logs that were closed or synced are checked against the
//!   manifest, so a lost or shortened one is an error and no silent step back in time.
//! * Memory is bounded by the cache (index and filter blocks live in it) and by one limit over all
//!   memtables; log files by `max_total_wal_size`, the text logs by size and number.
//! * Filters serve the point reads of absent keys; the dot log and the chunks are read by range, or
//!   where the key is known to be there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use quorate_core::store::{Batch, Family, Store, StoreError, Visit, Write};
use quorate_protocol::StorageId;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, ErrorKind, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::Storage;

/// Key, in the default family, of the id of the storage that the database belongs to.
const OWNER_KEY: &[u8] = b"storage";
/// Bits of filter for each key: about one false positive in a hundred.
const FILTER_BITS: f64 = 10.0;
/// Bytes of one memtable at which it is written out.
const MEMTABLE_BYTES: usize = 16 << 20;
/// Bytes of all memtables together.
const MEMTABLES_BYTES: usize = 128 << 20;
/// Memtables of one family that may wait to be written out before its writes stop: as many as fit
/// the common limit. A shard may share the network's thread, so a stop would look like a death.
const MEMTABLES_MAX: i32 = 8;
/// Files of the youngest level at which writes are slowed down, and stopped.
const YOUNG_FILES_SLOW: i32 = 40;
const YOUNG_FILES_STOP: i32 = 80;
/// Bytes of all log files together: what a restart replays at most.
const WAL_BYTES_MAX: u64 = 256 << 20;
/// Bytes and number of RocksDB's own text logs.
const TEXT_LOG_BYTES_MAX: usize = 4 << 20;
const TEXT_LOGS_MAX: usize = 4;
/// Flushes and compactions at a time.
const BACKGROUND_JOBS: i32 = 2;
/// Bytes of one block, uncompressed.
const BLOCK_BYTES: usize = 8 << 10;
/// How often, a millisecond apart, a reopening looks whether all readers have let go.
const CLOSE_TRIES: u32 = 5_000;

/// Sizes that the configuration decides.
#[derive(Clone, Copy, Debug)]
pub struct RocksSettings {
    /// Block cache, bytes.
    pub cache_bytes: usize,
    /// Table files held open at a time.
    pub open_files_max: i32,
}

impl Default for RocksSettings {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            open_files_max: 512,
        }
    }
}

/// A RocksDB database.
pub struct Rocks {
    path: PathBuf,
    owner: StorageId,
    settings: RocksSettings,
    cache: Cache,
    /// `None` while it is opened again, and after that failed. Readers never wait for it.
    db: ArcSwapOption<DB>,
    /// Whether a commit or sync failed since the last opening. Held while the database is reopened.
    broken: Mutex<bool>,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Why a database could not be opened.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// RocksDB's own files contradict themselves or their checksums.
    #[error("the database {path} is damaged and cannot be opened: {detail}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What RocksDB said.
        detail: String,
    },
    /// It belongs to another data directory.
    #[error(
        "the database {path} belongs to storage {found}, this data directory is storage {expected}: put it back where it came from"
    )]
    Foreign {
        /// The database.
        path: PathBuf,
        /// The owner it names.
        found: String,
        /// The owner it should name.
        expected: StorageId,
    },
    /// The file system refused, or anything else.
    #[error("the database {path} cannot be opened: {detail}")]
    Failed {
        /// The database.
        path: PathBuf,
        /// What RocksDB said.
        detail: String,
    },
}

impl Rocks {
    /// Opens the database at `path`, creating it where there is none, for the storage `owner`.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was changed, except that an empty database may have been made.
    pub fn open(path: &Path, owner: StorageId, settings: RocksSettings) -> Result<Self, OpenError> {
        let cache = Cache::new_lru_cache(settings.cache_bytes);
        let db = ArcSwapOption::from_pointee(open(path, owner, settings, &cache)?);
        Ok(Self {
            path: path.to_owned(),
            owner,
            settings,
            cache,
            db,
            broken: Mutex::new(false),
        })
    }

    /// As [`Self::open`], and where the database is damaged beyond opening: moves it to `aside`,
    /// untouched, and starts with an empty one. The node then has nothing, which it knows: its vnodes
    /// claim no absence until their peers have given them everything.
    ///
    /// # Errors
    /// As [`Self::open`]; damage also where `aside` exists already, so that a disk which damages all it
    /// holds is not filled with databases.
    pub fn open_or_set_aside(
        path: &Path,
        aside: &Path,
        owner: StorageId,
        settings: RocksSettings,
    ) -> Result<(Self, Option<OpenError>), OpenError> {
        let damage = match Self::open(path, owner, settings) {
            Ok(rocks) => return Ok((rocks, None)),
            Err(damage @ OpenError::Damaged { .. }) if !aside.exists() => damage,
            Err(error) => return Err(error),
        };
        std::fs::rename(path, aside).map_err(|error| OpenError::Failed {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
        Ok((Self::open(path, owner, settings)?, Some(damage)))
    }

    /// Runs `work` on the open database.
    fn with<T>(&self, work: impl FnOnce(&DB) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self.db.load().as_deref() {
            Some(db) => work(db),
            None => Err(StoreError::Failed(format!(
                "the database {} is closed after a failure",
                self.path.display()
            ))),
        }
    }

    /// As [`Self::with`], for work whose failure makes a reopening necessary.
    fn write(&self, work: impl FnOnce(&DB) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.with(work)
            .inspect_err(|_| *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = true)
    }

    /// Closes the database as soon as nobody reads it any more: it can be open once only.
    fn close(&self) -> Result<(), StoreError> {
        let Some(mut db) = self.db.swap(None) else {
            return Ok(());
        };
        for _ in 0..CLOSE_TRIES {
            match Arc::try_unwrap(db) {
                Ok(db) => {
                    drop(db);
                    return Ok(());
                }
                Err(shared) => db = shared,
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.db.store(Some(db));
        Err(StoreError::Failed(format!(
            "the database {} is still being read",
            self.path.display()
        )))
    }
}

fn open(
    path: &Path,
    owner: StorageId,
    settings: RocksSettings,
    cache: &Cache,
) -> Result<DB, OpenError> {
    let families = Family::ALL
        .map(|family| ColumnFamilyDescriptor::new(family.name(), family_options(family, cache)));
    let db =
        DB::open_cf_descriptors(&database_options(settings), path, families).map_err(|error| {
            let (path, detail) = (path.to_owned(), error.to_string());
            if error.kind() == ErrorKind::Corruption {
                OpenError::Damaged { path, detail }
            } else {
                OpenError::Failed { path, detail }
            }
        })?;
    check_owner(&db, path, owner)?;
    Ok(db)
}

/// Compares the owner that the database names with `owner`; a new database is marked.
fn check_owner(db: &DB, path: &Path, owner: StorageId) -> Result<(), OpenError> {
    let failed = |error: rocksdb::Error| OpenError::Failed {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let expected = owner.to_string();
    match db.get(OWNER_KEY).map_err(failed)? {
        Some(found) if found == expected.as_bytes() => Ok(()),
        Some(found) => {
            let found = String::from_utf8_lossy(&found).into_owned();
            Err(OpenError::Foreign {
                path: path.to_owned(),
                found,
                expected: owner,
            })
        }
        None => {
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            db.put_opt(OWNER_KEY, expected, &synced).map_err(failed)
        }
    }
}

fn database_options(settings: RocksSettings) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_db_write_buffer_size(MEMTABLES_BYTES);
    options.set_max_open_files(settings.open_files_max);
    options.set_max_file_opening_threads(1);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_subcompactions(1);
    options.set_bytes_per_sync(1 << 20);
    options.set_skip_stats_update_on_db_open(true);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(TEXT_LOG_BYTES_MAX);
    options.set_keep_log_file_num(TEXT_LOGS_MAX);
    options
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(BLOCK_BYTES);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if answers_absence(family) {
        blocks.set_bloom_filter(FILTER_BITS, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(MEMTABLES_MAX);
    options.set_level_zero_slowdown_writes_trigger(YOUNG_FILES_SLOW);
    options.set_level_zero_stop_writes_trigger(YOUNG_FILES_STOP);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options
}

/// Whether keys that are not there are looked up often.
const fn answers_absence(family: Family) -> bool {
    match family {
        Family::Objects | Family::Hints | Family::Vnodes | Family::Requests => true,
        Family::Chunks | Family::Log => false,
    }
}

fn store_error(family: &'static str, error: &rocksdb::Error) -> StoreError {
    if error.kind() == ErrorKind::Corruption {
        StoreError::Damaged {
            family,
            detail: error.to_string(),
        }
    } else {
        StoreError::Failed(error.to_string())
    }
}

fn column(db: &DB, family: Family) -> Result<&ColumnFamily, StoreError> {
    // All families are created at opening.
    db.cf_handle(family.name())
        .ok_or_else(|| StoreError::Failed(format!("no column family {}", family.name())))
}

impl Store for Rocks {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with(|db| {
            let found = db.get_pinned_cf(column(db, family)?, key);
            let found = found.map_err(|error| store_error(family.name(), &error))?;
            Ok(found.map(|value| Bytes::copy_from_slice(&value)))
        })
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        self.with(|db| {
            let mut bounds = ReadOptions::default();
            bounds.set_iterate_lower_bound(from);
            bounds.set_iterate_upper_bound(to);
            let mut cursor = db.raw_iterator_cf_opt(column(db, family)?, bounds);
            cursor.seek_to_first();
            let mut next = Vec::new();
            loop {
                let mut any = false;
                while let Some((key, value)) = cursor.item() {
                    if visit(key, value).is_break() {
                        return Ok(());
                    }
                    next.clear();
                    next.extend_from_slice(key);
                    any = true;
                    cursor.next();
                }
                // The end of an iteration means "no more" only if the cursor says so.
                let Err(error) = cursor.status() else {
                    return Ok(());
                };
                let error = store_error(family.name(), &error);
                if !any || !matches!(error, StoreError::Damaged { .. }) {
                    return Err(error);
                }
                // A cursor also stumbles over what is damaged and was removed since. Seeking skips it.
                next.push(0);
                cursor.seek(&next);
            }
        })
    }
}

impl Storage for Rocks {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(|db| {
            let mut writes = WriteBatch::default();
            for write in &batch.writes {
                match write {
                    Write::Put { family, key, value } => {
                        writes.put_cf(column(db, *family)?, key, value)
                    }
                    Write::Delete { family, key } => writes.delete_cf(column(db, *family)?, key),
                    Write::Clear { family, from, to } => {
                        writes.delete_range_cf(column(db, *family)?, from, to);
                    }
                }
            }
            db.write(writes)
                .map_err(|error| store_error("the write-ahead log", &error))
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.write(|db| {
            db.flush_wal(true)
                .map_err(|error| store_error("the write-ahead log", &error))
        })
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if !*broken {
            // Another shard reopened it after the same failure.
            return Ok(());
        }
        self.close()?;
        let db = open(&self.path, self.owner, self.settings, &self.cache);
        self.db.store(Some(Arc::new(
            db.map_err(|error| StoreError::Failed(error.to_string()))?,
        )));
        *broken = false;
        Ok(())
    }
}
