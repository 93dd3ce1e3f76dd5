//! The cluster, its clients and everything around them under virtual time: one queue of events, worked
//! off in the order of their times.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use quorate_core::{Replica, Ticket};
use quorate_protocol::client::ClientReply;
use quorate_protocol::options::{Count, ReadOptions};
use quorate_ring::{BucketId, Class, NodeId, PartitionId, RingVersion};

use super::asking::Asker;
use super::clients::{Client, ClientEvent};
use super::config::{Config, Goals};
use super::copies::Copies;
use super::counters::Counters;
use super::dice::Dice;
use super::disk;
use super::event::{Event, Scheduled};
use super::faults::Faults;
use super::founding::Founding;
use super::history::{History, Key, Kind, WriteId};
use super::network::Network;
use super::node::{Node, Want};
use super::operators::Operators;
use super::removed::Removed;
use super::snipers::Snipers;
use super::trace::Trace;
use super::turnover::Turnover;
use super::vanishing::Vanished;
use super::workload;
use crate::checkers::ack_truth::AckTruth;
use crate::checkers::dot_uniqueness::DotUniqueness;
use crate::checkers::{Outage, Violation};

/// Messages that wait for a process that stands still at most: what a kernel and a few queues hold.
const HELD_MAX: usize = 4096;
/// Reads of a quiet cluster that are sent together, and how long after that the next ones, microseconds.
const READS_AT_ONCE: u32 = 4_000;
const READS_EVERY_US: u64 = 200_000;

/// A request that a client waits for.
pub(super) struct Waiting {
    pub(super) client: usize,
    /// The operation's place in the history, if it is about a key.
    pub(super) operation: Option<usize>,
}

/// Called on every replica that is opened: how planted bugs get in.
pub type Prepare<'a> = &'a (dyn Fn(&mut Replica) + Sync);

/// One run's state.
pub struct World<'a> {
    /// What the seed decided.
    pub config: Config,
    /// The time, microseconds.
    pub at_us: u64,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What clients did and saw.
    pub history: History,
    /// How often each thing happened.
    pub counters: Counters,
    /// What white-box checkers found.
    pub violations: Vec<Violation>,
    /// The trace.
    pub trace: Trace,
    /// Writes to objects, hints and logs since the start.
    pub data_writes: u64,
    /// Power was cut, and something was lost by it.
    pub power_lost: bool,
    pub(super) wants: Vec<Want>,
    /// Where messages are encoded, one after the other.
    pub(super) bytes: Vec<u8>,
    /// What waits for each process that stands still.
    held: Vec<Vec<Event>>,
    /// When which processes did not run.
    pub outages: Vec<Outage>,
    events: BinaryHeap<Reverse<Scheduled>>,
    next_number: u64,
    pub(super) network: Network,
    pub(super) faults: Faults,
    pub(super) dice: Dice,
    pub(super) clients: Vec<Client>,
    /// Reads of the end and what was answered.
    pub probes: BTreeMap<Ticket, (Key, Option<ClientReply>)>,
    /// Listings of the end: the bucket, the keys that live in the partition, and what was answered.
    pub list_probes: BTreeMap<Ticket, (BucketId, BTreeSet<u32>, Option<ClientReply>)>,
    pub(super) waiting: BTreeMap<Ticket, Waiting>,
    /// What became of requests of the driver.
    pub(super) driven: BTreeMap<Ticket, (u64, ClientEvent)>,
    /// The numbers of rings in the headers of the replies to it.
    pub(super) rings_told: BTreeMap<Ticket, RingVersion>,
    /// Messages between nodes that were sent, and their bytes, by kind.
    pub sent: BTreeMap<&'static str, (u64, u64)>,
    pub(super) last_write: u64,
    pub(super) last_ticket: u64,
    pub(super) healed: bool,
    /// What operators want.
    pub(super) operators: Operators,
    /// Who comes and goes.
    pub(super) turnover: Turnover,
    pub(super) removed: Removed,
    pub(super) snipers: Snipers,
    /// Buckets that the run makes.
    pub founding: Founding,
    pub(super) ack_truth: AckTruth,
    pub(super) dots: DotUniqueness,
    pub(super) copies: Copies,
    /// The node whose disk was destroyed and is not rebuilt yet.
    pub(super) destroyed: Option<usize>,
    /// Records that vanished, and until when nobody could know it.
    pub vanished: Vec<Vanished>,
    /// How many losses scrubs of each node may still find.
    pub(super) to_be_found: BTreeMap<usize, usize>,
    /// Copies of disks that were taken and may come back.
    pub(super) old_copies: BTreeMap<usize, disk::Copy>,
    /// How far the slowest and the fastest wall clock ever were off, milliseconds.
    pub(super) skews_ms: (i64, i64),
    pub(super) prepare: Prepare<'a>,
}

impl<'a> World<'a> {
    /// A world at time 0, its nodes started.
    #[must_use]
    pub fn new(config: Config, trace: Trace, prepare: Prepare<'a>) -> Self {
        let seed = config.seed;
        let mut dice = Dice::new(seed, "world");
        let given = config.first_version();
        let token_key = dice.bytes();
        let ids = config.nodes();
        let mut nodes: Vec<Node> = ids
            .iter()
            .enumerate()
            .map(|(index, &id)| {
                let pace = (config.shards, config.timing());
                Node::new(index, id, given.clone(), token_key, pace)
            })
            .collect();
        for node in &mut nodes {
            let drift = dice.between(0, 2 * config.drift_ppm);
            node.clock.drift_ppm =
                i64::try_from(drift).unwrap_or(0) - i64::try_from(config.drift_ppm).unwrap_or(0);
        }
        let clients = (0..config.clients)
            .map(|id| {
                Client::new(
                    id,
                    config.operations,
                    (
                        Dice::new(seed, &format!("client {id}")),
                        Dice::new(seed, &format!("times to live of client {id}")),
                    ),
                )
            })
            .collect();
        let mut world = Self {
            network: Network::new(config.network, Dice::new(seed, "network")),
            faults: Faults::new(&config),
            at_us: 0,
            nodes,
            history: History::default(),
            counters: Counters::default(),
            violations: Vec::new(),
            trace,
            data_writes: 0,
            power_lost: false,
            wants: Vec::new(),
            bytes: Vec::new(),
            held: ids.iter().map(|_| Vec::new()).collect(),
            outages: Vec::new(),
            events: BinaryHeap::new(),
            next_number: 0,
            dice,
            clients,
            probes: BTreeMap::new(),
            list_probes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            driven: BTreeMap::new(),
            rings_told: BTreeMap::new(),
            sent: BTreeMap::new(),
            last_write: 0,
            last_ticket: 0,
            healed: false,
            operators: Operators::default(),
            turnover: Turnover::new(&config),
            removed: Removed::default(),
            snipers: Snipers::new(&config),
            founding: Founding::new(&config),
            ack_truth: AckTruth::default(),
            dots: DotUniqueness::default(),
            copies: Copies::default(),
            destroyed: None,
            vanished: Vec::new(),
            to_be_found: BTreeMap::new(),
            old_copies: BTreeMap::new(),
            skews_ms: (0, 0),
            prepare,
            config,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
        for client in 0..self.clients.len() {
            let after_us = 500_000 + self.dice.below(500_000);
            self.schedule(after_us, Event::Client(client, ClientEvent::Go));
        }
        self.schedule_fault();
        self.invite_askers();
        self.order_repairs();
        self.order_changes();
        self.begin_turnover();
    }

    pub(super) fn schedule(&mut self, after_us: u64, event: Event) {
        self.next_number += 1;
        let at_us = self.at_us + after_us;
        let scheduled = Scheduled::new(at_us, self.next_number, event);
        self.events.push(Reverse(scheduled));
    }

    pub(super) fn schedule_fault(&mut self) {
        if let Some(after_us) = self.faults.pause() {
            self.schedule(after_us, Event::Fault);
        }
    }

    /// Whether the phase with faults has reached what it must.
    #[must_use]
    pub fn has_reached(&self, goals: Goals) -> bool {
        self.history.operations.len() as u64 >= goals.operations
            && self.trace.begun().borrow().len() as u64 >= goals.faults
    }

    /// Runs until a time, microseconds.
    pub fn run_until(&mut self, until_us: u64) {
        while let Some(next) = self.take_next(until_us) {
            self.at_us = next.at_us();
            self.happen(*next.event);
        }
        self.at_us = until_us;
    }

    /// The next event, if it happens by then.
    fn take_next(&mut self, until_us: u64) -> Option<Scheduled> {
        let next = self.events.peek_mut()?;
        (next.0.at_us() <= until_us).then(|| PeekMut::pop(next).0)
    }

    /// Runs until something is the case, or until a time, microseconds. Returns whether it is.
    pub fn run_until_so(&mut self, until_us: u64, so: impl Fn(&Self) -> bool) -> bool {
        while !so(self) {
            let Some(Reverse(next)) = self.events.peek() else {
                break;
            };
            let at_us = next.at_us();
            if at_us > until_us {
                break;
            }
            self.run_until(at_us);
        }
        let is_so = so(self);
        if !is_so {
            self.run_until(until_us);
        }
        is_so
    }

    pub(super) fn new_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// An id for a write that no other write has.
    pub fn new_write(&mut self) -> WriteId {
        self.last_write += 1;
        WriteId(self.last_write)
    }

    /// Whether all clients have ended what they wanted to do.
    #[must_use]
    pub fn clients_done(&self) -> bool {
        let askers = &self.founding.askers;
        self.clients.iter().all(Client::is_done) && askers.iter().all(Asker::is_done)
    }

    /// Reads every key once with r = all, each through some node. The answers are in [`Self::probes`]
    /// once they came.
    ///
    /// Returns how long it goes on asking, microseconds: not everything at once where there are very many keys.
    pub fn read_everything(&mut self) -> u64 {
        let (mut asked, mut after_us) = (0, 1);
        let newest = self.newest_map();
        for bucket in self.config.map.buckets.clone() {
            // Where most members are gone for good, and others are to hold nothing, there are fewer replicas than copies.
            let (n, partition) = (bucket.props.n, PartitionId::new(0));
            let places = newest.map.ring.primaries(Class { n, partition }).len();
            let all = match u8::try_from(places) {
                Ok(few) if few < n => Count::Exactly(few),
                Ok(_) | Err(_) => Count::All,
            };
            for number in 0..self.config.keys {
                let key = Key {
                    bucket: bucket.id,
                    number,
                };
                let options = ReadOptions {
                    r: Some(all),
                    ..ReadOptions::default()
                };
                let ticket = self.new_ticket();
                self.probes.insert(ticket, (key, None));
                let node = self.some_member();
                let request = Box::new(workload::get(key, options, None).into());
                let event = Event::Request {
                    node,
                    ticket,
                    request,
                    deadline_ms: 5_000,
                };
                self.schedule(after_us, event);
                asked += 1;
                if asked % READS_AT_ONCE == 0 {
                    after_us += READS_EVERY_US;
                }
            }
        }
        after_us
    }

    /// Lists every partition that has keys, each through some node. The answers are in
    /// [`Self::list_probes`] once they came.
    pub fn list_everything(&mut self) {
        for bucket in self.config.map.buckets.clone() {
            let mut done = BTreeSet::new();
            for number in 0..self.config.keys {
                let key = Key {
                    bucket: bucket.id,
                    number,
                };
                let partition = self.config.class_of(key).map(|class| class.partition);
                if !done.insert(partition) {
                    continue;
                }
                let (kind, request) =
                    workload::list(&self.config.map, &bucket, key, self.config.keys);
                let Kind::List { here, .. } = kind else {
                    continue;
                };
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.list_probes.insert(ticket, (bucket.id, here, None));
                let event = Event::Request {
                    node: self.some_member(),
                    ticket,
                    request: Box::new(request.into()),
                    deadline_ms: 5_000,
                };
                self.schedule(1, event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        self.trace
            .event(self.at_us, event.node(), event.number(), event.bytes());
        if let Some(node) = self.stands_still(&event) {
            return self.hold(node, event);
        }
        match event {
            Event::Deliver {
                to,
                life,
                from,
                opcode,
                body,
                deadline_ms,
            } => self.deliver(to, life, from, (opcode, &body), deadline_ms),
            Event::Run(node, life, _)
            | Event::Wake(node, life)
            | Event::SyncAt(node, life)
            | Event::SyncDone(node, life, ..)
            | Event::Persisted(node, life, ..)
            | Event::Revive(node, life, _) => {
                if self.nodes[node].life == life {
                    self.process(node, event);
                }
            }
            Event::Request {
                node,
                ticket,
                request,
                deadline_ms,
            } => self.request(node, ticket, *request, deadline_ms),
            Event::Client(client, event) => self.client(client, event),
            Event::Fault => self.fault(),
            Event::Restart(node) => {
                if !self.nodes[node].is_running() {
                    self.start(node);
                }
            }
            Event::Resume(node, life) => {
                if self.nodes[node].life == life {
                    self.release(node);
                }
            }
            Event::Mend(cut) => {
                self.trace.say(self.at_us, || format!("cut {cut} ends"));
                self.network.mend(cut);
            }
            Event::Operator => self.operate(),
            Event::TurnedAway(node, life, by) => {
                if self.nodes[node].life == life {
                    self.turned_away(node, by);
                }
            }
            Event::DiskWorks(node, trouble) => self.disk_works(node, trouble),
        }
    }

    /// Something that concerns a process that still lives.
    fn process(&mut self, node: usize, event: Event) {
        let (at_us, mut wants) = (self.at_us, self.spare_wants());
        match event {
            Event::Run(_, _, shard) => {
                let most = self.config.inputs_per_step;
                self.nodes[node].run(at_us, shard, most, &mut wants);
            }
            Event::Wake(..) => self.nodes[node].wake(at_us, &mut wants),
            Event::SyncAt(..) => self.nodes[node].sync_is_due(&mut wants),
            Event::SyncDone(_, _, upto, true) => {
                self.nodes[node].sync_done(at_us, upto, &mut wants);
            }
            Event::SyncDone(_, _, _, false) => self.sync_failed(node, &mut wants),
            Event::Persisted(_, _, number, bytes) => {
                self.nodes[node].persisted(at_us, number, bytes, &mut wants);
            }
            Event::Revive(_, _, shard) => self.revive(node, shard, &mut wants),
            Event::Deliver { .. }
            | Event::Request { .. }
            | Event::Client(..)
            | Event::Fault
            | Event::Restart(_)
            | Event::Resume(..)
            | Event::Mend(_)
            | Event::TurnedAway(..)
            | Event::Operator
            | Event::DiskWorks(..) => {}
        }
        self.absorb(node, wants);
    }

    /// The node whose process stands still, if the event is for such a one.
    fn stands_still(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Run(node, ..)
            | Event::Wake(node, _)
            | Event::SyncAt(node, _)
            | Event::SyncDone(node, ..)
            | Event::Persisted(node, ..)
            | Event::Revive(node, ..)
            | Event::Request { node, .. }
            | Event::Deliver { to: node, .. } => {
                (self.nodes[*node].paused_until_us > 0).then_some(*node)
            }
            Event::Client(..)
            | Event::Fault
            | Event::Restart(_)
            | Event::Resume(..)
            | Event::Mend(_)
            | Event::TurnedAway(..)
            | Event::Operator
            | Event::DiskWorks(..) => None,
        }
    }

    /// What happens to a process that stands still waits until it goes on, as far as queues are long.
    fn hold(&mut self, node: usize, event: Event) {
        let held = &mut self.held[node];
        if held.len() < HELD_MAX || !matches!(event, Event::Deliver { .. }) {
            held.push(event);
        }
    }

    /// What was held happens now, in the order in which it came.
    pub(super) fn release(&mut self, node: usize) {
        self.nodes[node].paused_until_us = 0;
        for event in std::mem::take(&mut self.held[node]) {
            self.schedule(0, event);
        }
    }

    /// The places of a key's primaries.
    #[must_use]
    pub fn primaries(&self, key: Key) -> BTreeSet<usize> {
        let Some(bucket) = self.config.map.bucket(key.bucket) else {
            return BTreeSet::new();
        };
        let newest = self.newest_map();
        let class = Class {
            n: bucket.props.n,
            partition: newest.map.ring.partition_of(bucket.id, &key.bytes()),
        };
        let ids = newest.map.ring.primaries(class);
        ids.iter().filter_map(|&id| self.place_of(id)).collect()
    }

    /// The place of a node: ids are given out from 1.
    pub(super) fn place_of(&self, id: NodeId) -> Option<usize> {
        let place = usize::try_from(id.get()).ok()?.checked_sub(1)?;
        (place < self.nodes.len()).then_some(place)
    }
}
