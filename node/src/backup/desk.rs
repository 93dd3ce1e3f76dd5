//! Whom requests about backups go to: one job at a time, on a thread of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use quorate_protocol::client::{
    Backup, BackupAction, BackupEntry, BackupJob, BackupReport, JobState,
};
use quorate_protocol::limits::{BACKUP_LABEL_BYTES_MAX, BACKUPS_MAX};
use quorate_protocol::{ErrorCode, WireError};

use super::copy::Pace;
use super::create::create;
use super::manifest::{Manifest, is_label};
use super::shelf::{Listed, Shelf};
use super::{BackupError, BackupSettings};
use crate::identity::Identity;
use crate::sources::Sources;
use crate::storage::Checkpoint;

/// What backups are made of, and where they go.
pub struct Parts {
    /// Where, and how fast.
    pub settings: BackupSettings,
    /// The node's data directory.
    pub data_dir: PathBuf,
    /// Whose it is.
    pub identity: Identity,
    /// The database.
    pub source: Arc<dyn Checkpoint>,
    /// Free space that is left to the node, MiB.
    pub reserve_mb: u32,
    /// The time of day.
    pub sources: Sources,
    /// Set when the node stops.
    pub stop: AtomicBool,
}

impl Parts {
    pub(super) fn shelf(&self) -> Shelf {
        Shelf::of(&self.settings.directory, self.identity.node)
    }
}

/// A job's standing, shared with the thread that does it.
#[derive(Clone)]
pub(super) struct Job {
    told: Arc<Mutex<BackupJob>>,
    started: Instant,
}

impl Job {
    pub(super) fn change(&self, change: impl FnOnce(&mut BackupJob)) {
        change(&mut lock(&self.told));
    }

    pub(super) fn shared(&self, bytes: u64) {
        self.change(|job| {
            job.files_shared += 1;
            job.bytes_shared += bytes;
        });
    }

    pub(super) fn snapshot(&self) -> BackupJob {
        let mut job = lock(&self.told).clone();
        if job.state == JobState::Running {
            job.ran_ms = self.ran_ms();
        }
        job
    }

    fn ran_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_running(&self) -> bool {
        lock(&self.told).state == JobState::Running
    }
}

/// Takes requests about backups.
pub struct Desk {
    parts: Arc<Parts>,
    last: Mutex<Option<(Job, JoinHandle<()>)>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("settings", &self.parts.settings)
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// For a node that starts. What an interrupted backup left in the data directory is removed.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        if let Err(error) = super::create::clear(&parts.data_dir.join(super::STAGING)) {
            tracing::warn!(%error, "what an interrupted backup left cannot be removed");
        }
        Self {
            parts: Arc::new(parts),
            last: Mutex::new(None),
        }
    }

    /// Answers a request. May read files: not for a thread that serves others.
    ///
    /// # Errors
    /// Another job runs, the request is wrong, or the backups cannot be listed.
    pub fn answer(&self, request: &Backup) -> Result<BackupReport, WireError> {
        let mut backups = Vec::new();
        match request.action {
            BackupAction::State => {}
            BackupAction::List => backups = self.list().map_err(failed)?,
            BackupAction::Create | BackupAction::Verify | BackupAction::Prune => {
                self.begin(request)?;
            }
        }
        Ok(BackupReport {
            node: self.parts.identity.node,
            directory: self.parts.shelf().dir().display().to_string(),
            job: lock(&self.last).as_ref().map(|(job, _)| job.snapshot()),
            backups,
        })
    }

    /// Ends the job that runs, and waits for its end: a moment.
    pub fn stop(&self) {
        self.parts.stop.store(true, Ordering::Relaxed);
        if let Some((_, thread)) = lock(&self.last).take() {
            // A job that panicked has ended too.
            let _ = thread.join();
        }
    }

    fn list(&self) -> Result<Vec<BackupEntry>, BackupError> {
        let mut all = self.parts.shelf().list()?;
        let above = all.len().saturating_sub(BACKUPS_MAX);
        Ok(all.drain(above..).map(entry).collect())
    }

    fn begin(&self, request: &Backup) -> Result<(), WireError> {
        check(request)?;
        let mut last = lock(&self.last);
        if let Some((job, _)) = &*last {
            let told = job.snapshot();
            if told.request == request.request {
                return Ok(()); // asked again: the answer was lost
            }
            if job.is_running() {
                let text = format!(
                    "this node is at a backup job already ({}, for {} s): wait for its end",
                    name(told.action),
                    told.ran_ms / 1000
                );
                return Err(WireError::new(ErrorCode::Conflict, text));
            }
        }
        let job = Job {
            told: Arc::new(Mutex::new(first_word(
                request,
                self.parts.sources.wall_ms(),
            ))),
            started: Instant::now(),
        };
        let (parts, request, own) = (Arc::clone(&self.parts), request.clone(), job.clone());
        let thread = std::thread::Builder::new()
            .name("backup".to_owned())
            .spawn(move || run(&parts, &request, &own))
            .map_err(|error| {
                let text = format!("no thread can be started for the backup: {error}");
                WireError::new(ErrorCode::Unavailable, text)
            })?;
        *last = Some((job, thread));
        Ok(())
    }
}

fn first_word(request: &Backup, began_ms: u64) -> BackupJob {
    BackupJob {
        request: request.request,
        action: request.action,
        state: JobState::Running,
        backup: None,
        began_ms,
        ran_ms: 0,
        bytes_total: 0,
        bytes_done: 0,
        files_new: 0,
        bytes_new: 0,
        files_shared: 0,
        bytes_shared: 0,
        removed: Vec::new(),
        error: String::new(),
    }
}

fn run(parts: &Parts, request: &Backup, job: &Job) {
    let what = name(request.action);
    tracing::info!(what, label = request.label, "backup job begun");
    let done = match request.action {
        BackupAction::Create => create(parts, &request.label, job).map(|backup| {
            job.change(|job| job.backup = Some(backup));
        }),
        BackupAction::Verify => verify(parts, request.backup, job),
        BackupAction::Prune => prune(parts, request.keep, job),
        BackupAction::State | BackupAction::List => Ok(()),
    };
    let ran_ms = job.ran_ms();
    job.change(|job| {
        job.ran_ms = ran_ms;
        job.state = JobState::Done;
        if let Err(error) = &done {
            job.state = JobState::Failed;
            job.error = error.to_string();
        }
    });
    let told = job.snapshot();
    match done {
        Ok(()) => tracing::info!(
            what,
            backup = told.backup,
            new_bytes = told.bytes_new,
            shared_bytes = told.bytes_shared,
            ran_ms,
            "backup job done"
        ),
        Err(error) => tracing::error!(what, %error, "backup job failed"),
    }
}

fn verify(parts: &Parts, backup: Option<u64>, job: &Job) -> Result<(), BackupError> {
    let shelf = parts.shelf();
    let _lock = shelf.lock()?;
    let mut all = shelf.list()?;
    if let Some(backup) = backup {
        all.retain(|listed| listed.backup == backup);
        if all.is_empty() {
            return Err(BackupError::Missing(backup));
        }
    }
    let mut manifests: Vec<Manifest> = Vec::new();
    for listed in all {
        match listed.manifest {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => {
                let text = format!("backup {}: {error}", listed.backup);
                return Err(BackupError::Damaged(text));
            }
        }
    }
    let files = manifests.iter().flat_map(|manifest| &manifest.files);
    let distinct: std::collections::BTreeMap<&str, u64> = files
        .map(|file| (file.checksum.as_str(), file.bytes))
        .collect();
    job.change(|job| job.bytes_total = distinct.values().sum());
    let mut pace = Pace::new(parts.settings.rate_mb, &parts.stop);
    shelf.verify(&manifests, &mut pace, &mut |bytes| {
        job.change(|job| job.bytes_done += bytes);
    })
}

fn prune(parts: &Parts, keep: u32, job: &Job) -> Result<(), BackupError> {
    let shelf = parts.shelf();
    let _lock = shelf.lock()?;
    let removed = shelf.prune(usize::try_from(keep).unwrap_or(usize::MAX))?;
    job.change(|job| job.removed = removed);
    Ok(())
}

fn entry(listed: Listed) -> BackupEntry {
    match listed.manifest {
        Ok(manifest) => BackupEntry {
            backup: manifest.backup,
            began_ms: manifest.began_ms,
            files: manifest.files.len() as u64,
            bytes: manifest.bytes(),
            bytes_new: manifest.bytes_new,
            label: manifest.label,
            problem: String::new(),
        },
        Err(error) => BackupEntry {
            backup: listed.backup,
            label: String::new(),
            began_ms: 0,
            files: 0,
            bytes: 0,
            bytes_new: 0,
            problem: error.to_string(),
        },
    }
}

fn check(request: &Backup) -> Result<(), WireError> {
    let invalid = |text: String| Err(WireError::new(ErrorCode::Invalid, text));
    if !is_label(&request.label) {
        return invalid(format!(
            "the label of a backup is at most {BACKUP_LABEL_BYTES_MAX} letters, digits, dots, dashes and underscores"
        ));
    }
    if request.action == BackupAction::Prune && request.keep == 0 {
        return invalid("pruning leaves 1 backup at least".to_owned());
    }
    Ok(())
}

const fn name(action: BackupAction) -> &'static str {
    match action {
        BackupAction::State => "state",
        BackupAction::List => "list",
        BackupAction::Create => "create",
        BackupAction::Verify => "verify",
        BackupAction::Prune => "prune",
    }
}

fn failed(error: BackupError) -> WireError {
    WireError::new(ErrorCode::StorageFailed, error.to_string())
}

/// What a panic elsewhere left behind is a whole value still: no lock is held over a change in parts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
