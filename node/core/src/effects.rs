//! What goes into the core and what comes out: the whole surface between it and its driver.

use std::sync::Arc;

use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::ids::TransferId;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{Class, NodeId};

use crate::moves::Said;
use crate::store::{Batch, BatchSeq};

/// The time of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Monotonic, microseconds from an arbitrary start.
    pub mono_us: u64,
    /// The wall clock, milliseconds since 1970. May jump.
    pub wall_ms: u64,
}

/// The driver's name for a client request, given back with the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One event.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client's request.
    Client {
        /// Given back with the reply.
        ticket: Ticket,
        /// Who asks: the name in its certificate.
        principal: Arc<str>,
        /// The request.
        request: ClientRequest,
        /// What is left of its deadline, milliseconds; at least 1.
        deadline_ms: u32,
    },
    /// The client of a ticket went away: no reply is wanted. What it started goes on.
    ClientGone(Ticket),
    /// A peer's message.
    Peer {
        /// Who sent it: proven by its certificate.
        from: NodeId,
        /// The message.
        message: PeerMessage,
        /// What is left of its deadline, milliseconds; 0: none.
        deadline_ms: u32,
    },
    /// A peer answers this node. Sent at every change of its incarnation too: where no
    /// [`Input::PeerDown`] came before, it restarted and whatever was in flight to it is lost.
    PeerUp(NodeId),
    /// A peer does not answer this node.
    PeerDown(NodeId),
    /// The cluster map changed.
    Map(Arc<VersionedMap>),
    /// Everything up to this batch is fsynced.
    Synced(BatchSeq),
    /// Storage can or cannot take writes now (nearly full disk): while it cannot, replicas refuse
    /// writes by name and fallbacks take over; nothing is lost by it.
    StorageWritable(bool),
    /// Time has passed.
    Tick,
}

/// When an effect may be performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After the step's batch is written.
    Written,
    /// After the step's batch is fsynced.
    Synced,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a message to a peer.
    Send {
        /// The peer.
        to: NodeId,
        /// The message.
        message: PeerMessage,
        /// What is left of the deadline, milliseconds; 0: none.
        deadline_ms: u32,
        /// See the frame header.
        priority: Priority,
        /// The request on whose behalf it is sent, see [`Replica::on_behalf_of`](crate::Replica::on_behalf_of);
        /// 0: nobody's.
        trace: u64,
        /// When.
        when: When,
    },
    /// Answer a client.
    Reply {
        /// Whose request.
        ticket: Ticket,
        /// The answer.
        reply: ClientReply,
    },
    /// What this replica has done of what the map asks for is this now; for the node's
    /// [`Keeper`](crate::keeper::Keeper). Performed when the step is durable, as [`When::Synced`].
    Word(Said),
    /// Something worth counting and logging happened.
    Note(Note),
    /// A copy sets out, or has arrived. Worth logging at both ends, under one number.
    Transfer(TransferNews),
}

/// Where a copy is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferNews {
    /// The same at both ends.
    pub id: TransferId,
    /// The class.
    pub class: Class,
    /// The other end, where it is still known.
    pub peer: Option<NodeId>,
    /// What happened.
    pub step: TransferStep,
}

/// What happened to a copy on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStep {
    /// The receiver has taken its first page, or the first since it started.
    Receives,
    /// The receiver has it all.
    Received,
    /// The receiver needs it no more, or has to begin anew.
    GivenUp,
    /// The sender has handed out the first page.
    Sends,
    /// The sender has handed out the last page.
    Sent,
}

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A client waits for it.
    Foreground,
    /// Repair, handoff, anti-entropy.
    Background,
}

/// Things that happened. The node counts and logs them; the simulator demands that they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// A read was coordinated.
    Get,
    /// A write was coordinated.
    Put,
    /// A delete was coordinated.
    Delete,
    /// A request was passed on to a node that can coordinate it.
    Forwarded,
    /// A fallback took the place of a primary in a write.
    FallbackWrite,
    /// A fallback coordinated a write.
    FallbackCoordinated,
    /// A write was stored as a hint.
    HintStored,
    /// A hint was delivered, acknowledged durably and dropped.
    HintDelivered,
    /// A stale replica was repaired after a read.
    ReadRepair,
    /// A fallback was filled after a read.
    FallbackRepair,
    /// A version arrived that had been superseded here, and was discarded by the clock.
    Superseded,
    /// A read found more than one sibling.
    SiblingsRead,
    /// An object was fetched by anti-entropy.
    AntiEntropyFetched,
    /// A vnode became current.
    CaughtUp,
    /// A read met a replica that was catching up and waited or asked on.
    WaitedForCatchUp,
    /// A log entry was dropped: every member has it durably.
    LogDropped,
    /// A log entry was dropped although a member lacks its write: the log had become too long.
    LogCut,
    /// A context was dropped whole.
    ContextDropped,
    /// Nothing was left of a deleted object.
    ObjectRemoved,
    /// A retry found its first try.
    RetryRecognised,
    /// Damaged data was met; the vnode claims no absence any more.
    DamageFound,
    /// A request ended by its deadline.
    DeadlineExceeded,
    /// A request failed for want of answers.
    QuorumNotMet,
    /// A peer asked for a dot that is in the clock and no longer in the log.
    DotGone,
    /// A vnode that lost something, or is too far behind, begins to be filled again from a peer.
    Rebuilding,
    /// It has been filled.
    Rebuilt,
    /// A vnode was read through and is whole.
    Scrubbed,
    /// A vnode was read through, and less was there than it had stored: something was lost without a sign.
    SilentLossFound,
    /// A range of keys was read and compared with all other replicas that could be asked.
    RangeRepaired,
    /// That showed that versions had been lost without a sign: they were put back.
    RangeLossFound,
    /// A peer holds something else than this vnode under the same clock.
    DigestsDiffer,
    /// Both were read through and seem whole: they take over from each other what they lack.
    ReplicasDiffer,
    /// A peer's durable clock is behind what it once confirmed for the same storage.
    PeerBehindItsWord,
    /// A version was removed because its time had passed.
    Expired,
    /// A version arrived whose time had passed: its write is known here now, its value was not stored.
    ExpiredOnArrival,
    /// A read found versions whose time had passed, and did not show them.
    ExpiredHidden,
    /// Of a vnode that is filled again, keys were passed over because both sides hold them alike.
    HeldAlike,
    /// Actors that write no more were sealed: it is agreed which writes they have left.
    Sealed,
    /// All actors of earlier generations were folded in one class.
    Folded,
    /// A version was removed because its dot is void: a late copy of a write that nobody was to have.
    LateCopyRemoved,
    /// A read showed a version although a replica had seen it and held nothing in its place: another one proved
    /// that nobody superseded it.
    DenialDisproved,
    /// Read repair brought what this vnode had seen and nothing says why it holds it no more: it is read through.
    DenialDoubted,
    /// A vnode began this life with less than it had once confirmed: its storage went back in time.
    OldStorageFound,
    /// A request of another epoch of its class was refused.
    Fenced,
    /// A write was shipped again, to the sets of a new epoch.
    ShippedAnew,
    /// A newcomer has all that the old members had.
    Joined,
    /// A vnode lost its place, and begins to hand over.
    Departing,
    /// All members have what a vnode without a place had: it was deleted.
    Departed,
    /// A node has a place again of which it had not given up the old copy.
    Regained,
    /// A vnode missed versions of the map in which its class moved.
    EpochsMissed,
    /// Copies travel more slowly, since requests take longer than they should.
    Throttled,
    /// A record of a dropped bucket was removed.
    DroppedRecord,
    /// Nothing is left of any dropped bucket.
    Swept,
    /// A vnode went with the last bucket that had keys in its class.
    ClassEnded,
}

/// What one step asks of the driver.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// To be written first, whole.
    pub batch: Batch,
    /// Its number; `None` when the batch is empty.
    pub seq: Option<BatchSeq>,
    /// Somebody waits for an fsync.
    pub sync_soon: bool,
    /// To be performed afterwards, in order.
    pub effects: Vec<Effect>,
}
