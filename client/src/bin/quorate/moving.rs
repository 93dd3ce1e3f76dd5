//! How far a change of the ring has come, as one version of the cluster map shows it.

use std::collections::BTreeSet;

use quorate_client::{ClassState, GoingState, NodeId, VersionedMap};

use crate::connect::name_of;

/// What is under way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moving {
    /// Not all members of a cluster that was just made have run: the map cannot change yet.
    pub(crate) incomplete: bool,
    /// Classes that are to move and have not set out.
    pub(crate) waiting: usize,
    /// Classes that old and new nodes write, and that the old ones read.
    pub(crate) filling: usize,
    /// Classes that old and new nodes write, and that the new ones read.
    pub(crate) reading_new: usize,
    /// Copies without a place that are not known to be gone.
    pub(crate) departing: usize,
    /// Members that go, and whether they were removed by force.
    pub(crate) going: Vec<(String, bool)>,
    /// Members that do not vote yet.
    pub(crate) voteless: Vec<String>,
}

impl Moving {
    /// By this version.
    pub(crate) fn by(version: &VersionedMap) -> Self {
        let mut moving = Self {
            incomplete: !version.is_founded(),
            ..Self::default()
        };
        let map = &version.map;
        for record in &version.records {
            moving.departing += record.departing.len();
            match record.state {
                ClassState::JointOld => moving.filling += 1,
                ClassState::JointNew => moving.reading_new += 1,
                ClassState::Stable => {
                    let there = record.old.iter().map(|place| place.node);
                    let wanted = map.ring.primaries(record.class).iter().copied();
                    let differs = there.collect::<BTreeSet<NodeId>>() != wanted.collect();
                    moving.waiting += usize::from(differs);
                }
            }
        }
        let going = version.going.iter();
        let going = going.map(|going| {
            let is_dead = going.state != GoingState::HandsOver;
            (name_of(map, going.node), is_dead)
        });
        moving.going = going.collect();
        let voteless = map.members.iter().filter(|member| {
            version.voter(member.id).is_none() && version.going(member.id).is_none()
        });
        moving.voteless = voteless.map(|member| member.name.clone()).collect();
        moving
    }

    /// Whether nothing is.
    pub(crate) fn is_over(&self) -> bool {
        *self == Self::default()
    }

    /// What is, in words.
    pub(crate) fn words(&self) -> String {
        let counted = [
            (self.waiting, "classes wait to move"),
            (self.filling, "classes are being filled"),
            (self.reading_new, "classes change over"),
            (self.departing, "old copies are left"),
        ];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        let counted = counted.map(|(count, what)| format!("{count} {what}"));
        let incomplete = self
            .incomplete
            .then(|| "the cluster is not complete yet".to_owned());
        let going = self.going.iter().map(|(name, is_dead)| match is_dead {
            false => format!("{name} is a member still"),
            true => format!("{name} was removed by force and is named still"),
        });
        let voteless = self.voteless.iter();
        let voteless = voteless.map(|name| format!("{name} does not vote yet"));
        let counted = incomplete.into_iter().chain(counted);
        let all: Vec<String> = counted.chain(going).chain(voteless).collect();
        if all.is_empty() {
            "no ring change is under way".to_owned()
        } else {
            all.join(", ")
        }
    }
}
