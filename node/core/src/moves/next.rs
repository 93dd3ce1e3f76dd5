//! The next version of the map: what may be done, given what all members have said.
//!
//! One version takes as many classes as possible a step further. It is a function of the present version and of the
//! members' words, so it does not matter who computes it, nor whether several do: of their proposals one is decided.

use std::collections::BTreeMap;

use quorate_protocol::versioned::{ClassRecord, ClassState, MapVersion, VersionedMap};
use quorate_ring::NodeId;

use super::Word;

/// What a version does to one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// All newcomers are complete: the new set is read.
    ReadNew,
    /// All members read the new set: the old one is not written any more.
    Settle,
    /// Copies without a place are gone.
    Forget,
}

/// The records of the version after this one, and how many classes take which step; `None` where nothing can be done yet.
///
/// A class goes on only when every node of both its sets, but those that are called dead, works under its present epoch:
/// so never more than two epochs are in use by nodes that count.
#[must_use]
pub fn next_version(
    version: &VersionedMap,
    words: &BTreeMap<NodeId, Word>,
) -> Option<(Vec<ClassRecord>, BTreeMap<Step, usize>)> {
    let next = version.version.next();
    let mut steps = BTreeMap::new();
    let mut records = version.records.clone();
    for record in &mut records {
        if let Some(step) = advance(record, next, words) {
            *steps.entry(step).or_default() += 1;
        }
    }
    (!steps.is_empty()).then_some((records, steps))
}

fn advance(
    record: &mut ClassRecord,
    next: MapVersion,
    words: &BTreeMap<NodeId, Word>,
) -> Option<Step> {
    match record.state {
        ClassState::Stable => forget(record, words).then_some(Step::Forget),
        _ if !is_adopted(record, words) => None,
        ClassState::JointOld => {
            let complete = record.newcomers().all(|place| {
                let word = words.get(&place.node);
                record.is_dead(place.node)
                    || word.is_some_and(|word| {
                        word.complete.iter().any(|complete| {
                            (complete.class, complete.vnode, complete.epoch)
                                == (record.class, place.vnode, record.epoch)
                        })
                    })
            });
            complete.then(|| {
                record.state = ClassState::JointNew;
                begin(record, next);
                Step::ReadNew
            })
        }
        ClassState::JointNew => {
            let old = std::mem::take(&mut record.old);
            record.old = std::mem::take(&mut record.new);
            let left = old.into_iter().filter(|place| !record.old.contains(place));
            record.departing.extend(left.collect::<Vec<_>>());
            let stays = |node: &NodeId| record.old.iter().any(|place| place.node == *node);
            record.dead.retain(stays);
            record.state = ClassState::Stable;
            begin(record, next);
            Some(Step::Settle)
        }
    }
}

const fn begin(record: &mut ClassRecord, next: MapVersion) {
    record.before = record.epoch;
    record.epoch = next;
}

/// Whether every node that counts works under the class's present epoch.
fn is_adopted(record: &ClassRecord, words: &BTreeMap<NodeId, Word>) -> bool {
    let places = record.places();
    let mut counted = places.iter().filter(|place| !record.is_dead(place.node));
    counted.all(|place| {
        let word = words.get(&place.node);
        word.is_some_and(|word| word.version >= record.epoch)
    })
}

/// Copies that their nodes have deleted depart no longer.
fn forget(record: &mut ClassRecord, words: &BTreeMap<NodeId, Word>) -> bool {
    let (class, epoch) = (record.class, record.epoch);
    let before = record.departing.len();
    record.departing.retain(|place| {
        let gone = words.get(&place.node).is_some_and(|word| {
            word.version >= epoch && !word.departing.contains(&(class, place.vnode))
        });
        !gone
    });
    record.departing.len() < before
}
