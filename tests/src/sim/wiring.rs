//! Between nodes and what surrounds them: what a node wants done is done here, and what reaches it
//! passes here.

use std::sync::Arc;

use bytes::Bytes;
use quorate_core::register::Version;
use quorate_core::{Batch, Family, Note, Plant, Ticket, Write};
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::ids::Dot;
use quorate_protocol::peer::{MapDecided, PeerMessage};
use quorate_protocol::versioned::{Going, GoingState, MapName};
use quorate_ring::NodeId;

use super::clients::ClientEvent;
use super::counters::Counter;
use super::driven::DRIVER;
use super::event::Event;
use super::history::Kind;
use super::node::Want;
use super::world::{Waiting, World};
use crate::checkers::Violation;
use crate::checkers::ack_truth::Promise;

/// Between something entering a shard's inbox and the shard looking at it, microseconds at most.
const WAKE_UP_US: u64 = 50;

impl World<'_> {
    pub(super) fn deliver(
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
        self.trace
            .delivered(self.at_us, from, self.nodes[to].id, &message);
        let aim = self.take_aim(from, to, &message);
        self.dies_at_it(aim.before);
        let mut wants = self.spare_wants();
        self.nodes[to].deliver(self.at_us, (from, message), deadline_ms, &mut wants);
        self.absorb(to, wants);
        self.dies_at_it(aim.after);
    }

    fn dies_at_it(&mut self, death: Option<(usize, u64)>) {
        if let Some((node, down_us)) = death {
            self.kill(node, down_us);
        }
    }

    /// A list for wants that was used before: events are many, and memory is slow to come by.
    pub(super) fn spare_wants(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.wants)
    }

    /// Does what a node wants.
    pub(super) fn absorb(&mut self, node: usize, mut wants: Vec<Want>) {
        for want in wants.drain(..) {
            self.grant(node, want);
        }
        self.wants = wants;
    }

    fn grant(&mut self, node: usize, want: Want) {
        let life = self.nodes[node].life;
        match want {
            Want::Send {
                to,
                message,
                deadline_ms,
            } => self.send(node, to, &message, deadline_ms),
            Want::Reply(ticket, reply) => self.reply(node, ticket, *reply),
            Want::Note(note) => {
                self.counters.count(Counter::Core(note));
                if note == Note::SilentLossFound {
                    self.judge_find(node);
                }
                if note == Note::RangeLossFound {
                    self.judge_range_loss(node);
                }
            }
            Want::Count(what) => self.counters.count(what),
            Want::Wrote(number, batch) => self.wrote(node, number, &batch),
            Want::Run(shard) => {
                let after_us = 1 + self.dice.below(WAKE_UP_US);
                self.schedule(after_us, Event::Run(node, life, shard));
            }
            Want::Wake(mono_us) => {
                let when_us = self.nodes[node].clock.when(mono_us);
                let after_us = when_us.saturating_sub(self.at_us);
                self.schedule(after_us, Event::Wake(node, life));
            }
            Want::SyncAfter(after_us) => self.schedule(after_us, Event::SyncAt(node, life)),
            Want::SyncBegun(upto) => {
                let works = !self.faults.sync_fails(node);
                let takes_us = self.faults.sync_us(node);
                self.schedule(takes_us, Event::SyncDone(node, life, upto, works));
            }
            Want::Persist(number, bytes) => {
                let takes_us = self.faults.sync_us(node) + self.founding.more_us();
                self.nodes[node].kept.write(number, bytes.clone());
                self.schedule(takes_us, Event::Persisted(node, life, number, bytes));
            }
            Want::Revive(shard, after_us) => {
                self.schedule(after_us, Event::Revive(node, life, shard));
            }
            Want::InForce(version) => self.note_in_force(node, &version),
            Want::GivenUp(by) => self.given_up(node, by),
            Want::Contradiction(here, there) => {
                self.founding.maps.contradiction(here, there);
                self.blame_maps();
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: &PeerMessage, deadline_ms: u32) {
        let Some(to) = self.place_of(to) else {
            return;
        };
        self.judge_told(from, message);
        if let Some(by) = self.by_which_given_up(from, to) {
            return self.turn_away(from, to, by);
        }
        let refusal = self.refusal(from, to);
        let (from, to, message) = match &refusal {
            Some(refusal) => (to, from, refusal),
            None => (from, to, message),
        };
        let delays = self.network.deliveries(self.at_us, (from, to));
        if delays == [None, None] {
            return;
        }
        self.bytes.clear();
        message.encode_body(&mut self.bytes);
        let body = Bytes::copy_from_slice(&self.bytes);
        let sent = self.sent.entry(message.name()).or_default();
        *sent = (sent.0 + 1, sent.1 + body.len() as u64);
        let (from_id, life) = (self.nodes[from].id, self.nodes[to].life);
        for delay_us in delays.into_iter().flatten() {
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

    /// Who was called gone when the cluster was recovered is turned away at every door, with the version by which it is so, also
    /// where it had left by then and takes itself for a member of the earlier lineage.
    fn refusal(&self, from: usize, to: usize) -> Option<PeerMessage> {
        let theirs = self.founding.maps.newest(to)?;
        let node = self.nodes[from].id;
        let lineage = |version: &Version| version.name().version.lineage();
        let is_behind = |known: &Version| {
            lineage(known) < lineage(theirs)
                && known.map().admits(node)
                && !theirs.map().admits(node)
        };
        let known = self.founding.maps.newest(from);
        let had_left = self.was_called_gone(from) && known.is_some_and(is_behind);
        let given_up = had_left || theirs.map().recovered_without(node).is_some();
        let works = self.nodes[to].guards_its_door(Plant::DoorOpen);
        let map = theirs.bytes().clone();
        (given_up && works).then(|| MapDecided { map }.into())
    }

    /// The version by which a member knows that who knocks was removed by force and given up. It says no more than that
    /// version's name: nothing of the map reaches who is turned away.
    fn by_which_given_up(&self, from: usize, to: usize) -> Option<MapName> {
        let theirs = self.founding.maps.newest(to)?;
        let (map, node) = (theirs.map(), self.nodes[from].id);
        let forgotten = |going: &Going| going.state == GoingState::Forgotten;
        let given_up = map.expelled.contains(&node) || map.going(node).is_some_and(forgotten);
        let recovered = map.recovered_without(node).is_some();
        let works = given_up && !recovered && self.nodes[to].guards_its_door(Plant::ExpelledLetIn);
        works.then(|| theirs.name())
    }

    fn turn_away(&mut self, from: usize, to: usize, by: MapName) {
        let life = self.nodes[from].life;
        let delays = self.network.deliveries(self.at_us, (to, from));
        if let Some(delay_us) = delays.into_iter().flatten().next() {
            self.schedule(delay_us, Event::TurnedAway(from, life, by));
        }
    }

    fn wrote(&mut self, node: usize, number: u64, batch: &Arc<Batch>) {
        let writes = &batch.writes;
        self.trace.wrote(self.at_us, node, writes);
        self.ack_truth.wrote(node, number, writes);
        self.dots.wrote(node, number, writes);
        for broken in self.dots.take_broken() {
            self.violations.push(Violation::general("I11", broken));
        }
        for moved in self.dots.take_moved() {
            self.violations.push(Violation::general("TTL", moved));
        }
        self.judge_retries(node, writes);
        if self.config.counts_copies() {
            self.copies.wrote((node, number), writes, self.at_us);
        }
        if self.config.turnover.loses_writes() {
            let batch = (node, number);
            self.copies.wrote_with_pages(batch, writes, self.at_us);
        }
        if self.config.fills_by_pages() {
            self.ack_truth.wrote_with_pages(node, number, writes);
        }
        let data = |write: &&Write| {
            let (Write::Put { family, .. }
            | Write::Delete { family, .. }
            | Write::Clear { family, .. }) = write;
            match family {
                Family::Objects | Family::Chunks | Family::Hints | Family::Log => true,
                Family::Vnodes | Family::Requests | Family::Expiry => false,
            }
        };
        self.data_writes += writes.iter().filter(data).count() as u64;
    }

    pub(super) fn request(
        &mut self,
        node: usize,
        ticket: Ticket,
        request: ClientRequest,
        deadline_ms: u32,
    ) {
        self.trace.say(self.at_us, || {
            format!("client -> {} {ticket:?} {request:?}", self.nodes[node].id)
        });
        if let ClientRequest::PutBucket(request) = &request {
            self.asks_for_bucket(node, ticket, request);
        }
        let mut wants = self.spare_wants();
        let asked = (ticket, request);
        let taken = self.nodes[node].request(self.at_us, asked, deadline_ms, &mut wants);
        self.absorb(node, wants);
        if !taken {
            self.tell(ticket, ClientEvent::Refused(ticket));
        }
    }

    fn reply(&mut self, node: usize, ticket: Ticket, reply: ClientReply) {
        self.trace.say(self.at_us, || {
            format!("{} -> client {ticket:?} {reply:?}", self.nodes[node].id)
        });
        self.answers_about_bucket(ticket, &reply);
        self.answers_operator(ticket, &reply);
        if let Some(answer) = self.founding.probes.get_mut(&ticket) {
            *answer = Some(reply);
            return;
        }
        if let Some((_, answer)) = self.probes.get_mut(&ticket) {
            *answer = Some(reply);
            return;
        }
        if let Some((_, _, answer)) = self.list_probes.get_mut(&ticket) {
            *answer = Some(reply);
            return;
        }
        if let ClientReply::Written(written) = &reply
            && let Some(dot) = written.dot
        {
            self.judge_ack(node, ticket, dot);
            self.copies.acked(dot, self.at_us);
        }
        let is_driver = |waiting: &Waiting| waiting.client == DRIVER;
        if self.waiting.get(&ticket).is_some_and(is_driver)
            && let Some(ring) = self.nodes[node].ring_version()
        {
            self.rings_told.insert(ticket, ring);
        }
        self.tell(ticket, ClientEvent::Reply(ticket, Box::new(reply)));
    }

    fn judge_ack(&mut self, node: usize, ticket: Ticket, dot: Dot) {
        let Some(waiting) = self.waiting.get(&ticket) else {
            return;
        };
        let Some(operation) = waiting.operation else {
            return;
        };
        let operation = &self.history.operations[operation];
        let Kind::Write { w, pw, dw, .. } = operation.kind else {
            return;
        };
        if self.founding.dropped.contains(&operation.key.bucket) {
            return; // others may know already that it is gone
        }
        let primaries = self.places_at(node, operation.key);
        let synced = |node: usize| self.nodes[node].disk.synced();
        let promise = Promise { w, pw, dw };
        if let Some(why) = self.ack_truth.judge(dot, promise, &primaries, synced) {
            let key = operation.key;
            self.violations.push(Violation::of("I10", key, why));
        }
    }
}
