//! Messages that may not be listened to yet: it is not durable that their sender was alive.

use std::collections::VecDeque;

use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;

/// Messages held back at most; what comes beyond is dropped as if the network had lost it.
const HELD_MAX: usize = 4096;

/// One message that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) from: NodeId,
    pub(crate) message: PeerMessage,
    /// When its deadline is over, monotonic microseconds; `None`: it has none.
    pub(crate) deadline_us: Option<u64>,
}

/// Messages in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Held(VecDeque<Waiting>);

impl Held {
    /// Keeps a message.
    pub(crate) fn keep(&mut self, waiting: Waiting) {
        if self.0.len() < HELD_MAX {
            self.0.push_back(waiting);
        }
    }

    /// Takes all of them out.
    pub(crate) fn release(&mut self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.0)
    }
}
