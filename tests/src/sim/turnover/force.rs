//! Members that are removed by force: because their machines are gone for good, or because nobody reaches them and an
//! operator takes that for the same.
//!
//! A machine goes for good only where every acknowledged write has another holder that is synced, as with disks that are
//! destroyed; nothing else is destroyed until others have taken its place. Until it is removed it is asked for again
//! and again, also when all faults are over.
//!
//! Who is only cut off goes on as it was: it does not know that it is none any more. Reads at it may be stale until it hears
//! that (rule 13), and what it alone holds is missing from all others' until it has handed it over; `removed` keeps
//! the account. Some are given up while they are away: then they never come back.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::{Commit, RingChange};
use quorate_protocol::map::Member;
use quorate_protocol::versioned::{Going, GoingState, StagedChange, VersionedMap};
use quorate_ring::{Change, NodeId};

use super::super::counters::Counter;
use super::super::event::Event;
use super::super::network::between;
use super::super::world::World;

/// Between two times that the same is asked for, microseconds.
const AGAIN_US: u64 = 3_000_000;

/// Who is to be removed, and who is gone.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct Force {
    /// Machines that never run again.
    pub(super) buried: BTreeSet<usize>,
    /// Members to be removed, and not before when, microseconds.
    pub(super) to_remove: BTreeMap<usize, u64>,
    /// Removed ones to be given up, and not before when, microseconds.
    to_forget: BTreeMap<usize, u64>,
    asked_us: u64,
}

impl World<'_> {
    /// Whether a node's machine is gone for good.
    #[must_use]
    pub fn is_buried(&self, node: usize) -> bool {
        self.turnover.force.buried.contains(&node)
    }

    /// A machine never runs again, and its disk is left as it is.
    pub(in crate::sim) fn stop_for_good(&mut self, node: usize) {
        self.turnover.force.buried.insert(node);
        self.kill(node, AGAIN_US);
    }

    /// Whether a member is to be removed by force.
    pub(super) fn is_on_its_way_out(&self, node: usize) -> bool {
        let force = &self.turnover.force;
        force.buried.contains(&node)
            || force.to_remove.contains_key(&node)
            || force.to_forget.contains_key(&node)
    }

    /// What whoever decides on members still has to do.
    #[must_use]
    pub fn unfinished_removal(&self) -> Option<String> {
        let force = &self.turnover.force;
        if self.turnover.every_us > 0 && self.are_too_few(&self.newest_map()) {
            return Some("too few members are left".to_owned());
        }
        let mut nodes = force.to_remove.keys().chain(force.to_forget.keys());
        if let Some(&node) = nodes.next() {
            let id = self.nodes[node].id;
            return Some(format!("{id} is not removed yet"));
        }
        self.unfinished_recovery()
            .or_else(|| self.unfinished_comeback())
    }

    /// Whether others have taken the places of a member that is gone.
    pub(in crate::sim) fn is_replaced(&self, node: usize) -> bool {
        let (newest, id) = (self.newest_map(), self.nodes[node].id);
        let is_out = newest.map.member(id).is_none() || newest.going(id).is_some();
        let elsewhere = newest.records.iter().all(|record| {
            let left = record.departing.iter().any(|place| place.node == id);
            record.place_of(id).is_none() && (!left || self.is_buried(node))
        });
        is_out && elsewhere && newest.before.is_none()
    }

    /// Somebody is to be removed by force, one at a time.
    pub(super) fn remove_somebody(&mut self, newest: &VersionedMap) {
        let force = &self.turnover.force;
        let busy = !force.to_remove.is_empty() || !force.to_forget.is_empty();
        // The first version needs all members.
        if busy || !newest.is_founded() || self.something_is_destroyed() {
            return;
        }
        let Some(node) = self
            .some_who_stays(newest, &[])
            .and_then(|member| self.place_of(member.id))
        else {
            return;
        };
        let replaceable = self.some_spare(newest, &[]).is_some();
        // While the cluster is short of members already, the one that is free may be spoken for.
        let left = self.stay_without(newest, node) + self.count_free(newest);
        let enough = left >= self.config.copies_wanted();
        let bearable = enough && (replaceable || self.may_shrink(newest, 0));
        if !self.nodes[node].is_running() || !bearable {
            return;
        }
        if self.turnover.dice.chance(500) {
            self.lose_for_good(node, newest);
        } else {
            self.take_for_dead(node);
        }
    }

    /// A machine is gone.
    fn lose_for_good(&mut self, node: usize, newest: &VersionedMap) {
        let synced = |node: usize| self.nodes[node].disk.synced();
        let others_are_whole = !(0..self.nodes.len()).any(|other| self.misses_something(other));
        if !others_are_whole || !self.copies.may_lose(node, 0, synced) || !self.may_lose_votes(node)
        {
            return;
        }
        self.counters
            .count(Counter::Turn("a machine is gone for good"));
        self.bury(node);
        let mut after_us = self.turnover.dice.between(0, 3_000_000);
        // Replaced first, and removed when it turns out that it never hands over.
        if self.turnover.dice.chance(500)
            && let Some(spare) = self.some_spare(newest, &[])
        {
            let replace = StagedChange::replace(self.nodes[node].id, spare);
            self.make(vec![replace]);
            after_us += self.turnover.dice.between(3_000_000, 12_000_000);
        }
        let force = &mut self.turnover.force;
        force.to_remove.insert(node, self.at_us + after_us);
    }

    /// A machine is gone, disk and all, unless somebody will find it.
    pub fn bury(&mut self, node: usize) {
        let id = self.nodes[node].id;
        self.trace
            .say(self.at_us, || format!("{id}'s machine is gone for good"));
        self.turnover.force.buried.insert(node);
        self.kill(node, AGAIN_US);
        if self.will_come_back(node) {
            // Its disk stays as it is, and nobody may count on it.
            self.copies.lost(node, 0, self.at_us);
        } else {
            let synced = self.nodes[node].disk.synced();
            self.nodes[node].disk.wipe();
            self.lose_file(node, false);
            self.destroyed(node, 0, synced);
        }
        self.destroyed = Some(node);
        self.faults.owe(&self.nodes, node);
    }

    /// A member is removed that may be well: mostly nobody reaches it for a while.
    fn take_for_dead(&mut self, node: usize) {
        self.counters
            .count(Counter::Turn("a member is taken for dead"));
        let dice = &mut self.turnover.dice;
        if dice.chance(800) {
            let others: Vec<usize> = (0..self.nodes.len())
                .filter(|&other| other != node)
                .collect();
            let for_us = dice.between(2_000_000, 40_000_000);
            let cut = self.network.cut(between(&[node], &others));
            self.schedule(for_us, Event::Mend(cut));
        }
        let dice = &mut self.turnover.dice;
        let after_us = dice.between(0, 4_000_000);
        // Until it is back nothing else is lost.
        self.destroyed = Some(node);
        self.faults.owe(&self.nodes, node);
        let force = &mut self.turnover.force;
        force.to_remove.insert(node, self.at_us + after_us);
    }

    /// Asks for what must be done, until it is.
    pub(super) fn insist(&mut self) {
        let newest = self.newest_map();
        for node in self
            .turnover
            .force
            .to_remove
            .keys()
            .copied()
            .collect::<Vec<_>>()
        {
            self.insist_on_removal(node, &newest);
        }
        for node in self
            .turnover
            .force
            .to_forget
            .keys()
            .copied()
            .collect::<Vec<_>>()
        {
            self.insist_on_forgetting(node, &newest);
        }
        self.replenish(&newest);
    }

    fn insist_on_removal(&mut self, node: usize, newest: &VersionedMap) {
        let id = self.nodes[node].id;
        let is_dead = newest.going(id).is_some_and(Going::is_dead);
        if newest.map.member(id).is_none() || is_dead {
            self.turnover.force.to_remove.remove(&node);
            self.counters.count(Counter::Turn("removed by force"));
            if self.is_buried(node) || self.turnover.dice.chance(600) {
                let after_us = self.turnover.dice.between(0, 8_000_000);
                let force = &mut self.turnover.force;
                force.to_forget.insert(node, self.at_us + after_us);
            }
            return;
        }
        if !self.is_time(self.turnover.force.to_remove.get(&node).copied()) {
            return;
        }
        let removal = StagedChange::force_remove(id);
        let other = |staged: &StagedChange| staged.node() == id && *staged != removal;
        if newest.staged.iter().any(other) || self.turnover.dice.chance(100) {
            self.wish("clear", RingChange::Clear, 0);
        }
        let comes = newest
            .staged
            .iter()
            .any(|staged| staged.newcomer().is_some());
        if newest.going(id).is_none()
            && !comes
            && self.stay_without(newest, node) < self.config.copies_wanted()
        {
            match self.some_spare(newest, &[]) {
                Some(spare) => self.wish_for_newcomer(spare),
                // Who leaves cannot, as long as classes wait for the one that is lost: they are called back.
                None if newest.before.is_some() => {
                    return self.wish("cancel", RingChange::Cancel, 0);
                }
                // Those who came and were sent away are free once it is removed: until then there are fewer copies.
                None => {}
            }
        }
        self.wish("stage", RingChange::Stage(removal), 400_000);
        let commit = Commit {
            force: true,
            loss_of: vec![id],
            plan: None,
        };
        self.wish("commit", RingChange::Commit(commit), 1_000_000);
    }

    fn wish_for_newcomer(&mut self, spare: Member) {
        let join = StagedChange::join(spare);
        self.get_ready(&join);
        self.wish("stage", RingChange::Stage(join), 100_000);
    }

    /// Where too few members are left for all copies, others come.
    fn replenish(&mut self, newest: &VersionedMap) {
        let busy = !self.turnover.force.to_remove.is_empty();
        if busy || !self.are_too_few(newest) || !self.is_time(Some(0)) {
            return;
        }
        // Of before somebody was lost: it sends members away, or names one that is none any more and is refused for ever.
        let of_before = |staged: &StagedChange| !matches!(staged.change(), Ok(Change::Join(_)));
        if newest.staged.iter().any(of_before) {
            return self.wish("clear", RingChange::Clear, 0);
        }
        if let Some(spare) = self.some_spare(newest, &[]) {
            self.wish_for_newcomer(spare);
        }
        let commit = RingChange::Commit(Commit::default());
        self.wish("commit", commit, 1_000_000);
    }

    fn are_too_few(&self, newest: &VersionedMap) -> bool {
        let members = newest.map.members.iter();
        let stay = members.filter(|member| newest.going(member.id).is_none());
        stay.count() < self.config.copies_wanted()
    }

    /// Whether it is time to ask, and nothing was asked for a while.
    fn is_time(&mut self, not_before_us: Option<u64>) -> bool {
        let at_us = self.at_us;
        let force = &mut self.turnover.force;
        let due = not_before_us.is_some_and(|us| us <= at_us) || self.healed;
        let is_time = due && force.asked_us + AGAIN_US <= at_us;
        if is_time {
            force.asked_us = at_us;
        }
        is_time
    }

    fn stay_without(&self, newest: &VersionedMap, node: usize) -> usize {
        let id = self.nodes[node].id;
        let stays = |member: NodeId| member != id && newest.going(member).is_none();
        newest
            .map
            .members
            .iter()
            .filter(|member| stays(member.id))
            .count()
    }

    fn insist_on_forgetting(&mut self, node: usize, newest: &VersionedMap) {
        let id = self.nodes[node].id;
        let state = newest.going(id).map(|going| going.state);
        if newest.map.member(id).is_none() {
            self.turnover.force.to_forget.remove(&node);
            return;
        }
        if state != Some(GoingState::Dead)
            || !self.is_time(self.turnover.force.to_forget.get(&node).copied())
        {
            return;
        }
        if !self.is_buried(node) && !self.may_be_given_up(node) {
            self.turnover.force.to_forget.remove(&node);
            return;
        }
        if !self.is_buried(node) {
            self.counters
                .count(Counter::Turn("given up while it was away"));
            self.bury(node);
        }
        self.wish("forget", RingChange::Forget(id), 0);
    }

    /// Whether a member that was taken for dead holds nothing alone, and has not come back.
    fn may_be_given_up(&mut self, node: usize) -> bool {
        let synced = |node: usize| self.nodes[node].disk.synced();
        !self.healed
            && self.is_unaware(node)
            && self.nodes[node].is_running()
            && self.copies.may_lose(node, 0, synced)
            && self.may_lose_votes(node)
    }
}
