//! One shard of a node: drives a replica over its share of the partitions by the core's contract. A
//! *life* of a shard is the time of one replica; it ends when a batch cannot be written or synced, and
//! the process goes on without it until it is opened again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use quorate_core::moves::Said;
use quorate_core::{
    BatchSeq, Effect, Input, Now, Replica, ReplicaConfig, Step, Ticket, Timing, When,
};
use quorate_protocol::client::{ClientReply, ClientRequest, Moves, Pace, Scrub, Transfer};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;

use super::counters::Counter;
use super::disk::Disk;
use super::node::Want;

/// Inputs that wait for a shard at most: what a kernel and a few queues would hold.
const INBOX_MAX: usize = 4096;
/// Between a life's end and the first try to begin another one, microseconds.
const REVIVE_US: u64 = 500_000;

/// What every replica of a process is opened with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) node: NodeId,
    pub(super) shards: u16,
    pub(super) token_key: [u8; 32],
    pub(super) timing: Timing,
}

/// One shard.
pub(super) struct Shard {
    number: u16,
    /// `None` between two lives.
    replica: Option<Replica>,
    inbox: VecDeque<Input>,
    run_wanted: bool,
    /// It was handed something since its last step.
    touched: bool,
    /// When it wants a tick, on the node's own clock.
    due_us: u64,
    /// The disk's numbers of this life's batches that are not synced.
    unsynced: VecDeque<u64>,
    told_synced: BatchSeq,
    /// Effects that wait for an fsync, with the batch of the disk that they wait for.
    parked: VecDeque<(u64, Effect)>,
    /// Who waits for an answer, and whether it may have been written.
    tickets: BTreeMap<Ticket, bool>,
    pub(super) sync_soon: bool,
    /// What its replica has said of ring changes, and the node has not heard.
    pub(super) said: Option<Said>,
}

impl Shard {
    /// A shard without a replica.
    pub(super) fn new(number: u16) -> Self {
        Self {
            number,
            replica: None,
            inbox: VecDeque::new(),
            run_wanted: false,
            touched: false,
            due_us: u64::MAX,
            unsynced: VecDeque::new(),
            told_synced: 0,
            parked: VecDeque::new(),
            tickets: BTreeMap::new(),
            sync_soon: false,
            said: None,
        }
    }

    /// Begins a life on what the disk holds.
    ///
    /// # Errors
    /// What the replica said when it could not be opened.
    pub(super) fn open(
        &mut self,
        setup: &Setup,
        seed: [u8; 32],
        map: Arc<VersionedMap>,
        (now, disk): (Now, &Disk),
        prepare: &dyn Fn(&mut Replica),
    ) -> Result<(), String> {
        let config = ReplicaConfig {
            node: setup.node,
            shard: self.number,
            shards: setup.shards,
            token_key: setup.token_key,
            seed,
            timing: setup.timing,
        };
        let opened = Replica::open(config, map, now, disk);
        let mut replica = opened.map_err(|error| error.to_string())?;
        prepare(&mut replica);
        self.replica = Some(replica);
        self.told_synced = 0;
        self.touched = true;
        Ok(())
    }

    /// Its replica, while it lives.
    pub(super) const fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// How many requests wait here.
    pub(super) fn waiting(&self) -> usize {
        self.tickets.len()
    }

    /// Inputs that were not worked off.
    pub(super) fn inputs(&self) -> usize {
        self.inbox.len()
    }

    /// The requests that wait here.
    pub(super) fn into_tickets(self) -> impl Iterator<Item = Ticket> {
        self.tickets.into_keys()
    }

    /// Puts something into the inbox; lost if it is full or no replica is there.
    pub(super) fn take(&mut self, input: Input, wants: &mut Vec<Want>) {
        if self.replica.is_none() || self.inbox.len() >= INBOX_MAX {
            return;
        }
        self.inbox.push_back(input);
        if !std::mem::replace(&mut self.run_wanted, true) {
            wants.push(Want::Run(self.number));
        }
    }

    /// Gives an order about reading data through to every shard that lives.
    pub(super) fn order_all(shards: &mut [Self], order: &Scrub) -> bool {
        for replica in shards.iter_mut().filter_map(|shard| shard.replica.as_mut()) {
            replica.order_scrub(order.clone());
        }
        true
    }

    /// Takes an order about copies that travel, and tells how they do; nothing between two lives.
    pub(super) fn order_moves(&mut self, order: &Moves) -> Option<(Pace, Vec<Transfer>)> {
        Some(self.replica.as_mut()?.order_moves(order))
    }

    /// Takes a client's request; refuses it by name between two lives.
    pub(super) fn request(
        &mut self,
        ticket: Ticket,
        request: ClientRequest,
        deadline_ms: u32,
        wants: &mut Vec<Want>,
    ) {
        if self.replica.is_none() {
            return wants.push(Want::Reply(ticket, Box::new(refusal(false))));
        }
        let writes = matches!(request, ClientRequest::Put(_) | ClientRequest::Delete(_));
        self.tickets.insert(ticket, writes);
        let input = Input::Client {
            ticket,
            principal: Arc::from("simulated"),
            request,
            deadline_ms,
        };
        self.take(input, wants);
    }

    /// Hands the replica something at once.
    pub(super) fn tell(&mut self, now: Now, input: Input, disk: &Disk) {
        if let Some(replica) = &mut self.replica {
            replica.handle(now, input, disk);
            self.touched = true;
        }
    }

    /// Works off at most `most` inputs.
    pub(super) fn run(&mut self, now: Now, most: u64, disk: &Disk, wants: &mut Vec<Want>) {
        self.run_wanted = false;
        for _ in 0..most {
            let Some(input) = self.inbox.pop_front() else {
                return;
            };
            self.tell(now, input, disk);
        }
        if !self.inbox.is_empty() {
            self.run_wanted = true;
            wants.push(Want::Run(self.number));
        }
    }

    /// When it wants a tick, on the node's own clock.
    pub(super) const fn due_us(&self) -> u64 {
        self.due_us
    }

    /// Time has passed.
    pub(super) fn tick_if_due(&mut self, now: Now, disk: &Disk) {
        if self.due_us <= now.mono_us {
            self.tell(now, Input::Tick, disk);
        }
    }

    /// Ends a step: writes its batch, performs its effects, or ends this life.
    pub(super) fn end_step(&mut self, now: Now, disk: &mut Disk, wants: &mut Vec<Want>) {
        let touched = std::mem::take(&mut self.touched);
        let Some(replica) = self.replica.as_mut().filter(|_| touched) else {
            return;
        };
        let Step {
            batch,
            seq,
            sync_soon,
            effects,
        } = replica.finish();
        self.due_us = replica.next_timer().max(now.mono_us + 1);
        if seq.is_some() {
            let batch = Arc::new(batch);
            let (number, works) = disk.commit(&batch);
            if let Some(number) = number {
                self.unsynced.push_back(number);
                wants.push(Want::Wrote(number, batch));
            }
            if !works {
                return self.bury(wants);
            }
        }
        let written = self.unsynced.back().copied();
        for effect in effects {
            self.perform_or_park(written, effect, wants);
        }
        self.sync_soon |= sync_soon;
    }

    /// Everything on the disk up to this batch is durable.
    pub(super) fn synced(&mut self, now: Now, upto: u64, disk: &Disk, wants: &mut Vec<Want>) {
        let mut seq = self.told_synced;
        while self.unsynced.front().is_some_and(|batch| *batch <= upto) {
            self.unsynced.pop_front();
            seq += 1;
        }
        let done = |(needs, _): &(u64, Effect)| *needs <= upto;
        while self.parked.front().is_some_and(done) {
            if let Some((_, effect)) = self.parked.pop_front() {
                self.perform(effect, wants);
            }
        }
        self.sync_soon |= !self.parked.is_empty();
        if seq > self.told_synced {
            self.told_synced = seq;
            self.tell(now, Input::Synced(seq), disk);
        }
    }

    /// Ends this life: nothing that was not written has been promised, and who waits is told.
    pub(super) fn bury(&mut self, wants: &mut Vec<Want>) {
        if self.replica.take().is_none() {
            return;
        }
        self.inbox.clear();
        self.due_us = u64::MAX;
        self.unsynced.clear();
        self.parked.clear();
        self.said = None;
        for (ticket, writes) in std::mem::take(&mut self.tickets) {
            wants.push(Want::Reply(ticket, Box::new(refusal(writes))));
        }
        wants.push(Want::Count(Counter::World("a life ended by its disk")));
        wants.push(Want::Revive(self.number, REVIVE_US));
    }

    fn perform_or_park(&mut self, written: Option<u64>, effect: Effect, wants: &mut Vec<Want>) {
        let waits = match &effect {
            Effect::Send {
                when: When::Synced, ..
            } => written,
            Effect::Word(_) => written,
            Effect::Send { .. } | Effect::Reply { .. } | Effect::Note(_) | Effect::Transfer(_) => {
                None
            }
        };
        match waits {
            Some(batch) => self.parked.push_back((batch, effect)),
            None => self.perform(effect, wants),
        }
    }

    fn perform(&mut self, effect: Effect, wants: &mut Vec<Want>) {
        match effect {
            Effect::Send {
                to,
                message,
                deadline_ms,
                ..
            } => wants.push(Want::Send {
                to,
                message,
                deadline_ms,
            }),
            Effect::Reply { ticket, reply } => {
                self.tickets.remove(&ticket);
                wants.push(Want::Reply(ticket, Box::new(reply)));
            }
            Effect::Word(said) => self.said = Some(said),
            Effect::Note(note) => wants.push(Want::Note(note)),
            Effect::Transfer(_) => {}
        }
    }
}

/// What a client is told whose node's storage fails. A write may have been stored by other nodes.
fn refusal(may_be_written: bool) -> ClientReply {
    let code = if may_be_written {
        ErrorCode::InDoubt
    } else {
        ErrorCode::StorageFailed
    };
    WireError::new(code, "this node's storage does not work at the moment").into()
}
