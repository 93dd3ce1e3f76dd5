//! Changes of the members that are staged, then made in one step.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::member::{Placed, Weight};
use crate::zone::Zone;

/// One change of the members.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A node becomes a member.
    Join(Placed),
    /// A member goes after it has handed over what it holds.
    Leave(NodeId),
    /// A member is gone: nothing can be had from it.
    ForceRemove(NodeId),
    /// A node takes over from a member, which goes after it has handed over what it holds.
    ///
    /// With the zone and weight of the member and no other change, it takes over exactly its
    /// partitions.
    Replace {
        /// The member that goes.
        node: NodeId,
        /// The node that comes.
        by: Placed,
    },
    /// A member stands in another zone from now on.
    Zone {
        /// The member.
        node: NodeId,
        /// Where it stands.
        zone: Zone,
    },
    /// A member carries more or less from now on; [`Weight::DRAINED`]: nothing.
    Weight {
        /// The member.
        node: NodeId,
        /// How much it can carry.
        weight: Weight,
    },
}

/// Why a change cannot be made after those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The node that is to come is a member, or was one until another of these changes.
    #[error("node {0} cannot join: it is a member; let it leave first and commit that")]
    Joined(NodeId),
    /// The node is no member, or no longer after another of these changes.
    #[error("node {0} is no member, or another change of the same plan removes it")]
    NoMember(NodeId),
}

impl Change {
    /// The members after these changes, one after the other, in ascending order of their ids.
    ///
    /// # Errors
    /// If a node that is a member, or was one until another of the changes, is to join, or one that
    /// is none is to change or go.
    pub fn apply_all(members: &[Placed], changes: &[Self]) -> Result<Vec<Placed>, ChangeError> {
        let mut stage = Stage {
            before: members,
            members: members.to_vec(),
        };
        changes.iter().try_for_each(|change| stage.apply(change))?;
        stage.members.sort_unstable();
        Ok(stage.members)
    }

    /// The member that can hand over nothing if this change is made.
    pub const fn lost(&self) -> Option<NodeId> {
        match self {
            Self::ForceRemove(node) => Some(*node),
            Self::Join(_)
            | Self::Leave(_)
            | Self::Replace { .. }
            | Self::Zone { .. }
            | Self::Weight { .. } => None,
        }
    }
}

struct Stage<'a> {
    before: &'a [Placed],
    members: Vec<Placed>,
}

impl Stage<'_> {
    fn apply(&mut self, change: &Change) -> Result<(), ChangeError> {
        match change {
            Change::Join(node) => self.join(node),
            Change::Leave(node) | Change::ForceRemove(node) => self.remove(*node),
            Change::Replace { node, by } => {
                self.remove(*node)?;
                self.join(by)
            }
            Change::Zone { node, zone } => {
                self.member(*node)?.zone = zone.clone();
                Ok(())
            }
            Change::Weight { node, weight } => {
                self.member(*node)?.weight = *weight;
                Ok(())
            }
        }
    }

    fn join(&mut self, node: &Placed) -> Result<(), ChangeError> {
        let mut known = self.before.iter().chain(&self.members);
        if known.any(|member| member.id == node.id) {
            return Err(ChangeError::Joined(node.id));
        }
        self.members.push(node.clone());
        Ok(())
    }

    fn remove(&mut self, node: NodeId) -> Result<(), ChangeError> {
        let at = self.position(node)?;
        self.members.swap_remove(at);
        Ok(())
    }

    fn member(&mut self, node: NodeId) -> Result<&mut Placed, ChangeError> {
        let at = self.position(node)?;
        Ok(&mut self.members[at])
    }

    fn position(&self, node: NodeId) -> Result<usize, ChangeError> {
        let found = self.members.iter().position(|member| member.id == node);
        found.ok_or(ChangeError::NoMember(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(id: u64, zone: &str) -> Placed {
        Placed {
            id: NodeId::new(id),
            zone: zone.parse().unwrap(),
            weight: Weight::default(),
        }
    }

    fn after(changes: &[Change]) -> Result<Vec<Placed>, ChangeError> {
        Change::apply_all(&[placed(3, "a"), placed(1, "b"), placed(2, "c")], changes)
    }

    #[test]
    fn changes_are_made_one_after_the_other() {
        let [one, two, three] = [1, 2, 3].map(NodeId::new);
        let changes = [
            Change::Leave(three),
            Change::Replace {
                node: one,
                by: placed(9, "b"),
            },
            Change::Join(placed(4, "d")),
            Change::Zone {
                node: NodeId::new(4),
                zone: "e".parse().unwrap(),
            },
            Change::Weight {
                node: two,
                weight: Weight::DRAINED,
            },
        ];
        let mut drained = placed(2, "c");
        drained.weight = Weight::DRAINED;
        assert_eq!(
            after(&changes),
            Ok(vec![drained, placed(4, "e"), placed(9, "b")])
        );
        assert_eq!(after(&[]).map(|members| members.len()), Ok(3));
    }

    #[test]
    fn changes_that_contradict_the_members_or_each_other_are_refused() {
        let (one, five) = (NodeId::new(1), NodeId::new(5));
        let refused = [
            (vec![Change::Join(placed(1, "z"))], ChangeError::Joined(one)),
            (
                vec![Change::Leave(one), Change::Join(placed(1, "b"))],
                ChangeError::Joined(one),
            ),
            (
                vec![Change::Join(placed(5, "")), Change::Join(placed(5, ""))],
                ChangeError::Joined(five),
            ),
            (vec![Change::Leave(five)], ChangeError::NoMember(five)),
            (
                vec![
                    Change::ForceRemove(one),
                    Change::Weight {
                        node: one,
                        weight: Weight::MAX,
                    },
                ],
                ChangeError::NoMember(one),
            ),
        ];
        for (changes, error) in refused {
            assert_eq!(after(&changes), Err(error), "{changes:?}");
        }
    }

    #[test]
    fn only_a_forced_removal_loses_what_a_member_holds() {
        let one = NodeId::new(1);
        assert_eq!(Change::ForceRemove(one).lost(), Some(one));
        assert_eq!(Change::Leave(one).lost(), None);
    }
}
