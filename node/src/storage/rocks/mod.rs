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
//! * Damaged tables are left out when the database is opened again (`salvage.rs`): it does without
//!   what cannot be read, and the vnodes that it may have belonged to are marked.

mod adopt;
mod cache;
mod look;
mod open;
mod repair;
mod salvage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use quorate_core::store::{Batch, Family, Store, StoreError, Visit, Write};
use quorate_protocol::StorageId;
use rocksdb::{Cache, WriteBatch, checkpoint};

pub use self::adopt::{OfflineError, adopt};
pub use self::cache::new_cache;
pub use self::look::{compact, look};
use self::open::{Compactions, Opened, store_error};
pub use self::open::{OpenError, database_options, family_options};
use self::salvage::Suspect;
use super::{Checkpoint, Storage};

/// How often, a millisecond apart, a reopening looks whether all readers have let go.
const CLOSE_TRIES: u32 = 5_000;
/// After damage could not be left out, for want of room perhaps, the next try waits so long.
const SALVAGE_AGAIN: Duration = Duration::from_secs(600);

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
    db: ArcSwapOption<Opened>,
    /// Whether a commit or sync failed since the last opening. Held while the database is reopened.
    broken: Mutex<bool>,
    /// Whether damage was met since the last opening, and in which families.
    met_damage: AtomicBool,
    damaged_families: Mutex<BTreeSet<&'static str>>,
    /// Counts how often damage was left out.
    gaps: AtomicU64,
    /// Before this time damage is not tried to be left out again.
    salvage_after: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rocks")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Rocks {
    /// Opens the database at `path`, creating it where there is none, for the storage `owner`.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was changed, except that an empty database may have been made.
    pub fn open(path: &Path, owner: StorageId, settings: RocksSettings) -> Result<Self, OpenError> {
        let cache = new_cache(settings.cache_bytes);
        let (opened, _) = repair::open_whole(path, owner, settings, &cache)?;
        let db = ArcSwapOption::from_pointee(opened);
        Ok(Self {
            path: path.to_owned(),
            owner,
            settings,
            cache,
            db,
            broken: Mutex::new(false),
            met_damage: AtomicBool::new(false),
            damaged_families: Mutex::default(),
            gaps: AtomicU64::new(0),
            salvage_after: Mutex::new(None),
        })
    }

    /// Writes what only the log holds into tables, so that the next opening has little to replay.
    ///
    /// # Errors
    /// The device or the file system refused: the log still holds everything.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.with(|opened| {
            for family in Family::ALL {
                let flushed = opened.db.flush_cf(opened.column(family)?);
                flushed.map_err(|error| store_error(family.name(), &error))?;
            }
            // The owner and the columns in force: what one column family has in the log keeps all of it.
            let flushed = opened.db.flush();
            flushed.map_err(|error| store_error("the default family", &error))
        })
    }

    /// Looks whether all tables are there in full. What is missing is damage, and [`Storage::is_damaged`] says so.
    pub fn check_files(&self) {
        if let Err(error) = self.with(|opened| repair::check_files(opened, &self.path)) {
            tracing::error!(%error, "a look at the files of the database");
        }
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
        repair::forget(path).map_err(|error| OpenError::Failed {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
        Ok((Self::open(path, owner, settings)?, Some(damage)))
    }

    /// Runs `work` on the open database.
    fn with<T>(
        &self,
        work: impl FnOnce(&Opened) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let opened = self.db.load();
        let Some(opened) = opened.as_deref() else {
            return Err(StoreError::Failed(format!(
                "the database {} is closed after a failure",
                self.path.display()
            )));
        };
        work(opened).inspect_err(|error| {
            if let StoreError::Damaged { family, .. } = error {
                lock(&self.damaged_families).insert(family);
                self.met_damage.store(true, Ordering::Release);
            }
        })
    }

    /// As [`Self::with`], for work whose failure makes a reopening necessary.
    fn write(
        &self,
        work: impl FnOnce(&Opened) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.with(|opened| {
            work(opened).inspect_err(|_| {
                *lock(&self.broken) = true;
            })
        })
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

    /// Does without what cannot be read any more. The database is closed, before and after.
    fn leave_damage_out(&self) {
        let path = self.path.display();
        tracing::warn!(%path, "damaged data: all of it is read, and what is readable is kept");
        match self.try_leave_damage_out() {
            Ok(None) => {}
            Ok(Some(0)) => tracing::warn!(%path, "everything could be read"),
            Ok(Some(ranges)) => {
                tracing::error!(%path, ranges, "damaged data was left out: the vnodes that it may have belonged to are rebuilt from their peers");
                self.gaps.fetch_add(1, Ordering::Release);
            }
            Err(error) => {
                tracing::error!(%path, %error, "damaged data could not be left out: make room for a second copy of the data; the next try is in {SALVAGE_AGAIN:?}");
                *lock(&self.salvage_after) = Some(Instant::now() + SALVAGE_AGAIN);
            }
        }
    }

    fn open_again(&self) -> Result<Opened, StoreError> {
        let (settings, cache) = (self.settings, &self.cache);
        let (opened, repaired) = repair::open_whole(&self.path, self.owner, settings, cache)
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        if repaired {
            self.gaps.fetch_add(1, Ordering::Release);
        }
        Ok(opened)
    }

    /// Returns the number of ranges in which something was lost; `None` where whole tables are.
    fn try_leave_damage_out(&self) -> Result<Option<usize>, StoreError> {
        let met = std::mem::take(&mut *lock(&self.damaged_families));
        let (settings, cache) = (self.settings, &self.cache);
        let opened = Opened::open(&self.path, self.owner, settings, cache, Compactions::Off);
        let mut opened = match opened {
            Ok(opened) => opened,
            // The opening that follows does without such tables.
            Err(error) if repair::names_a_table(&error) => return Ok(None),
            Err(error) => return Err(StoreError::Failed(error.to_string())),
        };
        let lost = salvage::leave_damage_out(&mut opened, &met, Suspect::Unreadable, cache)?;
        Ok(Some(lost.len()))
    }
}

/// What a panic elsewhere left behind is a whole value still: no lock is held over a change in parts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for Rocks {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with(|opened| opened.get(family, key))
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.with(|opened| opened.scan(family, from, to, visit))
    }

    fn read_through(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.with(|opened| opened.read_through(family, from, to, visit))
    }

    fn forget_cached(&self) {
        cache::empty(&self.cache, self.settings.cache_bytes);
    }
}

fn add_writes(opened: &Opened, writes: &[Write], batch: &mut WriteBatch) -> Result<(), StoreError> {
    for write in writes {
        match write {
            Write::Put { family, key, value } => batch.put_cf(opened.column(*family)?, key, value),
            Write::Delete { family, key } => batch.delete_cf(opened.column(*family)?, key),
            Write::Clear { family, from, to } => {
                batch.delete_range_cf(opened.column(*family)?, from, to);
            }
        }
    }
    Ok(())
}

impl Storage for Rocks {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.write(|opened| {
            let mut writes = WriteBatch::default();
            add_writes(opened, &batch.writes, &mut writes)?;
            opened
                .db
                .write(writes)
                .map_err(|error| store_error("the write-ahead log", &error))
        })
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.write(|opened| {
            opened
                .db
                .flush_wal(true)
                .map_err(|error| store_error("the write-ahead log", &error))
        })
    }

    fn is_damaged(&self) -> bool {
        self.met_damage.load(Ordering::Acquire)
            && lock(&self.salvage_after).is_none_or(|after| Instant::now() >= after)
    }

    fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Acquire)
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut broken = lock(&self.broken);
        let damaged = self.is_damaged();
        if !*broken && !damaged {
            // Another shard reopened it after the same failure.
            return Ok(());
        }
        self.close()?;
        if damaged {
            self.leave_damage_out();
            self.met_damage.store(false, Ordering::Release);
        }
        let opened = self.open_again()?;
        self.db.store(Some(Arc::new(opened)));
        *broken = false;
        Ok(())
    }
}

impl Checkpoint for Rocks {
    fn checkpoint(&self, to: &Path) -> Result<(), StoreError> {
        self.with(|opened| {
            let failed = |error| store_error("the checkpoint", &error);
            opened.db.flush_wal(true).map_err(failed)?;
            let checkpoint = checkpoint::Checkpoint::new(&opened.db).map_err(failed)?;
            checkpoint.create_checkpoint(to).map_err(failed)
        })
    }
}
