//! One replica with its disk and its clock, and honest peers where they are wanted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::record::{self, keys};
use quorate_core::{Effect, Family, Input, Now, Replica, ReplicaConfig, Step, Ticket, Timing};
use quorate_protocol::client::{ClientReply, ClientRequest, Content, Get, Put};
use quorate_protocol::ids::LifeId;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::peer::{
    Alive, AliveMark, CatchUpAnswer, CatchUpAsk, CatchUpEntry, PeerMessage, Testimony, VnodeClock,
};
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_protocol::{ClusterId, ContentDigest, RequestId, StorageId, VnodeId};
use quorate_ring::{BucketId, Class, NodeId, PartitionCount, PartitionId, Placed, Ring, Weight};

use super::super::tell;
use crate::sim::disk::Disk;

/// The node under test.
pub(super) const ME: NodeId = NodeId::new(1);
/// Its cluster.
pub(super) const NODES: u64 = 5;
/// A bucket with one copy: in the classes of which this node is the only member, no peer has a say.
pub(super) const SOLO: BucketId = BucketId::new(3);
const WALL_MS: u64 = 1_700_000_000_000;
/// One step may send so many bytes, and so many more for each byte that was ever said.
const STEP_BYTES: u64 = 128 * 1024;
const STEP_BYTES_EACH: u64 = 32;
/// Messages that are remembered for scripts to answer and distort.
const SENT_MAX: usize = 48;

/// The replica and what surrounds it.
pub(super) struct Stage {
    pub(super) map: Arc<ClusterMap>,
    pub(super) disk: Disk,
    /// What it sent, and to whom, the latest last.
    pub(super) sent: VecDeque<(NodeId, PeerMessage)>,
    /// Clients that were not answered yet.
    pub(super) open: BTreeSet<Ticket>,
    pub(super) honest: Class,
    replica: Replica,
    now: Now,
    life: u8,
    base: u64,
    tickets: u64,
    said_bytes: u64,
    replies: BTreeMap<Ticket, ClientReply>,
}

impl Stage {
    pub(super) fn open() -> Result<Self, String> {
        let map = Arc::new(map()?);
        let disk = Disk::default();
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: WALL_MS,
        };
        let replica = replica(&map, &disk, now, 0)?;
        let honest = honest_class(&map).ok_or("no class is this node's alone")?;
        Ok(Self {
            map,
            disk,
            sent: VecDeque::new(),
            open: BTreeSet::new(),
            honest,
            replica,
            now,
            life: 0,
            base: 0,
            tickets: 0,
            said_bytes: 0,
            replies: BTreeMap::new(),
        })
    }

    /// The process ends and starts again on what it stored.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.life += 1;
        self.base = self.disk.written();
        self.replica = replica(&self.map, &self.disk, self.now, self.life)?;
        self.end_step()
    }

    /// All peers answer, and honestly, until the honest class is current.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.everybody_returns()?;
        self.pass(5_000_000)
    }

    pub(super) fn everybody_returns(&mut self) -> Result<(), String> {
        for node in (2..=NODES).map(NodeId::new) {
            self.feed(Input::PeerUp(node), 0)?;
        }
        self.answer_catch_up()
    }

    /// Feeds one input of so many bytes.
    pub(super) fn feed(&mut self, input: Input, bytes: usize) -> Result<(), String> {
        self.said_bytes += bytes as u64;
        tell(|| format!("{:>9} us  {input:?}", self.now.mono_us));
        if let Input::Client { ticket, .. } = &input {
            self.open.insert(*ticket);
        }
        if let Input::ClientGone(ticket) = &input {
            self.open.remove(ticket);
        }
        self.replica.handle(self.now, input, &self.disk);
        self.end_step()
    }

    pub(super) fn new_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Lets time pass, with ticks as late as a busy driver's and honest answers to what vnodes ask.
    pub(super) fn pass(&mut self, us: u64) -> Result<(), String> {
        let until = self.now.mono_us.saturating_add(us);
        while self.now.mono_us < until {
            let late = self.replica.next_timer().saturating_add(500_000);
            self.tick(late.clamp(self.now.mono_us + 1, until) - self.now.mono_us)?;
            self.answer_catch_up()?;
        }
        Ok(())
    }

    /// Moves the clock, then ticks.
    pub(super) fn tick(&mut self, us: u64) -> Result<(), String> {
        self.now.mono_us += us;
        self.now.wall_ms = WALL_MS + self.now.mono_us / 1000;
        self.feed(Input::Tick, 0)?;
        if self.replica.next_timer() > self.now.mono_us {
            Ok(())
        } else {
            Err("after a tick the next one is wanted at once".to_owned())
        }
    }

    fn end_step(&mut self) -> Result<(), String> {
        let step = self.replica.finish();
        let seq = step.seq;
        self.take(step)?;
        if let Some(seq) = seq {
            self.replica
                .handle(self.now, Input::Synced(seq), &self.disk);
            let step = self.replica.finish();
            self.take(step)?;
        }
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        if step.seq.is_some() {
            let (written, _) = self.disk.commit(&Arc::new(step.batch));
            self.disk.sync(written.unwrap_or_default());
        }
        let mut bytes = 0;
        for effect in step.effects {
            tell(|| format!("              {effect:?}"));
            bytes += self.perform(effect)?;
        }
        let most = STEP_BYTES + STEP_BYTES_EACH * self.said_bytes;
        if bytes > most {
            return Err(format!(
                "one step sent {bytes} bytes, the bound after {} bytes of input is {most}",
                self.said_bytes
            ));
        }
        Ok(())
    }

    /// Gives the bytes that the effect would put on a wire.
    fn perform(&mut self, effect: Effect) -> Result<u64, String> {
        let mut body = Vec::new();
        match effect {
            Effect::Send { to, message, .. } => {
                message.encode_body(&mut body);
                if self.sent.len() >= SENT_MAX {
                    self.sent.pop_front();
                }
                self.sent.push_back((to, message));
            }
            Effect::Reply { ticket, reply } => {
                reply.encode_body(&mut body);
                if !self.open.remove(&ticket) {
                    return Err(format!("{ticket:?} was answered twice, or never asked"));
                }
                self.replies.insert(ticket, reply);
            }
            Effect::Word(_) | Effect::Note(_) | Effect::Transfer(_) => body.push(0),
        }
        Ok(body.len() as u64)
    }

    /// The latest reply to anybody, once.
    pub(super) fn last_reply(&mut self) -> Option<ClientReply> {
        self.replies.pop_last().map(|(_, reply)| reply)
    }

    /// An honest client's request, and its answer.
    pub(super) fn ask(&mut self, request: ClientRequest) -> Result<ClientReply, String> {
        let ticket = self.new_ticket();
        let name = request.name();
        let input = Input::Client {
            ticket,
            principal: Arc::from("honest"),
            request,
            deadline_ms: 5000,
        };
        self.feed(input, 0)?;
        for _ in 0..20 {
            if let Some(reply) = self.replies.remove(&ticket) {
                return Ok(reply);
            }
            self.pass(300_000)?;
        }
        Err(format!("an honest {name} was never answered"))
    }

    /// No request is under way, and no client waits.
    pub(super) fn is_idle(&self) -> Result<(), String> {
        if !self.open.is_empty() {
            return Err(format!("never answered: {:?}", self.open));
        }
        match self.replica.requests_in_flight() {
            0 => Ok(()),
            some => Err(format!("{some} requests are under way for ever")),
        }
    }

    /// No vnode found damage of its own, and every record can be read.
    pub(super) fn is_undamaged(&self) -> Result<(), String> {
        let vnodes = self.replica.status().vnodes;
        if let Some(vnode) = vnodes.iter().find(|vnode| vnode.damaged) {
            return Err(format!("messages damaged the vnode of {}", vnode.class));
        }
        for family in Family::ALL {
            for (key, bytes) in self.disk.records(family) {
                readable(family, key, bytes).map_err(|error| {
                    format!("a record of {} was stored: {error}", family.name())
                })?;
            }
        }
        Ok(())
    }

    fn answer_catch_up(&mut self) -> Result<(), String> {
        let asks: Vec<(NodeId, CatchUpAsk)> = self
            .sent
            .iter()
            .filter_map(|(to, message)| {
                let PeerMessage::CatchUpAsk(ask) = message else {
                    return None;
                };
                Some((*to, ask.clone()))
            })
            .collect();
        self.sent
            .retain(|(_, message)| !matches!(message, PeerMessage::CatchUpAsk(_)));
        for (from, ask) in asks {
            let entries = ask.classes.iter().map(|&class| self.entry(from, class));
            let answer = CatchUpAnswer {
                number: ask.number,
                entries: entries.collect(),
                testimony: self.testimony(from),
            };
            self.feed(
                Input::Peer {
                    from,
                    message: answer.into(),
                    deadline_ms: 0,
                },
                64,
            )?;
        }
        Ok(())
    }

    /// A peer that was there all the time and saw everybody.
    fn testimony(&self, of: NodeId) -> Testimony {
        let mark = AliveMark {
            shard: 0,
            life: LifeId::new(of.get()),
            position: 1,
        };
        let others = (1..=NODES).map(NodeId::new).filter(|&node| node != of);
        Testimony {
            now: Alive { shards: 1, mark },
            exact: true,
            complete: true,
            seen: others.collect(),
        }
    }

    /// A peer that has applied nothing and keeps no hints.
    fn entry(&self, from: NodeId, class: Class) -> CatchUpEntry {
        let is_member = self.map.ring.primaries(class).contains(&from);
        let clock = is_member.then(|| VnodeClock {
            digest: ContentDigest::new(0, 0),
            holds: Default::default(),
            class,
            epoch: MapVersion::FIRST,
            departing: false,
            for_departing: false,
            vnode: VnodeId::FOUNDING,
            storage: StorageId::new(from.get()),
            life: LifeId::new(from.get()),
            applied: Vec::new(),
            durable: Vec::new(),
            swept: None,
            current: true,
            actors: Vec::new(),
        });
        CatchUpEntry {
            class,
            hints: 0,
            clock,
            gone: None,
            settled: Vec::new(),
        }
    }

    /// Three keys of the honest class that begin with these bytes.
    pub(super) fn honest_keys(&self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let keys = (0_u32..).map(|number| [prefix, &number.to_be_bytes()].concat());
        let partition = self.honest.partition;
        keys.filter(|key| self.map.ring.partition_of(SOLO, key) == partition)
            .take(3)
            .collect()
    }

    pub(super) fn honest_put(&mut self, key: &[u8], value: &[u8]) -> Put {
        Put {
            bucket: SOLO,
            key: Bytes::copy_from_slice(key),
            content: Content {
                value: Bytes::copy_from_slice(value),
                ..Content::default()
            },
            context: None,
            options: Default::default(),
            request: RequestId::new(u64::from(self.life), self.tickets),
            retry: false,
            ttl_ms: None,
        }
    }

    pub(super) fn honest_get(&self, key: &[u8]) -> Get {
        Get {
            bucket: SOLO,
            key: Bytes::copy_from_slice(key),
            options: Default::default(),
            session: None,
        }
    }
}

fn replica(map: &Arc<ClusterMap>, disk: &Disk, now: Now, life: u8) -> Result<Replica, String> {
    let config = ReplicaConfig {
        node: ME,
        shard: 0,
        shards: 1,
        token_key: [9; 32],
        seed: [life; 32],
        timing: Timing::default(),
    };
    let version = VersionedMap::created(map.as_ref().clone(), 0);
    Replica::open(config, Arc::new(version), now, disk).map_err(|error| error.to_string())
}

fn honest_class(map: &ClusterMap) -> Option<Class> {
    let classes = (0..8).map(|partition| Class {
        n: 1,
        partition: PartitionId::new(partition),
    });
    classes
        .into_iter()
        .find(|&class| map.ring.primaries(class) == [ME])
}

fn map() -> Result<ClusterMap, String> {
    let member = |id: u64| Member {
        id: NodeId::new(id),
        name: format!("n{id}"),
        peer_addresses: vec![format!("127.0.0.1:{id}")],
        client_addresses: vec![format!("127.0.0.1:{}", 100 + id)],
        zone: Default::default(),
        weight: Weight::default(),
    };
    let placed = |id: u64| Placed {
        id: NodeId::new(id),
        zone: Default::default(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = (1..=NODES).map(placed).collect();
    let partitions = PartitionCount::new(8).map_err(|error| error.to_string())?;
    let bucket = |id: u64, n, mode| Bucket {
        id: BucketId::new(id),
        name: format!("b{id}"),
        revision: 1,
        props: BucketProps {
            n,
            mode,
            defaults: Default::default(),
        },
    };
    Ok(ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "stage".to_owned(),
        format_level: FORMAT_LEVEL,
        members: (1..=NODES).map(member).collect(),
        ring: Ring::first(partitions, 3, &placed).map_err(|error| error.to_string())?,
        buckets: vec![
            bucket(1, 3, BucketMode::Siblings),
            bucket(2, 3, BucketMode::Lww),
            bucket(3, 1, BucketMode::Siblings),
            bucket(4, 2, BucketMode::Siblings),
        ],
    })
}

fn readable(family: Family, key: &[u8], bytes: &Bytes) -> Result<(), String> {
    let known = match family {
        Family::Objects => keys::parse_object_key(key).is_some(),
        Family::Chunks => keys::parse_chunk_key(key).is_some(),
        Family::Hints => keys::parse_hint_key(key).is_some(),
        Family::Log => keys::parse_log_key(key).is_some(),
        Family::Vnodes => {
            keys::parse_vnode_key(key).is_some()
                || keys::parse_digest_key(key).is_some()
                || key == keys::alive_key(0)
        }
        Family::Requests => keys::parse_request_key(key).is_some(),
        Family::Expiry => keys::parse_expiry_key(key).is_some() && bytes.is_empty(),
    };
    if !known {
        return Err("its storage key is none".to_owned());
    }
    let read = match family {
        Family::Objects => record::decode_object(key, bytes).map(drop),
        Family::Hints => record::decode_hint(key, bytes).map(drop),
        Family::Log => record::decode_log(key, bytes).map(drop),
        Family::Vnodes if key == keys::alive_key(0) => record::decode_alive(key, bytes).map(drop),
        Family::Vnodes if keys::parse_digest_key(key).is_some() => {
            record::decode_digest(key, bytes).map(drop)
        }
        Family::Vnodes => record::decode_vnode(key, bytes).map(drop),
        Family::Requests => record::decode_request(key, bytes).map(drop),
        // Read together with the object it belongs to.
        Family::Chunks => Ok(()),
        // All is in the key.
        Family::Expiry => Ok(()),
    };
    read.map_err(|error| error.to_string())
}
