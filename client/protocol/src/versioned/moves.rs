//! Changes under way: what is staged, and where each moving class stands.

use quorate_ring::{COPIES_MAX, Change, Class, NodeId, Placed, Weight, Zone};
use serde::{Deserialize, Serialize};

use super::MapVersion;
use crate::ids::VnodeId;
use crate::limits::DEPARTING_MAX;

/// A [`Change`] in the form that the wire has for it: a kind and what that kind needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedChange {
    kind: u8,
    /// The member it is about; the newcomer of a join.
    node: NodeId,
    by: Option<Placed>,
    zone: Option<Zone>,
    weight: Option<Weight>,
}

/// A staged change that says too little, too much, or is of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a staged change of kind {0} cannot be read: it is of a later version, or damaged")]
pub struct StagedError(pub u8);

impl From<Change> for StagedChange {
    fn from(change: Change) -> Self {
        let bare = |kind, node| Self {
            kind,
            node,
            by: None,
            zone: None,
            weight: None,
        };
        match change {
            Change::Join(placed) => Self {
                by: Some(placed.clone()),
                ..bare(0, placed.id)
            },
            Change::Leave(node) => bare(1, node),
            Change::ForceRemove(node) => bare(2, node),
            Change::Replace { node, by } => Self {
                by: Some(by),
                ..bare(3, node)
            },
            Change::Zone { node, zone } => Self {
                zone: Some(zone),
                ..bare(4, node)
            },
            Change::Weight { node, weight } => Self {
                weight: Some(weight),
                ..bare(5, node)
            },
        }
    }
}

impl TryFrom<StagedChange> for Change {
    type Error = StagedError;

    fn try_from(staged: StagedChange) -> Result<Self, StagedError> {
        let StagedChange {
            kind,
            node,
            by,
            zone,
            weight,
        } = staged;
        match (kind, by, zone, weight) {
            (0, Some(placed), None, None) if placed.id == node => Ok(Self::Join(placed)),
            (1, None, None, None) => Ok(Self::Leave(node)),
            (2, None, None, None) => Ok(Self::ForceRemove(node)),
            (3, Some(by), None, None) => Ok(Self::Replace { node, by }),
            (4, None, Some(zone), None) => Ok(Self::Zone { node, zone }),
            (5, None, None, Some(weight)) => Ok(Self::Weight { node, weight }),
            (kind, ..) => Err(StagedError(kind)),
        }
    }
}

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

    fn placed(id: u64) -> Placed {
        Placed {
            id: NodeId::new(id),
            zone: Zone::default(),
            weight: Weight::default(),
        }
    }

    #[test]
    fn every_staged_change_comes_back() {
        let node = NodeId::new(7);
        let changes = [
            Change::Join(placed(9)),
            Change::Leave(node),
            Change::ForceRemove(node),
            Change::Replace {
                node,
                by: placed(9),
            },
            Change::Zone {
                node,
                zone: "a/b".parse().unwrap(),
            },
            Change::Weight {
                node,
                weight: Weight::DRAINED,
            },
        ];
        for change in changes {
            let mut bytes = Vec::new();
            crate::codec::encode(&StagedChange::from(change.clone()), &mut bytes);
            let staged: StagedChange = crate::codec::decode(&bytes).unwrap();
            assert_eq!(Change::try_from(staged), Ok(change));
        }
    }

    #[test]
    fn a_staged_change_that_lacks_a_part_is_refused() {
        let mut staged = StagedChange::from(Change::Join(placed(9)));
        staged.by = None;
        assert_eq!(Change::try_from(staged.clone()), Err(StagedError(0)));
        staged.kind = 9;
        assert_eq!(Change::try_from(staged), Err(StagedError(9)));
    }

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
        let wrong: [fn(&mut ClassRecord); 7] = [
            |record| record.new.clear(),
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
