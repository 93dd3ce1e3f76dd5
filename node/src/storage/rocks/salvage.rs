//! Going on without what cannot be read any more.
//!
//! A database cannot get rid of a damaged block: to delete its keys hides it from most reads, and merging
//! tables stumbles over it and then refuses all writes. So each family that has damage is read from end
//! to end, what is readable goes into a new column family, and that one takes its place in one synced batch,
//! together with the marks for the vnodes that may have lost something ([`lost_marks`]). A crash before
//! that batch leaves everything as it was.
//!
//! # The way past a damaged block
//!
//! A cursor that meets one ends and does not say how far the damage goes. But the sizes that the
//! indexes of the tables give tell where the next block of any table begins: the size of what lies
//! between two keys grows exactly there. From block to block the cursor is tried again; what lies between
//! counts as lost, in all tables: what an older table has there may have been replaced by what is
//! damaged.

use std::collections::BTreeSet;

use quorate_core::record::keys::KeyRange;
use quorate_core::record::{Lost, lost_marks};
use quorate_core::store::{Family, StoreError, Write};
use quorate_protocol::limits::KEY_BYTES_MAX;
use rocksdb::{Cache, ColumnFamily, DB, Range, ReadOptions, WriteBatch, WriteOptions};

use super::open::{Opened, column_key, family_options, next_column, read_error, store_error};

/// Bytes of the longest storage key.
const STORAGE_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 64;
/// Behind all storage keys.
const END: [u8; 16] = [u8::MAX; 16];
/// Bytes that are written into a new column family at a time.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes read ahead.
const READAHEAD_BYTES: usize = 2 << 20;
/// Damaged blocks in a row that are left one by one. From then on steps double, so that not even a disk
/// full of them takes days.
const BLOCKS_MAX: u32 = 256;

/// Whose vnodes are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    /// Those that may have had something where nothing can be read.
    Unreadable,
    /// All.
    Everything,
}

/// Leaves out what cannot be read. Returns it; empty: everything can be. Families with damage are
/// written anew, and so are those of the names in `met`: of a damaged filter only point reads know.
///
/// # Errors
/// The database failed, or has no room for what is to be written anew: nothing was changed.
pub(super) fn leave_damage_out(
    opened: &mut Opened,
    met: &BTreeSet<&'static str>,
    suspect: Suspect,
    cache: &Cache,
) -> Result<Vec<Lost>, StoreError> {
    let mut all = Vec::new();
    let mut put_in_force = WriteBatch::default();
    let before = opened.columns.clone();
    for (slot, family) in Family::ALL.into_iter().enumerate() {
        let lost = unreadable(opened, family, &mut |_, _| Ok(()))?;
        if lost.is_empty() && !met.contains(family.name()) {
            continue;
        }
        let name = next_column(family, &before[slot]);
        copy(opened, family, &name, cache)?;
        put_in_force.put(column_key(family), &name);
        all.extend(lost.into_iter().map(|range| Lost { family, range }));
        opened.columns[slot] = name;
    }
    if suspect == Suspect::Everything {
        all.push(Lost {
            family: Family::Objects,
            range: (Vec::new(), END.to_vec()),
        });
    }
    for mark in lost_marks(opened, &all)? {
        if let Write::Put { family, key, value } = mark {
            put_in_force.put_cf(opened.column(family)?, key, value);
        }
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    opened
        .db
        .write_opt(put_in_force, &synced)
        .map_err(|error| store_error("the write-ahead log", &error))?;
    // The old column families are removed at the next opening.
    Ok(all)
}

/// Writes what is readable of a family into a new column family, durably.
fn copy(opened: &mut Opened, family: Family, name: &str, cache: &Cache) -> Result<(), StoreError> {
    let failed = |error: rocksdb::Error| store_error(family.name(), &error);
    opened
        .db
        .create_cf(name, &family_options(family, cache))
        .map_err(failed)?;
    let column = opened
        .db
        .cf_handle(name)
        .ok_or_else(|| StoreError::Failed(format!("no column family {name}")))?;
    let mut batch = WriteBatch::default();
    unreadable(opened, family, &mut |key, value| {
        batch.put_cf(column, key, value);
        if batch.size_in_bytes() < BATCH_BYTES {
            return Ok(());
        }
        opened
            .db
            .write_without_wal(std::mem::take(&mut batch))
            .map_err(failed)
    })?;
    opened.db.write_without_wal(batch).map_err(failed)?;
    opened.db.flush_cf(column).map_err(failed)
}

/// Is given what can be read.
type Take<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Reads a family from end to end. Returns the ranges in which something could not be read.
fn unreadable(
    opened: &Opened,
    family: Family,
    take: &mut Take<'_>,
) -> Result<Vec<KeyRange>, StoreError> {
    let column = opened.column(family)?;
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD_BYTES);
    let mut cursor = opened.db.raw_iterator_cf_opt(column, options);
    let mut lost: Vec<KeyRange> = Vec::new();
    let mut from = Vec::new();
    cursor.seek_to_first();
    loop {
        while let Some((key, value)) = cursor.item() {
            take(key, value)?;
            from.clear();
            from.extend_from_slice(key);
            from.push(0);
            cursor.next();
        }
        match cursor
            .status()
            .map_err(|error| read_error(family.name(), &error))
        {
            Ok(()) => return Ok(lost),
            Err(error @ StoreError::Failed(_)) => return Err(error),
            Err(StoreError::Damaged { .. }) => {}
        }
        // Where the cursor stands in the damage is not known: `from` is the last that is.
        let start = from.clone();
        let mut blocks = 0;
        loop {
            from = next_block(&opened.db, column, &from, step_bytes(blocks));
            blocks = blocks.saturating_add(1);
            if from.as_slice() >= &END[..] {
                lost.push((start, END.to_vec()));
                return Ok(lost);
            }
            cursor.seek(&from);
            match cursor
                .status()
                .map_err(|error| read_error(family.name(), &error))
            {
                Ok(()) => break,
                Err(error @ StoreError::Failed(_)) => return Err(error),
                Err(StoreError::Damaged { .. }) => {}
            }
        }
        lost.push((start, from.clone()));
    }
}

/// Bytes of tables to go over after so many damaged blocks in a row.
const fn step_bytes(blocks: u32) -> u64 {
    match blocks.checked_sub(BLOCKS_MAX) {
        None => 0,
        Some(more) => 1 << (if more < 40 { more } else { 40 }),
    }
}

/// The first key behind which more than so many bytes of tables lie since `from`: the beginning of
/// another block.
fn next_block(db: &DB, column: &ColumnFamily, from: &[u8], step_bytes: u64) -> Vec<u8> {
    // The sizes come from the tables' indexes. Looking something up keeps those in the cache; sizes do not.
    db.raw_iterator_cf(column).seek(from);
    let bytes_to = |key: &[u8]| {
        let sizes = db.get_approximate_sizes_cf(column, &[Range::new(from, key)]);
        sizes.first().copied().unwrap_or(0)
    };
    first_beyond(from, |key| bytes_to(key) <= step_bytes)
}

/// The first key at which `near` does not hold any more, where it holds up to some key and not
/// beyond. It holds up to `from`; [`END`] if it holds everywhere.
fn first_beyond(from: &[u8], near: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let near = |key: &[u8]| key <= from || near(key);
    if near(&END) {
        return END.to_vec();
    }
    let mut last: Vec<u8> = Vec::new();
    while last.len() < STORAGE_KEY_BYTES_MAX {
        let with = |byte: u8| [&last[..], &[byte]].concat();
        if !near(&with(0)) {
            break;
        }
        // The greatest byte at which it holds still: 0 is one. Mostly it is that of `from`, or the next.
        let (mut low, mut high) = (0, u8::MAX);
        let guess = from.get(last.len()).copied().unwrap_or(0);
        if near(&with(guess)) {
            low = guess;
            if guess < u8::MAX && !near(&with(guess + 1)) {
                high = guess;
            }
        } else {
            high = guess.saturating_sub(1);
        }
        while low < high {
            let middle = high - (high - low) / 2;
            if near(&with(middle)) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        last.push(low);
    }
    let mut beyond = last.max(from.to_vec());
    beyond.push(0);
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_beyond_is_found_byte_by_byte() {
        let from = b"bb\0";
        for last in [
            &b"bb\0"[..],
            b"bb\0\0",
            b"bc",
            b"key-17",
            b"yzz\xff\xff",
            b"c",
        ] {
            let found = first_beyond(from, |key| key <= last);
            assert_eq!(found, [last, &[0]].concat());
        }
        assert_eq!(first_beyond(from, |_| true), END);
    }

    #[test]
    fn steps_stay_at_a_block_until_there_are_many_and_double_from_then_on() {
        assert_eq!((step_bytes(0), step_bytes(BLOCKS_MAX - 1)), (0, 0));
        assert_eq!(step_bytes(BLOCKS_MAX + 10), 1024);
        assert_eq!(step_bytes(u32::MAX), 1 << 40);
    }
}
