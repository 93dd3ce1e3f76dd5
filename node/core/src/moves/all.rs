//! All classes take their steps.

use std::collections::BTreeMap;

use quorate_protocol::versioned::{ClassRecord, Going, VersionedMap};
use quorate_ring::{Class, Ring};

use super::Step;
use super::class::{Mover, equals_no_record, founding, is_on};
use super::heard::Index;

/// How many classes, members or votes take which step.
pub type Steps = BTreeMap<Step, usize>;

/// Every n that some bucket has. There are records of no other.
pub(super) fn copies_in_use(version: &VersionedMap) -> Vec<u8> {
    version.uses.iter().map(|one| one.n).collect()
}

/// Where every class in use stands, with a record or without, in order.
pub(super) fn standings(version: &VersionedMap) -> impl Iterator<Item = ClassRecord> + '_ {
    let ring = &version.map.ring;
    let classes = copies_in_use(version).into_iter().flat_map(|n| {
        let partitions = ring.partitions().partitions();
        partitions.map(move |partition| Class { n, partition })
    });
    let mut records = version.records.iter().peekable();
    classes.map(move |class| {
        let recorded = records.next_if(|record| record.class == class);
        recorded.map_or_else(|| founding(version, class), ClassRecord::clone)
    })
}

/// The records of the next version, whose ring is this one and from which these members go.
pub(super) fn advance(
    version: &VersionedMap,
    ring: &Ring,
    going: &[Going],
    heard: &Index,
) -> (Vec<ClassRecord>, Steps) {
    let mover = Mover::new(version.version.next(), ring, going, heard);
    let mut steps = Steps::new();
    let mut take = |mut record: ClassRecord| {
        for step in mover.advance(&mut record) {
            *steps.entry(step).or_default() += 1;
        }
        record
    };
    // While the ring stays, a class without a record stands where it should.
    let stays = ring.digest() == version.map.ring.digest();
    let records: Vec<ClassRecord> = if stays {
        version.records.iter().cloned().map(&mut take).collect()
    } else {
        standings(version).map(&mut take).collect()
    };
    let said = records
        .into_iter()
        .filter(|record| !equals_no_record(version, record, ring));
    (said.collect(), steps)
}

/// Whether every class stands where the ring wants it.
pub(super) fn is_finished(records: &[ClassRecord], ring: &Ring) -> bool {
    records.iter().all(|record| is_on(record, ring))
}
