//! Records that vanish from a disk without a sign, and how the world knows when that is made good.
//!
//! What vanishes has been at rest: objects with one version, no context and no log entry, pieces of such
//! values, and log entries. An object that vanishes while peers still ask for its writes could be passed on
//! as deleted before anybody can know better; no store without a second look at every read can prevent that.
//! Until a loss is found its node says in good faith that there is nothing: reads of that key that nobody else
//! answered prove nothing meanwhile.

use std::collections::BTreeSet;

use quorate_core::Family;
use quorate_core::causality::{Body, Object};
use quorate_core::record::decode_object;
use quorate_core::record::keys::{self, ChunkOwner};
use quorate_ring::Class;

use super::config::Config;
use super::converge;
use super::counters::Counter;
use super::dice::Dice;
use super::disk::Disk;
use super::history::Key;
use super::world::World;
use crate::checkers::{Blind, Violation};

/// A record that vanished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// From whose disk.
    pub node: usize,
    /// The key that reads of it concern; `None` for a log entry.
    pub key: Option<Key>,
    /// When, microseconds.
    pub from_us: u64,
    /// From then on all is whole again; the end of time while it is not.
    pub until_us: u64,
}

/// What of a disk may vanish: a record, and the key that it belongs to.
type Candidate = (Family, Vec<u8>, Option<Key>);

impl Config {
    /// Lets records vanish, whole objects too if so wanted. No value has a single copy then.
    pub fn let_records_vanish(&mut self, objects: bool) {
        (self.faults.vanish, self.faults.vanish_objects) = (true, objects);
        for bucket in &mut self.map.buckets {
            bucket.props.n = bucket.props.n.max(2);
        }
    }
}

/// Lets records vanish in some seeds, and scrubs come soon.
pub(super) fn draw(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "vanished records");
    if !dice.chance(300) {
        return;
    }
    config.scrub_every_us = dice.between(2_000_000, 10_000_000);
    config.scrub_bytes_per_s = if dice.chance(500) {
        16 * 1024
    } else {
        1024 * 1024
    };
    config.let_records_vanish(dice.chance(600));
}

impl World<'_> {
    pub(super) fn vanish(&mut self, node: usize, records: u64) {
        for _ in 0..records {
            let objects = self.config.faults.vanish_objects;
            let candidates = candidates(&self.nodes[node].disk, objects, &mut self.dice);
            let Some((family, storage_key, key)) = candidates else {
                continue;
            };
            self.nodes[node].disk.vanish(family, &storage_key);
            self.counters.count(Counter::World(match family {
                Family::Objects => "an object vanished",
                Family::Chunks => "a piece of a long value vanished",
                Family::Log
                | Family::Hints
                | Family::Vnodes
                | Family::Requests
                | Family::Expiry => "a log entry vanished",
            }));
            self.vanished.push(Vanished {
                node,
                key,
                from_us: self.at_us,
                until_us: u64::MAX,
            });
            *self.to_be_found.entry(node).or_default() += 1;
        }
    }

    /// A disk lost its tail, and with it perhaps what was done about losses that had been found.
    pub(super) fn lose_again(&mut self, node: usize) {
        let of_it = |vanished: &&Vanished| vanished.node == node;
        let lost = self.vanished.iter().filter(of_it).count();
        *self.to_be_found.entry(node).or_default() += lost;
    }

    /// I18: a scrub that finds a loss where nothing was lost takes a whole vnode out of service.
    pub(super) fn judge_find(&mut self, node: usize) {
        let id = self.nodes[node].id;
        self.trace
            .say(self.at_us, || format!("{id} finds a silent loss"));
        let left = self.to_be_found.entry(node).or_default();
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None => {
                let why = format!("{id} found a silent loss, and nothing had vanished from it");
                self.violations.push(Violation::general("I18", why));
            }
        }
    }

    /// What reads could not know, and when.
    #[must_use]
    pub fn blind(&self) -> Vec<Blind> {
        let of_a_key = |vanished: &Vanished| {
            Some(Blind {
                key: vanished.key?,
                from_us: vanished.from_us,
                until_us: vanished.until_us,
            })
        };
        self.vanished.iter().filter_map(of_a_key).collect()
    }

    /// Takes note of losses that are made good.
    pub(super) fn look_after_the_vanished(&mut self) {
        let lost: BTreeSet<usize> = self
            .vanished
            .iter()
            .filter(|vanished| vanished.until_us == u64::MAX)
            .map(|vanished| vanished.node)
            .collect();
        for node in lost {
            if converge::lost(&self.nodes[node]).is_none() && self.is_rebuilt(node) {
                let at_us = self.at_us;
                let open = |vanished: &&mut Vanished| {
                    vanished.node == node && vanished.until_us == u64::MAX
                };
                let mended = self.vanished.iter_mut().filter(open);
                mended.for_each(|vanished| vanished.until_us = at_us);
            }
        }
    }
}

/// Something of a disk at rest, by chance.
fn candidates(disk: &Disk, objects: bool, dice: &mut Dice) -> Option<Candidate> {
    let logged: BTreeSet<(Class, Vec<u8>)> = disk
        .records(Family::Log)
        .filter_map(|(key, record)| {
            let (class, _) = keys::parse_log_key(key)?;
            let entry = quorate_core::record::decode_log(key, record).ok()?;
            Some((class, keys::object_key(class, entry.bucket, &entry.key)))
        })
        .collect();
    let resting: Vec<(Class, Vec<u8>, Key, Object)> = disk
        .records(Family::Objects)
        .filter_map(|(storage_key, record)| {
            let (class, bucket, name) = keys::parse_object_key(storage_key)?;
            let object = decode_object(storage_key, record).ok()?;
            let rests = object.versions.len() == 1
                && object.context.is_empty()
                && class.n > 1
                && !logged.contains(&(class, storage_key.to_vec()));
            Some((
                class,
                storage_key.to_vec(),
                Key::parse(bucket, name)?,
                object,
            ))
            .filter(|_| rests)
        })
        .collect();
    if objects && dice.chance(500) {
        let (_, storage_key, key, _) = dice.pick(&resting)?;
        return Some((Family::Objects, storage_key.clone(), Some(*key)));
    }
    let piece = dice.chance(500).then(|| a_piece(&resting, dice));
    piece.flatten().or_else(|| a_log_entry(disk, dice))
}

fn a_log_entry(disk: &Disk, dice: &mut Dice) -> Option<Candidate> {
    let entries: Vec<Vec<u8>> = disk
        .records(Family::Log)
        .filter(|(key, _)| keys::parse_log_key(key).is_some_and(|(class, _)| class.n > 1))
        .map(|(key, _)| key.to_vec())
        .collect();
    Some((Family::Log, dice.pick(&entries)?.clone(), None))
}

fn a_piece(resting: &[(Class, Vec<u8>, Key, Object)], dice: &mut Dice) -> Option<Candidate> {
    let long: Vec<(Vec<u8>, Key)> = resting
        .iter()
        .filter_map(|(class, _, key, object)| {
            let version = object.versions.first()?;
            let Body::Chunked { pieces, .. } = version.body else {
                return None;
            };
            let owner = ChunkOwner::Vnode;
            let last = pieces.checked_sub(1)?;
            Some((
                keys::chunk_key(owner, *class, key.bucket, version.dot, last),
                *key,
            ))
        })
        .collect();
    let (storage_key, key) = dice.pick(&long)?;
    Some((Family::Chunks, storage_key.clone(), Some(*key)))
}
