//! Who makes the versions: one winner for each number, by the rules, with whims.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_core::moves::{Complete, Word};
use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::{ClassRecord, ClassState, MapVersion, Place, VersionedMap};
use quorate_ring::{Class, NodeId, PartitionId};

use crate::dice::Dice;
use crate::wrong::Wrong;

pub(crate) const CLASS: Class = Class {
    n: 3,
    partition: PartitionId::new(0),
};

type Words = BTreeMap<NodeId, Word>;

/// The record of the one class, also where the ring says it all.
pub(crate) fn record_of(version: &VersionedMap) -> ClassRecord {
    let founding = |&node: &NodeId| Place {
        node,
        vnode: VnodeId::FOUNDING,
    };
    version
        .records
        .first()
        .cloned()
        .unwrap_or_else(|| ClassRecord {
            class: CLASS,
            epoch: MapVersion::FIRST,
            before: MapVersion::new(0),
            state: ClassState::Stable,
            old: version
                .map
                .ring
                .primaries(CLASS)
                .iter()
                .map(founding)
                .collect(),
            new: Vec::new(),
            dead: Vec::new(),
            departing: Vec::new(),
        })
}

fn with(version: &VersionedMap, record: ClassRecord) -> Arc<VersionedMap> {
    Arc::new(VersionedMap {
        version: version.version.next(),
        records: vec![record],
        ..version.clone()
    })
}

/// Whether everybody who counts works under the present epoch.
fn is_adopted(record: &ClassRecord, words: &Words) -> bool {
    let places = record.places();
    let mut counted = places.iter().filter(|place| !record.is_dead(place.node));
    counted.all(|place| {
        words
            .get(&place.node)
            .is_some_and(|word| word.version >= record.epoch)
    })
}

fn begin(record: &mut ClassRecord, version: &VersionedMap) {
    record.before = record.epoch;
    record.epoch = version.version.next();
}

/// The next step of what goes on, if there can be one.
pub(crate) fn go_on(
    version: &VersionedMap,
    words: &Words,
    wrong: Option<Wrong>,
) -> Option<Arc<VersionedMap>> {
    let mut record = record_of(version);
    if record.state == ClassState::Stable {
        return forget(&mut record, words).then(|| with(version, record));
    }
    if !is_adopted(&record, words) && wrong != Some(Wrong::NoBarrier) {
        return None;
    }
    match record.state {
        ClassState::JointOld => {
            let complete = record
                .newcomers()
                .all(|place| is_complete(&record, place, words));
            if !complete {
                return None;
            }
            record.state = ClassState::JointNew;
            if wrong == Some(Wrong::NoJointNew) {
                settle(&mut record);
            }
        }
        ClassState::JointNew | ClassState::Stable => settle(&mut record),
    }
    begin(&mut record, version);
    Some(with(version, record))
}

/// Whether a newcomer has said, in this epoch, that it has all that the old members had.
fn is_complete(record: &ClassRecord, place: Place, words: &Words) -> bool {
    let claim = Complete {
        class: CLASS,
        vnode: place.vnode,
        epoch: record.epoch,
    };
    let word = words.get(&place.node);
    word.is_some_and(|word| word.complete.contains(&claim))
}

/// The new set is all there is.
fn settle(record: &mut ClassRecord) {
    let new = std::mem::take(&mut record.new);
    leave(record, &new);
    record.old = new;
    record.state = ClassState::Stable;
}

/// Copies that their nodes have deleted depart no longer.
fn forget(record: &mut ClassRecord, words: &Words) -> bool {
    let (epoch, before) = (record.epoch, record.departing.len());
    record.departing.retain(|place| {
        let word = words.get(&place.node);
        !word.is_some_and(|word| {
            word.version >= epoch && !word.departing.contains(&(CLASS, place.vnode))
        })
    });
    record.departing.len() < before
}

/// A place for each of these nodes: the one it has, or a new one.
fn places(record: &ClassRecord, nodes: &[NodeId], version: &VersionedMap) -> Vec<Place> {
    let fresh = VnodeId::new(version.version.next().get());
    let place = |&node: &NodeId| {
        let known = record.old.iter().find(|place| place.node == node);
        known.copied().unwrap_or(Place { node, vnode: fresh })
    };
    nodes.iter().map(place).collect()
}

/// A new move, another aim of one under way, or its end.
pub(crate) fn whim(
    version: &VersionedMap,
    words: &Words,
    running: &[NodeId],
    dice: &mut Dice,
    wrong: Option<Wrong>,
) -> Option<Arc<VersionedMap>> {
    let mut record = record_of(version);
    let barrier = is_adopted(&record, words) || wrong == Some(Wrong::NoBarrier);
    if !barrier {
        return None;
    }
    match record.state {
        ClassState::Stable => aim(&mut record, version, running, dice)?,
        ClassState::JointOld if dice.chance(50) => {
            cancel(&mut record);
        }
        ClassState::JointOld => {
            let newcomers: Vec<Place> = record.newcomers().collect();
            record.departing.extend(newcomers);
            aim(&mut record, version, running, dice)?;
        }
        ClassState::JointNew if wrong == Some(Wrong::CancelledAtOnce) => cancel(&mut record),
        ClassState::JointNew => record.state = ClassState::JointOld,
    }
    begin(&mut record, version);
    Some(with(version, record))
}

fn leave(record: &mut ClassRecord, stays: &[Place]) {
    let left = record.old.iter().filter(|place| !stays.contains(place));
    let left: Vec<Place> = left.copied().collect();
    record.departing.extend(left);
}

fn cancel(record: &mut ClassRecord) {
    let newcomers: Vec<Place> = record.newcomers().collect();
    record.departing.extend(newcomers);
    record.new.clear();
    record.state = ClassState::Stable;
}

/// Another set, with one or two other nodes than the old one has.
fn aim(
    record: &mut ClassRecord,
    version: &VersionedMap,
    running: &[NodeId],
    dice: &mut Dice,
) -> Option<()> {
    let mut nodes: Vec<NodeId> = record.old.iter().map(|place| place.node).collect();
    for _ in 0..=dice.below(2) {
        let others: Vec<NodeId> = running
            .iter()
            .copied()
            .filter(|node| !nodes.contains(node))
            .collect();
        let other = dice.pick(&others)?;
        let at = dice.below(nodes.len());
        nodes[at] = other;
    }
    record.new = places(record, &nodes, version);
    if record.new.iter().all(|place| record.old.contains(place)) {
        return None;
    }
    record.state = ClassState::JointOld;
    Some(())
}
