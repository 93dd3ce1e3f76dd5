//! Reading and copying files under their checksums, at a bounded rate.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{BackupError, io_error};

/// Bytes between two looks at the clock.
const PORTION_BYTES: usize = 256 << 10;
/// A longer pause is taken in parts, between which a stop is noticed.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Lets so many bytes pass in a second.
pub(crate) struct Pace<'a> {
    bytes_per_s: u64,
    started: Instant,
    passed: u64,
    stop: &'a AtomicBool,
}

impl<'a> Pace<'a> {
    /// From now on. Whoever waits ends as soon as `stop` is set.
    pub(crate) fn new(rate_mb: u32, stop: &'a AtomicBool) -> Self {
        Self {
            bytes_per_s: u64::from(rate_mb.max(1)) << 20,
            started: Instant::now(),
            passed: 0,
            stop,
        }
    }

    /// Waits until these bytes may have passed, too.
    fn pass(&mut self, bytes: usize) -> Result<(), BackupError> {
        self.passed += bytes as u64;
        let micros = self.passed.saturating_mul(1_000_000) / self.bytes_per_s;
        let due = Duration::from_micros(micros);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(BackupError::Stopped);
            }
            let Some(wait) = due.checked_sub(self.started.elapsed()) else {
                return Ok(());
            };
            if wait.is_zero() {
                return Ok(());
            }
            std::thread::sleep(wait.min(PAUSE_MAX));
        }
    }
}

/// What was read or copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// BLAKE3, in hexadecimal digits.
    pub(crate) checksum: String,
    pub(crate) bytes: u64,
}

/// Copies a file to a new one, durably. `progress` is told of every portion.
pub(crate) fn copy(
    from: &Path,
    to: &Path,
    pace: &mut Pace<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Content, BackupError> {
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(io_error("cannot write", to))?;
    let content = pass_through(from, pace, progress, &mut |portion| {
        out.write_all(portion).map_err(io_error("cannot write", to))
    })?;
    out.sync_all().map_err(io_error("cannot sync", to))?;
    Ok(content)
}

/// Reads a file from end to end.
pub(crate) fn read(
    from: &Path,
    pace: &mut Pace<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Content, BackupError> {
    pass_through(from, pace, progress, &mut |_| Ok(()))
}

fn pass_through(
    from: &Path,
    pace: &mut Pace<'_>,
    progress: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<Content, BackupError> {
    let mut file = File::open(from).map_err(io_error("cannot read", from))?;
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    let mut portion = vec![0; PORTION_BYTES];
    loop {
        let length = file
            .read(&mut portion)
            .map_err(io_error("cannot read", from))?;
        if length == 0 {
            break;
        }
        take(&portion[..length])?;
        hasher.update(&portion[..length]);
        bytes += length as u64;
        pace.pass(length)?;
        progress(length as u64);
    }
    Ok(Content {
        checksum: hasher.finalize().to_hex().to_string(),
        bytes,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_paced_told_and_named_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        let content = vec![7; 300 << 10];
        std::fs::write(&from, &content).unwrap();
        let stop = AtomicBool::new(false);
        let (mut pace, mut told) = (Pace::new(1, &stop), 0);
        let copied = copy(&from, &to, &mut pace, &mut |bytes| told += bytes).unwrap();
        assert_eq!(copied.checksum, blake3::hash(&content).to_hex().as_str());
        assert_eq!((copied.bytes, told), (300 << 10, 300 << 10));
        assert_eq!(std::fs::read(&to).unwrap(), content);
        // 300 KiB at 1 MiB/s.
        assert!(pace.started.elapsed() >= Duration::from_millis(292));
    }

    #[test]
    fn a_stop_ends_a_pause() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("a");
        std::fs::write(&from, vec![7; 8 << 20]).unwrap();
        let stop = AtomicBool::new(true);
        let ended = read(&from, &mut Pace::new(1, &stop), &mut |_| ());
        assert!(matches!(ended, Err(BackupError::Stopped)));
    }
}
