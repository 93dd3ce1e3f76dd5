//! The cluster, its clients and everything around them under virtual time: one queue of events, worked
//! off in the order of their times.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use quorate_core::{Family, Note, Replica, Ticket, Write};
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::options::{Count, ReadOptions};
use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;

use super::clients::{Client, ClientEvent, ClientWant, Shared};
use super::config::Config;
use super::dice::Dice;
use super::event::{Event, Scheduled};
use super::faults::Faults;
use super::history::{History, Key, Kind};
use super::network::Network;
use super::node::{Inlet, Node, Want};
use super::trace::Trace;
use super::workload;
use crate::checkers::Violation;
use crate::checkers::ack_truth::{AckTruth, Promise};
use crate::checkers::dot_uniqueness::DotUniqueness;

/// Between something entering a node's inbox and the node looking at it, microseconds at most.
const WAKE_UP_US: u64 = 50;
/// The way between a client and a node takes so long at most, microseconds.
const CLIENT_DELAY_US: u64 = 1_000;

/// A request that a client waits for.
struct Waiting {
    client: usize,
    operation: usize,
}

/// Called on every replica that is opened: how planted bugs get in.
pub type Prepare<'a> = &'a dyn Fn(&mut Replica);

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
    /// How often each note came.
    pub notes: BTreeMap<Note, u64>,
    /// What white-box checkers found.
    pub violations: Vec<Violation>,
    /// The trace.
    pub trace: Trace,
    /// Writes to objects, hints and logs since the start.
    pub data_writes: u64,
    /// Power was cut, and something was lost by it.
    pub power_lost: bool,
    events: BinaryHeap<Reverse<Scheduled>>,
    next_number: u64,
    pub(super) network: Network,
    pub(super) faults: Faults,
    pub(super) dice: Dice,
    pub(super) clients: Vec<Client>,
    /// Reads of the end and what was answered.
    pub probes: BTreeMap<Ticket, (Key, Option<ClientReply>)>,
    waiting: BTreeMap<Ticket, Waiting>,
    last_write: u64,
    last_ticket: u64,
    pub(super) healed: bool,
    pub(super) ack_truth: AckTruth,
    dots: DotUniqueness,
    pub(super) prepare: Prepare<'a>,
}

impl<'a> World<'a> {
    /// A world at time 0, its nodes started.
    #[must_use]
    pub fn new(config: Config, trace: Trace, prepare: Prepare<'a>) -> Self {
        let seed = config.seed;
        let mut dice = Dice::new(seed, "world");
        let map = Arc::new(config.map.clone());
        let token_key = dice.bytes();
        let ids = config.nodes();
        let nodes: Vec<Node> = ids
            .iter()
            .enumerate()
            .map(|(index, &id)| Node::new(index, id, Arc::clone(&map), token_key))
            .collect();
        let clients = (0..config.clients)
            .map(|id| {
                Client::new(
                    id,
                    config.operations,
                    Dice::new(seed, &format!("client {id}")),
                )
            })
            .collect();
        let mut world = Self {
            network: Network::new(config.network, Dice::new(seed, "network")),
            faults: Faults::new(&config),
            at_us: 0,
            nodes,
            history: History::default(),
            notes: BTreeMap::new(),
            violations: Vec::new(),
            trace,
            data_writes: 0,
            power_lost: false,
            events: BinaryHeap::new(),
            next_number: 0,
            dice,
            clients,
            probes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last_write: 0,
            last_ticket: 0,
            healed: false,
            ack_truth: AckTruth::default(),
            dots: DotUniqueness::default(),
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
    }

    pub(super) fn schedule(&mut self, after_us: u64, event: Event) {
        self.next_number += 1;
        self.events.push(Reverse(Scheduled {
            at_us: self.at_us + after_us,
            number: self.next_number,
            event,
        }));
    }

    pub(super) fn schedule_fault(&mut self) {
        if let Some(after_us) = self.faults.pause()
            && self.at_us + after_us < self.config.fault_us
        {
            self.schedule(after_us, Event::Fault);
        }
    }

    /// Runs until a time, microseconds.
    pub fn run_until(&mut self, until_us: u64) {
        while let Some(Reverse(next)) = self.events.peek() {
            if next.at_us > until_us {
                break;
            }
            let Some(Reverse(next)) = self.events.pop() else {
                break;
            };
            self.at_us = next.at_us;
            self.happen(next.event);
        }
        self.at_us = until_us;
    }

    /// Whether all clients have ended what they wanted to do.
    #[must_use]
    pub fn clients_done(&self) -> bool {
        self.clients.iter().all(Client::is_done)
    }

    /// Reads every key once with r = all, each through some node. The answers are in [`Self::probes`]
    /// once they came.
    pub fn read_everything(&mut self) {
        for bucket in self.config.map.buckets.clone() {
            for number in 0..self.config.keys {
                let key = Key {
                    bucket: bucket.id,
                    number,
                };
                let options = ReadOptions {
                    r: Some(Count::All),
                    ..ReadOptions::default()
                };
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.probes.insert(ticket, (key, None));
                let node = self.dice.index(self.nodes.len());
                let request = workload::get(key, options, None).into();
                let event = Event::Request {
                    node,
                    ticket,
                    request,
                    deadline_ms: 5_000,
                };
                self.schedule(1, event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        self.trace
            .event(self.at_us, event.node(), event.number(), event.bytes());
        if let Some(later_us) = self.postponed(&event) {
            return self.schedule(later_us, event);
        }
        let mut wants = Vec::new();
        let at_us = self.at_us;
        match event {
            Event::Deliver {
                to,
                life,
                from,
                opcode,
                body,
                deadline_ms,
            } => self.deliver(to, life, from, (opcode, &body), deadline_ms),
            Event::Run(node, life) if self.nodes[node].life == life => {
                let most = self.config.inputs_per_step;
                self.nodes[node].run(at_us, most, &mut wants);
                self.absorb(node, wants);
            }
            Event::Wake(node, life) if self.nodes[node].life == life => {
                self.nodes[node].wake(at_us, &mut wants);
                self.absorb(node, wants);
            }
            Event::SyncAt(node, life) if self.nodes[node].life == life => {
                self.nodes[node].sync_if_due(at_us, &mut wants);
                self.absorb(node, wants);
            }
            Event::SyncDone(node, life, upto) if self.nodes[node].life == life => {
                self.nodes[node].sync_done(at_us, upto, &mut wants);
                self.absorb(node, wants);
            }
            Event::Run(..) | Event::Wake(..) | Event::SyncAt(..) | Event::SyncDone(..) => {}
            Event::Request {
                node,
                ticket,
                request,
                deadline_ms,
            } => self.request(node, ticket, request, deadline_ms),
            Event::Client(client, event) => self.client(client, event),
            Event::Fault => self.fault(),
            Event::Restart(node) => {
                if !self.nodes[node].is_running() {
                    self.start(node);
                }
            }
            Event::Resume(node, life) => {
                if self.nodes[node].life == life {
                    self.resume(node);
                }
            }
            Event::Mend(cut) => {
                self.trace.say(at_us, || format!("cut {cut} ends"));
                self.network.mend(cut);
            }
        }
    }

    /// What a process does waits while it stands still.
    fn postponed(&self, event: &Event) -> Option<u64> {
        match event {
            Event::Run(node, _)
            | Event::Wake(node, _)
            | Event::SyncAt(node, _)
            | Event::SyncDone(node, ..) => {
                let until_us = self.nodes[*node].paused_until_us;
                (until_us > self.at_us).then(|| until_us - self.at_us)
            }
            Event::Deliver { .. }
            | Event::Request { .. }
            | Event::Client(..)
            | Event::Fault
            | Event::Restart(_)
            | Event::Resume(..)
            | Event::Mend(_) => None,
        }
    }

    fn deliver(
        &mut self,
        to: usize,
        life: u64,
        from: NodeId,
        (opcode, body): (u16, &[u8]),
        deadline_ms: u32,
    ) {
        if self.nodes[to].life != life && !self.network.outlives() {
            return;
        }
        let message = match PeerMessage::decode_body(opcode, body) {
            Ok(message) => message,
            Err(error) => {
                return self.violations.push(Violation::general(
                    "wire",
                    format!("a node sent what no node can read: {error}"),
                ));
            }
        };
        self.trace.say(self.at_us, || {
            format!("{from} -> {} {message:?}", self.nodes[to].id)
        });
        let mut wants = Vec::new();
        let inlet = Inlet::Peer {
            from,
            message,
            deadline_ms,
        };
        self.nodes[to].take(inlet, &mut wants);
        self.absorb(to, wants);
    }

    pub(super) fn absorb(&mut self, node: usize, wants: Vec<Want>) {
        let life = self.nodes[node].life;
        for want in wants {
            match want {
                Want::Send {
                    to,
                    message,
                    deadline_ms,
                } => self.send(node, to, &message, deadline_ms),
                Want::Reply(ticket, reply) => self.reply(node, ticket, reply),
                Want::Note(note) => *self.notes.entry(note).or_default() += 1,
                Want::Wrote(batch, writes) => self.wrote(node, batch, &writes),
                Want::Run => {
                    let after_us = 1 + self.dice.below(WAKE_UP_US);
                    self.schedule(after_us, Event::Run(node, life));
                }
                Want::Wake(at_us) => {
                    self.schedule(at_us.saturating_sub(self.at_us), Event::Wake(node, life));
                }
                Want::SyncAt(at_us) => {
                    self.schedule(at_us.saturating_sub(self.at_us), Event::SyncAt(node, life));
                }
                Want::SyncBegun(upto) => {
                    let takes_us = self.faults.sync_us();
                    self.schedule(takes_us, Event::SyncDone(node, life, upto));
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: &PeerMessage, deadline_ms: u32) {
        let Some(to) = self.nodes.iter().position(|node| node.id == to) else {
            return;
        };
        let mut body = Vec::new();
        message.encode_body(&mut body);
        let (from_id, life) = (self.nodes[from].id, self.nodes[to].life);
        for delay_us in self.network.deliveries((from, to)) {
            let event = Event::Deliver {
                to,
                life,
                from: from_id,
                opcode: message.opcode(),
                body: body.clone(),
                deadline_ms,
            };
            self.schedule(delay_us, event);
        }
    }

    fn wrote(&mut self, node: usize, batch: u64, writes: &[Write]) {
        self.ack_truth.wrote(node, batch, writes);
        self.dots.wrote(node, batch, writes);
        for broken in self.dots.take_broken() {
            self.violations.push(Violation::general("I11", broken));
        }
        let data = |write: &&Write| {
            let (Write::Put { family, .. } | Write::Delete { family, .. }) = write;
            match family {
                Family::Objects | Family::Chunks | Family::Hints | Family::Log => true,
                Family::Vnodes | Family::Requests => false,
            }
        };
        self.data_writes += writes.iter().filter(data).count() as u64;
    }

    fn request(&mut self, node: usize, ticket: Ticket, request: ClientRequest, deadline_ms: u32) {
        self.trace.say(self.at_us, || {
            format!("client -> {} {ticket:?} {request:?}", self.nodes[node].id)
        });
        let mut wants = Vec::new();
        if self.nodes[node].request(ticket, request, deadline_ms, &mut wants) {
            self.absorb(node, wants);
        } else {
            self.tell(ticket, ClientEvent::Refused(ticket));
        }
    }

    fn reply(&mut self, node: usize, ticket: Ticket, reply: ClientReply) {
        self.trace.say(self.at_us, || {
            format!("{} -> client {ticket:?} {reply:?}", self.nodes[node].id)
        });
        if let Some((_, answer)) = self.probes.get_mut(&ticket) {
            *answer = Some(reply);
            return;
        }
        if let ClientReply::Written(written) = &reply
            && let Some(dot) = written.dot
        {
            self.judge_ack(ticket, dot);
        }
        self.tell(ticket, ClientEvent::Reply(ticket, Box::new(reply)));
    }

    fn judge_ack(&mut self, ticket: Ticket, dot: quorate_protocol::ids::Dot) {
        let Some(waiting) = self.waiting.get(&ticket) else {
            return;
        };
        let operation = &self.history.operations[waiting.operation];
        let Kind::Write { w, pw, dw, .. } = operation.kind else {
            return;
        };
        let primaries = self.primaries(operation.key);
        let synced = |node: usize| self.nodes[node].disk.synced();
        let promise = Promise { w, pw, dw };
        if let Some(why) = self.ack_truth.judge(dot, promise, &primaries, synced) {
            let key = operation.key;
            self.violations.push(Violation::of("I10", key, why));
        }
    }

    /// The places of a key's primaries.
    #[must_use]
    pub fn primaries(&self, key: Key) -> BTreeSet<usize> {
        let Some(bucket) = self.config.map.bucket(key.bucket) else {
            return BTreeSet::new();
        };
        let class = quorate_ring::Class {
            n: bucket.props.n,
            partition: self.config.map.ring.partition_of(bucket.id, &key.bytes()),
        };
        let ids = self.config.map.ring.primaries(class);
        let place = |id| self.nodes.iter().position(|node| node.id == id);
        ids.iter().filter_map(|&id| place(id)).collect()
    }

    pub(super) fn tell(&mut self, ticket: Ticket, event: ClientEvent) {
        let Some(client) = self.waiting.remove(&ticket).map(|waiting| waiting.client) else {
            return;
        };
        let delay_us = 1 + self.dice.below(CLIENT_DELAY_US);
        self.schedule(delay_us, Event::Client(client, event));
    }

    fn client(&mut self, client: usize, event: ClientEvent) {
        let mut shared = Shared {
            at_us: self.at_us,
            history: &mut self.history,
            map: &self.config.map,
            last_write: &mut self.last_write,
            last_ticket: &mut self.last_ticket,
            keys: self.config.keys,
            strict: self.config.strict,
            think_us: self.config.think_us,
            healed: self.healed,
            wants: Vec::new(),
        };
        self.clients[client].on_event(&mut shared, event);
        for want in shared.wants {
            match want {
                ClientWant::After(after_us, event) => {
                    self.schedule(after_us, Event::Client(client, event));
                }
                ClientWant::Send {
                    node,
                    ticket,
                    operation,
                    request,
                    deadline_ms,
                } => {
                    self.waiting.insert(ticket, Waiting { client, operation });
                    let delay_us = 1 + self.dice.below(CLIENT_DELAY_US);
                    let event = Event::Request {
                        node,
                        ticket,
                        request,
                        deadline_ms,
                    };
                    self.schedule(delay_us, event);
                }
            }
        }
    }
}
