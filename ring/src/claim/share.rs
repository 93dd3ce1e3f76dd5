//! How many partitions each member should hold.
//!
//! The largest load per unit of weight is to be as small as possible. Which loads can be reached at
//! all is simple, because all partitions follow the same bounds ([`Spread`]) and those form a tree:
//! loads for which each domain of the tree holds between Q times its lower and Q times its upper
//! bound can always be dealt out to Q partitions (the integer decomposition property of laminar
//! bounds: sort all copies by domain, group and member and deal them out like cards; every domain
//! then gets its total over Q in each partition, rounded up or down). So the loads are found
//! without looking at partitions, by filling up to a common level of load over weight.
//!
//! Where a domain cannot take its part, or must take more, its total is what its bound says, and it
//! is filled to a level of its own.

use super::spread::Spread;

/// The loads among which movement may choose: every member holds its cap, or one less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    pub(super) least: usize,
    pub(super) most: usize,
}

/// A level of load over weight, in units of 1 / [`UNIT`].
///
/// Loads over weights are fractions with denominators up to 1,000, so two of them that differ do so
/// by more than 1 / 1,000,000. In finer units, the first level at which a total is reached gives
/// the same loads as the exact one.
type Level = u64;
const UNIT: u64 = 1 << 24;

/// The shares of all members, by `weights`, for `partitions` partitions.
pub(super) fn shares(spread: &Spread, weights: &[u64], partitions: usize) -> Vec<Share> {
    let tree = Tree::new(spread, weights, partitions);
    let mut shares = vec![Share { least: 0, most: 0 }; weights.len()];
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

    /// What each vertex takes at a level if its own bounds are ignored and those below it are not.
    fn takes(&self, level: Level) -> Vec<usize> {
        let domains = self.spread.domains.len();
        let mut takes = vec![0; self.vertices.len()];
        for (member, &weight) in self.weights.iter().enumerate() {
            takes[domains + self.spread.group_of[member]] += load_at(level, weight);
        }
        for (index, vertex) in self.vertices.iter().enumerate().skip(1).rev() {
            takes[vertex.parent] += takes[index].clamp(vertex.least, vertex.most);
        }
        takes
    }

    /// Fills the members below `top` with `total` to the lowest common level, except for those
    /// below a vertex whose bound is in the way: that vertex goes to `blocks`.
    fn fill(
        &self,
        top: usize,
        total: usize,
        shares: &mut [Share],
        blocks: &mut Vec<(usize, usize)>,
    ) {
        let level = self.lowest_level(top, total);
        let takes = self.takes(level);
        // Nobody can have less than the cap if all caps together are just what is needed.
        let slack = usize::from(takes[top] > total);
        let mut below = vec![top];
        while let Some(index) = below.pop() {
            if let Some(group) = index.checked_sub(self.spread.domains.len()) {
                for &member in &self.spread.groups[group].members {
                    let most = load_at(level, self.weights[member]);
                    shares[member] = Share {
                        least: most.saturating_sub(slack),
                        most,
                    };
                }
            }
            for &child in &self.vertices[index].children {
                let Vertex { least, most, .. } = self.vertices[child];
                match takes[child] {
                    take if take > most => blocks.push((child, most)),
                    take if take < least => blocks.push((child, least)),
                    _ => below.push(child),
                }
            }
        }
    }

    /// The lowest level at which what is below `top` takes at least `total`.
    fn lowest_level(&self, top: usize, total: usize) -> Level {
        let (mut below, mut enough): (Level, Level) = (0, 1);
        while self.takes(enough)[top] < total {
            enough *= 2;
        }
        while below + 1 < enough {
            let middle = below + (enough - below) / 2;
            if self.takes(middle)[top] < total {
                below = middle
            } else {
                enough = middle
            }
        }
        enough
    }
}

/// The load of a member at a level.
///
/// A level of all partitions of the largest ring on the lightest member is 2^40 units, and the
/// doubling search ends below twice that; a weight is below 2^10.
fn load_at(level: Level, weight: u64) -> usize {
    usize::try_from(level * weight / UNIT).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::tests::members;
    use crate::zone_tree::ZoneTree;

    fn most(zones: &[&str], weights: &[u64], copies: usize, partitions: usize) -> Vec<usize> {
        let spread = Spread::new(&ZoneTree::new(&members(zones)), zones.len(), copies);
        shares(&spread, weights, partitions)
            .iter()
            .map(|share| share.most)
            .collect()
    }

    #[test]
    fn equal_members_share_equally_rounded_up() {
        assert_eq!(most(&[""; 5], &[100; 5], 3, 16), [10; 5]);
        assert_eq!(most(&[""; 4], &[100; 4], 3, 16), [12; 4]);
    }

    #[test]
    fn a_heavy_member_holds_every_partition_once_at_most() {
        assert_eq!(most(&[""; 3], &[1000, 1, 1], 2, 16), [16, 8, 8]);
    }

    #[test]
    fn loads_follow_weights() {
        assert_eq!(most(&[""; 3], &[200, 100, 100], 1, 64), [32, 16, 16]);
    }

    #[test]
    fn a_small_zone_carries_what_distinct_zones_ask_of_it() {
        let zones = ["a", "b", "b", "b", "c", "c", "c"];
        let (loads, third) = (most(&zones, &[100; 7], 3, 32), 11);
        assert_eq!(loads, [32, third, third, third, third, third, third]);
    }
}
