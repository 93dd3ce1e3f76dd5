//! A node's disk: what was written, which of it is damaged, and what opening it again leaves out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_core::record::{Lost, Restored, lost_marks, restored_writes};
use quorate_core::store::Visit;
use quorate_core::{Family, Store, StoreError, Write};
use quorate_protocol::map::ClusterMap;

#[derive(Clone, Default)]
pub struct Disk(
    BTreeMap<Family, BTreeMap<Vec<u8>, Bytes>>,
    /// Records that fail their checksum, until they are written again.
    BTreeSet<(Family, Vec<u8>)>,
    /// Whether one of them was read.
    Cell<bool>,
    /// Whether every read fails for now.
    bool,
    /// Damaged records of which a cache holds a good copy.
    RefCell<BTreeSet<(Family, Vec<u8>)>>,
);

impl Disk {
    pub fn entries(&self, family: Family) -> usize {
        self.0.get(&family).map_or(0, BTreeMap::len)
    }

    pub fn records(&self, family: Family) -> BTreeMap<Vec<u8>, Bytes> {
        self.0.get(&family).cloned().unwrap_or_default()
    }

    /// A record vanishes without a sign.
    pub fn lose(&mut self, family: Family, key: &[u8]) {
        let lost = self
            .0
            .get_mut(&family)
            .and_then(|records| records.remove(key));
        assert!(lost.is_some(), "there was nothing to lose");
    }

    /// A record is there that no replica wrote.
    pub fn forge(&mut self, family: Family, key: Vec<u8>, value: Bytes) {
        self.0.entry(family).or_default().insert(key, value);
    }

    pub fn damage(&mut self, family: Family, key: &[u8]) {
        self.1.insert((family, key.to_vec()));
    }

    /// Damages a record that a cache answers for.
    pub fn damage_behind_a_cache(&mut self, family: Family, key: &[u8]) {
        self.damage(family, key);
        self.4.get_mut().insert((family, key.to_vec()));
    }

    /// What storage does when it is opened again after it met damage.
    pub fn leave_damage_out(&mut self) {
        self.2.set(false);
        let lost: Vec<Lost> = std::mem::take(&mut self.1)
            .into_iter()
            .map(|(family, key)| {
                self.0.entry(family).or_default().remove(&key);
                let behind = [&key[..], &[0]].concat();
                let range = (key, behind);
                Lost { family, range }
            })
            .collect();
        let writes = lost_marks(self, &lost).unwrap();
        self.write(&writes);
    }

    /// What a node finds that was restored from a backup of this disk.
    pub fn restored(
        &self,
        restored: Restored,
        map: &ClusterMap,
        storages: std::ops::RangeFrom<u64>,
    ) -> Self {
        let mut disk = self.clone();
        let (has_peers, mut storages) = (|class| map.ring.primaries(class).len() > 1, storages);
        let mut draw = || storages.next().unwrap();
        let writes = restored_writes(self, restored, has_peers, &mut draw).unwrap();
        disk.write(&writes);
        disk
    }

    /// Reads fail from now on, or not any more.
    pub fn fail_reads(&mut self, fail: bool) {
        self.3 = fail;
    }

    pub(super) fn met_damage(&self) -> bool {
        self.2.get()
    }

    fn check(&self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        self.answers()?;
        let record = (family, key.to_vec());
        if self.1.contains(&record) && !self.4.borrow().contains(&record) {
            self.2.set(true);
            return Err(StoreError::Damaged {
                family: family.name(),
                detail: "a block fails its checksum".to_owned(),
            });
        }
        Ok(())
    }

    fn answers(&self) -> Result<(), StoreError> {
        if self.3 {
            return Err(StoreError::Failed("a read failed".to_owned()));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put { family, key, value } => {
                    self.1.remove(&(*family, key.clone()));
                    self.0
                        .entry(*family)
                        .or_default()
                        .insert(key.clone(), value.clone());
                }
                Write::Delete { family, key } => {
                    self.1.remove(&(*family, key.clone()));
                    self.0.entry(*family).or_default().remove(key);
                }
                Write::Clear { family, from, to } => {
                    self.1
                        .retain(|(of, key)| of != family || key < from || key >= to);
                    let records = self.0.entry(*family).or_default();
                    records.retain(|key, _| key < from || key >= to);
                }
            }
        }
    }
}

impl Store for Disk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check(family, key)?;
        Ok(self
            .0
            .get(&family)
            .and_then(|records| records.get(key))
            .cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.answers()?;
        let Some(records) = self.0.get(&family) else {
            return Ok(());
        };
        for (key, value) in records.range(from.to_vec()..to.to_vec()) {
            self.check(family, key)?;
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn forget_cached(&self) {
        self.4.take();
    }
}
