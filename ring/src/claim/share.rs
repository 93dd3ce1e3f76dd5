//! How many partitions each member should hold.
//!
//! The *exact* shares are the fairest real numbers there are: no member could have a smaller load
//! per unit of weight without another, that has as much or more, having an even larger one. Which
//! numbers can be reached at all is simple, because all partitions follow the same bounds
//! ([`Spread`]) and those form a tree: loads for which each domain of the tree holds between Q times
//! its lower and Q times its upper bound can always be dealt out to Q partitions (the integer
//! decomposition property of laminar bounds: sort all copies by domain, group and member and deal
//! them out like cards; every domain then gets its total over Q in each partition, rounded up or
//! down). So the shares are found without looking at partitions, by filling up to a common level of
//! load over weight. Where a domain cannot take its part, or must take more, its total is what its
//! bound says, and it is filled to a level of its own.
//!
//! A member is to hold its exact share, rounded down or up. Bounds that form a tree have the further
//! property that where real numbers fit between whole bounds, whole numbers do: so some rounding of
//! the exact shares keeps the totals of all domains, and which one is left to movement.

use std::num::NonZeroU64;

use super::spread::Spread;
use crate::share::ExactShare;

/// The loads among which movement may choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl From<ExactShare> for Share {
    fn from(exact: ExactShare) -> Self {
        // A share is one of at most 65,536 partitions.
        let whole = |partitions: u64| usize::try_from(partitions).unwrap_or(usize::MAX);
        Self {
            least: whole(exact.floor()),
            most: whole(exact.ceil()),
        }
    }
}

/// A level of load over weight, in units of 1 / [`UNIT`].
///
/// The levels at which a domain reaches a bound, and those that are sought, are fractions whose
/// denominators are sums of weights, below 2^22: two of them that differ do so by more than 2^-44.
/// In finer units, the first level at which a total is reached leaves every domain on the same side
/// of its bounds as the exact one does.
type Level = u128;
const UNIT: u128 = 1 << 46;

/// The exact shares of all members, by `weights` (all above 0), for `partitions` partitions.
pub(super) fn exact_shares(spread: &Spread, weights: &[u64], partitions: usize) -> Vec<ExactShare> {
    let tree = Tree::new(spread, weights, partitions);
    let mut shares = vec![ExactShare::NOTHING; weights.len()];
    let mut blocks = vec![(0, tree.vertices[0].most)];
    while let Some((top, total)) = blocks.pop() {
        tree.fill(top, total, &mut shares, &mut blocks);
    }
    shares
}

/// The tree of domains, then groups, with bounds on what each holds of all partitions.
struct Tree<'a> {
    spread: &'a Spread,
    weights: &'a [u64],
    vertices: Vec<Vertex>,
}

struct Vertex {
    /// The root names itself.
    parent: usize,
    children: Vec<usize>,
    least: usize,
    most: usize,
}

impl<'a> Tree<'a> {
    fn new(spread: &'a Spread, weights: &'a [u64], partitions: usize) -> Self {
        let domains = spread.domains.len();
        let mut vertices: Vec<Vertex> = Vec::with_capacity(domains + spread.groups.len());
        for domain in &spread.domains {
            vertices.push(Vertex {
                parent: domain.parent.unwrap_or(0),
                children: domain.children.clone(),
                least: domain.least * partitions,
                most: domain.most * partitions,
            });
        }
        for (index, group) in spread.groups.iter().enumerate() {
            vertices[group.domain].children.push(domains + index);
            let parent = group.domain;
            vertices.push(Vertex {
                parent,
                children: Vec::new(),
                least: 0,
                most: partitions,
            });
        }
        Self {
            spread,
            weights,
            vertices,
        }
    }

    /// What each vertex takes at a level, in units of 1 / [`UNIT`], if its own bounds are ignored and
    /// those below it are not.
    fn takes(&self, level: Level) -> Vec<u128> {
        let domains = self.spread.domains.len();
        let mut takes = vec![0; self.vertices.len()];
        for (member, &weight) in self.weights.iter().enumerate() {
            takes[domains + self.spread.group_of[member]] += level * u128::from(weight);
        }
        for (index, vertex) in self.vertices.iter().enumerate().skip(1).rev() {
            takes[vertex.parent] += takes[index].clamp(units(vertex.least), units(vertex.most));
        }
        takes
    }

    /// Fills the members below `top` with `total` to a common level, except for those below a
    /// vertex whose bound is in the way: that vertex goes to `blocks`.
    fn fill(
        &self,
        top: usize,
        total: usize,
        shares: &mut [ExactShare],
        blocks: &mut Vec<(usize, usize)>,
    ) {
        let takes = self.takes(self.lowest_level(top, total));
        let (mut filled, mut left) = (Vec::new(), total);
        let mut below = vec![top];
        while let Some(index) = below.pop() {
            if let Some(group) = index.checked_sub(self.spread.domains.len()) {
                filled.extend_from_slice(&self.spread.groups[group].members);
            }
            for &child in &self.vertices[index].children {
                let Vertex { least, most, .. } = self.vertices[child];
                let bound = match takes[child] {
                    take if take > units(most) => most,
                    take if take < units(least) => least,
                    _ => {
                        below.push(child);
                        continue;
                    }
                };
                blocks.push((child, bound));
                left -= bound;
            }
        }
        let weight = filled.iter().map(|&member| self.weights[member]).sum();
        // Without weight nobody was filled, and there is nothing to share.
        let Some(weight) = NonZeroU64::new(weight) else {
            return;
        };
        for member in filled {
            shares[member] = ExactShare::new(left as u64 * self.weights[member], weight);
        }
    }

    /// The lowest level at which what is below `top` takes at least `total`.
    fn lowest_level(&self, top: usize, total: usize) -> Level {
        let (mut below, mut enough): (Level, Level) = (0, 1);
        while self.takes(enough)[top] < units(total) {
            enough *= 2;
        }
        while below + 1 < enough {
            let middle = below + (enough - below) / 2;
            if self.takes(middle)[top] < units(total) {
                below = middle
            } else {
                enough = middle
            }
        }
        enough
    }
}

fn units(partitions: usize) -> u128 {
    partitions as u128 * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::members;
    use crate::zone_tree::ZoneTree;

    fn exact(zones: &[&str], weights: &[u64], copies: usize, partitions: usize) -> Vec<String> {
        let spread = Spread::new(&ZoneTree::new(&members(zones)), zones.len(), copies);
        exact_shares(&spread, weights, partitions)
            .iter()
            .map(ExactShare::to_string)
            .collect()
    }

    #[test]
    fn equal_members_share_equally() {
        assert_eq!(exact(&[""; 5], &[100; 5], 3, 16), ["9.60"; 5]);
        assert_eq!(exact(&[""; 4], &[100; 4], 3, 16), ["12"; 4]);
    }

    #[test]
    fn a_heavy_member_holds_every_partition_once_at_most() {
        assert_eq!(exact(&[""; 3], &[1000, 1, 1], 2, 16), ["16", "8", "8"]);
    }

    #[test]
    fn shares_follow_weights() {
        assert_eq!(exact(&[""; 3], &[200, 100, 100], 1, 64), ["32", "16", "16"]);
        assert_eq!(
            exact(&[""; 4], &[1000, 1, 1, 1], 1, 1024),
            ["1020.94", "1.02", "1.02", "1.02"]
        );
    }

    #[test]
    fn a_small_zone_carries_what_distinct_zones_ask_of_it() {
        let zones = ["a", "b", "b", "b", "c", "c", "c"];
        let third = "10.67";
        assert_eq!(
            exact(&zones, &[100; 7], 3, 32),
            ["32", third, third, third, third, third, third]
        );
    }

    #[test]
    fn a_share_between_whole_numbers_is_rounded_either_way() {
        let share = |copies| {
            let of = NonZeroU64::new(5).unwrap();
            let Share { least, most } = ExactShare::new(copies, of).into();
            (least, most)
        };
        assert_eq!((share(48), share(50)), ((9, 10), (10, 10)));
    }
}
