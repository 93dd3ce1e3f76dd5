//! A cluster on the network in memory: real driver, real QUIC, storage in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, TokioRuntime};
use quorate_client::Client;
use quorate_core::{Timing, membership};
use quorate_node::driver::{self, Driver, OneRuntime, Setup, Spawners};
use quorate_node::identity::MapState;
use quorate_node::net::{self, NetHandle, NetParts, NetSettings};
use quorate_node::sources::Sources;
use quorate_node::storage::memory::Memory;
use quorate_protocol::StorageId;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::QuorumDefaults;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{BucketId, NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use super::certificates::{ALL, CLUSTER};
use super::ether::Ether;
use super::tap::{Greeting, Hearing, Sending};
use super::trace::Trace;

/// The bucket of all runs.
pub(crate) const BUCKET: &str = "b";
const PEER_PORT: u16 = 7000;
const CLIENT_PORT: u16 = 7001;

/// What all nodes of a cluster have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) nodes: u64,
    pub(crate) shards: u16,
    /// Largest packet that connections probe for.
    pub(crate) discover_mtu: u16,
}

/// The nodes, what outlives them, and the network between.
pub(crate) struct Cluster {
    shape: Shape,
    map: ClusterMap,
    pub(crate) ether: Ether,
    pub(crate) trace: Trace,
    pub(crate) disks: BTreeMap<NodeId, Arc<Memory>>,
    running: BTreeMap<NodeId, Node>,
    lives: u64,
    clients: u64,
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) driver: Driver<Sending>,
    pub(crate) net: NetHandle,
}

/// Where a node is.
pub(crate) fn site(node: NodeId) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(node.get()).unwrap()).into()
}

pub(crate) fn peer_port(node: NodeId) -> SocketAddr {
    (site(node), PEER_PORT).into()
}

fn client_port(node: NodeId) -> SocketAddr {
    (site(node), CLIENT_PORT).into()
}

impl Cluster {
    /// Makes a cluster whose nodes do not run yet.
    pub(crate) fn new(shape: Shape) -> Self {
        let trace = Trace::new();
        let map = map(shape.nodes);
        let disks = map
            .members
            .iter()
            .map(|member| (member.id, Arc::new(Memory::new())))
            .collect();
        Self {
            shape,
            map,
            ether: Ether::new(shape.seed, &trace),
            trace,
            disks,
            running: BTreeMap::new(),
            lives: 0,
            clients: 0,
        }
    }

    /// Makes a cluster and starts all of its nodes.
    pub(crate) fn started(shape: Shape) -> Self {
        let mut cluster = Self::new(shape);
        for node in cluster.nodes() {
            cluster.start(node, |hello| hello);
        }
        cluster
    }

    /// All members.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.map.members.iter().map(|member| member.id).collect()
    }

    /// A node that runs.
    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.running[&node]
    }

    /// Starts a node on its disk.
    pub(crate) fn start(&mut self, node: NodeId, greeting: Greeting) {
        self.lives += 1;
        let name = format!("n{}.{}", node.get(), self.lives);
        let sources = Sources::replay(self.shape.seed ^ self.lives << 32, self.trace.start());
        let setup = Setup {
            node,
            map: MapState::new(VersionedMap::created(self.map.clone(), 0)),
            // Nothing outlives a process but the database.
            voter: StorageId::new(sources.number()),
            map_file: None,
            token_key: [7; 32],
            shards: self.shape.shards,
            storage: Arc::clone(&self.disks[&node]),
            backups: None,
            timing: Timing::default(),
            member_timing: membership::Timing::default(),
            sources: sources.clone(),
        };
        let spawners = Spawners {
            shards: &OneRuntime,
            sync: &OneRuntime,
        };
        let mut handle = None;
        let driver = driver::start(setup, spawners, |driver| {
            let handler = Arc::new(Hearing {
                name: name.clone(),
                driver,
                greeting,
                trace: self.trace.clone(),
            });
            let net = net::start(NetParts {
                peer_socket: self.ether.open(peer_port(node)),
                client_socket: self.ether.open(client_port(node)),
                runtime: Arc::new(TokioRuntime),
                tls: ALL.node(node),
                settings: NetSettings {
                    seed: sources.number(),
                    discover_mtu: self.shape.discover_mtu,
                    ..NetSettings::default()
                },
                handler,
                sources,
            })?;
            handle = Some(net.clone());
            Ok(Sending {
                name,
                net,
                trace: self.trace.clone(),
            })
        });
        let (driver, net) = (driver.unwrap(), handle.unwrap());
        net.set_peers(
            self.map
                .members
                .iter()
                .map(|member| (member.id, member.peer_addresses.clone()))
                .collect(),
        );
        self.running.insert(node, Node { driver, net });
    }

    /// Ends a node in order.
    pub(crate) async fn stop(&mut self, node: NodeId) {
        let Node { driver, net } = self.running.remove(&node).unwrap();
        driver.stop().await;
        net.close("the node is stopping").await;
        self.unplug(node);
    }

    /// Kills a node. Its disk keeps what was synced and so many of the batches written since.
    pub(crate) fn kill(&mut self, node: NodeId, keep: usize) {
        self.unplug(node);
        let disk = self.disks[&node].fork();
        disk.cut_power(keep);
        self.disks.insert(node, Arc::new(disk));
        // Tasks cannot be killed from outside: the old life ends in its own time, heard by nobody.
        let Node { driver, net } = self.running.remove(&node).unwrap();
        tokio::spawn(async move {
            driver.stop().await;
            net.close("killed").await;
        });
    }

    fn unplug(&self, node: NodeId) {
        self.ether.unplug(peer_port(node));
        self.ether.unplug(client_port(node));
    }

    /// Cuts a node off from all other nodes: what it says, what it hears, or both.
    pub(crate) fn isolate(&self, node: NodeId, mute: bool, deaf: bool) {
        for other in self.nodes().into_iter().filter(|&other| other != node) {
            if mute {
                self.ether.cut(site(node), site(other));
            }
            if deaf {
                self.ether.cut(site(other), site(node));
            }
        }
    }

    /// Connects a client. Tried for ever: the weather may be bad.
    pub(crate) async fn client(&mut self) -> Client {
        loop {
            match self.try_client().await {
                Ok(client) => return client,
                Err(error) => self.trace.note(format_args!("no client: {error}")),
            }
        }
    }

    /// Connects a client that was never there before.
    pub(crate) async fn try_client(&mut self) -> Result<Client, quorate_client::Error> {
        self.clients += 1;
        let (number, seed) = (self.clients, self.shape.seed ^ self.clients << 48);
        let seeds = self.nodes().into_iter();
        Client::builder()
            .seeds(seeds.map(|node| client_port(node).to_string()))
            .tls(ALL.client.clone())
            .replay(self.endpoint(number), seed)
            .connect()
            .await
    }

    fn endpoint(&self, number: u64) -> quinn::Endpoint {
        let site = Ipv4Addr::new(10, 0, 1, u8::try_from(number).unwrap());
        let mut config = EndpointConfig::default();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.shape.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&number.to_be_bytes());
        config.rng_seed(Some(seed));
        let socket = self.ether.open((site, 9000).into());
        quinn::Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime))
            .unwrap()
    }

    /// Waits until every node finds all others reachable and alike, and holds no hints.
    ///
    /// # Panics
    /// That takes longer than `patience`.
    pub(crate) async fn settle(&self, client: &Client, patience: Duration) -> Duration {
        let start = tokio::time::Instant::now();
        loop {
            let unsettled = self.unsettled(client).await;
            if unsettled.is_empty() {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < patience,
                "not settled after {patience:?}: {unsettled:?}"
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn unsettled(&self, client: &Client) -> Vec<String> {
        let mut words = Vec::new();
        for &node in self.running.keys() {
            let report = match client.status(node, false).await {
                Ok(report) => report,
                Err(error) => {
                    words.push(format!("{node}: {error}"));
                    continue;
                }
            };
            if report.vnodes_current < report.vnodes_total || !report.warnings.is_empty() {
                let (current, total) = (report.vnodes_current, report.vnodes_total);
                words.push(format!(
                    "{node}: {current} of {total}, {:?}",
                    report.warnings
                ));
            }
            let peers = report.peers.iter().filter(|peer| {
                let open = peer.hints + peer.hints_in_flight + peer.lag + peer.lead;
                !peer.reachable || open > 0
            });
            words.extend(peers.map(|peer| format!("{node}: {peer:?}")));
        }
        words
    }
}

/// The trace of a run that is looked into, whether or not it ended well.
impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(path) = std::env::var_os("QUORATE_WIRE_TRACE") {
            std::fs::write(path, self.trace.lines().join("\n")).unwrap();
        }
    }
}

/// The map of a cluster of so many nodes.
pub(crate) fn map(nodes: u64) -> ClusterMap {
    let ids: Vec<NodeId> = (1..=nodes).map(NodeId::new).collect();
    let member = |&id: &NodeId| Member {
        id,
        name: format!("n{}", id.get()),
        peer_addresses: vec![peer_port(id).to_string()],
        client_addresses: vec![client_port(id).to_string()],
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = ids
        .iter()
        .map(|&id| Placed {
            id,
            zone: Zone::default(),
            weight: Weight::default(),
        })
        .collect();
    ClusterMap {
        cluster: CLUSTER,
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: ids.iter().map(member).collect(),
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: vec![Bucket {
            id: BucketId::new(1),
            name: BUCKET.to_owned(),
            revision: 1,
            props: BucketProps {
                n: 3,
                mode: BucketMode::Siblings,
                defaults: QuorumDefaults::default(),
            },
        }],
    }
}
