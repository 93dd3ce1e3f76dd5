//! Anti-entropy by hash trees, as other stores do it: what the comparison of clocks is measured against.
//!
//! A simple one, and where there was a choice the one that costs less: hashes of 8 bytes (Cassandra
//! and Riak send 16 to 20), a binary tree (of all arities the one that sends the fewest hashes), both
//! sides' trees at hand when the exchange begins.
//!
//! The key space is cut into equal ranges of key hashes, the leaves, of about [`LEAF_KEYS`] keys. A
//! leaf's hash covers its keys and their content, a node's hash the hashes of its two children. Two
//! sides compare roots, then the children of nodes that differ, level by level; for each leaf that
//! differs one side sends the hashes of all keys in it, and the other one answers which objects differ.

mod exchange;
mod tree;

pub use exchange::{Difference, Found, Traffic, exchange};
pub use tree::{Entry, LEAF_KEYS, Tree, depth_for};
