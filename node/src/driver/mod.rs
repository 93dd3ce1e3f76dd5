//! The driver: joins the core's replicas with the network and the storage, which do not know each
//! other, under the contract that `quorate-core` states.
//!
//! ```text
//!   network --> router --> shard inboxes --> shards: replica, one batch a step --> storage
//!                  |                           |   ^                                  |
//!                  +--> hub: membership,       |   +------- durable up to here -- sync loop
//!                       agreement on buckets   +--> outbox --> network
//! ```
//!
//! * `router`: decodes what arrives and finds its shard; refuses what cannot be queued.
//! * `shard`: a replica's loop; `inbox`, `outbox`, `tickets` are its queue, its frames, its debts.
//! * `sync`: the fsync that all shards share.
//! * `hub`: what concerns the node as a whole.
//!
//! Everything is generic over storage, network and [`Spawner`]: tests run several nodes in one
//! runtime over memory.

mod clock;
mod context;
mod counters;
mod hub;
mod inbox;
mod network;
mod outbox;
mod persist;
mod placement;
mod router;
mod shard;
mod spawn;
mod split;
mod status;
mod sync;
mod tickets;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quorate_core::agreement::{Agreement, AgreementError};
use quorate_core::membership::{self, Membership};
use quorate_core::{OpenError, Timing};
use quorate_protocol::map::ClusterMap;
use quorate_ring::NodeId;

use self::clock::Clock;
use self::context::Context;
pub use self::counters::{Counters, Event};
use self::hub::{Hub, HubEvent, HubOutlet, hub_inbox};
use self::inbox::{Control, Outlet, inbox};
pub use self::network::Network;
use self::persist::Persister;
use self::placement::Placement;
use self::router::Router;
use self::shard::Shard;
pub use self::spawn::{Ended, Job, OneRuntime, Spawner, Threads};
use self::sync::SyncDesk;
use self::tickets::Tickets;
use crate::identity::MapState;
use crate::net::NetHandler;
use crate::storage::Storage;

/// How long running requests may take to end when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// What a node is started with.
pub struct Setup<S> {
    /// This node.
    pub node: NodeId,
    /// The stored map and what the agreement remembers.
    pub map: MapState,
    /// Where that is stored; `None`: nowhere.
    pub map_file: Option<PathBuf>,
    /// The key of context tokens.
    pub token_key: [u8; 32],
    /// Shards, at least 1.
    pub shards: u16,
    /// The database.
    pub storage: Arc<S>,
    /// Waiting times of the replicas.
    pub timing: Timing,
    /// Waiting times of the failure detection.
    pub member_timing: membership::Timing,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stored buckets cannot be used.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// What is stored cannot be used.
    #[error(transparent)]
    Replica(#[from] OpenError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Spawn(#[from] io::Error),
    /// The network could not be started.
    #[error(transparent)]
    Network(#[from] crate::net::NetError),
}

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

/// Who runs what.
#[derive(Clone, Copy)]
pub struct Spawners<'a> {
    /// Runs the shards.
    pub shards: &'a dyn Spawner,
    /// Runs the syncing loop, which blocks.
    pub sync: &'a dyn Spawner,
}

/// Starts a node. `network` is given the handler of its events and delivers none before it returns.
/// Called within a tokio runtime, on which the hub runs.
///
/// # Errors
/// See [`StartError`].
pub fn start<S: Storage, N: Network + Clone>(
    setup: Setup<S>,
    spawners: Spawners<'_>,
    network: impl FnOnce(Arc<dyn NetHandler>) -> Result<N, crate::net::NetError>,
) -> Result<Driver<N>, StartError> {
    let Setup {
        node,
        map: stored,
        map_file,
        token_key,
        shards,
        storage,
        timing,
        member_timing,
    } = setup;
    let first_map = Arc::new(stored.map.clone());
    let agreement = Agreement::open(
        node,
        stored.map,
        stored.agreement.as_deref(),
        rand::random(),
    )?;
    let map = agreement.map();
    let (clock, counters) = (Clock::default(), Arc::new(Counters::default()));
    let placement = Arc::new(Placement::new(Arc::clone(&map)));
    let desk = Arc::new(SyncDesk::new(shards));
    let (outlets, inboxes): (Vec<Outlet>, Vec<_>) = (0..shards).map(|_| inbox()).unzip();
    let (hub, hub_queue) = hub_inbox();
    let incarnation = rand::random();
    let router = Arc::new(Router {
        node,
        incarnation,
        placement: Arc::clone(&placement),
        shards: outlets.clone(),
        hub: hub.clone(),
        counters: Arc::clone(&counters),
        clock,
        network: OnceLock::new(),
        stopping: AtomicBool::new(false),
    });
    let network = network(Arc::clone(&router) as Arc<dyn NetHandler>)?;
    // It was empty until now.
    let _ = router.network.set(network.clone());
    let context = Arc::new(Context {
        node,
        shards,
        token_key,
        timing,
        storage,
        network,
        counters: Arc::clone(&counters),
        clock,
        desk: Arc::clone(&desk),
    });
    let shards_ended = start_shards(&context, inboxes, &map, spawners.shards)?;
    let syncing = sync::run(
        Arc::clone(&context.storage),
        Arc::clone(&desk),
        outlets.clone(),
        Arc::clone(&counters),
    );
    let sync_ended = spawners.sync.spawn("sync", Box::pin(syncing))?;
    let persister = map_file.map(|file| Persister::start(file, first_map, hub.clone()));
    let peers = map
        .members
        .iter()
        .map(|member| member.id)
        .filter(|&member| member != node);
    let membership = Membership::new(node, incarnation, peers, member_timing, clock.now());
    let machines = Hub {
        context,
        inbox: hub_queue,
        own: hub.clone(),
        shards: outlets.clone(),
        membership,
        agreement,
        placement,
        tickets: Tickets::default(),
        persister,
        warnings: Vec::new(),
    };
    let hub_ended = OneRuntime.spawn("hub", Box::pin(machines.run()))?;
    Ok(Driver {
        router,
        shards: outlets,
        hub,
        desk,
        counters,
        shards_ended,
        hub_ended,
        sync_ended,
    })
}

fn start_shards<S: Storage, N: Network>(
    context: &Arc<Context<S, N>>,
    inboxes: Vec<inbox::Inbox>,
    map: &Arc<ClusterMap>,
    spawner: &dyn Spawner,
) -> Result<Vec<Ended>, StartError> {
    let mut opened = Vec::new();
    for (number, inbox) in (0..context.shards).zip(inboxes) {
        opened.push(Shard::open(
            number,
            Arc::clone(context),
            inbox,
            Arc::clone(map),
        )?);
    }
    let mut ended = Vec::new();
    for (number, (shard, replica)) in opened.into_iter().enumerate() {
        ended.push(spawner.spawn(&format!("shard-{number}"), Box::pin(shard.run(replica)))?);
    }
    Ok(ended)
}

impl<N: Network> Driver<N> {
    /// The node's counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The cluster map in force.
    #[must_use]
    pub fn map(&self) -> Arc<ClusterMap> {
        self.router.placement.map()
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
