//! How the copies of one partition must be spread over zones.
//!
//! The rule: of the copies in a zone (at first: of all copies in the cluster), the zones directly
//! below it hold as equal numbers as their sizes allow; then the same within each of them. "As
//! equal as possible" means that no other numbers, sorted from the largest, are smaller. With n
//! copies and at least n zones they are all in distinct zones; with two zones and three copies one
//! zone has two of them, in distinct racks if that zone names racks.
//!
//! Water filling says which numbers those are. Let L be the smallest level at which zones of sizes
//! m, each holding min(m, L), have room for all copies. Then each zone holds at least min(m, L - 1)
//! and at most min(m, L). So the rule comes down to a lower and an upper bound for each zone, the
//! same for all partitions, and nothing is left to weigh against balance or movement.

use crate::zone_tree::{ROOT, ZoneTree};

/// The rule for a given set of members and number of copies.
///
/// A tree of *domains* with bounds on the copies that one partition may have in each. The domains
/// without children hold *groups*: of a group at most one member holds a copy, and groups of one
/// domain are interchangeable. A group is a zone that may hold one copy at most, or, where a domain
/// is not divided any further, a single member; so groups also stand for distinct members.
#[derive(Debug)]
pub(super) struct Spread {
    /// Parents come before their children; the first is the root, whose bounds are both n.
    pub(super) domains: Vec<Domain>,
    pub(super) groups: Vec<Group>,
    /// The group of each member.
    pub(super) group_of: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Domain {
    /// None for the root.
    pub(super) parent: Option<usize>,
    /// Empty for a domain that holds groups.
    pub(super) children: Vec<usize>,
    /// The fewest copies a partition has here.
    pub(super) least: usize,
    /// The most copies a partition has here.
    pub(super) most: usize,
}

#[derive(Debug)]
pub(super) struct Group {
    /// The domain that holds it; one without children.
    pub(super) domain: usize,
    pub(super) members: Vec<usize>,
}

impl Spread {
    /// The rule for `copies` copies, at most one for each member, over the members of `zones`.
    pub(super) fn new(zones: &ZoneTree, members: usize, copies: usize) -> Self {
        let mut builder = Builder::new(zones, members);
        builder.domain(None, ROOT as usize, (copies, copies));
        builder.spread
    }

    /// The domain of a member's group.
    pub(super) fn domain_of(&self, member: usize) -> usize {
        self.groups[self.group_of[member]].domain
    }

    /// Whether a partition with `copies` in each domain without children can be completed by
    /// further copies. Writes what each domain would then hold at least into `needs`.
    pub(super) fn can_complete(&self, copies: &[usize], needs: &mut [usize]) -> bool {
        needs.copy_from_slice(copies);
        for (index, domain) in self.domains.iter().enumerate().rev() {
            let need = needs[index].max(domain.least);
            if need > domain.most {
                return false;
            }
            needs[index] = need;
            if let Some(parent) = domain.parent {
                needs[parent] += need;
            }
        }
        true
    }
}

/// The bounds of zones of these sizes that together hold `copies`.
fn bounds(sizes: &[usize], copies: usize) -> Vec<(usize, usize)> {
    let room = |level| sizes.iter().map(|&size| size.min(level)).sum::<usize>();
    // The level of all copies in one zone has room for them: no zone has more copies than members.
    let level = (1..copies)
        .find(|&level| room(level) >= copies)
        .unwrap_or(copies);
    sizes
        .iter()
        .map(|&size| (size.min(level.saturating_sub(1)), size.min(level)))
        .collect()
}

struct Builder {
    /// The zones directly below each zone.
    below: Vec<Vec<usize>>,
    /// The members that stand in each zone or below it.
    inside: Vec<Vec<usize>>,
    spread: Spread,
}

impl Builder {
    fn new(zones: &ZoneTree, members: usize) -> Self {
        let mut below = vec![Vec::new(); zones.len()];
        for (zone, &parent) in zones.parents().iter().enumerate().skip(1) {
            below[parent as usize].push(zone);
        }
        let mut inside = vec![Vec::new(); zones.len()];
        for member in 0..members {
            inside[ROOT as usize].push(member);
            for &zone in zones.path(member) {
                inside[zone as usize].push(member);
            }
        }
        let spread = Spread {
            domains: Vec::new(),
            groups: Vec::new(),
            group_of: vec![0; members],
        };
        Self {
            below,
            inside,
            spread,
        }
    }

    /// Adds the domain of a zone with these bounds, and all below it; returns its index.
    ///
    /// Recursion ends soon: where a domain has children, there are at least two, each with a lower
    /// upper bound than its own.
    fn domain(
        &mut self,
        parent: Option<usize>,
        zone: usize,
        (least, most): (usize, usize),
    ) -> usize {
        let index = self.spread.domains.len();
        self.spread.domains.push(Domain {
            parent,
            children: Vec::new(),
            least,
            most,
        });
        let mut zone = zone;
        while let [only] = self.below[zone][..] {
            zone = only;
        }
        let below = self.below[zone].clone();
        if below.is_empty() {
            for member in self.inside[zone].clone() {
                self.group(index, vec![member]);
            }
            return index;
        }
        let sizes: Vec<usize> = below.iter().map(|&zone| self.inside[zone].len()).collect();
        for (zone, bounds) in below.into_iter().zip(bounds(&sizes, most)) {
            // Either all of them have these bounds or none has: a level above 1 raises all lower
            // bounds above 0.
            if bounds == (0, 1) {
                self.group(index, self.inside[zone].clone());
            } else {
                let child = self.domain(Some(index), zone, bounds);
                self.spread.domains[index].children.push(child);
            }
        }
        index
    }

    fn group(&mut self, domain: usize, members: Vec<usize>) {
        for &member in &members {
            self.spread.group_of[member] = self.spread.groups.len();
        }
        self.spread.groups.push(Group { domain, members });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::members;

    fn spread(zones: &[&str], copies: usize) -> Spread {
        Spread::new(&ZoneTree::new(&members(zones)), zones.len(), copies)
    }

    fn domain_bounds(spread: &Spread) -> Vec<(usize, usize)> {
        spread
            .domains
            .iter()
            .map(|domain| (domain.least, domain.most))
            .collect()
    }

    #[test]
    fn with_enough_zones_each_is_a_group() {
        let spread = spread(&["a", "b", "c/x", "c/y", "d"], 3);
        assert_eq!(domain_bounds(&spread), [(3, 3)]);
        assert_eq!(spread.groups.len(), 4);
        assert_eq!(spread.group_of[2], spread.group_of[3]);
    }

    #[test]
    fn without_zones_each_member_is_a_group() {
        let spread = spread(&["", "", "", ""], 3);
        assert_eq!(domain_bounds(&spread), [(3, 3)]);
        assert_eq!(spread.groups.len(), 4);
    }

    #[test]
    fn a_common_beginning_of_all_zones_does_not_count() {
        let spread = spread(&["eu/par/a", "eu/par/b", "eu/par/c"], 3);
        assert_eq!(domain_bounds(&spread), [(3, 3)]);
        assert_eq!(spread.groups.len(), 3);
    }

    #[test]
    fn two_zones_share_three_copies_and_split_theirs_over_racks() {
        let spread = spread(&["a/1", "a/1", "a/2", "b/1", "b/1", "b/1"], 3);
        assert_eq!(domain_bounds(&spread), [(3, 3), (1, 2), (1, 2)]);
        let groups: Vec<usize> = spread
            .groups
            .iter()
            .map(|group| group.members.len())
            .collect();
        assert_eq!(groups, [2, 1, 1, 1, 1]);
    }

    #[test]
    fn a_small_zone_holds_what_it_can() {
        assert_eq!(bounds(&[1, 5, 5], 5), [(1, 1), (1, 2), (1, 2)]);
        assert_eq!(bounds(&[1, 9], 7), [(1, 1), (5, 6)]);
        assert_eq!(bounds(&[3, 3, 3, 3], 3), [(0, 1); 4]);
        assert_eq!(bounds(&[1, 2], 3), [(1, 1), (1, 2)]);
    }

    #[test]
    fn an_unfinished_partition_is_complete_able_or_not() {
        let spread = spread(&["a", "a", "b", "b", "c", "c"], 4);
        assert_eq!(domain_bounds(&spread), [(4, 4), (1, 2), (1, 2), (1, 2)]);
        let mut needs = vec![0; 4];
        assert!(spread.can_complete(&[0, 2, 1, 0], &mut needs));
        assert_eq!(needs, [4, 2, 1, 1]);
        assert!(!spread.can_complete(&[0, 2, 2, 0], &mut needs));
    }
}
