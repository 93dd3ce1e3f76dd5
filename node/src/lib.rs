//! The node of a Quorate cluster: sockets, storage, threads and files around `quorate-core`.
//!
//! * [`storage`]: RocksDB, and a memory storage for tests that can lose power.
//! * [`identity`]: the data directory, its lock, its owner and the stored cluster map.
//! * [`config`]: the configuration file.

pub mod config;
pub mod identity;
pub mod storage;
pub mod tls;
