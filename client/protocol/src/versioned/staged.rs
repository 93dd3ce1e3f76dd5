//! Changes of the members that wait to be committed.

use quorate_ring::{Change, NodeId, Placed, Weight, Zone};
use serde::{Deserialize, Serialize};

use crate::map::Member;

/// A [`Change`] in the form that the wire has for it: a kind and what that kind needs. A node that is to come is
/// whole in it, with its name and addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedChange {
    kind: u8,
    /// The member it is about; the newcomer of a join.
    node: NodeId,
    by: Option<Member>,
    zone: Option<Zone>,
    weight: Option<Weight>,
}

/// A staged change that says too little, too much, or is of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a staged change of kind {0} cannot be read: it is of a later version, or damaged")]
pub struct StagedError(pub u8);

impl StagedChange {
    /// A node becomes a member.
    #[must_use]
    pub fn join(member: Member) -> Self {
        Self {
            node: member.id,
            by: Some(member),
            ..Self::bare(0, NodeId::new(0))
        }
    }

    /// A member goes after it has handed over what it holds.
    #[must_use]
    pub const fn leave(node: NodeId) -> Self {
        Self::bare(1, node)
    }

    /// A member is gone: nothing can be had from it.
    #[must_use]
    pub const fn force_remove(node: NodeId) -> Self {
        Self::bare(2, node)
    }

    /// A node takes over from a member.
    #[must_use]
    pub fn replace(node: NodeId, by: Member) -> Self {
        Self {
            by: Some(by),
            ..Self::bare(3, node)
        }
    }

    /// A member stands in another zone.
    #[must_use]
    pub fn zone(node: NodeId, zone: Zone) -> Self {
        Self {
            zone: Some(zone),
            ..Self::bare(4, node)
        }
    }

    /// A member carries more or less.
    #[must_use]
    pub fn weight(node: NodeId, weight: Weight) -> Self {
        Self {
            weight: Some(weight),
            ..Self::bare(5, node)
        }
    }

    const fn bare(kind: u8, node: NodeId) -> Self {
        Self {
            kind,
            node,
            by: None,
            zone: None,
            weight: None,
        }
    }

    /// The member that it is about; the newcomer of a join.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The node that it lets in, whole.
    #[must_use]
    pub const fn newcomer(&self) -> Option<&Member> {
        self.by.as_ref()
    }

    /// What it changes, as placement sees it.
    ///
    /// # Errors
    /// It says too little, too much, or is of a later version.
    pub fn change(&self) -> Result<Change, StagedError> {
        let node = self.node;
        let by = self.by.as_ref().map(Member::placed);
        match (self.kind, by, self.zone.clone(), self.weight) {
            (0, Some(placed), None, None) if placed.id == node => Ok(Change::Join(placed)),
            (1, None, None, None) => Ok(Change::Leave(node)),
            (2, None, None, None) => Ok(Change::ForceRemove(node)),
            (3, Some(by), None, None) => Ok(Change::Replace { node, by }),
            (4, None, Some(zone), None) => Ok(Change::Zone { node, zone }),
            (5, None, None, Some(weight)) => Ok(Change::Weight { node, weight }),
            (kind, ..) => Err(StagedError(kind)),
        }
    }
}

impl Member {
    /// The member as placement sees it.
    #[must_use]
    pub fn placed(&self) -> Placed {
        Placed {
            id: self.id,
            zone: self.zone.clone(),
            weight: self.weight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member {
            id: NodeId::new(id),
            name: format!("n{id}"),
            peer_addresses: vec!["127.0.0.1:1".to_owned()],
            client_addresses: vec!["127.0.0.1:2".to_owned()],
            zone: Zone::default(),
            weight: Weight::default(),
        }
    }

    #[test]
    fn every_staged_change_comes_back() {
        let (node, zone): (_, Zone) = (NodeId::new(7), "a/b".parse().unwrap());
        let (joins, replaces) = (StagedChange::join, StagedChange::replace);
        let by = member(9).placed();
        let weight = Weight::DRAINED;
        let changes = [
            (joins(member(9)), Change::Join(by.clone())),
            (StagedChange::leave(node), Change::Leave(node)),
            (StagedChange::force_remove(node), Change::ForceRemove(node)),
            (replaces(node, member(9)), Change::Replace { node, by }),
            (
                StagedChange::zone(node, zone.clone()),
                Change::Zone { node, zone },
            ),
            (
                StagedChange::weight(node, weight),
                Change::Weight { node, weight },
            ),
        ];
        for (staged, change) in changes {
            let mut bytes = Vec::new();
            crate::codec::encode(&staged, &mut bytes);
            let read: StagedChange = crate::codec::decode(&bytes).unwrap();
            assert_eq!(read, staged);
            assert_eq!(read.change(), Ok(change));
        }
    }

    #[test]
    fn a_staged_change_that_lacks_a_part_is_refused() {
        let mut staged = StagedChange::join(member(9));
        staged.by = None;
        assert_eq!(staged.change(), Err(StagedError(0)));
        staged.kind = 9;
        assert_eq!(staged.change(), Err(StagedError(9)));
    }
}
