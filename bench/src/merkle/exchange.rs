//! Two sides find out what differs. Every hash goes through a buffer of bytes, as it would be sent.

use std::cmp::Ordering;

use quorate_protocol::frame::HEADER_BYTES;

use super::tree::{Entry, Tree};

/// What is sent while the differences are looked for, objects not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages, each with a frame's header. A pair of them is a round trip.
    pub messages: u64,
    /// Bytes of tree hashes and of the answers which of them differ.
    pub tree_bytes: u64,
    /// Bytes of key and content hashes of leaves that differ.
    pub leaf_bytes: u64,
}

impl Traffic {
    fn message(&mut self, bytes: &[u8], of: impl FnOnce(&mut Self) -> &mut u64) {
        self.messages += 1;
        *of(self) += bytes.len() as u64;
    }

    /// Everything, headers included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.messages * HEADER_BYTES as u64 + self.tree_bytes + self.leaf_bytes
    }
}

/// One key that is not the same on both sides: where each side's object is, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The asker's.
    pub mine: Option<u32>,
    /// The other side's.
    pub theirs: Option<u32>,
}

/// What an exchange found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What was sent to find it.
    pub traffic: Traffic,
    /// Leaves that differ.
    pub leaves: u64,
    /// Keys that differ, in the order of their hashes.
    pub differences: Vec<Difference>,
}

/// Compares two trees of equal depth; `mine` asks.
///
/// # Panics
/// Their depths differ.
#[must_use]
pub fn exchange(mine: &Tree, theirs: &Tree) -> Found {
    assert_eq!(mine.depth(), theirs.depth(), "trees over the same ranges");
    let mut found = Found::default();
    let mut nodes = vec![0];
    for level in 0..=mine.depth() {
        if level > 0 {
            nodes = nodes
                .iter()
                .flat_map(|node| [2 * node, 2 * node + 1])
                .collect();
        }
        let asked: Vec<u8> = nodes
            .iter()
            .flat_map(|&node| mine.hash(level, node).to_be_bytes())
            .collect();
        found
            .traffic
            .message(&asked, |traffic| &mut traffic.tree_bytes);
        let answer = which_differ(theirs, level, &nodes, &asked);
        found
            .traffic
            .message(&answer, |traffic| &mut traffic.tree_bytes);
        nodes = marked(&nodes, &answer);
        if nodes.is_empty() {
            return found;
        }
    }
    found.leaves = nodes.len() as u64;
    compare_leaves(mine, theirs, &nodes, &mut found);
    found
}

/// The answering side: one bit for each hash, set where its own is another.
fn which_differ(tree: &Tree, level: usize, nodes: &[usize], asked: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; nodes.len().div_ceil(8)];
    let hashes = asked.chunks_exact(8);
    for (place, (&node, hash)) in nodes.iter().zip(hashes).enumerate() {
        if hash != tree.hash(level, node).to_be_bytes() {
            answer[place / 8] |= 1 << (place % 8);
        }
    }
    answer
}

fn marked(nodes: &[usize], answer: &[u8]) -> Vec<usize> {
    let set = |place: usize| answer[place / 8] & (1 << (place % 8)) != 0;
    let marked = nodes.iter().enumerate().filter(|(place, _)| set(*place));
    marked.map(|(_, &node)| node).collect()
}

/// One message with the entries of all leaves that differ. The answer are objects, and the hashes of
/// keys that only the asker has.
fn compare_leaves(mine: &Tree, theirs: &Tree, leaves: &[usize], found: &mut Found) {
    let mut asked = Vec::new();
    for &leaf in leaves {
        let entries = mine.leaf(leaf);
        asked.extend_from_slice(&(entries.len() as u64).to_be_bytes()[4..]);
        for entry in entries {
            asked.extend_from_slice(&entry.key.to_be_bytes());
            asked.extend_from_slice(&entry.content.to_be_bytes());
        }
    }
    found
        .traffic
        .message(&asked, |traffic| &mut traffic.leaf_bytes);
    let mut only_mine = Vec::new();
    let mut rest = asked.as_slice();
    for &leaf in leaves {
        // Each leaf was written with its length in front.
        let Some((length, after)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let bytes = u32::from_be_bytes(*length) as usize * Entry::BYTES;
        let (sent, after) = after.split_at(bytes);
        rest = after;
        merge(
            mine.leaf(leaf),
            theirs.leaf(leaf),
            sent,
            &mut |difference, key| {
                found.differences.push(difference);
                if difference.theirs.is_none() {
                    only_mine.extend_from_slice(&key.to_be_bytes());
                }
            },
        );
    }
    found
        .traffic
        .message(&only_mine, |traffic| &mut traffic.leaf_bytes);
}

/// Walks through a leaf as it was `sent` and the answering side's own, both in the order of keys. `mine` is
/// looked at for places only, which the asker knows without being told.
fn merge(mine: &[Entry], own: &[Entry], sent: &[u8], differs: &mut dyn FnMut(Difference, u64)) {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    let mut sent = sent
        .chunks_exact(Entry::BYTES)
        .map(|entry| (number(&entry[..8]), number(&entry[8..])))
        .zip(mine.iter().map(|entry| entry.place))
        .peekable();
    let mut own = own.iter().peekable();
    loop {
        let (left, right) = (sent.peek().copied(), own.peek().copied());
        let order = match (left, right) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(((key, _), _)), Some(entry)) => key.cmp(&entry.key),
        };
        let left = left.filter(|_| order.is_le());
        let right = right.filter(|_| order.is_ge());
        if order.is_le() {
            sent.next();
        }
        if order.is_ge() {
            own.next();
        }
        let contents = (
            left.map(|((_, content), _)| content),
            right.map(|entry| entry.content),
        );
        if contents.0 != contents.1 {
            let difference = Difference {
                mine: left.map(|(_, place)| place),
                theirs: right.map(|entry| entry.place),
            };
            // One side has it.
            let key = left
                .map(|((key, _), _)| key)
                .or(right.map(|entry| entry.key));
            differs(difference, key.unwrap_or_default());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    /// Key and content by number; places are the numbers of the keys in order.
    fn tree(held: &BTreeMap<u64, u64>, depth: u32) -> Tree {
        let entries = (0..).zip(held).map(|(place, (&key, &content))| Entry {
            key,
            content,
            place,
        });
        Tree::build(entries.collect(), depth)
    }

    fn key_at(held: &BTreeMap<u64, u64>, place: Option<u32>) -> Option<u64> {
        held.keys().nth(place? as usize).copied()
    }

    /// The naive way: every key of either side, looked up on both.
    fn differing(mine: &BTreeMap<u64, u64>, theirs: &BTreeMap<u64, u64>) -> BTreeSet<u64> {
        let keys = mine.keys().chain(theirs.keys()).copied();
        keys.filter(|key| mine.get(key) != theirs.get(key))
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_found_is_exactly_what_differs(
            common in btree_map(any::<u64>(), 0..4_u64, 0..200),
            mine in btree_map(any::<u64>(), 0..4_u64, 0..20),
            theirs in btree_map(any::<u64>(), 0..4_u64, 0..20),
            changed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            depth in 0..7_u32,
        ) {
            let (mut left, mut right) = (common.clone(), common.clone());
            left.extend(mine);
            right.extend(theirs);
            for index in changed.iter().filter(|_| !common.is_empty()) {
                let key = common.keys().nth(index.index(common.len()));
                right.entry(*key.unwrap_or(&0)).and_modify(|content| *content += 10);
            }
            let found = exchange(&tree(&left, depth), &tree(&right, depth));
            let keys: Vec<u64> = found
                .differences
                .iter()
                .filter_map(|one| key_at(&left, one.mine).or(key_at(&right, one.theirs)))
                .collect();
            prop_assert_eq!(keys.len(), found.differences.len());
            let expected: Vec<u64> = differing(&left, &right).into_iter().collect();
            prop_assert_eq!(keys, expected);
            for one in &found.differences {
                prop_assert!(one.mine.is_none() || one.theirs.is_none()
                    || key_at(&left, one.mine) == key_at(&right, one.theirs));
            }
        }
    }

    fn spread(keys: u64) -> BTreeMap<u64, u64> {
        (0..keys)
            .map(|key| (key.wrapping_mul(u64::MAX / keys), 0))
            .collect()
    }

    #[test]
    fn equal_trees_cost_one_hash() {
        let held = spread(4_096);
        let found = exchange(&tree(&held, 4), &tree(&held, 4));
        assert!(found.differences.is_empty());
        let one = Traffic {
            messages: 2,
            tree_bytes: 8 + 1,
            leaf_bytes: 0,
        };
        assert_eq!(found.traffic, one);
    }

    #[test]
    fn one_difference_costs_a_path_and_a_leaf() {
        let held = spread(4_096);
        let mut other = held.clone();
        other.first_entry().unwrap().insert(1);
        let found = exchange(&tree(&held, 4), &tree(&other, 4));
        assert_eq!(found.leaves, 1);
        assert_eq!(
            found.differences,
            [Difference {
                mine: Some(0),
                theirs: Some(0)
            }]
        );
        // The root; two hashes on each of four levels; a byte of answer each time.
        assert_eq!(found.traffic.tree_bytes, 9 + 4 * 17);
        let leaf = tree(&held, 4).leaf(0).len();
        assert_eq!(found.traffic.leaf_bytes, 4 + (leaf * Entry::BYTES) as u64);
    }
}
