//! Silent damage of a node's database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One byte of so many is flipped.
const EVERY_BYTES: usize = 4 << 10;
/// The end of a table is spared: its index and properties, without which it cannot be opened at all.
const SPARED_BYTES: usize = 8 << 10;

/// Flips bytes in every table of a database that nobody uses. Returns how many.
///
/// # Errors
/// The file system refuses.
pub fn damage_tables(data: &Path) -> io::Result<usize> {
    let mut flipped = 0;
    for table in tables(data)? {
        let mut bytes = fs::read(&table)?;
        for at in (0..bytes.len().saturating_sub(SPARED_BYTES)).step_by(EVERY_BYTES) {
            bytes[at] ^= 0x55;
            flipped += 1;
        }
        fs::write(&table, bytes)?;
    }
    Ok(flipped)
}

/// Removes the largest table of a database.
///
/// # Errors
/// The file system refuses, or there is no table.
pub fn remove_table(data: &Path) -> io::Result<()> {
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    let largest = tables(data)?.into_iter().max_by_key(size);
    fs::remove_file(largest.ok_or(io::ErrorKind::NotFound)?)
}

/// The table files of a database.
fn tables(data: &Path) -> io::Result<Vec<PathBuf>> {
    let files = fs::read_dir(data.join("db"))?
        .flatten()
        .map(|entry| entry.path());
    Ok(files
        .filter(|path| path.extension().is_some_and(|ending| ending == "sst"))
        .collect())
}
