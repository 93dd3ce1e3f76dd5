//! What an earlier `load` has stored already, in a file that grows by a line for each key.
//!
//! The first line names cluster and bucket. A last line that was cut by a crash is ignored.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::options::{from_hex, hex};
use crate::outcome::{Done, Failure};
use crate::walk::Item;

/// The state of a load that can be resumed.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Size and time of change, by key.
    stored: HashMap<Vec<u8>, (u64, u128)>,
}

impl Journal {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path, cluster: &str, bucket: &str) -> Result<Self, Failure> {
        let failed = |error: &io::Error| Failure::io(path.display(), error);
        let header = format!("quorate-load 1 {cluster} {}\n", hex(bucket.as_bytes()));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(&error)),
        };
        // Only whole lines count; what follows the last line break was cut.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        if !text.is_empty() && !whole.starts_with(&header) {
            return Err(Failure::Refused(format!(
                "{} is not the state of a load into this bucket of this cluster: give another file to --resume",
                path.display()
            )));
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| failed(&error))?;
        file.set_len(whole.len() as u64)
            .map_err(|error| failed(&error))?;
        if whole.is_empty() {
            file.write_all(header.as_bytes())
                .map_err(|error| failed(&error))?;
        }
        let stored = whole.lines().skip(1).filter_map(parse).collect();
        Ok(Self {
            path: path.to_owned(),
            file,
            stored,
        })
    }

    /// Whether a file was stored as it is now.
    pub(crate) fn has(&self, item: &Item) -> bool {
        self.stored.get(&item.key) == Some(&(item.bytes, item.modified_ns))
    }

    /// Notes a stored file.
    pub(crate) fn add(&mut self, item: &Item) -> Done {
        let line = format!("{} {} {}\n", item.bytes, item.modified_ns, hex(&item.key));
        self.file
            .write_all(line.as_bytes())
            .map_err(|error| Failure::io(self.path.display(), &error))
    }
}

fn parse(line: &str) -> Option<(Vec<u8>, (u64, u128))> {
    let mut parts = line.split(' ');
    let (bytes, modified, key) = (parts.next()?, parts.next()?, parts.next()?);
    Some((
        from_hex(key)?,
        (bytes.parse().ok()?, modified.parse().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn item(key: &str, bytes: u64) -> Item {
        Item {
            key: key.into(),
            path: key.into(),
            bytes,
            modified_ns: 7,
        }
    }

    #[test]
    fn what_was_stored_is_known_again_and_what_changed_since_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut journal = Journal::open(&path, "c", "b").unwrap();
        assert!(!journal.has(&item("a\n b", 1)));
        journal.add(&item("a\n b", 1)).unwrap();
        let journal = Journal::open(&path, "c", "b").unwrap();
        assert!(journal.has(&item("a\n b", 1)));
        assert!(!journal.has(&item("a\n b", 2)));
    }

    #[test]
    fn a_line_that_was_cut_is_forgotten_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut journal = Journal::open(&path, "c", "b").unwrap();
        journal.add(&item("one", 1)).unwrap();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"2 7 74")
            .unwrap();
        let mut journal = Journal::open(&path, "c", "b").unwrap();
        journal.add(&item("two", 2)).unwrap();
        let journal = Journal::open(&path, "c", "b").unwrap();
        assert!(journal.has(&item("one", 1)) && journal.has(&item("two", 2)));
        assert_eq!(journal.stored.len(), 2);
    }

    #[test]
    fn the_state_of_another_bucket_or_any_other_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        Journal::open(&path, "c", "b").unwrap();
        assert!(Journal::open(&path, "c", "other").is_err());
        fs::write(&path, "precious").unwrap();
        assert!(Journal::open(&path, "c", "b").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
