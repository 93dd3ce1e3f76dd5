//! The driver: joins the core's replicas with the network and the storage, which do not know each
//! other, under the contract that `quorate-core` states.
//!
//! ```text
//!   network --> router --> shard inboxes --> shards: replica, one batch a step --> storage
//!                  |                           |   ^                                  |
//!                  +--> hub: membership,       |   +------- durable up to here -- sync loop
//!                       keeper of the map      +--> outbox --> network
//! ```
//!
//! * `start`: puts the pieces together.
//! * `router`: decodes what arrives and finds its shard; refuses what cannot be queued.
//! * `shard`: a replica's loop, and `shard/revive`, its way back after a failure of storage; `inbox`, `outbox`, `tickets` are its queue, its frames, its debts.
//! * `sync`: the fsync that all shards share.
//! * `hub`: what concerns the node as a whole.
//!
//! Everything is generic over storage, network and [`Spawner`], and draws randomness and the time of
//! day from [`crate::sources`]: tests run several nodes in one runtime over memory, and get the same
//! run again from the same seed. For that every `select!` of driver and network names its order.

mod clock;
mod context;
mod counters;
mod door;
mod hub;
mod inbox;
mod maps;
mod network;
mod orders;
mod outbox;
mod persist;
mod placement;
mod requests;
mod router;
mod scrub;
mod shard;
mod spawn;
mod split;
mod standings;
mod start;
mod status;
mod sync;
mod tickets;
mod transfers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_protocol::versioned::VersionedMap;

pub use self::counters::{Counters, Event};
use self::hub::{HubEvent, HubOutlet};
use self::inbox::{Control, Outlet};
pub use self::network::Network;
use self::placement::Placement;
use self::router::Router;
pub use self::spawn::{Ended, Job, OneRuntime, Spawner, Threads};
pub use self::start::{Setup, Spawners, StartError, start};
use self::sync::SyncDesk;

/// How long running requests may take to end when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// A running node.
pub struct Driver<N> {
    router: Arc<Router<N>>,
    shards: Vec<Outlet>,
    hub: HubOutlet,
    desk: Arc<SyncDesk>,
    counters: Arc<Counters>,
    shards_ended: Vec<Ended>,
    hub_ended: Ended,
    sync_ended: Ended,
}

/// Tells when another version of the cluster map is in force. For one listener.
#[derive(Debug)]
pub struct MapChanges(Arc<Placement>);

impl MapChanges {
    /// Waits for a version that was not there at the last call, however many came since.
    pub async fn next(&self) {
        self.0.changed().await;
    }
}

impl<N: Network> Driver<N> {
    /// The node's counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The version of the cluster map that is in force here.
    #[must_use]
    pub fn map(&self) -> Arc<VersionedMap> {
        self.router.placement.map()
    }

    /// The versions of the cluster map that come into force here.
    #[must_use]
    pub fn map_changes(&self) -> MapChanges {
        MapChanges(Arc::clone(&self.router.placement))
    }

    /// Says whether writes can be taken.
    pub fn set_writable(&self, writable: bool) {
        for shard in &self.shards {
            shard.tell(Control::Writable(writable));
        }
    }

    /// What an operator should know, for the status report; replaces what was said before.
    pub fn set_warnings(&self, warnings: Vec<String>) {
        self.hub.tell(HubEvent::Warn(warnings));
    }

    /// Resolves when one of the node's loops has ended by itself, which is a bug: names it.
    pub async fn broken(&mut self) -> &'static str {
        let shards = std::future::poll_fn(|task| {
            let any = self
                .shards_ended
                .iter_mut()
                .any(|ended| std::pin::Pin::new(ended).poll(task).is_ready());
            if any {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        });
        tokio::select! {
            biased;
            () = shards => "a shard",
            _ = &mut self.hub_ended => "the hub",
            _ = &mut self.sync_ended => "the syncing loop",
        }
    }

    /// Refuses new requests, lets those that run end for some seconds, and syncs. The network is
    /// still open afterwards, for its owner to close.
    pub async fn stop(self) {
        self.router.stopping.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            shard.tell(Control::Stop);
        }
        let all = async {
            for ended in self.shards_ended {
                // A shard that panicked has ended too.
                let _ = ended.await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, all).await.is_err() {
            tracing::warn!(
                "requests were still running {STOP_PATIENCE:?} after the stop; their clients are told by the closing"
            );
        }
        self.desk.stop();
        if tokio::time::timeout(STOP_PATIENCE, self.sync_ended)
            .await
            .is_err()
        {
            tracing::error!(
                "the last sync did not end in time: what was not synced is in the log all the same"
            );
        }
        self.hub.tell(HubEvent::Stop);
        let _ = tokio::time::timeout(Duration::from_millis(200), self.hub_ended).await;
    }
}
