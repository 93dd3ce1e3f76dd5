//! Who makes the versions: one winner for each number, by the rules, with whims.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_core::moves::{Heard, Word, next_version};
use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::{ClassRecord, ClassState, MapVersion, Place, VersionedMap};
use quorate_ring::{Class, NodeId, PartitionId, Ring, RingParts};

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

/// The version in which the class stands so, and in which the ring wants it where it goes.
fn with(version: &VersionedMap, record: ClassRecord) -> Arc<VersionedMap> {
    let goal = if record.new.is_empty() {
        &record.old
    } else {
        &record.new
    };
    let nodes: Vec<NodeId> = goal.iter().map(|place| place.node).collect();
    let mut map = version.map.clone();
    map.ring = aimed_at(&map.ring, &nodes);
    Arc::new(VersionedMap {
        version: version.version.next(),
        records: vec![record],
        map,
        ..version.clone()
    })
}

/// The ring with these nodes as those of the class.
fn aimed_at(ring: &Ring, nodes: &[NodeId]) -> Ring {
    let mut parts = ring.to_parts();
    let index = |node: &NodeId| {
        let mut members = parts.members.iter();
        let at = members.position(|member| member.id == *node);
        at.and_then(|at| u16::try_from(at).ok()).unwrap()
    };
    let indices: Vec<u16> = nodes.iter().map(index).collect();
    parts.places[..indices.len()].copy_from_slice(&indices);
    Ring::from_parts(RingParts {
        version: ring.version().next(),
        parent: Some(ring.digest()),
        ..parts
    })
    .unwrap()
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
    let mut words = words.clone();
    let record = record_of(version);
    match wrong {
        Some(Wrong::NoBarrier) => words
            .values_mut()
            .for_each(|word| word.version = version.version),
        Some(Wrong::ClaimNotAwaited) => {
            for place in record.newcomers() {
                if let Some(word) = words.get_mut(&place.node) {
                    word.complete.push(quorate_core::moves::Complete {
                        class: CLASS,
                        vnode: place.vnode,
                        epoch: record.epoch,
                    });
                }
            }
        }
        _ => {}
    }
    let heard = Heard {
        words,
        ..Heard::default()
    };
    let mut records = next_version(version, &heard)?.draft.records;
    if wrong == Some(Wrong::NoJointNew)
        && let Some(record) = records
            .first_mut()
            .filter(|record| record.state == ClassState::JointNew)
    {
        let old = std::mem::take(&mut record.old);
        record.old = std::mem::take(&mut record.new);
        let left = old
            .into_iter()
            .filter(|place| !record.old.contains(place))
            .collect::<Vec<_>>();
        record.departing.extend(left);
        record.state = ClassState::Stable;
    }
    Some(with(version, records.pop()?))
}

/// A place for each of these nodes: the one it has, or a new one.
fn places(
    record: &ClassRecord,
    nodes: &[NodeId],
    version: &VersionedMap,
    wrong: Option<Wrong>,
) -> Vec<Place> {
    let fresh = VnodeId::new(version.version.next().get());
    let had = |node: NodeId| {
        let left = record.departing.iter().find(|place| place.node == node);
        left.filter(|_| wrong == Some(Wrong::VnodeIdReused))
            .map(|place| place.vnode)
    };
    let place = |&node: &NodeId| {
        let known = record.old.iter().find(|place| place.node == node).copied();
        known.unwrap_or_else(|| Place {
            node,
            vnode: had(node).unwrap_or(fresh),
        })
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
        ClassState::Stable => aim(&mut record, version, running, dice, wrong)?,
        ClassState::JointOld if dice.chance(50) => {
            cancel(&mut record);
        }
        ClassState::JointOld => {
            if wrong == Some(Wrong::MovesOverlap) {
                let new = record.new.clone();
                leave(&mut record, &new);
                record.old = new;
                record.new.clear();
            } else {
                let newcomers: Vec<Place> = record.newcomers().collect();
                record.departing.extend(newcomers);
            }
            aim(&mut record, version, running, dice, wrong)?;
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
    wrong: Option<Wrong>,
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
    record.new = places(record, &nodes, version, wrong);
    if record.new.iter().all(|place| record.old.contains(place)) {
        return None;
    }
    let new = record.new.clone();
    record.departing.retain(|place| !new.contains(place));
    record.state = ClassState::JointOld;
    Some(())
}
