//! A running cluster, and what can be done to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_client::{Bucket, Client, NodeId, Profile, StatusReport};
use quorate_ring::Class;
use tempfile::TempDir;

use crate::relay::Relay;

use super::ground::{located, route_through_relay, shims, wrapper};
use super::provisioned::name;
use super::{
    Namespaces, NodeProcess, Orders, Programs, Provisioned, Settings, Shim, Signal, Trouble,
    Watchdog, until,
};

/// A node's place in its cluster, from 0.
pub type Index = usize;

/// The bucket that every cluster starts with.
const BUCKET: &str = "default";
/// Of every request that says nothing else: longer than a busy machine needs.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a node may take to end after SIGTERM: the promise is 10 s.
const STOP_WAIT: Duration = Duration::from_secs(100);

/// The nodes that a key concerns, in the order of its preference list.
#[derive(Clone, Debug)]
pub struct Members {
    /// P1, P2, P3.
    pub primaries: Vec<Index>,
    /// F4, F5.
    pub fallbacks: Vec<Index>,
}

/// A cluster of processes. They end, and its files are deleted, when it is dropped; after
/// [`Cluster::keep_files`] or a panic the files stay and their place is printed.
pub struct Cluster {
    pub(super) nodes: Vec<NodeProcess>,
    pub(super) files: Provisioned,
    pub(super) programs: Programs,
    pub(super) client: Client,
    pub(super) watchdog: Arc<Watchdog>,
    /// Nodes that are no members any more.
    pub(super) left: BTreeSet<Index>,
    paused: BTreeSet<Index>,
    relay: Option<Relay>,
    shims: Vec<Shim>,
    namespaces: Option<Namespaces>,
    keep: bool,
    // Dropped after the processes that use it.
    dir: Option<TempDir>,
}

impl Cluster {
    /// Makes a cluster and starts all its nodes. Returns when they serve, see each other, and all
    /// their vnodes are current.
    ///
    /// # Errors
    /// Something of that did not happen; the end of the node's log is in the error.
    pub async fn start(programs: &Programs, settings: &Settings) -> Result<Self, Trouble> {
        let dir = TempDir::with_prefix("quorate-").map_err(Trouble::io("a temporary directory"))?;
        let namespaces = settings
            .namespaces
            .then(|| Namespaces::create(settings.nodes))
            .transpose()?;
        let settings = &located(settings, namespaces.as_ref());
        let files = Provisioned::create(dir.path(), programs, settings)?;
        let relay = if settings.relayed {
            Some(route_through_relay(&files).await?)
        } else {
            None
        };
        let watchdog = Arc::new(Watchdog::start(
            &dir.path().join("processes"),
            &programs.node,
        )?);
        let mut nodes: Vec<NodeProcess> = (0..settings.nodes)
            .map(|index| {
                NodeProcess::new(
                    &name(index),
                    &files.node_dir(index),
                    programs,
                    Arc::clone(&watchdog),
                )
            })
            .collect();
        let shims = shims(&files, settings)?;
        for (node, shim) in nodes.iter_mut().zip(&shims) {
            node.set_environment(shim.environment());
        }
        for (index, node) in nodes.iter_mut().enumerate() {
            node.set_wrapper(wrapper(namespaces.as_ref(), index));
        }
        nodes.iter_mut().try_for_each(NodeProcess::spawn)?;
        for node in &mut nodes {
            node.ready().await?;
        }
        let client = connect(&files, files.seeds()).await?;
        let cluster = Self {
            nodes,
            files,
            programs: programs.clone(),
            client,
            watchdog,
            left: BTreeSet::new(),
            paused: BTreeSet::new(),
            relay,
            shims,
            namespaces,
            keep: false,
            dir: Some(dir),
        };
        cluster.settled().await?;
        Ok(cluster)
    }

    /// The directory of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.files.dir
    }

    /// What the cluster was made from.
    #[must_use]
    pub const fn files(&self) -> &Provisioned {
        &self.files
    }

    /// The programs it runs.
    #[must_use]
    pub const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// One node's data directory.
    #[must_use]
    pub fn data_dir(&self, node: Index) -> PathBuf {
        self.files.node_dir(node).join("data")
    }

    /// A node's process.
    #[must_use]
    pub fn node(&mut self, node: Index) -> &mut NodeProcess {
        &mut self.nodes[node]
    }

    /// All nodes that are members, or to be some.
    pub fn all(&self) -> impl Iterator<Item = Index> + use<> {
        let left = self.left.clone();
        (0..self.nodes.len()).filter(move |node| !left.contains(node))
    }

    /// Nodes whose process was started, and neither ended nor paused.
    pub fn up(&self) -> impl Iterator<Item = Index> {
        self.all()
            .filter(|&node| self.nodes[node].is_started() && !self.paused.contains(&node))
    }

    /// A node's id.
    ///
    /// # Errors
    /// There is no such node.
    pub fn id(&self, node: Index) -> Result<NodeId, Trouble> {
        self.files.id(node)
    }

    /// The place of the node with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn index(&self, id: NodeId) -> Result<Index, Trouble> {
        let found = self
            .all()
            .find(|&node| self.files.id(node).is_ok_and(|known| known == id));
        found.ok_or_else(|| Trouble::Made(format!("{id} is no node of this cluster")))
    }

    /// A client with the administrator's certificate and all nodes as seeds.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Another such client, with connections of its own.
    ///
    /// # Errors
    /// No node answers.
    pub async fn new_client(&self) -> Result<Client, Trouble> {
        connect(&self.files, self.files.seeds()).await
    }

    /// The first bucket, through whichever node the client chooses.
    #[must_use]
    pub fn bucket(&self) -> Bucket {
        self.client.bucket(BUCKET)
    }

    /// The first bucket, with one node as coordinator: it must be a replica of the key or a
    /// reachable fallback, or else it passes the request on.
    ///
    /// # Errors
    /// There is no such node.
    pub fn at(&self, node: Index) -> Result<Bucket, Trouble> {
        Ok(self.client.through(self.id(node)?).bucket(BUCKET))
    }

    /// Who holds a key of the first bucket, and who stands in.
    ///
    /// # Errors
    /// The map does not know that bucket.
    pub fn members_of(&self, key: &str) -> Result<Members, Trouble> {
        let map = self.client.map();
        let bucket = map
            .bucket_named(BUCKET)
            .ok_or_else(|| Trouble::Made("no bucket".to_owned()))?;
        let class = Class {
            n: bucket.props.n,
            partition: map.ring.partition_of(bucket.id, key.as_bytes()),
        };
        let list = map.ring.preference_list(class);
        let places = |ids: &[NodeId]| {
            ids.iter()
                .map(|&id| self.index(id))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Members {
            primaries: places(&list.primaries)?,
            fallbacks: places(&list.fallbacks)?,
        })
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// The node does not run.
    pub async fn kill(&mut self, node: Index) -> Result<(), Trouble> {
        self.paused.remove(&node);
        self.nodes[node].kill().await
    }

    /// As [`Self::kill`], and waits until all others know.
    ///
    /// # Errors
    /// The node does not run, or others do not notice.
    pub async fn kill_seen(&mut self, node: Index) -> Result<Duration, Trouble> {
        self.kill(node).await?;
        self.seen(node, false).await
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// The node does not run or does not end.
    pub async fn stop(&mut self, node: Index) -> Result<super::Ended, Trouble> {
        self.nodes[node].terminate(STOP_WAIT).await
    }

    /// Starts a node and waits until it serves.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn restart(&mut self, node: Index) -> Result<(), Trouble> {
        self.nodes[node].spawn()?;
        self.nodes[node].ready().await
    }

    /// SIGSTOP: silent, not dead.
    ///
    /// # Errors
    /// The node does not run.
    pub fn pause(&mut self, node: Index) -> Result<(), Trouble> {
        self.nodes[node].signal(Signal::STOP)?;
        self.paused.insert(node);
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// The node does not run.
    pub fn resume(&mut self, node: Index) -> Result<(), Trouble> {
        self.paused.remove(&node);
        self.nodes[node].signal(Signal::CONT)
    }

    /// Ends all faults: whoever is paused goes on, whoever is down starts.
    ///
    /// # Errors
    /// A node does not come up.
    pub async fn heal(&mut self) -> Result<(), Trouble> {
        let down: Vec<Index> = self
            .all()
            .filter(|&node| !self.nodes[node].is_started())
            .collect();
        if let Some(relay) = &self.relay {
            relay.heal();
        }
        for shim in &mut self.shims {
            shim.order(|orders| *orders = Orders::default())?;
        }
        if let Some(namespaces) = &self.namespaces {
            namespaces.heal()?;
        }
        for node in std::mem::take(&mut self.paused) {
            self.resume(node)?;
        }
        for &node in &down {
            self.nodes[node].spawn()?;
        }
        for &node in &down {
            self.nodes[node].ready().await?;
        }
        Ok(())
    }

    /// What a node says of itself and its peers.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn status(&self, node: Index) -> Result<StatusReport, Trouble> {
        let asked = self.client.status(self.id(node)?, true).await;
        asked.map_err(Trouble::request(format!("the status of {}", name(node))))
    }

    /// One of a node's counters since its start; 0 where it has none of that name.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn counter(&self, node: Index, counter: &str) -> Result<u64, Trouble> {
        let status = self.status(node).await?;
        Ok(status
            .counters
            .iter()
            .find(|(name, _)| name == counter)
            .map_or(0, |(_, count)| *count))
    }

    /// Objects that a node keeps as hints for another.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn hints(&self, at: Index, target: Index) -> Result<u64, Trouble> {
        let (status, target) = (self.status(at).await?, self.id(target)?);
        Ok(status
            .peers
            .iter()
            .find(|peer| peer.node == target)
            .map_or(0, |peer| peer.hints))
    }

    /// Waits until every node that runs says of `node` that it is reachable, or that it is not.
    ///
    /// # Errors
    /// That takes more than ten times as long as promised.
    pub async fn seen(&self, node: Index, reachable: bool) -> Result<Duration, Trouble> {
        let id = self.id(node)?;
        let wanted = if reachable {
            "reachable"
        } else {
            "unreachable"
        };
        let begin = Instant::now();
        for other in self.up().filter(|&other| other != node) {
            let what = format!("{} calls {} {wanted}", name(other), name(node));
            until(&what, Duration::from_secs(20), async || {
                let status = self.status(other).await?;
                let said = status
                    .peers
                    .iter()
                    .find(|peer| peer.node == id)
                    .map(|peer| peer.reachable);
                Ok(if said == Some(reachable) {
                    Ok(())
                } else {
                    Err(format!("{said:?}"))
                })
            })
            .await?;
        }
        Ok(begin.elapsed())
    }

    /// The relay between the nodes; the first node has the label 1.
    ///
    /// # Errors
    /// The cluster was started without one.
    pub fn relay(&self) -> Result<&Relay, Trouble> {
        let none = || Trouble::Made("this cluster has no relay: see its settings".to_owned());
        self.relay.as_ref().ok_or_else(none)
    }

    /// Whether nodes obey [`Self::order`]: asked for in the settings, and there is a C compiler.
    #[must_use]
    pub const fn has_shims(&self) -> bool {
        !self.shims.is_empty()
    }

    /// Spoils a node's clock or disk.
    ///
    /// # Errors
    /// The nodes were started without shims.
    pub fn order(&mut self, node: Index, change: impl FnOnce(&mut Orders)) -> Result<(), Trouble> {
        let none = || Trouble::Made("these nodes run without shims: see settings".to_owned());
        self.shims.get_mut(node).ok_or_else(none)?.order(change)
    }

    /// The nodes' network namespaces, if the settings asked for them.
    #[must_use]
    pub const fn namespaces(&self) -> Option<&Namespaces> {
        self.namespaces.as_ref()
    }

    /// Keeps the files when the cluster is dropped, for whoever looks into a failure.
    pub const fn keep_files(&mut self) {
        self.keep = true;
    }
}

async fn connect(files: &Provisioned, seeds: Vec<String>) -> Result<Client, Trouble> {
    let profile = Profile {
        deadline: Some(DEADLINE),
        ..Profile::default()
    };
    let builder = Client::builder()
        .seeds(seeds)
        .tls(files.tls("admin"))
        .profile(profile);
    builder
        .connect()
        .await
        .map_err(Trouble::request("connecting"))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.clear();
        let Some(dir) = self.dir.take() else { return };
        if self.keep || std::thread::panicking() {
            eprintln!(
                "the cluster's files and logs are kept in {}",
                dir.keep().display()
            );
        }
    }
}
