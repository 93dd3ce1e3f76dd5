//! Several nodes in one runtime: the real driver and core over memory storage, and a network that
//! hands frames over within the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_core::{Timing, membership};
use quorate_node::driver::{self, Driver, Network, OneRuntime, Setup, Spawner, Spawners, Threads};
use quorate_node::identity::MapState;
use quorate_node::net::{ClientKey, Lane, NetEvent, NetHandler, SendRefused};
use quorate_node::sources::Sources;
use quorate_node::storage::memory::Memory;
use quorate_protocol::client::{ClientReply, ClientRequest, Status, StatusReport};
use quorate_protocol::frame::{Header, Reader};
use quorate_protocol::limits::FRAME_BODY_BYTES_MAX;
use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::versioned::VersionedMap;
use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight, Zone};
use tokio::sync::oneshot;

/// Longer than anything takes on a machine that compiles beside.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Wires {
    handlers: BTreeMap<NodeId, Arc<dyn NetHandler>>,
    links: BTreeSet<(NodeId, NodeId)>,
    waiting: BTreeMap<(ClientKey, u64), oneshot::Sender<ClientReply>>,
    next: u64,
    /// Frames between nodes that named a request: sender, trace id, opcode.
    traced: BTreeSet<(NodeId, u64, u16)>,
}

/// The wires between all nodes and the test.
#[derive(Clone, Default)]
struct Ether(Arc<Mutex<Wires>>);

impl Ether {
    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap()
    }

    fn deliver(&self, to: NodeId, event: NetEvent) {
        let handler = self.wires().handlers.get(&to).cloned();
        if let Some(handler) = handler {
            handler.on_event(event).unwrap();
        }
    }

    /// Makes or breaks both directions of a link.
    fn link(&self, a: NodeId, b: NodeId, up: bool) {
        for (from, to) in [(a, b), (b, a)] {
            let (hello, changed) = {
                let mut wires = self.wires();
                let Some(sender) = wires.handlers.get(&from).cloned() else {
                    return;
                };
                if !wires.handlers.contains_key(&to) {
                    return;
                }
                let changed = if up {
                    wires.links.insert((from, to))
                } else {
                    wires.links.remove(&(from, to))
                };
                (sender.hello(), changed)
            };
            match (changed, up) {
                (true, true) => self.deliver(to, NetEvent::PeerUp { node: from, hello }),
                (true, false) => self.deliver(
                    to,
                    NetEvent::PeerLost {
                        node: from,
                        reason: "cut".to_owned(),
                    },
                ),
                (false, _) => {}
            }
        }
    }
}

/// One node's end of the wires.
#[derive(Clone)]
pub(crate) struct Wire {
    node: NodeId,
    ether: Ether,
}

fn frames(bytes: &Bytes) -> Vec<(Header, Bytes)> {
    let mut reader = Reader::new(FRAME_BODY_BYTES_MAX);
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    assert_eq!(reader.pending(), 0, "whole frames only");
    frames
}

impl Network for Wire {
    fn send_peer(&self, to: NodeId, lane: Lane, bytes: Bytes) -> Result<(), SendRefused> {
        if !self.ether.wires().links.contains(&(self.node, to)) {
            return Err(SendRefused::NoLink(to));
        }
        let frames = frames(&bytes);
        assert!(
            lane != Lane::Bulk || frames.len() == 1,
            "one large frame at a time"
        );
        for (header, body) in frames {
            if header.trace != 0 {
                let seen = (self.node, header.trace, header.opcode);
                self.ether.wires().traced.insert(seen);
            }
            self.ether.deliver(
                to,
                NetEvent::PeerFrame {
                    from: self.node,
                    header,
                    body,
                },
            );
        }
        Ok(())
    }

    fn reply(&self, client: ClientKey, bytes: Bytes) -> Result<(), SendRefused> {
        for (header, body) in frames(&bytes) {
            let waiting = self.ether.wires().waiting.remove(&(client, header.request));
            let reply = ClientReply::decode_body(header.opcode, &body).unwrap();
            let _ = waiting.ok_or(SendRefused::ClientGone(client))?.send(reply);
        }
        Ok(())
    }
}

/// The nodes and what outlives them.
pub(crate) struct Cluster {
    ether: Ether,
    map: ClusterMap,
    shards: u16,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) disks: BTreeMap<NodeId, Arc<Memory>>,
    drivers: BTreeMap<NodeId, Driver<Wire>>,
}

impl Cluster {
    /// Starts `count` nodes with `shards` shards each and links them all.
    pub(crate) fn start(count: u64, shards: u16) -> Self {
        let nodes: Vec<NodeId> = (1..=count).map(NodeId::new).collect();
        let disks = nodes
            .iter()
            .map(|&node| (node, Arc::new(Memory::new())))
            .collect();
        let (ether, map) = (Ether::default(), map(&nodes));
        let mut cluster = Self {
            ether,
            map,
            shards,
            nodes: nodes.clone(),
            disks,
            drivers: BTreeMap::new(),
        };
        nodes.into_iter().for_each(|node| cluster.start_node(node));
        cluster
    }

    /// Starts one node on its disk.
    pub(crate) fn start_node(&mut self, node: NodeId) {
        let setup = Setup {
            node,
            map: MapState::new(VersionedMap::created(self.map.clone(), 0)),
            // Nothing outlives a process but the database.
            voter: StorageId::new(rand::random()),
            map_file: None,
            token_key: [7; 32],
            shards: self.shards,
            storage: Arc::clone(&self.disks[&node]),
            backups: None,
            timing: Timing::default(),
            member_timing: membership::Timing::default(),
            sources: Sources::system(),
        };
        let shards: &dyn Spawner = if self.shards == 1 {
            &OneRuntime
        } else {
            &Threads
        };
        let ether = self.ether.clone();
        let driver = driver::start(
            setup,
            Spawners {
                shards,
                sync: &OneRuntime,
            },
            |handler| {
                ether.wires().handlers.insert(node, handler);
                Ok(Wire {
                    node,
                    ether: ether.clone(),
                })
            },
        );
        self.drivers
            .insert(node, driver.unwrap_or_else(|error| panic!("{error}")));
        for &peer in &self.nodes {
            if peer != node {
                self.ether.link(node, peer, true);
            }
        }
    }

    /// Ends one node in order; its disk stays.
    pub(crate) async fn stop_node(&mut self, node: NodeId) {
        self.drivers.remove(&node).unwrap().stop().await;
        for &peer in &self.nodes {
            if peer != node {
                self.ether.link(node, peer, false);
            }
        }
        self.ether.wires().handlers.remove(&node);
    }

    /// Takes the driver of a node out, to be stopped by the caller; the node can still be asked.
    pub(crate) fn take(&mut self, node: NodeId) -> Driver<Wire> {
        self.drivers.remove(&node).unwrap()
    }

    /// The driver of a node.
    pub(crate) fn driver(&self, node: NodeId) -> &Driver<Wire> {
        &self.drivers[&node]
    }

    /// Asks a node, with a header of the test's choice.
    pub(crate) async fn ask_with(&self, node: NodeId, header: Header, body: Bytes) -> ClientReply {
        let (sender, reply) = oneshot::channel();
        let (client, request) = {
            let mut wires = self.ether.wires();
            wires.next += 1;
            let (client, request) = (ClientKey(1), wires.next);
            wires.waiting.insert((client, request), sender);
            (client, request)
        };
        let header = Header { request, ..header };
        self.ether.deliver(
            node,
            NetEvent::ClientFrame {
                client,
                principal: "test".into(),
                header,
                body,
            },
        );
        tokio::time::timeout(PATIENCE, reply)
            .await
            .expect("every request is answered")
            .unwrap()
    }

    /// Asks a node.
    pub(crate) async fn ask(&self, node: NodeId, request: impl Into<ClientRequest>) -> ClientReply {
        let request = request.into();
        let mut body = Vec::new();
        request.encode_body(&mut body);
        let header = Header {
            opcode: request.opcode(),
            count: 1,
            deadline_ms: 20_000,
            ..Header::default()
        };
        self.ask_with(node, header, body.into()).await
    }

    /// Frames between nodes that named this request: sender and opcode.
    pub(crate) fn traced(&self, trace: u64) -> Vec<(NodeId, u16)> {
        let wires = self.ether.wires();
        let of_it = wires.traced.iter().filter(|(_, of, _)| *of == trace);
        of_it.map(|&(from, _, opcode)| (from, opcode)).collect()
    }

    /// A node's report.
    pub(crate) async fn status(&self, node: NodeId) -> StatusReport {
        match self.ask(node, Status { vnodes: true }).await {
            ClientReply::StatusReport(report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until every node that runs finds all its vnodes current, nothing missing and no hints.
    pub(crate) async fn settle(&self) {
        self.wait_for("the cluster to settle", async |cluster| {
            for &node in cluster.drivers.keys() {
                let report = cluster.status(node).await;
                let quiet = report
                    .peers
                    .iter()
                    .all(|peer| peer.reachable && peer.hints == 0 && peer.lag == 0);
                if report.vnodes_total == 0 || report.vnodes_current < report.vnodes_total || !quiet
                {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Waits until `holds`, however busy the machine is.
    pub(crate) async fn wait_for(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self).await {
            assert!(Instant::now() < end, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn map(nodes: &[NodeId]) -> ClusterMap {
    let member = |&id: &NodeId| Member {
        id,
        name: format!("n{}", id.get()),
        peer_addresses: Vec::new(),
        client_addresses: Vec::new(),
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = nodes
        .iter()
        .map(|&id| Placed {
            id,
            zone: Zone::default(),
            weight: Weight::default(),
        })
        .collect();
    ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: nodes.iter().map(member).collect(),
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: Vec::new(),
    }
}
