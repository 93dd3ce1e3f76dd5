//! Storage in memory, with a live and a durable image so that a test can cut the power.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_core::store::{Batch, Family, Store, StoreError, Visit, Write};

use super::Storage;

/// Entries copied out at a time by a scan, so that its visitor may read the store.
const SCAN_PAGE: usize = 256;

type Entry = (Vec<u8>, Bytes);

/// One ordered map for each family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image([BTreeMap<Vec<u8>, Bytes>; Family::ALL.len()]);

impl Image {
    fn family(&self, family: Family) -> &BTreeMap<Vec<u8>, Bytes> {
        &self.0[family as usize]
    }

    fn apply(&mut self, batch: &Batch) {
        for write in &batch.writes {
            match write {
                Write::Put { family, key, value } => {
                    self.0[*family as usize].insert(key.clone(), value.clone());
                }
                Write::Delete { family, key } => {
                    self.0[*family as usize].remove(key);
                }
                Write::Clear { family, from, to } => {
                    self.0[*family as usize].retain(|key, _| key < from || key >= to);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    /// What reads see.
    live: Image,
    /// What a power cut leaves at the least.
    durable: Image,
    /// Batches in `live` and not in `durable`, in commit order.
    unsynced: VecDeque<Batch>,
    /// What every commit and sync answers until the next reopening.
    failing: Option<StoreError>,
    /// Families whose reads answer that they are damaged.
    damaged: Option<Family>,
}

/// Storage that ends with the process.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: all that was synced stays, and of the batches committed since then the
    /// first `keep`, as if the device had written them on its own account.
    pub fn cut_power(&self, keep: usize) {
        let mut state = self.state();
        let kept: Vec<Batch> = state.unsynced.drain(..).take(keep).collect();
        for batch in &kept {
            state.durable.apply(batch);
        }
        state.live = state.durable.clone();
    }

    /// A storage with the same contents, live and durable: what a new process finds, while the old
    /// one, killed in the eyes of all others, still runs on this.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            state: Mutex::new(self.state().clone()),
        }
    }

    /// Batches that a power cut may lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Makes every commit and sync fail until [`Storage::reopen`] is called after
    /// `fail(None)`.
    pub fn fail(&self, error: Option<StoreError>) {
        self.state().failing = error;
    }

    /// Makes every read of one family answer that its data is damaged.
    pub fn damage(&self, family: Option<Family>) {
        self.state().damaged = family;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole batches behind: each is applied under one lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(
        &self,
        family: Family,
        from: Bound<&[u8]>,
        to: &[u8],
    ) -> Result<Vec<Entry>, StoreError> {
        let state = self.state();
        state.check_readable(family)?;
        let empty = match from {
            Bound::Included(from) | Bound::Excluded(from) => from >= to,
            Bound::Unbounded => false,
        };
        if empty {
            return Ok(Vec::new());
        }
        let range = state
            .live
            .family(family)
            .range::<[u8], _>((from, Bound::Excluded(to)));
        Ok(range
            .take(SCAN_PAGE)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl State {
    fn check_readable(&self, family: Family) -> Result<(), StoreError> {
        match self.damaged {
            Some(damaged) if damaged == family => Err(StoreError::Damaged {
                family: family.name(),
                detail: "damaged by a test".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        self.failing.clone().map_or(Ok(()), Err)
    }
}

impl Store for Memory {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.state();
        state.check_readable(family)?;
        Ok(state.live.family(family).get(key).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut page = self.page(family, Bound::Included(from), to)?;
        while let Some((last, _)) = page.last().cloned() {
            for (key, value) in &page {
                if visit(key, value).is_break() {
                    return Ok(());
                }
            }
            page = self.page(family, Bound::Excluded(&last), to)?;
        }
        Ok(())
    }
}

impl Storage for Memory {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.state();
        state.check_writable()?;
        state.live.apply(batch);
        state.unsynced.push_back(batch.clone());
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.check_writable()?;
        let State {
            durable, unsynced, ..
        } = &mut *state;
        for batch in unsynced.drain(..) {
            durable.apply(&batch);
        }
        Ok(())
    }

    /// Its damage is simulated and stays.
    fn is_damaged(&self) -> bool {
        false
    }

    fn gaps(&self) -> u64 {
        0
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.state().check_writable()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn put(key: &str) -> Batch {
        let write = Write::Put {
            family: Family::Objects,
            key: key.as_bytes().to_vec(),
            value: Bytes::from_static(b"v"),
        };
        Batch {
            writes: vec![write],
        }
    }

    fn has(store: &Memory, key: &str) -> bool {
        store
            .get(Family::Objects, key.as_bytes())
            .unwrap()
            .is_some()
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let store = Memory::new();
        store.commit(&put("a")).unwrap();
        store.sync().unwrap();
        store.commit(&put("b")).unwrap();
        store.commit(&put("c")).unwrap();
        assert_eq!(store.unsynced(), 2);
        store.cut_power(1);
        assert!(has(&store, "a") && has(&store, "b") && !has(&store, "c"));
        store.cut_power(0);
        assert!(has(&store, "b"), "what survived one cut is durable");
    }

    #[test]
    fn a_failing_store_takes_nothing_until_it_is_reopened() {
        let store = Memory::new();
        let error = StoreError::Failed("no space".to_owned());
        store.fail(Some(error.clone()));
        assert_eq!(store.commit(&put("a")), Err(error.clone()));
        assert_eq!(store.reopen(), Err(error));
        store.fail(None);
        store.reopen().unwrap();
        assert!(!has(&store, "a"));
        store.commit(&put("a")).unwrap();
        assert!(has(&store, "a"));
    }
}
