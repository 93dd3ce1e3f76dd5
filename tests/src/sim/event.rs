//! What can happen in a world, and in which order.

use bytes::Bytes;
use quorate_core::Ticket;
use quorate_protocol::client::ClientRequest;
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use super::clients::ClientEvent;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Deliver {
        to: usize,
        life: u64,
        from: NodeId,
        opcode: u16,
        body: Bytes,
        deadline_ms: u32,
    },
    /// Node, life, shard.
    Run(usize, u64, u16),
    /// Node, life.
    Wake(usize, u64),
    SyncAt(usize, u64),
    /// Node, life, the last batch, and whether it worked.
    SyncDone(usize, u64, u64, bool),
    /// Node, life, number of the map's state, the state.
    Persisted(usize, u64, u64, Vec<u8>),
    /// Node, life, shard.
    Revive(usize, u64, u16),
    Request {
        node: usize,
        ticket: Ticket,
        request: Box<ClientRequest>,
        deadline_ms: u32,
    },
    Client(usize, ClientEvent),
    Fault,
    Restart(usize),
    Resume(usize, u64),
    Mend(u64),
    /// Whoever decides on members looks at the cluster.
    Operator,
    /// A node is turned away at a member's door: node, life, and the version by which it is.
    TurnedAway(usize, u64, MapName),
    /// A disk works again as it should: node, and which trouble ends.
    DiskWorks(usize, DiskTrouble),
}

/// What a disk can suffer from for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskTrouble {
    Reads,
    Full,
    SlowSyncs,
}

impl Event {
    /// A number for the trace: what kind of event it is.
    pub(super) const fn number(&self) -> u64 {
        match self {
            Self::Deliver { opcode, .. } => 0x10000 + *opcode as u64,
            Self::Run(..) => 1,
            Self::Wake(..) => 2,
            Self::SyncAt(..) => 3,
            Self::SyncDone(..) => 4,
            Self::Request { .. } => 5,
            Self::Client(..) => 6,
            Self::Fault => 7,
            Self::Restart(_) => 8,
            Self::Resume(..) => 9,
            Self::Mend(_) => 10,
            Self::Persisted(..) => 11,
            Self::Revive(..) => 12,
            Self::DiskWorks(..) => 13,
            Self::Operator => 14,
            Self::TurnedAway(..) => 15,
        }
    }

    pub(super) fn node(&self) -> usize {
        match self {
            Self::Deliver { to, .. } => *to,
            Self::Run(node, ..)
            | Self::Wake(node, _)
            | Self::SyncAt(node, _)
            | Self::SyncDone(node, ..)
            | Self::Persisted(node, ..)
            | Self::Revive(node, ..)
            | Self::DiskWorks(node, _)
            | Self::Request { node, .. }
            | Self::Restart(node)
            | Self::TurnedAway(node, ..)
            | Self::Resume(node, _) => *node,
            Self::Client(client, _) => *client,
            Self::Fault | Self::Mend(_) | Self::Operator => 0,
        }
    }

    /// Its bytes for the trace.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Deliver { body, .. } => body,
            Self::Persisted(_, _, _, bytes) => bytes,
            Self::Run(..)
            | Self::Wake(..)
            | Self::SyncAt(..)
            | Self::SyncDone(..)
            | Self::Revive(..)
            | Self::DiskWorks(..)
            | Self::Request { .. }
            | Self::Client(..)
            | Self::Fault
            | Self::Restart(_)
            | Self::Resume(..)
            | Self::Mend(_)
            | Self::TurnedAway(..)
            | Self::Operator => &[],
        }
    }
}

/// An event and when it happens. The event is boxed: a heap moves its members about.
pub(super) struct Scheduled {
    /// Time and number in one, so that a single comparison orders them.
    order: u128,
    pub(super) event: Box<Event>,
}

impl Scheduled {
    /// Of the events at one time, microseconds, the one with the smaller number comes first.
    pub(super) fn new(at_us: u64, number: u64, event: Event) -> Self {
        Self {
            order: u128::from(at_us) << 64 | u128::from(number),
            event: Box::new(event),
        }
    }

    /// When it happens, microseconds.
    pub(super) const fn at_us(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.order.to_be_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}
