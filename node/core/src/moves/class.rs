//! One class takes a step: which one follows from where it stands, from the ring's target, and from what was heard.
//!
//! | stands | target | goes to |
//! |---|---|---|
//! | stable | other nodes | joint-old: the ring's nodes come |
//! | joint-old | its new set | joint-new, when every newcomer is complete |
//! | joint-old | its new set | joint-old again, to wait no longer for an old node removed by force meanwhile |
//! | joint-old | its old set | stable on the old set: the newcomers depart |
//! | joint-old | others | joint-old with the same old set and other newcomers |
//! | joint-new | its old set | joint-old, from where it goes on as above |
//! | joint-new | its new set, or others | stable on the new set: who is not in it departs |
//!
//! Whatever it is, every node of both sets that counts works under the present epoch by then. So at most two epochs
//! are in use, and since a class in joint-new is left before it gets other newcomers, no newcomer is ever in an old
//! set unless it was complete: there is one move of a class at a time.

use std::collections::BTreeSet;

use quorate_protocol::ids::VnodeId;
use quorate_protocol::limits::DEPARTING_MAX;
use quorate_protocol::versioned::{
    ClassRecord, ClassState, Going, GoingState, MapVersion, Place, VersionedMap,
};
use quorate_ring::{Class, NodeId, Ring};

use super::Step;
use super::heard::Index;

/// What the next version is made by.
pub(super) struct Mover<'a> {
    next: MapVersion,
    ring: &'a Ring,
    heard: &'a Index,
    dead: BTreeSet<NodeId>,
    forgotten: BTreeSet<NodeId>,
}

/// Where a class stands of which there is no record: where the ring says, since the first bucket of it was made.
pub(super) fn founding(version: &VersionedMap, class: Class) -> ClassRecord {
    let ring = &version.map.ring;
    let vnode = version.first_vnode(class.n);
    let place = |&node: &NodeId| Place { node, vnode };
    ClassRecord {
        class,
        epoch: version.used_since(class.n).unwrap_or(MapVersion::FIRST),
        before: MapVersion::new(0),
        state: ClassState::Stable,
        old: ring.primaries(class).iter().map(place).collect(),
        new: Vec::new(),
        dead: Vec::new(),
        departing: Vec::new(),
    }
}

/// Whether a record says nothing that the ring does not say. One with a later epoch never does: without it the epoch
/// would go back, and requests of long ago would be of now.
pub(super) fn equals_no_record(version: &VersionedMap, record: &ClassRecord, ring: &Ring) -> bool {
    Some(record.epoch) == version.used_since(record.class.n)
        && record.departing.is_empty()
        && record.dead.is_empty()
        && is_on(record, ring)
}

/// Whether a class stands where the ring wants it.
pub(super) fn is_on(record: &ClassRecord, ring: &Ring) -> bool {
    record.state == ClassState::Stable && is_of(&record.old, ring.primaries(record.class))
}

/// Whether a set has exactly these nodes. A set is of distinct nodes.
fn is_of(set: &[Place], nodes: &[NodeId]) -> bool {
    set.len() == nodes.len() && set.iter().all(|place| nodes.contains(&place.node))
}

impl<'a> Mover<'a> {
    pub(super) fn new(next: MapVersion, ring: &'a Ring, going: &[Going], heard: &'a Index) -> Self {
        let of = |is: fn(&Going) -> bool| {
            let gone = going.iter().filter(move |going| is(going));
            gone.map(|going| going.node).collect()
        };
        Self {
            next,
            ring,
            heard,
            dead: of(Going::is_dead),
            forgotten: of(|going| going.state == GoingState::Forgotten),
        }
    }

    /// Takes a class as far as one version can. Returns what was done.
    pub(super) fn advance(&self, record: &mut ClassRecord) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.forget(record) {
            steps.push(Step::Forget);
        }
        if !is_on(record, self.ring)
            && self.is_adopted(record)
            && let Some((step, mut moved)) = self.step(record)
        {
            self.begin(record, &mut moved);
            *record = moved;
            steps.push(step);
        }
        steps
    }

    /// The step, and the sets after it.
    fn step(&self, record: &ClassRecord) -> Option<(Step, ClassRecord)> {
        let target = self.ring.primaries(record.class);
        let mut moved = record.clone();
        let step = match record.state {
            ClassState::Stable => {
                moved.new = self.places(record, target);
                moved.state = ClassState::JointOld;
                Step::Begin
            }
            ClassState::JointOld if is_of(&record.new, target) => {
                if self.is_filled(record) {
                    moved.state = ClassState::JointNew;
                    Step::ReadNew
                } else if self.waits_for_the_dead(record) {
                    Step::Bury
                } else {
                    return None;
                }
            }
            ClassState::JointOld if is_of(&record.old, target) => {
                moved.new.clear();
                moved.state = ClassState::Stable;
                Step::Abandon
            }
            ClassState::JointOld => {
                moved.new = self.places(record, target);
                Step::Retarget
            }
            ClassState::JointNew if is_of(&record.old, target) => {
                moved.state = ClassState::JointOld;
                Step::ReadOld
            }
            ClassState::JointNew => {
                moved.old = std::mem::take(&mut moved.new);
                moved.state = ClassState::Stable;
                Step::Settle
            }
        };
        self.leave_behind(record, &mut moved);
        self.has_room(&moved).then_some((step, moved))
    }

    /// Whether all newcomers have proven that they have it all.
    fn is_filled(&self, record: &ClassRecord) -> bool {
        let mut newcomers = record.newcomers();
        newcomers.all(|place| self.heard.is_complete(record, place))
    }

    /// Whether newcomers wait for the word of a node that was removed by force since the class set out.
    fn waits_for_the_dead(&self, record: &ClassRecord) -> bool {
        let mut old = record.old.iter().map(|place| place.node);
        old.any(|node| self.dead.contains(&node) && !record.is_dead(node))
    }

    /// Who has a place keeps it; another one gets a place that nobody had before.
    fn places(&self, record: &ClassRecord, target: &[NodeId]) -> Vec<Place> {
        let vnode = VnodeId::new(self.next.get());
        let place = |&node: &NodeId| {
            let known = record.place_of(node);
            known.unwrap_or(Place { node, vnode })
        };
        target.iter().map(place).collect()
    }

    /// Places of before that are none any more depart.
    fn leave_behind(&self, before: &ClassRecord, moved: &mut ClassRecord) {
        let left = before.places().into_iter().filter(|place| {
            moved.place_of(place.node) != Some(*place) && !self.forgotten.contains(&place.node)
        });
        let left: Vec<Place> = left.collect();
        moved.departing.extend(left);
    }

    /// A class does not set out for where it could not leave its copies behind, whichever way its move ends.
    fn has_room(&self, moved: &ClassRecord) -> bool {
        let places = moved.old.len() + moved.new.len();
        moved.state != ClassState::JointOld || moved.departing.len() + places <= DEPARTING_MAX
    }

    fn begin(&self, before: &ClassRecord, moved: &mut ClassRecord) {
        moved.before = before.epoch;
        moved.epoch = self.next;
        let places = moved.places();
        let dead = places
            .iter()
            .map(|place| place.node)
            .filter(|node| before.dead.contains(node) || self.dead.contains(node));
        moved.dead = dead.collect();
    }

    /// Whether every node that counts works under the class's present epoch. Who is called dead from now on does
    /// not count any more.
    fn is_adopted(&self, record: &ClassRecord) -> bool {
        let places = record.places();
        let mut counted = places
            .iter()
            .filter(|place| !record.is_dead(place.node) && !self.dead.contains(&place.node));
        counted.all(|place| self.heard.has_adopted(place.node, record.epoch))
    }

    /// Copies that their nodes have deleted depart no longer, nor do those that an operator has given up.
    fn forget(&self, record: &mut ClassRecord) -> bool {
        let before = record.departing.len();
        let mut departing = std::mem::take(&mut record.departing);
        departing.retain(|&place| {
            !self.forgotten.contains(&place.node) && !self.heard.is_gone(record, place)
        });
        record.departing = departing;
        record.departing.len() < before
    }
}
