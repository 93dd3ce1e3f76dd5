//! Opening a replica from storage: vnodes, clocks and logs, hints, request ids.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use quorate_protocol::ids::{LifeId, RequestId, StorageId, VnodeId};
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_ring::{Class, NodeId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::alive::AliveLog;
use crate::causality::{Clock, Digest};
use crate::effects::{Note, Now};
use crate::hints::HintShelf;
use crate::record::{
    LogKind, VnodeRecord, decode_alive, decode_digest, decode_log, decode_vnode, keys,
};
use crate::replica::Replica;
use crate::replicate::collect::Collector;
use crate::shared::Shared;
use crate::store::{BatchSeq, Family, Store, StoreError};
use crate::timing::Timing;
use crate::token::TokenKey;
use crate::view::View;
use crate::vnode::{Vnode, entry_bytes};

/// What a replica needs to be opened.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// This node.
    pub node: NodeId,
    /// Which of the node's replicas this is: it handles partitions p with p mod `shards` = `shard`.
    pub shard: u16,
    /// How many replicas the node runs; at least 1.
    pub shards: u16,
    /// The cluster's secret for context tokens.
    pub token_key: [u8; 32],
    /// Randomness of this life: fresh at every opening, never shared.
    pub seed: [u8; 32],
    /// Waiting times.
    pub timing: Timing,
}

/// Why a replica could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Storage could not be read at all.
    #[error("cannot open the replica: {0}")]
    Store(#[from] StoreError),
}

impl Replica {
    /// Opens a replica. What storage holds must be fsynced by then.
    ///
    /// Damaged records do not keep a replica from opening: the vnodes they belong to claim no
    /// absence and say so.
    ///
    /// # Errors
    /// Storage could not be read for another reason than damage.
    pub fn open(
        config: ReplicaConfig,
        map: Arc<VersionedMap>,
        now: Now,
        store: &dyn Store,
    ) -> Result<Self, OpenError> {
        let view = View::new(config.node, map);
        let rng = ChaCha12Rng::from_seed(config.seed);
        let shards = (config.shard, config.shards.max(1));
        let mut shared = Shared::new(
            shards,
            config.timing,
            TokenKey::new(config.token_key),
            view,
            rng,
            now,
        );
        let owns = |class: Class| class.partition.get() % shards.1 == shards.0;
        let (hints, hints_damaged) = HintShelf::open(store, owns)?;
        shared.hints = hints;
        if hints_damaged {
            shared.note(Note::DamageFound);
        }
        shared.open_hint_pieces(store, owns)?;
        let mut found = shared.load_vnodes(store)?;
        shared.end_classes();
        let gained = shared.gain_places();
        for class in &gained.anew {
            found.digests.remove(class);
        }
        for class in gained.fresh {
            // A vnode of which nothing could be read is no new one: its past is unknown. Nor is one that
            // left something else: its own record is gone.
            if found.incomplete || found.traces.contains(&class) {
                shared.mark_damaged(class);
            }
        }
        shared.take_digests(&found);
        let stored = |class: &&Class| !gained.anew.contains(class);
        let classes: Vec<Class> = shared.vnodes.keys().filter(stored).copied().collect();
        for &class in &classes {
            shared.load_lost_mark(store, class)?;
            shared.replay_log(store, class)?;
        }
        let requests = shared.load_requests(store, &classes)?;
        shared.load_alive(store)?;
        shared.load_swept(store)?;
        shared.follow_map();
        Ok(Self::assemble(
            shared,
            Collector::open(requests, now.mono_us),
        ))
    }
}

/// Whether damage ended a scan: what it gave before is good.
///
/// # Errors
/// It ended by another failure.
pub(crate) fn is_damaged(scanned: Result<(), StoreError>) -> Result<bool, StoreError> {
    match scanned {
        Ok(()) => Ok(false),
        Err(StoreError::Damaged { .. }) => Ok(true),
        Err(error @ StoreError::Failed(_)) => Err(error),
    }
}

/// Whether storage holds anything of a vnode beside its record. What is unreadable is something.
///
/// # Errors
/// Storage cannot say.
pub(crate) fn has_past(store: &dyn Store, class: Class) -> Result<bool, StoreError> {
    let any = |family: Family, (from, to): keys::KeyRange| {
        let mut any = false;
        let scanned = store.scan(family, &from, &to, &mut |_, _| {
            any = true;
            ControlFlow::Break(())
        });
        Ok(any || is_damaged(scanned)?)
    };
    let digest = store.get(Family::Vnodes, &keys::digest_key(class));
    let unreadable = is_damaged(digest.as_ref().map(drop).map_err(Clone::clone))?;
    Ok(unreadable
        || !matches!(digest, Ok(None))
        || any(Family::Objects, keys::class_range(class))?
        || any(Family::Log, keys::log_range(class))?)
}

/// The classes of which a family that is sorted by class holds anything, up to where it cannot be read.
fn classes_in(store: &dyn Store, family: Family) -> Result<BTreeSet<Class>, StoreError> {
    let (mut from, to) = keys::everything();
    let mut classes = BTreeSet::new();
    loop {
        let mut first = None;
        let scanned = store.scan(family, &from, &to, &mut |key, _| {
            first = keys::parse_class(key);
            ControlFlow::Break(())
        });
        let (false, Some(class)) = (is_damaged(scanned)?, first) else {
            return Ok(classes);
        };
        classes.insert(class);
        (_, from) = keys::class_range(class);
    }
}

/// What was found among the vnodes' records.
struct FoundVnodes {
    /// Damage kept some of them from being read.
    incomplete: bool,
    /// Digests, `None` where one cannot be read.
    digests: BTreeMap<Class, Option<Digest>>,
    /// Classes of which there is anything beside a record.
    traces: BTreeSet<Class>,
}

impl Shared {
    /// Reads the vnodes that this replica has.
    fn load_vnodes(&mut self, store: &dyn Store) -> Result<FoundVnodes, StoreError> {
        let (from, to) = keys::vnodes_range();
        let mut found: Vec<(Class, Option<VnodeRecord>)> = Vec::new();
        let (mut digests, mut lost) = (BTreeMap::new(), BTreeSet::new());
        let scanned = store.scan(Family::Vnodes, &from, &to, &mut |key, record| {
            if let Some(class) = keys::parse_vnode_key(key) {
                found.push((class, decode_vnode(key, record).ok()));
            } else if let Some(class) = keys::parse_digest_key(key) {
                digests.insert(class, decode_digest(key, record).ok());
            } else if let Some(class) = keys::parse_lost_key(key) {
                lost.insert(class);
            }
            ControlFlow::Continue(())
        });
        let incomplete = is_damaged(scanned)?;
        for (class, record) in found {
            if !self.owns(class.partition) {
                continue;
            }
            let damaged = record.is_none();
            // Which one it was nobody can say: it is the one that has the place, if any has.
            let place = self.view.vnode_of(class, self.view.me);
            let record =
                record.unwrap_or_else(|| self.fresh_record(place.unwrap_or(VnodeId::FOUNDING)));
            self.vnodes.insert(class, Vnode::new(class, record));
            if damaged {
                self.mark_damaged(class);
            }
        }
        let mut traces: BTreeSet<Class> = digests.keys().copied().chain(lost).collect();
        for family in [Family::Objects, Family::Log] {
            traces.extend(classes_in(store, family)?);
        }
        self.find_departing(&traces);
        Ok(FoundVnodes {
            incomplete,
            digests,
            traces,
        })
    }

    /// Copies without a place whose own record is gone, by what else they left (seed 266).
    fn find_departing(&mut self, traces: &BTreeSet<Class>) {
        let me = self.view.me;
        for &class in traces {
            let known = self.vnodes.contains_key(&class) || self.view.is_member(class, me);
            if known || !self.owns(class.partition) {
                continue;
            }
            let record = self.view.record(class);
            let mut left = record
                .into_iter()
                .flat_map(|record| record.departing.iter().rev());
            let place = left.find(|place| place.node == me);
            let id = place.map_or(VnodeId::FOUNDING, |place| place.vnode);
            let record = self.fresh_record(id);
            self.vnodes.insert(class, Vnode::new(class, record));
            self.mark_damaged(class);
        }
    }

    /// Gives each vnode its digest. One whose digest cannot be read has lost something of its own.
    fn take_digests(&mut self, found: &FoundVnodes) {
        let mut unread = Vec::new();
        let folded = self.vnodes.values().map(|vnode| vnode.clock.folded());
        self.folded = folded.max().unwrap_or(0);
        for (class, vnode) in &mut self.vnodes {
            match found.digests.get(class) {
                Some(Some(digest)) => vnode.digest = *digest,
                Some(None) => unread.push(*class),
                // Where nothing was ever counted none was written.
                None if found.incomplete => unread.push(*class),
                None => {}
            }
        }
        unread
            .into_iter()
            .for_each(|class| self.mark_damaged(class));
    }

    /// A vnode of which storage lost something is damaged, also where it was being rebuilt already.
    fn load_lost_mark(&mut self, store: &dyn Store, class: Class) -> Result<(), StoreError> {
        let key = keys::lost_key(class);
        match store.get(Family::Vnodes, &key) {
            Ok(None) => return Ok(()),
            Ok(Some(_)) | Err(StoreError::Damaged { .. }) => {}
            Err(error @ StoreError::Failed(_)) => return Err(error),
        }
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.damaged = true;
            self.note(Note::DamageFound);
            self.delete(Family::Vnodes, key);
            self.store_vnode(class);
        }
        Ok(())
    }

    /// Reads who was alive when. What cannot be read makes this replica wait for everybody.
    fn load_alive(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let key = keys::alive_key(self.shard);
        let stored = match store.get(Family::Vnodes, &key) {
            Ok(record) => record.and_then(|record| decode_alive(&key, &record).ok()),
            Err(StoreError::Damaged { .. }) => None,
            Err(error @ StoreError::Failed(_)) => return Err(error),
        };
        let life = LifeId::new(self.draw());
        let shards = (self.shard, self.shards);
        self.alive = AliveLog::open(shards, life, stored, self.view.peers());
        if self.shard == 0 {
            self.forget_alive_of_others(store)?;
        }
        Ok(())
    }

    /// Removes what replicas kept that this node no longer runs: should it run them again, that
    /// would be out of date.
    fn forget_alive_of_others(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let (from, to) = keys::alive_range_from(self.shards);
        let mut others = Vec::new();
        let scanned = store.scan(Family::Vnodes, &from, &to, &mut |key, _| {
            others.push(key.to_vec());
            ControlFlow::Continue(())
        });
        is_damaged(scanned)?;
        others
            .into_iter()
            .for_each(|key| self.delete(Family::Vnodes, key));
        Ok(())
    }

    fn load_requests(
        &mut self,
        store: &dyn Store,
        classes: &[Class],
    ) -> Result<Vec<(Class, RequestId)>, StoreError> {
        let mut requests = Vec::new();
        for &class in classes {
            let (from, to) = keys::request_range(class);
            let scanned = store.scan(Family::Requests, &from, &to, &mut |key, _| {
                requests.extend(keys::parse_request_key(key));
                ControlFlow::Continue(())
            });
            if is_damaged(scanned)? {
                self.mark_damaged(class);
            }
        }
        Ok(requests)
    }

    pub(crate) fn fresh_record(&mut self, vnode: VnodeId) -> VnodeRecord {
        VnodeRecord {
            vnode,
            storage: StorageId::new(self.draw()),
            ring: self.view.map().ring.version(),
            epoch: MapVersion::new(0),
            complete: None,
            clock: Clock::new(),
            settled: Clock::new(),
            actors: Default::default(),
            promised: Default::default(),
            folding: 0,
            voids: Clock::new(),
            damaged: false,
            rebuilding: None,
        }
    }

    /// The clock on disk is a checkpoint; the log has what came since.
    fn replay_log(&mut self, store: &dyn Store, class: Class) -> Result<(), StoreError> {
        let (from, to) = keys::log_range(class);
        let (mut dots, mut deletes, mut damaged) = (Vec::new(), Vec::new(), false);
        let mut bytes = 0;
        let scanned = store.scan(Family::Log, &from, &to, &mut |key, record| {
            if let Some((_, dot)) = keys::parse_log_key(key) {
                dots.push(dot);
                match decode_log(key, record) {
                    Ok(entry) => {
                        bytes += entry_bytes(&entry.key);
                        if entry.kind == LogKind::Delete {
                            deletes.push((dot, entry));
                        }
                    }
                    Err(_) => damaged = true,
                }
            }
            ControlFlow::Continue(())
        });
        if is_damaged(scanned)? || damaged {
            self.mark_damaged(class);
        }
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            (vnode.log_entries, vnode.log_bytes) = (dots.len() as u64, bytes);
            let mut told = vnode.settled.clone();
            told.merge(&vnode.voids);
            for dot in dots {
                vnode.clock.add(dot);
                told.add(dot);
            }
            if !told.covers(&vnode.clock) {
                vnode.note_cut();
            }
            for (dot, entry) in deletes {
                vnode.remember_delete(dot, entry.bucket, entry.key);
            }
            vnode.durable = vnode.clock.clone();
            vnode.begin_life();
        }
        Ok(())
    }

    /// Everything up to this batch is fsynced.
    pub(crate) fn take_synced(&mut self, seq: BatchSeq) {
        while let Some((_, class, clock)) =
            self.unsynced_clocks.pop_front_if(|first| first.0 <= seq)
        {
            if let Some(vnode) = self.held_mut(class) {
                vnode.durable.merge(&clock);
                vnode.filled.take_if(|filled| vnode.durable.covers(filled));
                vnode.revision += 1;
            }
        }
        while let Some((_, class, clock)) =
            self.unsynced_settled.pop_front_if(|first| first.0 <= seq)
        {
            if let Some(vnode) = self.vnodes.get_mut(&class) {
                vnode.settled_durable.merge(&clock);
            }
        }
        while let Some((_, class, epoch)) =
            self.unsynced_claims.pop_front_if(|first| first.0 <= seq)
        {
            if let Some(vnode) = self.vnodes.get_mut(&class) {
                vnode.claimed = vnode.complete.filter(|&complete| complete == epoch);
            }
        }
        while let Some(&(written, class, dot)) = self.unsynced.front() {
            if written > seq {
                return;
            }
            self.unsynced.pop_front();
            if let Some(vnode) = self.held_mut(class)
                && vnode.durable.add(dot)
            {
                vnode.revision += 1;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use quorate_protocol::ClusterId;
    use quorate_protocol::map::{
        Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member,
    };
    use quorate_ring::{BucketId, PartitionCount, Placed, Ring};

    use super::*;
    use crate::store::Visit;

    /// Empty storage in which one family cannot be scanned.
    struct Damaged(Family);

    impl Store for Damaged {
        fn get(&self, _: Family, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
            Ok(None)
        }

        fn scan(
            &self,
            family: Family,
            _: &[u8],
            _: &[u8],
            _: &mut Visit<'_>,
        ) -> Result<(), StoreError> {
            if family != self.0 {
                return Ok(());
            }
            Err(StoreError::Damaged {
                family: family.name(),
                detail: "a block's checksum".to_owned(),
            })
        }
    }

    fn map(id: NodeId) -> Arc<VersionedMap> {
        let member = Member {
            id,
            name: "n1".to_owned(),
            peer_addresses: vec!["127.0.0.1:1".to_owned()],
            client_addresses: vec!["127.0.0.1:2".to_owned()],
            zone: Default::default(),
            weight: Default::default(),
        };
        let placed = Placed {
            id,
            zone: Default::default(),
            weight: Default::default(),
        };
        let props = BucketProps {
            n: 1,
            mode: BucketMode::Siblings,
            defaults: Default::default(),
        };
        let map = ClusterMap {
            cluster: ClusterId::new(1, 2),
            name: "test".to_owned(),
            format_level: FORMAT_LEVEL,
            members: vec![member],
            ring: Ring::first(PartitionCount::new(8).unwrap(), 1, &[placed]).unwrap(),
            buckets: vec![Bucket {
                id: BucketId::new(1),
                name: "b".to_owned(),
                revision: 1,
                props,
            }],
        };
        Arc::new(VersionedMap::created(map, 0))
    }

    fn open(damaged: Family) -> Replica {
        let node = NodeId::new(1);
        let config = ReplicaConfig {
            node,
            shard: 0,
            shards: 1,
            token_key: [7; 32],
            seed: [1; 32],
            timing: Timing::default(),
        };
        Replica::open(config, map(node), Now::default(), &Damaged(damaged)).unwrap()
    }

    #[test]
    fn a_vnode_with_an_unreadable_record_log_or_request_list_opens_and_says_so() {
        for family in [Family::Vnodes, Family::Log, Family::Requests] {
            let vnodes = open(family).status().vnodes;
            assert_eq!(vnodes.len(), 8);
            assert!(
                vnodes.iter().all(|vnode| vnode.damaged && !vnode.current),
                "{family:?}"
            );
        }
    }

    #[test]
    fn unreadable_hints_are_noted_and_keep_nobody_from_opening() {
        let mut replica = open(Family::Hints);
        assert!(replica.status().vnodes.iter().all(|vnode| !vnode.damaged));
        let noted = crate::Effect::Note(Note::DamageFound);
        assert!(replica.finish().effects.contains(&noted));
    }
}
