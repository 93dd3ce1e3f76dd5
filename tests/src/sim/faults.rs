//! Which fault comes next, and what it spares so that the promises still hold: P1 speaks of power
//! loss of all but one holder, so no node loses power while another one's loss is not made good.

use std::collections::BTreeSet;

use super::config::{Config, FaultPlan, Profile};
use super::dice::Dice;
pub use super::fault::Fault;
use super::network::{Link, between};
use super::node::Node;
use super::returning::Script;

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
    /// Nodes whose fsyncs take long.
    slow: BTreeSet<usize>,
    /// Nodes whose next fsync fails.
    failing: BTreeSet<usize>,
    /// What happens instead of what is drawn.
    script: Option<Script>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Kill,
    Power,
    Pause,
    Partition,
    OneWay,
    Flap,
    Clog,
    Clock,
    BadReads,
    BadWrite,
    Full,
    SlowSyncs,
    BadSync,
    Wipe,
    Rewind,
    Damage,
    Vanish,
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
            owed: vec![0; config.nodes().len()],
            slow: BTreeSet::new(),
            failing: BTreeSet::new(),
            script: Script::of(config, dice("script")),
        }
    }

    /// The number of the fault drawn last, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Time until the next fault, microseconds; `None`: there is none.
    pub fn pause(&mut self) -> Option<u64> {
        if self.plan.every_us == 0 {
            return None;
        }
        match &mut self.script {
            Some(script) => Some(script.pause()),
            None => Some(self.pauses.exponential(self.plan.every_us) + 1),
        }
    }

    /// How long a node's next fsync takes, microseconds.
    pub fn sync_us(&mut self, node: usize) -> u64 {
        if self.slow.contains(&node) && self.syncs.chance(300) {
            self.syncs.between(300_000, 10_000_000)
        } else {
            self.syncs.between(300, 5_000)
        }
    }

    /// Fsyncs of a node take long from now on, or no longer.
    pub fn set_slow(&mut self, node: usize, slow: bool) {
        if slow {
            self.slow.insert(node);
        } else {
            self.slow.remove(&node);
        }
    }

    /// The next fsync of a node fails.
    pub fn fail_sync(&mut self, node: usize) {
        self.failing.insert(node);
    }

    /// Whether the fsync that a node begins now fails.
    pub fn sync_fails(&mut self, node: usize) -> bool {
        self.failing.remove(&node)
    }

    /// From now on nothing is slow.
    pub fn heal(&mut self) {
        self.plan = FaultPlan::default();
        self.slow.clear();
        self.failing.clear();
    }

    /// The next fault, if it may begin now and is not left out.
    pub fn draw(&mut self, nodes: &[Node]) -> Option<Fault> {
        self.number += 1;
        let left_out = self.without.contains(&self.number);
        if let Some(script) = &mut self.script {
            return script.step().filter(|_| !left_out);
        }
        if left_out {
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
                for_us: self.pause_us(),
            }),
            Sort::Partition | Sort::OneWay | Sort::Flap if nodes.len() < 2 => None,
            Sort::Partition => Some(self.partition(nodes.len(), node)),
            Sort::OneWay => Some(self.one_way(nodes.len(), node)),
            Sort::Flap => Some(self.flap(nodes.len(), node)),
            Sort::Clog if nodes.len() < 2 => None,
            Sort::Clog => Some(self.clog(nodes.len(), node)),
            Sort::Clock => Some(Fault::Clock {
                node,
                skew_ms: self.skew_ms(),
            }),
            Sort::BadReads
            | Sort::BadWrite
            | Sort::Full
            | Sort::SlowSyncs
            | Sort::BadSync
            | Sort::Wipe
            | Sort::Rewind
            | Sort::Damage
            | Sort::Vanish => self.disk_fault(sort, nodes, node),
        }
    }

    fn disk_fault(&mut self, sort: Sort, nodes: &[Node], node: usize) -> Option<Fault> {
        if !nodes.get(node).is_some_and(Node::is_running) {
            return None;
        }
        match sort {
            Sort::BadReads => Some(Fault::BadReads {
                node,
                permille: if self.dice.chance(500) { 20 } else { 300 },
                for_us: self.dice.between(100_000, 5_000_000),
            }),
            Sort::BadWrite => self.may_go_down(nodes, node).then(|| Fault::BadWrite {
                node,
                arrived: self.dice.chance(500),
            }),
            Sort::Full => Some(Fault::Full {
                node,
                for_us: self.dice.between(300_000, 10_000_000),
            }),
            Sort::SlowSyncs => Some(Fault::SlowSyncs {
                node,
                for_us: self.dice.between(300_000, 10_000_000),
            }),
            Sort::BadSync => self
                .may_go_down(nodes, node)
                .then_some(Fault::BadSync { node }),
            Sort::Wipe => Some(Fault::Wipe {
                node,
                down_us: self.down_us(),
            }),
            Sort::Rewind => Some(Fault::Rewind {
                node,
                down_us: self.down_us(),
            }),
            Sort::Damage => Some(Fault::Damage {
                node,
                records: self.dice.between(1, 4),
                down_us: self.dice.chance(500).then(|| self.down_us()),
            }),
            Sort::Vanish => Some(Fault::Vanish {
                node,
                records: self.dice.between(1, 3),
                down_us: self.dice.chance(400).then(|| self.down_us()),
            }),
            Sort::Kill
            | Sort::Power
            | Sort::Pause
            | Sort::Partition
            | Sort::OneWay
            | Sort::Flap
            | Sort::Clog
            | Sort::Clock => None,
        }
    }

    fn pause_us(&mut self) -> u64 {
        if self.dice.chance(150) {
            self.dice.between(8_000_000, 60_000_000)
        } else {
            self.dice.between(200_000, 8_000_000)
        }
    }

    fn skew_ms(&mut self) -> i64 {
        let most = if self.dice.chance(500) { 500 } else { 60_000 };
        i64::try_from(self.dice.below(2 * most + 1)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
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
            (plan.clog, Sort::Clog),
            (plan.clocks, Sort::Clock),
            (plan.bad_reads, Sort::BadReads),
            (plan.bad_writes, Sort::BadWrite),
            (plan.full, Sort::Full),
            (plan.slow_sync, Sort::SlowSyncs),
            (plan.bad_sync, Sort::BadSync),
            (plan.wipe, Sort::Wipe),
            (plan.rewind, Sort::Rewind),
            (plan.damage, Sort::Damage),
            (plan.vanish, Sort::Vanish),
        ];
        all.into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, sort)| sort)
            .collect()
    }

    fn down_us(&mut self) -> u64 {
        let most_us = match self.profile {
            // One after the other: so that there are enough of them.
            Profile::OneDown => 3_000_000,
            Profile::Calm | Profile::Returning | Profile::Storm => 8_000_000,
        };
        match self.dice.below(20) {
            0..6 => self.dice.between(1_000, 300_000),
            6 => self.dice.between(300_000, 8_000_000),
            _ => self.dice.between(300_000, most_us),
        }
    }

    /// Whether one more process may end or stand still, and this one is there to do so.
    pub(super) fn may_go_down(&self, nodes: &[Node], node: usize) -> bool {
        let down = nodes
            .iter()
            .filter(|node| !node.is_running() || node.paused_until_us > 0)
            .count();
        let most = match (self.profile, self.plan.several) {
            (Profile::Calm, _) => 0,
            (Profile::OneDown, _) => 1,
            (Profile::Storm | Profile::Returning, true) => nodes.len(),
            (Profile::Storm | Profile::Returning, false) => ((nodes.len() - 1) / 2).max(1),
        };
        down < most && nodes.get(node).is_some_and(Node::is_running)
    }

    fn power(&mut self, nodes: &[Node], node: usize) -> Option<Fault> {
        if !self.may_go_down(nodes, node) {
            return None;
        }
        let kept = self.tail_kept(nodes, node)?;
        Some(Fault::Power {
            node,
            kept,
            down_us: self.down_us(),
        })
    }

    /// How much of what a node has not synced survives if it is lost now; `None` if it must not be.
    pub fn tail_kept(&mut self, nodes: &[Node], node: usize) -> Option<usize> {
        let target = nodes.get(node)?;
        if target.disk.synced() < self.owed[node] {
            return None;
        }
        self.owe(nodes, node);
        Some(self.dice.index(target.disk.unsynced() + 1))
    }

    /// A node loses something: what all others hold must be synced before they may lose it.
    pub fn owe(&mut self, nodes: &[Node], node: usize) {
        for (owed, other) in self.owed.iter_mut().zip(nodes) {
            if other.index != node {
                *owed = other.disk.written();
            }
        }
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

    fn clog(&mut self, nodes: usize, node: usize) -> Fault {
        let others: Vec<usize> = (0..nodes).filter(|&other| other != node).collect();
        let links = if self.dice.chance(500) {
            others.iter().map(|&other| (node, other)).collect()
        } else {
            let other = self.dice.pick(&others).copied().unwrap_or(0);
            between(&[node], &[other])
        };
        Fault::Clog {
            links,
            for_us: self.dice.between(50_000, 5_000_000),
            in_order: self.dice.chance(500),
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
