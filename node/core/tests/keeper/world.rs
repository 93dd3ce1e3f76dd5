//! A few keepers, their files and the messages between them, all of it at once and in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::keeper::{Keeper, KeeperEffect, KeeperInput, MapRequest};
use quorate_core::moves::{Complete, Said, Word};
use quorate_core::register::{Pace, Register, RegisterConfig, Version};
use quorate_core::{Now, Ticket};
use quorate_protocol::client::{ChangeRing, ClientReply, PutBucket, RingChange};
use quorate_protocol::map::{BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::{ClassState, VersionedMap};
use quorate_protocol::{ClusterId, RequestId, StorageId};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring};

pub(crate) const SECOND: u64 = 1_000_000;
/// Between two looks at timers and heartbeats, microseconds.
const STEP_US: u64 = 50_000;

pub(crate) fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

fn given(nodes: u64) -> Version {
    let member = |number: u64| Member {
        id: id(number),
        name: format!("n{number}"),
        peer_addresses: vec![format!("n{number}:1")],
        client_addresses: vec![format!("n{number}:2")],
        zone: Default::default(),
        weight: Default::default(),
    };
    let placed = |number: u64| Placed {
        id: id(number),
        zone: Default::default(),
        weight: Default::default(),
    };
    let placed: Vec<Placed> = (1..=nodes).map(placed).collect();
    let map = ClusterMap {
        cluster: ClusterId::new(7, 7),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: (1..=nodes).map(member).collect(),
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: Vec::new(),
    };
    Version::seal(VersionedMap::created(map, 0)).unwrap()
}

pub(crate) fn props(n: u8) -> BucketProps {
    BucketProps {
        n,
        mode: BucketMode::Siblings,
        defaults: Default::default(),
    }
}

pub(crate) struct Node {
    keeper: Option<Keeper>,
    pub(crate) file: Option<Vec<u8>>,
    /// How many storages it had before.
    storages: u64,
    lives: u8,
}

pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    given: Version,
    wire: VecDeque<(NodeId, NodeId, PeerMessage)>,
    now_us: u64,
    /// Nodes whose messages are lost, though everybody believes them to be up.
    pub(crate) mute: BTreeSet<NodeId>,
    /// Nodes whose replicas say nothing.
    pub(crate) wordless: BTreeSet<NodeId>,
    /// Who has heard that the cluster was recovered without him.
    pub(crate) given_up: BTreeSet<NodeId>,
    replies: BTreeMap<Ticket, (u64, ClientReply)>,
    tickets: u64,
}

impl World {
    /// Nodes that have never run.
    pub(crate) fn new(nodes: u64) -> Self {
        let node = || Node {
            keeper: None,
            file: None,
            storages: 0,
            lives: 0,
        };
        Self {
            nodes: (1..=nodes).map(|number| (id(number), node())).collect(),
            given: given(nodes),
            wire: VecDeque::new(),
            now_us: 1,
            mute: BTreeSet::new(),
            wordless: BTreeSet::new(),
            given_up: BTreeSet::new(),
            replies: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// Nodes that run and have founded their cluster.
    pub(crate) fn founded(nodes: u64) -> Self {
        let mut world = Self::new(nodes);
        (1..=nodes).for_each(|number| world.start(number));
        world.run(3 * SECOND);
        let founded = |node: u64| world.keeper(node).register().is_founded();
        assert!((1..=nodes).all(founded));
        world
    }

    fn now(&self) -> Now {
        Now {
            mono_us: self.now_us,
            wall_ms: self.now_us / 1000,
        }
    }

    pub(crate) fn keeper(&self, node: u64) -> &Keeper {
        self.nodes[&id(node)].keeper.as_ref().unwrap()
    }

    pub(crate) fn version(&self, node: u64) -> u64 {
        self.keeper(node).map().version.get()
    }

    pub(crate) fn storage(&self, node: u64) -> StorageId {
        StorageId::new(node * 100 + self.nodes[&id(node)].storages)
    }

    pub(crate) fn start(&mut self, number: u64) {
        let (given, storage) = (self.given.clone(), self.storage(number));
        let node = self.nodes.get_mut(&id(number)).unwrap();
        node.lives += 1;
        let config = RegisterConfig {
            me: id(number),
            storage,
            pace: Pace::default(),
        };
        let seed = [u8::try_from(number).unwrap() * 16 + node.lives; 32];
        let keeper = Keeper::open(config, given, node.file.as_deref(), seed).unwrap();
        node.keeper = Some(keeper);
        for other in self.running() {
            if other != id(number) {
                self.give(other, KeeperInput::PeerUp(id(number)));
                self.give(id(number), KeeperInput::PeerUp(other));
            }
        }
    }

    pub(crate) fn stop(&mut self, number: u64) {
        self.nodes.get_mut(&id(number)).unwrap().keeper = None;
        for other in self.running() {
            self.give(other, KeeperInput::PeerDown(id(number)));
        }
    }

    /// Empties the disk of a node that does not run.
    pub(crate) fn wipe(&mut self, number: u64) {
        let node = self.nodes.get_mut(&id(number)).unwrap();
        assert!(node.keeper.is_none());
        (node.file, node.storages) = (None, node.storages + 1);
    }

    /// Restores a backup of a node that does not run.
    pub(crate) fn restore(&mut self, number: u64, file: &[u8], all: bool) {
        self.wipe(number);
        let storage = self.storage(number);
        let file = Register::restored(&self.given, Some(file), storage, all).unwrap();
        self.nodes.get_mut(&id(number)).unwrap().file = Some(file);
    }

    fn running(&self) -> Vec<NodeId> {
        let runs = |(_, node): &(&NodeId, &Node)| node.keeper.is_some();
        self.nodes.iter().filter(runs).map(|(&id, _)| id).collect()
    }

    /// Asks a node for a change of the members.
    pub(crate) fn change(&mut self, node: u64, change: RingChange) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let request = RequestId::new(10, self.tickets);
        let input = KeeperInput::Client {
            ticket,
            request: MapRequest::Ring(ChangeRing::new(request, change)),
            deadline_ms: 4_000,
        };
        self.give(id(node), input);
        ticket
    }

    /// What the replica of a node would have done of what the map asks for, had it nothing to copy.
    fn speak(&mut self, node: NodeId, version: &VersionedMap) {
        if self.wordless.contains(&node) {
            return;
        }
        let joins = version
            .records
            .iter()
            .filter(|record| record.state == ClassState::JointOld);
        let claims = joins.flat_map(|record| {
            let mine = record.newcomers().filter(|place| place.node == node);
            mine.map(|place| Complete {
                class: record.class,
                vnode: place.vnode,
                epoch: record.epoch,
            })
        });
        let word = Word {
            version: version.version,
            complete: claims.collect(),
            departing: Vec::new(),
        };
        let said = Said {
            word,
            hinting: false,
            generation: 0,
        };
        let (shard, shards) = (0, 1);
        self.give(
            node,
            KeeperInput::Word {
                shard,
                shards,
                said,
            },
        );
    }

    /// A replica that said nothing begins to speak.
    pub(crate) fn give_a_word(&mut self, node: u64) {
        self.wordless.remove(&id(node));
        let version = self.keeper(node).map();
        self.speak(id(node), &version);
    }

    /// Asks a node for a bucket.
    pub(crate) fn ask(&mut self, node: u64, name: &str, n: u8, request: u64) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let input = KeeperInput::Client {
            ticket,
            request: MapRequest::Put(PutBucket {
                name: name.to_owned(),
                props: props(n),
                request: RequestId::new(9, request),
            }),
            deadline_ms: 4_000,
        };
        self.give(id(node), input);
        ticket
    }

    /// What a client was answered, and when.
    pub(crate) fn reply(&self, ticket: Ticket) -> Option<&(u64, ClientReply)> {
        self.replies.get(&ticket)
    }

    pub(crate) fn give(&mut self, node: NodeId, input: KeeperInput) {
        let now = self.now();
        let Some(keeper) = &mut self.nodes.get_mut(&node).unwrap().keeper else {
            return;
        };
        let mut effects = Vec::new();
        keeper.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                KeeperEffect::Persist { number, bytes } => {
                    self.nodes.get_mut(&node).unwrap().file = Some(bytes);
                    self.give(node, KeeperInput::Persisted(number));
                }
                KeeperEffect::Send { to, message } => self.wire.push_back((node, to, message)),
                KeeperEffect::Reply { ticket, reply } => {
                    let before = self.replies.insert(ticket, (self.now_us, reply));
                    assert_eq!(before, None, "answered twice");
                }
                KeeperEffect::Changed(version) => self.speak(node, version.map()),
                KeeperEffect::GivenUp { .. } => {
                    self.given_up.insert(node);
                }
                KeeperEffect::Contradiction { here, there, .. } => {
                    panic!("{node} has {here} and met {there}")
                }
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.wire.pop_front() {
            if !self.mute.contains(&from) && !self.mute.contains(&to) {
                self.give(to, KeeperInput::Peer { from, message });
            }
        }
    }

    /// Lets time pass: timers, and heartbeats that tell who has another version.
    pub(crate) fn run(&mut self, for_us: u64) {
        let end_us = self.now_us + for_us;
        while self.now_us < end_us {
            self.deliver();
            self.now_us += STEP_US;
            for node in self.running() {
                self.give(node, KeeperInput::Tick);
            }
            self.deliver();
            self.beat();
        }
        self.deliver();
    }

    fn beat(&mut self) {
        let heard = |node: &NodeId| !self.mute.contains(node);
        let nodes: Vec<NodeId> = self.running().into_iter().filter(heard).collect();
        for &node in &nodes {
            let newest = self.keeper(node.get()).register().newest().name();
            for &peer in nodes.iter().filter(|&&peer| peer != node) {
                if self.keeper(peer.get()).register().newest().name() != newest {
                    self.give(peer, KeeperInput::Differs { peer: node, newest });
                }
            }
        }
    }
}
