//! The members a search has not visited, found by what a partition may take next.

use super::scramble::Scramble;
use super::spread::Spread;

/// Where a member stands in the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shelf {
    /// The member's potential, 0 or above.
    pub(super) potential: i32,
    /// Whether a copy would end its way here; those are preferred, so that ways stay short.
    pub(super) ends_here: bool,
}

impl Shelf {
    fn index(self) -> usize {
        usize::try_from(self.potential).unwrap_or(0) * 2 + usize::from(self.ends_here)
    }
}

/// Members by shelf and group, and groups that have any by shelf and domain.
///
/// Any member may be added to any partition at a cost of 1. These arcs are too many to look at
/// (16 million at 1,000 nodes and 16,384 partitions), but all that leave one partition differ in
/// nothing but the potential of their end. So a search takes a visited member off its shelf and
/// looks at those that are left: every member is met once, whatever the number of partitions.
pub(super) struct Pool<'a> {
    spread: &'a Spread,
    /// By shelf and group.
    members: Vec<Vec<usize>>,
    /// By shelf and domain.
    groups: Vec<Vec<usize>>,
    /// The shelf of each member, None if it is not in the pool, and its position there.
    member_at: Vec<(Option<Shelf>, usize)>,
    /// By shelf and group: the group's position in `groups`.
    group_at: Vec<usize>,
    scramble: Scramble,
}

impl<'a> Pool<'a> {
    /// An empty pool for potentials up to `potential_max`.
    pub(super) fn new(spread: &'a Spread, potential_max: i32) -> Self {
        let shelves = Shelf {
            potential: potential_max,
            ends_here: true,
        }
        .index()
            + 1;
        Self {
            spread,
            members: vec![Vec::new(); shelves * spread.groups.len()],
            groups: vec![Vec::new(); shelves * spread.domains.len()],
            member_at: vec![(None, 0); spread.group_of.len()],
            group_at: vec![0; shelves * spread.groups.len()],
            scramble: Scramble::new(0),
        }
    }

    pub(super) fn contains(&self, member: usize) -> bool {
        self.member_at[member].0.is_some()
    }

    fn slots(&self, shelf: Shelf, group: usize) -> (usize, usize) {
        let domain = self.spread.groups[group].domain;
        let shelf = shelf.index();
        (
            shelf * self.spread.groups.len() + group,
            shelf * self.spread.domains.len() + domain,
        )
    }

    /// Adds a member that is not in the pool.
    pub(super) fn insert(&mut self, member: usize, shelf: Shelf) {
        let group = self.spread.group_of[member];
        let (members, groups) = self.slots(shelf, group);
        if self.members[members].is_empty() {
            self.group_at[members] = self.groups[groups].len();
            self.groups[groups].push(group);
        }
        self.member_at[member] = (Some(shelf), self.members[members].len());
        self.members[members].push(member);
    }

    /// Takes a member out, if it is in the pool.
    pub(super) fn remove(&mut self, member: usize) {
        let (Some(shelf), at) = self.member_at[member] else {
            return;
        };
        self.member_at[member].0 = None;
        let group = self.spread.group_of[member];
        let (members, groups) = self.slots(shelf, group);
        self.members[members].swap_remove(at);
        if let Some(&moved) = self.members[members].get(at) {
            self.member_at[moved].1 = at;
        }
        if self.members[members].is_empty() {
            let at = self.group_at[members];
            self.groups[groups].swap_remove(at);
            if let Some(&moved) = self.groups[groups].get(at) {
                let (moved, _) = self.slots(shelf, moved);
                self.group_at[moved] = at;
            }
        }
    }

    /// Any member of this potential in a group.
    pub(super) fn any_in_group(&mut self, group: usize, potential: i32) -> Option<usize> {
        [true, false].into_iter().find_map(|ends_here| {
            self.any_on_shelf(
                group,
                Shelf {
                    potential,
                    ends_here,
                },
            )
        })
    }

    /// Any member of this potential in a group of the domain that is not `taken`.
    ///
    /// No more groups are tried than are taken, and one.
    pub(super) fn any_in_domain(
        &mut self,
        domain: usize,
        potential: i32,
        taken: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        for ends_here in [true, false] {
            let shelf = Shelf {
                potential,
                ends_here,
            };
            let index = shelf.index() * self.spread.domains.len() + domain;
            let count = self.groups.get(index).map_or(0, Vec::len);
            let first = self.scramble.below(count.max(1));
            let group = (0..count)
                .map(|step| self.groups[index][(first + step) % count])
                .find(|&group| !taken(group));
            if let Some(group) = group {
                return self.any_on_shelf(group, shelf);
            }
        }
        None
    }

    fn any_on_shelf(&mut self, group: usize, shelf: Shelf) -> Option<usize> {
        let index = shelf.index() * self.spread.groups.len() + group;
        let members = self
            .members
            .get(index)
            .filter(|members| !members.is_empty())?;
        Some(members[self.scramble.below(members.len())])
    }
}
