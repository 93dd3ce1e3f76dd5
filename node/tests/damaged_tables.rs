//! RocksDB with damaged tables: what cannot be read is left out, and whose it was is marked.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_core::record::keys;
use quorate_core::store::{Batch, Family, Store, StoreError, Write};
use quorate_node::storage::Storage;
use quorate_node::storage::rocks::{Rocks, RocksSettings};
use quorate_protocol::StorageId;
use quorate_ring::{BucketId, Class, PartitionId};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn open(path: &Path) -> Rocks {
    let settings = RocksSettings {
        cache_bytes: 8 << 20,
        open_files_max: 64,
    };
    Rocks::open(path, StorageId::new(7), settings).unwrap()
}

const PARTITIONS: u16 = 64;
const KEYS: u16 = 40;

fn class(partition: u16) -> Class {
    Class {
        n: 3,
        partition: PartitionId::new(partition),
    }
}

fn object_key(partition: u16, number: u16) -> Vec<u8> {
    let name = format!("key-{number}");
    keys::object_key(class(partition), BucketId::new(1), name.as_bytes())
}

fn value(partition: u16, number: u16) -> Bytes {
    let mut bytes = vec![0; 300];
    ChaCha8Rng::seed_from_u64(u64::from(partition) << 16 | u64::from(number))
        .fill_bytes(&mut bytes);
    bytes.into()
}

fn put(family: Family, key: Vec<u8>, value: Bytes) -> Write {
    Write::Put { family, key, value }
}

/// A closed database of many objects in tables.
fn fill(path: &Path) {
    let rocks = open(path);
    for partition in 0..PARTITIONS {
        let objects = (0..KEYS).map(|number| {
            let (key, value) = (object_key(partition, number), value(partition, number));
            put(Family::Objects, key, value)
        });
        let vnode = put(
            Family::Vnodes,
            keys::vnode_key(class(partition)),
            Bytes::new(),
        );
        let writes = objects.chain([vnode]).collect();
        rocks.commit(&Batch { writes }).unwrap();
    }
    drop(rocks);
    drop(open(path)); // writes the replayed log out as tables
}

/// Flips a byte every so many bytes of the largest table, but for its end.
fn damage(path: &Path, every: usize, spared: usize) -> usize {
    let tables = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let tables = tables.filter(|path| path.extension().is_some_and(|end| end == "sst"));
    let largest = tables.max_by_key(|path| fs::metadata(path).unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let places = (every / 2..bytes.len() - spared).step_by(every);
    let flipped = places.map(|at| bytes[at] ^= 0x55).count();
    fs::write(largest, bytes).unwrap();
    flipped
}

fn scan_all(rocks: &Rocks) -> Result<(), StoreError> {
    let mut visit = |_: &[u8], _: &[u8]| ControlFlow::Continue(());
    rocks.scan(Family::Objects, &[], &[u8::MAX], &mut visit)
}

/// Entries in all families.
fn entries(rocks: &Rocks) -> usize {
    let mut entries = 0;
    for family in Family::ALL {
        let mut visit = |_: &[u8], _: &[u8]| {
            entries += 1;
            ControlFlow::Continue(())
        };
        rocks.scan(family, &[], &[u8::MAX; 8], &mut visit).unwrap();
    }
    entries
}

fn is_marked(rocks: &Rocks, partition: u16) -> bool {
    let key = keys::lost_key(class(partition));
    rocks.get(Family::Vnodes, &key).unwrap().is_some()
}

#[test]
fn damage_that_was_met_is_left_out_at_reopening_and_its_vnodes_are_marked() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let flipped = damage(dir.path(), 64 << 10, 32 << 10);
    assert!(flipped > 4, "{flipped}");
    let rocks = open(dir.path());
    assert!(!rocks.is_damaged());
    assert!(matches!(scan_all(&rocks), Err(StoreError::Damaged { .. })));
    assert!(rocks.is_damaged());
    rocks.reopen().unwrap();
    assert!(!rocks.is_damaged());
    assert_eq!(rocks.gaps(), 1);
    assert_eq!(scan_all(&rocks), Ok(()));
    let mut missing = 0;
    for partition in 0..PARTITIONS {
        for number in 0..KEYS {
            let found = rocks.get(Family::Objects, &object_key(partition, number));
            if let Some(found) = found.unwrap() {
                assert_eq!(found, value(partition, number));
            } else {
                assert!(is_marked(&rocks, partition), "{partition}");
                missing += 1;
            }
        }
    }
    // A block of 8 KiB holds 26 of them at most.
    assert!(
        (flipped..=27 * flipped).contains(&missing),
        "{missing} of {flipped}"
    );
    let marked = (0..PARTITIONS).filter(|&partition| is_marked(&rocks, partition));
    assert!((1..=2 * flipped).contains(&marked.count()));
    let before = entries(&rocks);
    rocks
        .commit(&Batch {
            writes: vec![put(Family::Objects, vec![1], Bytes::new())],
        })
        .unwrap();
    drop(rocks);
    let rocks = open(dir.path());
    assert!(!rocks.is_damaged() && scan_all(&rocks).is_ok());
    assert_eq!(entries(&rocks), before + 1);
}

#[test]
fn damage_behind_cached_blocks_is_met_once_the_cache_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let rocks = open(dir.path());
    assert_eq!(scan_all(&rocks), Ok(()));
    damage(dir.path(), 64 << 10, 32 << 10);
    assert_eq!(scan_all(&rocks), Ok(()), "the cache answers");
    rocks.forget_cached();
    assert!(matches!(scan_all(&rocks), Err(StoreError::Damaged { .. })));
    assert!(rocks.is_damaged());
}

#[test]
fn a_table_of_which_no_block_can_be_read_marks_all_its_vnodes() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    damage(dir.path(), 2 << 10, 16 << 10);
    let rocks = open(dir.path());
    assert!(scan_all(&rocks).is_err());
    rocks.reopen().unwrap();
    assert_eq!(scan_all(&rocks), Ok(()));
    // The end of the table was spared: filters, index, the last vnode.
    for partition in 0..PARTITIONS - 1 {
        let key = object_key(partition, 7);
        assert_eq!(rocks.get(Family::Objects, &key), Ok(None));
        assert!(is_marked(&rocks, partition), "{partition}");
    }
}

/// The largest table file.
fn largest_table(path: &Path) -> PathBuf {
    let files = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|end| end == "sst"));
    tables
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap()
}

/// A second, small table beside the first.
fn add_a_table(path: &Path) {
    let rocks = open(path);
    let writes = (0..PARTITIONS)
        .map(|partition| {
            let (key, value) = (object_key(partition, KEYS), value(partition, KEYS));
            put(Family::Objects, key, value)
        })
        .collect();
    rocks.commit(&Batch { writes }).unwrap();
    drop(rocks);
    drop(open(path));
}

/// Of the first table nothing is left; the second is whole, and every vnode knows that it lost something.
fn assert_only_the_first_table_is_lost(rocks: &Rocks) {
    assert_eq!(scan_all(rocks), Ok(()));
    for partition in 0..PARTITIONS {
        let found = |number| {
            rocks
                .get(Family::Objects, &object_key(partition, number))
                .unwrap()
        };
        assert_eq!(found(7), None);
        assert_eq!(found(KEYS), Some(value(partition, KEYS)));
        assert!(is_marked(rocks, partition), "{partition}");
        let vnode = keys::vnode_key(class(partition));
        assert!(rocks.get(Family::Vnodes, &vnode).unwrap().is_some());
    }
}

#[test]
fn a_table_that_is_gone_or_cannot_be_opened_is_left_out_alone_and_all_vnodes_are_marked() {
    let gone: fn(&Path) = |table| fs::remove_file(table).unwrap();
    let short: fn(&Path) = |table| {
        let length = fs::metadata(table).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(table).unwrap();
        file.set_len(length / 2).unwrap();
    };
    let without_index: fn(&Path) = |table| {
        let mut bytes = fs::read(table).unwrap();
        let end = bytes.len();
        (end - 8000..end)
            .step_by(40)
            .for_each(|at| bytes[at] ^= 0x55);
        fs::write(table, bytes).unwrap();
    };
    for harm in [gone, short, without_index] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        fill(&path);
        add_a_table(&path);
        harm(&largest_table(&path));
        let rocks = open(&path);
        assert_only_the_first_table_is_lost(&rocks);
        let more = vec![put(Family::Objects, vec![1], Bytes::new())];
        rocks.commit(&Batch { writes: more }).unwrap();
        drop(rocks);
        assert_only_the_first_table_is_lost(&open(&path));
        let beside = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(beside, 1, "nothing is left of the repair");
    }
}

#[test]
fn a_repair_that_was_cut_short_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    fill(&path);
    fs::write(path.with_extension("repairing"), b"").unwrap();
    let rocks = open(&path);
    assert_eq!(scan_all(&rocks), Ok(()));
    assert!((0..PARTITIONS).all(|partition| is_marked(&rocks, partition)));
    assert!(!path.with_extension("repairing").exists());
}

#[test]
fn a_table_that_goes_while_it_is_open_is_noticed_and_left_out_at_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    fill(&path);
    add_a_table(&path);
    let rocks = open(&path);
    rocks.check_files();
    assert!(!rocks.is_damaged());
    fs::remove_file(largest_table(&path)).unwrap();
    rocks.check_files();
    assert!(rocks.is_damaged());
    rocks.reopen().unwrap();
    assert!(!rocks.is_damaged());
    assert!(rocks.gaps() > 0);
    assert_only_the_first_table_is_lost(&rocks);
    rocks.check_files();
    assert!(!rocks.is_damaged());
}
