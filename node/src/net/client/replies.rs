//! One client's open requests and waiting replies: what is admitted, and which way a reply takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use quorate_protocol::client::ClientReply;
use quorate_protocol::frame::{Header, peek, write};
use quorate_protocol::{ErrorCode, WireError};
use tokio::sync::Notify;

use super::super::bounds::{
    CLIENT_LARGE_BYTES_MAX, CLIENT_OPEN_MAX, CLIENT_SMALL_BYTES_MAX, CLIENT_SMALL_BYTES_PAUSE,
    RETRY_AFTER_MS, TOTAL_OPEN_MAX,
};
use super::super::events::ClientKey;
use super::super::queue::{ByteQueue, Total};
use super::super::send::SMALL_FRAME_BYTES_MAX;

/// The replying side of a client's connection.
pub(crate) struct Client {
    pub(super) key: ClientKey,
    pub(super) principal: Arc<str>,
    pub(super) small: Arc<ByteQueue>,
    pub(super) large: Arc<ByteQueue>,
    open: AtomicUsize,
    total_open: Arc<AtomicUsize>,
    idle: Notify,
}

impl Client {
    pub(super) fn new(
        key: ClientKey,
        principal: Arc<str>,
        total: &Arc<Total>,
        open: &Arc<AtomicUsize>,
    ) -> Self {
        Self {
            key,
            principal,
            small: Arc::new(ByteQueue::new(CLIENT_SMALL_BYTES_MAX, total)),
            large: Arc::new(ByteQueue::new(CLIENT_LARGE_BYTES_MAX, total)),
            open: AtomicUsize::new(0),
            total_open: Arc::clone(open),
            idle: Notify::new(),
        }
    }

    /// Counts a request as open if there is room for it.
    pub(super) fn admit(&self) -> Result<(), WireError> {
        if self.open.load(Ordering::Relaxed) >= CLIENT_OPEN_MAX {
            return Err(overloaded(format!(
                "{CLIENT_OPEN_MAX} requests of this connection are open already"
            )));
        }
        if self.total_open.load(Ordering::Relaxed) >= TOTAL_OPEN_MAX {
            return Err(overloaded(format!(
                "{TOTAL_OPEN_MAX} requests are open at this node already"
            )));
        }
        if self.large.is_full() {
            return Err(overloaded(
                "too many bytes of replies wait for this connection or this node already",
            ));
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.total_open.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Queues the reply to one request. A large reply without room becomes `overloaded`, unless it
    /// tells what a write did: its number is bounded by the open requests, so it is kept.
    pub(super) fn reply(&self, frame: Bytes) {
        self.answered();
        let queue = if frame.len() <= SMALL_FRAME_BYTES_MAX {
            &self.small
        } else {
            &self.large
        };
        let Err(refused) = queue.push(frame.clone()) else {
            return;
        };
        match peek(&frame) {
            Ok(Some((header, _))) if may_be_replaced(header.opcode) => {
                let bytes = frame.len();
                self.refuse(
                    &header,
                    &overloaded(format!("no room for a reply of {bytes} bytes: {refused}")),
                );
            }
            Ok(_) | Err(_) => queue.force(frame),
        }
    }

    /// Queues the refusal of a request that was not admitted, or of a reply.
    pub(super) fn refuse(&self, request: &Header, error: &WireError) {
        self.small.force(failure(request, error));
    }

    /// Waits until the client has taken enough of its small replies.
    pub(super) async fn until_reading(&self) {
        self.small.until_below(CLIENT_SMALL_BYTES_PAUSE).await;
    }

    /// Waits until no request is open.
    pub(super) async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            idle.await;
        }
    }

    fn answered(&self) {
        let before = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                open.checked_sub(1)
            });
        if before.is_ok() {
            self.total_open.fetch_sub(1, Ordering::Relaxed);
        }
        if before == Ok(1) {
            self.idle.notify_waiters();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.total_open
            .fetch_sub(self.open.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A failure in answer to `request`.
fn failure(request: &Header, error: &WireError) -> Bytes {
    let reply = ClientReply::Failed(error.clone());
    let header = Header {
        opcode: reply.opcode(),
        count: 1,
        request: request.request,
        trace: request.trace,
        ..Header::default()
    };
    let mut out = Vec::new();
    write(&header, &mut out, |body| reply.encode_body(body));
    Bytes::from(out)
}

pub(super) fn overloaded(message: impl Into<String>) -> WireError {
    WireError::new(ErrorCode::Overloaded, message.into()).retry_after(RETRY_AFTER_MS)
}

/// Whether a reply is to a request that changed nothing, by its opcode on the client wire.
fn may_be_replaced(opcode: u16) -> bool {
    // Got, KeyPage, Map, Pong and StatusReport.
    matches!(opcode, 0x8101 | 0x8104 | 0x8105 | 0x8106 | 0x8302)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_protocol::frame::Reader;

    use super::*;

    fn client() -> Client {
        Client::new(
            ClientKey(1),
            Arc::from("alice"),
            &Arc::default(),
            &Arc::default(),
        )
    }

    fn frame(opcode: u16, request: u64, body_bytes: usize) -> Bytes {
        let mut out = Vec::new();
        let header = Header {
            opcode,
            request,
            count: 1,
            ..Header::default()
        };
        write(&header, &mut out, |body| {
            body.resize(body.len() + body_bytes, 7)
        });
        Bytes::from(out)
    }

    async fn next_small(client: &Client) -> (Header, ClientReply) {
        let mut reader = Reader::new(1 << 20);
        reader.push(&client.small.take_one().await.unwrap());
        let (header, body) = reader.next_frame().unwrap().unwrap();
        (
            header,
            ClientReply::decode_body(header.opcode, &body).unwrap(),
        )
    }

    #[test]
    fn open_requests_are_bounded_and_answers_make_room() {
        let client = client();
        for _ in 0..CLIENT_OPEN_MAX {
            client.admit().unwrap();
        }
        let refused = client.admit().unwrap_err();
        assert_eq!(refused.code, ErrorCode::Overloaded);
        assert!(refused.retry_after_ms.is_some());
        client.reply(frame(0x8102, 1, 10));
        client.admit().unwrap();
    }

    #[test]
    fn a_client_that_goes_gives_back_its_part_of_the_total() {
        let total_open = Arc::default();
        let client = Client::new(
            ClientKey(1),
            Arc::from("alice"),
            &Arc::default(),
            &total_open,
        );
        client.admit().unwrap();
        client.admit().unwrap();
        client.reply(frame(0x8102, 1, 10));
        assert_eq!(total_open.load(Ordering::Relaxed), 1);
        drop(client);
        assert_eq!(total_open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_large_read_without_room_is_refused_and_a_write_s_reply_kept() {
        let client = client();
        client.reply(frame(0x8101, 1, CLIENT_LARGE_BYTES_MAX));
        assert!(
            client.admit().is_err(),
            "no new request while replies fill the queue"
        );
        client.reply(frame(0x8101, 2, 1 << 20));
        let (header, reply) = next_small(&client).await;
        assert_eq!(header.request, 2);
        assert!(matches!(reply, ClientReply::Failed(error) if error.code == ErrorCode::Overloaded));
        let before = client.large.bytes();
        client.reply(frame(0x8102, 3, 1 << 20));
        assert!(client.large.bytes() > before);
    }

    #[test]
    fn every_reply_of_the_wire_is_known_as_replaceable_or_not() {
        let replaceable: Vec<_> = ClientReply::OPCODES
            .iter()
            .filter(|(opcode, _)| may_be_replaced(*opcode))
            .map(|(_, name)| *name)
            .collect();
        assert_eq!(
            replaceable,
            ["Got", "KeyPage", "Map", "Pong", "StatusReport"]
        );
    }
}
