//! Who was removed by force and given up comes back all the same in some runs: somebody finds the machine, with its old disk and the
//! map of before on it, and switches it on.
//!
//! It must be turned away at every door and hurt nobody: nothing that it says changes what others hold, and it answers no
//! read from what was true once. Until the first member turns it away it cannot know. A write that it takes till then, and that
//! nobody else has, is lost with it (`checkers::given_up`); nothing else is excused, not even what rule 13 of ring changes excuses
//! of a member that was removed and has not heard of it.

use std::collections::BTreeSet;

use super::super::config::Config;
use super::super::counters::Counter;
use super::super::dice::Dice;
use super::super::map;
use super::super::world::World;

/// In so many of a thousand runs with forced removals, which is one of twenty of all.
const RETURNING: u32 = 400;

/// Who was given up and is not lost altogether.
#[derive(Clone, Debug)]
pub(super) struct Comebacks {
    happen: bool,
    dice: Dice,
    /// Machines that are switched off, their disks as they were.
    found: BTreeSet<usize>,
    /// The one that runs again and must hear that it was given up.
    back: Option<usize>,
}

/// Whether they happen in a run where members are removed by force.
pub(super) fn happen(seed: u64) -> bool {
    Dice::new(seed, "whether the given up come back").chance(RETURNING)
}

impl Config {
    /// Lets members be removed by force and given up, and come back.
    pub fn let_the_given_up_come_back(&mut self) {
        let first = self.map.members.len() as u64 + 1;
        let plan = &mut self.turnover;
        plan.every_us = 2_000_000;
        if plan.spares.is_empty() {
            plan.spares = (first..first + 3).map(map::member).collect();
        }
        (plan.forced, plan.comebacks) = (true, true);
        self.have_two_copies();
    }
}

impl Comebacks {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            happen: config.turnover.comebacks,
            dice: Dice::new(config.seed, "who was given up and comes back"),
            found: BTreeSet::new(),
            back: None,
        }
    }

    pub(super) fn is_back(&self, node: usize) -> bool {
        self.back == Some(node)
    }
}

impl World<'_> {
    /// Whether a machine that is lost will be found one day: then its disk stays as it is. What had vanished from it would be
    /// missed by nobody any more, and so it is not looked for.
    pub(super) fn will_come_back(&mut self, node: usize) -> bool {
        if !self.turnover.comebacks.happen || self.misses_something(node) {
            return false;
        }
        let found = self.turnover.comebacks.dice.chance(700);
        if found {
            self.turnover.comebacks.found.insert(node);
            self.is_excused_no_more(node);
        }
        found
    }

    /// Who still is to be turned away.
    pub(super) fn unfinished_comeback(&self) -> Option<String> {
        let comebacks = &self.turnover.comebacks;
        let node = comebacks.back.or(comebacks.found.first().copied())?;
        let id = self.nodes[node].id;
        Some(format!("{id} has not heard that it was given up"))
    }

    /// One after the other they come back: as soon as the cluster has given them up, or later.
    pub(super) fn mind_comebacks(&mut self) {
        if let Some(node) = self.turnover.comebacks.back {
            if self.is_buried(node) {
                self.turnover.comebacks.back = None;
            }
            return;
        }
        if self.turnover.comebacks.found.is_empty() {
            return;
        }
        let newest = self.newest_map();
        let healed = self.healed;
        let comebacks = &mut self.turnover.comebacks;
        let mut found = comebacks.found.iter().copied();
        let given_up = found.find(|&node| !newest.admits(self.nodes[node].id));
        let Some(node) = given_up.filter(|_| healed || comebacks.dice.chance(300)) else {
            return;
        };
        comebacks.found.remove(&node);
        comebacks.back = Some(node);
        self.counters
            .count(Counter::Turn("who was given up is back"));
        self.copies.is_back_in_vain(node);
        self.turnover.force.buried.remove(&node);
        self.start(node);
    }
}
