//! Who comes and goes: nodes that were no members at first join, take the place of a member, or of one that died for good;
//! members leave and come back; others are removed by force, dead or only cut off; two changes at once; and all of it is
//! cleared or cancelled at any moment.
//!
//! Whoever decides on members looks at the cluster every second, by its newest map, and asks some member. A member whose
//! machine is gone must be removed in the end, or nothing would ever settle: that is asked for until it is done
//! (`force`). All else may be refused, overtaken or forgotten, and is not asked for again.

mod comebacks;
mod force;
mod majority;

use std::collections::BTreeSet;

use quorate_core::register::Version;
use quorate_protocol::RequestId;
use quorate_protocol::client::{Commit, RingChange};
use quorate_protocol::map::Member;
use quorate_protocol::versioned::{StagedChange, VersionedMap};

use self::comebacks::Comebacks;
use self::force::Force;
use self::majority::Majority;
use super::config::{Config, Profile, is_small};
use super::counters::Counter;
use super::dice::Dice;
use super::event::Event;
use super::map;
use super::operators::unfinished;
use super::world::World;
use crate::checkers::{Violation, zones};

/// In so many of a thousand runs members come and go.
const TURNING: u32 = 250;
/// Between two looks at the cluster, microseconds.
const LOOK_US: u64 = 1_000_000;

/// How members of a run come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnoverPlan {
    /// Nodes that run and are no members at first.
    pub spares: Vec<Member>,
    /// Mean time between two changes, microseconds; 0: none.
    pub every_us: u64,
    /// Whether members are removed by force, too.
    pub forced: bool,
    /// Whether members stand in three zones, and stay there.
    pub zoned: bool,
    /// A majority of the members is lost for good after this time, microseconds.
    pub majority_us: Option<u64>,
    /// Whether who was removed by force and given up comes back with its old disk.
    pub comebacks: bool,
}

impl TurnoverPlan {
    /// Whether acknowledged writes may be lost with their holders: with a majority, or with one that takes them in vain.
    pub(super) const fn loses_writes(&self) -> bool {
        self.majority_us.is_some() || self.comebacks
    }
}

/// Decides how members of a run come and go.
pub(super) fn draw(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "turnover");
    // As with operators: what returning nodes are checked for goes beyond quorums.
    let fits = config.profile != Profile::Returning && !is_small(config.seed);
    if !dice.chance(TURNING) || !fits || config.map.members.len() < 5 {
        return;
    }
    let first = config.map.members.len() as u64 + 1;
    let plan = &mut config.turnover;
    plan.spares = (first..first + dice.between(1, 3))
        .map(map::member)
        .collect();
    plan.every_us = dice.between(3_000_000, 20_000_000);
    plan.forced = config.profile == Profile::Storm && dice.chance(800);
    plan.comebacks = plan.forced && comebacks::happen(config.seed);
    plan.zoned = dice.chance(400) && config.operate_every_us == 0;
    if config.turnover.zoned {
        config.stand_in_zones();
    }
    if config.turnover.forced {
        config.have_two_copies();
    }
}

impl Config {
    /// Members and those who may come stand in three zones.
    pub(crate) fn stand_in_zones(&mut self) {
        let ring = &self.map.ring;
        let (partitions, copies) = (ring.partitions().get(), ring.copies());
        let members = self.map.members.iter_mut();
        for (member, zone) in members
            .chain(&mut self.turnover.spares)
            .zip(["a", "b", "c"].into_iter().cycle())
        {
            member.zone = zone.parse().unwrap_or_default();
        }
        self.map.ring = map::first_ring(partitions, copies, &self.map.members);
    }

    /// No value has a single copy: it would go with its member.
    fn have_two_copies(&mut self) {
        for bucket in &mut self.map.buckets {
            bucket.props.n = bucket.props.n.max(2);
        }
        if self.founding.is_some() {
            self.found_buckets();
        }
    }

    /// The most copies of any bucket of a run, those included that it makes.
    pub(super) fn copies_wanted(&self) -> usize {
        let made = self.founding.iter().flat_map(|plan| &plan.names);
        let own = self.map.buckets.iter().map(|bucket| bucket.props.n);
        let all = own.chain(made.map(|asked| asked.props.n));
        usize::from(all.max().unwrap_or(1))
    }
}

/// Who comes and goes in a run.
#[derive(Clone, Debug)]
pub(super) struct Turnover {
    dice: Dice,
    every_us: u64,
    pub(super) force: Force,
    majority: Majority,
    comebacks: Comebacks,
    /// There were fewer than three zones to place data in, and classes may stand as they could then.
    few_zones: bool,
    /// Who was a member in any version.
    were_members: BTreeSet<usize>,
}

impl Turnover {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            dice: Dice::new(config.seed, "who comes and goes"),
            every_us: config.turnover.every_us,
            force: Force::default(),
            majority: Majority::new(config),
            comebacks: Comebacks::new(config),
            few_zones: false,
            were_members: (0..config.map.members.len()).collect(),
        }
    }

    pub(super) fn pick(&mut self, from: &[usize]) -> Option<usize> {
        self.dice.pick(from).copied()
    }
}

impl World<'_> {
    pub(super) fn begin_turnover(&mut self) {
        if self.turnover.every_us > 0 {
            self.schedule(2 * LOOK_US, Event::Operator);
        }
    }

    /// The nodes that clients ask: those that were members at first, or where members come and go those that are by now and now
    /// and then one that was.
    pub(super) fn asked_nodes(&self) -> Vec<usize> {
        let first = 0..self.config.map.members.len();
        if self.turnover.every_us == 0 {
            return first.collect();
        }
        let mut nodes = self.members();
        let gone = self.turnover.were_members.iter();
        nodes.extend(gone.filter(|node| self.at_us.is_multiple_of(7) && !self.is_buried(**node)));
        nodes
    }

    /// Looks at the cluster, does what must be done, and now and then something else.
    pub(super) fn operate(&mut self) {
        let members = self.members();
        self.turnover.were_members.extend(members);
        self.mind_the_majority();
        self.mind_comebacks();
        self.insist();
        let every_us = self.turnover.every_us;
        if !self.healed && self.turnover.dice.below(every_us) < LOOK_US {
            self.change_members();
        }
        self.schedule(LOOK_US, Event::Operator);
    }

    fn change_members(&mut self) {
        let newest = self.newest_map();
        match self.turnover.dice.below(100) {
            0..55 if self.config.turnover.forced => self.remove_somebody(&newest),
            0..15 => self.undo(),
            _ => {
                let mut changes = Vec::from_iter(self.a_turn(&newest, &[]));
                if self.turnover.dice.chance(300) {
                    let second = self.a_turn(&newest, &changes);
                    changes.extend(second);
                }
                self.make(changes);
            }
        }
    }

    /// What is staged is cleared, or what is under way is cancelled.
    fn undo(&mut self) {
        if self.turnover.dice.chance(300) {
            self.wish("clear", RingChange::Clear, 0);
        } else {
            self.wish("cancel", RingChange::Cancel, 0);
        }
    }

    /// Stages changes and commits them; maybe it is all taken back at some step.
    fn make(&mut self, changes: Vec<StagedChange>) {
        if changes.is_empty() {
            return;
        }
        let mut at_us = 0;
        for change in changes {
            self.get_ready(&change);
            self.wish("stage", RingChange::Stage(change), at_us);
            at_us += self.turnover.dice.between(1_000, 1_500_000);
        }
        for _ in 0..self.turnover.dice.between(1, 2) {
            self.wish("commit", RingChange::Commit(Commit::default()), at_us);
            at_us += self.turnover.dice.between(1_000, 3_000_000);
        }
        if self.turnover.dice.chance(250) {
            let later_us = self.turnover.dice.exponential(3_000_000);
            self.wish("cancel", RingChange::Cancel, at_us + later_us);
        }
    }

    /// Now and then a newcomer is given the map of today rather than that of the beginning, as its directory is made
    /// when it is wanted.
    fn get_ready(&mut self, change: &StagedChange) {
        let newcomer = change
            .newcomer()
            .and_then(|member| self.place_of(member.id));
        let Some(node) = newcomer.filter(|node| !self.turnover.were_members.contains(node)) else {
            return;
        };
        if self.turnover.dice.chance(500)
            && let Some(version) = self.newest_version()
        {
            self.nodes[node].give(version);
            self.replace_file(node, None);
            let down_us = self.turnover.dice.between(1, 4_000_000);
            self.kill(node, down_us);
        }
    }

    fn a_turn(&mut self, newest: &VersionedMap, others: &[StagedChange]) -> Option<StagedChange> {
        let spare = self.some_spare(newest, others);
        let stays = self.some_who_stays(newest, others);
        let may_shrink = self.may_shrink(newest, others.len());
        match (self.turnover.dice.below(100), spare, stays) {
            (0..40, Some(spare), _) => Some(StagedChange::join(spare)),
            (40..75, Some(spare), Some(node)) => {
                let by = self.in_the_place_of(newest, spare, &node);
                Some(StagedChange::replace(node.id, by))
            }
            (_, _, Some(node)) if may_shrink => Some(StagedChange::leave(node.id)),
            (_, _, _) => None,
        }
    }

    /// A node that is no member and can become one: it was none yet, or left in peace.
    fn some_spare(&mut self, newest: &VersionedMap, others: &[StagedChange]) -> Option<Member> {
        let (first, spares) = (&self.config.map.members, &self.config.turnover.spares);
        let is_free = |member: &&Member| {
            let staged = newest.staged.iter().chain(others);
            let mut comes = staged.filter_map(StagedChange::newcomer);
            let lost = self
                .place_of(member.id)
                .is_some_and(|node| self.is_buried(node) || self.was_called_gone(node));
            newest.map.member(member.id).is_none()
                && !newest.expelled.contains(&member.id)
                && !comes.any(|other| other.id == member.id)
                && !lost
        };
        let free = first.iter().chain(spares).filter(is_free);
        let free: Vec<Member> = free.cloned().collect();
        self.turnover.dice.pick(&free).cloned()
    }

    /// A member that is to stay by now.
    fn some_who_stays(&mut self, newest: &VersionedMap, others: &[StagedChange]) -> Option<Member> {
        let stays = |member: &&Member| {
            let mut staged = newest.staged.iter().chain(others);
            newest.going(member.id).is_none()
                && !staged.any(|change| change.node() == member.id)
                && self
                    .place_of(member.id)
                    .is_some_and(|node| !self.is_on_its_way_out(node))
        };
        let stay: Vec<Member> = newest.map.members.iter().filter(stays).cloned().collect();
        self.turnover.dice.pick(&stay).cloned()
    }

    /// Who replaces a member stands in its zone, where zones count, and has its weight mostly.
    fn in_the_place_of(&mut self, newest: &VersionedMap, spare: Member, node: &Member) -> Member {
        let zone = if self.config.turnover.zoned {
            spare.zone.clone()
        } else {
            node.zone.clone()
        };
        let weight = newest
            .map
            .member(node.id)
            .map_or(node.weight, |member| member.weight);
        Member {
            zone,
            weight,
            ..spare
        }
    }

    /// Whether enough members stay for the copies of all buckets if so many and one more go.
    fn may_shrink(&self, newest: &VersionedMap, more: usize) -> bool {
        let stay = newest.map.members.iter();
        let stay = stay.filter(|member| {
            newest.going(member.id).is_none()
                && self
                    .place_of(member.id)
                    .is_some_and(|node| !self.is_on_its_way_out(node))
        });
        stay.count() > self.config.copies_wanted() + more
    }

    /// Asks some member that runs.
    fn wish(&mut self, what: &'static str, change: RingChange, after_us: u64) {
        let dice = &mut self.turnover.dice;
        let request = RequestId::new(dice.bits(), dice.bits());
        let members = self.members();
        let running = |node: &usize| self.nodes[*node].is_running();
        let running: Vec<usize> = members.into_iter().filter(running).collect();
        if let Some(&node) = self.turnover.dice.pick(&running) {
            self.order_at(node, (request, change), 1 + after_us, what);
        }
    }

    /// A11, where members stand in zones. A machine that is lost may take a zone with it.
    fn judge_zones(&mut self, version: &VersionedMap) {
        let few = zones::count(version) < 3;
        let settled = unfinished(version).is_none();
        self.turnover.few_zones = few || (self.turnover.few_zones && !settled);
        if !self.config.turnover.zoned || self.turnover.few_zones {
            return;
        }
        if let Some(why) = zones::crowded(version) {
            let why = format!("version {}: {why}", version.version);
            self.violations.push(Violation::general("A11", why));
        }
    }

    /// A version comes into force at some node. Judged and counted is one that is newer than all before.
    pub(super) fn judge_members(&mut self, before: Option<&Version>, after: &Version) {
        let Some(before) = before.filter(|before| before.name().version < after.name().version)
        else {
            return;
        };
        let (before, after) = (before.map(), after.map());
        self.judge_zones(after);
        self.snipers.is_moving = unfinished(after).is_some();
        if self.turnover.every_us == 0 {
            return;
        }
        let came = |member: &&Member| before.map.member(member.id).is_none();
        for member in after.map.members.iter().filter(came) {
            let Some(node) = self.place_of(member.id) else {
                continue;
            };
            self.copies.is_back(node);
            let was = !self.turnover.were_members.insert(node);
            let what = if was {
                "a member came back"
            } else {
                "a node joined"
            };
            self.counters.count(Counter::Turn(what));
        }
        let goes = |member: &&Member| after.map.member(member.id).is_none();
        for _ in before.map.members.iter().filter(goes) {
            let what = "a member is none any more";
            self.counters.count(Counter::Turn(what));
        }
    }
}
