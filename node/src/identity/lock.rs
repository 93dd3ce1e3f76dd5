//! The lock that keeps two processes out of one data directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("the data directory {path} is in use by another process{holder}: stop that one first")]
    Held {
        /// The directory.
        path: PathBuf,
        /// " (pid N)" where the holder left its number.
        holder: String,
    },
    /// The file cannot be opened or locked: a read-only or foreign directory.
    #[error("the data directory {path} cannot be written: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An exclusive lock, held until dropped; the system releases it when the process ends, however.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the directory `dir`.
    ///
    /// # Errors
    /// Another process holds the lock, or the file system refuses.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let io = |source: io::Error| LockError::Io {
            path: dir.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("LOCK"))
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held {
                    path: dir.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(errno) => return Err(io(errno.into())),
        }
        // The number is a hint for people; the lock itself is what counts.
        file.set_len(0)
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(16).read_to_string(&mut text));
    match (read, text.parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!(" (pid {pid})"),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => String::new(),
    }
}
