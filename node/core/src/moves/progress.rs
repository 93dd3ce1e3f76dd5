//! How far a change of the ring has come.

use std::collections::BTreeMap;

use quorate_protocol::versioned::{ClassState, Going, GoingState, VersionedMap};
use quorate_ring::NodeId;

use super::all::copies_in_use;
use super::class::is_on;
use super::heard::{Heard, Index};

/// How many classes and copies stand where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Classes that there are.
    pub classes: usize,
    /// Classes that stand somewhere else than the ring wants and have not set out.
    pub behind: usize,
    /// Classes that are written old and new, and read old.
    pub reading_old: usize,
    /// Classes that are written old and new, and read new.
    pub reading_new: usize,
    /// Copies that are to be and have not said that they are complete, by node.
    pub filling: BTreeMap<NodeId, usize>,
    /// Nodes that classes on their way wait for, and how many do: they are not known to work under the present epoch.
    pub awaited: BTreeMap<NodeId, usize>,
    /// Copies that were given up and are not known to be gone, by node.
    pub departing: BTreeMap<NodeId, usize>,
    /// Members that go.
    pub going: BTreeMap<NodeId, GoingState>,
    /// Whether it can be cancelled.
    pub can_be_cancelled: bool,
}

impl Progress {
    /// Whether nothing is under way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let under_way = self.behind + self.reading_old + self.reading_new;
        under_way == 0 && self.departing.is_empty() && self.going.is_empty()
    }
}

/// How far the change has come that is under way.
#[must_use]
pub fn progress(version: &VersionedMap, heard: &Heard) -> Progress {
    let ring = &version.map.ring;
    let index = Index::new(heard);
    let partitions = ring.partitions().get() as usize;
    let mut progress = Progress {
        classes: copies_in_use(version).len() * partitions,
        going: version
            .going
            .iter()
            .map(|going| (going.node, going.state))
            .collect(),
        can_be_cancelled: version.before.is_some(),
        ..Progress::default()
    };
    for record in &version.records {
        match record.state {
            ClassState::Stable if is_on(record, ring) => {}
            ClassState::Stable => progress.behind += 1,
            ClassState::JointNew => progress.reading_new += 1,
            ClassState::JointOld => {
                progress.reading_old += 1;
                let fill = record
                    .newcomers()
                    .filter(|&place| !index.is_complete(record, place));
                fill.for_each(|place| *progress.filling.entry(place.node).or_default() += 1);
            }
        }
        if !is_on(record, ring) {
            let places = record.places();
            let counted = places.iter().filter(|place| {
                let going = version.going(place.node);
                !record.is_dead(place.node) && !going.is_some_and(Going::is_dead)
            });
            for place in counted.filter(|place| !index.has_adopted(place.node, record.epoch)) {
                *progress.awaited.entry(place.node).or_default() += 1;
            }
        }
        for place in &record.departing {
            *progress.departing.entry(place.node).or_default() += 1;
        }
    }
    progress
}
