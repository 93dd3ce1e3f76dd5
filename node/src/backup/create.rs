//! Making a backup, step by step. Until the manifest is there, nothing looks like one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use quorate_protocol::limits::BACKUPS_MAX;

use super::copy::{Pace, copy};
use super::desk::{Job, Parts};
use super::manifest::{DATABASE, MAP_FILE, Manifest, StoredFile};
use super::shelf::{Listed, Shelf};
use super::{BackupError, STAGING, io_error};
use crate::identity::{self, MapState};

/// Room for what is not counted: manifests, directories.
const MARGIN_BYTES: u64 = 1 << 20;

/// A file of the checkpoint, or of the data directory.
struct Source {
    path: PathBuf,
    name: String,
    bytes: u64,
    changed_ns: u64,
}

/// Makes a backup. On an error nothing of it is left.
pub(super) fn create(parts: &Parts, label: &str, job: &Job) -> Result<u64, BackupError> {
    let shelf = parts.shelf();
    check_outside(parts)?;
    let _lock = shelf.lock()?;
    let staging = parts.data_dir.join(STAGING);
    clear(&staging)?;
    let made = staged(parts, &shelf, label, job, &staging);
    let cleared = clear(&staging);
    if made.is_err() {
        // What was copied is of no use; what cannot be removed is, by the next one.
        let _ = shelf.collect_garbage();
    }
    cleared?;
    made
}

fn staged(
    parts: &Parts,
    shelf: &Shelf,
    label: &str,
    job: &Job,
    staging: &Path,
) -> Result<u64, BackupError> {
    let earlier = shelf.list()?;
    if earlier.len() >= BACKUPS_MAX {
        return Err(BackupError::TooMany(earlier.len()));
    }
    let began_ms = parts.sources.wall_ms();
    parts.source.checkpoint(staging)?;
    let map_file = parts.data_dir.join(MAP_FILE);
    let bytes = fs::read(&map_file).map_err(io_error("cannot read", &map_file))?;
    // Kept beside the checkpoint: it may be replaced meanwhile.
    let stored_map = staging.join("quorate-map");
    fs::write(&stored_map, &bytes).map_err(io_error("cannot write", &stored_map))?;
    let newest = MapState::parse(&bytes)?.newest()?;
    let map = &newest.map().map;

    let mut files = sources(staging, DATABASE)?;
    files.retain(|file| file.path != stored_map);
    files.push(source(&stored_map, MAP_FILE.to_owned())?);
    let known = known(&earlier, parts);
    let (shared, new): (Vec<Source>, Vec<Source>) = files
        .into_iter()
        .partition(|file| known_as(&known, shelf, file).is_some());
    check_room(parts, shelf, new.iter().map(|file| file.bytes).sum())?;
    job.change(|job| job.bytes_total = new.iter().map(|file| file.bytes).sum());

    let mut stored = Vec::new();
    for file in &shared {
        if let Some(file) = known_as(&known, shelf, file) {
            stored.push(file.clone());
            job.shared(file.bytes);
        }
    }
    let mut pace = Pace::new(parts.settings.rate_mb, &parts.stop);
    for file in new {
        stored.push(take(file, shelf, &mut pace, job)?);
    }
    stored.sort_by(|a, b| a.name.cmp(&b.name));
    let last = earlier.last().map_or(0, |listed| listed.backup);
    let manifest = Manifest {
        backup: last + 1,
        label: label.to_owned(),
        identity: parts.identity,
        map_format: map.format_level,
        ring: map.ring.version(),
        build: crate::BUILD.to_owned(),
        began_ms,
        ended_ms: parts.sources.wall_ms(),
        bytes_new: job.snapshot().bytes_new,
        files: stored,
    };
    shelf.store(&manifest)?;
    Ok(manifest.backup)
}

/// Copies a file into the pool, unless its content is there.
fn take(
    file: Source,
    shelf: &Shelf,
    pace: &mut Pace<'_>,
    job: &Job,
) -> Result<StoredFile, BackupError> {
    let incoming = shelf.incoming();
    let content = copy(&file.path, &incoming, pace, &mut |bytes| {
        job.change(|job| job.bytes_done += bytes);
    })?;
    let stored = StoredFile {
        checksum: content.checksum,
        bytes: content.bytes,
        changed_ns: file.changed_ns,
        name: file.name,
    };
    if shelf.has(&stored) {
        fs::remove_file(&incoming).map_err(io_error("cannot remove", &incoming))?;
        job.shared(stored.bytes);
    } else {
        shelf.keep(&stored.checksum)?;
        job.change(|job| {
            job.files_new += 1;
            job.bytes_new += stored.bytes;
        });
    }
    Ok(stored)
}

/// Tables that earlier backups of this very storage have, by what does not change of them.
fn known(earlier: &[Listed], parts: &Parts) -> BTreeMap<(String, u64, u64), StoredFile> {
    let own = |manifest: &&Manifest| manifest.identity == parts.identity;
    let manifests = earlier
        .iter()
        .filter_map(|listed| listed.manifest.as_ref().ok());
    let files = manifests.filter(own).flat_map(|manifest| &manifest.files);
    files
        .filter(|file| is_table(&file.name))
        .map(|file| {
            let key = (file.name.clone(), file.bytes, file.changed_ns);
            (key, file.clone())
        })
        .collect()
}

fn known_as<'a>(
    known: &'a BTreeMap<(String, u64, u64), StoredFile>,
    shelf: &Shelf,
    file: &Source,
) -> Option<&'a StoredFile> {
    let key = (file.name.clone(), file.bytes, file.changed_ns);
    known.get(&key).filter(|file| shelf.has(file))
}

/// Whether a file is never changed once it is written.
fn is_table(name: &str) -> bool {
    name.ends_with(".sst") || name.ends_with(".blob")
}

fn sources(dir: &Path, prefix: &str) -> Result<Vec<Source>, BackupError> {
    let failed = || io_error("cannot read", dir);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        found.push(source(&entry.path(), name)?);
    }
    Ok(found)
}

fn source(path: &Path, name: String) -> Result<Source, BackupError> {
    let found = fs::metadata(path).map_err(io_error("cannot read", path))?;
    let seconds = u64::try_from(found.mtime()).unwrap_or(0);
    let nanoseconds = u64::try_from(found.mtime_nsec()).unwrap_or(0);
    Ok(Source {
        path: path.to_owned(),
        name,
        bytes: found.len(),
        changed_ns: seconds.saturating_mul(1_000_000_000) + nanoseconds,
    })
}

/// Refuses to begin what would take the node's own room.
fn check_room(parts: &Parts, shelf: &Shelf, bytes: u64) -> Result<(), BackupError> {
    let path = shelf.dir();
    let free = free_bytes(path)?;
    let reserve_mb = u64::from(parts.reserve_mb);
    let needed = bytes + MARGIN_BYTES;
    if free >= needed.saturating_add(reserve_mb << 20) {
        return Ok(());
    }
    Err(BackupError::Room {
        path: path.to_owned(),
        needed_mb: needed.div_ceil(1 << 20),
        free_mb: free >> 20,
        reserve_mb,
    })
}

/// What a process without privileges may still write where `path` is.
pub(super) fn free_bytes(path: &Path) -> Result<u64, BackupError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| io_error("cannot look at the free space of", path)(error.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Also where links lead elsewhere than the configuration's check could see.
fn check_outside(parts: &Parts) -> Result<(), BackupError> {
    let directory = &parts.settings.directory;
    identity::create_dir_all(directory).map_err(io_error("cannot create", directory))?;
    let real = |path: &Path| fs::canonicalize(path).map_err(io_error("cannot read", path));
    let database = parts.data_dir.join("db");
    if real(directory)?.starts_with(real(&database)?) {
        return Err(BackupError::Inside(directory.clone()));
    }
    Ok(())
}

pub(super) fn clear(staging: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error("cannot remove", staging)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
