//! Opening a replica from storage: vnodes, clocks and logs, hints, request ids.

use std::ops::ControlFlow;
use std::sync::Arc;

use quorate_protocol::ids::{RequestId, StorageId, VnodeId};
use quorate_protocol::map::ClusterMap;
use quorate_ring::{Class, NodeId, PartitionId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::causality::Clock;
use crate::effects::Now;
use crate::hints::HintShelf;
use crate::record::{LogKind, VnodeRecord, decode_log, decode_vnode, keys};
use crate::replica::Replica;
use crate::replicate::collect::Collector;
use crate::shared::Shared;
use crate::store::{BatchSeq, Family, Store, StoreError};
use crate::timing::Timing;
use crate::token::TokenKey;
use crate::view::View;
use crate::vnode::Vnode;

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
        map: Arc<ClusterMap>,
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
        shared.hints = HintShelf::open(store, owns)?;
        shared.load_vnodes(store)?;
        shared.add_missing_vnodes();
        let classes: Vec<Class> = shared.vnodes.keys().copied().collect();
        for &class in &classes {
            shared.replay_log(store, class)?;
        }
        let requests = load_requests(store, &classes)?;
        Ok(Self::assemble(
            shared,
            Collector::open(requests, now.mono_us),
        ))
    }
}

fn load_requests(
    store: &dyn Store,
    classes: &[Class],
) -> Result<Vec<(Class, RequestId)>, StoreError> {
    let mut requests = Vec::new();
    for &class in classes {
        let (from, to) = keys::request_range(class);
        store.scan(Family::Requests, &from, &to, &mut |key, _| {
            requests.extend(keys::parse_request_key(key));
            ControlFlow::Continue(())
        })?;
    }
    Ok(requests)
}

impl Shared {
    fn load_vnodes(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let (from, to) = keys::vnodes_range();
        let mut found: Vec<(Class, Option<VnodeRecord>)> = Vec::new();
        store.scan(Family::Vnodes, &from, &to, &mut |key, record| {
            if let Some(class) = keys::parse_vnode_key(key) {
                found.push((class, decode_vnode(key, record).ok()));
            }
            ControlFlow::Continue(())
        })?;
        for (class, record) in found {
            let placed = self.view.primaries(class).contains(&self.view.me);
            if !self.owns(class.partition) || !placed {
                continue;
            }
            let damaged = record.is_none();
            let record = record.unwrap_or_else(|| self.fresh_record());
            self.vnodes.insert(class, Vnode::new(class, record));
            if damaged {
                self.mark_damaged(class);
            }
        }
        Ok(())
    }

    fn fresh_record(&mut self) -> VnodeRecord {
        VnodeRecord {
            vnode: VnodeId::new(self.draw()),
            storage: StorageId::new(self.draw()),
            ring: self.view.map.ring.version(),
            clock: Clock::new(),
            actors: Default::default(),
            damaged: false,
        }
    }

    /// Adds the vnodes that the map gives this node and that it does not have yet.
    pub(crate) fn add_missing_vnodes(&mut self) -> Vec<Class> {
        let mut copies: Vec<u8> = self
            .view
            .map
            .buckets
            .iter()
            .map(|bucket| bucket.props.n)
            .collect();
        copies.sort_unstable();
        copies.dedup();
        let partitions = self.view.map.ring.partitions().get();
        let last = u16::try_from(partitions.saturating_sub(1)).unwrap_or(u16::MAX);
        let mut fresh = Vec::new();
        for partition in (0..=last)
            .map(PartitionId::new)
            .filter(|&partition| self.owns(partition))
        {
            for &n in &copies {
                let class = Class { n, partition };
                let placed = self.view.primaries(class).contains(&self.view.me);
                if placed && !self.vnodes.contains_key(&class) {
                    fresh.push(class);
                }
            }
        }
        for &class in &fresh {
            let record = self.fresh_record();
            self.vnodes.insert(class, Vnode::new(class, record));
            self.store_vnode(class);
        }
        fresh
    }

    /// The clock on disk is a checkpoint; the log has what came since.
    fn replay_log(&mut self, store: &dyn Store, class: Class) -> Result<(), StoreError> {
        let (from, to) = keys::log_range(class);
        let (mut dots, mut deletes, mut damaged) = (Vec::new(), Vec::new(), false);
        let scanned = store.scan(Family::Log, &from, &to, &mut |key, record| {
            if let Some((_, dot)) = keys::parse_log_key(key) {
                dots.push(dot);
                match decode_log(key, record) {
                    Ok(entry) if entry.kind == LogKind::Delete => deletes.push((dot, entry)),
                    Ok(_) => {}
                    Err(_) => damaged = true,
                }
            }
            ControlFlow::Continue(())
        });
        match scanned {
            Err(StoreError::Damaged { .. }) => self.mark_damaged(class),
            Err(error @ StoreError::Failed(_)) => return Err(error),
            Ok(()) if damaged => self.mark_damaged(class),
            Ok(()) => {}
        }
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.log_entries = dots.len() as u64;
            for dot in dots {
                vnode.clock.add(dot);
            }
            for (dot, entry) in deletes {
                vnode.remember_delete(dot, entry.bucket, entry.key);
            }
            vnode.durable = vnode.clock.clone();
        }
        Ok(())
    }

    /// Everything up to this batch is fsynced.
    pub(crate) fn take_synced(&mut self, seq: BatchSeq) {
        while let Some(&(written, class, dot)) = self.unsynced.front() {
            if written > seq {
                return;
            }
            self.unsynced.pop_front();
            if let Some(vnode) = self.vnodes.get_mut(&class)
                && vnode.durable.add(dot)
            {
                vnode.revision += 1;
            }
        }
    }
}
