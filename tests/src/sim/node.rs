//! One simulated node: a process that drives the real replica and membership by the contract in the
//! core's documentation, on a disk that outlives it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_core::membership::{self, MemberEffect, MemberInput, Membership};
use quorate_core::{
    BatchSeq, Effect, Input, Note, Now, Replica, ReplicaConfig, ReplicaStatus, Step, Ticket,
    Timing, When, Write,
};
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::map::ClusterMap;
use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;

use super::dice::Dice;
use super::disk::Disk;

/// The wall clock at the start of every run, milliseconds since 1970.
const WALL_START_MS: u64 = 1_700_000_000_000;
/// Unsynced batches are synced after this time, as the contract asks.
const SYNC_EVERY_US: u64 = 100_000;
/// Inputs that wait for a node at most: what a kernel and a few queues would hold.
const INBOX_MAX: usize = 4096;

/// What a process waits to take in.
#[derive(Debug)]
pub enum Inlet {
    /// For the replica.
    Replica(Input),
    /// For the membership.
    Member(MemberInput),
    /// A message of a peer, for one of them or both.
    Peer {
        /// The sender.
        from: NodeId,
        /// The message.
        message: PeerMessage,
        /// What is left of its deadline, milliseconds; 0: none.
        deadline_ms: u32,
    },
}

/// What a node wants of the world.
#[derive(Debug)]
pub enum Want {
    /// Send a message.
    Send {
        /// To whom.
        to: NodeId,
        /// The message.
        message: PeerMessage,
        /// What is left of its deadline, milliseconds; 0: none.
        deadline_ms: u32,
    },
    /// Answer a client.
    Reply(Ticket, ClientReply),
    /// Count something.
    Note(Note),
    /// A batch was written under this number.
    Wrote(u64, Vec<Write>),
    /// Take what is in the inbox soon.
    Run,
    /// Wake at this time, microseconds.
    Wake(u64),
    /// An fsync up to this batch has begun; it may end after a while.
    SyncBegun(u64),
    /// Look whether to sync at this time.
    SyncAt(u64),
}

struct Process {
    replica: Replica,
    membership: Membership,
    inbox: VecDeque<Inlet>,
    run_wanted: bool,
    wake_us: u64,
    /// The disk's number before this life's first batch.
    base: u64,
    told_synced: BatchSeq,
    parked: VecDeque<(u64, Effect)>,
    syncing: bool,
    sync_soon: bool,
    sync_at_us: Option<u64>,
    tickets: BTreeSet<Ticket>,
}

/// One node.
pub struct Node {
    /// Its place in the world's list.
    pub index: usize,
    /// Its id.
    pub id: NodeId,
    /// Its disk.
    pub disk: Disk,
    /// Counts its processes.
    pub life: u64,
    /// It stands still until then, microseconds.
    pub paused_until_us: u64,
    /// How far its wall clock is off, milliseconds.
    pub skew_ms: i64,
    map: Arc<ClusterMap>,
    token_key: [u8; 32],
    process: Option<Process>,
}

impl Node {
    /// A node that was never started.
    #[must_use]
    pub fn new(index: usize, id: NodeId, map: Arc<ClusterMap>, token_key: [u8; 32]) -> Self {
        Self {
            index,
            id,
            disk: Disk::default(),
            life: 0,
            paused_until_us: 0,
            skew_ms: 0,
            map,
            token_key,
            process: None,
        }
    }

    /// Whether its process runs, paused or not.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Its replica's report.
    #[must_use]
    pub fn status(&self) -> Option<ReplicaStatus> {
        self.process
            .as_ref()
            .map(|process| process.replica.status())
    }

    /// Whether it knows a peer to answer.
    #[must_use]
    pub fn sees(&self, peer: NodeId) -> bool {
        self.process
            .as_ref()
            .is_some_and(|process| process.membership.is_up(peer))
    }

    fn now(&self, at_us: u64) -> Now {
        let wall_ms = WALL_START_MS + at_us / 1000;
        Now {
            mono_us: at_us,
            wall_ms: wall_ms.saturating_add_signed(self.skew_ms),
        }
    }

    /// Starts the process on what the disk holds.
    ///
    /// # Errors
    /// What the replica said when it could not be opened.
    pub fn start(
        &mut self,
        at_us: u64,
        dice: &mut Dice,
        prepare: impl FnOnce(&mut Replica),
        wants: &mut Vec<Want>,
    ) -> Result<(), String> {
        self.life += 1;
        self.paused_until_us = 0;
        self.disk.sync(self.disk.written());
        let now = self.now(at_us);
        let config = ReplicaConfig {
            node: self.id,
            shard: 0,
            shards: 1,
            token_key: self.token_key,
            seed: dice.bytes(),
            timing: Timing::default(),
        };
        let mut replica = Replica::open(config, Arc::clone(&self.map), now, &self.disk)
            .map_err(|error| error.to_string())?;
        prepare(&mut replica);
        let peers = self.map.members.iter().map(|member| member.id);
        let others = peers.filter(|&peer| peer != self.id);
        let timing = membership::Timing::default();
        let membership = Membership::new(self.id, dice.bits(), others, timing, now);
        self.process = Some(Process {
            replica,
            membership,
            inbox: VecDeque::new(),
            run_wanted: false,
            wake_us: u64::MAX,
            base: self.disk.written(),
            told_synced: 0,
            parked: VecDeque::new(),
            syncing: false,
            sync_soon: false,
            sync_at_us: None,
            tickets: BTreeSet::new(),
        });
        self.end_step(at_us, wants);
        Ok(())
    }

    /// Ends the process. Returns the requests that nobody will answer any more.
    pub fn stop(&mut self) -> BTreeSet<Ticket> {
        self.paused_until_us = 0;
        self.process
            .take()
            .map(|process| process.tickets)
            .unwrap_or_default()
    }

    /// Takes a client's request. Returns whether there is a process to take it.
    pub fn request(
        &mut self,
        ticket: Ticket,
        request: ClientRequest,
        deadline_ms: u32,
        wants: &mut Vec<Want>,
    ) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        process.tickets.insert(ticket);
        let input = Input::Client {
            ticket,
            principal: Arc::from("simulated"),
            request,
            deadline_ms,
        };
        self.take(Inlet::Replica(input), wants);
        true
    }

    /// Puts something into the inbox; lost if it is full or nobody is there.
    pub fn take(&mut self, inlet: Inlet, wants: &mut Vec<Want>) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.inbox.len() >= INBOX_MAX {
            return;
        }
        process.inbox.push_back(inlet);
        if !std::mem::replace(&mut process.run_wanted, true) {
            wants.push(Want::Run);
        }
    }

    /// Works off at most `most` inputs as one step.
    pub fn run(&mut self, at_us: u64, most: u64, wants: &mut Vec<Want>) {
        let now = self.now(at_us);
        let Some(process) = &mut self.process else {
            return;
        };
        process.run_wanted = false;
        for _ in 0..most {
            let Some(inlet) = process.inbox.pop_front() else {
                break;
            };
            process.dispatch(now, inlet, &self.disk, wants);
        }
        if !process.inbox.is_empty() {
            process.run_wanted = true;
            wants.push(Want::Run);
        }
        self.end_step(at_us, wants);
    }

    /// A timer went off.
    pub fn wake(&mut self, at_us: u64, wants: &mut Vec<Want>) {
        let now = self.now(at_us);
        let Some(process) = &mut self.process else {
            return;
        };
        if process.wake_us > at_us {
            return; // an earlier timer was set since, and this one is not the last
        }
        process.wake_us = u64::MAX;
        if process.membership.next_timer() <= now.mono_us {
            process.member(now, MemberInput::Tick, &self.disk, wants);
        }
        if process.replica.next_timer() <= now.mono_us {
            process.replica.handle(now, Input::Tick, &self.disk);
        }
        self.end_step(at_us, wants);
    }

    fn end_step(&mut self, at_us: u64, wants: &mut Vec<Want>) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Step {
            batch,
            seq,
            sync_soon,
            effects,
        } = process.replica.finish();
        if seq.is_some() {
            let writes = batch.writes.clone();
            wants.push(Want::Wrote(self.disk.commit(batch), writes));
        }
        let written = self.disk.written();
        for effect in effects {
            process.perform_or_park(written, self.disk.synced(), effect, wants);
        }
        process.sync_soon |= sync_soon;
        self.sync_if_due(at_us, wants);
        self.set_timer(at_us, wants);
    }

    fn set_timer(&mut self, at_us: u64, wants: &mut Vec<Want>) {
        let Some(process) = &mut self.process else {
            return;
        };
        let wanted = process
            .replica
            .next_timer()
            .min(process.membership.next_timer())
            .max(at_us + 1);
        if wanted < process.wake_us {
            process.wake_us = wanted;
            wants.push(Want::Wake(wanted));
        }
    }

    /// Begins an fsync if one is wanted and none is running.
    pub fn sync_if_due(&mut self, at_us: u64, wants: &mut Vec<Want>) {
        let unsynced = self.disk.unsynced() > 0;
        let Some(process) = &mut self.process else {
            return;
        };
        if process.syncing || !unsynced {
            return;
        }
        let due = process.sync_at_us.is_some_and(|due_us| due_us <= at_us);
        if due || process.sync_soon {
            process.syncing = true;
            process.sync_soon = false;
            process.sync_at_us = None;
            wants.push(Want::SyncBegun(self.disk.written()));
        } else if process.sync_at_us.is_none() {
            process.sync_at_us = Some(at_us + SYNC_EVERY_US);
            wants.push(Want::SyncAt(at_us + SYNC_EVERY_US));
        }
    }

    /// An fsync ended: everything up to this batch is durable.
    pub fn sync_done(&mut self, at_us: u64, upto: u64, wants: &mut Vec<Want>) {
        self.disk.sync(upto);
        let now = self.now(at_us);
        let Some(process) = &mut self.process else {
            return;
        };
        process.syncing = false;
        while process
            .parked
            .front()
            .is_some_and(|(needs, _)| *needs <= upto)
        {
            if let Some((_, effect)) = process.parked.pop_front() {
                process.perform(effect, wants);
            }
        }
        process.sync_soon |= !process.parked.is_empty();
        let seq = upto - process.base.min(upto);
        if seq > process.told_synced {
            process.told_synced = seq;
            process.replica.handle(now, Input::Synced(seq), &self.disk);
        }
        self.end_step(at_us, wants);
    }
}

impl Process {
    fn dispatch(&mut self, now: Now, inlet: Inlet, disk: &Disk, wants: &mut Vec<Want>) {
        match inlet {
            Inlet::Replica(input) => self.replica.handle(now, input, disk),
            Inlet::Member(input) => self.member(now, input, disk, wants),
            Inlet::Peer {
                from,
                message: PeerMessage::Heartbeat(hb),
                ..
            } => self.member(now, MemberInput::Heartbeat { from, hb }, disk, wants),
            Inlet::Peer {
                from,
                message: PeerMessage::HeartbeatAck(hb),
                ..
            } => self.member(now, MemberInput::Ack { from, hb }, disk, wants),
            Inlet::Peer {
                from,
                message,
                deadline_ms,
            } => {
                self.member(now, MemberInput::Heard(from), disk, wants);
                let input = Input::Peer {
                    from,
                    message,
                    deadline_ms,
                };
                self.replica.handle(now, input, disk);
            }
        }
    }

    fn member(&mut self, now: Now, input: MemberInput, disk: &Disk, wants: &mut Vec<Want>) {
        let mut effects = Vec::new();
        self.membership.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                MemberEffect::Send { to, message } => wants.push(Want::Send {
                    to,
                    message,
                    deadline_ms: 0,
                }),
                MemberEffect::Up(peer) => self.replica.handle(now, Input::PeerUp(peer), disk),
                MemberEffect::Down(peer) => self.replica.handle(now, Input::PeerDown(peer), disk),
                MemberEffect::Restarted(peer) => {
                    self.replica.handle(now, Input::PeerDown(peer), disk);
                    self.replica.handle(now, Input::PeerUp(peer), disk);
                }
                MemberEffect::BucketsDiffer(_) => {}
            }
        }
    }

    fn perform_or_park(
        &mut self,
        written: u64,
        synced: u64,
        effect: Effect,
        wants: &mut Vec<Want>,
    ) {
        let waits = match &effect {
            Effect::Send { when, .. } => *when == When::Synced && synced < written,
            Effect::Reply { .. } | Effect::Note(_) => false,
        };
        if waits {
            self.parked.push_back((written, effect));
        } else {
            self.perform(effect, wants);
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
                wants.push(Want::Reply(ticket, reply));
            }
            Effect::Note(note) => wants.push(Want::Note(note)),
        }
    }
}
