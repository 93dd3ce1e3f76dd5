//! A node's disk: what the process sees (live) and what survives a power cut (durable).
//!
//! A batch is written whole. A killed process loses nothing that it wrote. A power cut keeps
//! everything synced, and a prefix of the batches written since, as a log that is cut off somewhere.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use quorate_core::store::Visit;
use quorate_core::{Batch, Family, Store, StoreError, Write};

type Records = BTreeMap<Vec<u8>, Bytes>;

/// One image of all families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image([Records; Family::ALL.len()]);

impl Image {
    fn family(&self, family: Family) -> &Records {
        &self.0[slot(family)]
    }

    fn apply(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Put { family, key, value } => {
                    self.0[slot(*family)].insert(key.clone(), value.clone());
                }
                Write::Delete { family, key } => {
                    self.0[slot(*family)].remove(key);
                }
            }
        }
    }
}

const fn slot(family: Family) -> usize {
    match family {
        Family::Objects => 0,
        Family::Chunks => 1,
        Family::Hints => 2,
        Family::Log => 3,
        Family::Vnodes => 4,
        Family::Requests => 5,
    }
}

/// One node's disk. Batches are numbered from 1 over all lives of the node.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    live: Image,
    durable: Image,
    unsynced: VecDeque<Batch>,
    written: u64,
}

impl Disk {
    /// Writes a batch; returns its number.
    pub fn commit(&mut self, batch: Batch) -> u64 {
        self.live.apply(&batch);
        self.unsynced.push_back(batch);
        self.written += 1;
        self.written
    }

    /// Batches written so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Batches synced so far.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.written - self.unsynced.len() as u64
    }

    /// Everything up to this batch is durable from now on.
    pub fn sync(&mut self, upto: u64) {
        while self.synced() < upto {
            let Some(batch) = self.unsynced.pop_front() else {
                return;
            };
            self.durable.apply(&batch);
        }
    }

    /// The power goes off: of the batches that are not synced the first `kept` survive. Returns how
    /// many are lost.
    pub fn power_cut(&mut self, kept: usize) -> usize {
        let lost = self.unsynced.split_off(kept.min(self.unsynced.len()));
        let kept: Vec<Batch> = self.unsynced.drain(..).collect();
        kept.iter().for_each(|batch| self.durable.apply(batch));
        self.live = self.durable.clone();
        lost.len()
    }

    /// Batches that a power cut could lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The live records of a family, in order.
    pub fn records(&self, family: Family) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.live
            .family(family)
            .iter()
            .map(|(key, value)| (key.as_slice(), value))
    }
}

impl Store for Disk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.live.family(family).get(key).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        for (key, value) in self.live.family(family).range::<[u8], _>(range) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn put(key: u8) -> Batch {
        Batch {
            writes: vec![Write::Put {
                family: Family::Objects,
                key: vec![key],
                value: Bytes::from_static(b"v"),
            }],
        }
    }

    fn keys(disk: &Disk) -> Vec<u8> {
        disk.records(Family::Objects)
            .map(|(key, _)| key[0])
            .collect()
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let mut disk = Disk::default();
        (1..=4).for_each(|key| {
            disk.commit(put(key));
        });
        disk.sync(2);
        assert_eq!((disk.synced(), disk.unsynced()), (2, 2));
        assert_eq!(disk.power_cut(1), 1);
        assert_eq!(keys(&disk), [1, 2, 3]);
        assert_eq!(disk.unsynced(), 0);
    }

    #[test]
    fn a_killed_process_loses_nothing_it_wrote() {
        let mut disk = Disk::default();
        disk.commit(put(1));
        assert_eq!(keys(&disk), [1]);
        assert_eq!(disk.unsynced(), 1);
    }

    #[test]
    fn a_scan_is_half_open_and_ordered() {
        let mut disk = Disk::default();
        [3, 1, 2].into_iter().for_each(|key| {
            disk.commit(put(key));
        });
        let mut seen = Vec::new();
        let scanned = disk.scan(Family::Objects, &[1], &[3], &mut |key, _| {
            seen.push(key[0]);
            ControlFlow::Continue(())
        });
        assert_eq!((scanned, seen), (Ok(()), vec![1, 2]));
    }
}
