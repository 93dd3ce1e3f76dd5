//! The files of a directory, as keys and values.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_protocol::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// One file to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its path below the directory, with `/` between its parts: the key.
    pub(crate) key: Vec<u8>,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its size when it was found.
    pub(crate) bytes: u64,
    /// When it was last changed, nanoseconds since 1970; 0 if unknown.
    pub(crate) modified_ns: u128,
}

/// Something that is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Ordered by key.
    pub(crate) items: Vec<Item>,
    /// Ordered by path.
    pub(crate) skipped: Vec<Skipped>,
}

/// Walks a directory and everything below it. Symbolic links are not followed.
///
/// # Errors
/// The directory itself cannot be read; anything below that cannot is skipped by name.
pub(crate) fn walk(root: &Path) -> std::io::Result<Found> {
    let mut found = Found::default();
    let mut left = vec![(root.to_owned(), Vec::new())];
    while let Some((dir, prefix)) = left.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if dir == root => return Err(error),
            Err(error) => {
                found.skip(dir, format!("unreadable: {error}"));
                continue;
            }
        };
        for entry in entries {
            let Ok(entry) =
                entry.map_err(|error| found.skip(dir.clone(), format!("unreadable: {error}")))
            else {
                continue;
            };
            let key = join(&prefix, entry.file_name().as_encoded_bytes());
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push((entry.path(), key)),
                Ok(metadata) => found.take(key, entry.path(), &metadata),
                Err(error) => found.skip(entry.path(), format!("unreadable: {error}")),
            }
        }
    }
    found.items.sort_by(|a, b| a.key.cmp(&b.key));
    found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Found {
    fn take(&mut self, key: Vec<u8>, path: PathBuf, metadata: &fs::Metadata) {
        let bytes = metadata.len();
        if !metadata.is_file() {
            self.skip(path, "not a file".to_owned());
        } else if bytes > VALUE_BYTES_MAX as u64 {
            self.skip(
                path,
                format!("{bytes} bytes, the most for a value is {VALUE_BYTES_MAX}"),
            );
        } else if key.len() > KEY_BYTES_MAX {
            self.skip(
                path,
                format!(
                    "a path of {} bytes, the most for a key is {KEY_BYTES_MAX}",
                    key.len()
                ),
            );
        } else {
            let since = metadata
                .modified()
                .ok()
                .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            self.items.push(Item {
                key,
                path,
                bytes,
                modified_ns: since.map_or(0, |since| since.as_nanos()),
            });
        }
    }

    fn skip(&mut self, path: PathBuf, reason: String) {
        self.skipped.push(Skipped { path, reason });
    }
}

fn join(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    if prefix.is_empty() {
        name.to_vec()
    } else {
        [prefix, name].join(&b'/')
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_are_found_at_every_depth_in_the_order_of_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        for (path, content) in [("b/c/d", "1"), ("a", "22"), ("b.x", ""), ("b/a", "")] {
            fs::write(dir.path().join(path), content).unwrap();
        }
        let found = walk(dir.path()).unwrap();
        let keys: Vec<_> = found
            .items
            .iter()
            .map(|item| String::from_utf8(item.key.clone()).unwrap())
            .collect();
        assert_eq!(keys, ["a", "b.x", "b/a", "b/c/d"]);
        assert_eq!(found.items[0].bytes, 2);
        assert_eq!(found.skipped, []);
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_stored_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        fs::File::create(dir.path().join("large"))
            .unwrap()
            .set_len(VALUE_BYTES_MAX as u64 + 1)
            .unwrap();
        std::os::unix::fs::symlink("large", dir.path().join("link")).unwrap();
        let found = walk(dir.path()).unwrap();
        assert!(found.items.is_empty());
        let reasons: Vec<_> = found
            .skipped
            .iter()
            .map(|skipped| skipped.reason.as_str())
            .collect();
        assert_eq!(
            reasons,
            [
                "16777217 bytes, the most for a value is 16777216",
                "not a file"
            ]
        );
        assert!(walk(&dir.path().join("none")).is_err());
    }
}
