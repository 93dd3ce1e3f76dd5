//! The replica: one router that hands every input to the machine it concerns.

mod requests;

use std::sync::Arc;

use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;

use self::requests::Request;
use crate::alive::{Held, Waiting};
use crate::coordinate::copies::Copies;
use crate::coordinate::forward::Forwards;
use crate::coordinate::get::Gets;
use crate::coordinate::listing::Listings;
use crate::coordinate::put::Puts;
use crate::dropping::Dropping;
use crate::effects::{Input, Now, Step};
use crate::expiry::Expiry;
use crate::moves::Departures;
use crate::replicate::anti_entropy::AntiEntropy;
use crate::replicate::catch_up::CatchUp;
use crate::replicate::collect::Collector;
use crate::replicate::cut::Cutter;
use crate::replicate::handoff::Handoff;
use crate::replicate::range::Ranges;
use crate::replicate::rebuild::Rebuild;
use crate::replicate::scrub::Scrub;
use crate::replicate::seal::Sealing;
use crate::shared::{Asker, Cx, Local, Shared};
use crate::store::{BatchSeq, Store};

/// Who is late by more with a timer has not been running, microseconds.
const PAUSE_US: u64 = 200_000;

/// After a pause requests are taken for late ones as long as this, microseconds. What waited here is read at once, and the first
/// acknowledgement brings what was lost on the way.
const LATE_US: u64 = 500_000;

/// One replica: all vnodes of a node for the partitions given to it, and the requests it
/// coordinates. See the crate's contract.
pub struct Replica {
    pub(crate) shared: Shared,
    gets: Gets,
    puts: Puts,
    listings: Listings,
    forwards: Forwards,
    copies: Copies,
    pub(crate) handoff: Handoff,
    anti_entropy: AntiEntropy,
    catch_up: CatchUp,
    collector: Collector,
    expiry: Expiry,
    /// Messages that may not be listened to yet.
    held: Held,
    pub(crate) rebuild: Rebuild,
    sealing: Sealing,
    cutter: Cutter,
    pub(crate) scrub: Scrub,
    pub(crate) ranges: Ranges,
    departures: Departures,
    /// The newest map, while storage cannot say what it holds of vnodes that are new by it.
    late_map: Option<Arc<VersionedMap>>,
    dropping: Dropping,
    next_tick_us: u64,
    /// When peers that have not answered yet are given up.
    presumed_until_us: u64,
}

impl Replica {
    pub(crate) fn assemble(mut shared: Shared, collector: Collector) -> Self {
        let catch_up = CatchUp::open(&mut shared);
        Self {
            next_tick_us: shared.now.mono_us,
            presumed_until_us: shared.now.mono_us + shared.timing.presume_us,
            shared,
            gets: Gets::default(),
            puts: Puts::default(),
            listings: Listings::default(),
            forwards: Forwards::default(),
            copies: Copies::default(),
            handoff: Handoff::default(),
            anti_entropy: AntiEntropy::default(),
            catch_up,
            collector,
            expiry: Expiry::default(),
            held: Held::default(),
            rebuild: Rebuild::default(),
            sealing: Sealing::default(),
            cutter: Cutter::default(),
            scrub: Scrub::default(),
            ranges: Ranges::default(),
            departures: Departures::default(),
            late_map: None,
            dropping: Dropping::default(),
        }
    }

    /// Takes one event. See the contract.
    pub fn handle(&mut self, now: Now, input: Input, store: &dyn Store) {
        self.notice_pause(now.mono_us);
        self.shared.now = now;
        match input {
            Input::Client {
                ticket,
                principal,
                request,
                deadline_ms,
            } => {
                let deadline_us = now.mono_us + u64::from(deadline_ms) * 1000;
                self.shared.throttle.began(ticket, now.mono_us);
                let from = Request {
                    asker: Asker::Client(ticket),
                    principal: &principal,
                    hops: 0,
                    deadline_us,
                };
                self.on_request(&from, request, store);
            }
            Input::ClientGone(ticket) => {
                self.shared.throttle.forget(ticket);
                self.forget(Asker::Client(ticket));
            }
            // What this node tells itself does not come this way: this is a clone of it, or a liar, and
            // would speak for this node's own vnodes.
            Input::Peer { from, .. } if from == self.shared.view.me => {}
            Input::Peer {
                from,
                message,
                deadline_ms,
            } => self.on_peer(from, message, deadline_ms, store),
            Input::PeerUp(node) => self.on_peer_up(node, store),
            Input::PeerDown(node) => self.on_peer_down(node, store),
            Input::Map(map) => self.on_map(map, store),
            Input::Synced(seq) => self.on_synced(seq, store),
            Input::StorageWritable(writable) => self.shared.writable = writable,
            Input::Tick => self.on_tick(store),
        }
        self.run_local(store);
    }

    /// Says on behalf of which request the inputs are that follow: its trace id travels with every
    /// message that they set off at once, and answers bring it back. What a timer sets off later
    /// (hedges, repeated questions) is nobody's. 0: nobody's.
    pub fn on_behalf_of(&mut self, trace: u64) {
        self.shared.trace = trace;
    }

    /// Ends the step. See the contract.
    pub fn finish(&mut self) -> Step {
        self.shared.finish()
    }

    /// When the next [`Input::Tick`] is wanted, monotonic microseconds.
    #[must_use]
    pub fn next_timer(&self) -> u64 {
        let first = |due: &std::collections::BTreeSet<(u64, u64)>| due.first().map(|&(at, _)| at);
        let ops = [
            first(&self.gets.due),
            first(&self.puts.due),
            self.listings.next_due(),
            self.forwards.next_due(),
            self.handoff.next_due(),
            self.rebuild.next_due(),
        ];
        ops.into_iter().flatten().fold(self.next_tick_us, u64::min)
    }

    /// Requests under way here.
    #[must_use]
    pub fn requests_in_flight(&self) -> usize {
        self.gets.ops.len() + self.puts.ops.len() + self.listings.len() + self.forwards.len()
    }

    /// Finds that the process did not run although a timer was due: stopped, swapped out, or on a machine that stood still. What
    /// comes now may have waited as long.
    fn notice_pause(&mut self, now_us: u64) {
        let slept_us = now_us.saturating_sub(self.shared.now.mono_us);
        if slept_us > PAUSE_US && now_us > self.next_timer() + PAUSE_US {
            self.shared.late_until_us = now_us + LATE_US;
        }
    }

    fn run_local(&mut self, store: &dyn Store) {
        let me = self.shared.view.me;
        while let Some(local) = self.shared.local.pop_front() {
            match local {
                Local::Message(message) => self.on_message(me, message, 0, store),
                Local::Ask(ask) => self.carry_out(*ask, store),
            }
        }
    }

    /// A peer's message. What comes from a peer that was away waits until it is durable here that it
    /// is back.
    fn on_peer(&mut self, from: NodeId, message: PeerMessage, deadline_ms: u32, store: &dyn Store) {
        let (now_us, seq) = (self.shared.now.mono_us, self.shared.step_seq());
        if !self.shared.alive.heard(from, now_us, seq) {
            return self.on_message(from, message, deadline_ms, store);
        }
        self.shared.sync_soon();
        let deadline_us = (deadline_ms > 0).then(|| now_us + u64::from(deadline_ms) * 1000);
        self.held.keep(Waiting {
            from,
            message,
            deadline_us,
        });
    }

    /// It is durable who is back: what they said is heard, in the order in which it came.
    fn release_held(&mut self, store: &dyn Store) {
        for waiting in self.held.release() {
            let deadline_ms = waiting.deadline_us.map_or(0, |at| self.shared.ms_until(at));
            self.on_peer(waiting.from, waiting.message, deadline_ms, store);
        }
    }

    fn on_message(
        &mut self,
        from: NodeId,
        message: PeerMessage,
        deadline_ms: u32,
        store: &dyn Store,
    ) {
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        match message {
            PeerMessage::ReplicaGet(get) => cx.serve_get(from, get),
            PeerMessage::ReplicaPut(put) => cx.serve_put(from, put),
            PeerMessage::FindRequest(find) => cx.serve_find(from, find),
            PeerMessage::ReplicaKeys(ask) => cx.serve_keys(from, ask),
            PeerMessage::ReplicaState(state) => self.gets.on_state(cx, from, state),
            PeerMessage::ReplicaAck(ack) => self.puts.on_ack(cx, from, ack),
            PeerMessage::FoundRequest(found) => self.puts.on_found(cx, from, found),
            PeerMessage::ReplicaKeyPage(page) => self.listings.on_page(cx, from, page),
            PeerMessage::Forward(forward) => self.on_forward(from, forward, deadline_ms, store),
            PeerMessage::Forwarded(forwarded) => self.forwards.on_reply(cx, from, &forwarded),
            PeerMessage::Clocks(clocks) => cx.s.take_clocks(from, clocks),
            PeerMessage::DotsAsk(ask) => cx.answer_dots(from, ask),
            PeerMessage::DotsAnswer(answer) => self.anti_entropy.on_answer(cx, from, answer),
            PeerMessage::CatchUpAsk(ask) => self.catch_up.on_ask(cx, from, ask),
            PeerMessage::CatchUpAnswer(answer) => self.catch_up.on_answer(cx, from, answer),
            PeerMessage::Alive(alive) => cx.s.alive.learn(from, alive),
            PeerMessage::SnapshotAsk(ask) => cx.answer_snapshot(from, &ask),
            PeerMessage::SnapshotPage(page) if self.ranges.awaits(from, page.number) => {
                self.ranges.on_page(cx, page);
            }
            PeerMessage::SnapshotPage(page) => self.rebuild.on_page(cx, from, page),
            PeerMessage::Remembered(word) => cx.s.on_remembered(from, &word),
            PeerMessage::SealAsk(ask) => cx.answer_seal(from, &ask),
            PeerMessage::SealAnswer(answer) => self.sealing.on_answer(cx, from, answer),
            PeerMessage::Seal(seal) => cx.take_seal(from, &seal),
            PeerMessage::Hints(hints) => cx.take_hints(from, hints),
            PeerMessage::HintsAck(ack) => {
                self.departures.on_ack(cx, from, &ack);
                self.handoff.on_ack(cx, from, &ack);
            }
            // The node's business, not a replica's.
            PeerMessage::Heartbeat(_)
            | PeerMessage::HeartbeatAck(_)
            | PeerMessage::MapPrepare(_)
            | PeerMessage::MapPromise(_)
            | PeerMessage::MapAccept(_)
            | PeerMessage::MapAccepted(_)
            | PeerMessage::MapRefused(_)
            | PeerMessage::MapNewest(_)
            | PeerMessage::MapAsk(_)
            | PeerMessage::MapDecided(_)
            | PeerMessage::MapWord(_)
            | PeerMessage::MapForsake(_)
            | PeerMessage::MapForsaken(_)
            | PeerMessage::MapRecover(_)
            | PeerMessage::MapRecovered(_)
            | PeerMessage::MapNotForsaken(_) => {}
        }
    }

    fn on_peer_up(&mut self, node: NodeId, store: &dyn Store) {
        let restarted = self.shared.view.answers(node);
        let presumed = self.shared.view.is_reachable(node) && !restarted;
        if restarted {
            self.shared.alive.down(node);
        }
        self.shared.view.set_reachable(node, true);
        let seq = self.shared.step_seq();
        if self.shared.alive.up(node, seq) {
            self.shared.sync_soon();
        }
        self.anti_entropy.on_peer_change(node);
        self.handoff.on_peer_change(node);
        self.rebuild.on_peer_change(node);
        self.sealing.on_peer_change(node);
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        self.catch_up.on_peer_up(cx, node);
        if restarted || presumed {
            // What was in flight to its former life, or sent before there was a link, is lost. It is there, so nobody
            // stands in for it.
            self.gets.on_peer_restarted(cx, node);
            self.puts.on_peer_restarted(cx, node);
        }
        if restarted {
            self.listings.on_peer_down(cx, node);
            self.forwards.on_peer_down(cx, node);
        }
        self.next_tick_us = self.shared.now.mono_us;
    }

    fn on_peer_down(&mut self, node: NodeId, store: &dyn Store) {
        self.shared.alive.down(node);
        if !self.shared.view.set_reachable(node, false) {
            return;
        }
        self.anti_entropy.on_peer_change(node);
        self.handoff.on_peer_change(node);
        self.rebuild.on_peer_change(node);
        self.sealing.on_peer_change(node);
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        self.gets.on_peer_down(cx, node);
        self.puts.on_peer_down(cx, node);
        self.listings.on_peer_down(cx, node);
        self.forwards.on_peer_down(cx, node);
    }

    fn on_map(&mut self, map: Arc<VersionedMap>, store: &dyn Store) {
        if map.version < self.shared.view.version.version {
            return; // the driver may tell late what it told before
        }
        if !self.shared.can_take(&map, store) {
            self.late_map = Some(map);
            return;
        }
        self.late_map = None;
        if self.shared.view.take(map) {
            self.presumed_until_us = self.shared.now.mono_us + self.shared.timing.presume_us;
        }
        self.shared.alive.set_peers(self.shared.view.peers());
        self.shared.take_places(store);
        self.dropping.on_map();
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        self.gets.on_map(cx);
        self.puts.on_map(cx);
        self.handoff.on_map(cx);
        self.catch_up.on_map(cx);
        cx.s.settle_all();
        self.next_tick_us = self.shared.now.mono_us;
    }

    fn on_synced(&mut self, seq: BatchSeq, store: &dyn Store) {
        self.shared.take_synced(seq);
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        self.puts.on_synced(cx, seq);
        if self.shared.alive.proven(seq) {
            self.release_held(store);
        }
    }

    fn on_tick(&mut self, store: &dyn Store) {
        let now_us = self.shared.now.mono_us;
        if now_us >= self.presumed_until_us {
            let silent = self.shared.view.presumed();
            silent
                .into_iter()
                .for_each(|node| self.on_peer_down(node, store));
        }
        let background = now_us >= self.next_tick_us;
        if background && let Some(map) = self.late_map.take() {
            self.on_map(map, store);
        }
        let cx = &mut Cx {
            s: &mut self.shared,
            store,
        };
        self.gets.on_tick(cx);
        self.puts.on_tick(cx);
        self.listings.on_tick(cx);
        self.forwards.on_tick(cx);
        if background
            || self
                .handoff
                .next_due()
                .is_some_and(|due_us| due_us <= now_us)
        {
            self.handoff.on_tick(cx);
        }
        if background
            || self
                .rebuild
                .next_due()
                .is_some_and(|due_us| due_us <= now_us)
        {
            self.rebuild.on_tick(cx);
        }
        if background {
            cx.s.on_throttle_tick();
            self.catch_up.on_tick(cx);
            self.anti_entropy.on_tick(cx);
            self.expiry.on_tick(cx);
            self.sealing.on_tick(cx);
            self.collector.on_tick(cx);
            self.cutter.on_tick(cx);
            self.scrub.on_tick(cx);
            self.ranges.on_tick(cx);
            self.departures.on_tick(cx);
            self.dropping.on_tick(cx);
            cx.s.claim_completeness();
            cx.s.say_word();
            self.next_tick_us = now_us + self.shared.timing.tick_us;
        }
    }
}
