//! One shard: a replica over its partitions, fed from one inbox, one batch for each step.
//!
//! A *life* is the time of one [`Replica`]. It ends when a batch cannot be written or synced: what
//! waits for an answer is told so, nothing of the failed step leaves the node, and after a pause
//! the storage is reopened and a new life begins from what is stored.

mod revive;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_core::effects::{Effect, Input, Note, Now, Step, When};
use quorate_core::store::{BatchSeq, StoreError};
use quorate_core::{OpenError, Replica, ReplicaConfig};
use quorate_protocol::client::{ClientRequest, Moves, Scrub};
use quorate_ring::NodeId;

use crate::storage::Storage;

use super::context::{Context, Map};
use super::counters::Event;
use super::hub::HubEvent;
use super::inbox::{Control, Frame, Inbox, Life, Next};
use super::network::Network;
use super::outbox::{Outbox, Outgoing};
use super::tickets::Tickets;
use super::transfers;

/// Why a life ended.
enum Ended {
    /// The node stops.
    Stopped,
    /// Storage failed.
    Failed(StoreError),
}

/// One shard.
pub(super) struct Shard<S, N> {
    number: u16,
    context: Arc<Context<S, N>>,
    inbox: Inbox,
    map: Map,
    up: BTreeSet<NodeId>,
    writable: bool,
    /// By order nothing is read through but what is suspected.
    scrub_paused: bool,
    moves: Moves,
    stopping: bool,
    life: Life,
    committed: BatchSeq,
    synced: BatchSeq,
    tickets: Tickets,
    outbox: Outbox,
    /// Effects of committed steps that wait for an fsync, in order.
    parked: VecDeque<(BatchSeq, Effect)>,
    /// How often storage had left damaged data out when this life began.
    gaps: u64,
}

impl<S: Storage, N: Network> Shard<S, N> {
    /// Opens the shard's first replica.
    ///
    /// # Errors
    /// What is stored cannot be used.
    pub(super) fn open(
        number: u16,
        context: Arc<Context<S, N>>,
        inbox: Inbox,
        map: Map,
    ) -> Result<(Self, Replica), OpenError> {
        let gaps = context.storage.gaps();
        let shard = Self {
            number,
            context,
            inbox,
            map,
            up: BTreeSet::new(),
            writable: true,
            scrub_paused: false,
            moves: Moves::default(),
            stopping: false,
            life: Life::default(),
            committed: 0,
            synced: 0,
            tickets: Tickets::default(),
            outbox: Outbox::default(),
            parked: VecDeque::new(),
            gaps,
        };
        let replica = shard.open_replica()?;
        Ok((shard, replica))
    }

    /// Runs until the node stops.
    pub(super) async fn run(mut self, first: Replica) {
        let mut next = Some(first);
        while let Some(replica) = next.take() {
            match self.live(replica).await {
                Ended::Stopped => return,
                Ended::Failed(error) => {
                    self.bury(&error);
                    next = self.revive().await;
                }
            }
        }
    }

    fn open_replica(&self) -> Result<Replica, OpenError> {
        let config = ReplicaConfig {
            node: self.context.node,
            shard: self.number,
            shards: self.context.shards,
            token_key: self.context.token_key,
            // Never used before: two lives with one seed would issue the same dots.
            seed: self.context.sources.seed(),
            timing: self.context.timing,
        };
        // The core counts what it finds as durable.
        self.context.storage.sync()?;
        let now = self.context.clock.now();
        Replica::open(config, Arc::clone(&self.map), now, &*self.context.storage)
    }

    async fn live(&mut self, mut replica: Replica) -> Ended {
        let now = self.context.clock.now();
        self.introduce(&mut replica, now);
        loop {
            let step = replica.finish();
            if let Err(error) = self.check_storage() {
                return Ended::Failed(error);
            }
            if let Err(error) = self.perform(step) {
                return Ended::Failed(error);
            }
            if self.stopping && self.tickets.len() == 0 {
                return Ended::Stopped;
            }
            // What arrived meanwhile is read before the next step, which then holds more of it.
            tokio::task::yield_now().await;
            let event = self.wait(&replica).await;
            if let Err(ended) = self.feed(&mut replica, event) {
                return ended;
            }
        }
    }

    /// # Errors
    /// Storage met damage, or has left some out behind this life's back: what it holds to be stored may
    /// not be there, so nothing that it found out now leaves the node.
    fn check_storage(&self) -> Result<(), StoreError> {
        let storage = &self.context.storage;
        if !storage.is_damaged() && storage.gaps() == self.gaps {
            return Ok(());
        }
        Err(StoreError::Damaged {
            family: "the database",
            detail: "it is opened again without what cannot be read".to_owned(),
        })
    }

    /// Tells a new replica what the shard knows already.
    fn introduce(&self, replica: &mut Replica, now: Now) {
        let store = &*self.context.storage;
        for &peer in &self.up {
            replica.handle(now, Input::PeerUp(peer), store);
        }
        if !self.writable {
            replica.handle(now, Input::StorageWritable(false), store);
        }
        if self.scrub_paused {
            replica.order_scrub(Scrub {
                pause: Some(true),
                ..Scrub::default()
            });
        }
        replica.order_moves(&self.moves);
    }

    /// Waits for an event, or until the replica wants a tick (`None`).
    async fn wait(&mut self, replica: &Replica) -> Option<Next> {
        tokio::select! {
            biased;
            next = self.inbox.next() => Some(next),
            () = tokio::time::sleep_until(self.context.clock.instant(replica.next_timer())) => None,
        }
    }

    /// Hands the replica everything that waits.
    fn feed(&mut self, replica: &mut Replica, event: Option<Next>) -> Result<(), Ended> {
        let now = self.context.clock.now();
        match event {
            Some(Next::Control(control)) => {
                self.control(replica, now, control)?;
                while let Some(control) = self.inbox.try_control() {
                    self.control(replica, now, control)?;
                }
            }
            Some(Next::Frames) => {
                let Self {
                    inbox,
                    tickets,
                    context,
                    ..
                } = self;
                for frame in inbox.take_frames() {
                    replica.on_behalf_of(frame.trace());
                    replica.handle(now, input(frame, tickets), &*context.storage);
                }
                replica.on_behalf_of(0);
            }
            Some(Next::Closed) => return Err(Ended::Stopped),
            None => {}
        }
        if replica.next_timer() <= now.mono_us {
            replica.handle(now, Input::Tick, &*self.context.storage);
        }
        Ok(())
    }

    fn control(&mut self, replica: &mut Replica, now: Now, control: Control) -> Result<(), Ended> {
        self.remember(&control);
        let storage = Arc::clone(&self.context.storage);
        let store = &*storage;
        match control {
            Control::ClientLost(client) => {
                for ticket in self.tickets.forget(client) {
                    replica.handle(now, Input::ClientGone(ticket), store);
                }
            }
            Control::PeerUp(peer) => replica.handle(now, Input::PeerUp(peer), store),
            Control::PeerDown(peer) => replica.handle(now, Input::PeerDown(peer), store),
            Control::Map(map) => replica.handle(now, Input::Map(map), store),
            Control::Writable(writable) => {
                replica.handle(now, Input::StorageWritable(writable), store)
            }
            Control::Synced(life, seq) if life == self.life => {
                self.synced = seq;
                self.release();
                replica.handle(now, Input::Synced(seq), store);
            }
            Control::Synced(_, _) => {}
            Control::SyncFailed(error) => return Err(Ended::Failed(error)),
            Control::Status(report) => {
                // Nobody waits any more where the asker ran out of patience.
                let _ = report.send(replica.status());
            }
            Control::Standings {
                after,
                classes_max,
                report,
            } => {
                let _ = report.send(replica.standings(after, classes_max));
            }
            Control::Scrub(order, report) => {
                let _ = report.send(replica.order_scrub(order));
            }
            Control::Moves(order, report) => {
                let _ = report.send(replica.order_moves(&order));
            }
            Control::Stop => {}
        }
        Ok(())
    }

    /// Keeps what the next life must be told.
    fn remember(&mut self, control: &Control) {
        match control {
            Control::PeerUp(peer) => {
                self.up.insert(*peer);
            }
            Control::PeerDown(peer) => {
                self.up.remove(peer);
            }
            Control::Map(map) => self.map = Arc::clone(map),
            Control::Writable(writable) => self.writable = *writable,
            Control::Scrub(order, _) => {
                self.scrub_paused = order.pause.unwrap_or(self.scrub_paused);
            }
            Control::Moves(order, _) => transfers::remember(&mut self.moves, order),
            Control::Stop => self.stopping = true,
            Control::ClientLost(_)
            | Control::Synced(..)
            | Control::SyncFailed(_)
            | Control::Status(_)
            | Control::Standings { .. } => {}
        }
    }

    /// Writes the step's batch, then does what the step asks for.
    fn perform(&mut self, step: Step) -> Result<(), StoreError> {
        if let Some(seq) = step.seq {
            self.context.storage.commit(&step.batch)?;
            self.context.counters.event(Event::Commit);
            self.committed = seq;
            self.context
                .desk
                .committed(self.number, self.life, seq, step.sync_soon);
        }
        for effect in step.effects {
            self.effect(effect);
        }
        self.outbox
            .flush(&self.context.network, &self.context.counters);
        Ok(())
    }

    /// Performs an effect of a step that was written, or parks it until that step is durable.
    fn effect(&mut self, effect: Effect) {
        match &effect {
            Effect::Send {
                when: When::Synced, ..
            } if self.synced < self.committed => {
                self.parked.push_back((self.committed, effect));
            }
            Effect::Word(_) if self.synced < self.committed => {
                self.parked.push_back((self.committed, effect));
            }
            Effect::Send { .. }
            | Effect::Reply { .. }
            | Effect::Word(_)
            | Effect::Note(_)
            | Effect::Transfer(_) => self.perform_now(effect),
        }
    }

    fn perform_now(&mut self, effect: Effect) {
        let (context, ring) = (&self.context, self.map.map.ring.version());
        match effect {
            Effect::Send {
                to,
                message,
                deadline_ms,
                priority,
                trace,
                when: _,
            } => {
                let outgoing = Outgoing {
                    to,
                    message: &message,
                    deadline_ms,
                    priority,
                    trace,
                    ring,
                };
                self.outbox
                    .send(&context.network, &context.counters, &outgoing);
            }
            Effect::Reply { ticket, reply } => {
                if let Some(waiting) = self.tickets.close(ticket) {
                    self.outbox
                        .reply(ring, waiting.client, &waiting.header, &reply);
                }
            }
            Effect::Word(said) => context.hub.tell(HubEvent::Word(self.number, said)),
            Effect::Note(note) => {
                warn_of(note);
                context.counters.note(note);
            }
            Effect::Transfer(news) => transfers::log(&news),
        }
    }

    /// Performs the effects that waited for an fsync and wait no more.
    fn release(&mut self) {
        while self
            .parked
            .front()
            .is_some_and(|(seq, _)| *seq <= self.synced)
        {
            if let Some((_, effect)) = self.parked.pop_front() {
                self.perform_now(effect);
            }
        }
    }
}

/// What nobody may overlook. Which vnode it is stands in the report.
fn warn_of(note: Note) {
    if note == Note::SilentLossFound {
        tracing::error!(
            "reading a vnode through found less than it had stored, and no sign of damage: it is rebuilt from a peer"
        );
    } else if note == Note::DenialDoubted {
        tracing::warn!(
            "a vnode has seen a value, does not hold it, and another replica proved that nobody replaced it: it is read through"
        );
    } else if note == Note::DigestsDiffer {
        tracing::warn!(
            "a peer holds something else than this node under the same clock: both read their vnode through"
        );
    } else if note == Note::ReplicasDiffer {
        tracing::error!(
            "a vnode and a peer's seem whole and hold something else under the same clock: each takes over what it lacks; deleted values may show again"
        );
    }
}

fn input(frame: Frame, tickets: &mut Tickets) -> Input {
    match frame {
        Frame::Client {
            client,
            principal,
            header,
            request,
        } => {
            if header.trace != 0 {
                tracing::debug!(trace = format_args!("{:016x}", header.trace), request = request.name(), %principal, "request");
            }
            let writes = matches!(request, ClientRequest::Put(_) | ClientRequest::Delete(_));
            let ticket = tickets.issue(client, header, writes);
            Input::Client {
                ticket,
                principal,
                request,
                deadline_ms: header.deadline_ms,
            }
        }
        Frame::Peer {
            from,
            deadline_ms,
            trace,
            message,
        } => {
            if trace != 0 {
                tracing::debug!(trace = format_args!("{trace:016x}"), message = message.name(), %from, "on behalf of a request");
            }
            Input::Peer {
                from,
                message,
                deadline_ms,
            }
        }
    }
}
