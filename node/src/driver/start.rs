//! Putting a node together: queues first, then the network that fills them, then those who empty
//! them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use quorate_core::keeper::Keeper;
use quorate_core::membership::{self, Membership};
use quorate_core::register::{Pace, RegisterConfig, Version};
use quorate_core::{OpenError, Timing};
use quorate_protocol::StorageId;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;

use crate::backup::Desk;
use crate::identity::{MapState, MapStateError};
use crate::net::{NetError, NetHandler};
use crate::sources::Sources;
use crate::storage::Storage;

use super::Driver;
use super::clock::Clock;
use super::context::{Context, Map};
use super::counters::Counters;
use super::door::Door;
use super::hub::{Hub, HubInbox, HubOutlet, hub_inbox};
use super::inbox::{Inbox, Outlet, inbox};
use super::network::Network;
use super::persist::Persister;
use super::placement::Placement;
use super::router::Router;
use super::shard::Shard;
use super::spawn::{Ended, OneRuntime, Spawner};
use super::sync::{self, SyncDesk};
use super::tickets::Tickets;

/// What a node is started with.
pub struct Setup<S> {
    /// This node.
    pub node: NodeId,
    /// The stored map and what the register remembers.
    pub map: MapState,
    /// The storage that remembers it: drawn anew for a new directory and at every restore from a backup, and at
    /// every start where nothing outlives the process.
    pub voter: StorageId,
    /// Where that is stored; `None`: nowhere.
    pub map_file: Option<PathBuf>,
    /// The key of context tokens.
    pub token_key: [u8; 32],
    /// Shards, at least 1.
    pub shards: u16,
    /// The database.
    pub storage: Arc<S>,
    /// Who makes backups of it; `None`: nobody.
    pub backups: Option<Arc<Desk>>,
    /// Waiting times of the replicas.
    pub timing: Timing,
    /// Waiting times of the failure detection.
    pub member_timing: membership::Timing,
    /// Randomness and the time of day.
    pub sources: Sources,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The stored map cannot be used.
    #[error(transparent)]
    Map(#[from] MapStateError),
    /// What is stored cannot be used.
    #[error(transparent)]
    Replica(#[from] OpenError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Spawn(#[from] io::Error),
    /// The network could not be started.
    #[error(transparent)]
    Network(#[from] NetError),
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
    network: impl FnOnce(Arc<dyn NetHandler>) -> Result<N, NetError>,
) -> Result<Driver<N>, StartError> {
    let keeper = keeper(&setup)?;
    let map = keeper.map();
    let (outlets, inboxes): (Vec<Outlet>, Vec<Inbox>) = (0..setup.shards).map(|_| inbox()).unzip();
    let (hub, hub_inbox) = hub_inbox();
    let router = Arc::new(router(&setup, &map, outlets.clone(), hub.clone()));
    let network = network(Arc::clone(&router) as Arc<dyn NetHandler>)?;
    // It was empty until now.
    let _ = router.network.set(network.clone());
    let context = Arc::new(context(&setup, &router, network));
    let shards_ended = start_shards(&context, inboxes, &map, spawners.shards)?;
    let (storage, desk) = (Arc::clone(&context.storage), Arc::clone(&context.desk));
    let syncing = sync::run(
        storage,
        desk,
        outlets.clone(),
        Arc::clone(&context.counters),
    );
    let sync_ended = spawners.sync.spawn("sync", Box::pin(syncing))?;
    let (desk, counters) = (Arc::clone(&context.desk), Arc::clone(&context.counters));
    let machines = machines(setup, context, &router, keeper, hub_inbox);
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

fn keeper<S>(setup: &Setup<S>) -> Result<Keeper, MapStateError> {
    let stored = &setup.map;
    let config = RegisterConfig {
        me: setup.node,
        storage: setup.voter,
        pace: Pace::default(),
    };
    let given = Version::seal(stored.given.clone())?;
    let seed = setup.sources.seed();
    Ok(Keeper::open(
        config,
        given,
        stored.register.as_deref(),
        seed,
    )?)
}

fn router<S, N>(setup: &Setup<S>, map: &Map, shards: Vec<Outlet>, hub: HubOutlet) -> Router<N> {
    Router {
        node: setup.node,
        incarnation: setup.sources.number(),
        placement: Arc::new(Placement::new(Arc::clone(map))),
        shards,
        hub,
        counters: Arc::new(Counters::default()),
        clock: Clock::new(setup.sources.clone()),
        network: OnceLock::new(),
        stopping: AtomicBool::new(false),
    }
}

fn context<S, N>(setup: &Setup<S>, router: &Router<N>, network: N) -> Context<S, N> {
    Context {
        node: setup.node,
        shards: setup.shards,
        token_key: setup.token_key,
        timing: setup.timing,
        storage: Arc::clone(&setup.storage),
        network,
        counters: Arc::clone(&router.counters),
        clock: router.clock.clone(),
        sources: setup.sources.clone(),
        desk: Arc::new(SyncDesk::new(setup.shards)),
        hub: router.hub.clone(),
    }
}

fn machines<S, N>(
    setup: Setup<S>,
    context: Arc<Context<S, N>>,
    router: &Router<N>,
    keeper: Keeper,
    inbox: HubInbox,
) -> Hub<S, N> {
    let (newest, hub) = (keeper.register().newest(), router.hub.clone());
    let members = newest.map().map.members.clone();
    let peers = members
        .iter()
        .map(|member| member.id)
        .filter(|&member| member != setup.node);
    let now = router.clock.now();
    let membership = Membership::new(
        setup.node,
        router.incarnation,
        newest.name(),
        peers,
        setup.member_timing,
        now,
    );
    let persister = setup
        .map_file
        .map(|file| Persister::start(file, setup.map.given, hub.clone()));
    Hub {
        context,
        inbox,
        own: hub,
        shards: router.shards.clone(),
        membership,
        keeper,
        placement: Arc::clone(&router.placement),
        tickets: Tickets::default(),
        persister,
        backups: setup.backups,
        warnings: Vec::new(),
        door: Door::default(),
        contradictions: BTreeMap::new(),
    }
}

fn start_shards<S: Storage, N: Network>(
    context: &Arc<Context<S, N>>,
    inboxes: Vec<Inbox>,
    map: &Arc<VersionedMap>,
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
