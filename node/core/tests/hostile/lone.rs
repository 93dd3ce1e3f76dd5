//! One replica on a disk in memory, what it is fed and what it sends.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::store::Visit;
use quorate_core::{
    Effect, Family, Input, Now, Replica, ReplicaConfig, Store, StoreError, Ticket, Timing, Write,
};
use quorate_protocol::client::{ClientReply, ClientRequest, Content, Put};
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::{Count, WriteOptions};
use quorate_protocol::peer::{PeerMessage, PeerObject, ReplicaAck, ReplicaPut};
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_protocol::{ActorId, ClusterId, Dot, ErrorCode, RequestId};
use quorate_ring::{BucketId, Class, NodeId, PartitionCount, Placed, Ring};

pub(crate) const ME: NodeId = NodeId::new(1);
pub(crate) const STRANGER: NodeId = NodeId::new(99);
pub(crate) const BUCKET: BucketId = BucketId::new(1);

#[derive(Default)]
pub(crate) struct Disk(BTreeMap<(Family, Vec<u8>), Bytes>);

impl Store for Disk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        for ((_, key), value) in self.0.range((family, from.to_vec())..(family, to.to_vec())) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

pub(crate) struct Lone {
    pub(crate) map: Arc<ClusterMap>,
    pub(crate) replica: Replica,
    pub(crate) disk: Disk,
    pub(crate) now: Now,
    pub(crate) sent: Vec<(NodeId, PeerMessage)>,
    pub(crate) traces: Vec<u64>,
    pub(crate) replies: Vec<ClientReply>,
}

impl Lone {
    pub(crate) fn new() -> Self {
        let mut lone = Self::unlinked();
        (2..=5).for_each(|id| lone.feed(Input::PeerUp(NodeId::new(id))));
        lone.sent.clear();
        lone
    }

    /// It has just started: nobody has answered yet.
    pub(crate) fn unlinked() -> Self {
        let map = Arc::new(map());
        let config = ReplicaConfig {
            node: ME,
            shard: 0,
            shards: 1,
            token_key: [7; 32],
            seed: [1; 32],
            timing: Timing::default(),
        };
        let (disk, now) = (
            Disk::default(),
            Now {
                mono_us: 1_000_000,
                wall_ms: 1 << 40,
            },
        );
        let version = Arc::new(VersionedMap::created(ClusterMap::clone(&map), 0));
        let replica = Replica::open(config, version, now, &disk).unwrap();
        Self {
            map,
            replica,
            disk,
            now,
            sent: Vec::new(),
            traces: Vec::new(),
            replies: Vec::new(),
        }
    }

    pub(crate) fn feed(&mut self, input: Input) {
        self.replica.handle(self.now, input, &self.disk);
        let step = self.replica.finish();
        for write in step.batch.writes {
            match write {
                Write::Put { family, key, value } => drop(self.disk.0.insert((family, key), value)),
                Write::Delete { family, key } => drop(self.disk.0.remove(&(family, key))),
                Write::Clear { family, from, to } => self
                    .disk
                    .0
                    .retain(|(of, key), _| *of != family || *key < from || *key >= to),
            }
        }
        for effect in step.effects {
            match effect {
                Effect::Send {
                    to, message, trace, ..
                } => {
                    self.sent.push((to, message));
                    self.traces.push(trace);
                }
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::Word(_) | Effect::Note(_) | Effect::Transfer(_) => {}
            }
        }
    }

    pub(crate) fn say(&mut self, from: NodeId, message: impl Into<PeerMessage>, deadline_ms: u32) {
        self.sent.clear();
        self.feed(Input::Peer {
            from,
            message: message.into(),
            deadline_ms,
        });
    }

    pub(crate) fn ask(&mut self, request: impl Into<ClientRequest>) {
        self.replies.clear();
        self.feed(Input::Client {
            ticket: Ticket(1),
            principal: Arc::from("tester"),
            request: request.into(),
            deadline_ms: 2000,
        });
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(500) {
            self.now.mono_us += 500_000;
            self.now.wall_ms += 500;
            self.feed(Input::Tick);
        }
    }

    /// A key of which this node is a primary, or not, and its class.
    pub(crate) fn key(&self, mine: bool) -> (Bytes, Class) {
        (0_u32..)
            .map(|number| Bytes::from(number.to_string()))
            .map(|key| (key.clone(), self.class_of(&key)))
            .find(|(_, class)| self.map.ring.primaries(*class).contains(&ME) == mine)
            .unwrap()
    }

    pub(crate) fn class_of(&self, key: &[u8]) -> Class {
        Class {
            n: 3,
            partition: self.map.ring.partition_of(BUCKET, key),
        }
    }

    pub(crate) fn peer(&self, class: Class) -> NodeId {
        self.peers(class)[0]
    }

    /// The other primaries.
    pub(crate) fn peers(&self, class: Class) -> Vec<NodeId> {
        let mut peers = self.map.ring.primaries(class).to_vec();
        peers.retain(|&node| node != ME);
        peers
    }

    pub(crate) fn acknowledged(&self) -> Option<&ReplicaAck> {
        self.sent.iter().find_map(|(_, message)| match message {
            PeerMessage::ReplicaAck(ack) => Some(ack),
            _ => None,
        })
    }

    pub(crate) fn refusal(&self) -> Option<ErrorCode> {
        self.acknowledged()?.error.as_ref().map(|error| error.code)
    }

    pub(crate) fn records(&self, family: Family) -> usize {
        self.disk.0.keys().filter(|(of, _)| *of == family).count()
    }
}

pub(crate) fn map() -> ClusterMap {
    let member = |id: u64| Member {
        id: NodeId::new(id),
        name: format!("n{id}"),
        peer_addresses: vec![format!("127.0.0.1:{id}")],
        client_addresses: Vec::new(),
        zone: Default::default(),
        weight: Default::default(),
    };
    let placed: Vec<Placed> = (1..=5)
        .map(|id| Placed {
            id: NodeId::new(id),
            zone: Default::default(),
            weight: Default::default(),
        })
        .collect();
    ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "hostile".to_owned(),
        format_level: FORMAT_LEVEL,
        members: (1..=5).map(member).collect(),
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: vec![Bucket {
            id: BUCKET,
            name: "b".to_owned(),
            revision: 1,
            props: BucketProps {
                n: 3,
                mode: BucketMode::Siblings,
                defaults: Default::default(),
            },
        }],
    }
}

pub(crate) fn replica_put(key: &Bytes, class: Class, settles: Vec<Dot>) -> ReplicaPut {
    ReplicaPut {
        op: 1,
        class,
        epoch: MapVersion::FIRST,
        bucket: BUCKET,
        key: key.clone(),
        object: PeerObject::default(),
        settles,
        request: None,
        durable: false,
        hint_for: None,
        repair: false,
    }
}

pub(crate) fn a_put(key: &Bytes, w: Count) -> Put {
    Put {
        bucket: BUCKET,
        key: key.clone(),
        content: Content {
            value: Bytes::from_static(b"v"),
            ..Content::default()
        },
        context: None,
        options: WriteOptions {
            w: Some(w),
            ..WriteOptions::default()
        },
        request: RequestId::new(1, 1),
        retry: false,
        ttl_ms: None,
    }
}

pub(crate) const fn dot(actor: u64, counter: u64) -> Dot {
    Dot::new(ActorId::new(actor), counter)
}
