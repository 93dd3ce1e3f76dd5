//! Where a pass stands and what it has summed up, and how changes behind it count.

use bytes::Bytes;
use quorate_protocol::ids::{Dot, StorageId};
use quorate_ring::{BucketId, NodeId};

use crate::causality::Digest;
use crate::record::KeyPlace;

/// What is read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Objects after this one.
    Objects(Option<KeyPlace>),
    /// Log entries after this one.
    Log(Option<Dot>),
    /// Hints for this node or a later one, after this key.
    Hints(Option<(NodeId, Option<KeyPlace>)>),
}

/// One pass over one vnode.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    storage: StorageId,
    urgent: bool,
    stage: Stage,
    sum: Digest,
    entries: u64,
    keys: u64,
}

impl Pass {
    pub(super) const fn new(storage: StorageId, urgent: bool) -> Self {
        Self {
            storage,
            urgent,
            stage: Stage::Objects(None),
            sum: Digest::EMPTY,
            entries: 0,
            keys: 0,
        }
    }

    /// The storage that it reads: one that forgot begins anew.
    pub(super) const fn storage(&self) -> StorageId {
        self.storage
    }

    /// Whether something is suspected.
    pub(super) const fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub(super) const fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(super) fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// What the objects up to its place sum up to.
    pub(super) const fn sum(&self) -> Digest {
        self.sum
    }

    /// Log entries up to its place.
    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    /// Keys read so far.
    pub(crate) const fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn read_object(&mut self, part: Digest) {
        self.sum.add(part);
        self.keys += 1;
    }

    pub(super) fn read_entries(&mut self, count: u64) {
        self.entries += count;
    }

    /// An object changes: behind its place that counts, before it it will be read.
    pub(crate) fn object_changes(
        &mut self,
        bucket: BucketId,
        key: &Bytes,
        gone: Digest,
        come: Digest,
    ) {
        let behind = match &self.stage {
            Stage::Objects(after) => after
                .as_ref()
                .is_some_and(|last| (bucket, key) <= (last.0, &last.1)),
            Stage::Log(_) | Stage::Hints(_) => true,
        };
        if behind {
            self.sum.take(gone);
            self.sum.add(come);
        }
    }

    fn is_behind(&self, dot: Dot) -> bool {
        match &self.stage {
            Stage::Objects(_) => false,
            Stage::Log(after) => after.is_some_and(|last| dot <= last),
            Stage::Hints(_) => true,
        }
    }

    /// A log entry is written.
    pub(crate) fn entry_comes(&mut self, dot: Dot) {
        self.entries += u64::from(self.is_behind(dot));
    }

    /// A log entry is removed.
    pub(crate) fn entry_goes(&mut self, dot: Dot) {
        self.entries = self.entries.saturating_sub(u64::from(self.is_behind(dot)));
    }
}
