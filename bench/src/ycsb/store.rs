//! The keys of a run: how many there are, and what this program wrote to each last.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_client::{Bucket, Context, Error, Write};

use crate::workload::Workload;

/// A bucket, and what is known of its keys.
pub(super) struct Store {
    bucket: Bucket,
    workload: Workload,
    known: Mutex<Known>,
    reads_first: AtomicU64,
}

#[derive(Default)]
struct Known {
    /// For the next write to a key; none where the last one left siblings.
    contexts: HashMap<u64, Context>,
    /// Keys below this are written, or failed for good.
    written: u64,
    /// Written before some with lower numbers.
    ahead: BTreeSet<u64>,
    /// The next new key.
    next: u64,
    /// Numbers of writes: each value is another one.
    writes: u64,
}

impl Store {
    pub(super) fn new(bucket: Bucket, workload: Workload) -> Self {
        Self {
            bucket,
            workload,
            known: Mutex::default(),
            reads_first: AtomicU64::new(0),
        }
    }

    /// Keys that reads may ask for: `0..written`.
    pub(super) fn written(&self) -> u64 {
        self.known().written
    }

    /// Updates so far that had to read before they wrote.
    pub(super) fn reads_first(&self) -> u64 {
        self.reads_first.load(Ordering::Relaxed)
    }

    /// Whether the key holds something.
    pub(super) async fn read(&self, key: u64) -> Result<bool, Error> {
        let read = self.bucket.get(self.workload.key(key)).send().await?;
        Ok(read.is_found())
    }

    /// Replaces what was written last; reads before where that is not known.
    pub(super) async fn update(&self, key: u64) -> Result<(), Error> {
        let context = self.known().contexts.remove(&key);
        let context = match context {
            Some(context) => context,
            None => {
                self.reads_first.fetch_add(1, Ordering::Relaxed);
                let read = self.bucket.get(self.workload.key(key)).head();
                read.send().await?.context
            }
        };
        self.put(key, Some(context)).await
    }

    /// Whether there was something to replace.
    pub(super) async fn read_modify_write(&self, key: u64) -> Result<bool, Error> {
        let read = self.bucket.get(self.workload.key(key)).send().await?;
        let found = read.is_found();
        self.put(key, Some(read.context)).await?;
        Ok(found)
    }

    /// Writes the next new key.
    pub(super) async fn insert(&self) -> Result<(), Error> {
        let key = {
            let mut known = self.known();
            known.next += 1;
            known.next - 1
        };
        let done = self.put(key, None).await;
        self.known().settle(key);
        done
    }

    async fn put(&self, key: u64, context: Option<Context>) -> Result<(), Error> {
        let write = {
            let mut known = self.known();
            known.writes += 1;
            known.writes
        };
        let value = Bytes::from(self.workload.value(key, write));
        let mut put = self.bucket.put(self.workload.key(key), value);
        if let Some(context) = context {
            put = put.context(context);
        }
        let Write { context, .. } = put.send().await?;
        let mut known = self.known();
        match context {
            Some(context) => known.contexts.insert(key, context),
            None => known.contexts.remove(&key),
        };
        Ok(())
    }

    /// Never held while anything is waited for.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// An insert has ended: all keys below the first that has not may be read.
    fn settle(&mut self, key: u64) {
        self.ahead.insert(key);
        while self.ahead.remove(&self.written) {
            self.written += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_only_when_all_before_it_are_written() {
        let mut known = Known::default();
        let mut after = |key| {
            known.settle(key);
            known.written
        };
        assert_eq!([after(1), after(0), after(3), after(2)], [0, 2, 2, 4]);
    }
}
