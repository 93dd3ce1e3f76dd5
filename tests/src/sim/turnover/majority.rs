//! A majority of the members is lost for good at some moment of a run, and operators have the cluster recovered by those who are
//! left: again and again, at one survivor after the other or at two at once, and with more names when another one dies meanwhile.
//!
//! Of some machines nothing is left. Others are only switched off, or live on where nobody but clients reaches them, and come
//! back when the cluster was recovered without them: with their old disks and the map of before. They must be turned away, and
//! nobody may take anything from them. They come one at a time: as many as made up a majority once, and cut off from those who were
//! recovered, would be a cluster of their own as before, which nothing but the operator's word forbids.
//!
//! What is lost with them is judged by `checkers::given_up`.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::versioned::VersionedMap;

use super::super::config::Config;
use super::super::counters::Counter;
use super::super::dice::Dice;
use super::super::map;
use super::super::network::between;
use super::super::world::World;

/// Between two orders to recover at least, microseconds.
const AGAIN_US: u64 = 2_500_000;

/// What became of a majority.
#[derive(Clone, Debug)]
pub(super) struct Majority {
    dice: Dice,
    /// It is lost at the first look after this time at which it can be, microseconds.
    due_us: Option<u64>,
    /// Who is lost, whatever is left of it.
    gone: BTreeSet<usize>,
    /// Those of them that are switched off and come back, and after what time, microseconds.
    away: BTreeMap<usize, u64>,
    /// The one that lives on by itself, and the cut that keeps it so.
    apart: Option<(usize, u64)>,
    /// The one that is back and must hear that it was given up.
    back: Option<usize>,
    /// The cluster goes on without all of them since then, microseconds.
    recovered_us: Option<u64>,
    asked_us: u64,
}

impl Config {
    /// Lets a majority of the members be lost for good, and others come in their places.
    ///
    /// Nobody asks for buckets then: what the gone decided among themselves and told a client is lost with them.
    pub fn lose_a_majority(&mut self) {
        let mut dice = Dice::new(self.seed, "when a majority is lost");
        (self.founding, self.dropping) = (None, 0);
        let copies = self.copies_wanted() as u64;
        let plan = &mut self.turnover;
        // Those who are called gone are the ones to come back.
        plan.comebacks = false;
        if plan.every_us == 0 {
            plan.every_us = dice.between(5_000_000, 20_000_000);
        }
        let own = plan.spares.len() as u64;
        let first = self.map.members.len() as u64 + own + 1;
        let more = dice.between(copies, copies + 2).saturating_sub(own);
        plan.spares.extend((first..first + more).map(map::member));
        plan.majority_us = Some(dice.between(self.fault_us / 6, self.fault_us / 2));
    }
}

impl Majority {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            dice: Dice::new(config.seed, "who is lost"),
            due_us: config.turnover.majority_us,
            gone: BTreeSet::new(),
            away: BTreeMap::new(),
            apart: None,
            back: None,
            recovered_us: None,
            asked_us: 0,
        }
    }

    fn is_under_way(&self) -> bool {
        !self.gone.is_empty() && self.recovered_us.is_none()
    }

    /// Takes some of these, by chance.
    fn some_of(&mut self, mut from: Vec<usize>, count: usize) -> BTreeSet<usize> {
        let mut taken = BTreeSet::new();
        while taken.len() < count && !from.is_empty() {
            taken.insert(from.swap_remove(self.dice.index(from.len())));
        }
        taken
    }
}

impl World<'_> {
    /// Whether a node was called gone and is back: it knows of no removal, and must not serve all the same.
    pub(in crate::sim) fn is_back_from_the_gone(&self, node: usize) -> bool {
        self.turnover.majority.back == Some(node) || self.turnover.comebacks.is_back(node)
    }

    /// Whether operators called a node gone, who let no such one in again: also where the cluster was recovered from a version in
    /// which it had left already, and which gives up only the others.
    pub(in crate::sim) fn was_called_gone(&self, node: usize) -> bool {
        self.turnover.majority.gone.contains(&node)
    }

    /// Whether a majority is lost, and the cluster not recovered.
    pub(in crate::sim) fn lacks_a_majority(&self) -> bool {
        self.turnover.majority.is_under_way()
    }

    /// What operators still have to do after a majority was lost.
    pub(super) fn unfinished_recovery(&self) -> Option<String> {
        let majority = &self.turnover.majority;
        if majority.is_under_way() {
            return Some("the cluster is not recovered yet".to_owned());
        }
        let apart = majority.apart.map(|(node, _)| node);
        let unaware = majority
            .back
            .or(apart)
            .or(majority.away.keys().next().copied());
        let node = self.nodes[unaware?].id;
        Some(format!("{node} has not heard that it was given up"))
    }

    /// Does what is due: loses the majority, orders the recovery, lets those come back who can.
    pub(super) fn mind_the_majority(&mut self) {
        let majority = &self.turnover.majority;
        if majority.due_us.is_some_and(|due_us| due_us <= self.at_us) && !self.healed {
            self.lose_the_majority();
        } else if majority.is_under_way() {
            self.insist_on_recovery();
        } else if majority.recovered_us.is_some() {
            self.let_one_come_back();
        }
    }

    fn lose_the_majority(&mut self) {
        let newest = self.newest_map();
        let whole = !(0..self.nodes.len()).any(|node| self.misses_something(node));
        // One thing after the other: who is removed by force is replaced first.
        let quiet = whole && !self.something_is_destroyed() && self.unfinished_removal().is_none();
        let gone = self.some_majority(&newest);
        if !newest.is_founded() || !quiet || gone.is_empty() {
            return;
        }
        self.turnover.majority.due_us = None;
        self.counters
            .count(Counter::Turn("a majority is lost for good"));
        self.copies.are_gone(&gone, self.at_us);
        let apart = self.turnover.majority.dice.chance(400);
        for (at, node) in gone.into_iter().enumerate() {
            if at == 0 && apart {
                self.set_apart(node);
            } else {
                self.lose(node);
            }
        }
    }

    /// So many members that no majority of voters is left, and two members are at least; no more than others can take the places of.
    fn some_majority(&mut self, newest: &VersionedMap) -> BTreeSet<usize> {
        let members = self.members();
        let free = self.count_free(newest);
        let wanted = self.config.copies_wanted();
        let least = members.len().div_ceil(2);
        let most =
            (members.len().saturating_sub(2)).min((members.len() + free).saturating_sub(wanted));
        if least > most {
            return BTreeSet::new();
        }
        let majority = &mut self.turnover.majority;
        let more = majority.dice.chance(300);
        let count = if more {
            least + majority.dice.index(most - least + 1)
        } else {
            least
        };
        let gone = majority.some_of(members, count);
        let left = newest.voters.iter().filter(|voter| {
            let place = self.place_of(voter.node);
            place.is_none_or(|place| !gone.contains(&place))
        });
        let decides = 2 * left.count() > newest.voters.len();
        if decides { BTreeSet::new() } else { gone }
    }

    /// Nodes that may become members.
    pub(super) fn count_free(&self, newest: &VersionedMap) -> usize {
        let free = self.nodes.iter().filter(|node| {
            newest.map.member(node.id).is_none()
                && !newest.expelled.contains(&node.id)
                && !self.is_buried(node.index)
                && !self.was_called_gone(node.index)
        });
        free.count()
    }

    /// A machine is gone, or only switched off.
    fn lose(&mut self, node: usize) {
        self.turnover.majority.gone.insert(node);
        if self.turnover.majority.dice.chance(500) {
            return self.bury(node);
        }
        let after_us = self.turnover.majority.dice.between(0, 10_000_000);
        self.turnover.majority.away.insert(node, after_us);
        self.switch_off(node);
    }

    fn switch_off(&mut self, node: usize) {
        let id = self.nodes[node].id;
        self.trace.say(self.at_us, || {
            format!("{id} is switched off, and called gone")
        });
        self.stop_for_good(node);
        self.faults.owe(&self.nodes, node);
    }

    /// A member lives on where no other one reaches it.
    fn set_apart(&mut self, node: usize) {
        let others: Vec<usize> = (0..self.nodes.len())
            .filter(|&other| other != node)
            .collect();
        let cut = self.network.cut(between(&[node], &others));
        let id = self.nodes[node].id;
        self.trace.say(self.at_us, || {
            format!("{id} lives on by itself, and is called gone")
        });
        let majority = &mut self.turnover.majority;
        majority.gone.insert(node);
        majority.apart = Some((node, cut));
        self.faults.owe(&self.nodes, node);
    }

    /// The way back is open again, so whoever calls it gone has switched it off before.
    fn switch_off_who_is_apart(&mut self) {
        if let Some((node, cut)) = self.turnover.majority.apart.take() {
            self.network.mend(cut);
            self.turnover.majority.away.insert(node, 0);
            self.switch_off(node);
        }
    }

    fn insist_on_recovery(&mut self) {
        if self.healed {
            self.switch_off_who_is_apart();
        }
        let newest = self.newest_map();
        let gone = self.turnover.majority.gone.clone();
        let admitted = gone.iter().copied();
        let mut called: Vec<usize> = admitted
            .filter(|&node| newest.admits(self.nodes[node].id))
            .collect();
        if called.is_empty() {
            self.turnover.majority.recovered_us = Some(self.at_us);
            self.counters
                .count(Counter::Turn("recovered without a majority"));
            return;
        }
        let wait_us = self.turnover.majority.dice.below(AGAIN_US);
        if self.turnover.majority.asked_us + AGAIN_US + wait_us > self.at_us {
            return;
        }
        self.turnover.majority.asked_us = self.at_us;
        let left = newest.voters.iter().filter(|voter| {
            let place = self.place_of(voter.node);
            place.is_none_or(|place| !gone.contains(&place))
        });
        if 2 * left.count() > newest.voters.len() {
            return self.remove_who_died_later(called);
        }
        called.extend(self.another_dies(&newest));
        let left = self.members().into_iter();
        let left: Vec<usize> = left
            .filter(|node| !self.turnover.majority.gone.contains(node))
            .filter(|&node| self.nodes[node].is_running())
            .collect();
        let orders = if self.turnover.majority.dice.chance(300) {
            2
        } else {
            1
        };
        for node in self.turnover.majority.some_of(left, orders) {
            self.order_recovery(node, called.clone());
        }
    }

    /// Those who are left are a majority by now: the cluster was recovered before they knew of these.
    fn remove_who_died_later(&mut self, nodes: Vec<usize>) {
        for node in nodes {
            self.turnover.majority.gone.remove(&node);
            self.turnover.majority.away.remove(&node);
            self.turnover.force.to_remove.insert(node, self.at_us);
        }
        if self.turnover.majority.gone.is_empty() {
            self.turnover.majority.recovered_us = Some(self.at_us);
        }
    }

    /// Now and then one more of those who are left dies before the cluster is recovered.
    fn another_dies(&mut self, newest: &VersionedMap) -> Option<usize> {
        let left: Vec<usize> = self
            .members()
            .into_iter()
            .filter(|&node| !self.is_buried(node))
            .collect();
        let left: Vec<usize> = left
            .into_iter()
            .filter(|node| !self.turnover.majority.gone.contains(node))
            .collect();
        let stay = left.len().saturating_sub(1);
        let enough = stay >= 2 && stay + self.count_free(newest) >= self.config.copies_wanted();
        if self.healed || !enough || !self.turnover.majority.dice.chance(200) {
            return None;
        }
        let node = *self.turnover.majority.dice.pick(&left)?;
        self.counters
            .count(Counter::Turn("another one is lost before the recovery"));
        self.copies.are_gone(&BTreeSet::from([node]), self.at_us);
        self.lose(node);
        Some(node)
    }

    /// One of the gone is back, with all that it had, as soon as the one before has heard that it was given up.
    fn let_one_come_back(&mut self) {
        let heard = |world: &Self, node| world.is_buried(node);
        if let Some((node, cut)) = self.turnover.majority.apart {
            if heard(self, node) {
                self.turnover.majority.apart = None;
            } else if self.turnover.majority.dice.chance(300) {
                self.network.mend(cut);
            }
            return;
        }
        if let Some(node) = self.turnover.majority.back {
            if heard(self, node) {
                self.turnover.majority.back = None;
            }
            return;
        }
        let since_us = self.turnover.majority.recovered_us.unwrap_or(0);
        let mut away = self.turnover.majority.away.iter();
        let (at_us, healed) = (self.at_us, self.healed);
        let due = away.find(|(_, after_us)| healed || since_us + **after_us <= at_us);
        let Some(node) = due.map(|(&node, _)| node) else {
            return;
        };
        self.turnover.majority.away.remove(&node);
        self.turnover.majority.back = Some(node);
        self.counters
            .count(Counter::Turn("who was called gone is back"));
        self.turnover.force.buried.remove(&node);
        self.start(node);
    }
}
