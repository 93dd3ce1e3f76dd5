//! Which fault comes next, and what it spares so that the promises still hold: P1 speaks of power
//! loss of all but one holder, so no node loses power while another one's loss is not made good.

use std::collections::BTreeSet;

use super::config::{Config, FaultPlan, Profile};
use super::dice::Dice;
use super::network::{Link, between};
use super::node::Node;

/// A fault to begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Kill a process and start it again after a while.
    Kill {
        /// Which node.
        node: usize,
        /// Until it starts again, microseconds.
        down_us: u64,
    },
    /// Cut a node's power and start it again after a while.
    Power {
        /// Which node.
        node: usize,
        /// Batches of those not synced that survive.
        kept: usize,
        /// Until it starts again, microseconds.
        down_us: u64,
    },
    /// Let a process stand still.
    Pause {
        /// Which node.
        node: usize,
        /// For how long, microseconds.
        for_us: u64,
    },
    /// Cut links.
    Cut {
        /// Which.
        links: BTreeSet<Link>,
        /// For how long, microseconds.
        for_us: u64,
        /// What it is called in a trace.
        shape: &'static str,
    },
    /// Set a wall clock.
    Clock {
        /// Which node.
        node: usize,
        /// How far off it is from now on, milliseconds.
        skew_ms: i64,
    },
}

/// Draws faults.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: FaultPlan,
    profile: Profile,
    seed: u64,
    /// The number of the last fault drawn.
    number: u64,
    without: BTreeSet<u64>,
    /// What the fault being drawn is like: a stream for each, so that leaving one out changes no other.
    dice: Dice,
    /// When faults come.
    pauses: Dice,
    /// How long an fsync takes.
    syncs: Dice,
    /// For each node, the batch that must be synced before its power may go off.
    owed: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Kill,
    Power,
    Pause,
    Partition,
    OneWay,
    Flap,
    Clock,
}

impl Faults {
    /// Faults as configured.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let dice = |label| Dice::new(config.seed, label);
        Self {
            plan: config.faults,
            profile: config.profile,
            seed: config.seed,
            number: 0,
            without: config.without_faults.clone(),
            dice: dice("faults"),
            pauses: dice("pauses between faults"),
            syncs: dice("syncs"),
            owed: vec![0; config.map.members.len()],
        }
    }

    /// The number of the fault drawn last, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Time until the next fault, microseconds; `None`: there is none.
    pub fn pause(&mut self) -> Option<u64> {
        (self.plan.every_us > 0).then(|| self.pauses.exponential(self.plan.every_us) + 1)
    }

    /// How long the next fsync takes, microseconds.
    pub fn sync_us(&mut self) -> u64 {
        if self.plan.slow_sync && self.syncs.chance(30) {
            self.syncs.between(300_000, 3_000_000)
        } else {
            self.syncs.between(300, 5_000)
        }
    }

    /// From now on nothing is slow.
    pub fn heal(&mut self) {
        self.plan = FaultPlan::default();
    }

    /// The next fault, if it may begin now and is not left out.
    pub fn draw(&mut self, nodes: &[Node]) -> Option<Fault> {
        self.number += 1;
        if self.without.contains(&self.number) {
            return None;
        }
        self.dice = Dice::new(self.seed, &format!("fault {}", self.number));
        let sorts = self.sorts();
        let sort = *self.dice.pick(&sorts)?;
        let node = self.dice.index(nodes.len());
        match sort {
            Sort::Kill => self.may_go_down(nodes, node).then(|| Fault::Kill {
                node,
                down_us: self.down_us(),
            }),
            Sort::Power => self.power(nodes, node),
            Sort::Pause => self.may_go_down(nodes, node).then(|| Fault::Pause {
                node,
                for_us: self.dice.between(200_000, 8_000_000),
            }),
            Sort::Partition => Some(self.partition(nodes.len(), node)),
            Sort::OneWay => Some(self.one_way(nodes.len(), node)),
            Sort::Flap => Some(self.flap(nodes.len(), node)),
            Sort::Clock => Some(Fault::Clock {
                node,
                skew_ms: i64::try_from(self.dice.below(1001)).unwrap_or(0) - 500,
            }),
        }
    }

    fn sorts(&self) -> Vec<Sort> {
        let plan = &self.plan;
        let all = [
            (plan.kill, Sort::Kill),
            (plan.power, Sort::Power),
            (plan.pause, Sort::Pause),
            (plan.partition, Sort::Partition),
            (plan.one_way, Sort::OneWay),
            (plan.flap, Sort::Flap),
            (plan.clocks, Sort::Clock),
        ];
        all.into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, sort)| sort)
            .collect()
    }

    fn down_us(&mut self) -> u64 {
        if self.dice.chance(300) {
            self.dice.between(1_000, 300_000)
        } else {
            self.dice.between(300_000, 8_000_000)
        }
    }

    fn may_go_down(&self, nodes: &[Node], node: usize) -> bool {
        let down = nodes
            .iter()
            .filter(|node| !node.is_running() || node.paused_until_us > 0)
            .count();
        let most = match (self.profile, self.plan.several) {
            (Profile::Calm, _) => 0,
            (Profile::OneDown, _) => 1,
            (Profile::Storm, true) => nodes.len(),
            (Profile::Storm, false) => (nodes.len() - 1) / 2,
        };
        down < most && nodes.get(node).is_some_and(Node::is_running)
    }

    fn power(&mut self, nodes: &[Node], node: usize) -> Option<Fault> {
        let target = nodes.get(node)?;
        if !self.may_go_down(nodes, node) || target.disk.synced() < self.owed[node] {
            return None;
        }
        for (owed, other) in self.owed.iter_mut().zip(nodes) {
            if other.index != node {
                *owed = other.disk.written();
            }
        }
        Some(Fault::Power {
            node,
            kept: self.dice.index(target.disk.unsynced() + 1),
            down_us: self.down_us(),
        })
    }

    fn cut_us(&mut self) -> u64 {
        self.dice.between(300_000, 10_000_000)
    }

    fn partition(&mut self, nodes: usize, node: usize) -> Fault {
        let all: Vec<usize> = (0..nodes).collect();
        let (links, shape) = match self.dice.below(3) {
            0 => (ring_of_majorities(nodes), "ring of majorities"),
            1 => {
                let others: Vec<usize> = (0..nodes).filter(|&other| other != node).collect();
                (between(&[node], &others), "one isolated")
            }
            _ => {
                let (one, other): (Vec<usize>, Vec<usize>) =
                    all.iter().partition(|_| self.dice.chance(500));
                (between(&one, &other), "two groups")
            }
        };
        Fault::Cut {
            links,
            for_us: self.cut_us(),
            shape,
        }
    }

    fn one_way(&mut self, nodes: usize, node: usize) -> Fault {
        let others: Vec<usize> = (0..nodes).filter(|&other| other != node).collect();
        let links: BTreeSet<Link> = match self.dice.below(3) {
            0 => others.iter().map(|&other| (node, other)).collect(),
            1 => others.iter().map(|&other| (other, node)).collect(),
            _ => {
                let other = self.dice.pick(&others).copied().unwrap_or(0);
                BTreeSet::from([(node, other)])
            }
        };
        Fault::Cut {
            links,
            for_us: self.cut_us(),
            shape: "one way",
        }
    }

    fn flap(&mut self, nodes: usize, node: usize) -> Fault {
        let other = (node + 1 + self.dice.index(nodes - 1)) % nodes;
        Fault::Cut {
            links: between(&[node], &[other]),
            for_us: self.dice.between(50_000, 1_500_000),
            shape: "flap",
        }
    }
}

/// Everybody reaches a majority, and no two the same one: each node loses the one opposite.
fn ring_of_majorities(nodes: usize) -> BTreeSet<Link> {
    let reach = (nodes / 2).div_ceil(2);
    let far = |a: usize, b: usize| {
        let apart = a.abs_diff(b);
        apart.min(nodes - apart) > reach
    };
    let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    pairs.filter(|&(a, b)| far(a, b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_of_majorities_everybody_reaches_a_majority_and_somebody_is_out_of_reach() {
        for nodes in [5, 6, 7] {
            let cut = ring_of_majorities(nodes);
            for node in 0..nodes {
                let lost = cut.iter().filter(|(from, _)| *from == node).count();
                assert!(lost > 0 && 2 * (nodes - lost) > nodes, "{nodes}: {lost}");
            }
        }
    }
}
