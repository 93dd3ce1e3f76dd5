//! The queue in front of one shard: bounded for what comes from the network, never full for what
//! the node tells itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_core::store::{BatchSeq, StoreError};
use quorate_core::{ReplicaStandings, ReplicaStatus, ScrubOrdered};
use quorate_protocol::client::{ClientRequest, Moves, Scrub};
use quorate_protocol::frame::Header;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{Class, NodeId};
use tokio::sync::{mpsc, oneshot};

use crate::net::ClientKey;

use super::transfers;

/// Frames that may wait for one shard. The network keeps no more requests open than this.
const FRAMES_MAX: usize = 16 * 1024;
/// Bytes of frames that may wait for one shard; one larger frame is taken when none waits.
const BYTES_MAX: usize = 64 << 20;
/// Events handled in one step at most.
pub(super) const STEP_EVENTS_MAX: usize = 256;

/// A frame for a shard, decoded.
#[derive(Debug)]
pub(super) enum Frame {
    /// A client's request.
    Client {
        client: ClientKey,
        principal: Arc<str>,
        header: Header,
        request: ClientRequest,
    },
    /// A peer's message.
    Peer {
        from: NodeId,
        deadline_ms: u32,
        /// The request on whose behalf it was sent; 0: nobody's.
        trace: u64,
        message: PeerMessage,
    },
}

impl Frame {
    /// The request on whose behalf it came; 0: nobody's.
    pub(super) const fn trace(&self) -> u64 {
        match self {
            Self::Client { header, .. } => header.trace,
            Self::Peer { trace, .. } => *trace,
        }
    }
}

/// Which life of a shard's replica: counted up at each opening, so that a sync of an earlier life
/// is never taken for one of this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life(pub(super) u32);

/// What the node tells a shard.
#[derive(Debug)]
pub(super) enum Control {
    /// A client's connection is gone.
    ClientLost(ClientKey),
    /// A peer answers.
    PeerUp(NodeId),
    /// A peer does not answer.
    PeerDown(NodeId),
    /// The cluster map changed.
    Map(Arc<VersionedMap>),
    /// All batches of this life up to the number are durable.
    Synced(Life, BatchSeq),
    /// A sync failed.
    SyncFailed(StoreError),
    /// Writes may or may not be taken.
    Writable(bool),
    /// Report.
    Status(oneshot::Sender<ReplicaStatus>),
    /// Report where the vnodes of some classes stand.
    Standings {
        after: Option<Class>,
        classes_max: usize,
        report: oneshot::Sender<ReplicaStandings>,
    },
    /// An order to read vnodes through.
    Scrub(Scrub, oneshot::Sender<ScrubOrdered>),
    /// Take an order about copies on their way, and report.
    Moves(Moves, oneshot::Sender<transfers::Part>),
    /// Take what is in the queue, then end.
    Stop,
}

/// The sending half.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    frames: mpsc::Sender<(Frame, usize)>,
    control: mpsc::UnboundedSender<Control>,
    waiting: Arc<AtomicUsize>,
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct Inbox {
    frames: mpsc::Receiver<(Frame, usize)>,
    control: mpsc::UnboundedReceiver<Control>,
    waiting: Arc<AtomicUsize>,
    taken: Vec<(Frame, usize)>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// An empty queue.
pub(super) fn inbox() -> (Outlet, Inbox) {
    let (frames, frames_out) = mpsc::channel(FRAMES_MAX);
    let (control, control_out) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let inbox = Inbox {
        frames: frames_out,
        control: control_out,
        waiting: Arc::clone(&waiting),
        taken: Vec::new(),
    };
    (
        Outlet {
            frames,
            control,
            waiting,
        },
        inbox,
    )
}

impl Outlet {
    /// Queues a frame whose body had `bytes` bytes.
    pub(super) fn frame(&self, frame: Frame, bytes: usize) -> Result<(), Full> {
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= BYTES_MAX;
        if fits && self.frames.try_send((frame, bytes)).is_ok() {
            return Ok(());
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        Err(Full)
    }

    /// Tells the shard something. Never refused; a shard that has ended needs it no more.
    pub(super) fn tell(&self, control: Control) {
        let _ = self.control.send(control);
    }
}

/// What [`Inbox::next`] found.
#[derive(Debug)]
pub(super) enum Next {
    /// The node says something.
    Control(Control),
    /// Frames can be taken with [`Inbox::take_frames`].
    Frames,
    /// Nobody is left to send anything.
    Closed,
}

impl Inbox {
    /// Waits for the next event; what the node says goes first. Loses nothing when dropped halfway.
    pub(super) async fn next(&mut self) -> Next {
        if !self.taken.is_empty() {
            return Next::Frames;
        }
        tokio::select! {
            biased;
            control = self.control.recv() => control.map_or(Next::Closed, Next::Control),
            count = self.frames.recv_many(&mut self.taken, STEP_EVENTS_MAX) => {
                if count == 0 { Next::Closed } else { Next::Frames }
            }
        }
    }

    /// What the node has said, without waiting.
    pub(super) fn try_control(&mut self) -> Option<Control> {
        self.control.try_recv().ok()
    }

    /// The frames that [`Self::next`] found, in the order of their arrival.
    pub(super) fn take_frames(&mut self) -> impl Iterator<Item = Frame> {
        let bytes: usize = self.taken.iter().map(|(_, bytes)| bytes).sum();
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.taken.drain(..).map(|(frame, _)| frame)
    }
}
