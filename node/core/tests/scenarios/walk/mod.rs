//! A handful of replicas in one thread, with a perfect network: for walking a scenario line by
//! line. Faults beyond "this node is down" are the simulator's business.

mod disk;
mod fsync;
mod generation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::{
    Effect, Input, Note, Now, Replica, ReplicaConfig, ReplicaStatus, ScrubOrdered, Ticket, Timing,
    When,
};
use quorate_protocol::client::{
    ClientReply, ClientRequest, Content, Delete, Get, Got, Put, Scrub, Written,
};
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::{QuorumDefaults, ReadOptions, WriteOptions};
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::{Use, VersionedMap};
use quorate_protocol::{ClusterId, RequestId, WireError};
use quorate_ring::{BucketId, NodeId, PartitionCount, PreferenceList, Ring};

pub use self::disk::Disk;
use self::fsync::Unsynced;

pub const SIBLINGS: BucketId = BucketId::new(1);
pub const LWW: BucketId = BucketId::new(2);

struct Node {
    replica: Option<Replica>,
    disk: Disk,
    inbox: VecDeque<Input>,
    unsynced: VecDeque<Unsynced>,
}

pub struct Walk {
    pub map: Arc<ClusterMap>,
    pub version: Arc<VersionedMap>,
    nodes: BTreeMap<NodeId, Node>,
    now: Now,
    lives: u8,
    tickets: u64,
    replies: BTreeMap<Ticket, ClientReply>,
    notes: BTreeMap<Note, u64>,
    /// Messages between these two are lost, although both think that the other is up.
    cut: Option<(NodeId, NodeId)>,
    /// A node whose wall clock runs ahead, and by how many milliseconds.
    ahead: Option<(NodeId, u64)>,
    prepare: fn(&mut Replica),
    timing: Timing,
    /// Messages of this name to this node are lost, after so many more of them.
    losing: Vec<(&'static str, NodeId, u32)>,
    /// What was lost so: the network may have kept it back.
    kept_back: Vec<(NodeId, NodeId, PeerMessage)>,
    /// How long fsyncs take.
    fsync_us: u64,
    /// These stand still, and what comes to them waits.
    paused: BTreeSet<NodeId>,
}

impl Walk {
    /// `count` nodes, 8 partitions, n = 3 (or as many as there are), one bucket of each mode.
    pub fn new(count: u64) -> Self {
        Self::prepared(count, |_| {})
    }

    /// The same with every replica prepared by `prepare` once it is open.
    pub fn prepared(count: u64, prepare: fn(&mut Replica)) -> Self {
        Self::paced(count, prepare, Timing::default())
    }

    /// The same with waiting times of choice.
    pub fn paced(count: u64, prepare: fn(&mut Replica), timing: Timing) -> Self {
        let map = Arc::new(map(count));
        let version = Arc::new(VersionedMap::created(ClusterMap::clone(&map), 0));
        let ids: Vec<NodeId> = map.members.iter().map(|member| member.id).collect();
        let node = || Node {
            replica: None,
            disk: Disk::default(),
            inbox: VecDeque::new(),
            unsynced: VecDeque::new(),
        };
        let nodes = ids.iter().map(|&id| (id, node())).collect();
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let mut walk = Self {
            map,
            version,
            nodes,
            now,
            lives: 0,
            tickets: 0,
            replies: BTreeMap::new(),
            notes: BTreeMap::new(),
            cut: None,
            ahead: None,
            prepare,
            timing,
            losing: Vec::new(),
            kept_back: Vec::new(),
            fsync_us: 0,
            paused: BTreeSet::new(),
        };
        ids.into_iter().for_each(|id| walk.start(id));
        walk.pass(3_000);
        walk
    }

    pub fn preference(&self, bucket: BucketId, key: &str) -> PreferenceList {
        let props = &self.map.bucket(bucket).unwrap().props;
        let partition = self.map.ring.partition_of(bucket, key.as_bytes());
        self.map.ring.preference_list(quorate_ring::Class {
            n: props.n,
            partition,
        })
    }

    pub fn start(&mut self, id: NodeId) {
        self.lives += 1;
        let config = ReplicaConfig {
            node: id,
            shard: 0,
            shards: 1,
            token_key: [7; 32],
            seed: [self.lives; 32],
            timing: self.timing,
        };
        let (now, map) = (self.now, Arc::clone(&self.version));
        let up: Vec<NodeId> = self.up().collect();
        let node = self.nodes.get_mut(&id).unwrap();
        let mut replica = Replica::open(config, map, now, &node.disk).unwrap();
        (self.prepare)(&mut replica);
        node.replica = Some(replica);
        for other in up {
            self.give(other, Input::PeerUp(id));
            self.give(id, Input::PeerUp(other));
        }
    }

    /// Makes the next version of the map, with other buckets. Nobody but who starts from now on has heard of it.
    pub fn change_buckets(&mut self, change: impl FnOnce(&mut Vec<Bucket>)) {
        let before = &self.version;
        let mut map = before.map.clone();
        change(&mut map.buckets);
        map.buckets.sort_by(|a, b| a.name.cmp(&b.name));
        let version = before.version.next();
        let kept = |bucket: &Bucket| map.bucket(bucket.id).is_some();
        let dropped = if before.map.buckets.iter().all(kept) {
            before.dropped
        } else {
            version
        };
        self.map = Arc::new(map.clone());
        self.version = Arc::new(VersionedMap {
            uses: Use::follow(&before.uses, &map, version),
            version,
            map,
            dropped,
            ..VersionedMap::clone(before)
        });
    }

    /// Tells a node the newest version of the map.
    pub fn tell_map(&mut self, to: NodeId) {
        let version = Arc::clone(&self.version);
        self.give(to, Input::Map(version));
        self.deliver();
    }

    pub fn kill(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.replica = None;
        node.inbox.clear();
        node.unsynced.clear();
        for other in self.up().collect::<Vec<_>>() {
            self.give(other, Input::PeerDown(id));
        }
    }

    pub fn cut(&mut self, one: NodeId, other: NodeId) {
        self.cut = Some((one, other));
    }

    pub fn set_clock_ahead(&mut self, node: NodeId, ms: u64) {
        self.ahead = Some((node, ms));
    }

    pub fn pause(&mut self, node: NodeId) {
        self.paused.insert(node);
    }

    /// All that stood still go on.
    pub fn resume(&mut self) {
        self.paused.clear();
    }

    pub fn heal(&mut self) {
        self.cut = None;
    }

    fn up(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes
            .iter()
            .filter(|(_, node)| node.replica.is_some())
            .map(|(&id, _)| id)
    }

    pub fn give(&mut self, to: NodeId, input: Input) {
        let node = self.nodes.get_mut(&to).unwrap();
        if node.replica.is_some() {
            node.inbox.push_back(input);
        }
    }

    /// Lets virtual time pass, delivering everything at once.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.now.mono_us += 10_000;
            self.now.wall_ms += 10;
            self.reopen_damaged();
            self.end_fsyncs();
            let running = |id: &NodeId| !self.paused.contains(id);
            for id in self.up().filter(running).collect::<Vec<_>>() {
                self.give(id, Input::Tick);
            }
            self.deliver();
        }
    }

    /// Half a second after a disk met damage the node begins anew without what is damaged.
    fn reopen_damaged(&mut self) {
        if !self.now.mono_us.is_multiple_of(500_000) {
            return;
        }
        let damaged = |id: &NodeId| self.nodes[id].disk.met_damage();
        for id in self.up().filter(damaged).collect::<Vec<_>>() {
            self.kill(id);
            self.disk_mut(id).leave_damage_out();
            self.start(id);
        }
    }

    /// Delivers everything that is under way, and what follows from it, in no time.
    pub fn deliver(&mut self) {
        while self.turn() {}
    }

    fn turn(&mut self) -> bool {
        let ids: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|(id, node)| !node.inbox.is_empty() && !self.paused.contains(id))
            .map(|(&id, _)| id)
            .collect();
        for &id in &ids {
            self.step(id);
        }
        !ids.is_empty()
    }

    fn step(&mut self, id: NodeId) {
        let mut now = self.now;
        if let Some((_, ms)) = self.ahead.filter(|&(node, _)| node == id) {
            now.wall_ms += ms;
        }
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(replica) = node.replica.as_mut() else {
            return node.inbox.clear();
        };
        for input in std::mem::take(&mut node.inbox) {
            let tick = matches!(input, Input::Tick);
            replica.handle(now, input, &node.disk);
            assert!(
                !tick || replica.next_timer() > now.mono_us,
                "a tick that asks for itself"
            );
        }
        let step = replica.finish();
        node.disk.write(&step.batch.writes);
        for effect in self.begin_fsync(id, step.seq, step.effects) {
            self.perform(id, effect);
        }
    }

    fn perform(&mut self, from: NodeId, effect: Effect) {
        match effect {
            Effect::Send {
                to,
                message,
                deadline_ms,
                priority: _,
                trace: _,
                when: When::Written | When::Synced,
            } => {
                let mut body = Vec::new();
                message.encode_body(&mut body);
                let message = PeerMessage::decode_body(message.opcode(), &body)
                    .expect("what was sent can be read");
                if self.cut == Some((from, to)) || self.cut == Some((to, from)) {
                    return;
                }
                let lost = |(name, target, left): &mut (&str, NodeId, u32)| {
                    let concerned = (message.name(), to) == (*name, *target);
                    let lost = concerned && *left == 0;
                    *left -= u32::from(concerned && *left > 0);
                    lost
                };
                if self.losing.iter_mut().any(lost) {
                    return self.kept_back.push((from, to, message));
                }
                self.give(
                    to,
                    Input::Peer {
                        from,
                        message,
                        deadline_ms,
                    },
                );
            }
            Effect::Reply { ticket, reply } => {
                let again = self.replies.insert(ticket, reply);
                assert!(again.is_none(), "a client was answered twice");
            }
            Effect::Word(_) | Effect::Transfer(_) => {}
            Effect::Note(note) => *self.notes.entry(note).or_default() += 1,
        }
    }

    pub fn notes(&self, note: Note) -> u64 {
        self.notes.get(&note).copied().unwrap_or(0)
    }

    pub fn disk(&self, id: NodeId) -> &Disk {
        &self.nodes[&id].disk
    }

    /// The disk of a node, to be replaced or damaged.
    pub fn disk_mut(&mut self, id: NodeId) -> &mut Disk {
        &mut self.nodes.get_mut(&id).unwrap().disk
    }

    pub fn order_scrub(&mut self, id: NodeId, order: Scrub) -> ScrubOrdered {
        let node = self.nodes.get_mut(&id).unwrap();
        node.replica.as_mut().unwrap().order_scrub(order)
    }

    pub fn status(&self, id: NodeId) -> ReplicaStatus {
        self.nodes[&id].replica.as_ref().unwrap().status()
    }

    /// Lets messages of one name to a node be lost after so many more of them.
    pub fn lose(&mut self, name: &'static str, to: NodeId, after: u32) {
        self.losing.push((name, to, after));
    }

    /// Messages of one name to a node that were lost arrive after all.
    pub fn deliver_late(&mut self, name: &str, to: NodeId) {
        for (from, target, message) in std::mem::take(&mut self.kept_back) {
            if (message.name(), target) == (name, to) {
                let input = Input::Peer {
                    from,
                    message,
                    deadline_ms: 0,
                };
                self.give(to, input);
            }
        }
        self.deliver();
    }

    /// Nothing is lost any more.
    pub fn lose_nothing(&mut self) {
        self.losing.clear();
    }

    pub fn current(&self, id: NodeId) -> bool {
        let status = self.nodes[&id].replica.as_ref().unwrap().status();
        status
            .vnodes
            .iter()
            .all(|vnode| vnode.current && vnode.lag == 0)
    }

    /// Whom some vnode of a node still waits for.
    pub fn waits_for(&self, id: NodeId) -> BTreeSet<NodeId> {
        let status = self.nodes[&id].replica.as_ref().unwrap().status();
        let waits = status.vnodes.into_iter().flat_map(|vnode| vnode.waits_for);
        waits.collect()
    }

    pub fn hints_for(&self, at: NodeId, target: NodeId) -> u64 {
        let status = self.nodes[&at].replica.as_ref().unwrap().status();
        status
            .peers
            .iter()
            .find(|peer| peer.node == target)
            .unwrap()
            .hints
    }

    /// Sends a request and does not wait.
    pub fn begin(&mut self, at: NodeId, request: impl Into<ClientRequest>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.give(
            at,
            Input::Client {
                ticket,
                principal: Arc::from("tester"),
                request: request.into(),
                deadline_ms: 2_000,
            },
        );
        ticket
    }

    pub fn reply(&mut self, ticket: Ticket) -> Option<ClientReply> {
        self.replies.remove(&ticket)
    }

    pub fn ask(&mut self, at: NodeId, request: impl Into<ClientRequest>) -> ClientReply {
        let ticket = self.begin(at, request);
        self.deliver();
        for _ in 0..300 {
            if let Some(reply) = self.reply(ticket) {
                return reply;
            }
            self.pass(10);
        }
        panic!("no reply within 3 s of virtual time");
    }

    pub fn get(&mut self, at: NodeId, get: Get) -> Result<Got, WireError> {
        match self.ask(at, get) {
            ClientReply::Got(got) => Ok(got),
            ClientReply::Failed(error) => Err(error),
            other => panic!("a get was answered with {}", other.name()),
        }
    }

    pub fn put(&mut self, at: NodeId, put: Put) -> Result<Written, WireError> {
        written(self.ask(at, put))
    }

    pub fn delete(&mut self, at: NodeId, delete: Delete) -> Result<Written, WireError> {
        written(self.ask(at, delete))
    }

    pub fn a_put(&mut self, key: &str, value: &str) -> Put {
        self.tickets += 1;
        Put {
            bucket: SIBLINGS,
            key: Bytes::copy_from_slice(key.as_bytes()),
            content: Content {
                value: Bytes::copy_from_slice(value.as_bytes()),
                ..Content::default()
            },
            context: None,
            options: WriteOptions::default(),
            request: RequestId::new(1, self.tickets),
            retry: false,
            ttl_ms: None,
        }
    }

    pub fn a_delete(&mut self, key: &str) -> Delete {
        self.tickets += 1;
        Delete {
            bucket: SIBLINGS,
            key: Bytes::copy_from_slice(key.as_bytes()),
            context: None,
            options: WriteOptions::default(),
            request: RequestId::new(2, self.tickets),
            retry: false,
        }
    }
}

fn written(reply: ClientReply) -> Result<Written, WireError> {
    match reply {
        ClientReply::Written(written) => Ok(written),
        ClientReply::Failed(error) => Err(error),
        other => panic!("a write was answered with {}", other.name()),
    }
}

pub fn a_get(key: &str) -> Get {
    Get {
        bucket: SIBLINGS,
        key: Bytes::copy_from_slice(key.as_bytes()),
        options: ReadOptions::default(),
        session: None,
    }
}

pub fn values(got: &Got) -> Vec<String> {
    let mut values: Vec<String> = got
        .siblings
        .iter()
        .map(|sibling| String::from_utf8_lossy(&sibling.content.value).into_owned())
        .collect();
    values.sort();
    values
}

fn map(count: u64) -> ClusterMap {
    let member = |number: u64| Member {
        id: NodeId::new(number),
        name: format!("n{number}"),
        peer_addresses: vec![format!("127.0.0.1:{}", 7000 + number)],
        client_addresses: vec![format!("127.0.0.1:{}", 8000 + number)],
        zone: Default::default(),
        weight: Default::default(),
    };
    let members: Vec<Member> = (1..=count).map(member).collect();
    let placed: Vec<quorate_ring::Placed> = members
        .iter()
        .map(|member| quorate_ring::Placed {
            id: member.id,
            zone: member.zone.clone(),
            weight: member.weight,
        })
        .collect();
    let bucket = |id: BucketId, name: &str, mode| Bucket {
        id,
        name: name.to_owned(),
        revision: 1,
        props: BucketProps {
            n: 3,
            mode,
            defaults: QuorumDefaults::default(),
        },
    };
    ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "walk".to_owned(),
        format_level: FORMAT_LEVEL,
        members,
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: vec![
            bucket(SIBLINGS, "default", BucketMode::Siblings),
            bucket(LWW, "latest", BucketMode::Lww),
        ],
    }
}
