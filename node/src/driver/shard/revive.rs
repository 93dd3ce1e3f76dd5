//! Between two lives of a shard: who waits is told, storage and replica are opened again.

use std::sync::Arc;
use std::time::Duration;

use quorate_core::Replica;
use quorate_core::store::StoreError;
use quorate_protocol::client::ClientReply;
use quorate_protocol::{ErrorCode, WireError};

use crate::storage::Storage;

use super::super::counters::Event;
use super::super::hub::HubEvent;
use super::super::inbox::{Frame, Life, Next};
use super::super::network::Network;
use super::super::outbox;
use super::Shard;

/// First and longest pause before storage is opened again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

impl<S: Storage, N: Network> Shard<S, N> {
    /// Ends a life: nothing that was not written has been promised, and who waits is told.
    pub(super) fn bury(&mut self, error: &StoreError) {
        tracing::error!(shard = self.number, %error, "storage failed: this shard takes no requests until it works again");
        self.context.counters.event(Event::StorageFailure);
        self.parked.clear();
        self.life = Life(self.life.0 + 1);
        self.committed = 0;
        self.synced = 0;
        let ring = self.map.map.ring.version();
        for waiting in self.tickets.close_all() {
            let reply = if waiting.writes {
                in_doubt()
            } else {
                storage_failed()
            };
            let (network, counters) = (&self.context.network, &self.context.counters);
            outbox::reply_now(
                network,
                counters,
                ring,
                waiting.client,
                &waiting.header,
                &reply,
            );
        }
    }

    /// Opens storage and replica again, however long that takes; `None` when the node stops.
    pub(super) async fn revive(&mut self) -> Option<Replica> {
        let mut pause = PAUSE_MIN;
        loop {
            if !self.sit_out(pause).await {
                return None;
            }
            pause = (pause * 2).min(PAUSE_MAX);
            let reopened = self.reopen().await;
            if self.stopping {
                return None;
            }
            match reopened {
                Ok(replica) => {
                    tracing::warn!(shard = self.number, "storage works again");
                    self.context.hub.tell(HubEvent::Reborn);
                    return Some(replica);
                }
                Err(error) => {
                    tracing::error!(shard = self.number, %error, "storage cannot be opened again; the next try is in {pause:?}");
                    self.context.counters.event(Event::StorageFailure);
                }
            }
        }
    }

    /// Opens storage and replica again. That takes long where storage has to find its way around damage;
    /// requests are refused meanwhile.
    async fn reopen(&mut self) -> Result<Replica, String> {
        let storage = Arc::clone(&self.context.storage);
        let mut reopening = tokio::task::spawn_blocking(move || storage.reopen());
        let reopened = loop {
            let next = tokio::select! {
                biased;
                reopened = &mut reopening => break reopened,
                next = self.inbox.next() => next,
            };
            if !self.refuse(&next) {
                return Err("the node stops".to_owned());
            }
        };
        reopened
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        self.gaps = self.context.storage.gaps();
        self.open_replica().map_err(|error| error.to_string())
    }

    /// Lets a pause pass in which every request is refused by name; `false` when the node stops.
    async fn sit_out(&mut self, pause: Duration) -> bool {
        let end = tokio::time::Instant::now() + pause;
        loop {
            let next = tokio::select! {
                biased;
                next = self.inbox.next() => next,
                () = tokio::time::sleep_until(end) => return !self.stopping,
            };
            if !self.refuse(&next) {
                return false;
            }
        }
    }

    /// Takes what arrives between two lives; `false` when the node stops.
    fn refuse(&mut self, next: &Next) -> bool {
        match next {
            Next::Control(control) => self.remember(control),
            Next::Frames => self.refuse_frames(),
            Next::Closed => self.stopping = true,
        }
        !self.stopping
    }

    fn refuse_frames(&mut self) {
        let (context, ring) = (&self.context, self.map.map.ring.version());
        for frame in self.inbox.take_frames() {
            match frame {
                Frame::Client { client, header, .. } => {
                    outbox::reply_now(
                        &context.network,
                        &context.counters,
                        ring,
                        client,
                        &header,
                        &storage_failed(),
                    );
                }
                // Peers ask again, or take a fallback.
                Frame::Peer { .. } => {}
            }
        }
    }
}

fn storage_failed() -> ClientReply {
    let text = "this node's storage does not work at the moment: ask another node";
    WireError::new(ErrorCode::StorageFailed, text)
        .retry_after(1_000)
        .into()
}

/// For a write that was under way: another node may have stored it already.
fn in_doubt() -> ClientReply {
    let text = "this node's storage failed while the write was under way: other nodes may have stored it; \
                retry with the same request id on another node";
    WireError::new(ErrorCode::InDoubt, text)
        .retry_after(10)
        .into()
}
