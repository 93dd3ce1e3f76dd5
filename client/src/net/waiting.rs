//! Who waits for which reply on one connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_protocol::frame::Header;
use tokio::sync::oneshot;

type Reply = (Header, Bytes);

/// The requests that were sent and not answered yet.
#[derive(Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    closed: bool,
    senders: BTreeMap<u64, oneshot::Sender<Reply>>,
}

/// One request's place. Dropping it gives the place up: a late reply is then ignored.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    pub(super) request: u64,
    pub(super) reply: oneshot::Receiver<Reply>,
}

impl Waiting {
    /// Takes a place, or `None` when the connection has ended.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.next += 1;
        let request = state.next;
        let (sender, reply) = oneshot::channel();
        state.senders.insert(request, sender);
        drop(state);
        Some(Place {
            waiting: Arc::clone(self),
            request,
            reply,
        })
    }

    /// Hands a reply to whoever waits for it, if anybody still does.
    pub(super) fn deliver(&self, header: Header, body: Bytes) {
        let sender = self.lock().senders.remove(&header.request);
        if let Some(sender) = sender {
            // The receiver may have given up a moment ago.
            let _ = sender.send((header, body));
        }
    }

    /// The connection has ended: everybody learns it, and nobody enters any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.senders.clear();
    }

    /// Whether anybody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().senders.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and its parts are each whole at any moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.lock().senders.remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn header(request: u64) -> Header {
        Header {
            request,
            ..Header::default()
        }
    }

    #[test]
    fn replies_reach_their_requests_in_any_order() {
        let waiting = Arc::new(Waiting::default());
        let (mut one, mut two) = (waiting.enter().unwrap(), waiting.enter().unwrap());
        waiting.deliver(header(two.request), Bytes::from_static(b"2"));
        waiting.deliver(header(one.request), Bytes::from_static(b"1"));
        assert_eq!(one.reply.try_recv().unwrap().1, "1");
        assert_eq!(two.reply.try_recv().unwrap().1, "2");
    }

    #[test]
    fn who_gave_up_leaves_nothing_behind() {
        let waiting = Arc::new(Waiting::default());
        let place = waiting.enter().unwrap();
        let request = place.request;
        drop(place);
        assert!(waiting.is_empty());
        waiting.deliver(header(request), Bytes::new());
    }

    #[test]
    fn the_end_of_the_connection_is_told_to_all() {
        let waiting = Arc::new(Waiting::default());
        let mut place = waiting.enter().unwrap();
        waiting.close();
        assert_eq!(
            place.reply.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert!(waiting.enter().is_none());
    }
}
