//! What the bare program keeps: RocksDB with the node's options, and in it what a put must leave behind.
//!
//! ```text
//! object     class 3, bucket u64, key         dot, written u64 ms, request 16, value's length u32, value
//! log entry  class 3, dot                     kind u8, bucket u64, written u64 ms, request 16, key
//! clock      class 3                          highest counter of each server u64
//! dot        server u64, counter u64
//! ```
//!
//! These are as many bytes as the node's records have for one version without a history. The clock is written once for
//! each batch: there is only one.

use std::path::Path;

use quorate_core::store::Family;
use quorate_node::storage::rocks::{RocksSettings, database_options, family_options, new_cache};
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, DBPinnableSlice, Error, WriteBatch};

use super::SERVERS;

const CLASS: [u8; 3] = [3, 0, 0];
const BUCKET: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
const PUT: u8 = 1;
const DOT_BYTES: usize = 16;
/// Where the request's number and the value's length stand.
const REQUEST: usize = 24;
const LENGTH: usize = 40;
/// Of an object's record in front of the value.
pub(super) const HEADER_BYTES: usize = 44;

/// Names a write: the later one has the higher counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dot {
    pub(super) counter: u64,
    pub(super) server: u64,
}

impl Dot {
    pub(super) fn bytes(self) -> [u8; DOT_BYTES] {
        let mut bytes = [0; DOT_BYTES];
        bytes[..8].copy_from_slice(&self.server.to_be_bytes());
        bytes[8..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// Of an object's record; the lowest of all where there is none.
    pub(super) fn of(record: &[u8]) -> Self {
        let word = |place: usize| {
            let bytes = record.get(place..place + 8);
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_be_bytes)
        };
        Self {
            server: word(0),
            counter: word(8),
        }
    }
}

/// What an object is stored under.
pub(super) fn object_key(key: &[u8]) -> Vec<u8> {
    [&CLASS[..], &BUCKET, key].concat()
}

/// The front of an object's record.
pub(super) fn header(
    dot: Dot,
    written_ms: u64,
    request: u32,
    value_bytes: usize,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..DOT_BYTES].copy_from_slice(&dot.bytes());
    header[DOT_BYTES..REQUEST].copy_from_slice(&written_ms.to_be_bytes());
    header[LENGTH - 4..LENGTH].copy_from_slice(&request.to_be_bytes());
    let length = u32::try_from(value_bytes).unwrap_or(u32::MAX);
    header[LENGTH..].copy_from_slice(&length.to_be_bytes());
    header
}

/// The highest counter of each server whose writes are here.
pub(super) type Clock = [u64; SERVERS];

/// The database.
pub(super) struct Store {
    db: DB,
}

/// The writes of one inbox, and a buffer for all of them.
#[derive(Default)]
pub(super) struct Writes {
    batch: WriteBatch,
    record: Vec<u8>,
}

impl Store {
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, Error> {
        let settings = RocksSettings {
            cache_bytes,
            ..RocksSettings::default()
        };
        let cache = new_cache(cache_bytes);
        let mut options = database_options(settings);
        options.create_missing_column_families(true);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache))
        });
        Ok(Self {
            db: DB::open_cf_descriptors(&options, path, families)?,
        })
    }

    /// The records of objects, in the order of their keys.
    pub(super) fn read<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<Option<DBPinnableSlice<'_>>>, Error> {
        let objects = self.family(Family::Objects);
        let found = self.db.batched_multi_get_cf(objects, keys, false);
        found.into_iter().collect()
    }

    /// Adds the record of an object.
    pub(super) fn add_object(&self, writes: &mut Writes, key: &[u8], record: &[&[u8]]) {
        writes.record.clear();
        record
            .iter()
            .for_each(|part| writes.record.extend_from_slice(part));
        let objects = self.family(Family::Objects);
        writes.batch.put_cf(objects, key, &writes.record);
    }

    /// Adds the log entry of the write whose record begins so, and counts it in the clock.
    pub(super) fn add_entry(
        &self,
        writes: &mut Writes,
        clock: &mut Clock,
        key: &[u8],
        header: &[u8; HEADER_BYTES],
    ) {
        let mut log_key = [0; CLASS.len() + DOT_BYTES];
        log_key[..CLASS.len()].copy_from_slice(&CLASS);
        log_key[CLASS.len()..].copy_from_slice(&header[..DOT_BYTES]);
        let entry = &mut writes.record;
        entry.clear();
        entry.push(PUT);
        entry.extend_from_slice(&BUCKET);
        entry.extend_from_slice(&header[DOT_BYTES..LENGTH]);
        entry.extend_from_slice(key.get(CLASS.len() + BUCKET.len()..).unwrap_or(key));
        let log = self.family(Family::Log);
        writes.batch.put_cf(log, log_key, &entry);
        let dot = Dot::of(header);
        let server = usize::try_from(dot.server).unwrap_or(usize::MAX);
        if let Some(counter) = clock.get_mut(server) {
            *counter = dot.counter.max(*counter);
        }
    }

    /// Writes everything at once, unsynced as the node does by default.
    pub(super) fn commit(&self, writes: &mut Writes, clock: &Clock) -> Result<(), Error> {
        if writes.batch.is_empty() {
            return Ok(());
        }
        let clock = clock.map(u64::to_be_bytes);
        let vnodes = self.family(Family::Vnodes);
        writes.batch.put_cf(vnodes, CLASS, clock.as_flattened());
        self.db.write(std::mem::take(&mut writes.batch))
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        let found = self.db.cf_handle(family.name());
        found.unwrap_or_else(|| unreachable!("all families were made at opening"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_leaves_behind_an_object_a_log_entry_and_the_clock() {
        let dir = tempfile::tempdir().unwrap_or_else(|error| unreachable!("{error}"));
        let store =
            Store::open(dir.path(), 1 << 20).unwrap_or_else(|error| unreachable!("{error}"));
        let (key, mut clock) = (object_key(b"key"), Clock::default());
        let dot = Dot {
            server: 2,
            counter: 7,
        };
        let header = header(dot, 1, 5, 5);
        let mut writes = Writes::default();
        store.add_object(&mut writes, &key, &[&header, b"value"]);
        store.add_entry(&mut writes, &mut clock, &key, &header);
        assert_eq!(store.commit(&mut writes, &clock), Ok(()));
        let count = |family| {
            let all = store
                .db
                .iterator_cf(store.family(family), rocksdb::IteratorMode::Start);
            all.count()
        };
        let left = [Family::Objects, Family::Log, Family::Vnodes].map(count);
        assert_eq!((left, clock), ([1, 1, 1], [0, 0, 7]));
        let found = store.read([&key[..], b"other"].into_iter());
        let found = found.unwrap_or_default();
        let record = found[0].as_deref().unwrap_or_default();
        assert_eq!(
            (Dot::of(record), &record[HEADER_BYTES..]),
            (dot, &b"value"[..])
        );
        assert!(found[1].is_none());
    }

    #[test]
    fn the_later_write_has_the_higher_counter_and_nothing_is_older_than_all() {
        let dot = |server, counter| Dot { server, counter };
        assert!(dot(0, 2) > dot(2, 1) && dot(2, 1) > dot(1, 1));
        assert_eq!(Dot::of(&[]), Dot::default());
    }
}
