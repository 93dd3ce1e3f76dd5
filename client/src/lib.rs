//! The client library for Quorate, a replicated key-value store that stays writable.
//!
//! # If you have never seen such a store
//!
//! Every value is kept by several nodes, its *replicas*; a bucket says how many (*n*, usually 3).
//! No node is special: any of them takes reads and writes, also while others are dead or cut off.
//! Three consequences are yours to know:
//!
//! * **Quorum.** A request does not wait for all replicas, but for as many as you say: *w* of them
//!   to acknowledge a write, *r* of them to answer a read. If r + w is more than n, every read
//!   meets a replica that has the last acknowledged write. The default is more than half for both:
//!   with n = 3, one replica may be away and nobody notices. When a replica cannot be reached,
//!   another node stands in for it and hands over what it got as soon as it returns.
//! * **Siblings.** Two clients may write one key at the same moment, through different nodes, and
//!   neither knows of the other. Quorate loses neither value: a read returns both, as *siblings*,
//!   and the application makes one of them, because only it knows what they mean.
//! * **Context.** How does the store know that a write was made *after* seeing a value, and not
//!   beside it? Every read returns a *context*, an opaque token of what was seen. A write that
//!   carries it replaces exactly that. A write without it replaces nothing.
//!
//! So the pattern is: read, change, write back with the context of that read. [`Bucket::update`]
//! does these three steps and merges siblings on the way.
//!
//! # A first program
//!
//! ```no_run
//! use quorate_client::{Client, TlsFiles};
//!
//! # async fn example() -> Result<(), quorate_client::Error> {
//! let client = Client::builder()
//!     .seeds(["127.0.0.1:7501", "127.0.0.1:7502"])
//!     .tls(TlsFiles { ca: "ca.pem".into(), cert: "admin.pem".into(), key: "admin.key".into() })
//!     .connect()
//!     .await?;
//! let bucket = client.bucket("default");
//!
//! bucket.put("greeting", "hello").send().await?;
//!
//! let read = bucket.get("greeting").send().await?;
//! println!("{} value(s)", read.siblings.len());
//! bucket.put("greeting", "hello again").context(read.context).send().await?;
//!
//! let read = bucket.get("greeting").r(3).send().await?;
//! if let Some(value) = read.single()? {
//!     println!("{}", String::from_utf8_lossy(&value.data));
//! }
//! bucket.delete("greeting").context(read.context).send().await?;
//! # Ok(()) }
//! ```
//!
//! # What the library does by itself
//!
//! * It knows which nodes hold which key and asks one of them, always the same one for a key while
//!   that one lives. It learns of changes from the replies.
//! * Each request has one deadline ([`Profile::deadline`], 5 s), which every hop honours.
//! * It tries again what is safe to try again: refusals that name a passing reason, and lost
//!   connections. A write keeps its id over all tries, so it is applied once however often it
//!   arrives. Retries have a budget, so that they never become a flood: 32 at hand, and one more
//!   for each ten requests and, up to the 32, each second.
//! * What remains is an [`Error`] whose [`Kind`] says what to do. After [`Kind::InDoubt`] a write
//!   may be there or not; after any other error it certainly is not.
//! * A [`Session`] adds that reads see the session's own writes and never go back in time.
//!
//! Nothing is read from the environment, and nothing is done in the background but keeping
//! connections alive, dialling lost nodes again when they are needed, and following ring changes.
//! The library needs a tokio runtime with time and I/O enabled.
#![forbid(unsafe_code)]

mod backup;
mod bucket;
mod builder;
mod client;
mod context;
mod convergence;
mod dispatch;
mod error;
mod keys;
mod net;
mod profile;
#[cfg(feature = "provision")]
pub mod provision;
mod randomness;
mod read;
mod routing;
mod session;
#[cfg(test)]
mod testing;
mod tls;
mod update;
mod value;
mod write;

pub use backup::BackupTask;
pub use bucket::Bucket;
pub use builder::Builder;
pub use client::{Client, Pong};
pub use context::Context;
pub use convergence::{ClassStanding, Convergence, Standing};
pub use error::{Error, Kind};
pub use keys::Keys;
pub use profile::{DEADLINE_DEFAULT, Profile, ToCount};
pub use quorate_protocol::ErrorCode;
pub use quorate_protocol::client::{
    BackupAction, BackupEntry, BackupJob, BackupReport, Commit, HintsHeld, JobState, MapLine,
    MapLog, MapStanding, Moves, MovesReport, NodeProgress, Pace, PeerStatus, PlanLine, PlanLoss,
    PlanWarning, RangeProgress, RangeRepair, ReplicaPage, ReplicaReport, ReplicaStanding,
    ReplyInfo, RingChange, RingChanged, RingPlan, RingProgress, Role, Scrub, ScrubState,
    StatusReport, Transfer, VnodeStatus,
};
pub use quorate_protocol::map::{
    Bucket as BucketDefinition, BucketMode, BucketProps, ClusterMap, Member,
};
pub use quorate_protocol::options::{Count, QuorumDefaults, ReadOptions, WriteOptions};
pub use quorate_protocol::versioned::{
    ClassRecord, ClassState, Going, GoingState, MapName, MapVersion, Recovery, StagedChange,
    VersionedMap,
};
pub use quorate_protocol::{ActorId, ClusterId, Dot, Extent, MapDigest, RequestId, TransferId};
pub use quorate_ring::{Class, NodeId, PartitionId, RingDigest, RingVersion, Weight, Zone};
pub use read::{Get, Read};
pub use session::Session;
pub use tls::{Tls, TlsFiles, TlsPem};
pub use update::Update;
pub use value::Value;
pub use write::{Delete, Put, Write};
