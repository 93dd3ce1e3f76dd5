//! A tree of hashes over entries.

use xxhash_rust::xxh3::xxh3_64;

/// Keys of a leaf, about, unless somebody chooses. Fewer make a larger tree to keep and to compare; more
/// make more hashes to send for each difference.
pub const LEAF_KEYS: u64 = 1_000;
/// More leaves than this no comparison here needs.
const DEPTH_MAX: u32 = 24;

/// What a tree knows of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Hash of the key.
    pub key: u64,
    /// Hash of what is stored under it.
    pub content: u64,
    /// Where its owner finds the object; never sent.
    pub place: u32,
}

impl Entry {
    /// Bytes of an entry as it is sent.
    pub const BYTES: usize = 16;
}

/// A tree over a set of entries, all of its hashes kept.
#[derive(Clone, Debug)]
pub struct Tree {
    /// In the order of their keys.
    entries: Vec<Entry>,
    /// Where each leaf begins in `entries`; one more for the end.
    starts: Vec<usize>,
    /// From the root, one hash, down to the leaves.
    levels: Vec<Vec<u64>>,
}

/// How many levels lie below the root for leaves of about `leaf_keys` keys. Both sides need the same.
#[must_use]
pub fn depth_for(keys: u64, leaf_keys: u64) -> u32 {
    let leaves = keys.div_ceil(leaf_keys.max(1)).max(1);
    let up = leaves.checked_next_power_of_two();
    up.map_or(DEPTH_MAX, u64::ilog2).min(DEPTH_MAX)
}

impl Tree {
    /// Sorts and hashes. No two entries have the same key.
    #[must_use]
    pub fn build(mut entries: Vec<Entry>, depth: u32) -> Self {
        let depth = depth.min(DEPTH_MAX);
        entries.sort_unstable();
        let starts = starts(&entries, depth);
        let mut levels = vec![leaf_hashes(&entries, &starts)];
        for _ in 0..depth {
            // There is one level at least.
            let below = levels.last().map_or(&[][..], Vec::as_slice);
            let pairs = below.chunks_exact(2).map(|pair| hash(pair.iter().copied()));
            levels.push(pairs.collect());
        }
        levels.reverse();
        Self {
            entries,
            starts,
            levels,
        }
    }

    /// Levels below the root.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.levels.len() - 1
    }

    /// A node's hash; `level` 0 is the root.
    pub(super) fn hash(&self, level: usize, node: usize) -> u64 {
        self.levels[level][node]
    }

    /// A leaf's entries, in the order of their keys.
    pub(super) fn leaf(&self, leaf: usize) -> &[Entry] {
        &self.entries[self.starts[leaf]..self.starts[leaf + 1]]
    }
}

fn starts(entries: &[Entry], depth: u32) -> Vec<usize> {
    let mut starts = Vec::with_capacity((1 << depth) + 1);
    let mut at = 0;
    for leaf in 0..1_u64 << depth {
        starts.push(at);
        at += entries[at..].partition_point(|entry| leaf_of(entry.key, depth) <= leaf);
    }
    starts.push(at);
    starts
}

const fn leaf_of(key: u64, depth: u32) -> u64 {
    if depth == 0 { 0 } else { key >> (64 - depth) }
}

fn leaf_hashes(entries: &[Entry], starts: &[usize]) -> Vec<u64> {
    let leaves = starts.windows(2).map(|ends| &entries[ends[0]..ends[1]]);
    let hashes = leaves.map(|leaf| hash(leaf.iter().flat_map(|entry| [entry.key, entry.content])));
    hashes.collect()
}

fn hash(numbers: impl Iterator<Item = u64>) -> u64 {
    let bytes: Vec<u8> = numbers.flat_map(u64::to_be_bytes).collect();
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: u64) -> Entry {
        Entry {
            key,
            content: key,
            place: 0,
        }
    }

    #[test]
    fn leaves_share_out_all_entries_in_order() {
        let keys = [u64::MAX, 0, 1 << 63, (1 << 63) - 1, 1 << 62];
        for depth in [0, 1, 2, 5] {
            let tree = Tree::build(keys.map(entry).to_vec(), depth);
            let leaves: Vec<u64> = (0..1 << depth)
                .flat_map(|leaf| tree.leaf(leaf))
                .map(|entry| entry.key)
                .collect();
            let mut sorted = keys.to_vec();
            sorted.sort_unstable();
            assert_eq!(leaves, sorted, "depth {depth}");
            assert_eq!(tree.depth(), depth as usize);
        }
    }

    #[test]
    fn the_root_depends_on_every_entry_and_not_on_their_order() {
        let all = [3, 1 << 40, u64::MAX / 3].map(entry);
        let root = |entries: &[Entry]| Tree::build(entries.to_vec(), 3).hash(0, 0);
        let mut turned = all;
        turned.reverse();
        assert_eq!(root(&all), root(&turned));
        for left_out in 0..all.len() {
            let mut fewer = all.to_vec();
            fewer.remove(left_out);
            assert_ne!(root(&all), root(&fewer));
        }
        let mut changed = all;
        changed[1].content += 1;
        assert_ne!(root(&all), root(&changed));
    }

    #[test]
    fn a_leaf_has_about_as_many_keys_as_wanted() {
        assert_eq!(depth_for(0, LEAF_KEYS), 0);
        assert_eq!(depth_for(1_000, LEAF_KEYS), 0);
        assert_eq!(depth_for(1_001, LEAF_KEYS), 1);
        assert_eq!(depth_for(1_000_000, LEAF_KEYS), 10);
        assert_eq!(depth_for(u64::MAX, 0), DEPTH_MAX);
    }
}
