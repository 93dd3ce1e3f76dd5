//! The zones of all members as one tree.

use std::collections::BTreeMap;

use crate::member::Placed;

/// The tree spanned by the zones of a list of members. Its root is the whole cluster.
///
/// A member that stands directly in a zone stands in an unnamed part of it. So all members of a
/// zone whose place within it is unknown count as standing together, next to the parts that are
/// named: what is not known to be apart is not taken to be apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ZoneTree {
    /// The parent of each zone; parents come before their children. The root names itself.
    parents: Vec<u32>,
    /// For each member the zones it stands in, from the widest below the root to the narrowest.
    paths: Vec<Vec<u32>>,
}

/// The root of every [`ZoneTree`].
pub(crate) const ROOT: u32 = 0;

impl ZoneTree {
    /// The tree of these members' zones.
    pub(crate) fn new(members: &[Placed]) -> Self {
        let mut parents = vec![ROOT];
        let mut known: BTreeMap<(u32, &str), u32> = BTreeMap::new();
        let mut next = ROOT + 1;
        let mut paths = Vec::with_capacity(members.len());
        for member in members {
            let mut path = Vec::new();
            let mut zone = ROOT;
            for component in member.zone.components().chain([""]) {
                zone = *known.entry((zone, component)).or_insert_with(|| {
                    parents.push(zone);
                    next += 1;
                    next - 1
                });
                path.push(zone);
            }
            paths.push(path);
        }
        Self { parents, paths }
    }

    /// The number of zones, the root included.
    pub(crate) fn len(&self) -> usize {
        self.parents.len()
    }

    /// The parent of each zone, in an order in which parents come before their children.
    pub(crate) fn parents(&self) -> &[u32] {
        &self.parents
    }

    /// The zones a member stands in, from the widest below the root to the narrowest.
    pub(crate) fn path(&self, member: usize) -> &[u32] {
        &self.paths[member]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::member::Weight;

    fn tree(zones: &[&str]) -> ZoneTree {
        let member = |(id, zone): (u64, &&str)| Placed {
            id: NodeId::new(id),
            zone: zone.parse().unwrap(),
            weight: Weight::default(),
        };
        ZoneTree::new(&(0..).zip(zones).map(member).collect::<Vec<_>>())
    }

    #[test]
    fn members_of_one_zone_share_its_path() {
        let tree = tree(&["eu/par", "eu/fra", "eu/par"]);
        assert_eq!(tree.path(0), tree.path(2));
        assert_eq!(tree.path(0)[0], tree.path(1)[0]);
        assert_ne!(tree.path(0)[1], tree.path(1)[1]);
    }

    #[test]
    fn members_directly_in_a_zone_share_an_unnamed_part_of_it() {
        let tree = tree(&["eu", "eu/par", "eu", ""]);
        assert_eq!(tree.path(0), tree.path(2));
        assert_eq!(tree.path(0)[0], tree.path(1)[0]);
        assert_ne!(tree.path(0)[1], tree.path(1)[1]);
        assert_eq!(tree.path(3).len(), 1);
        assert!(
            tree.parents()
                .iter()
                .enumerate()
                .all(|(zone, parent)| *parent as usize <= zone)
        );
    }
}
