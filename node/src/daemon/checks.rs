//! What the machine must offer.

use std::io;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors below which a node does not start: database files, sockets and threads' pipes.
pub const DESCRIPTORS_MIN: u64 = 256;
/// Table files that the database may hold open, if there are descriptors enough.
const OPEN_FILES_MAX: u64 = 512;

/// A limit of the process is too low.
#[derive(Debug, thiserror::Error)]
#[error(
    "only {0} file descriptors are allowed, a node needs {DESCRIPTORS_MIN}: raise the limit (ulimit -n)"
)]
pub struct LimitError(pub u64);

/// Raises the soft limit on descriptors to the hard one, and says what it is now.
///
/// # Errors
/// It is below [`DESCRIPTORS_MIN`] all the same.
pub(super) fn raise_descriptor_limit() -> Result<u64, LimitError> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let raised = setrlimit(Resource::Nofile, wanted).is_ok();
    let current = if raised { limit.maximum } else { limit.current };
    // No limit is shown as none.
    let current = current.unwrap_or(u64::MAX);
    if current < DESCRIPTORS_MIN {
        Err(LimitError(current))
    } else {
        Ok(current)
    }
}

/// Table files to hold open under a limit on descriptors: half of them at most.
#[must_use]
pub(super) fn open_files(descriptors: u64) -> i32 {
    i32::try_from((descriptors / 2).min(OPEN_FILES_MAX)).unwrap_or(i32::MAX)
}

/// Whether a file system has room for writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) free_mb: u64,
    pub(super) reserve_mb: u64,
}

impl Space {
    /// Looks at the file system that holds `path`.
    pub(super) fn look(path: &Path, reserve_mb: u32) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        // What a process without privileges may use.
        let free_mb = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
        Ok(Self {
            free_mb,
            reserve_mb: reserve_mb.into(),
        })
    }

    /// Writes are refused below the reserve and taken again a sixteenth above it, so that a disk
    /// at the edge does not flap.
    pub(super) fn writable(self, before: bool) -> bool {
        let needed = if before {
            self.reserve_mb
        } else {
            self.reserve_mb + self.reserve_mb / 16
        };
        self.free_mb >= needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_at_the_edge_of_its_reserve_does_not_flap() {
        let space = |free_mb| Space {
            free_mb,
            reserve_mb: 256,
        };
        assert!(space(256).writable(true));
        assert!(!space(255).writable(true));
        assert!(!space(256).writable(false));
        assert!(space(272).writable(false));
    }

    #[test]
    fn half_of_the_descriptors_are_left_for_the_network() {
        assert_eq!(open_files(256), 128);
        assert_eq!(open_files(u64::MAX), 512);
    }
}
