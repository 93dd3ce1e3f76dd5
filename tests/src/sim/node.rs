//! One simulated node: a process that drives the real replicas, membership and keeper of the map by the
//! contract in the core's documentation, on a disk that outlives it.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_core::keeper::{Keeper, KeeperInput, MapRequest};
use quorate_core::membership::{self, MemberEffect, MemberInput, Membership};
use quorate_core::register::Version;
use quorate_core::{Input, Now, Plant, Replica, ReplicaStatus, Ticket, Timing};
use quorate_protocol::ActorId;
use quorate_protocol::client::ClientRequest;
use quorate_protocol::map::Bucket;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{Class, NodeId, RingVersion};

use super::clock::Clock;
use super::dice::Dice;
use super::disk::Disk;
use super::kept::Kept;
use super::route::{self, Route};
use super::shard::{Setup, Shard};
pub use super::want::Want;
use crate::checkers::bounded::Load;

/// Unsynced batches are synced after this time, as the contract asks.
const SYNC_EVERY_US: u64 = 100_000;

/// What lives while a node's process does.
pub(super) struct Process {
    pub(super) shards: Vec<Shard>,
    pub(super) membership: Membership,
    pub(super) keeper: Keeper,
    /// Requests that wait for a version of the map.
    pub(super) hub_tickets: BTreeSet<Ticket>,
    pub(super) map: Arc<VersionedMap>,
    /// An empty list that was used before.
    pub(super) spare: Vec<MemberEffect>,
    setup: Setup,
    wake_us: u64,
    syncing: bool,
    sync_due: bool,
    sync_planned: bool,
}

/// One node.
pub struct Node {
    /// Its place in the world's list.
    pub index: usize,
    /// Its id.
    pub id: NodeId,
    /// Its disk.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// Counts its processes.
    pub life: u64,
    /// It stands still until then at the latest, microseconds; 0: it runs.
    pub paused_until_us: u64,
    /// Its disk takes writes.
    pub writable: bool,
    /// What the map keeps.
    pub kept: Kept,
    given: Version,
    setup: Setup,
    process: Option<Process>,
}

impl Node {
    /// A node that was never started, with so many shards.
    #[must_use]
    pub fn new(
        index: usize,
        id: NodeId,
        given: Version,
        token_key: [u8; 32],
        (shards, timing): (u16, Timing),
    ) -> Self {
        Self {
            index,
            id,
            disk: Disk::default(),
            clock: Clock::default(),
            life: 0,
            paused_until_us: 0,
            writable: true,
            kept: Kept::default(),
            given,
            setup: Setup {
                node: id,
                shards,
                token_key,
                timing,
            },
            process: None,
        }
    }

    /// Puts another version into its directory, with which it starts for the first time.
    pub fn give(&mut self, version: Version) {
        self.given = version;
    }

    /// Whether its process runs, paused or not.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it runs, and turns away whom this rule forbids to let in.
    pub(super) fn guards_its_door(&self, rule: Plant) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| !process.leaves_the_door_open(rule))
    }

    /// The reports of its replicas; `None` while one of them does not live.
    #[must_use]
    pub fn status(&self) -> Option<Vec<ReplicaStatus>> {
        let process = self.process.as_ref()?;
        let status = |shard: &Shard| Some(shard.replica()?.status());
        process.shards.iter().map(status).collect()
    }

    /// Whether it writes with an actor.
    #[must_use]
    pub fn writes_with(&self, class: Class, actor: ActorId) -> bool {
        let shards = self.process.iter().flat_map(|process| &process.shards);
        let mut replicas = shards.filter_map(Shard::replica);
        replicas.any(|replica| replica.writes_with(class, actor))
    }

    /// What it keeps in memory for requests, while its process runs.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        let process = self.process.as_ref()?;
        let replicas = process.shards.iter().filter_map(Shard::replica);
        let sum = |of: fn(&Shard) -> usize| process.shards.iter().map(of).sum::<usize>();
        Some(Load {
            node: self.id,
            requests: replicas.map(|replica| replica.status().requests).sum(),
            tickets: sum(Shard::waiting) + process.hub_tickets.len(),
            inputs: sum(Shard::inputs),
        })
    }

    /// The newest version of the map that is durable here, while its process runs.
    #[must_use]
    pub fn newest(&self) -> Option<&Version> {
        Some(self.process.as_ref()?.keeper.register().newest())
    }

    /// Voters on the map that do not answer it, while its process runs.
    #[must_use]
    pub fn silent(&self) -> Option<Vec<NodeId>> {
        Some(self.process.as_ref()?.keeper.silent())
    }

    /// The number of the ring that it works by, which stands in the header of each of its replies.
    #[must_use]
    pub fn ring_version(&self) -> Option<RingVersion> {
        Some(self.process.as_ref()?.map.map.ring.version())
    }

    /// Buckets that are in force here, while its process runs.
    #[must_use]
    pub fn buckets(&self) -> Option<&[Bucket]> {
        Some(&self.process.as_ref()?.map.map.buckets)
    }

    /// Restores what the map keeps, as the real restore does.
    ///
    /// # Errors
    /// The backup is of no use.
    pub fn restore_kept(&mut self, file: Option<&[u8]>, all: bool) -> Result<(), String> {
        self.kept.restore(self.id, &self.given, file, all)
    }

    /// Starts the process on what the disk holds.
    ///
    /// # Errors
    /// What a replica or the map said when it could not be opened.
    pub fn start(
        &mut self,
        at_us: u64,
        dice: &mut Dice,
        prepare: &dyn Fn(&mut Replica),
        wants: &mut Vec<Want>,
    ) -> Result<(), String> {
        self.life += 1;
        self.paused_until_us = 0;
        self.clock.restart(at_us);
        self.disk.sync(self.disk.written());
        let now = self.clock.now(at_us);
        let given = &self.given;
        let keeper = self.kept.keeper(self.id, given, dice.bytes(), wants)?;
        let (map, newest) = (keeper.map(), keeper.register().newest().name());
        let peers = map.map.members.iter().map(|member| member.id);
        let others = peers.filter(|&peer| peer != self.id);
        let timing = membership::Timing::default();
        let mut process = Process {
            shards: (0..self.setup.shards).map(Shard::new).collect(),
            membership: Membership::new(self.id, dice.bits(), newest, others, timing, now),
            map: Arc::clone(&map),
            keeper,
            hub_tickets: BTreeSet::new(),
            spare: Vec::new(),
            setup: self.setup.clone(),
            wake_us: u64::MAX,
            syncing: false,
            sync_due: false,
            sync_planned: false,
        };
        for shard in 0..self.setup.shards {
            process.open_shard(now, shard, dice.bytes(), &self.disk, prepare)?;
            process.introduce(now, shard, self.writable, &self.disk);
        }
        #[cfg(feature = "planted")]
        process.plant_keeper();
        self.process = Some(process);
        self.end_step(now, wants);
        Ok(())
    }

    /// Ends the process. Returns the requests that nobody will answer any more.
    pub fn stop(&mut self) -> BTreeSet<Ticket> {
        self.paused_until_us = 0;
        let Some(process) = self.process.take() else {
            return BTreeSet::new();
        };
        let shards = process.shards.into_iter();
        shards
            .flat_map(Shard::into_tickets)
            .chain(process.hub_tickets)
            .collect()
    }

    /// Takes a client's request. Returns whether there is a process to take it.
    pub fn request(
        &mut self,
        at_us: u64,
        (ticket, request): (Ticket, ClientRequest),
        deadline_ms: u32,
        wants: &mut Vec<Want>,
    ) -> bool {
        let now = self.clock.now(at_us);
        let Some(process) = &mut self.process else {
            return false;
        };
        let ring = &process.map.map.ring;
        let partition = match &request {
            ClientRequest::Get(get) => ring.partition_of(get.bucket, &get.key),
            ClientRequest::Put(put) => ring.partition_of(put.bucket, &put.key),
            ClientRequest::Delete(delete) => ring.partition_of(delete.bucket, &delete.key),
            ClientRequest::Keys(keys) => keys.partition,
            ClientRequest::PutBucket(request) => {
                let request = MapRequest::Put(request.clone());
                process.change_map(now, ticket, request, deadline_ms, &self.disk, wants);
                self.end_step(now, wants);
                return true;
            }
            ClientRequest::ChangeRing(request) => {
                let request = MapRequest::Ring(request.clone());
                process.change_map(now, ticket, request, deadline_ms, &self.disk, wants);
                self.end_step(now, wants);
                return true;
            }
            ClientRequest::GetMap(_) | ClientRequest::PlanRing(_) | ClientRequest::Moves(_) => {
                return process.tell(self.id, ticket, &request, wants);
            }
            // Nobody asks simulated nodes for more.
            ClientRequest::Ping(_)
            | ClientRequest::Status(_)
            | ClientRequest::Replicas(_)
            | ClientRequest::Backup(_)
            | ClientRequest::MapHistory(_)
            | ClientRequest::GetVersion(_) => return false,
            ClientRequest::Scrub(order) => return Shard::order_all(&mut process.shards, order),
        };
        let shard = route::shard_of(partition, self.setup.shards);
        process.shards[usize::from(shard)].request(ticket, request, deadline_ms, wants);
        true
    }

    /// Takes a peer's message: to the shards at their next step, to the node's own machines at once.
    pub fn deliver(
        &mut self,
        at_us: u64,
        (from, mut message): (NodeId, PeerMessage),
        deadline_ms: u32,
        wants: &mut Vec<Want>,
    ) {
        let now = self.clock.now(at_us);
        let Some(process) = &mut self.process else {
            return;
        };
        let mut to_shard = |shard: u16, message| {
            let input = Input::Peer {
                from,
                message,
                deadline_ms,
            };
            process.shards[usize::from(shard)].take(input, wants);
        };
        match route::route(&mut message, self.setup.shards) {
            Route::Shard(shard) => to_shard(shard, message),
            Route::Parts(parts) => parts
                .into_iter()
                .for_each(|(shard, part)| to_shard(shard, part)),
            Route::Hub => {
                process.hub_takes(now, from, message, &self.disk, wants);
                self.end_step(now, wants);
            }
        }
    }

    /// Lets a shard work off at most `most` inputs as one step.
    pub fn run(&mut self, at_us: u64, shard: u16, most: u64, wants: &mut Vec<Want>) {
        let now = self.clock.now(at_us);
        if let Some(process) = &mut self.process {
            process.shards[usize::from(shard)].run(now, most, &self.disk, wants);
        }
        self.end_step(now, wants);
    }

    /// A timer went off.
    pub fn wake(&mut self, at_us: u64, wants: &mut Vec<Want>) {
        let now = self.clock.now(at_us);
        let Some(process) = &mut self.process else {
            return;
        };
        if process.wake_us > now.mono_us {
            return; // an earlier timer was set since, and this one is not the last
        }
        process.wake_us = u64::MAX;
        process.tick_hub(now, &self.disk, wants);
        for shard in &mut process.shards {
            shard.tick_if_due(now, &self.disk);
        }
        self.end_step(now, wants);
    }

    /// Tells all shards whether the disk takes writes.
    pub fn set_writable(&mut self, at_us: u64, writable: bool, wants: &mut Vec<Want>) {
        self.writable = writable;
        let now = self.clock.now(at_us);
        for shard in self
            .process
            .iter_mut()
            .flat_map(|process| &mut process.shards)
        {
            shard.tell(now, Input::StorageWritable(writable), &self.disk);
        }
        self.end_step(now, wants);
    }

    /// The map's state of this number is durable.
    pub fn persisted(&mut self, at_us: u64, number: u64, bytes: Vec<u8>, wants: &mut Vec<Want>) {
        let now = self.clock.now(at_us);
        self.kept.arrived(number, bytes);
        if let Some(process) = &mut self.process {
            process.keep(now, KeeperInput::Persisted(number), &self.disk, wants);
        }
        self.end_step(now, wants);
    }

    /// Opens a shard's replica again, on what the disk holds.
    ///
    /// # Errors
    /// What the replica said when it could not be opened; the shard stays without one.
    pub fn revive(
        &mut self,
        at_us: u64,
        shard: u16,
        dice: &mut Dice,
        prepare: &dyn Fn(&mut Replica),
        wants: &mut Vec<Want>,
    ) -> Result<(), String> {
        let now = self.clock.now(at_us);
        self.disk.sync(self.disk.written());
        if self.disk.met_damage() {
            self.disk.leave_damage_out();
        }
        if let Some(process) = &mut self.process {
            process.open_shard(now, shard, dice.bytes(), &self.disk, prepare)?;
            process.introduce(now, shard, self.writable, &self.disk);
            let reborn = MemberInput::Reborn(dice.bits());
            process.member(now, reborn, &self.disk, wants);
        }
        self.end_step(now, wants);
        Ok(())
    }

    fn end_step(&mut self, now: Now, wants: &mut Vec<Want>) {
        let Some(process) = &mut self.process else {
            return;
        };
        for shard in &mut process.shards {
            shard.end_step(now, &mut self.disk, wants);
        }
        if self.disk.met_damage() {
            // The database is closed for all of them.
            process
                .shards
                .iter_mut()
                .for_each(|shard| shard.bury(wants));
        }
        process.pass_words_on(now, &self.disk, wants);
        process.sync_if_due(&self.disk, wants);
        process.set_timer(now, wants);
    }

    /// The time has come to sync what is not synced.
    pub fn sync_is_due(&mut self, wants: &mut Vec<Want>) {
        if let Some(process) = &mut self.process {
            process.sync_planned = false;
            process.sync_due = true;
            process.sync_if_due(&self.disk, wants);
        }
    }

    /// An fsync ended: everything up to this batch is durable.
    pub fn sync_done(&mut self, at_us: u64, upto: u64, wants: &mut Vec<Want>) {
        self.disk.sync(upto);
        let now = self.clock.now(at_us);
        if let Some(process) = &mut self.process {
            process.syncing = false;
            for shard in &mut process.shards {
                shard.synced(now, upto, &self.disk, wants);
            }
        }
        self.end_step(now, wants);
    }

    /// An fsync failed: of what was not synced the first `kept` batches are still there when somebody
    /// looks, and all lives end. Returns how many batches are lost.
    pub fn sync_failed(&mut self, kept: usize, wants: &mut Vec<Want>) -> usize {
        if let Some(process) = &mut self.process {
            process.syncing = false;
            for shard in &mut process.shards {
                shard.bury(wants);
            }
        }
        self.disk.power_cut(kept)
    }
}

impl Process {
    fn change_map(
        &mut self,
        now: Now,
        ticket: Ticket,
        request: MapRequest,
        deadline_ms: u32,
        disk: &Disk,
        wants: &mut Vec<Want>,
    ) {
        self.hub_tickets.insert(ticket);
        let input = KeeperInput::Client {
            ticket,
            request,
            deadline_ms,
        };
        self.keep(now, input, disk, wants);
    }

    fn open_shard(
        &mut self,
        now: Now,
        shard: u16,
        seed: [u8; 32],
        disk: &Disk,
        prepare: &dyn Fn(&mut Replica),
    ) -> Result<(), String> {
        let map = Arc::clone(&self.map);
        let shard = &mut self.shards[usize::from(shard)];
        shard.open(&self.setup, seed, map, (now, disk), prepare)
    }

    /// Tells a new replica what the process knows already.
    fn introduce(&mut self, now: Now, shard: u16, writable: bool, disk: &Disk) {
        let shard = &mut self.shards[usize::from(shard)];
        for peer in self.membership.up() {
            shard.tell(now, Input::PeerUp(peer), disk);
        }
        if !writable {
            shard.tell(now, Input::StorageWritable(false), disk);
        }
    }

    /// Begins an fsync if one is wanted and none is running.
    fn sync_if_due(&mut self, disk: &Disk, wants: &mut Vec<Want>) {
        if self.syncing || disk.unsynced() == 0 {
            return;
        }
        if self.sync_due || self.shards.iter().any(|shard| shard.sync_soon) {
            self.syncing = true;
            self.sync_due = false;
            self.shards
                .iter_mut()
                .for_each(|shard| shard.sync_soon = false);
            wants.push(Want::SyncBegun(disk.written()));
        } else if !self.sync_planned {
            self.sync_planned = true;
            wants.push(Want::SyncAfter(SYNC_EVERY_US));
        }
    }

    fn set_timer(&mut self, now: Now, wants: &mut Vec<Want>) {
        let shards = self.shards.iter().map(Shard::due_us);
        let wanted = shards
            .chain([self.membership.next_timer(), self.keeper.next_timer()])
            .fold(u64::MAX, u64::min)
            .max(now.mono_us + 1);
        if wanted < self.wake_us {
            self.wake_us = wanted;
            wants.push(Want::Wake(wanted));
        }
    }
}
