//! One node: its replica, its disk with what is not fsynced, its map.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use quorate_core::Family;
use quorate_core::effects::{Effect, Input, Now, Step, When};
use quorate_core::moves::Word;
use quorate_core::{Plant, Replica, ReplicaConfig, Timing, Write};
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::wrong::Wrong;

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) replica: Option<Replica>,
    disk: Disk,
    synced: Disk,
    tail: Vec<(u64, Vec<Write>)>,
    parked: Vec<(u64, Effect)>,
    pub(crate) wants_sync: bool,
    /// The version on its disk, and the one before.
    pub(crate) version: Arc<VersionedMap>,
    before: Option<Arc<VersionedMap>>,
    /// What it said last.
    pub(crate) word: Option<Word>,
}

impl Node {
    pub(crate) fn new(id: NodeId, version: Arc<VersionedMap>) -> Self {
        Self {
            id,
            replica: None,
            disk: Disk::default(),
            synced: Disk::default(),
            tail: Vec::new(),
            parked: Vec::new(),
            wants_sync: false,
            version,
            before: None,
            word: None,
        }
    }

    pub(crate) fn open(
        &mut self,
        seed: u64,
        now: Now,
        timing: Timing,
        wrong: Option<Wrong>,
        besides: Option<Plant>,
    ) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let config = ReplicaConfig {
            node: self.id,
            shard: 0,
            shards: 1,
            token_key: [7; 32],
            seed: bytes,
            timing,
        };
        let mut replica =
            Replica::open(config, Arc::clone(&self.version), now, &self.disk).unwrap();
        let broken = match wrong {
            Some(Wrong::Replica(plant)) => Some(plant),
            Some(_) | None => None,
        };
        for plant in broken.into_iter().chain(besides) {
            replica.plant(plant);
        }
        self.replica = Some(replica);
    }

    /// Gives an input; what can be performed at once comes back.
    pub(crate) fn give(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let Some(replica) = &mut self.replica else {
            return Vec::new();
        };
        replica.handle(now, input, &self.disk);
        let step = replica.finish();
        self.word = Some(replica.word());
        self.write(step)
    }

    fn write(&mut self, step: Step) -> Vec<Effect> {
        self.disk.write(&step.batch.writes);
        if let Some(seq) = step.seq {
            self.tail.push((seq, step.batch.writes));
        }
        self.wants_sync |= step.sync_soon;
        let last = self.tail.last().map(|(seq, _)| *seq);
        let mut now = Vec::new();
        for effect in step.effects {
            let waits = matches!(
                effect,
                Effect::Send {
                    when: When::Synced,
                    ..
                }
            );
            match last.filter(|_| waits) {
                Some(seq) => self.parked.push((seq, effect)),
                None => now.push(effect),
            }
        }
        now
    }

    /// Everything written is fsynced.
    pub(crate) fn sync(&mut self, now: Now) -> Vec<Effect> {
        self.wants_sync = false;
        let Some((last, _)) = self.tail.last() else {
            return Vec::new();
        };
        let last = *last;
        for (_, writes) in self.tail.drain(..) {
            self.synced.write(&writes);
        }
        let mut effects: Vec<Effect> = self.parked.drain(..).map(|(_, effect)| effect).collect();
        effects.extend(self.give(now, Input::Synced(last)));
        effects
    }

    /// What is on its disk.
    pub(crate) fn records(&self, family: Family) -> BTreeMap<Vec<u8>, Bytes> {
        self.disk.records(family)
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.tail.is_empty()
    }

    /// It dies. By a power cut some of the end of what it wrote is gone.
    pub(crate) fn die(&mut self, power_cut: bool, dice: &mut Dice) {
        let kept = dice.below(self.tail.len() + 1);
        self.die_with(power_cut.then_some(kept));
    }

    /// It dies. By a power cut only so many of its last batches are there afterwards.
    pub(crate) fn die_with(&mut self, kept: Option<usize>) {
        self.replica = None;
        self.parked.clear();
        if let Some(kept) = kept {
            self.tail.truncate(kept);
            if let Some(before) = self.before.take() {
                self.version = before;
            }
        }
        for (_, writes) in self.tail.drain(..) {
            self.synced.write(&writes);
        }
        self.disk = self.synced.clone();
    }

    /// A record is gone from its disk, without a sign.
    pub(crate) fn lose(&mut self, family: Family, key: &[u8]) {
        self.disk.lose(family, key);
        self.synced.lose(family, key);
    }

    /// All objects on its disk become unreadable.
    pub(crate) fn damage_objects(&mut self) {
        let family = Family::Objects;
        let objects = self.disk.records(family).into_keys();
        let garbage = objects.map(|key| Write::Put {
            family,
            key,
            value: Bytes::from_static(b"garbage"),
        });
        let garbage: Vec<Write> = garbage.collect();
        self.disk.write(&garbage);
        self.synced.write(&garbage);
    }

    /// Takes a newer version: on disk first, unless that is the bug.
    pub(crate) fn adopt(
        &mut self,
        now: Now,
        version: Arc<VersionedMap>,
        wrong: Option<Wrong>,
    ) -> Vec<Effect> {
        let before = std::mem::replace(&mut self.version, Arc::clone(&version));
        if wrong == Some(Wrong::AdoptedUnsynced) {
            self.before.get_or_insert(before);
        }
        self.give(now, Input::Map(version))
    }
}
