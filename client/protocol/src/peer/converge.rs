//! How replicas become equal again: clocks, missing writes, hints, and catching up.

use bytes::Bytes;
use quorate_ring::{BucketId, Class, NodeId, RingVersion};
use serde::{Deserialize, Serialize};

use super::{AliveMark, PeerObject, Testimony};
use crate::error::WireError;
use crate::extent::Extent;
use crate::ids::{ActorId, ContentDigest, Dot, LifeId, RequestId, StorageId, VnodeId};
use crate::versioned::MapVersion;

/// Counter of the last dot of an actor that is closed: no actor writes so often. A run that reaches it says that
/// nothing can follow; as a write that a clock lacks it counts as one.
pub const ENDLESS: u64 = u64::MAX - 1;

/// Whether a run of dots is the end of a closed actor, or a part of it. A run has at least one dot.
#[must_use]
pub const fn is_end(first: u64, length: u64) -> bool {
    first.saturating_add(length - 1) >= ENDLESS
}

/// How many writes a run of dots stands for: an end for one.
#[must_use]
pub const fn writes_in(first: u64, length: u64) -> u64 {
    if is_end(first, length) { 1 } else { length }
}

/// What one actor's dots a vnode has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorClock {
    /// The actor.
    pub actor: ActorId,
    /// All counters up to here.
    pub base: u64,
    /// And these runs beyond: first counter and length, ascending, not touching; only one that reaches
    /// [`ENDLESS`] may touch what stands before it.
    pub runs: Vec<(u64, u64)>,
}

/// One vnode's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VnodeClock {
    /// The class.
    pub class: Class,
    /// The epoch of the class where it is said.
    pub epoch: MapVersion,
    /// Whether the vnode has no place there any more, and only hands over what others lack.
    pub departing: bool,
    /// Whether it is told to a vnode that departs: then all that is fsynced is told, which a member is not told before
    /// it has said what is settled.
    pub for_departing: bool,
    /// The vnode.
    pub vnode: VnodeId,
    /// The storage the durable part speaks for.
    pub storage: StorageId,
    /// The life in which it is said.
    pub life: LifeId,
    /// What it has applied.
    pub applied: Vec<ActorClock>,
    /// What it has fsynced. Until the receiver has said what was settled, only what the vnode had when
    /// this life began.
    pub durable: Vec<ActorClock>,
    /// What it holds with exactly that applied, in one number.
    pub digest: ContentDigest,
    /// How much that is.
    pub holds: Extent,
    /// Whether it answers as a current replica.
    pub current: bool,
    /// The last version that dropped a bucket, if all that was in dropped buckets is gone here. What was said while
    /// some is going, or under another such version, is compared with nothing.
    pub swept: Option<MapVersion>,
    /// Where and under which ring version the actors known to it were born, ordered by actor.
    pub actors: Vec<(ActorId, NodeId, RingVersion)>,
}

/// Clocks of vnodes whose class the receiver shares; only what changed since the last frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The clocks, ordered by class.
    pub clocks: Vec<VnodeClock>,
}

/// What do I still lack? The asker's vnodes of these classes claim no absence until every node
/// answered that nothing is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUpAsk {
    /// The asker's number; an answer to an older one is not taken.
    pub number: u64,
    /// The classes, ordered.
    pub classes: Vec<Class>,
    /// The asker's life. What its vnodes of these classes said in another one is not counted on any more.
    pub life: LifeId,
    /// Where the answering node's replicas were when the asker last knew all it had to.
    pub marks: Vec<AliveMark>,
}

/// What the answering node has of one class for the asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUpEntry {
    /// The class.
    pub class: Class,
    /// Objects it keeps as hints for the asker.
    pub hints: u64,
    /// The clock of its own vnode of the class, with a place or departing, if it has one.
    pub clock: Option<VnodeClock>,
    /// The epoch of the class under which its copy departs, if that is gone: all members had all of it durably.
    pub gone: Option<MapVersion>,
    /// What every member had confirmed to have durably, by the answering vnode's knowledge: contexts that
    /// stand for no more than that are gone. A storage that once confirmed it and had less when the
    /// asker's life began has gone back in time.
    pub settled: Vec<ActorClock>,
}

/// The answer to [`CatchUpAsk`]; several answers may share out the classes among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUpAnswer {
    /// From the question.
    pub number: u64,
    /// One entry for each class.
    pub entries: Vec<CatchUpEntry>,
    /// Whom the answering replica has seen alive while the asker was away.
    pub testimony: Testimony,
}

/// Please send these writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DotsAsk {
    /// The class.
    pub class: Class,
    /// The asker's number for this question.
    pub number: u64,
    /// Actor, first counter, length.
    pub runs: Vec<(ActorId, u64, u64)>,
}

/// One object that answers some of the asked dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledObject {
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The object.
    pub object: PeerObject,
    /// Exactly the dots that it settles.
    pub settles: Vec<Dot>,
    /// Requests behind some of those dots, to be remembered for retries.
    pub requests: Vec<(RequestId, Dot)>,
}

/// The answer to [`DotsAsk`]. May cover a part: the asker asks again for what is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DotsAnswer {
    /// The class.
    pub class: Class,
    /// From the question.
    pub number: u64,
    /// The objects.
    pub objects: Vec<SettledObject>,
    /// Asked dots that are in the sender's clock and no longer in its log.
    pub gone: Vec<Dot>,
    /// The last version that dropped a bucket, as the sender knows. Who knows an earlier one would take what is
    /// dropped for deleted, and does not listen.
    pub dropped: MapVersion,
}

/// Hints for the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The class.
    pub class: Class,
    /// The sender's number for this batch.
    pub number: u64,
    /// The hints.
    pub objects: Vec<SettledObject>,
}

/// Hints stored durably.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintsAck {
    /// The class.
    pub class: Class,
    /// From the batch.
    pub number: u64,
    /// Why they were not stored.
    pub error: Option<WireError>,
}
