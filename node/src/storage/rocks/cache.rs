//! The cache of blocks.
//!
//! Filters and indexes of tables lie in it, one block each. With small values those of a table of 64 MiB have
//! nearly a megabyte each, and what does not fit into a part of the cache is never kept. RocksDB by itself makes
//! parts of 512 KiB where the cache is small: then every point read reads filter and index from the file, checks
//! and unpacks them. Measured at 600,000 objects: 220 deletes a second instead of 4,900.

use rocksdb::{Cache, LruCacheOptions};

/// Bytes of one part, each with a lock of its own, unless the whole cache is smaller.
const PART_BYTES_MIN: usize = 32 << 20;
/// Two to this power is the most parts: few threads read.
const PART_BITS_MAX: u32 = 4;

/// A cache of so many bytes.
#[must_use]
pub fn new_cache(bytes: usize) -> Cache {
    let mut options = LruCacheOptions::default();
    options.set_capacity(bytes);
    // At most PART_BITS_MAX.
    options.set_num_shard_bits(i32::try_from(part_bits(bytes)).unwrap_or(0));
    Cache::new_lru_cache_opts(&options)
}

/// Drops every block that nobody reads at this moment. Index and filter blocks of the youngest level stay: each table
/// holds its own for as long as it is open.
pub(super) fn empty(cache: &Cache, bytes: usize) {
    let mut cache = cache.clone();
    cache.set_capacity(0);
    cache.set_capacity(bytes);
}

fn part_bits(bytes: usize) -> u32 {
    (bytes / PART_BYTES_MIN).max(1).ilog2().min(PART_BITS_MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ops::ControlFlow;

    use quorate_core::store::{Family, Store};
    use quorate_protocol::StorageId;
    use rocksdb::WriteBatch;

    use super::*;
    use crate::storage::rocks::RocksSettings;
    use crate::storage::rocks::open::{Compactions, Opened};

    const KEYS: u32 = 600_000;
    /// Ten bits a key.
    const FILTER_BYTES: usize = 750_000;

    fn open(path: &std::path::Path, cache: &Cache) -> Opened {
        let (owner, settings) = (StorageId::new(7), RocksSettings::default());
        Opened::open(path, owner, settings, cache, Compactions::Off).unwrap()
    }

    /// One table of many small objects.
    fn fill(path: &std::path::Path) {
        let opened = open(path, &new_cache(8 << 20));
        let column = opened.column(Family::Objects).unwrap();
        let mut batch = WriteBatch::default();
        (0..KEYS).for_each(|key| batch.put_cf(column, key.to_be_bytes(), b""));
        opened.db.write_without_wal(batch).unwrap();
        opened.db.flush_cf(column).unwrap();
        let whole = (None::<&[u8]>, None::<&[u8]>);
        opened.db.compact_range_cf(column, whole.0, whole.1);
    }

    #[test]
    fn an_emptied_cache_keeps_no_data_and_its_size() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let cache = new_cache(8 << 20);
        let opened = open(dir.path(), &cache);
        let read = || {
            let all = opened.scan(Family::Objects, &[], &[0xff; 8], &mut |_, _| {
                ControlFlow::Continue(())
            });
            all.unwrap();
            cache.get_usage()
        };
        let full = read();
        empty(&cache, 8 << 20);
        assert!(
            cache.get_usage() < full / 2,
            "{} of {full}",
            cache.get_usage()
        );
        assert_eq!(read(), full);
    }

    #[test]
    fn the_filter_of_a_large_table_is_kept_in_the_smallest_cache() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let cache = new_cache(8 << 20);
        let opened = open(dir.path(), &cache);
        let found = opened.get(Family::Objects, &7u32.to_be_bytes()).unwrap();
        assert!(found.is_some());
        let used = cache.get_usage();
        assert!(used > FILTER_BYTES, "{used}");
    }

    #[test]
    fn parts_are_few_and_large() {
        let parts = [0, 8 << 20, 64 << 20, 256 << 20, 1 << 40].map(part_bits);
        assert_eq!(parts, [0, 0, 1, 3, PART_BITS_MAX]);
    }
}
