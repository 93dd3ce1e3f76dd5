//! The peer wire: what nodes say to each other. Opcodes from 0x0200.
//!
//! Every data message names its replication class; the frame header carries the ring version.

mod alive;
mod cluster;
mod converge;
mod rebuild;
mod register;
mod seal;
mod word;

use bytes::Bytes;
use quorate_ring::{BucketId, Class, NodeId, PartitionId};
use serde::{Deserialize, Serialize};

use crate::client::{Role, SessionNeed};
use crate::error::WireError;
use crate::ids::{ActorId, Dot, RequestId};
use crate::messages::messages;
use crate::versioned::MapVersion;

pub use self::alive::{Alive, AliveMark, Testimony};
pub use self::cluster::{Heartbeat, HeartbeatAck};
pub use self::converge::{
    ActorClock, CatchUpAnswer, CatchUpAsk, CatchUpEntry, Clocks, DotsAnswer, DotsAsk, ENDLESS,
    Hints, HintsAck, SettledObject, VnodeClock, is_end, writes_in,
};
pub use self::rebuild::{
    Remembered, SnapshotAsk, SnapshotEntry, SnapshotNames, SnapshotPage, SnapshotPlace,
    SnapshotRange, SnapshotSpan,
};
pub use self::register::{
    Ballot, MapAccept, MapAccepted, MapAsk, MapDecided, MapForsake, MapForsaken, MapNewest,
    MapNotForsaken, MapPrepare, MapPromise, MapRecover, MapRecovered, MapRefused,
};
pub use self::seal::{Seal, SealAnswer, SealAsk, SealStage};
pub use self::word::{MapClaim, MapLeft, MapWord};

messages! {
    /// A message between nodes.
    PeerMessage {
        /// Read a replica.
        0x0201 => ReplicaGet(ReplicaGet),
        /// Its answer.
        0x0202 => ReplicaState(ReplicaState),
        /// Store at a replica, or keep as a hint.
        0x0203 => ReplicaPut(ReplicaPut),
        /// Its acknowledgement.
        0x0204 => ReplicaAck(ReplicaAck),
        /// Has anybody seen this request id?
        0x0205 => FindRequest(FindRequest),
        /// What was found.
        0x0206 => FoundRequest(FoundRequest),
        /// List a replica's keys.
        0x0207 => ReplicaKeys(ReplicaKeys),
        /// Its page.
        0x0208 => ReplicaKeyPage(ReplicaKeyPage),
        /// A client's request for a node that can coordinate it.
        0x0209 => Forward(Forward),
        /// Its reply.
        0x020a => Forwarded(Forwarded),
        /// The clocks of vnodes that both sides have.
        0x0220 => Clocks(Clocks),
        /// Please send these writes.
        0x0221 => DotsAsk(DotsAsk),
        /// Here they are.
        0x0222 => DotsAnswer(DotsAnswer),
        /// Hints for the receiver.
        0x0230 => Hints(Hints),
        /// Hints stored durably.
        0x0231 => HintsAck(HintsAck),
        /// What do I still lack? Asked after a start or a reconnection.
        0x0223 => CatchUpAsk(CatchUpAsk),
        /// The answer, taken after the question came.
        0x0224 => CatchUpAnswer(CatchUpAnswer),
        /// How far the sender has come in seeing who is alive.
        0x0225 => Alive(Alive),
        /// Please hand over a page of all that your vnode has.
        0x0226 => SnapshotAsk(SnapshotAsk),
        /// The page.
        0x0227 => SnapshotPage(SnapshotPage),
        /// You said once that you have this durably.
        0x0228 => Remembered(Remembered),
        /// What has become of actors that may be sealed?
        0x0229 => SealAsk(SealAsk),
        /// The answer.
        0x022a => SealAnswer(SealAnswer),
        /// Actors are sealed.
        0x022b => Seal(Seal),
        /// A heartbeat.
        0x0240 => Heartbeat(Heartbeat),
        /// Its echo.
        0x0241 => HeartbeatAck(HeartbeatAck),
        /// Take part in no earlier attempt to decide the next version of the cluster map.
        0x0260 => MapPrepare(MapPrepare),
        /// Promised.
        0x0261 => MapPromise(MapPromise),
        /// Accept this as the next version.
        0x0262 => MapAccept(MapAccept),
        /// Accepted.
        0x0263 => MapAccepted(MapAccepted),
        /// Overtaken by a later attempt.
        0x0264 => MapRefused(MapRefused),
        /// The newest version that the sender knows to be decided.
        0x0265 => MapNewest(MapNewest),
        /// Please send the newest version.
        0x0266 => MapAsk(MapAsk),
        /// A decided version of the cluster map.
        0x0267 => MapDecided(MapDecided),
        /// What the sender has done of what the cluster map asks for.
        0x0268 => MapWord(MapWord),
        /// Give up this lineage of the cluster map.
        0x0269 => MapForsake(MapForsake),
        /// Given up.
        0x026a => MapForsaken(MapForsaken),
        /// Accept this as the first version of the next lineage.
        0x026b => MapRecover(MapRecover),
        /// Accepted.
        0x026c => MapRecovered(MapRecovered),
        /// No part in this attempt to recover.
        0x026d => MapNotForsaken(MapNotForsaken),
    }
}

/// One version of an object. A delete is no version: it is a dot that an object settles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerVersion {
    /// The write that made it.
    pub dot: Dot,
    /// Hybrid time stamp of its coordinator: milliseconds since 1970 times 2^16, and a count.
    pub stamp: u64,
    /// When it ends to be visible, milliseconds since 1970; 0: never.
    pub expires_ms: u64,
    /// The request that made it.
    pub request: RequestId,
    /// Length of the value, also where the value itself is left out.
    pub size: u64,
    /// The value; `None` where only its existence was asked.
    pub body: Option<PeerBody>,
}

/// A version's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerBody {
    /// The value.
    pub value: Bytes,
    /// Its content type.
    pub content_type: String,
    /// User metadata.
    pub meta: Vec<(String, Bytes)>,
}

/// A key's versions and their causal context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerObject {
    /// Ordered by dot.
    pub versions: Vec<PeerVersion>,
    /// A version vector, ordered by actor.
    pub context: Vec<(ActorId, u64)>,
}

/// Which values a read wants beside the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// All of them.
    pub all: bool,
    /// Those of these dots.
    pub dots: Vec<Dot>,
}

/// Read a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaGet {
    /// The coordinator's operation.
    pub op: u64,
    /// The class.
    pub class: Class,
    /// The epoch of the class under which it is asked.
    pub epoch: MapVersion,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// Which values to send.
    pub want: Want,
    /// Dots of which the coordinator wants to know whether the replica has seen them.
    pub seen: Vec<Dot>,
    /// What a session needs to be known.
    pub session: Option<SessionNeed>,
    /// Another replica has seen versions that this one holds, and has none of them: the clock that this one must
    /// cover to prove that they were not superseded.
    pub prove: Option<Vec<ActorClock>>,
}

/// A replica's answer to [`ReplicaGet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// From the question.
    pub op: u64,
    /// The epoch of the class at the replica. Under another one it says nothing.
    pub epoch: MapVersion,
    /// As what it answers: a vnode, or a keeper of hints.
    pub role: Role,
    /// The object; without versions and context where it holds nothing of the key.
    pub object: PeerObject,
    /// Whether it holds anything of the key at all.
    pub holds: bool,
    /// Its absences count for nothing yet.
    pub catching_up: bool,
    /// Of the dots asked for, those it has seen.
    pub seen: Vec<Dot>,
    /// Of those, the ones that it does not hold, with nothing left that says why.
    pub denial: Option<Box<Denial>>,
    /// Whether it is current and covers the clock that was to be covered.
    pub proven: bool,
    /// Deletes of the key that the object's context stands for: nothing in the object names their dots.
    pub deletes: Vec<Dot>,
    /// Of the session's positions, whether all are known here.
    pub session_met: bool,
    /// Why it could not answer.
    pub error: Option<Box<WireError>>,
    /// Nodes whose word it waits for while catching up.
    pub waits_for: Vec<NodeId>,
}

/// Versions that a replica has seen and does not hold, and nothing is left there that says why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Their dots.
    pub dots: Vec<Dot>,
    /// Who has seen all this and still holds one of them proves the denial wrong.
    pub ground: Vec<ActorClock>,
}

/// Store at a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaPut {
    /// The coordinator's operation.
    pub op: u64,
    /// The class.
    pub class: Class,
    /// The epoch of the class under which it is written.
    pub epoch: MapVersion,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The merged object.
    pub object: PeerObject,
    /// Exactly the dots that this object settles: the new one and those it displaced.
    pub settles: Vec<Dot>,
    /// The request and its dot, to be remembered for retries.
    pub request: Option<(RequestId, Dot)>,
    /// Whether the acknowledgement waits for an fsync.
    pub durable: bool,
    /// Keep it as a hint for this primary rather than as a replica.
    pub hint_for: Option<NodeId>,
    /// Read repair: counted apart, acknowledged to nobody.
    pub repair: bool,
}

/// A replica's acknowledgement of [`ReplicaPut`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaAck {
    /// From the question.
    pub op: u64,
    /// The epoch of the class at the replica. Under another one it has not stored.
    pub epoch: MapVersion,
    /// As what it stored.
    pub role: Role,
    /// Whether it is fsynced.
    pub durable: bool,
    /// It holds an earlier write of the same actor beside this one, of which the coordinator seems to know nothing.
    pub overlooked: bool,
    /// Why it did not store.
    pub error: Option<WireError>,
}

/// Has this replica seen a request id?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindRequest {
    /// The coordinator's operation.
    pub op: u64,
    /// The class.
    pub class: Class,
    /// The bucket.
    pub bucket: BucketId,
    /// The key.
    pub key: Bytes,
    /// The id.
    pub request: RequestId,
    /// Whether the object is wanted as well. It may be large: whoever wants to know at once whether the id
    /// was seen asks for the dot first.
    pub whole: bool,
}

/// The answer to [`FindRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRequest {
    /// From the question.
    pub op: u64,
    /// The dot that the request got, if it was seen here.
    pub dot: Option<Dot>,
    /// The key's object as it is here now; empty unless it was asked for.
    pub object: PeerObject,
    /// What that object settles: at least the dot. Empty where the object was not asked for.
    pub settles: Vec<Dot>,
    /// Why it could not answer.
    pub error: Option<WireError>,
}

/// List a replica's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaKeys {
    /// The coordinator's operation.
    pub op: u64,
    /// The class.
    pub class: Class,
    /// The epoch of the class under which it is asked.
    pub epoch: MapVersion,
    /// The bucket.
    pub bucket: BucketId,
    /// Keys after this one.
    pub after: Option<Bytes>,
    /// At most so many.
    pub limit: u32,
}

/// The answer to [`ReplicaKeys`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaKeyPage {
    /// From the question.
    pub op: u64,
    /// Keys with at least one version, in byte order.
    pub keys: Vec<Bytes>,
    /// Whether more follow.
    pub more: bool,
    /// Its absences count for nothing yet.
    pub catching_up: bool,
    /// Why it could not answer.
    pub error: Option<WireError>,
}

/// A client's request for a node that can coordinate it. The body is a frame body of the client wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The forwarder's operation.
    pub op: u64,
    /// The partition, so that the right shard is found before the body is read.
    pub partition: PartitionId,
    /// Who asked: the name in the client's certificate.
    pub principal: String,
    /// Nodes it went through; never more than 2.
    pub hops: u8,
    /// Opcode of the client wire.
    pub opcode: u16,
    /// Body of the client wire.
    pub body: Bytes,
}

/// The reply to a forwarded request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// From the request.
    pub op: u64,
    /// The partition, as in the request.
    pub partition: PartitionId,
    /// Opcode of the client wire.
    pub opcode: u16,
    /// Body of the client wire.
    pub body: Bytes,
}

impl PeerMessage {
    /// The partition that decides which shard handles the message; `None` for those of the node.
    #[must_use]
    pub const fn partition(&self) -> Option<PartitionId> {
        match self {
            Self::ReplicaGet(message) => Some(message.class.partition),
            Self::ReplicaPut(message) => Some(message.class.partition),
            Self::FindRequest(message) => Some(message.class.partition),
            Self::ReplicaKeys(message) => Some(message.class.partition),
            Self::Forward(message) => Some(message.partition),
            Self::Forwarded(message) => Some(message.partition),
            Self::DotsAsk(message) => Some(message.class.partition),
            Self::DotsAnswer(message) => Some(message.class.partition),
            Self::SnapshotAsk(message) => Some(message.class.partition),
            Self::SnapshotPage(message) => Some(message.class.partition),
            Self::Remembered(message) => Some(message.class.partition),
            Self::SealAsk(message) => Some(message.class.partition),
            Self::SealAnswer(message) => Some(message.class.partition),
            Self::Seal(message) => Some(message.class.partition),
            Self::Hints(message) => Some(message.class.partition),
            Self::HintsAck(message) => Some(message.class.partition),
            Self::ReplicaState(_)
            | Self::ReplicaAck(_)
            | Self::FoundRequest(_)
            | Self::ReplicaKeyPage(_)
            | Self::Clocks(_)
            | Self::CatchUpAsk(_)
            | Self::CatchUpAnswer(_)
            | Self::Alive(_)
            | Self::Heartbeat(_)
            | Self::HeartbeatAck(_)
            | Self::MapPrepare(_)
            | Self::MapPromise(_)
            | Self::MapAccept(_)
            | Self::MapAccepted(_)
            | Self::MapRefused(_)
            | Self::MapNewest(_)
            | Self::MapAsk(_)
            | Self::MapDecided(_)
            | Self::MapWord(_)
            | Self::MapForsake(_)
            | Self::MapForsaken(_)
            | Self::MapRecover(_)
            | Self::MapRecovered(_)
            | Self::MapNotForsaken(_) => None,
        }
    }
}
