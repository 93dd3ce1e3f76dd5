//! One node's backups on disk: listing, verifying and removing them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use quorate_ring::NodeId;

use super::copy::{Pace, read};
use super::manifest::{Manifest, ManifestError, StoredFile};
use super::{BackupError, io_error};
use crate::identity::{self, Lock};

const SUFFIX: &str = ".backup";
const POOL: &str = "pool";
const INCOMING: &str = "incoming";

/// The directory of one node's backups.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

/// A backup that is there, readable or not.
#[derive(Debug)]
pub struct Listed {
    /// Its number.
    pub backup: u64,
    /// Its manifest.
    pub path: PathBuf,
    /// What that says.
    pub manifest: Result<Manifest, ManifestError>,
}

impl Shelf {
    /// The backups of a node below the directory of the configuration.
    #[must_use]
    pub fn of(directory: &Path, node: NodeId) -> Self {
        Self::at(&directory.join(node.to_string()))
    }

    /// The backups in this very directory.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the content of that checksum lies.
    pub(crate) fn pooled(&self, checksum: &str) -> PathBuf {
        self.pool().join(checksum)
    }

    fn pool(&self) -> PathBuf {
        self.dir.join(POOL)
    }

    /// Where a file is copied to before its content is known.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.pool().join(INCOMING)
    }

    /// Makes the directory and keeps others from changing anything in it.
    pub(crate) fn lock(&self) -> Result<Lock, BackupError> {
        let pool = self.pool();
        identity::create_dir_all(&pool).map_err(io_error("cannot create", &pool))?;
        Ok(Lock::take(&self.dir)?)
    }

    /// All backups, by number. A directory that does not exist has none.
    ///
    /// # Errors
    /// The directory or a manifest cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, BackupError> {
        let mut found = Vec::new();
        for (backup, path) in self.numbers()? {
            let bytes = fs::read(&path).map_err(io_error("cannot read", &path))?;
            let manifest = Manifest::parse(&bytes).and_then(|manifest| {
                let own = manifest.backup == backup;
                own.then_some(manifest)
                    .ok_or(ManifestError::Damaged("it is another backup's"))
            });
            found.push(Listed {
                backup,
                path,
                manifest,
            });
        }
        Ok(found)
    }

    fn numbers(&self) -> Result<Vec<(u64, PathBuf)>, BackupError> {
        let mut found = Vec::new();
        for name in names(&self.dir)? {
            let name = name.to_string_lossy();
            let number = name.strip_suffix(SUFFIX).map(str::parse::<u64>);
            if let Some(Ok(number)) = number {
                found.push((number, self.dir.join(&*name)));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Keeps a manifest; the backup is there from now on.
    pub(crate) fn store(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let pool = self.pool();
        identity::sync_dir(&pool).map_err(io_error("cannot sync", &pool))?;
        let path = self.dir.join(format!("{:010}{SUFFIX}", manifest.backup));
        let text = manifest.to_text();
        identity::replace(&path, text.as_bytes()).map_err(io_error("cannot write", &path))
    }

    /// Puts what was copied under its name.
    pub(crate) fn keep(&self, checksum: &str) -> Result<(), BackupError> {
        let (from, to) = (self.incoming(), self.pooled(checksum));
        fs::rename(&from, &to).map_err(io_error("cannot rename", &from))
    }

    /// Whether the content of a file is there, by its size.
    pub(crate) fn has(&self, file: &StoredFile) -> bool {
        let found = fs::metadata(self.pooled(&file.checksum));
        found.is_ok_and(|found| found.len() == file.bytes)
    }

    /// Reads files of backups and compares them. A damaged one is put aside, so that the next backup
    /// writes it anew.
    ///
    /// # Errors
    /// Names what is damaged or missing, or the files cannot be read.
    pub(crate) fn verify(
        &self,
        manifests: &[Manifest],
        pace: &mut Pace<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), BackupError> {
        let mut looked_at = BTreeSet::new();
        let mut problems = Vec::new();
        for manifest in manifests {
            for file in &manifest.files {
                if !looked_at.insert(file.checksum.as_str()) {
                    continue;
                }
                if let Some(problem) = self.problem_of(file, pace, progress)? {
                    problems.push(format!(
                        "backup {}: {} {problem}",
                        manifest.backup, file.name
                    ));
                }
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        let more = problems.len().saturating_sub(3);
        problems.truncate(3);
        let mut text = problems.join("; ");
        if more > 0 {
            text += &format!("; and {more} more files");
        }
        Err(BackupError::Damaged(text))
    }

    /// What is wrong with a stored file.
    pub(crate) fn problem_of(
        &self,
        file: &StoredFile,
        pace: &mut Pace<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Option<&'static str>, BackupError> {
        let path = self.pooled(&file.checksum);
        if !path.exists() {
            return Ok(Some("is missing"));
        }
        let found = read(&path, pace, progress)?;
        if found.checksum == file.checksum {
            return Ok(None);
        }
        let aside = path.with_extension("damaged");
        fs::rename(&path, &aside).map_err(io_error("cannot rename", &path))?;
        Ok(Some("is damaged"))
    }

    /// Removes all but the latest backups that are readable. Returns the numbers of the removed ones.
    pub(crate) fn prune(&self, keep: usize) -> Result<Vec<u64>, BackupError> {
        let mut all = self.list()?;
        if let Some(unknown) = all.iter().find(|listed| listed.manifest.is_err()) {
            return Err(unknown_manifest(unknown));
        }
        all.truncate(all.len().saturating_sub(keep.max(1)));
        let mut removed = Vec::new();
        for listed in all {
            fs::remove_file(&listed.path).map_err(io_error("cannot remove", &listed.path))?;
            removed.push(listed.backup);
        }
        identity::sync_dir(&self.dir).map_err(io_error("cannot sync", &self.dir))?;
        self.collect_garbage()?;
        Ok(removed)
    }

    /// Removes files of the pool that belong to no backup.
    pub(crate) fn collect_garbage(&self) -> Result<(), BackupError> {
        let mut needed = BTreeSet::new();
        for listed in self.list()? {
            match &listed.manifest {
                Ok(manifest) => {
                    needed.extend(manifest.files.iter().map(|file| file.checksum.clone()));
                }
                Err(_) => return Err(unknown_manifest(&listed)),
            }
        }
        let pool = self.pool();
        for name in names(&pool)? {
            if !needed.contains(&*name.to_string_lossy()) {
                let path = pool.join(name);
                fs::remove_file(&path).map_err(io_error("cannot remove", &path))?;
            }
        }
        Ok(())
    }
}

fn unknown_manifest(listed: &Listed) -> BackupError {
    let problem = listed.manifest.as_ref().err().map(ToString::to_string);
    BackupError::Unknown {
        path: listed.path.clone(),
        problem: problem.unwrap_or_default(),
    }
}

/// Names in a directory; none if it does not exist.
fn names(dir: &Path) -> Result<Vec<OsString>, BackupError> {
    let failed = io_error("cannot read", dir);
    match fs::read_dir(dir) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}
