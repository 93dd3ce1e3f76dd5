//! An open database: its options, whose it is, and which column family holds which kind of records.
//!
//! A family's records begin in a column family of its name. When they are rewritten, because some of
//! them cannot be read (`salvage.rs`), the new column family has a number behind the name, and an entry in the
//! default family says which one is in force. Others of that name are left over, and removed here.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_core::store::{Family, Store, StoreError, Visit};
use quorate_protocol::StorageId;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, ErrorKind, LogLevel, Options, ReadOptions, WriteOptions,
};

use super::RocksSettings;

/// Key, in the default family, of the id of the storage that the database belongs to.
pub(super) const OWNER_KEY: &[u8] = b"storage";
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
/// Before a family's name: the key, in the default family, of the column family in force for it.
const COLUMN_KEY: &str = "column/";

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

/// Whether tables are merged in the background. Not while some of them are known to be damaged: that
/// fails, and a database in which it failed takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compactions {
    On,
    Off,
}

/// An open database.
pub(super) struct Opened {
    pub(super) db: DB,
    /// Names of the column families in force, in the order of [`Family::ALL`].
    pub(super) columns: [String; Family::ALL.len()],
}

impl Opened {
    /// Opens the database at `path`, creating it where there is none, for the storage `owner`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(
        path: &Path,
        owner: StorageId,
        settings: RocksSettings,
        cache: &Cache,
        compactions: Compactions,
    ) -> Result<Self, OpenError> {
        let failed = |error| open_error(path, &error);
        let options = database_options(settings);
        let existing = if path.join("CURRENT").exists() {
            DB::list_cf(&options, path).map_err(failed)?
        } else {
            Vec::new()
        };
        let descriptors = existing.iter().map(|name| {
            let mut options = family_of(name)
                .map_or_else(Options::default, |family| family_options(family, cache));
            options.set_disable_auto_compactions(compactions == Compactions::Off);
            ColumnFamilyDescriptor::new(name, options)
        });
        let mut db = DB::open_cf_descriptors(&options, path, descriptors).map_err(failed)?;
        check_owner(&db, path, owner)?;
        let columns = columns_in_force(&db).map_err(failed)?;
        for name in existing.iter().filter(|name| family_of(name).is_some()) {
            if !columns.contains(name) {
                db.drop_cf(name).map_err(failed)?;
            }
        }
        for (family, name) in Family::ALL.into_iter().zip(&columns) {
            if !existing.contains(name) {
                db.create_cf(name, &family_options(family, cache))
                    .map_err(failed)?;
            }
        }
        Ok(Self { db, columns })
    }

    /// Opens the database at `path` for reading. Nothing is written, not even what its log holds back.
    ///
    /// # Errors
    /// See [`OpenError`]; also where there is no database, or where it has never been opened by a node.
    pub(super) fn open_read_only(
        path: &Path,
        owner: StorageId,
        settings: RocksSettings,
        cache: &Cache,
    ) -> Result<Self, OpenError> {
        let failed = |error| open_error(path, &error);
        let mut options = database_options(settings);
        options.create_if_missing(false);
        let existing = DB::list_cf(&options, path).map_err(failed)?;
        let families = existing.into_iter().map(|name| {
            let of = family_of(&name);
            let options = of.map_or_else(Options::default, |family| family_options(family, cache));
            (name, options)
        });
        let db = DB::open_cf_with_opts_for_read_only(&options, path, families, false);
        let db = db.map_err(failed)?;
        let found = db.get(OWNER_KEY).map_err(failed)?;
        if found.as_deref() != Some(owner.to_string().as_bytes()) {
            return Err(foreign(path, &found.unwrap_or_default(), owner));
        }
        let columns = columns_in_force(&db).map_err(failed)?;
        Ok(Self { db, columns })
    }

    /// The column family of a kind of records.
    ///
    /// # Errors
    /// It is not there: all are created at opening.
    pub(super) fn column(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        let name = self.column_name(family);
        self.db
            .cf_handle(name)
            .ok_or_else(|| StoreError::Failed(format!("no column family {name}")))
    }

    pub(super) fn column_name(&self, family: Family) -> &str {
        let slot = Family::ALL.iter().position(|one| *one == family);
        slot.map_or(family.name(), |slot| &self.columns[slot])
    }
}

/// The entry that puts a column family in force.
pub(super) fn column_key(family: Family) -> String {
    format!("{COLUMN_KEY}{}", family.name())
}

/// The name of the column family that follows this one.
pub(super) fn next_column(family: Family, name: &str) -> String {
    let number = name
        .rsplit_once('-')
        .map(|(_, number)| number.parse::<u64>());
    let number = number.and_then(Result::ok).unwrap_or(1);
    format!("{}-{}", family.name(), number.saturating_add(1))
}

/// Whose records a column family has or had.
pub(super) fn family_of(name: &str) -> Option<Family> {
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    Family::ALL.into_iter().find(|family| family.name() == name)
}

fn columns_in_force(db: &DB) -> Result<[String; Family::ALL.len()], rocksdb::Error> {
    let mut columns = Family::ALL.map(|family| family.name().to_owned());
    for (family, name) in Family::ALL.into_iter().zip(&mut columns) {
        if let Some(found) = db.get(column_key(family))? {
            *name = String::from_utf8_lossy(&found).into_owned();
        }
    }
    Ok(columns)
}

pub(super) fn open_error(path: &Path, error: &rocksdb::Error) -> OpenError {
    let (path, detail) = (path.to_owned(), error.to_string());
    if error.kind() == ErrorKind::Corruption {
        OpenError::Damaged { path, detail }
    } else {
        OpenError::Failed { path, detail }
    }
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
        Some(found) => Err(foreign(path, &found, owner)),
        None => {
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            db.put_opt(OWNER_KEY, expected, &synced).map_err(failed)
        }
    }
}

fn foreign(path: &Path, found: &[u8], expected: StorageId) -> OpenError {
    OpenError::Foreign {
        path: path.to_owned(),
        found: String::from_utf8_lossy(found).into_owned(),
        expected,
    }
}

/// How a database is opened: the log, memory, threads and files of all families together.
#[must_use]
pub fn database_options(settings: RocksSettings) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
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

/// How a family is kept: memtables, blocks, filters and compression.
#[must_use]
pub fn family_options(family: Family, cache: &Cache) -> Options {
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
        Family::Chunks | Family::Log | Family::Expiry => false,
    }
}

pub(super) fn store_error(family: &'static str, error: &rocksdb::Error) -> StoreError {
    if error.kind() == ErrorKind::Corruption {
        StoreError::Damaged {
            family,
            detail: error.to_string(),
        }
    } else {
        StoreError::Failed(error.to_string())
    }
}

/// What a failed read means. A device that gives an input/output error for a block, or a table that is gone,
/// will not do better the next time: that is damage like any other. What only lacks means may work again.
pub(super) fn read_error(family: &'static str, error: &rocksdb::Error) -> StoreError {
    let detail = error.to_string();
    let lost = [
        "Input/output error",
        "I/O error",
        "No such file or directory",
    ];
    if error.kind() == ErrorKind::IOError && lost.iter().any(|words| detail.contains(words)) {
        StoreError::Damaged { family, detail }
    } else {
        store_error(family, error)
    }
}

impl Store for Opened {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let found = self.db.get_pinned_cf(self.column(family)?, key);
        let found = found.map_err(|error| read_error(family.name(), &error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.visit(family, (from, to), ReadOptions::default(), visit)
    }

    fn read_through(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        self.visit(family, (from, to), options, visit)
    }
}

impl Opened {
    fn visit(
        &self,
        family: Family,
        (from, to): (&[u8], &[u8]),
        mut options: ReadOptions,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut cursor = self.db.raw_iterator_cf_opt(self.column(family)?, options);
        cursor.seek_to_first();
        while let Some((key, value)) = cursor.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            cursor.next();
        }
        // The end of an iteration means "no more" only if the cursor says so.
        cursor
            .status()
            .map_err(|error| read_error(family.name(), &error))
    }
}
