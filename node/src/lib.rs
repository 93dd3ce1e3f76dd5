//! The node of a Quorate cluster: sockets, storage, threads and files around `quorate-core`.
//!
//! * [`daemon`]: the process: checks at start, signals, free space, metrics.
//! * [`driver`] joins the core's replicas with network and storage; neither knows the other.
//! * [`net`]: QUIC, for peers and for clients; [`tls`]: certificates.
//! * [`storage`]: RocksDB, and a memory storage for tests that can lose power.
//! * [`identity`]: the data directory, its lock, its owner and the stored cluster map.
//! * [`backup`]: copies of the data, made while the node serves.
//! * [`config`]: the configuration file.
//! * [`sources`]: randomness and the time of day.

pub mod backup;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod identity;
pub mod net;
pub mod sources;
pub mod storage;
pub mod tls;

/// The version and a fingerprint of the sources that this build was made from.
pub const BUILD: &str = env!("QUORATE_BUILD");
