//! The client library for Quorate, a replicated key-value store.

mod bucket;
mod builder;
mod client;
mod context;
mod dispatch;
mod error;
mod keys;
mod net;
mod profile;
#[cfg(feature = "provision")]
pub mod provision;
mod read;
mod routing;
mod session;
#[cfg(test)]
mod testing;
mod tls;
mod update;
mod value;
mod write;

pub use bucket::Bucket;
pub use builder::Builder;
pub use client::{Client, Pong};
pub use context::Context;
pub use error::{Error, Kind};
pub use keys::Keys;
pub use profile::{DEADLINE_DEFAULT, Profile, ToCount};
pub use quorate_protocol::ErrorCode;
pub use quorate_protocol::client::{PeerStatus, ReplicaReport, ReplyInfo, Role, StatusReport, VnodeStatus};
pub use quorate_protocol::map::{Bucket as BucketDefinition, BucketMode, BucketProps, ClusterMap, Member};
pub use quorate_protocol::options::{Count, QuorumDefaults, ReadOptions, WriteOptions};
pub use quorate_protocol::{ActorId, ClusterId, Dot, RequestId};
pub use quorate_ring::NodeId;
pub use read::{Get, Read};
pub use session::Session;
pub use tls::{Tls, TlsFiles, TlsPem};
pub use update::Update;
pub use value::Value;
pub use write::{Delete, Put, Write};
