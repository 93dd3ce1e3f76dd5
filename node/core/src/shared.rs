//! What the machines of one replica share: the view, the vnodes, the step under construction.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use quorate_protocol::client::ClientReply;
use quorate_protocol::ids::{ActorId, Dot, LifeId, RequestId};
use quorate_protocol::limits::CLOCK_AHEAD_MS_MAX;
use quorate_protocol::peer::{Forwarded, PeerMessage};
use quorate_protocol::versioned::MapVersion;
use quorate_ring::{Class, NodeId, PartitionId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::alive::AliveLog;
use crate::causality::Clock;
use crate::coordinate::Ask;
use crate::coordinate::void_deletes::VoidDeletes;
use crate::dropping::Dropped;
use crate::effects::{Effect, Note, Now, Priority, Step, Ticket, When};
use crate::expiry::RemovalClock;
use crate::hints::HintShelf;
use crate::moves::Said;
use crate::plant::Plant;
use crate::record::keys::KeyRange;
use crate::record::{encode_alive, keys};
use crate::replicate::rebuild::Owners;
use crate::replicate::scrub::{Differing, Taken};
use crate::replicate::throttle::Throttle;
use crate::store::{BatchSeq, Family, Store, StoreError, Write};
use crate::timing::Timing;
use crate::token::TokenKey;
use crate::view::View;
use crate::vnode::Vnode;

/// Who wants a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client of this node.
    Client(Ticket),
    /// A client of another node, which forwarded the request.
    Node {
        /// The forwarder.
        node: NodeId,
        /// Its operation.
        op: u64,
        /// The request's partition.
        partition: PartitionId,
    },
    /// Nobody any more: the client went away.
    Nobody,
}

/// What one machine leaves for another within one step; the router hands it on.
#[derive(Debug)]
pub(crate) enum Local {
    /// A message that this node sent to itself.
    Message(PeerMessage),
    /// A request that is ready to be coordinated here.
    Ask(Box<Ask>),
}

/// The state that machines share. One machine runs at a time.
pub(crate) struct Shared {
    pub(crate) now: Now,
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) timing: Timing,
    pub(crate) token_key: TokenKey,
    pub(crate) view: View,
    pub(crate) vnodes: BTreeMap<Class, Vnode>,
    /// What of dropped buckets is done.
    pub(crate) dropped: Dropped,
    /// Vnodes that have no place any more, and are not deleted yet.
    pub(crate) departing: BTreeMap<Class, Vnode>,
    /// For vnodes that are being swept: versions that own pieces.
    pub(crate) piece_owners: BTreeMap<Class, Owners>,
    pub(crate) hints: HintShelf,
    pub(crate) alive: AliveLog,
    /// Actors of this node as a fallback, one for each class, drawn anew after a hint was dropped.
    pub(crate) fallback_actors: BTreeMap<Class, (ActorId, u64)>,
    pub(crate) writable: bool,
    /// On whose behalf the current input is handled; 0: nobody's.
    pub(crate) trace: u64,
    /// Rules that are broken on purpose; see [`crate::plant`].
    pub(crate) planted: BTreeSet<Plant>,
    pub(crate) local: VecDeque<Local>,
    /// Dots applied and not yet fsynced, with the batch they were written in.
    pub(crate) unsynced: VecDeque<(BatchSeq, Class, Dot)>,
    /// Clocks taken over whole and not yet fsynced.
    pub(crate) unsynced_clocks: VecDeque<(BatchSeq, Class, Clock)>,
    /// Commonly durable clocks written down and not yet fsynced.
    pub(crate) unsynced_settled: VecDeque<(BatchSeq, Class, Clock)>,
    /// Newcomers that were found complete, not fsynced yet.
    pub(crate) unsynced_claims: VecDeque<(BatchSeq, Class, MapVersion)>,
    /// Actors that contexts name and that keep these from being dropped.
    /// The most generations of actors that any vnode here has folded.
    pub(crate) folded: u64,
    /// The generation of actors that should begin by what is known here; 0: none.
    pub(crate) wanted_generation: u16,
    pub(crate) strange_actors: BTreeMap<Class, BTreeSet<ActorId>>,
    /// Deletes coordinated here that found nothing.
    pub(crate) void_deletes: VoidDeletes,
    /// The time of day by which expired versions are removed.
    pub(crate) removal: RemovalClock,
    /// The earliest expiry noted since they were last looked at.
    pub(crate) fresh_expiry_ms: u64,
    /// Vnodes that are to be read through before all others, see [`crate::replicate::scrub`].
    pub(crate) suspected: BTreeSet<Class>,
    /// Peers that hold something else than the vnode under the same clock.
    pub(crate) differing: BTreeMap<(Class, NodeId), Differing>,
    /// From whom each vnode has taken over what differed.
    pub(crate) taken: BTreeMap<(Class, NodeId), Taken>,
    /// Vnodes whose digest this step changed.
    pub(crate) digests_changed: BTreeSet<Class>,
    /// What the node was told last of what this replica has done.
    pub(crate) said: Option<Said>,
    /// How fast copies travel.
    pub(crate) throttle: Throttle,
    /// Until then requests may be older than they seem: this node was paused.
    pub(crate) late_until_us: u64,
    /// Request ids stored since they were last taken into account.
    pub(crate) fresh_requests: Vec<(Class, RequestId)>,
    rng: ChaCha12Rng,
    hlc: u64,
    next_op: u64,
    step: Step,
    overlay: BTreeMap<Family, BTreeMap<Vec<u8>, Option<Bytes>>>,
    /// Ranges that this step removed; what was written into them afterwards is in the overlay.
    cleared: Vec<(Family, KeyRange)>,
    last_seq: BatchSeq,
}

impl Shared {
    pub(crate) fn new(
        (shard, shards): (u16, u16),
        timing: Timing,
        token_key: TokenKey,
        view: View,
        mut rng: ChaCha12Rng,
        now: Now,
    ) -> Self {
        // Operations start at a random number, so that answers to an earlier life match nothing.
        let next_op = (u64::from(shard) << 48) | u64::from(rng.next_u32());
        let life = LifeId::new(rng.next_u64());
        Self {
            alive: AliveLog::open((shard, shards), life, None, view.peers()),
            now,
            shard,
            shards,
            timing,
            token_key,
            view,
            vnodes: BTreeMap::new(),
            dropped: Dropped::default(),
            departing: BTreeMap::new(),
            said: None,
            piece_owners: BTreeMap::new(),
            hints: HintShelf::default(),
            fallback_actors: BTreeMap::new(),
            writable: true,
            trace: 0,
            planted: BTreeSet::new(),
            local: VecDeque::new(),
            unsynced: VecDeque::new(),
            unsynced_clocks: VecDeque::new(),
            unsynced_settled: VecDeque::new(),
            unsynced_claims: VecDeque::new(),
            folded: 0,
            wanted_generation: 0,
            strange_actors: BTreeMap::new(),
            void_deletes: VoidDeletes::default(),
            removal: RemovalClock::new(now),
            fresh_expiry_ms: u64::MAX,
            suspected: BTreeSet::new(),
            differing: BTreeMap::new(),
            taken: BTreeMap::new(),
            digests_changed: BTreeSet::new(),
            throttle: Throttle::new(timing.handoff_bytes_per_s, timing.handoff_latency_us),
            late_until_us: 0,
            fresh_requests: Vec::new(),
            rng,
            hlc: 0,
            next_op,
            step: Step::default(),
            overlay: BTreeMap::new(),
            cleared: Vec::new(),
            last_seq: 0,
        }
    }

    /// 64 fresh random bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// A number for a new operation.
    pub(crate) fn new_op(&mut self) -> u64 {
        self.next_op += 1;
        self.next_op
    }

    /// A hybrid time stamp: later than every stamp given or seen here.
    pub(crate) fn stamp(&mut self) -> u64 {
        self.hlc = (self.now.wall_ms << 16).max(self.hlc + 1);
        if self.breaks(Plant::StampOfLocalClock) {
            return self.now.wall_ms << 16;
        }
        self.hlc
    }

    /// The hybrid clock's time: the latest stamp given or seen here, milliseconds since 1970.
    pub(crate) const fn hybrid_ms(&self) -> u64 {
        self.hlc >> 16
    }

    /// Takes note of a stamp of another node. Returns whether it lies too far ahead of this
    /// node's clock to be believed; such a stamp is not taken note of.
    pub(crate) fn see_stamp(&mut self, stamp: u64) -> bool {
        let ahead = stamp >> 16 > self.now.wall_ms + CLOCK_AHEAD_MS_MAX;
        if !ahead {
            self.hlc = self.hlc.max(stamp);
        }
        ahead
    }

    /// Milliseconds left until a monotonic time; at least 1.
    pub(crate) fn ms_until(&self, at_us: u64) -> u32 {
        u32::try_from(at_us.saturating_sub(self.now.mono_us) / 1000)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// Sends to a peer, or to this node itself within the same step.
    pub(crate) fn send(
        &mut self,
        to: NodeId,
        message: impl Into<PeerMessage>,
        deadline_ms: u32,
        priority: Priority,
    ) {
        self.send_when(to, message.into(), deadline_ms, priority, When::Written);
    }

    /// Sends once the step's batch is fsynced.
    pub(crate) fn send_synced(
        &mut self,
        to: NodeId,
        message: impl Into<PeerMessage>,
        priority: Priority,
    ) {
        self.step.sync_soon = true;
        self.send_when(to, message.into(), 0, priority, When::Synced);
    }

    fn send_when(
        &mut self,
        to: NodeId,
        message: PeerMessage,
        deadline_ms: u32,
        priority: Priority,
        when: When,
    ) {
        if to == self.view.me && when == When::Written {
            self.local.push_back(Local::Message(message));
        } else {
            self.step.effects.push(Effect::Send {
                to,
                message,
                deadline_ms,
                priority,
                trace: self.trace,
                when,
            });
        }
    }

    /// Answers whoever asked.
    pub(crate) fn reply(&mut self, asker: Asker, reply: impl Into<ClientReply>) {
        let reply = reply.into();
        match asker {
            Asker::Client(ticket) => {
                self.throttle.ended(ticket, self.now.mono_us);
                self.step.effects.push(Effect::Reply { ticket, reply });
            }
            Asker::Node {
                node,
                op,
                partition,
            } => {
                let mut body = Vec::new();
                reply.encode_body(&mut body);
                let forwarded = Forwarded {
                    op,
                    partition,
                    opcode: reply.opcode(),
                    body: body.into(),
                };
                self.send(node, forwarded, 0, Priority::Foreground);
            }
            Asker::Nobody => {}
        }
    }

    /// Counts something that happened.
    pub(crate) fn note(&mut self, note: Note) {
        self.step.effects.push(Effect::Note(note));
    }

    pub(crate) fn perform(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }

    /// Asks for an fsync of this step at once; returns the number that will report it.
    pub(crate) fn sync_soon(&mut self) -> BatchSeq {
        self.step.sync_soon = true;
        self.step_seq()
    }

    /// The number this step's batch will have.
    pub(crate) const fn step_seq(&self) -> BatchSeq {
        self.last_seq + 1
    }

    /// Collects a write.
    pub(crate) fn put(&mut self, family: Family, key: Vec<u8>, value: Bytes) {
        self.overlay
            .entry(family)
            .or_default()
            .insert(key.clone(), Some(value.clone()));
        self.step
            .batch
            .writes
            .push(Write::Put { family, key, value });
    }

    /// Collects a write that nothing reads any more within its step.
    pub(crate) fn put_last(&mut self, family: Family, key: Vec<u8>, value: Bytes) {
        self.step
            .batch
            .writes
            .push(Write::Put { family, key, value });
    }

    /// Collects a removal.
    pub(crate) fn delete(&mut self, family: Family, key: Vec<u8>) {
        self.overlay
            .entry(family)
            .or_default()
            .insert(key.clone(), None);
        self.step.batch.writes.push(Write::Delete { family, key });
    }

    /// Collects the removal of a whole range, readable or not.
    pub(crate) fn clear(&mut self, family: Family, (from, to): KeyRange) {
        if let Some(records) = self.overlay.get_mut(&family) {
            records.retain(|key, _| *key < from || *key >= to);
        }
        self.cleared.push((family, (from.clone(), to.clone())));
        self.step
            .batch
            .writes
            .push(Write::Clear { family, from, to });
    }

    /// Whether a request may have waited here, or on its way, for longer than its client waited for the answer: there may
    /// have been another try meanwhile, and this one be the first.
    pub(crate) fn may_be_late(&self) -> bool {
        self.now.mono_us < self.late_until_us && !self.breaks(Plant::LateTryTrusted)
    }

    /// Ends the step.
    pub(crate) fn finish(&mut self) -> Step {
        if let Some(record) = self.alive.take_changed() {
            let key = keys::alive_key(self.shard);
            let record = encode_alive(&key, record);
            self.put_last(Family::Vnodes, key, record);
        }
        self.store_digests();
        self.overlay.clear();
        self.cleared.clear();
        let mut step = std::mem::take(&mut self.step);
        if !step.batch.writes.is_empty() {
            self.last_seq += 1;
            step.seq = Some(self.last_seq);
        }
        step
    }

    /// Whether this step removed the range of a key and has not written the key since.
    fn is_cleared(&self, family: Family, key: &[u8]) -> bool {
        let holds = |(of, (from, to)): &(Family, KeyRange)| {
            *of == family && from.as_slice() <= key && key < to.as_slice()
        };
        let written = self.overlay.get(&family);
        self.cleared.iter().any(holds) && written.is_none_or(|records| !records.contains_key(key))
    }

    /// Whether this step removed a record.
    pub(crate) fn is_removed(&self, family: Family, key: &[u8]) -> bool {
        let written = self.overlay.get(&family);
        self.is_cleared(family, key)
            || written.is_some_and(|records| records.get(key) == Some(&None))
    }

    /// The records of a range that this step wrote and did not remove.
    pub(crate) fn written(
        &self,
        family: Family,
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> impl Iterator<Item = (Vec<u8>, Bytes)> {
        let written = self.overlay.get(&family);
        let written = written.map(|records| records.range::<Vec<u8>, _>(range));
        let held = |(key, value): (&Vec<u8>, &Option<Bytes>)| Some((key.clone(), value.clone()?));
        written.into_iter().flatten().filter_map(held)
    }

    /// Whether this replica handles a partition.
    pub(crate) fn owns(&self, partition: PartitionId) -> bool {
        partition.get() % self.shards == self.shard
    }
}

/// What a machine works with during one call: the shared state and the storage.
pub(crate) struct Cx<'a> {
    pub(crate) s: &'a mut Shared,
    pub(crate) store: &'a dyn Store,
}

impl Cx<'_> {
    /// Reads a record, seeing what this step has written.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self
            .s
            .overlay
            .get(&family)
            .and_then(|records| records.get(key))
        {
            Some(written) => Ok(written.clone()),
            None if self.s.is_cleared(family, key) => Ok(None),
            None => self.store.get(family, key),
        }
    }

    /// The keys of a range in order, those that this step wrote included and those that it removed
    /// left out; at most `limit` of them, and whether that is all.
    ///
    /// # Errors
    /// The range could not be read to its end; nothing is said about any of it.
    pub(crate) fn keys_between(
        &self,
        family: Family,
        (from, to): KeyRange,
        limit: usize,
    ) -> Result<(BTreeSet<Vec<u8>>, bool), StoreError> {
        let mut found = BTreeSet::new();
        if from >= to {
            return Ok((found, true));
        }
        let written = self.s.overlay.get(&family);
        self.scan(family, (from.clone(), to.clone()), |key, _| {
            let gone = self.s.is_cleared(family, key)
                || written.is_some_and(|records| records.get(key) == Some(&None));
            if !gone {
                found.insert(key.to_vec());
            }
            if found.len() > limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let fresh = written.map(|records| records.range::<Vec<u8>, _>(bounds));
        let fresh = fresh.into_iter().flatten();
        found.extend(
            fresh
                .filter(|(_, value)| value.is_some())
                .map(|(key, _)| key.clone()),
        );
        let all = found.len() <= limit;
        while found.len() > limit {
            found.pop_last();
        }
        Ok((found, all))
    }

    /// The keys that this step wrote, from one up to and with another, in order.
    pub(crate) fn fresh_keys(&self, family: Family, from: &[u8], last: &[u8]) -> Vec<Vec<u8>> {
        if from > last {
            return Vec::new();
        }
        let bounds = (Bound::Included(from), Bound::Included(last));
        let written = self.s.overlay.get(&family);
        let fresh = written.map(|records| records.range::<[u8], _>(bounds));
        let fresh = fresh.into_iter().flatten();
        let held = fresh.filter(|(_, value)| value.is_some());
        held.map(|(key, _)| key.clone()).collect()
    }

    /// Scans records that earlier steps wrote.
    pub(crate) fn scan(
        &self,
        family: Family,
        (from, to): (Vec<u8>, Vec<u8>),
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.scan(family, &from, &to, &mut visit)
    }

    /// The same for what is read through, see [`Store::read_through`].
    pub(crate) fn read_through(
        &self,
        family: Family,
        (from, to): (Vec<u8>, Vec<u8>),
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.read_through(family, &from, &to, &mut visit)
    }
}

/// A principal's name, shared by what it asked.
pub(crate) type Principal = Arc<str>;
