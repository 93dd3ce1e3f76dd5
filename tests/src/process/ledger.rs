//! What a cluster has acknowledged, and the check that it still holds it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use quorate_client::{Bucket, Delete, Dot, Error, Kind, Put, Read, Role, Write};

use super::{Cluster, Trouble};

/// One acknowledged write.
struct Entry {
    dot: Dot,
    value: Bytes,
    /// Whether a later acknowledged write or delete had seen it.
    replaced: bool,
}

/// All that is known about one key.
#[derive(Default)]
struct Page {
    entries: Vec<Entry>,
    /// Values of writes that ended in doubt: they may be there or not.
    doubts: Vec<Bytes>,
    /// Whether a replacement ended in doubt: what it had seen may be gone.
    may_be_replaced: Vec<Dot>,
}

/// Notes each write of a walk with its outcome. The keys are those of one bucket.
#[derive(Default)]
pub struct Ledger {
    pages: BTreeMap<String, Page>,
}

impl Ledger {
    /// Puts a value beside whatever is there.
    ///
    /// # Errors
    /// The write's own; the ledger has noted what that leaves open.
    pub async fn put(
        &mut self,
        bucket: &Bucket,
        key: &str,
        value: impl Into<Bytes>,
        tune: impl FnOnce(Put) -> Put,
    ) -> Result<Write, Error> {
        let value = value.into();
        let sent = tune(bucket.put(key, value.clone())).send().await;
        self.note(key, value, &[], sent)
    }

    /// Puts a value in the place of what was read.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn replace(
        &mut self,
        bucket: &Bucket,
        key: &str,
        value: impl Into<Bytes>,
        read: &Read,
        tune: impl FnOnce(Put) -> Put,
    ) -> Result<Write, Error> {
        let value = value.into();
        let sent = tune(bucket.put(key, value.clone()).context(read.context.clone()))
            .send()
            .await;
        self.note(key, value, &dots(read), sent)
    }

    /// Deletes what was read.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn delete(
        &mut self,
        bucket: &Bucket,
        key: &str,
        read: &Read,
        tune: impl FnOnce(Delete) -> Delete,
    ) -> Result<Write, Error> {
        let deleted = tune(bucket.delete(key).context(read.context.clone()))
            .send()
            .await;
        let page = self.pages.entry(key.to_owned()).or_default();
        match &deleted {
            Ok(_) => page.replaced(&dots(read)),
            Err(error) => page.doubt(error, None, &dots(read)),
        }
        deleted
    }

    /// Notes a write that was sent by other means, such as in a task of its own.
    ///
    /// # Errors
    /// The write's own, unchanged.
    pub fn note(
        &mut self,
        key: &str,
        value: Bytes,
        seen: &[Dot],
        sent: Result<Write, Error>,
    ) -> Result<Write, Error> {
        let page = self.pages.entry(key.to_owned()).or_default();
        match &sent {
            Ok(write) => page.acknowledged(write.dot, value, seen),
            Err(error) => page.doubt(error, Some(value), seen),
        }
        sent
    }

    /// Notes that acknowledged writes, sent by other means, had seen these versions of a key.
    pub fn replaced(&mut self, key: &str, seen: &[Dot]) {
        self.pages.entry(key.to_owned()).or_default().replaced(seen);
    }

    /// Reads every key with r=3 and compares: what was acknowledged and not replaced is there,
    /// nothing else is, and all three primaries hold the same.
    ///
    /// # Errors
    /// Names each key that differs, and how.
    pub async fn check(&self, cluster: &Cluster) -> Result<(), Trouble> {
        let mut wrong = String::new();
        for (key, page) in &self.pages {
            let read = cluster.bucket().get(key).r(3).explain().send().await;
            let read = read.map_err(Trouble::request(format!("the last read of {key}")))?;
            for difference in page.differences(&read) {
                // Writing to a string cannot fail.
                let _ = writeln!(wrong, "  {key}: {difference}");
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Trouble::Lost(wrong))
        }
    }
}

/// The versions that a read has returned.
fn dots(read: &Read) -> Vec<Dot> {
    read.siblings.iter().map(|value| value.dot).collect()
}

impl Page {
    fn acknowledged(&mut self, dot: Option<Dot>, value: Bytes, seen: &[Dot]) {
        self.replaced(seen);
        if let Some(dot) = dot {
            self.entries.push(Entry {
                dot,
                value,
                replaced: false,
            });
        }
    }

    fn replaced(&mut self, seen: &[Dot]) {
        let seen = |entry: &&mut Entry| seen.contains(&entry.dot);
        self.entries
            .iter_mut()
            .filter(seen)
            .for_each(|entry| entry.replaced = true);
    }

    fn doubt(&mut self, error: &Error, value: Option<Bytes>, seen: &[Dot]) {
        if error.kind() == Kind::InDoubt {
            self.doubts.extend(value);
            self.may_be_replaced.extend(seen);
        }
    }

    fn differences(&self, read: &Read) -> Vec<String> {
        let mut found = Vec::new();
        for entry in &self.entries {
            let there = read.siblings.iter().find(|value| value.dot == entry.dot);
            match there {
                Some(value) if value.data != entry.value => {
                    found.push(format!("the write {} has another value now", entry.dot));
                }
                Some(_) if entry.replaced => {
                    found.push(format!("the replaced write {} is back", entry.dot))
                }
                None if !entry.replaced && !self.may_be_replaced.contains(&entry.dot) => {
                    found.push(format!("the acknowledged write {} is not there", entry.dot));
                }
                Some(_) | None => {}
            }
        }
        for value in &read.siblings {
            let known = self.entries.iter().any(|entry| entry.dot == value.dot);
            if !known && !self.doubts.contains(&value.data) {
                found.push(format!("{} was never acknowledged nor in doubt", value.dot));
            }
        }
        found.extend(disagreement(read));
        found
    }
}

/// How the replicas of a read with `explain` differ.
fn disagreement(read: &Read) -> Option<String> {
    let mut parts = read.info.replicas.iter();
    let first = parts.next()?;
    let differs = read.info.replicas.len() != 3
        || parts.any(|part| part.dots != first.dots)
        || read
            .info
            .replicas
            .iter()
            .any(|part| part.role != Role::Primary);
    differs.then(|| format!("the replicas differ: {:?}", read.info.replicas))
}
