//! The client wire: what clients ask of a node and what it answers.
//!
//! Data requests have opcodes from 0x0100, administrative ones from 0x0300; a reply's opcode is
//! its request's plus 0x8000. Any of them may be answered by [`ClientReply::Failed`].

mod backup;
mod cluster;
mod moves;
mod replicas;
mod ring;
mod scrub;

use bytes::Bytes;
use quorate_ring::{BucketId, Class, NodeId, PartitionId};
use serde::{Deserialize, Serialize};

pub use self::backup::{Backup, BackupAction, BackupEntry, BackupJob, BackupReport, JobState};
pub use self::cluster::{GetVersion, MapHistory, MapLine, MapLog, MapStanding, WholeMap};
pub use self::moves::{Moves, MovesReport, NodeProgress, Pace, RingProgress, Transfer};
pub use self::replicas::{HintsHeld, ReplicaPage, ReplicaStanding, Replicas};
pub use self::ring::{
    ChangeRing, Commit, PlanLine, PlanLoss, PlanRing, PlanWarning, RingChange, RingChangeError,
    RingChanged, RingPlan,
};
pub use self::scrub::{RangeProgress, RangeRepair, Scrub, ScrubState};
use crate::error::WireError;
use crate::extent::Extent;
use crate::ids::{ActorId, ClusterId, ContentDigest, Dot, RequestId, VnodeId};
use crate::map::{Bucket, BucketProps, ClusterMap};
use crate::messages::messages;
use crate::options::{ReadOptions, WriteOptions};

messages! {
    /// What a client asks.
    ClientRequest {
        /// Read one key.
        0x0101 => Get(Get),
        /// Write one key.
        0x0102 => Put(Put),
        /// Delete one key.
        0x0103 => Delete(Delete),
        /// List a partition's keys of one bucket, a page at a time.
        0x0104 => Keys(Keys),
        /// Read the cluster map.
        0x0105 => GetMap(GetMap),
        /// Is anybody there?
        0x0106 => Ping(Ping),
        /// Create a bucket, or change one's defaults.
        0x0301 => PutBucket(PutBucket),
        /// Report on the node asked.
        0x0302 => Status(Status),
        /// Where the vnodes of the node asked stand, a page at a time.
        0x0303 => Replicas(Replicas),
        /// Begin, follow or list the backups of the node asked.
        0x0304 => Backup(Backup),
        /// Read vnodes through, or pause that.
        0x0305 => Scrub(Scrub),
        /// Read the log of the cluster map's versions.
        0x0306 => MapHistory(MapHistory),
        /// Stage, commit or cancel changes of the members.
        0x0307 => ChangeRing(ChangeRing),
        /// Read what a commit of the staged changes would do.
        0x0308 => PlanRing(PlanRing),
        /// Read how copies move at the node asked, or set their pace.
        0x0309 => Moves(Moves),
        /// Read the newest version of the cluster map, whole.
        0x0310 => GetVersion(GetVersion),
    }
}

messages! {
    /// What a node answers.
    ClientReply {
        /// The request was refused or failed.
        0x8000 => Failed(WireError),
        /// To [`Get`].
        0x8101 => Got(Got),
        /// To [`Put`] and [`Delete`].
        0x8102 => Written(Written),
        /// To [`Keys`].
        0x8104 => KeyPage(KeyPage),
        /// To [`GetMap`].
        0x8105 => Map(MapReply),
        /// To [`Ping`].
        0x8106 => Pong(Pong),
        /// To [`PutBucket`].
        0x8301 => BucketStored(BucketStored),
        /// To [`Status`].
        0x8302 => StatusReport(StatusReport),
        /// To [`Replicas`].
        0x8303 => ReplicaPage(ReplicaPage),
        /// To [`Backup`].
        0x8304 => BackupReport(BackupReport),
        /// To [`Scrub`].
        0x8305 => ScrubState(ScrubState),
        /// To [`MapHistory`].
        0x8306 => MapLog(MapLog),
        /// To [`ChangeRing`].
        0x8307 => RingChanged(RingChanged),
        /// To [`PlanRing`].
        0x8308 => RingPlan(RingPlan),
        /// To [`Moves`].
        0x8309 => MovesReport(MovesReport),
        /// To [`GetVersion`].
        0x8310 => Version(WholeMap),
    }
}

/// A value with what its writer said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The value.
    pub value: Bytes,
    /// Its content type; empty where none was given.
    pub content_type: String,
    /// User metadata, ordered by name, names distinct.
    pub meta: Vec<(String, Bytes)>,
}

/// Positions that a session has seen in one replication class; a read under it must know them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNeed {
    /// Exact writes, each of which some replica that answers must have seen.
    pub dots: Vec<Dot>,
    /// For each actor: all its writes up to the counter must be known.
    pub up_to: Vec<(ActorId, u64)>,
}

/// Read one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// The bucket.
    pub bucket: BucketId,
    /// The key, 1 byte to 4 KiB.
    pub key: Bytes,
    /// Overrides.
    pub options: ReadOptions,
    /// What the session has seen in this key's class.
    pub session: Option<SessionNeed>,
}

/// Write one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The bucket.
    pub bucket: BucketId,
    /// The key, 1 byte to 4 KiB.
    pub key: Bytes,
    /// The value.
    pub content: Content,
    /// The token of the read that this write replaces; without one it stands beside what is there.
    pub context: Option<Bytes>,
    /// Overrides.
    pub options: WriteOptions,
    /// Kept over retries.
    pub request: RequestId,
    /// Set on every try but the first: the id must be looked up before a new write is made.
    pub retry: bool,
    /// How long the value lives from the moment at which its coordinator accepts it, milliseconds, at
    /// most [`TTL_MS_MAX`](crate::limits::TTL_MS_MAX); 0: for ever. Absent: the bucket's default.
    pub ttl_ms: Option<u64>,
}

/// Delete one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The token of the read that is deleted; without one the coordinator reads first.
    pub context: Option<Bytes>,
    /// Overrides.
    pub options: WriteOptions,
    /// Kept over retries.
    pub request: RequestId,
    /// As in [`Put`].
    pub retry: bool,
}

/// List keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The bucket.
    pub bucket: BucketId,
    /// The partition.
    pub partition: PartitionId,
    /// List keys after this one.
    pub after: Option<Bytes>,
    /// At most so many; 1 to 1000.
    pub limit: u32,
}

/// Read the cluster map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetMap {
    /// Reserved: a digest of what the client has.
    pub known: u64,
}

/// Is anybody there?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Returned as it came.
    pub nonce: u64,
}

/// Create a bucket, or change one's defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBucket {
    /// Its name.
    pub name: String,
    /// What it is to promise.
    pub props: BucketProps,
    /// Kept over retries.
    pub request: RequestId,
}

/// Report on the node asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Include a line for each vnode.
    pub vnodes: bool,
}

/// A node's part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Role {
    /// Holds a vnode of the key's class.
    Primary,
    /// Stands in for a primary.
    Fallback,
}

impl TryFrom<u8> for Role {
    type Error = &'static str;

    fn try_from(raw: u8) -> Result<Self, Self::Error> {
        match raw {
            0 => Ok(Self::Primary),
            1 => Ok(Self::Fallback),
            _ => Err("a role of a later version"),
        }
    }
}

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        match role {
            Role::Primary => 0,
            Role::Fallback => 1,
        }
    }
}

/// One replica's part in a request, for `--explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// The replica.
    pub node: NodeId,
    /// Its role for this key.
    pub role: Role,
    /// The primary it stands in for, if a fallback.
    pub stands_for: Option<NodeId>,
    /// What it answered: `value`, `empty`, `stored`, `durable`, `waiting`, or an error's name.
    pub answer: String,
    /// Whether its answer counted towards the quorum.
    pub counted: bool,
    /// Whether it was catching up.
    pub catching_up: bool,
    /// The versions it held.
    pub dots: Vec<Dot>,
    /// Time from the coordinator's question to its answer, microseconds.
    pub latency_us: Option<u64>,
}

/// What every data reply tells beside its result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyInfo {
    /// The coordinator.
    pub coordinator: Option<NodeId>,
    /// Answers that counted.
    pub answered: u8,
    /// Those of primaries.
    pub primaries: u8,
    /// Those of fallbacks.
    pub fallbacks: u8,
    /// Those after an fsync (writes).
    pub durable: u8,
    /// Replicas that answered while catching up, counted or not.
    pub catching_up: u8,
    /// The class of the key, for the session.
    pub class: Option<Class>,
    /// Dots read or written, for the session.
    pub session: Vec<Dot>,
    /// Each replica's part, where `explain` was asked.
    pub replicas: Vec<ReplicaReport>,
    /// The preference list's primaries then fallbacks, where `explain` was asked.
    pub preference: Vec<NodeId>,
    /// Why the result was chosen, where `explain` was asked.
    pub reason: String,
    /// Things to worry about: many siblings, under-replication.
    pub warnings: Vec<String>,
    /// For later versions: tag and content, unknown tags are skipped.
    pub trailer: Vec<(u16, Bytes)>,
}

/// One of the values of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sibling {
    /// The write that made it.
    pub dot: Dot,
    /// The value; empty where only the head was asked.
    pub content: Content,
    /// Bytes of the value.
    pub size: u64,
    /// When the coordinator accepted it, milliseconds since 1970 by its clock.
    pub modified_ms: u64,
    /// When it expires, milliseconds since 1970; 0: never.
    pub expires_ms: u64,
}

/// A read's result. No siblings: not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Got {
    /// The values, ordered by dot; one at most from an `lww` bucket.
    pub siblings: Vec<Sibling>,
    /// The token to write back with. Present also where nothing was found.
    pub context: Bytes,
    /// Only fallbacks answered: no primary confirmed that this is the latest.
    pub fallbacks_only: bool,
    /// Returned under `stale_ok` without a quorum of current replicas.
    pub maybe_stale: bool,
    /// The rest.
    pub info: ReplyInfo,
}

/// A write's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The write's identity; `None` when a delete without a context found nothing to delete.
    pub dot: Option<Dot>,
    /// The token to write back over this write with. Empty if versions that its writer has not seen
    /// stand beside it: read the key to get a token that covers them.
    pub context: Bytes,
    /// Siblings of the key at the coordinator after the write.
    pub siblings: u32,
    /// The rest.
    pub info: ReplyInfo,
}

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPage {
    /// Keys in byte order.
    pub keys: Vec<Bytes>,
    /// Whether more follow.
    pub more: bool,
}

/// The cluster map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapReply {
    /// The map.
    pub map: ClusterMap,
    /// The node that answers.
    pub node: NodeId,
}

/// I am.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// From the ping.
    pub nonce: u64,
    /// The node.
    pub node: NodeId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its build.
    pub build: String,
}

/// A bucket is in the cluster map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketStored {
    /// The bucket as it now is.
    pub bucket: Bucket,
    /// Whether this request made it so.
    pub changed: bool,
}

/// What one node says of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// Whether this node can reach it.
    pub reachable: bool,
    /// Since the last sign of life, milliseconds.
    pub silent_ms: u64,
    /// Hints kept here for it: objects.
    pub hints: u64,
    /// Hints delivered to it since this node started.
    pub hints_delivered: u64,
    /// Hints in flight to it right now.
    pub hints_in_flight: u64,
    /// Writes it has and this node lacks, over all classes they share.
    pub lag: u64,
    /// Writes this node has and the peer lacks, by the peer's last report.
    pub lead: u64,
}

/// What one node says of one of its vnodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VnodeStatus {
    /// The class.
    pub class: Class,
    /// The vnode.
    pub vnode: VnodeId,
    /// Whether it answers as a current replica.
    pub current: bool,
    /// Nodes whose word it still waits for.
    pub waits_for: Vec<NodeId>,
    /// Writes that peers have and it lacks.
    pub lag: u64,
    /// Dot-log entries held for peers.
    pub log_entries: u64,
    /// About how many bytes they take; beyond the node's bound the oldest go.
    pub log_bytes: u64,
    /// Whether damage was found: its absences count for nothing.
    pub damaged: bool,
    /// How much it holds.
    pub holds: Extent,
    /// While it is filled again from a peer: how many objects it has taken.
    pub rebuilding: Option<u64>,
    /// What it holds, in one number.
    pub digest: ContentDigest,
    /// When it was last read through to the end and found whole, milliseconds since 1970.
    pub scrubbed_ms: Option<u64>,
    /// While it is read through: how many keys so far.
    pub scrubbing: Option<u64>,
    /// Records found unreadable, or missing, by reading it through, since the node's start.
    pub bad_records: u64,
}

/// A node's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The node.
    pub node: NodeId,
    /// Its build.
    pub build: String,
    /// Since its start, milliseconds.
    pub uptime_ms: u64,
    /// Its peers.
    pub peers: Vec<PeerStatus>,
    /// Vnodes it has.
    pub vnodes_total: u32,
    /// Those that answer as current replicas.
    pub vnodes_current: u32,
    /// Partitions with fewer members than copies.
    pub under_replicated: u32,
    /// One line each, where asked.
    pub vnodes: Vec<VnodeStatus>,
    /// The cluster map.
    pub map: MapStanding,
    /// Named counters since start: requests, repairs, hints.
    pub counters: Vec<(String, u64)>,
    /// Things an operator should know.
    pub warnings: Vec<String>,
}
