//! Where each moving class stands.

use quorate_ring::{COPIES_MAX, Class, NodeId};
use serde::{Deserialize, Serialize};

use super::MapVersion;
use crate::ids::VnodeId;
use crate::limits::DEPARTING_MAX;

/// How far a class has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClassState {
    /// One set, which is read and written.
    Stable,
    /// Old and new are written, old is read.
    JointOld,
    /// Old and new are written, new is read.
    JointNew,
}

impl Serialize for ClassState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::Stable => 0,
            Self::JointOld => 1,
            Self::JointNew => 2,
        })
    }
}

impl<'de> Deserialize<'de> for ClassState {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            0 => Ok(Self::Stable),
            1 => Ok(Self::JointOld),
            2 => Ok(Self::JointNew),
            other => Err(serde::de::Error::custom(format!(
                "class state {other} is of a later version"
            ))),
        }
    }
}

/// One replica of a class: a node, and which of its vnodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Its vnode: a node that lost its place and regains it has another one.
    pub vnode: VnodeId,
}

/// Where one class stands, complete in itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassRecord {
    /// The class.
    pub class: Class,
    /// The last version that changed where the class stands. A request of another epoch is refused.
    pub epoch: MapVersion,
    /// The epoch before that one: who worked under another one has missed something.
    pub before: MapVersion,
    /// How far it has moved.
    pub state: ClassState,
    /// The set that was there before the move, or the one that is there.
    pub old: Vec<Place>,
    /// The set to be; empty when stable.
    pub new: Vec<Place>,
    /// Nodes of either set that nobody waits for.
    pub dead: Vec<NodeId>,
    /// Places given up whose copies are not known to be gone: they hand over what nobody else has.
    pub departing: Vec<Place>,
}

impl ClassRecord {
    /// Every place of both sets, each once, ordered by node.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.old.iter().chain(&self.new).copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The set that is read.
    #[must_use]
    pub fn read_set(&self) -> &[Place] {
        match self.state {
            ClassState::Stable | ClassState::JointOld => &self.old,
            ClassState::JointNew => &self.new,
        }
    }

    /// The place of a node, if it has one. In both sets it is the same.
    #[must_use]
    pub fn place_of(&self, node: NodeId) -> Option<Place> {
        let mut places = self.old.iter().chain(&self.new);
        places.find(|place| place.node == node).copied()
    }

    /// The places that are to be and were not.
    pub fn newcomers(&self) -> impl Iterator<Item = Place> + '_ {
        let comes = |place: &&Place| !self.old.contains(place);
        self.new.iter().filter(comes).copied()
    }

    /// Whether nobody waits for a node.
    #[must_use]
    pub fn is_dead(&self, node: NodeId) -> bool {
        self.dead.contains(&node)
    }

    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let class = self.class;
        let most = usize::from(COPIES_MAX);
        if [self.old.len(), self.new.len()]
            .into_iter()
            .any(|len| len > most)
        {
            return Err(format!("class {class} has more than {most} places"));
        }
        if self.old.is_empty() {
            return Err(format!("class {class} has no place"));
        }
        if (self.state == ClassState::Stable) != self.new.is_empty() {
            return Err(format!("class {class} does not say where it moves to"));
        }
        let twice = |set: &[Place]| (1..set.len()).any(|at| holds(&set[..at], set[at].node));
        if twice(&self.old) || twice(&self.new) {
            return Err(format!("class {class} has a node twice in one set"));
        }
        let other = |place: &&Place| {
            self.place_of(place.node)
                .is_some_and(|known| known != **place)
        };
        if let Some(place) = self.new.iter().find(other) {
            let node = place.node;
            return Err(format!("class {class} gives {node} two places at a time"));
        }
        if self.before >= self.epoch {
            return Err(format!(
                "class {class} does not come after what it was before"
            ));
        }
        if self.departing.len() > DEPARTING_MAX {
            let left = self.departing.len();
            return Err(format!(
                "class {class} has {left} copies that depart; at most {DEPARTING_MAX} can"
            ));
        }
        let back = |place: &&Place| self.place_of(place.node) == Some(**place);
        if let Some(place) = self.departing.iter().find(back) {
            return Err(format!("class {class} has {} and has it not", place.node));
        }
        let stranger = |node: &&NodeId| !holds(&self.old, **node) && !holds(&self.new, **node);
        match self.dead.iter().find(stranger) {
            Some(node) => Err(format!(
                "class {class} calls {node} dead, which is not in it"
            )),
            None => Ok(()),
        }
    }
}

fn holds(set: &[Place], node: NodeId) -> bool {
    set.iter().any(|place| place.node == node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_records_that_contradict_themselves_are_refused() {
        let place = |node| Place {
            node: NodeId::new(node),
            vnode: VnodeId::new(1),
        };
        let good = ClassRecord {
            class: Class {
                n: 3,
                partition: quorate_ring::PartitionId::new(1),
            },
            epoch: MapVersion::new(2),
            before: MapVersion::FIRST,
            state: ClassState::JointOld,
            old: vec![place(1), place(2)],
            new: vec![place(2), place(3)],
            dead: vec![NodeId::new(1)],
            departing: Vec::new(),
        };
        assert_eq!(good.check(), Ok(()));
        let wrong: [fn(&mut ClassRecord); 8] = [
            |record| record.new.clear(),
            |record| record.old.clear(),
            |record| record.state = ClassState::Stable,
            |record| record.old[1] = record.old[0],
            |record| record.dead[0] = NodeId::new(9),
            |record| record.new[0].vnode = VnodeId::new(2),
            |record| record.before = record.epoch,
            |record| record.departing = vec![record.old[0]],
        ];
        for spoil in wrong {
            let mut record = good.clone();
            spoil(&mut record);
            assert!(record.check().is_err(), "{record:?}");
        }
    }
}
