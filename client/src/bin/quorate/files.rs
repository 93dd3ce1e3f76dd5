//! Writing files that must not be overwritten by accident nor read by others.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::outcome::{Done, Failure};

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// Its owner only.
    Secret,
    /// Everybody.
    Open,
}

/// Files to be written together: none is written if one of them exists already.
pub(crate) struct NewFiles {
    force: bool,
    files: Vec<(PathBuf, Vec<u8>, Access)>,
}

impl NewFiles {
    /// `force` allows to replace what exists.
    pub(crate) const fn new(force: bool) -> Self {
        Self {
            force,
            files: Vec::new(),
        }
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, path: PathBuf, content: impl Into<Vec<u8>>, access: Access) {
        self.files.push((path, content.into(), access));
    }

    /// Where they go.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let paths = self.files.iter().map(|(path, ..)| path.clone());
        paths.collect()
    }

    /// Writes them all, making directories where needed.
    pub(crate) fn write(self) -> Done {
        if !self.force
            && let Some((path, ..)) = self.files.iter().find(|(path, ..)| path.exists())
        {
            return Err(exists(path));
        }
        self.files
            .iter()
            .try_for_each(|(path, content, access)| self.write_one(path, content, *access))
    }

    fn write_one(&self, path: &Path, content: &[u8], access: Access) -> Done {
        let failed = |error: &std::io::Error| {
            if error.kind() == ErrorKind::AlreadyExists {
                exists(path)
            } else {
                Failure::io(path.display(), error)
            }
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| Failure::io(parent.display(), &error))?;
        }
        let written = if self.force {
            beside(path)
        } else {
            path.to_owned()
        };
        if self.force {
            // Left behind by an earlier run that was stopped; a fresh file gets the right access.
            let _ = fs::remove_file(&written);
        }
        let mut file = create(&written, access).map_err(|error| failed(&error))?;
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|error| failed(&error))?;
        if self.force {
            fs::rename(&written, path).map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Refused(format!(
        "{} exists already: choose another place, or give --force to replace it",
        path.display()
    ))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn create(path: &Path, access: Access) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match access {
            Access::Secret => 0o600,
            Access::Open => 0o644,
        },
    );
    #[cfg(not(unix))]
    let _ = access;
    options.open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn two(dir: &Path, force: bool, content: &str) -> Done {
        let mut files = NewFiles::new(force);
        files.add(dir.join("sub/key"), content, Access::Secret);
        files.add(dir.join("cert"), content, Access::Open);
        files.write()
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_readable_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        two(dir.path(), false, "x").unwrap();
        two(dir.path(), true, "x").unwrap();
        let mode = |name| {
            fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode("sub/key"), 0o600);
        assert_eq!(mode("cert") & 0o600, 0o600);
    }

    #[test]
    fn nothing_is_written_where_one_file_exists() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cert"), "old").unwrap();
        let refused = two(dir.path(), false, "new").unwrap_err();
        assert!(refused.to_string().contains("exists already"));
        assert!(!dir.path().join("sub").exists());
        two(dir.path(), true, "new").unwrap();
        assert_eq!(fs::read(dir.path().join("cert")).unwrap(), b"new");
    }
}
