//! A11: where three zones or more have members to place data on, no two places of one set are in one zone, in any
//! version of the map that was ever decided, for classes of at most as many copies as there are zones.
//!
//! Judged where members never change their zones: who does leaves classes behind that were placed by its old one.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::versioned::{ClassState, VersionedMap};
use quorate_ring::{Class, NodeId, Zone};

/// How many zones have members to place data on.
#[must_use]
pub fn count(version: &VersionedMap) -> usize {
    let targets = version.map.ring.members().iter();
    let zones: BTreeSet<&Zone> = targets.map(|placed| &placed.zone).collect();
    zones.len()
}

/// What is wrong with a version.
#[must_use]
pub fn crowded(version: &VersionedMap) -> Option<String> {
    let zone_of: BTreeMap<NodeId, &Zone> = version
        .map
        .members
        .iter()
        .map(|member| (member.id, &member.zone))
        .collect();
    let targets = version.map.ring.members().iter();
    let zones: BTreeSet<&Zone> = targets
        .filter_map(|placed| zone_of.get(&placed.id).copied())
        .collect();
    if zones.len() < 3 {
        return None;
    }
    let shared = |class: Class, set: &[NodeId]| {
        let taken: BTreeSet<&Zone> = set
            .iter()
            .filter_map(|node| zone_of.get(node).copied())
            .collect();
        (usize::from(class.n) <= zones.len() && taken.len() < set.len())
            .then(|| format!("class {class} has two places in one zone: {set:?} of {zone_of:?}"))
    };
    let ring = &version.map.ring;
    let used: BTreeSet<u8> = version
        .map
        .buckets
        .iter()
        .map(|bucket| bucket.props.n)
        .collect();
    let classes = ring.partitions().partitions();
    let classes = classes.flat_map(|partition| used.iter().map(move |&n| Class { n, partition }));
    let wanted = classes.filter_map(|class| shared(class, ring.primaries(class)));
    let stand = version.records.iter().flat_map(|record| {
        let sets = match record.state {
            ClassState::Stable => vec![&record.old],
            ClassState::JointOld | ClassState::JointNew => vec![&record.old, &record.new],
        };
        let nodes = |set: &Vec<quorate_protocol::versioned::Place>| {
            set.iter().map(|place| place.node).collect()
        };
        sets.into_iter()
            .map(nodes)
            .map(move |set: Vec<NodeId>| (record.class, set))
            .collect::<Vec<_>>()
    });
    wanted
        .chain(stand.filter_map(|(class, set)| shared(class, &set)))
        .next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quorate_protocol::ids::VnodeId;
    use quorate_protocol::versioned::{ClassRecord, MapVersion, Place};

    use super::*;
    use crate::sim::config::Config;

    fn zoned() -> VersionedMap {
        let seeds = 0..200;
        let mut configs = seeds.map(Config::draw);
        let config = configs.find(|config| config.turnover.zoned).unwrap();
        VersionedMap::created(config.map, 0)
    }

    #[test]
    fn a_drawn_map_of_three_zones_keeps_them_apart() {
        assert_eq!(crowded(&zoned()), None);
    }

    #[test]
    fn two_places_in_one_zone_are_caught_in_either_set() {
        let mut version = zoned();
        let class = Class {
            n: 3,
            partition: quorate_ring::PartitionId::new(0),
        };
        let members = version.map.members.clone();
        let first = members[0].clone();
        let same = members[1..].iter().find(|member| member.zone == first.zone);
        let other = members.iter().find(|member| member.zone != first.zone);
        let place = |node| Place {
            node,
            vnode: VnodeId::FOUNDING,
        };
        let mut record = ClassRecord {
            class,
            epoch: MapVersion::FIRST,
            before: MapVersion::new(0),
            state: ClassState::JointOld,
            old: vec![place(first.id), place(other.unwrap().id)],
            new: vec![place(other.unwrap().id)],
            dead: Vec::new(),
            departing: Vec::new(),
        };
        version.records = vec![record.clone()];
        assert_eq!(crowded(&version), None);
        record.new = vec![place(first.id), place(same.unwrap().id)];
        version.records = vec![record];
        assert!(crowded(&version).is_some());
    }
}
