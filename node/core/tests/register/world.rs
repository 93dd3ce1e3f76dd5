//! A few registers, their disks and the messages between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_core::register::{
    Draft, Outcome, Pace, Proposal, Register, RegisterConfig, RegisterEffect, RegisterInput,
    RegisterMessage, Version,
};
use quorate_core::{Now, Plant, Ticket};
use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::peer::{MapNewest, PeerMessage};
use quorate_protocol::versioned::{MapChange, MapName, VersionedMap, Voter};
use quorate_protocol::{ClusterId, RequestId, StorageId};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use crate::facts::Facts;

pub(crate) const CLUSTER: ClusterId = ClusterId::new(7, 7);

pub(crate) fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

pub(crate) fn member(node: NodeId) -> Member {
    Member {
        id: node,
        name: format!("n{}", node.get()),
        peer_addresses: Vec::new(),
        client_addresses: Vec::new(),
        zone: Zone::default(),
        weight: Weight::default(),
    }
}

pub(crate) fn placed(members: &[Member]) -> Vec<Placed> {
    let placed = |member: &Member| Placed {
        id: member.id,
        zone: member.zone.clone(),
        weight: member.weight,
    };
    members.iter().map(placed).collect()
}

/// The storage that a node has in its first, second, ... life with a new disk.
pub(crate) fn storage(node: NodeId, generation: u64) -> StorageId {
    StorageId::new(node.get() * 1000 + generation)
}

/// The version that a cluster of nodes 1 to `size` starts from, with their first storages in it or not.
pub(crate) fn first(size: u64, founded: bool) -> Version {
    let members: Vec<Member> = (1..=size).map(|number| member(id(number))).collect();
    let map = ClusterMap {
        cluster: CLUSTER,
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed(&members)).unwrap(),
        members,
        buckets: Vec::new(),
    };
    let change = MapChange {
        request: RequestId::new(0, 0),
        by: id(1),
        wall_ms: 0,
        what: "created".to_owned(),
    };
    let mut first = VersionedMap::first(map, change);
    if founded {
        for voter in &mut first.voters {
            voter.storage = Some(storage(voter.node, 0));
        }
    }
    Version::seal(first).unwrap()
}

pub(crate) struct Node {
    pub(crate) register: Option<Register>,
    /// How many disks it has lost.
    pub(crate) generation: u64,
    pub(crate) disk: Option<Vec<u8>>,
    /// Given to the disk and not yet there.
    pub(crate) writing: VecDeque<(u64, Vec<u8>)>,
    lives: u8,
}

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: RegisterMessage,
}

pub(crate) struct World {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) wire: VecDeque<Packet>,
    pub(crate) now: Now,
    /// Pairs of nodes whose messages are lost, in that direction.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) facts: Facts,
    /// Who has heard that the cluster was recovered without him.
    pub(crate) given_up: BTreeSet<NodeId>,
    first: Version,
    tickets: u64,
    seed: u64,
    plant: Option<Plant>,
}

impl World {
    /// Nodes 1 to `nodes` run; the first `members` of them are members.
    pub(crate) fn new(
        members: u64,
        nodes: u64,
        founded: bool,
        seed: u64,
        plant: Option<Plant>,
    ) -> Self {
        let first = first(members, founded);
        let mut world = Self {
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            now: Now {
                mono_us: 1,
                wall_ms: 0,
            },
            cut: BTreeSet::new(),
            facts: Facts::new(&first),
            given_up: BTreeSet::new(),
            first,
            tickets: 0,
            seed,
            plant,
        };
        for number in 1..=nodes {
            let node = Node {
                register: None,
                generation: 0,
                disk: None,
                writing: VecDeque::new(),
                lives: 0,
            };
            world.nodes.insert(id(number), node);
            world.start(id(number));
        }
        world
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.nodes[&node].register.is_some()
    }

    pub(crate) fn register(&self, node: NodeId) -> &Register {
        self.nodes[&node].register.as_ref().unwrap()
    }

    pub(crate) fn newest(&self, node: NodeId) -> Version {
        self.register(node).newest().clone()
    }

    pub(crate) fn storage(&self, node: NodeId) -> StorageId {
        storage(node, self.nodes[&node].generation)
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        let storage = self.storage(node);
        let entry = self.nodes.get_mut(&node).unwrap();
        entry.lives += 1;
        let mut seed = [entry.lives; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&node.get().to_be_bytes());
        let config = RegisterConfig {
            me: node,
            storage,
            pace: Pace::default(),
        };
        let opened = Register::open(config, self.first.clone(), entry.disk.as_deref(), seed);
        #[cfg_attr(not(feature = "planted"), expect(unused_mut))]
        let mut register = opened.unwrap();
        #[cfg(feature = "planted")]
        if let Some(plant) = self.plant {
            register.plant(plant);
        }
        #[cfg(not(feature = "planted"))]
        assert_eq!(self.plant, None);
        self.facts.opened(node, storage, register.newest());
        entry.register = Some(register);
    }

    /// Ends a process; so many of the states under way to its disk arrive.
    pub(crate) fn crash(&mut self, node: NodeId, written: usize) {
        let entry = self.nodes.get_mut(&node).unwrap();
        entry.register = None;
        if let Some((_, bytes)) = entry.writing.drain(..).take(written).next_back() {
            entry.disk = Some(bytes);
        }
        self.facts.crashed(node);
    }

    /// A process ends and its disk is gone. It can be started again, as the same node with a new disk.
    pub(crate) fn wipe(&mut self, node: NodeId) {
        self.crash(node, 0);
        let entry = self.nodes.get_mut(&node).unwrap();
        entry.disk = None;
        entry.generation += 1;
    }

    /// The oldest state under way to a node's disk arrives.
    pub(crate) fn write(&mut self, node: NodeId) {
        let entry = self.nodes.get_mut(&node).unwrap();
        if let Some((number, bytes)) = entry.writing.pop_front() {
            entry.disk = Some(bytes);
            self.input(node, RegisterInput::Persisted(number));
        }
    }

    /// The message at that place arrives, or is lost where it cannot.
    pub(crate) fn deliver(&mut self, at: usize) {
        let Some(Packet { from, to, message }) = self.wire.remove(at) else {
            return;
        };
        if self.is_up(to) && !self.cut.contains(&(from, to)) {
            self.input(to, RegisterInput::Peer { from, message });
        }
    }

    /// Time passes; who is due is told.
    pub(crate) fn pass(&mut self, us: u64) {
        self.now.mono_us += us;
        self.now.wall_ms += us / 1000;
        let at = self.now.mono_us;
        let due = |node: &&NodeId| {
            let register = self.nodes[node].register.as_ref();
            register.is_some_and(|register| register.next_timer() <= at)
        };
        let due: Vec<NodeId> = self.nodes.keys().filter(due).copied().collect();
        due.into_iter()
            .for_each(|node| self.input(node, RegisterInput::Tick));
    }

    /// A node hears what is the newest version at another.
    pub(crate) fn heartbeat(&mut self, from: NodeId, to: NodeId) {
        if self.is_up(from) && from != to {
            let newest = self.register(from).newest().name();
            let message = RegisterMessage::Newest(MapNewest { newest });
            self.wire.push_back(Packet { from, to, message });
        }
    }

    /// Asks a node for a change of the version that is the newest there.
    pub(crate) fn change(
        &mut self,
        node: NodeId,
        what: &str,
        change: impl FnOnce(&mut Draft),
    ) -> Ticket {
        let newest = self.newest(node);
        let mut draft = newest.draft();
        change(&mut draft);
        let proposal = Proposal {
            request: RequestId::new(1, self.tickets),
            base: newest.name(),
            what: what.to_owned(),
            draft,
        };
        self.propose(node, proposal, 10_000)
    }

    pub(crate) fn propose(&mut self, node: NodeId, proposal: Proposal, deadline_ms: u32) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.facts.asked(ticket, node, &proposal);
        let input = RegisterInput::Propose {
            ticket,
            proposal: Box::new(proposal),
            deadline_ms,
        };
        self.input(node, input);
        ticket
    }

    /// Orders a node to recover the cluster without these.
    pub(crate) fn recover(&mut self, node: NodeId, request: u64, gone: &[NodeId]) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let request = RequestId::new(3, request);
        self.facts.ordered(ticket, node, request);
        let input = RegisterInput::Recover {
            ticket,
            request,
            gone: gone.to_vec(),
            deadline_ms: 10_000,
        };
        self.input(node, input);
        ticket
    }

    pub(crate) fn input(&mut self, node: NodeId, input: RegisterInput) {
        let storage = self.storage(node);
        let now = self.now;
        let entry = self.nodes.get_mut(&node).unwrap();
        let mut effects = Vec::new();
        let register = entry.register.as_mut().unwrap();
        register.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                RegisterEffect::Persist { number, bytes } => {
                    entry.writing.push_back((number, bytes));
                }
                RegisterEffect::Send { to, message } => {
                    self.facts.said(node, storage, &message);
                    let message = by_wire(message);
                    let from = node;
                    self.wire.push_back(Packet { from, to, message });
                }
                RegisterEffect::Outcome { ticket, outcome } => self.facts.told(ticket, outcome),
                RegisterEffect::Changed(version) => self.facts.changed(node, storage, &version),
                RegisterEffect::GivenUp { .. } => {
                    self.given_up.insert(node);
                }
                RegisterEffect::Contradiction { here, there, peer } => {
                    let what = format!("{node} has {here} and {peer} has {there}");
                    self.facts.violations.push(what);
                }
            }
        }
    }

    /// Everything under way arrives and every state is written, until nothing is left to do at this
    /// moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let busy =
                |(_, node): &(&NodeId, &Node)| node.register.is_some() && !node.writing.is_empty();
            let busy: Vec<NodeId> = self.nodes.iter().filter(busy).map(|(&id, _)| id).collect();
            if busy.is_empty() && self.wire.is_empty() {
                return;
            }
            busy.into_iter().for_each(|node| self.write(node));
            self.deliver(0);
        }
        panic!("the nodes talk on and on");
    }

    /// Lets so many seconds pass without any fault, with a heartbeat between all nodes in each.
    pub(crate) fn calm(&mut self, seconds: u64) {
        for _ in 0..seconds {
            for from in self.ids() {
                for to in self.ids() {
                    self.heartbeat(from, to);
                }
            }
            for _ in 0..4 {
                self.settle();
                self.pass(250_000);
            }
        }
        self.settle();
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn outcome(&self, ticket: Ticket) -> Option<&Outcome> {
        self.facts.outcomes.get(&ticket)
    }

    pub(crate) fn made(&self, ticket: Ticket) -> Option<MapName> {
        match self.outcome(ticket) {
            Some(Outcome::Made(name)) => Some(*name),
            Some(Outcome::Refused(_)) | None => None,
        }
    }
}

/// What arrives of a message: the same, by way of its bytes.
fn by_wire(message: RegisterMessage) -> RegisterMessage {
    let message = PeerMessage::from(message);
    let mut body = Vec::new();
    message.encode_body(&mut body);
    let read = PeerMessage::decode_body(message.opcode(), &body).unwrap();
    RegisterMessage::from_peer(read).unwrap()
}

/// Makes a node a member and a voter.
pub(crate) fn join(draft: &mut Draft, node: NodeId, storage: StorageId) {
    draft.map.members.push(member(node));
    draft.map.members.sort_by_key(|member| member.id);
    vote(draft, node, storage);
    draft.map.ring = draft.map.ring.next(&placed(&draft.map.members)).unwrap();
}

/// Gives a member a vote, with that storage.
pub(crate) fn vote(draft: &mut Draft, node: NodeId, storage: StorageId) {
    draft.voters.retain(|voter| voter.node != node);
    draft.voters.push(Voter {
        node,
        storage: Some(storage),
    });
    draft.voters.sort_by_key(|voter| voter.node);
}

/// Makes a node no member.
pub(crate) fn leave(draft: &mut Draft, node: NodeId) {
    draft.map.members.retain(|member| member.id != node);
    draft.voters.retain(|voter| voter.node != node);
    draft.map.ring = draft.map.ring.next(&placed(&draft.map.members)).unwrap();
}
