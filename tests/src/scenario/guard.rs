//! Values that nobody changes while classes move, and what must be so of their copies at every moment: there are never
//! fewer than n, and each node of the set that is read has one. So no copy goes before the version of the map that is
//! decided says that its successors are complete.

use quorate_core::causality::Object;
use quorate_core::record::{decode_hint, decode_object, keys};
use quorate_core::{Family, Store};

use super::failure::Failure;
use super::request::put;
use super::walk::{BUCKET, Walk};
use crate::sim::history::{Key, WriteId};
use crate::sim::workload::request_of;

/// Copies of every value.
const COPIES: usize = 3;

/// Values that rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    keys: Vec<Key>,
    broken: Option<Failure>,
}

impl Walk<'_> {
    /// Writes so many values, to all their primaries, and watches their copies from now on.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn guard(&mut self, keys: u32) -> Result<(), Failure> {
        let first = self.world.config.keys;
        self.world.config.keys = first + keys;
        let bucket = BUCKET;
        let keys: Vec<Key> = (first..first + keys)
            .map(|number| Key { bucket, number })
            .collect();
        for &key in &keys {
            self.put_at(&put("rests").of(key).w(3).silently(), None)?;
        }
        self.idle()?;
        self.say(format!(
            "{} values rest on three nodes each, and are watched",
            keys.len()
        ));
        let broken = None;
        self.guard = Some(Guard { keys, broken });
        Ok(())
    }

    /// Demands that no copy was missed up to now.
    ///
    /// # Errors
    /// One was.
    pub fn check_guard(&mut self) -> Result<(), Failure> {
        let broken = self.guard.as_mut().and_then(|guard| guard.broken.take());
        broken.map_or(Ok(()), Err)
    }

    /// Nobody watches any more.
    ///
    /// # Errors
    /// A copy was missed.
    pub fn end_guard(&mut self) -> Result<(), Failure> {
        self.check_guard()?;
        self.guard = None;
        Ok(())
    }

    pub(super) fn look_after(&mut self) {
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        if guard.broken.is_none() {
            let missed = guard.keys.iter().find_map(|&key| self.missed_copy(key));
            guard.broken = missed.map(|is| Failure::Unlike {
                what: "copies of a value that rests".to_owned(),
                should: "on all nodes that are read, and three at least".to_owned(),
                is,
            });
        }
        self.guard = Some(guard);
    }

    /// Whether there is an object of a key on the disk of the node at a place.
    #[must_use]
    pub fn has_object(&self, place: usize, key: Key) -> bool {
        let storage_key = keys::object_key(self.class(key), key.bucket, &key.bytes());
        let disk = &self.world.nodes[place].disk;
        matches!(disk.get(Family::Objects, &storage_key), Ok(Some(_)))
    }

    /// Whether the node at a place holds a write, as an object or as a hint.
    #[must_use]
    pub fn holds(&self, place: usize, key: Key, write: WriteId) -> bool {
        let request = request_of(write);
        let has = |object: &Object| {
            let mut versions = object.versions.iter();
            versions.any(|version| version.request == request)
        };
        let disk = &self.world.nodes[place].disk;
        let storage_key = keys::object_key(self.class(key), key.bucket, &key.bytes());
        let record = disk.get(Family::Objects, &storage_key).ok().flatten();
        let object = record.and_then(|record| decode_object(&storage_key, &record).ok());
        if object.is_some_and(|object| has(&object)) {
            return true;
        }
        let mut hints = disk.records(Family::Hints);
        hints.any(|(hint_key, record)| {
            hint_key.ends_with(&storage_key)
                && decode_hint(hint_key, record).is_ok_and(|hint| has(&hint.object))
        })
    }

    fn missed_copy(&self, key: Key) -> Option<String> {
        let standing = self.standing(key);
        let nodes = 0..self.world.nodes.len();
        let there: Vec<usize> = nodes.filter(|&place| self.has_object(place, key)).collect();
        let has = |id: &quorate_ring::NodeId| there.iter().any(|&place| self.id(place) == *id);
        let missing = standing
            .read
            .iter()
            .find(|id| !standing.dead.contains(id) && !has(id));
        let copies = there.len();
        if missing.is_none() && (copies >= COPIES || !standing.dead.is_empty()) {
            return None;
        }
        let there: Vec<_> = there.iter().map(|&place| self.id(place)).collect();
        Some(format!(
            "{key} is at {there:?}, and its class stands as {standing:?}"
        ))
    }
}
