//! What every storage must do, by one random list of operations against each of them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_core::store::{Batch, Family, Write};
use quorate_node::storage::Storage;
use quorate_node::storage::memory::Memory;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Content = Vec<(Family, Vec<u8>, Bytes)>;

fn random_key(random: &mut impl Rng) -> Vec<u8> {
    // Few and short keys, so that they meet again; all byte values, so that order matters.
    (0..random.random_range(0..3))
        .map(|_| [0, 1, 0x7f, 0x80, 0xff][random.random_range(0..5)])
        .collect()
}

fn random_batch(random: &mut impl Rng) -> Batch {
    let writes = (0..random.random_range(1..12)).map(|_| {
        let family = Family::ALL[random.random_range(0..Family::ALL.len())];
        let key = random_key(random);
        let choice = random.random_range(0..16);
        if choice == 0 {
            let other = random_key(random);
            let (from, to) = (key.clone().min(other.clone()), key.max(other));
            Write::Clear { family, from, to }
        } else if choice < 4 {
            Write::Delete { family, key }
        } else {
            let value = vec![random.random(); random.random_range(0..200)];
            Write::Put {
                family,
                key,
                value: value.into(),
            }
        }
    });
    Batch {
        writes: writes.collect(),
    }
}

/// Everything in a storage, by scans whose bounds together cover all short keys.
fn content(store: &impl Storage) -> Content {
    let mut all = Vec::new();
    for family in Family::ALL {
        let mut visit = |key: &[u8], value: &[u8]| {
            all.push((family, key.to_vec(), Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        };
        store.scan(family, &[], &[0x80], &mut visit).unwrap();
        store.scan(family, &[0x80], &[0xff; 8], &mut visit).unwrap();
    }
    all
}

fn check_same_reads(one: &impl Storage, other: &impl Storage, random: &mut impl Rng) {
    for _ in 0..10 {
        let family = Family::ALL[random.random_range(0..Family::ALL.len())];
        let key = random_key(random);
        assert_eq!(one.get(family, &key), other.get(family, &key));
        let (from, to, limit) = (
            random_key(random),
            random_key(random),
            random.random_range(1..6),
        );
        assert_eq!(
            first(one, family, &from, &to, limit),
            first(other, family, &from, &to, limit)
        );
    }
}

fn first(
    store: &impl Storage,
    family: Family,
    from: &[u8],
    to: &[u8],
    limit: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    store
        .scan(family, from, to, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            if seen.len() == limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
    assert!(
        seen.iter()
            .all(|(key, _)| from <= key.as_slice() && key.as_slice() < to)
    );
    seen
}

#[test]
fn a_scan_visits_every_entry_once_in_order_and_its_visitor_may_read() {
    let store = Memory::new();
    let keys: Vec<Vec<u8>> = (0..1000u16)
        .map(|number| number.to_be_bytes().to_vec())
        .collect();
    let writes = keys.iter().map(|key| Write::Put {
        family: Family::Log,
        key: key.clone(),
        value: Bytes::copy_from_slice(key),
    });
    store
        .commit(&Batch {
            writes: writes.collect(),
        })
        .unwrap();
    let mut seen = Vec::new();
    quorate_core::store::Store::scan(&store, Family::Log, &[], &[0xff], &mut |key, value| {
        assert_eq!(
            quorate_core::store::Store::get(&store, Family::Log, key)
                .unwrap()
                .unwrap(),
            value
        );
        seen.push(key.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen, keys);
}

mod rocks {
    use std::fs::{self, OpenOptions};
    use std::path::{Path, PathBuf};

    use quorate_core::store::{Store, StoreError};
    use quorate_node::storage::rocks::{OpenError, Rocks, RocksSettings};
    use quorate_protocol::StorageId;

    use super::*;

    const OWNER: StorageId = StorageId::new(7);

    fn open(path: &Path) -> Rocks {
        Rocks::open(
            path,
            OWNER,
            RocksSettings {
                cache_bytes: 8 << 20,
                open_files_max: 64,
            },
        )
        .unwrap()
    }

    fn logs(path: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut logs: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .collect();
        logs.sort();
        logs
    }

    /// A copy of the files as a killed process leaves them.
    fn copy_files(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "LOCK" {
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }

    #[test]
    fn after_a_flush_the_log_holds_nothing_and_the_tables_everything() {
        let dir = tempfile::tempdir().unwrap();
        let rocks = open(dir.path());
        let write = |number: u8, family| Write::Put {
            family,
            key: vec![number],
            value: vec![number; 10_000].into(),
        };
        for number in 0..100 {
            let writes = Family::ALL.map(|family| write(number, family));
            let writes = writes.into_iter().collect();
            rocks.commit(&Batch { writes }).unwrap();
        }
        rocks.sync().unwrap();
        let bytes_of_logs = || -> u64 {
            let sizes = logs(dir.path()).into_iter();
            sizes.map(|log| fs::metadata(log).unwrap().len()).sum()
        };
        let before = (bytes_of_logs(), content(&rocks));
        rocks.flush().unwrap();
        drop(rocks);
        assert!(before.0 > 1 << 20);
        assert!(bytes_of_logs() < 1 << 10, "{}", bytes_of_logs());
        assert_eq!(content(&open(dir.path())), before.1);
    }

    #[test]
    fn memory_and_rocksdb_answer_the_same_also_after_reopening() {
        for seed in 0..8 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let dir = tempfile::tempdir().unwrap();
            let memory = Memory::new();
            let mut rocks = open(dir.path());
            for round in 0..60 {
                let batch = random_batch(&mut random);
                memory.commit(&batch).unwrap();
                rocks.commit(&batch).unwrap();
                check_same_reads(&memory, &rocks, &mut random);
                if round % 20 == 19 {
                    rocks.sync().unwrap();
                    drop(rocks);
                    rocks = open(dir.path());
                }
            }
            assert_eq!(content(&memory), content(&rocks));
        }
    }

    /// The log is cut at random bytes, or its end is overwritten, as a power cut may leave it: what
    /// is there after the restart is the state after some batch, and none before the cut is missing.
    #[test]
    fn a_torn_tail_loses_whole_batches_from_the_end_only() {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        let mut random = ChaCha8Rng::seed_from_u64(99);
        let rocks = open(&live);
        let memory = Memory::new();
        let mut states = vec![content(&memory)];
        let mut lengths = vec![0];
        for _ in 0..40 {
            let batch = random_batch(&mut random);
            rocks.commit(&batch).unwrap();
            memory.commit(&batch).unwrap();
            states.push(content(&memory));
            lengths.push(
                logs(&live)
                    .iter()
                    .map(|log| fs::metadata(log).unwrap().len())
                    .sum(),
            );
        }
        assert_eq!(
            logs(&live).len(),
            1,
            "one log file, so that lengths are positions in it"
        );
        for trial in 0..30 {
            let torn = dir.path().join(format!("torn{trial}"));
            copy_files(&live, &torn);
            let log = logs(&torn).pop().unwrap();
            let at = random.random_range(0..=lengths[40]);
            let file = OpenOptions::new().write(true).open(&log).unwrap();
            if trial % 2 == 0 {
                file.set_len(at).unwrap();
            } else {
                overwrite_from(&log, at);
            }
            let whole = lengths.iter().rposition(|&length| length <= at).unwrap();
            let found = content(&open(&torn));
            assert_eq!(
                found, states[whole],
                "cut at {at}: the state after batch {whole} was expected"
            );
        }
    }

    fn overwrite_from(log: &Path, at: u64) {
        let mut bytes = fs::read(log).unwrap();
        for byte in &mut bytes[usize::try_from(at).unwrap()..] {
            *byte ^= 0x5a;
        }
        fs::write(log, bytes).unwrap();
    }

    #[test]
    fn what_a_killed_process_committed_is_there_without_a_sync() {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        let rocks = open(&live);
        let batch = random_batch(&mut ChaCha8Rng::seed_from_u64(5));
        rocks.commit(&batch).unwrap();
        let killed = dir.path().join("killed");
        copy_files(&live, &killed);
        assert_eq!(content(&open(&killed)), content(&rocks));
    }

    #[test]
    fn damaged_table_files_are_reported_as_damage_and_never_as_absence() {
        let dir = tempfile::tempdir().unwrap();
        let rocks = open(dir.path());
        // Found nowhere else in the file.
        let key = vec![0xa7, 0xb3, 0xc1, 0xd9, 0xe5, 0xf1];
        let value = Bytes::from(vec![7; 300]);
        rocks
            .commit(&Batch {
                writes: vec![Write::Put {
                    family: Family::Objects,
                    key: key.clone(),
                    value,
                }],
            })
            .unwrap();
        drop(rocks);
        // Opening writes the replayed log out as a table.
        drop(open(dir.path()));
        let tables = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let tables: Vec<PathBuf> = tables
            .filter(|path| path.extension().is_some_and(|end| end == "sst"))
            .collect();
        let mut flipped = 0;
        for table in tables {
            let mut bytes = fs::read(&table).unwrap();
            if let Some(at) = bytes.windows(key.len()).position(|window| window == key) {
                bytes[at + key.len()] ^= 0xff;
                fs::write(&table, bytes).unwrap();
                flipped += 1;
            }
        }
        assert!(flipped > 0, "the table with the key was found");
        let rocks = open(dir.path());
        let damaged = |error: StoreError| {
            matches!(
                error,
                StoreError::Damaged {
                    family: "objects",
                    ..
                }
            )
        };
        assert!(rocks.get(Family::Objects, &key).is_err_and(damaged));
        let scanned = rocks.scan(Family::Objects, &[], &[0xff], &mut |_, _| {
            ControlFlow::Continue(())
        });
        assert!(scanned.is_err_and(damaged));
    }

    #[test]
    fn another_storages_database_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let other = StorageId::new(8);
        let error = Rocks::open(dir.path(), other, RocksSettings::default()).unwrap_err();
        assert!(
            matches!(&error, OpenError::Foreign { expected, .. } if *expected == other),
            "{error}"
        );
        assert!(error.to_string().contains("0000000000000007"), "{error}");
    }

    #[test]
    fn a_damaged_manifest_is_an_error_and_no_step_back_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        let rocks = open(&live);
        rocks
            .commit(&random_batch(&mut ChaCha8Rng::seed_from_u64(6)))
            .unwrap();
        rocks.sync().unwrap();
        drop(rocks);
        for entry in fs::read_dir(&live).unwrap() {
            let path = entry.unwrap().path();
            if path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("MANIFEST")
            {
                fs::write(&path, b"no manifest").unwrap();
            }
        }
        let error = Rocks::open(&live, OWNER, RocksSettings::default()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_database_damaged_beyond_opening_is_set_aside_once_and_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let (path, aside) = (dir.path().join("db"), dir.path().join("db.damaged"));
        let open = || Rocks::open_or_set_aside(&path, &aside, OWNER, RocksSettings::default());
        let (rocks, damage) = open().unwrap();
        assert!(damage.is_none());
        rocks
            .commit(&random_batch(&mut ChaCha8Rng::seed_from_u64(8)))
            .unwrap();
        drop(rocks);
        let current = fs::read_to_string(path.join("CURRENT")).unwrap();
        fs::write(path.join(current.trim()), b"no manifest").unwrap();
        let (rocks, damage) = open().unwrap();
        assert!(
            matches!(damage, Some(OpenError::Damaged { .. })),
            "{damage:?}"
        );
        assert!(content(&rocks).is_empty());
        assert_eq!(
            fs::read(aside.join(current.trim())).unwrap(),
            b"no manifest"
        );
        drop(rocks);
        let current = fs::read_to_string(path.join("CURRENT")).unwrap();
        fs::write(path.join(current.trim()), b"again").unwrap();
        assert!(matches!(open(), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn a_reopened_database_has_what_was_committed() {
        let dir = tempfile::tempdir().unwrap();
        let rocks = open(dir.path());
        rocks
            .commit(&random_batch(&mut ChaCha8Rng::seed_from_u64(7)))
            .unwrap();
        let before = content(&rocks);
        rocks.reopen().unwrap();
        assert_eq!(content(&rocks), before);
    }
}
