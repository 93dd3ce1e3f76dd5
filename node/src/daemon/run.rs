//! `quorate-node run`: checks first, then the node, until a signal ends it.

use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use quorate_core::membership;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::backup::{self, Desk};
use crate::config::Config;
use crate::driver::{self, Driver, OneRuntime, Setup, Spawner, Spawners, Threads};
use crate::identity::{DataDir, MapState};
use crate::net::{self, NetHandle, NetParts, NetSettings};
use crate::sources::Sources;
use crate::storage::rocks::{Rocks, RocksSettings};
use crate::tls::Tls;

use super::checks::{Space, open_files, raise_descriptor_limit};
use super::metrics::MetricsFile;
use super::peers::Peers;
use super::{DaemonError, load_tls, logging};

/// How often free space and links are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the counters are written to the metrics file.
const METRICS_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether all files of the database are there.
const FILES_EVERY: Duration = Duration::from_secs(10);
/// How long the whole of a stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(9);

/// Everything that was checked before anything was changed.
struct Checked {
    config_path: PathBuf,
    config: Config,
    secret: [u8; 32],
    tls: Arc<Tls>,
    dir: DataDir,
    map: MapState,
    sockets: (UdpSocket, UdpSocket),
    descriptors: u64,
}

/// Runs the node that `config_path` describes, until SIGTERM or SIGINT.
///
/// # Errors
/// See [`DaemonError`].
pub fn run(config_path: &Path) -> Result<ExitCode, DaemonError> {
    let checked = check(config_path)?;
    logging::start(&checked.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System {
            what: "a runtime",
            source,
        })?;
    let ended = runtime.block_on(serve(checked));
    // A thread that hangs in a system call must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}

fn check(config_path: &Path) -> Result<Checked, DaemonError> {
    let config = Config::load(config_path)?;
    let secret = config.load_secret()?;
    logging::filter(&config)?;
    let tls = load_tls(&config)?;
    let descriptors = raise_descriptor_limit()?;
    let dir = DataDir::open(&config.data_dir, tls.node(), tls.cluster())?;
    let map = dir.load_map()?;
    let sockets = (
        net::bind(config.listen_peer)?,
        net::bind(config.listen_client)?,
    );
    let config_path = config_path.to_owned();
    Ok(Checked {
        config_path,
        config,
        secret,
        tls: Arc::new(tls),
        dir,
        map,
        sockets,
        descriptors,
    })
}

/// A node that serves.
struct Node {
    config_path: PathBuf,
    config: Config,
    driver: Driver<NetHandle>,
    storage: Arc<Rocks>,
    network: NetHandle,
    metrics: Option<MetricsFile>,
    dir: DataDir,
    backups: Arc<Desk>,
    peers: Peers,
    writable: bool,
    free_mb: u64,
    /// The warnings that the status report shows.
    told: Vec<String>,
}

async fn serve(checked: Checked) -> Result<ExitCode, DaemonError> {
    let system = |what| move |source| DaemonError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("SIGINT"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(system("SIGHUP"))?;
    let mut node = start(checked)?;
    node.announce();
    let (mut look, mut metrics) = (every(LOOK_EVERY), every(METRICS_EVERY));
    let mut files = every(FILES_EVERY);
    let maps = node.driver.map_changes();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => node.reload(),
            () = maps.next() => node.follow_map(),
            _ = look.tick() => node.look_around(),
            _ = files.tick() => node.check_files(),
            _ = metrics.tick() => node.write_metrics(),
            part = node.driver.broken() => return Err(DaemonError::Broken(part)),
        }
    }
    tracing::info!("stopping: new requests are refused, running ones end, everything is synced");
    tokio::select! {
        () = node.stop() => Ok(ExitCode::SUCCESS),
        () = second(&mut terminate, &mut interrupt) => Err(DaemonError::Hasty),
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn second(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn start(checked: Checked) -> Result<Node, DaemonError> {
    let Checked {
        config_path,
        config,
        secret,
        tls,
        dir,
        map,
        sockets,
        descriptors,
    } = checked;
    let identity = dir.identity();
    tracing::info!(node = %identity.node, cluster = %identity.cluster, build = crate::BUILD, "starting");
    if let Some(note) = dir.take_note()? {
        tracing::warn!("{note}");
    }
    let storage = Arc::new(open_storage(&config, &dir, descriptors)?);
    let backups = Arc::new(desk(&config, &dir, Arc::clone(&storage)));
    let setup = Setup {
        node: identity.node,
        map,
        voter: identity.storage,
        map_file: Some(dir.map_file()),
        token_key: secret,
        shards: config.shards,
        storage: Arc::clone(&storage),
        backups: Some(Arc::clone(&backups)),
        timing: config.timing(),
        member_timing: membership::Timing::default(),
        sources: Sources::system(),
    };
    let mut handle = None;
    let driver = driver::start(setup, spawners(config.shards), |handler| {
        let network = net::start(NetParts::on_sockets(
            sockets,
            tls,
            net_settings(&config),
            handler,
        )?)?;
        handle = Some(network.clone());
        Ok(network)
    })?;
    // The driver has called the closure: without a network there is no driver.
    let network = handle.ok_or(DaemonError::Broken("the network"))?;
    let metrics = config
        .metrics_file
        .clone()
        .map(|file| MetricsFile::new(file, &driver.counters()));
    let mut node = Node {
        config_path,
        config,
        driver,
        storage,
        network,
        metrics,
        dir,
        backups,
        peers: Peers::default(),
        writable: true,
        free_mb: 0,
        told: Vec::new(),
    };
    node.follow_map();
    node.look_around();
    Ok(node)
}

/// One shard runs beside the network, which saves a hand-over between threads for each frame.
fn spawners(shards: u16) -> Spawners<'static> {
    let shards: &dyn Spawner = if shards == 1 { &OneRuntime } else { &Threads };
    Spawners {
        shards,
        sync: &Threads,
    }
}

/// Spares the next start the replay of the log.
async fn flush(storage: Arc<Rocks>) {
    let flushed = tokio::task::spawn_blocking(move || storage.flush()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "not everything could be written into tables: the next start replays the log");
    }
}

/// Who makes backups of the node.
fn desk(config: &Config, dir: &DataDir, source: Arc<Rocks>) -> Desk {
    Desk::new(backup::Parts {
        settings: config.backup.clone(),
        data_dir: dir.path().to_owned(),
        identity: dir.identity(),
        source,
        reserve_mb: config.disk_reserve_mb,
        sources: Sources::system(),
        stop: AtomicBool::new(false),
    })
}

/// Opens the database; one that is damaged beyond opening is set aside, and the node starts without.
fn open_storage(config: &Config, dir: &DataDir, descriptors: u64) -> Result<Rocks, DaemonError> {
    let settings = RocksSettings {
        cache_bytes: mebibytes(config.cache_mb),
        open_files_max: open_files(descriptors),
    };
    let (path, aside) = (dir.database(), dir.damaged_database());
    let (rocks, damage) =
        Rocks::open_or_set_aside(&path, &aside, dir.identity().storage, settings)?;
    if let Some(damage) = damage {
        tracing::error!(%damage, "{}", set_aside_warning(&aside));
    }
    Ok(rocks)
}

fn set_aside_warning(aside: &Path) -> String {
    format!(
        "the database was damaged and is kept at {}: this node began with an empty one and claims no \
         absence until its peers have filled it; remove the old one when nobody needs it any more",
        aside.display()
    )
}

fn net_settings(config: &Config) -> NetSettings {
    let defaults = NetSettings::default();
    NetSettings {
        initial_mtu: config.initial_mtu.unwrap_or(defaults.initial_mtu),
        seed: rand::random(),
        ..defaults
    }
}

fn mebibytes(count: u32) -> usize {
    usize::try_from(u64::from(count) << 20).unwrap_or(usize::MAX)
}

impl Node {
    /// Tells who started the process that it serves. A closed output is no reason to end.
    fn announce(&self) {
        let address = |address: std::io::Result<std::net::SocketAddr>| {
            address.map_or_else(|_| "?".to_owned(), |address| address.to_string())
        };
        let (peer, client) = (
            address(self.network.peer_address()),
            address(self.network.client_address()),
        );
        let mut out = std::io::stdout();
        let _ = writeln!(
            out,
            "ready node={} peer={peer} client={client}",
            self.dir.identity().node
        );
        let _ = out.flush();
        tracing::info!(peer, client, shards = self.config.shards, "serving");
    }

    /// The network learns who the peers are by the newest map.
    fn follow_map(&mut self) {
        let map = self.driver.map();
        self.peers.follow(&map, Instant::now());
        self.set_peers();
    }

    fn set_peers(&self) {
        let (me, addresses) = (self.dir.identity().node, &self.config.peer_addresses);
        self.network.set_peers(self.peers.reached(me, addresses));
    }

    /// Reads certificates and peer addresses again; whatever is wrong leaves things as they were.
    fn reload(&mut self) {
        match self.network.reload_tls() {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(%error, "the certificates in force stay"),
        }
        match Config::load(&self.config_path) {
            Ok(config) => {
                self.config.peer_addresses = config.peer_addresses;
                self.set_peers();
                tracing::info!("peer addresses read again; other changes need a restart");
            }
            Err(error) => tracing::error!(%error, "the peer addresses in force stay"),
        }
    }

    /// Looks at what may have changed by itself, and tells the status report.
    fn look_around(&mut self) {
        match Space::look(self.dir.path(), self.config.disk_reserve_mb) {
            Ok(space) => self.judge_space(space),
            Err(error) => tracing::warn!(%error, "the free space cannot be found out"),
        }
        if self.peers.forget(Instant::now()) {
            self.set_peers();
        }
        let warnings = self.warnings();
        if warnings != self.told {
            self.driver.set_warnings(warnings.clone());
            self.told = warnings;
        }
    }

    fn judge_space(&mut self, space: Space) {
        self.free_mb = space.free_mb;
        let writable = space.writable(self.writable);
        if writable == self.writable {
            return;
        }
        self.writable = writable;
        self.driver.set_writable(writable);
        if writable {
            tracing::info!(
                free_mb = space.free_mb,
                "there is free space again: writes are taken"
            );
        } else {
            tracing::error!(
                free_mb = space.free_mb,
                reserve_mb = space.reserve_mb,
                "too little free space: writes are refused"
            );
        }
    }

    /// Lets a thread of its own look whether all files of the database are there.
    fn check_files(&self) {
        let storage = Arc::clone(&self.storage);
        drop(tokio::task::spawn_blocking(move || storage.check_files()));
    }

    /// What an operator should know as long as it is so.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let aside = self.dir.damaged_database();
        if aside.exists() {
            warnings.push(set_aside_warning(&aside));
        }
        if !self.writable {
            warnings.push(format!(
                "less than {} MiB are free where the data is: writes are refused",
                self.config.disk_reserve_mb
            ));
        }
        let links = self.network.links().into_iter();
        // Who is no member any more is expected to go.
        let broken = links.filter(|link| !link.up && self.peers.has_member(link.node));
        warnings
            .extend(broken.filter_map(|link| {
                Some(format!("no link to {}: {}", link.node, link.last_error?))
            }));
        warnings
    }

    fn write_metrics(&self) {
        let Some(file) = &self.metrics else { return };
        if let Err(error) = file.write(self.writable, self.free_mb) {
            tracing::warn!(%error, "the metrics file cannot be written");
        }
    }

    /// Ends everything in order; what does not end in time is left to the system.
    async fn stop(self) {
        let Self {
            driver,
            storage,
            network,
            dir,
            backups,
            ..
        } = self;
        let ordered = async {
            // It ends within a moment, as long as the disk answers.
            let _ = tokio::task::spawn_blocking(move || backups.stop()).await;
            driver.stop().await;
            let flushing = flush(Arc::clone(&storage));
            tokio::join!(network.close("the node is stopping"), flushing);
        };
        if tokio::time::timeout(STOP_PATIENCE, ordered).await.is_err() {
            tracing::error!(
                "the stop took too long and was cut short: the log holds everything acknowledged"
            );
        }
        // Held until here, so that no second process starts on the directory meanwhile.
        drop((storage, dir));
        tracing::info!("stopped");
    }
}
