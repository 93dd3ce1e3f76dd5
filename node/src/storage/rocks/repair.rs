//! Tables that are missing, or of which not even the index can be read.
//!
//! RocksDB does not open a database that lacks a table, and where the youngest tables of a family cannot
//! be read, it reads nothing of that family: each look goes through all of them. So the list of tables is made
//! anew from those that are there and readable (RocksDB calls that a repair): only the bad table is lost.
//!
//! What else a repair does makes everything suspect. Tables that were merged into others and not deleted yet
//! are back, with what was removed since, and holes in the log are passed over. So every vnode is marked as
//! one that lost something: it keeps what it has as mere information, and its peers tell what counts.
//!
//! A file beside the database says that this is under way: after a crash it begins again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use quorate_core::store::StoreError;
use quorate_protocol::StorageId;
use rocksdb::{Cache, DB};

use super::RocksSettings;
use super::open::{Compactions, OpenError, Opened, database_options, family_of, open_error};
use super::salvage::{self, Suspect};

/// The ending of a table's name.
const TABLE: &str = ".sst";

/// What RocksDB says of itself where it could not find a file or read it.
const READING: [&str; 9] = [
    "No such file",
    "open a file for random read",
    "pread",
    "mmap file for read",
    "mmap read",
    "stat a file for size",
    "sequentially read",
    "reading file",
    "prefetching",
];

/// Opens a database, without tables that cannot be opened. Returns whether there were any.
///
/// # Errors
/// See [`OpenError`]; also where the repair fails.
pub(super) fn open_whole(
    path: &Path,
    owner: StorageId,
    settings: RocksSettings,
    cache: &Cache,
) -> Result<(Opened, bool), OpenError> {
    let open = || Opened::open(path, owner, settings, cache, Compactions::On);
    let under_way = marker(path).exists();
    if !under_way {
        match open() {
            Ok(opened) => return Ok((opened, false)),
            Err(error) if !names_a_table(&error) => return Err(error),
            Err(error) => tracing::error!(
                %error,
                "a table of the database is missing or cannot be opened: the database goes on without it, and all vnodes are rebuilt from their peers"
            ),
        }
    }
    list_tables_anew(path, owner, settings, cache)?;
    Ok((open()?, true))
}

/// A repair that was under way is of no interest any more: its database was set aside.
pub(super) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(marker(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn list_tables_anew(
    path: &Path,
    owner: StorageId,
    settings: RocksSettings,
    cache: &Cache,
) -> Result<(), OpenError> {
    let failed = |detail: String| OpenError::Failed {
        path: path.to_owned(),
        detail,
    };
    set_marker(path, true).map_err(|error| failed(error.to_string()))?;
    DB::repair(&database_options(settings), path).map_err(|error| open_error(path, &error))?;
    let mut opened = Opened::open(path, owner, settings, cache, Compactions::Off)?;
    salvage::leave_damage_out(&mut opened, &BTreeSet::new(), Suspect::Everything, cache)
        .map_err(|error| failed(error.to_string()))?;
    drop(opened);
    set_marker(path, false).map_err(|error| failed(error.to_string()))
}

fn marker(path: &Path) -> PathBuf {
    path.with_extension("repairing")
}

/// Puts the file that says that a repair is under way, or takes it away, durably.
fn set_marker(path: &Path, there: bool) -> io::Result<()> {
    let marker = marker(path);
    if there {
        File::create(&marker)?.sync_all()?;
    } else {
        fs::remove_file(&marker)?;
    }
    let parent = marker.parent().unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Whether a database cannot be opened because of one of its tables, that is missing or cannot be read.
///
/// Opening also writes tables, of what the log has. That one cannot be written says nothing of those that are there: the
/// disk is full, or fails for a while. A repair would then have this node forget all that it knows, and where that
/// comes over all replicas of a key, its value is lost.
pub(super) fn names_a_table(error: &OpenError) -> bool {
    match error {
        OpenError::Damaged { detail, .. } => detail.contains(TABLE),
        OpenError::Failed { detail, .. } => {
            detail.contains(TABLE) && READING.iter().any(|what| detail.contains(what))
        }
        OpenError::Foreign { .. } => false,
    }
}

/// Whether all tables in use are there in full. An open file can be read although it was deleted: that would
/// be found out at the next start only.
///
/// # Errors
/// One is missing or has another size; or the database failed.
pub(super) fn check_files(opened: &Opened, path: &Path) -> Result<(), StoreError> {
    let bad = first_bad(opened, path)?;
    // Of two looks the first may have met a table that has just been merged into others.
    let again = if bad.is_some() {
        first_bad(opened, path)?
    } else {
        None
    };
    match (bad, again) {
        (Some((name, _)), Some((same, family))) if name == same => Err(StoreError::Damaged {
            family,
            detail: format!(
                "the table {name} is missing or has another size than it was written with"
            ),
        }),
        _ => Ok(()),
    }
}

fn first_bad(opened: &Opened, path: &Path) -> Result<Option<(String, &'static str)>, StoreError> {
    let files = opened.db.live_files();
    let files = files.map_err(|error| StoreError::Failed(error.to_string()))?;
    let bad = files.into_iter().find(|file| {
        let name = file.name.trim_start_matches('/');
        let found = fs::metadata(path.join(name));
        found.map_or(true, |found| found.len() != file.size as u64)
    });
    Ok(bad.map(|file| {
        let family = family_of(&file.column_family_name);
        (
            file.name,
            family.map_or("the database", |family| family.name()),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(detail: &str) -> OpenError {
        OpenError::Failed {
            path: PathBuf::from("db"),
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn a_table_that_cannot_be_written_is_no_reason_to_give_up_those_that_are_there() {
        for detail in [
            "IO error: While fdatasync: db/000031.sst: Input/output error",
            "IO error: No space left on device: While appending to file: db/000023.sst: No space left on device",
            "IO error: While fsync: db/000031.sst: Input/output error",
            "IO error: While open a file for appending: db/000031.sst: Too many open files",
        ] {
            assert!(!names_a_table(&failed(detail)), "{detail}");
        }
    }

    #[test]
    fn a_table_that_is_missing_or_unreadable_is_left_out() {
        for detail in [
            "IO error: No such file or directory: While open a file for random read: db/000012.sst: No such file or directory",
            "IO error: No such file or directory: while stat a file for size: db/000012.sst: No such file or directory",
            "IO error: While pread offset 0 len 8: db/000012.sst: Input/output error",
            "IO error: While open a file for random read: db/000012.sst: Input/output error",
        ] {
            assert!(names_a_table(&failed(detail)), "{detail}");
        }
        let damaged = OpenError::Damaged {
            path: PathBuf::from("db"),
            detail: "Corruption: bad block contents in db/000012.sst".to_owned(),
        };
        assert!(names_a_table(&damaged));
        assert!(!names_a_table(&failed(
            "IO error: While lock file: db/LOCK: Resource temporarily unavailable"
        )));
    }
}
