//! Links between nodes: delay, loss, duplication, and cuts in one direction or both. Messages overtake
//! each other whenever their delays differ.

use std::collections::{BTreeMap, BTreeSet};

use super::config::NetworkPlan;
use super::dice::Dice;

/// After which delays the copies of one message arrive: none, one or two.
pub type SmallDelays = [Option<u64>; 2];

/// A directed link, by the numbers of its ends.
pub type Link = (usize, usize);

/// A link that holds everything back until some time.
#[derive(Clone, Copy, Debug)]
struct Clog {
    until_us: u64,
    /// Whether what was held leaves in order, a little apart; otherwise at once, in any order.
    in_order: bool,
    held: u64,
}

/// Between two messages that leave a clogged link in order, microseconds.
const CLOG_GAP_US: u64 = 5;
/// Within this time those leave that do so at once, microseconds.
const CLOG_BURST_US: u64 = 50;

/// All links of a cluster.
#[derive(Clone, Debug)]
pub struct Network {
    plan: NetworkPlan,
    cuts: BTreeMap<u64, BTreeSet<Link>>,
    next_cut: u64,
    clogs: BTreeMap<Link, Clog>,
    /// What the way from or to a node takes beyond the usual, microseconds.
    slow: BTreeMap<usize, u64>,
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
            clogs: BTreeMap::new(),
            slow: BTreeMap::new(),
            dice,
        }
    }

    /// Links fare otherwise from now on.
    pub fn set(&mut self, plan: NetworkPlan) {
        self.plan = plan;
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

    /// Holds back what is sent over a link until then.
    pub fn clog(&mut self, link: Link, until_us: u64, in_order: bool) {
        let clog = Clog {
            until_us,
            in_order,
            held: 0,
        };
        self.clogs.insert(link, clog);
    }

    /// From now on nothing is lost, repeated or cut, and delays are short.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.clogs.clear();
        self.slow.clear();
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

    /// The way from and to a node takes so much longer from now on.
    pub fn slow(&mut self, node: usize, more_us: u64) {
        self.slow.insert(node, more_us);
    }

    fn more_us(&self, (from, to): Link) -> u64 {
        if self.slow.is_empty() {
            return 0;
        }
        let of = |node| self.slow.get(&node).copied().unwrap_or(0);
        of(from) + of(to)
    }

    /// Whether a link is cut.
    #[must_use]
    pub fn is_cut(&self, link: Link) -> bool {
        !self.cuts.is_empty() && self.cuts.values().any(|links| links.contains(&link))
    }

    /// After which delays, microseconds, copies of a message sent now arrive. None: it is lost.
    pub fn deliveries(&mut self, at_us: u64, link: Link) -> SmallDelays {
        if self.is_cut(link) || (self.plan.loss > 0 && self.dice.chance(self.plan.loss)) {
            return [None, None];
        }
        if let Some(held_us) = self.held_us(at_us, link) {
            return [Some(held_us), None];
        }
        let twice = self.plan.duplication > 0 && self.dice.chance(self.plan.duplication);
        let more_us = self.more_us(link);
        [
            Some(self.delay() + more_us),
            twice.then(|| self.delay() + more_us),
        ]
    }

    /// How long a clogged link holds back what is sent now.
    fn held_us(&mut self, at_us: u64, link: Link) -> Option<u64> {
        if self.clogs.is_empty() {
            return None;
        }
        let clog = self.clogs.get_mut(&link)?;
        if clog.until_us <= at_us {
            self.clogs.remove(&link);
            return None;
        }
        clog.held += 1;
        let then_us = if clog.in_order {
            clog.held * CLOG_GAP_US
        } else {
            self.dice.below(CLOG_BURST_US)
        };
        Some(clog.until_us - at_us + self.plan.delay_min_us + then_us)
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

    fn copies(network: &mut Network, link: Link) -> usize {
        network.deliveries(0, link).into_iter().flatten().count()
    }

    #[test]
    fn a_clogged_link_holds_everything_and_then_lets_it_go_in_order() {
        let mut network = network(NetworkPlan::default());
        network.clog((0, 1), 5_000_000, true);
        let mut last_us = 0;
        for at_us in [0, 1_000_000, 4_999_999] {
            let [Some(delay_us), None] = network.deliveries(at_us, (0, 1)) else {
                unreachable!("nothing is lost or repeated here")
            };
            assert!(at_us + delay_us >= 5_000_000 && at_us + delay_us > last_us);
            last_us = at_us + delay_us;
        }
        assert_eq!(network.deliveries(5_000_000, (0, 1)), [Some(0), None]);
        assert_eq!(network.deliveries(1_000, (1, 0)), [Some(0), None]);
    }

    #[test]
    fn a_cut_of_one_direction_leaves_the_other() {
        let mut network = network(NetworkPlan::default());
        let cut = network.cut(BTreeSet::from([(0, 1)]));
        assert_eq!(copies(&mut network, (0, 1)), 0);
        assert_eq!(copies(&mut network, (1, 0)), 1);
        network.mend(cut);
        assert_eq!(copies(&mut network, (0, 1)), 1);
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
        let copies: Vec<usize> = (0..10_000).map(|_| copies(&mut network, (0, 1))).collect();
        let lost = copies.iter().filter(|&&copies| copies == 0).count();
        let twice = copies.iter().filter(|&&copies| copies == 2).count();
        assert!((1800..2200).contains(&lost), "{lost}");
        assert!((3700..4300).contains(&twice), "{twice}");
    }
}
