//! The weather of nodes that come back: the windows in which a store is tempted to answer from a
//! replica that does not know enough, hit on purpose rather than by chance. Random faults rarely do: a
//! stale answer needs an older replica and a newer write whose holders are silent at that moment.
//!
//! Only processes die here, by a script; links work and lose nothing, and nobody stands still. So
//! reads must be fresh under default (sloppy) quorums as well; `checkers/freshness.rs` judges them.
//!
//! One act after the other, each about the replicas of one key that is in use:
//!
//! * **one**: a primary is down for a while; sometimes a fallback, which has its hints by then, dies
//!   just before the primary is back (R10, R13);
//! * **flapping**: a primary comes and goes (R13);
//! * **turns**: two primaries are down while writes go to the third and to fallbacks; then the third and a
//!   fallback die, and the two are back alone (R12, R11);
//! * **all**: all primaries are down, fallbacks alone take writes, and those who hold the hints are
//!   away when the primaries are back;
//! * **again**: all primaries are down, back long enough to be given their hints, and down again, so that a
//!   fallback coordinates writes before and after it has handed over.

use std::collections::VecDeque;

use quorate_protocol::map::ClusterMap;
use quorate_ring::Class;

use super::config::{Config, FaultPlan, NetworkPlan, Profile};
use super::dice::Dice;
use super::faults::Fault;
use super::history::Key;

/// After so much time down a node is known to be down by all others, microseconds.
const NOTICED_US: u64 = 1_600_000;

/// Makes a configuration one of this weather: few keys, much to do, nothing but the script.
pub fn reshape(config: &mut Config, dice: &mut Dice) {
    config.profile = Profile::Returning;
    config.keys = u32::try_from(dice.between(2, 4)).unwrap_or(2);
    config.network = NetworkPlan {
        delay_min_us: dice.between(50, 500),
        delay_more_us: dice.between(50, 2_000),
        ..NetworkPlan::default()
    };
    config.faults = FaultPlan {
        every_us: 1_000_000,
        kill: true,
        ..FaultPlan::default()
    };
    config.strict = 0;
    config.drift_ppm = 0;
}

/// The acts to come.
#[derive(Clone, Debug)]
pub struct Script {
    /// The nodes of each key in use by their place, primaries first.
    lists: Vec<Vec<usize>>,
    /// Copies of each of these keys.
    copies: usize,
    dice: Dice,
    /// Steps of the act under way: how long after the one before, which node, down for how long.
    steps: VecDeque<Step>,
    /// Until the act under way is over after its last step, microseconds.
    rest_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    after_us: u64,
    node: usize,
    down_us: u64,
}

impl Script {
    /// A script for this configuration, if its weather has one.
    #[must_use]
    pub fn of(config: &Config, dice: Dice) -> Option<Self> {
        if config.profile != Profile::Returning {
            return None;
        }
        let bucket = config.map.buckets.first()?;
        let key = |number| Key {
            bucket: bucket.id,
            number,
        };
        Some(Self {
            lists: (0..config.keys)
                .map(|number| nodes_of(&config.map, bucket.props.n, key(number)))
                .collect(),
            copies: usize::from(bucket.props.n),
            dice,
            steps: VecDeque::new(),
            rest_us: 500_000,
        })
    }

    /// Time until the next step, microseconds.
    pub fn pause(&mut self) -> u64 {
        if self.steps.is_empty() {
            let rest_us = self.rest_us;
            self.next_act();
            if let Some(first) = self.steps.front_mut() {
                first.after_us += rest_us;
            }
        }
        self.steps.front().map_or(1_000_000, |step| step.after_us)
    }

    /// The step that is due.
    pub fn step(&mut self) -> Option<Fault> {
        let Step { node, down_us, .. } = self.steps.pop_front()?;
        Some(Fault::Kill { node, down_us })
    }

    fn next_act(&mut self) {
        let Some(list) = self.dice.pick(&self.lists).cloned() else {
            return;
        };
        let (primaries, fallbacks) = list.split_at(self.copies.min(list.len()));
        let mut primaries = primaries.to_vec();
        let turn = self.dice.index(primaries.len());
        primaries.rotate_left(turn);
        match self.dice.below(9) {
            0..2 => self.one(&primaries, fallbacks),
            2 => self.flapping(&primaries),
            3..5 => self.turns(&primaries, fallbacks),
            5 | 6 => self.all(&primaries, fallbacks),
            _ => self.again(&primaries),
        }
    }

    fn kill(&mut self, after_us: u64, node: usize, down_us: u64) {
        self.steps.push_back(Step {
            after_us,
            node,
            down_us,
        });
    }

    fn one(&mut self, primaries: &[usize], fallbacks: &[usize]) {
        let down_us = self.dice.between(300_000, 4_000_000);
        self.kill(0, primaries[0], down_us);
        self.rest_us = down_us + 1_000_000;
        if let (Some(&holder), true) = (fallbacks.first(), self.dice.chance(500)) {
            let early_us = self.dice.between(1_000, 200_000);
            let away_us = self.dice.between(300_000, 1_500_000);
            self.kill(down_us - early_us, holder, away_us);
            self.rest_us = away_us + 1_000_000;
        }
    }

    fn flapping(&mut self, primaries: &[usize]) {
        let mut after_us = 0;
        for _ in 0..self.dice.between(3, 10) {
            let down_us = self.dice.between(50_000, 2_000_000);
            self.kill(after_us, primaries[0], down_us);
            after_us = down_us + self.dice.between(1_000, 400_000);
        }
        self.rest_us = after_us + 1_000_000;
    }

    fn turns(&mut self, primaries: &[usize], fallbacks: &[usize]) {
        let Some((&last, first)) = primaries.split_last() else {
            return;
        };
        let down_us = NOTICED_US + self.dice.between(200_000, 1_500_000);
        for &node in first {
            self.kill(0, node, down_us);
        }
        let early_us = self.dice.between(1_000, 50_000);
        let away_us = self.dice.between(1_000_000, 3_000_000);
        self.kill(down_us - early_us, last, away_us);
        if let Some(&holder) = fallbacks.first() {
            self.kill(0, holder, away_us);
        }
        self.rest_us = away_us + 2_000_000;
    }

    fn all(&mut self, primaries: &[usize], fallbacks: &[usize]) {
        let down_us = NOTICED_US + self.dice.between(500_000, 2_000_000);
        for &node in primaries {
            self.kill(0, node, down_us);
        }
        let early_us = self.dice.between(1_000, 50_000);
        let mut after_us = down_us - early_us;
        let mut away_us = 0;
        if self.dice.chance(700) {
            away_us = self.dice.between(200_000, 5_000_000);
            for &holder in fallbacks {
                self.kill(after_us, holder, away_us);
                after_us = 0;
            }
        }
        self.rest_us = after_us + away_us + 2_500_000;
    }

    fn again(&mut self, primaries: &[usize]) {
        let mut after_us = 0;
        for _ in 0..self.dice.between(2, 3) {
            let down_us = NOTICED_US + self.dice.between(200_000, 1_500_000);
            for &node in primaries {
                self.kill(after_us, node, down_us);
                after_us = 0;
            }
            after_us = down_us + self.dice.between(200_000, 700_000);
        }
        self.rest_us = after_us + 2_000_000;
    }
}

/// A key's nodes by their place: primaries, then all others in the order in which they stand in.
fn nodes_of(map: &ClusterMap, n: u8, key: Key) -> Vec<usize> {
    let class = Class {
        n,
        partition: map.ring.partition_of(key.bucket, &key.bytes()),
    };
    let place = |id| map.members.iter().position(|member| member.id == id);
    let primaries = map.ring.primaries(class).iter().copied();
    primaries
        .chain(map.ring.fallbacks(class))
        .filter_map(place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_takes_down_nodes_that_exist_and_ends() {
        for seed in 0..50 {
            let config = Config::in_weather(seed, Profile::Returning);
            let script = Script::of(&config, Dice::new(seed, "script"));
            let mut script = script.unwrap_or_else(|| unreachable!("this weather has a script"));
            let mut killed = 0;
            for _ in 0..100 {
                assert!(script.pause() < 20_000_000);
                if let Some(Fault::Kill { node, down_us }) = script.step() {
                    assert!(node < config.map.members.len() && down_us > 0);
                    killed += 1;
                }
            }
            assert_eq!(killed, 100);
        }
    }
}
