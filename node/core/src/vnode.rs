//! One vnode: this node's replica of one replication class. Its clock, what its peers have, and
//! whether its absences count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use quorate_protocol::Extent;
use quorate_protocol::ids::{ActorId, ContentDigest, Dot, LifeId, StorageId, VnodeId};
use quorate_protocol::peer::VnodeClock;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::{BucketId, Class, NodeId, RingVersion};

use crate::causality::{Clock, Digest};
use crate::moves::Joining;
use crate::record::{RebuildStage, Rebuilding, VnodeRecord};
use crate::replicate::refused::Refused;
use crate::replicate::scrub::Pass;
use crate::replicate::settled::Asker;

/// Earlier storages of one peer that are remembered.
const VOID_MAX: usize = 8;

/// For how long, microseconds: no frame is delayed by more. They are not remembered for ever because
/// a power cut may bring an earlier storage back, before its successor was fsynced.
pub(crate) const VOID_US: u64 = 10_000_000;

/// Bytes of a log entry beside its key: storage key, header, bucket, time, request.
const LOG_ENTRY_BYTES: u64 = 64;

/// About how many bytes a log entry of a key takes.
pub(crate) const fn entry_bytes(key: &Bytes) -> u64 {
    LOG_ENTRY_BYTES + key.len() as u64
}

/// What is known of one peer's vnode of the same class, by its own word.
#[derive(Clone, Debug)]
pub(crate) struct PeerVnode {
    pub(crate) vnode: VnodeId,
    /// Under which epoch of the class it was said.
    pub(crate) epoch: MapVersion,
    /// It has no place any more, and may know what no member does.
    pub(crate) departing: bool,
    pub(crate) storage: StorageId,
    /// In which of its lives it was said.
    pub(crate) life: LifeId,
    pub(crate) applied: Clock,
    pub(crate) durable: Clock,
    /// More than `durable`, if it once said to have more of the same storage.
    pub(crate) remembered: Option<Clock>,
    /// What it holds with exactly `applied`.
    pub(crate) digest: ContentDigest,
    /// How much that is.
    pub(crate) holds: Extent,
    /// Up to which version all that was in dropped buckets is gone there.
    pub(crate) swept: Option<MapVersion>,
    /// Whether it answers as a current replica.
    pub(crate) current: bool,
    /// When it was said, monotonic microseconds here.
    pub(crate) at_us: u64,
}

/// What a vnode that is catching up still waits for from one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wait {
    /// The node has said, since this wait began, that it keeps no hint for this vnode.
    pub(crate) no_hints: bool,
    /// The clock that the node had when asked, to be covered; `None` until it was told, and for a
    /// node without a vnode of the class.
    pub(crate) cover: Option<Clock>,
    /// Whether the node has a clock of this class to tell at all: a member, or one with a copy that departs.
    pub(crate) is_peer: bool,
    /// Only answers to questions with a greater number count: earlier ones do not know yet that the
    /// vnode lost something.
    pub(crate) after: u64,
}

/// One vnode.
#[derive(Debug)]
pub(crate) struct Vnode {
    pub(crate) class: Class,
    pub(crate) id: VnodeId,
    pub(crate) storage: StorageId,
    pub(crate) ring: RingVersion,
    /// Under which epoch of the class it works; 0 before it looked for the first time.
    pub(crate) epoch: MapVersion,
    /// What it has heard as a newcomer; see [`crate::moves`] for this and what follows.
    pub(crate) joining: Option<Joining>,
    /// In which epoch it was found to have all that a newcomer needs.
    pub(crate) complete: Option<MapVersion>,
    /// The same, once that is durable.
    pub(crate) claimed: Option<MapVersion>,
    /// Dots applied.
    pub(crate) clock: Clock,
    /// What it holds, in one number; see [`crate::replicate::digests`].
    pub(crate) digest: Digest,
    /// Up to which version of the map all that was in dropped buckets is gone; `None` while some is going.
    pub(crate) swept: Option<MapVersion>,
    /// What repairs of ranges put back since it was last read through, in one number.
    pub(crate) put_back: Digest,
    /// Dots applied and fsynced.
    pub(crate) durable: Clock,
    /// What every member had durably when contexts were last dropped, and how much of that is fsynced here;
    /// see [`crate::replicate::settled`] for this and what follows.
    pub(crate) settled: Clock,
    pub(crate) settled_durable: Clock,
    /// What it had when this life began; `None` once that counts for nothing.
    pub(crate) opened: Option<Clock>,
    /// Peers that have said in this life what is settled.
    pub(crate) compared: BTreeSet<NodeId>,
    /// The life in which each peer asked last what it lacks.
    pub(crate) askers: BTreeMap<NodeId, Asker>,
    /// Counts changes of `clock` and `durable`, and of whom is told what of them, so that peers are told only what changed.
    pub(crate) revision: u64,
    /// This life's actor and the last counter it gave out; drawn at the first write.
    pub(crate) actor: Option<(ActorId, u64)>,
    pub(crate) actors: BTreeMap<ActorId, (NodeId, RingVersion)>,
    /// See [`crate::replicate::seal`] for these three.
    pub(crate) promised: BTreeSet<ActorId>,
    pub(crate) folding: u16,
    pub(crate) voids: Clock,
    pub(crate) peers: BTreeMap<NodeId, PeerVnode>,
    /// Counts changes of `peers`, and of who they are.
    pub(crate) heard: u64,
    /// Nodes whose word is awaited before this vnode's absences count.
    pub(crate) waits: BTreeMap<NodeId, Wait>,
    /// Whether it waits since it was opened or lost something: then a new epoch makes it wait anew.
    pub(crate) waits_for_all: bool,
    /// What it refused to each coordinator and does not have yet.
    pub(crate) refused: BTreeMap<NodeId, Refused>,
    /// Something of its own was unreadable: its absences never count, until it is rebuilt.
    pub(crate) damaged: bool,
    /// It is filled again from a peer; see [`crate::replicate::rebuild`].
    pub(crate) rebuilding: Option<Rebuilding>,
    /// Storages that peers had before: what arrives late about them is void.
    void: BTreeMap<NodeId, VecDeque<(StorageId, u64)>>,
    /// It is read through; see [`crate::replicate::scrub`].
    pub(crate) pass: Option<Pass>,
    /// When it was last found whole, by the wall clock, milliseconds since 1970.
    pub(crate) scrubbed_ms: Option<u64>,
    /// The same, monotonic microseconds.
    pub(crate) cleared_us: Option<u64>,
    /// When a read last proved a denial of it wrong, monotonic microseconds.
    pub(crate) doubted_us: Option<u64>,
    /// Records found unreadable or missing by reading it through.
    pub(crate) bad_records: u64,
    /// The clock that came with the last filling, until it is durable: only then is what it stands for told to others.
    pub(crate) filled: Option<Clock>,
    /// From whom it is filled if possible.
    pub(crate) fill_from: Option<NodeId>,
    /// Dot-log entries held, and about how many bytes they take.
    pub(crate) log_entries: u64,
    pub(crate) log_bytes: u64,
    /// What was in the clock when log entries went before every member had their writes: any of these may be why a
    /// version is denied, see [`crate::replicate::denial`]. Empty once all of it is settled.
    pub(crate) cut: Clock,
    /// Logged deletes by key. Nothing in the object names a delete's own dot, yet the object must keep
    /// its context until every member has that dot: the context is all that carries the delete.
    pub(crate) deletes: BTreeMap<(BucketId, Bytes), BTreeSet<Dot>>,
}

impl Vnode {
    /// A vnode as its record describes it, or a new one.
    pub(crate) fn new(class: Class, record: VnodeRecord) -> Self {
        Self {
            class,
            id: record.vnode,
            storage: record.storage,
            ring: record.ring,
            epoch: record.epoch,
            joining: None,
            complete: record.complete,
            claimed: record.complete,
            durable: record.clock.clone(),
            opened: Some(record.clock.clone()),
            digest: Digest::EMPTY,
            put_back: Digest::EMPTY,
            swept: None,
            clock: record.clock,
            settled_durable: record.settled.clone(),
            settled: record.settled,
            compared: BTreeSet::new(),
            askers: BTreeMap::new(),
            revision: 1,
            actor: None,
            actors: record.actors,
            promised: record.promised,
            folding: record.folding,
            voids: record.voids,
            peers: BTreeMap::new(),
            heard: 0,
            waits: BTreeMap::new(),
            waits_for_all: false,
            refused: BTreeMap::new(),
            damaged: record.damaged,
            rebuilding: record.rebuilding,
            void: BTreeMap::new(),
            pass: None,
            scrubbed_ms: None,
            cleared_us: None,
            doubted_us: None,
            bad_records: 0,
            filled: None,
            fill_from: None,
            log_entries: 0,
            log_bytes: 0,
            cut: Clock::new(),
            deletes: BTreeMap::new(),
        }
    }

    /// What is stored of it beside objects and log.
    pub(crate) fn record(&self) -> VnodeRecord {
        VnodeRecord {
            vnode: self.id,
            storage: self.storage,
            ring: self.ring,
            epoch: self.epoch,
            complete: self.complete,
            clock: self.clock.clone(),
            settled: self.settled.clone(),
            actors: self.actors.clone(),
            promised: self.promised.clone(),
            folding: self.folding,
            voids: self.voids.clone(),
            damaged: self.damaged,
            rebuilding: self.rebuilding.clone(),
        }
    }

    /// Changes with its clocks and with what is known of the peers' clocks: what was found out about them
    /// holds as long as this is the same.
    pub(crate) const fn knowledge(&self) -> (u64, u64) {
        (self.revision, self.heard)
    }

    /// Takes what a peer says of its vnode.
    pub(crate) fn take_word(&mut self, node: NodeId, word: PeerVnode) {
        self.heed(node, word.life, word.at_us);
        self.peers.insert(node, word);
        self.heard += 1;
    }

    /// Whether no peer is known to have anything that it lacks.
    pub(crate) fn lacks_nothing(&self) -> bool {
        let mut peers = self.peers.values();
        peers.all(|peer| self.clock.covers(&peer.applied))
    }

    /// Whether it waits for anything that it may lack.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waits.is_empty() || !self.refused.is_empty()
    }

    /// Whether its absences count.
    pub(crate) fn is_current(&self) -> bool {
        !self.is_behind() && self.is_whole()
    }

    /// Whether all that its clock says is true: it may be filled with more, but has lost nothing.
    pub(crate) fn is_true(&self) -> bool {
        let whole = |state: &Rebuilding| !state.lost && !state.united;
        !self.damaged && self.rebuilding.as_ref().is_none_or(whole)
    }

    /// Whether what it was filled with counts for others: a page says what is durable, and that would be less than what
    /// its sender's objects rest on.
    pub(crate) fn filling_is_durable(&self) -> bool {
        let durable = |filled: &Clock| self.durable.covers(filled);
        self.filled.as_ref().is_none_or(durable)
    }

    /// Whether it has all that its clock says, and its clock all that it has.
    pub(crate) const fn is_whole(&self) -> bool {
        !self.damaged && self.rebuilding.is_none()
    }

    /// Whether a write to a key was applied here: by its own clock, or by the clock of the peer from
    /// which it is filled, for the keys that it has taken already.
    pub(crate) fn has_seen(&self, dot: Dot, bucket: BucketId, key: &Bytes) -> bool {
        let taken = |rebuilding: &Rebuilding| match &rebuilding.stage {
            RebuildStage::Sifting { .. } | RebuildStage::Waiting => false,
            RebuildStage::Objects { source, after } => {
                let passed = after
                    .as_ref()
                    .is_some_and(|last| (bucket, key) <= (last.0, &last.1));
                passed && source.clock.contains(dot)
            }
            RebuildStage::Log { source, .. } => source.clock.contains(dot),
        };
        self.clock.contains(dot) || self.rebuilding.as_ref().is_some_and(taken)
    }

    /// Begins anew on the same disk: nobody may count any more on what was said of it before.
    pub(crate) fn forget(&mut self, storage: StorageId, keep_clock: bool) {
        self.storage = storage;
        self.actor = None;
        if !keep_clock {
            self.clock = Clock::new();
        }
        self.durable = Clock::new();
        self.opened = None;
        self.filled = None;
        self.folding = 0;
        self.deletes.clear();
        self.log_entries = 0;
        self.log_bytes = 0;
        self.cut = Clock::new();
        self.revision += 1;
    }

    /// Takes note of the storage that a peer's vnode speaks for. What was known of another one is
    /// void. Returns whether it is the newest known.
    pub(crate) fn meet_storage(&mut self, node: NodeId, storage: StorageId, now_us: u64) -> bool {
        let void = self.void.entry(node).or_default();
        void.retain(|&(_, since_us)| since_us + VOID_US > now_us);
        if void.iter().any(|&(known, _)| known == storage) {
            return false;
        }
        let changed = |known: &&PeerVnode| known.storage != storage;
        if let Some(known) = self.peers.get(&node).filter(changed) {
            void.push_back((known.storage, now_us));
            if void.len() > VOID_MAX {
                void.pop_front();
            }
            self.peers.remove(&node);
            self.heard += 1;
            // What it said to have it may have no more: it is asked what it has now.
            if let Some(wait) = self.waits.get_mut(&node) {
                wait.cover = None;
            }
        }
        true
    }

    /// Whether deletes of a key are in its log.
    pub(crate) fn has_deletes(&self, bucket: BucketId, key: &Bytes) -> bool {
        self.deletes.contains_key(&(bucket, key.clone()))
    }

    /// The logged deletes of a key.
    pub(crate) fn deletes_of(&self, bucket: BucketId, key: &Bytes) -> impl Iterator<Item = Dot> {
        let dots = self.deletes.get(&(bucket, key.clone())).cloned();
        dots.into_iter().flatten()
    }

    /// Its clocks as a peer may be told them.
    pub(crate) fn to_wire(&self, peer: NodeId, life: LifeId) -> VnodeClock {
        VnodeClock {
            class: self.class,
            epoch: self.epoch,
            departing: false,
            for_departing: self.tells_one_that_departs(peer),
            vnode: self.id,
            storage: self.storage,
            life,
            applied: self.clock.to_wire(),
            durable: self.durable_for(peer).to_wire(),
            digest: self.digest.to_wire(),
            holds: self.digest.extent(),
            current: self.is_current(),
            swept: self.swept,
            actors: self
                .actors
                .iter()
                .map(|(&actor, &(node, born))| (actor, node, born))
                .collect(),
        }
    }

    /// The same of a copy without a place.
    pub(crate) fn to_wire_departing(&self, peer: NodeId, life: LifeId) -> VnodeClock {
        VnodeClock {
            departing: true,
            current: false,
            ..self.to_wire(peer, life)
        }
    }

    /// Drops what is known of actors that are folded, beside dots that no write has.
    pub(crate) fn forget_folded(&mut self) {
        let (clock, folded) = (&self.clock, self.clock.folded());
        self.actors.retain(|actor, _| !clock.has_folded(*actor));
        self.promised.retain(|actor| !clock.has_folded(*actor));
        self.voids = self.voids.without_ends_of(folded);
    }

    /// Takes a dot as applied. Returns whether it is new.
    pub(crate) fn apply_dot(&mut self, dot: Dot) -> bool {
        let new = self.clock.add(dot);
        if new {
            self.revision += 1;
        }
        new
    }

    /// Takes note of a logged delete.
    pub(crate) fn remember_delete(&mut self, dot: Dot, bucket: BucketId, key: Bytes) {
        self.deletes.entry((bucket, key)).or_default().insert(dot);
    }

    /// A log entry is there.
    pub(crate) const fn logged(&mut self, key: &Bytes) {
        self.log_entries += 1;
        self.log_bytes += entry_bytes(key);
    }

    /// Log entries may be missing of anything that is in the clock now.
    pub(crate) fn note_cut(&mut self) {
        self.cut = self.clock.clone();
    }

    /// A log entry is gone.
    pub(crate) fn unlogged(&mut self, dot: Dot, bucket: BucketId, key: &Bytes) {
        self.log_entries = self.log_entries.saturating_sub(1);
        self.log_bytes = self.log_bytes.saturating_sub(entry_bytes(key));
        if let Some(pass) = &mut self.pass {
            pass.entry_goes(dot);
        }
        let place = (bucket, key.clone());
        if let Some(dots) = self.deletes.get_mut(&place) {
            dots.remove(&dot);
            if dots.is_empty() {
                self.deletes.remove(&place);
            }
        }
    }

    /// Whether every logged delete of a key is in this clock.
    pub(crate) fn deletes_are_in(&self, clock: &Clock, bucket: BucketId, key: &Bytes) -> bool {
        self.deletes
            .get(&(bucket, key.clone()))
            .is_none_or(|dots| dots.iter().all(|&dot| clock.contains(dot)))
    }

    /// Writes that peers are known to have and this vnode lacks: the largest of the differences.
    pub(crate) fn lag(&self) -> u64 {
        self.peers
            .values()
            .map(|peer| self.clock.count_missing_from(&peer.applied))
            .max()
            .unwrap_or(0)
    }

    /// What every member of the class has durably, or `None` while a member has not spoken yet in the
    /// life in which it last asked.
    pub(crate) fn common(&self, members: &[NodeId], me: NodeId) -> Option<Clock> {
        let mut common = self.durable.clone();
        for member in members.iter().filter(|&&member| member != me) {
            let asked_in = self.askers.get(member);
            let said_since = |peer: &&PeerVnode| asked_in.is_none_or(|asker| asker.is(peer.life));
            let durable = &self.peers.get(member).filter(said_since)?.durable;
            if common != *durable {
                common = common.intersect(durable);
            }
        }
        Some(common)
    }

    /// Begins to wait for a node's word; a wait that was going on starts again.
    pub(crate) fn wait_for(&mut self, node: NodeId, is_peer: bool, after: u64) {
        self.waits.insert(
            node,
            Wait {
                no_hints: false,
                cover: None,
                is_peer,
                after,
            },
        );
    }

    /// Drops the waits that are over, and the last ones if nobody is left but excused nodes and at most
    /// one other that is out of reach and no member of the class: what two nodes acknowledged, it
    /// cannot hold alone. Returns whether the vnode has just become current.
    pub(crate) fn settle_waits(
        &mut self,
        excused: &BTreeSet<NodeId>,
        in_reach: impl Fn(NodeId) -> bool,
    ) -> bool {
        if self.waits.is_empty() {
            return false;
        }
        let clock = &self.clock;
        self.waits.retain(|_, wait| {
            let covered = wait.cover.as_ref().is_some_and(|cover| clock.covers(cover));
            !(wait.no_hints && (covered || !wait.is_peer))
        });
        let mut left = self.waits.iter();
        let mut next = || left.find(|(node, _)| !excused.contains(node));
        let enough = match (next(), next()) {
            (None, _) => true,
            (Some((&node, wait)), None) => !wait.is_peer && !in_reach(node),
            (Some(_), Some(_)) => false,
        };
        if enough {
            self.waits.clear();
            self.waits_for_all = false;
        }
        self.is_current()
    }
}
