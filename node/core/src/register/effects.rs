//! What goes into a register and what comes out.

use quorate_protocol::RequestId;
use quorate_protocol::peer::{
    MapAccept, MapAccepted, MapAsk, MapDecided, MapForsake, MapForsaken, MapNewest, MapNotForsaken,
    MapPrepare, MapPromise, MapRecover, MapRecovered, MapRefused,
};
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use super::refusal::Refusal;
use super::version::{Draft, Version};
use crate::effects::Ticket;

/// A change of the map that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The same for every retry, at whatever node: at most one version is made for it.
    pub request: RequestId,
    /// The version from which the change was computed.
    pub base: MapName,
    /// What it changes, in a sentence.
    pub what: String,
    /// What the next version is to say.
    pub draft: Draft,
}

/// One event.
#[derive(Clone, Debug)]
pub enum RegisterInput {
    /// Somebody wants a change.
    Propose {
        /// Given back with the outcome.
        ticket: Ticket,
        /// The change.
        proposal: Box<Proposal>,
        /// What is left of its deadline, milliseconds.
        deadline_ms: u32,
    },
    /// An operator gives up members that are gone for good, so many that no majority is left.
    Recover {
        /// Given back with the outcome.
        ticket: Ticket,
        /// The same for every retry, at whatever node.
        request: RequestId,
        /// The members that are gone; every other one must answer.
        gone: Vec<NodeId>,
        /// What is left of its deadline, milliseconds.
        deadline_ms: u32,
    },
    /// A node's message. What a peer's heartbeat says to be the newest version there comes as a
    /// [`MapNewest`].
    Peer {
        /// Who sent it: proven by a certificate of this cluster.
        from: NodeId,
        /// The message.
        message: RegisterMessage,
    },
    /// The state of this number, and with it all earlier ones, is durable.
    Persisted(u64),
    /// Time has passed.
    Tick,
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterMessage {
    /// Take part in no earlier attempt.
    Prepare(MapPrepare),
    /// Promised.
    Promise(MapPromise),
    /// Accept a version.
    Accept(MapAccept),
    /// Accepted.
    Accepted(MapAccepted),
    /// Overtaken by a later attempt.
    Refused(MapRefused),
    /// The newest version that the sender knows to be decided.
    Newest(MapNewest),
    /// Please send it.
    Ask(MapAsk),
    /// A decided version.
    Decided(MapDecided),
    /// Give up this lineage.
    Forsake(MapForsake),
    /// Given up.
    Forsaken(MapForsaken),
    /// Accept the first version of the next lineage.
    Recover(MapRecover),
    /// Accepted.
    Recovered(MapRecovered),
    /// No part in this attempt to recover.
    NotForsaken(MapNotForsaken),
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterEffect {
    /// Replace the stored state by `bytes`, atomically, fsync, then report the number.
    Persist {
        /// Counts the states of this life, from 1.
        number: u64,
        /// The whole state.
        bytes: Vec<u8>,
    },
    /// Send a message. One to this node itself, which votes like any other, is handed back to it as if
    /// a peer had sent it.
    Send {
        /// The node.
        to: NodeId,
        /// The message.
        message: RegisterMessage,
    },
    /// A proposal has come to its end here.
    Outcome {
        /// Whose.
        ticket: Ticket,
        /// What became of it.
        outcome: Outcome,
    },
    /// A decided version is durable here, and is the newest.
    Changed(Version),
    /// Two versions of one number were decided: a storage was set back, or there is a bug. The version
    /// that is here stays; nothing is decided with the other side.
    Contradiction {
        /// The version here.
        here: MapName,
        /// The other one.
        there: MapName,
        /// Who has it.
        peer: NodeId,
    },
    /// The cluster was recovered without this node, which was called gone. What is here stays as it is, and nobody is
    /// to be served from it any more.
    GivenUp {
        /// The version by which it is so.
        by: MapName,
        /// Who has it.
        peer: NodeId,
    },
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is this version, whoever brought it about and whatever came after it.
    Made(MapName),
    /// It is none, or nobody knows yet: the refusal says which.
    Refused(Refusal),
}
