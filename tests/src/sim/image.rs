//! All records of a disk, and how written batches are undone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::{Batch, Family, Write};

pub(super) type Records = BTreeMap<Vec<u8>, Bytes>;

/// All families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image([Records; Family::ALL.len()]);

impl Image {
    pub(super) fn family(&self, family: Family) -> &Records {
        &self.0[slot(family)]
    }

    /// Applies a batch; returns what was there before each of its writes.
    pub(super) fn apply(&mut self, batch: &Batch) -> Vec<Before> {
        let replaced = |write: &Write| match write {
            Write::Put { family, key, value } => {
                Before::One(self.set(*family, key, Some(value.clone())))
            }
            Write::Delete { family, key } => Before::One(self.set(*family, key, None)),
            Write::Clear { family, from, to } => {
                let inside = |key: &Vec<u8>, _: &mut Bytes| from <= key && key < to;
                Before::Range(self.0[slot(*family)].extract_if(.., inside).collect())
            }
        };
        batch.writes.iter().map(replaced).collect()
    }

    pub(super) fn undo(&mut self, written: Written) {
        for (write, before) in written.batch.writes.iter().zip(written.before).rev() {
            match (write, before) {
                (
                    Write::Put { family, key, .. } | Write::Delete { family, key },
                    Before::One(before),
                ) => {
                    self.set(*family, key, before);
                }
                (
                    Write::Put { family, .. }
                    | Write::Delete { family, .. }
                    | Write::Clear { family, .. },
                    Before::Range(before),
                ) => self.0[slot(*family)].extend(before),
                (Write::Clear { .. }, Before::One(_)) => {}
            }
        }
    }

    pub(super) fn set(
        &mut self,
        family: Family,
        key: &[u8],
        value: Option<Bytes>,
    ) -> Option<Bytes> {
        let records = &mut self.0[slot(family)];
        match (value, records.get_mut(key)) {
            (Some(value), Some(old)) => Some(std::mem::replace(old, value)),
            (Some(value), None) => records.insert(key.to_vec(), value),
            (None, _) => records.remove(key),
        }
    }
}

pub(super) const fn slot(family: Family) -> usize {
    match family {
        Family::Objects => 0,
        Family::Chunks => 1,
        Family::Hints => 2,
        Family::Log => 3,
        Family::Vnodes => 4,
        Family::Requests => 5,
        Family::Expiry => 6,
    }
}

/// A batch that is not synced, and what it replaced.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) batch: Arc<Batch>,
    pub(super) before: Vec<Before>,
}

/// What was there before one write.
#[derive(Clone, Debug)]
pub(super) enum Before {
    One(Option<Bytes>),
    Range(Vec<(Vec<u8>, Bytes)>),
}
