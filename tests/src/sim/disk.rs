//! A node's disk: what the process sees, what survives a power cut, and what can go wrong with it.
//!
//! A batch is written whole. A killed process loses nothing that it wrote. A power cut keeps
//! everything synced, and a prefix of the batches written since, as a log that is cut off somewhere.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::record::{Lost, lost_marks};
use quorate_core::store::Visit;
use quorate_core::{Batch, Family, Store, StoreError, Write};

use super::dice::Dice;
use super::image::{Image, Written, slot};

/// What the next writes of a disk do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writes {
    /// They work.
    #[default]
    Work,
    /// The next one fails. Whether its bytes arrived all the same, the writer is not told.
    FailOnce {
        /// Whether they did.
        arrived: bool,
    },
}

/// A disk as it was once.
#[derive(Clone, Debug)]
pub struct Copy {
    image: Image,
    /// The last batch in it.
    pub upto: u64,
}

/// One node's disk. Batches are numbered from 1 over all lives of the node.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    live: Image,
    unsynced: VecDeque<Written>,
    written: u64,
    /// What the next write does.
    pub writes: Writes,
    /// Reads that fail, of a thousand, and the dice for it.
    reads: Option<RefCell<(Dice, u32)>>,
    /// Records that fail their checksum.
    damaged: BTreeSet<(usize, Vec<u8>)>,
    /// Whether somebody has read one of them.
    met: Cell<bool>,
}

impl Disk {
    /// Writes a batch; returns its number if it arrived, and whether the writer is told so.
    pub fn commit(&mut self, batch: &Arc<Batch>) -> (Option<u64>, bool) {
        let works = match std::mem::take(&mut self.writes) {
            Writes::Work => true,
            Writes::FailOnce { arrived: false } => return (None, false),
            Writes::FailOnce { arrived: true } => false,
        };
        if !self.damaged.is_empty() {
            for write in &batch.writes {
                match write {
                    Write::Put { family, key, .. } | Write::Delete { family, key } => {
                        self.damaged.remove(&(slot(*family), key.clone()));
                    }
                    Write::Clear { family, from, to } => self
                        .damaged
                        .retain(|(of, key)| *of != slot(*family) || key < from || key >= to),
                }
            }
        }
        let before = self.live.apply(batch);
        self.unsynced.push_back(Written {
            batch: Arc::clone(batch),
            before,
        });
        self.written += 1;
        (Some(self.written), works)
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
        while self.synced() < upto && self.unsynced.pop_front().is_some() {}
    }

    /// The power goes off: of the batches that are not synced the first `kept` survive. Returns how
    /// many are lost.
    pub fn power_cut(&mut self, kept: usize) -> usize {
        let lost = self.unsynced.split_off(kept.min(self.unsynced.len()));
        let count = lost.len();
        lost.into_iter()
            .rev()
            .for_each(|written| self.live.undo(written));
        self.unsynced.clear();
        count
    }

    /// Batches that a power cut could lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The disk as it is now.
    #[must_use]
    pub fn copy(&self) -> Copy {
        Copy {
            image: self.live.clone(),
            upto: self.written,
        }
    }

    /// Puts an old copy in its place.
    pub fn restore(&mut self, copy: Copy) {
        self.live = copy.image;
        self.unsynced.clear();
        self.damaged.clear();
        self.met.set(false);
    }

    /// Writes to it while no process runs on it.
    pub fn amend(&mut self, batch: &Batch) {
        self.live.apply(batch);
    }

    /// Puts an empty disk in its place.
    pub fn wipe(&mut self) {
        self.restore(Copy {
            image: Image::default(),
            upto: 0,
        });
    }

    /// From now on so many of a thousand reads fail; 0: none.
    pub fn fail_reads(&mut self, permille: u32, dice: Dice) {
        self.reads = (permille > 0).then(|| RefCell::new((dice, permille)));
    }

    /// Whether reads may fail now.
    #[must_use]
    pub const fn reads_fail(&self) -> bool {
        self.reads.is_some()
    }

    /// Flips bits in one record that is there, drawn by chance. Returns its family.
    pub fn damage(&mut self, dice: &mut Dice) -> Option<Family> {
        let families = Family::ALL.iter();
        let filled: Vec<Family> = families
            .copied()
            .filter(|family| !self.live.family(*family).is_empty())
            .collect();
        let family = *dice.pick(&filled)?;
        let records = self.live.family(family);
        let key = records.keys().nth(dice.index(records.len()))?;
        self.damaged.insert((slot(family), key.clone()));
        Some(family)
    }

    /// A record vanishes without a sign.
    pub fn vanish(&mut self, family: Family, key: &[u8]) {
        self.damaged.remove(&(slot(family), key.to_vec()));
        self.live.set(family, key, None);
    }

    /// Whether a damaged record was met: storage is to be opened again.
    #[must_use]
    pub fn met_damage(&self) -> bool {
        self.met.get()
    }

    /// Something reads what is damaged, as a compaction does some time.
    pub fn meet_damage(&self) {
        self.met.set(!self.damaged.is_empty());
    }

    /// As storage does when it is opened again after it met damage: goes on without all damaged records
    /// and marks the vnodes of which something could have been there.
    pub fn leave_damage_out(&mut self) {
        self.met.set(false);
        let mut lost = Vec::new();
        for (of, key) in std::mem::take(&mut self.damaged) {
            self.live.set(Family::ALL[of], &key, None);
            let behind = [&key[..], &[0]].concat();
            lost.push(Lost {
                family: Family::ALL[of],
                range: (key, behind),
            });
        }
        // Nothing is damaged any more, and this is no time for devices that do not answer.
        let reads = self.reads.take();
        let marks = lost_marks(self, &lost).unwrap_or_default();
        self.reads = reads;
        self.live.apply(&Batch { writes: marks });
    }

    /// Records that fail their checksum.
    #[must_use]
    pub fn damaged_records(&self) -> usize {
        self.damaged.len()
    }

    /// The live records of a family, in order.
    pub fn records(&self, family: Family) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.live
            .family(family)
            .iter()
            .map(|(key, value)| (key.as_slice(), value))
    }

    /// # Errors
    /// The device does not answer, this time.
    fn try_read(&self) -> Result<(), StoreError> {
        let Some(reads) = &self.reads else {
            return Ok(());
        };
        let (dice, permille) = &mut *reads.borrow_mut();
        if dice.chance(*permille) {
            Err(StoreError::Failed("input/output error".to_owned()))
        } else {
            Ok(())
        }
    }

    /// # Errors
    /// The record fails its checksum.
    fn check(&self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        if !self.damaged.is_empty() && self.damaged.contains(&(slot(family), key.to_vec())) {
            self.met.set(true);
            return Err(StoreError::Damaged {
                family: family.name(),
                detail: "a block fails its checksum".to_owned(),
            });
        }
        Ok(())
    }
}

impl Store for Disk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.try_read()?;
        self.check(family, key)?;
        Ok(self.live.family(family).get(key).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.try_read()?;
        if from >= to {
            return Ok(());
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        for (key, value) in self.live.family(family).range::<[u8], _>(range) {
            self.check(family, key)?;
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

    fn put(key: u8) -> Arc<Batch> {
        Arc::new(Batch {
            writes: vec![Write::Put {
                family: Family::Objects,
                key: vec![key],
                value: Bytes::from_static(b"v"),
            }],
        })
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
            disk.commit(&put(key));
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
        disk.commit(&put(1));
        assert_eq!(keys(&disk), [1]);
        assert_eq!(disk.unsynced(), 1);
    }

    #[test]
    fn a_scan_is_half_open_and_ordered() {
        let mut disk = Disk::default();
        [3, 1, 2].into_iter().for_each(|key| {
            disk.commit(&put(key));
        });
        let mut seen = Vec::new();
        let scanned = disk.scan(Family::Objects, &[1], &[3], &mut |key, _| {
            seen.push(key[0]);
            ControlFlow::Continue(())
        });
        assert_eq!((scanned, seen), (Ok(()), vec![1, 2]));
    }

    #[test]
    fn a_power_cut_brings_back_what_lost_batches_replaced_and_removed() {
        let mut disk = Disk::default();
        [1, 2].into_iter().for_each(|key| {
            disk.commit(&put(key));
        });
        disk.sync(2);
        let delete = |key: u8| Write::Delete {
            family: Family::Objects,
            key: vec![key],
        };
        let batch = Arc::new(Batch {
            writes: vec![delete(1), delete(1), delete(2)],
        });
        disk.commit(&batch);
        disk.commit(&put(3));
        assert_eq!(keys(&disk), [3]);
        assert_eq!(disk.power_cut(0), 2);
        assert_eq!(keys(&disk), [1, 2]);
    }

    #[test]
    fn a_write_fails_once_with_or_without_effect() {
        let mut disk = Disk {
            writes: Writes::FailOnce { arrived: false },
            ..Disk::default()
        };
        assert_eq!(disk.commit(&put(1)), (None, false));
        disk.writes = Writes::FailOnce { arrived: true };
        assert_eq!(disk.commit(&put(2)), (Some(1), false));
        assert_eq!(disk.commit(&put(3)), (Some(2), true));
        assert_eq!(keys(&disk), [2, 3]);
    }

    #[test]
    fn a_damaged_record_is_told_until_it_is_written_again() {
        let mut disk = Disk::default();
        disk.commit(&put(1));
        assert_eq!(
            disk.damage(&mut Dice::new(1, "damage")),
            Some(Family::Objects)
        );
        let read = |disk: &Disk| disk.get(Family::Objects, &[1]);
        let scan = |disk: &Disk| {
            disk.scan(Family::Objects, &[0], &[9], &mut |_, _| {
                ControlFlow::Continue(())
            })
        };
        assert!(matches!(read(&disk), Err(StoreError::Damaged { .. })));
        assert!(matches!(scan(&disk), Err(StoreError::Damaged { .. })));
        disk.commit(&put(1));
        assert!(read(&disk).is_ok() && scan(&disk).is_ok());
    }

    #[test]
    fn what_is_damaged_is_left_out_once_it_was_met_and_its_vnode_is_marked() {
        use quorate_core::record::keys;
        use quorate_ring::{BucketId, Class, PartitionId};

        let class = Class {
            n: 3,
            partition: PartitionId::new(5),
        };
        let put = |family, key| Write::Put {
            family,
            key,
            value: Bytes::new(),
        };
        let object = keys::object_key(class, BucketId::new(1), b"k");
        let mut disk = Disk::default();
        disk.commit(&Arc::new(Batch {
            writes: vec![put(Family::Objects, object.clone())],
        }));
        disk.damage(&mut Dice::new(1, "damage"));
        disk.commit(&Arc::new(Batch {
            writes: vec![put(Family::Vnodes, keys::vnode_key(class))],
        }));
        assert!(!disk.met_damage());
        assert!(disk.get(Family::Objects, &object).is_err() && disk.met_damage());
        disk.leave_damage_out();
        assert!(!disk.met_damage());
        assert_eq!(disk.get(Family::Objects, &object), Ok(None));
        let mark = disk.get(Family::Vnodes, &keys::lost_key(class));
        assert_eq!(mark, Ok(Some(Bytes::new())));
    }

    #[test]
    fn reads_fail_as_often_as_asked() {
        let mut disk = Disk::default();
        let failed = |disk: &Disk| {
            (0..1000)
                .filter(|_| disk.get(Family::Objects, &[1]).is_err())
                .count()
        };
        disk.fail_reads(300, Dice::new(1, "reads"));
        assert!((200..400).contains(&failed(&disk)));
        disk.fail_reads(0, Dice::new(1, "reads"));
        assert_eq!(failed(&disk), 0);
    }

    #[test]
    fn an_old_copy_forgets_and_an_empty_disk_knows_nothing() {
        let mut disk = Disk::default();
        disk.commit(&put(1));
        let old = disk.copy();
        disk.commit(&put(2));
        disk.restore(old);
        assert_eq!((keys(&disk), disk.written()), (vec![1], 2));
        disk.wipe();
        assert!(keys(&disk).is_empty());
    }
}
