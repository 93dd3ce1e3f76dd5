//! A few agreements, their disks and the messages between them.

use std::collections::{BTreeMap, VecDeque};

use quorate_protocol::ClusterId;
use quorate_protocol::client::{ClientReply, PutBucket};
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::{Count, QuorumDefaults};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use crate::agreement::{Agreement, AgreementEffect, AgreementInput};
use crate::effects::{Now, Ticket};

pub(super) fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(super) fn props(n: u8, r: u8) -> BucketProps {
    let defaults = QuorumDefaults {
        r: Count::Exactly(r),
        ..QuorumDefaults::default()
    };
    BucketProps {
        n,
        mode: BucketMode::Siblings,
        defaults,
    }
}

pub(super) fn map(nodes: u64) -> ClusterMap {
    let member = |number: u64| Member {
        id: id(number),
        name: format!("n{number}"),
        peer_addresses: Vec::new(),
        client_addresses: Vec::new(),
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let placed = |number: u64| Placed {
        id: id(number),
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = (1..=nodes).map(placed).collect();
    ClusterMap {
        cluster: ClusterId::new(7, 7),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: (1..=nodes).map(member).collect(),
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: vec![Bucket {
            id: quorate_ring::BucketId::new(1),
            name: "default".to_owned(),
            revision: 1,
            props: props(3, 2),
        }],
    }
}

pub(super) struct Node {
    pub(super) agreement: Option<Agreement>,
    pub(super) disk: Option<Vec<u8>>,
    /// Given to the disk and not yet there.
    pub(super) writing: VecDeque<(u64, Vec<u8>)>,
    lives: u8,
}

pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) wire: VecDeque<(NodeId, NodeId, quorate_protocol::peer::PeerMessage)>,
    pub(super) now: Now,
    pub(super) replies: Vec<(Ticket, ClientReply)>,
    /// Every bucket that was ever in force anywhere.
    pub(super) history: BTreeMap<(String, u64), Bucket>,
    size: u64,
    tickets: u64,
    seed: u8,
}

impl Cluster {
    /// All nodes up and knowing it.
    pub(super) fn new(size: u64, seed: u8) -> Self {
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            now: Now {
                mono_us: 1,
                wall_ms: 0,
            },
            replies: Vec::new(),
            history: BTreeMap::new(),
            size,
            tickets: 0,
            seed,
        };
        for number in 1..=size {
            let node = Node {
                agreement: None,
                disk: None,
                writing: VecDeque::new(),
                lives: 0,
            };
            cluster.nodes.insert(id(number), node);
            cluster.start(id(number));
        }
        cluster
    }

    pub(super) fn start(&mut self, node: NodeId) {
        let map = map(self.size);
        let (seed, entry) = (self.seed, self.nodes.get_mut(&node).unwrap());
        entry.lives += 1;
        let mut random = [seed; 32];
        random[0] = node.get().to_be_bytes()[7];
        random[1] = entry.lives;
        let agreement = Agreement::open(node, map, entry.disk.as_deref(), random).unwrap();
        let in_force = agreement.map();
        entry.agreement = Some(agreement);
        self.check(&in_force);
        for peer in self.others(node) {
            self.give(node, AgreementInput::PeerUp(peer));
            self.give(peer, AgreementInput::PeerUp(node));
        }
    }

    /// The process ends, unnoticed so far; the first `written` of the states on their way to the disk arrive there.
    pub(super) fn crash(&mut self, node: NodeId, written: usize) {
        let entry = self.nodes.get_mut(&node).unwrap();
        entry.agreement = None;
        for (_, bytes) in entry.writing.drain(..).take(written) {
            entry.disk = Some(bytes);
        }
    }

    /// All that run notice who does not.
    pub(super) fn notice_crashes(&mut self) {
        let running = self.running();
        let stopped: Vec<NodeId> = self
            .nodes
            .keys()
            .copied()
            .filter(|node| !running.contains(node))
            .collect();
        for node in running {
            for &peer in &stopped {
                self.give(node, AgreementInput::PeerDown(peer));
            }
        }
    }

    /// Other nodes that run.
    fn others(&self, node: NodeId) -> Vec<NodeId> {
        self.running()
            .into_iter()
            .filter(|&other| other != node)
            .collect()
    }

    pub(super) fn running(&self) -> Vec<NodeId> {
        let running = self
            .nodes
            .iter()
            .filter(|(_, node)| node.agreement.is_some());
        running.map(|(&id, _)| id).collect()
    }

    pub(super) fn ask(&mut self, node: NodeId, name: &str, props: BucketProps) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let request = PutBucket {
            name: name.to_owned(),
            props,
        };
        self.give(
            node,
            AgreementInput::Client {
                ticket,
                request,
                deadline_ms: 2000,
            },
        );
        ticket
    }

    pub(super) fn give(&mut self, node: NodeId, input: AgreementInput) {
        let entry = self.nodes.get_mut(&node).unwrap();
        let Some(agreement) = &mut entry.agreement else {
            return;
        };
        let mut effects = Vec::new();
        agreement.handle(self.now, input, &mut effects);
        for effect in effects {
            match effect {
                AgreementEffect::Persist { number, bytes } => {
                    self.nodes
                        .get_mut(&node)
                        .unwrap()
                        .writing
                        .push_back((number, bytes));
                }
                AgreementEffect::Send { to, message } => self.wire.push_back((node, to, message)),
                AgreementEffect::Reply { ticket, reply } => self.replies.push((ticket, reply)),
                AgreementEffect::MapChanged(map) => {
                    assert_eq!(map, self.nodes[&node].agreement.as_ref().unwrap().map());
                    self.check(&map);
                }
                AgreementEffect::Contradiction { kept, dropped } => {
                    panic!("{node} saw in force both {kept:?} and {dropped:?}");
                }
            }
        }
    }

    /// No two definitions of one revision are ever in force.
    fn check(&mut self, map: &ClusterMap) {
        map.check().unwrap();
        for bucket in &map.buckets {
            let key = (bucket.name.clone(), bucket.revision);
            let known = self.history.entry(key).or_insert_with(|| bucket.clone());
            assert_eq!(known, bucket, "two definitions of one revision in force");
        }
    }

    /// One state reaches the disk.
    pub(super) fn write(&mut self, node: NodeId) {
        let entry = self.nodes.get_mut(&node).unwrap();
        if let Some((number, bytes)) = entry.writing.pop_front() {
            entry.disk = Some(bytes);
            self.give(node, AgreementInput::Persisted(number));
        }
    }

    pub(super) fn deliver(&mut self, at: usize) {
        if let Some((from, to, message)) = self.wire.remove(at) {
            self.give(to, AgreementInput::Peer { from, message });
        }
    }

    pub(super) fn tick(&mut self, ms: u64) {
        self.now.mono_us += ms * 1000;
        for node in self.running() {
            let agreement = self.nodes[&node].agreement.as_ref().unwrap();
            if agreement.next_timer() <= self.now.mono_us {
                self.give(node, AgreementInput::Tick);
            }
        }
    }

    /// What heartbeats do about once a second.
    pub(super) fn compare_digests(&mut self) {
        let digest = |cluster: &Self, node: NodeId| {
            cluster.nodes[&node].agreement.as_ref().unwrap().digest()
        };
        for node in self.running() {
            for peer in self.others(node) {
                if digest(self, node) != digest(self, peer) {
                    self.give(node, AgreementInput::BucketsDiffer(peer));
                }
            }
        }
    }

    /// Everything arrives, every disk writes, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let busy: Vec<NodeId> = self
                .nodes
                .iter()
                .filter(|(_, node)| !node.writing.is_empty())
                .map(|(&id, _)| id)
                .collect();
            if busy.is_empty() && self.wire.is_empty() {
                return;
            }
            busy.into_iter().for_each(|node| self.write(node));
            self.deliver(0);
        }
        panic!("the nodes talk on and on");
    }

    pub(super) fn reply(&self, ticket: Ticket) -> Option<&ClientReply> {
        self.replies
            .iter()
            .find(|(of, _)| *of == ticket)
            .map(|(_, reply)| reply)
    }

    /// What a node has in force under a name.
    pub(super) fn in_force(&self, node: NodeId, name: &str) -> Option<Bucket> {
        self.nodes[&node]
            .agreement
            .as_ref()
            .unwrap()
            .map()
            .bucket_named(name)
            .cloned()
    }
}
