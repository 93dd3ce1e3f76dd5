//! The counters as a file in Prometheus' text format, for a collector that reads files.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::driver::Counters;

/// Rewrites one file.
pub(super) struct MetricsFile {
    path: PathBuf,
    registry: Registry,
    writable: Gauge,
    free_mb: Gauge,
}

impl MetricsFile {
    pub(super) fn new(path: PathBuf, counters: &Counters) -> Self {
        let mut registry = Registry::with_prefix("quorate");
        counters.register(&mut registry);
        let (writable, free_mb) = (Gauge::default(), Gauge::default());
        registry.register(
            "writable",
            "1 while the node takes writes",
            writable.clone(),
        );
        registry.register(
            "free_mib",
            "Free space of the data directory's file system",
            free_mb.clone(),
        );
        Self {
            path,
            registry,
            writable,
            free_mb,
        }
    }

    /// Replaces the file by what is counted now.
    pub(super) fn write(&self, writable: bool, free_mb: u64) -> io::Result<()> {
        self.writable.set(writable.into());
        self.free_mb.set(i64::try_from(free_mb).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        let _ = writeln!(text);
        replace(&self.path, &text)
    }
}

/// A reader sees the old file or the new one; a power cut may leave either or none.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use quorate_core::Note;

    use super::*;

    #[test]
    fn the_file_holds_every_counter_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.prom");
        let counters = Counters::default();
        let file = MetricsFile::new(path.clone(), &counters);
        counters.note(Note::Get);
        file.write(true, 7).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\nquorate_gets_total 1\n"), "{text}");
        assert!(text.contains("\nquorate_free_mib 7\n"), "{text}");
        for (name, _) in counters.list() {
            assert!(
                text.contains(&format!("quorate_{name}_total")),
                "{name} is missing in {text}"
            );
        }
    }
}
