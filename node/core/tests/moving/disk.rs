//! What is on a node's disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_core::store::Visit;
use quorate_core::{Family, Store, StoreError, Write};

#[derive(Clone, Default)]
pub(crate) struct Disk(BTreeMap<Family, BTreeMap<Vec<u8>, Bytes>>);

impl Disk {
    pub(crate) fn records(&self, family: Family) -> BTreeMap<Vec<u8>, Bytes> {
        self.0.get(&family).cloned().unwrap_or_default()
    }

    pub(crate) fn lose(&mut self, family: Family, key: &[u8]) {
        self.0.entry(family).or_default().remove(key);
    }

    pub(crate) fn write(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put { family, key, value } => {
                    let records = self.0.entry(*family).or_default();
                    records.insert(key.clone(), value.clone());
                }
                Write::Delete { family, key } => {
                    self.0.entry(*family).or_default().remove(key);
                }
                Write::Clear { family, from, to } => {
                    let records = self.0.entry(*family).or_default();
                    records.retain(|key, _| key < from || key >= to);
                }
            }
        }
    }
}

impl Store for Disk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let records = self.0.get(&family);
        Ok(records.and_then(|records| records.get(key)).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if let Some(records) = self.0.get(&family) {
            for (key, value) in records.range(from.to_vec()..to.to_vec()) {
                if visit(key, value) == ControlFlow::Break(()) {
                    break;
                }
            }
        }
        Ok(())
    }
}
