//! Links between nodes: delay, loss, duplication, and cuts in one direction or both. Messages overtake
//! each other whenever their delays differ.

use std::collections::{BTreeMap, BTreeSet};

use super::config::NetworkPlan;
use super::dice::Dice;

/// A directed link, by the numbers of its ends.
pub type Link = (usize, usize);

/// All links of a cluster.
#[derive(Clone, Debug)]
pub struct Network {
    plan: NetworkPlan,
    cuts: BTreeMap<u64, BTreeSet<Link>>,
    next_cut: u64,
    dice: Dice,
}

impl Network {
    /// A network as planned.
    #[must_use]
    pub fn new(plan: NetworkPlan, dice: Dice) -> Self {
        Self {
            plan,
            cuts: BTreeMap::new(),
            next_cut: 0,
            dice,
        }
    }

    /// Cuts these links until [`Self::mend`].
    pub fn cut(&mut self, links: BTreeSet<Link>) -> u64 {
        self.next_cut += 1;
        self.cuts.insert(self.next_cut, links);
        self.next_cut
    }

    /// Ends one cut; other cuts of the same links stay.
    pub fn mend(&mut self, cut: u64) {
        self.cuts.remove(&cut);
    }

    /// From now on nothing is lost, repeated or cut, and delays are short.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.plan = NetworkPlan {
            delay_min_us: 100,
            delay_more_us: 200,
            ..NetworkPlan::default()
        };
    }

    /// Whether messages of an ended process reach its successor.
    #[must_use]
    pub const fn outlives(&self) -> bool {
        self.plan.outlive
    }

    /// Whether a link is cut.
    #[must_use]
    pub fn is_cut(&self, link: Link) -> bool {
        self.cuts.values().any(|links| links.contains(&link))
    }

    /// After which delays, microseconds, copies of a message sent now arrive. None: it is lost.
    pub fn deliveries(&mut self, link: Link) -> Vec<u64> {
        if self.is_cut(link) || self.dice.chance(self.plan.loss) {
            return Vec::new();
        }
        let copies = if self.dice.chance(self.plan.duplication) {
            2
        } else {
            1
        };
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> u64 {
        self.plan.delay_min_us + self.dice.exponential(self.plan.delay_more_us)
    }
}

/// The links between two groups, both directions.
#[must_use]
pub fn between(one: &[usize], other: &[usize]) -> BTreeSet<Link> {
    let pairs = one.iter().flat_map(|&a| other.iter().map(move |&b| (a, b)));
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(plan: NetworkPlan) -> Network {
        Network::new(plan, Dice::new(1, "network"))
    }

    #[test]
    fn a_cut_of_one_direction_leaves_the_other() {
        let mut network = network(NetworkPlan::default());
        let cut = network.cut(BTreeSet::from([(0, 1)]));
        assert!(network.deliveries((0, 1)).is_empty());
        assert_eq!(network.deliveries((1, 0)).len(), 1);
        network.mend(cut);
        assert_eq!(network.deliveries((0, 1)).len(), 1);
    }

    #[test]
    fn overlapping_cuts_end_one_by_one() {
        let mut network = network(NetworkPlan::default());
        let first = network.cut(between(&[0], &[1, 2]));
        let second = network.cut(between(&[0], &[1]));
        network.mend(first);
        assert!(network.is_cut((1, 0)) && !network.is_cut((2, 0)));
        network.mend(second);
        assert!(!network.is_cut((1, 0)));
    }

    #[test]
    fn loss_and_duplication_happen_as_often_as_planned() {
        let mut network = network(NetworkPlan {
            loss: 200,
            duplication: 500,
            ..NetworkPlan::default()
        });
        let copies: Vec<usize> = (0..10_000)
            .map(|_| network.deliveries((0, 1)).len())
            .collect();
        let lost = copies.iter().filter(|&&copies| copies == 0).count();
        let twice = copies.iter().filter(|&&copies| copies == 2).count();
        assert!((1800..2200).contains(&lost), "{lost}");
        assert!((3700..4300).contains(&twice), "{twice}");
    }
}
