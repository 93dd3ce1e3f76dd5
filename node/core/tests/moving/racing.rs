//! The last step of a transfer races another change of the ring: a removal, the death of its source or target, a second
//! join, a cancellation. Versions are made by the rules of [`quorate_core::moves`], from what real replicas have said, and by
//! one register: so there is one owner set for each version. What is judged is that nothing that was acknowledged is lost or
//! missed, that every class has its members in the end, all equal, and that nobody else holds anything.
//!
//! `QUORATE_RACING_SEEDS=10000 cargo test -p quorate-core --features planted --test moving racing` runs ten thousand.

use std::collections::BTreeSet;

use quorate_core::moves::{Allowed, Heard, Next, Refused, cancel, commit_at_once, next_version};
use quorate_core::register::{Draft, Version};
use quorate_protocol::RequestId;
use quorate_protocol::versioned::{ClassState, MapChange, StagedChange};
use quorate_ring::NodeId;

use crate::map::{founded, member, storage};
use crate::oracle::record_of;
use crate::world::{Weather, World};
use crate::wrong::Wrong;

const MEMBERS: u64 = 4;
const SPARES: u64 = 2;

fn weather(seed: u64) -> Weather {
    let mut dice = crate::dice::Dice::new(seed ^ 0x5a31);
    Weather {
        nodes: MEMBERS,
        spares: SPARES,
        keys: 1 + dice.small(2),
        steps: 40 + dice.below(80),
        loss: [0, 5, 20][dice.below(3)],
        power: false,
        crashes: true,
        strict: true,
        slow: dice.chance(50),
        moves: true,
    }
}

impl World {
    fn heard(&self) -> Heard {
        let members = &self.version.map;
        let mut words = self.words();
        words.retain(|node, _| members.member(*node).is_some());
        let running = self.running().into_iter();
        let hinting = self.nodes.keys().copied();
        Heard {
            words,
            running: running.map(|node| (node, Some(storage(node)))).collect(),
            hinting: hinting.filter(|node| self.keeps_hints(*node)).collect(),
        }
    }

    pub(crate) fn go_on_by_the_rules(&mut self) {
        let mut heard = self.heard();
        self.twist(&mut heard);
        let next = next_version(&self.version, &heard);
        self.make(next);
    }

    /// What was heard, as who breaks a rule takes it.
    fn twist(&self, heard: &mut Heard) {
        let record = record_of(&self.version);
        match self.wrong {
            Some(Wrong::NoBarrier) => {
                let words = heard.words.values_mut();
                words.for_each(|word| word.version = self.version.version);
            }
            Some(Wrong::GoneAtOnce) => {
                for word in heard.words.values_mut() {
                    word.departing.clear();
                    word.version = word.version.max(record.epoch);
                }
            }
            Some(
                Wrong::Replica(_)
                | Wrong::NoJointNew
                | Wrong::AdoptedUnsynced
                | Wrong::MovesOverlap
                | Wrong::CancelledAtOnce,
            )
            | None => {}
        }
    }

    /// A version, as who breaks a rule makes it.
    fn spoil(&self, draft: &mut Draft) {
        let before = record_of(&self.version).state;
        for record in &mut draft.records {
            let state = (before, record.state);
            match self.wrong {
                Some(Wrong::NoJointNew)
                    if state == (ClassState::JointOld, ClassState::JointNew) =>
                {
                    record.old = std::mem::take(&mut record.new);
                    record.state = ClassState::Stable;
                }
                Some(Wrong::CancelledAtOnce)
                    if state == (ClassState::JointNew, ClassState::JointOld) =>
                {
                    record.new.clear();
                    record.state = ClassState::Stable;
                }
                Some(_) | None => {}
            }
            let places = record.places();
            record
                .dead
                .retain(|node| places.iter().any(|place| place.node == *node));
        }
    }

    fn make(&mut self, next: Option<Next>) {
        let (Some(mut next), Some(register)) = (next, &self.register) else {
            return;
        };
        self.spoil(&mut next.draft);
        let change = MapChange {
            request: RequestId::new(7, self.version.version.get()),
            by: NodeId::new(1),
            wall_ms: 0,
            what: next.what,
        };
        match register.child(change, next.draft) {
            Ok(version) => self.is_decided(version),
            Err(error) => self
                .wrongs
                .push(format!("a version that cannot be: {error}")),
        }
    }

    fn is_decided(&mut self, version: Version) {
        self.version = version.shared();
        self.register = Some(version);
        let record = record_of(&self.version);
        let owners: BTreeSet<NodeId> = record.read_set().iter().map(|place| place.node).collect();
        if owners.len() != record.read_set().len() || owners.is_empty() {
            self.wrongs.push(format!("no set of owners: {record:?}"));
        }
    }

    fn staying(&self) -> Vec<NodeId> {
        let members = self.version.map.members.iter().map(|member| member.id);
        members
            .filter(|&node| self.version.going(node).is_none())
            .collect()
    }

    /// Another change of the ring.
    fn change(&mut self, removed: &mut bool) {
        let staying = self.staying();
        let spare = (1..=MEMBERS + SPARES)
            .find(|&number| self.version.map.member(NodeId::new(number)).is_none());
        let (Some(node), may_shrink) = (self.dice.pick(&staying), staying.len() > 3) else {
            return;
        };
        let change = match (self.dice.below(10), spare) {
            (0 | 1, _) => return self.take(|world| cancel(&world.version, &world.heard())),
            (2..5, Some(spare)) => StagedChange::join(member(spare)),
            (5 | 6, Some(spare)) => StagedChange::replace(node, member(spare)),
            (7 | 8, _) if may_shrink && !*removed => {
                *removed = true;
                // It is dead for good, until everything is over, or goes on without knowing.
                if self.dice.chance(50) && self.nodes[&node].replica.is_some() {
                    self.die(node, false);
                }
                StagedChange::force_remove(node)
            }
            (_, _) if may_shrink => StagedChange::leave(node),
            (_, _) => return,
        };
        let allowed = Allowed {
            force: true,
            loss_of: staying.into_iter().collect(),
            plan: None,
        };
        self.take(|world| commit_at_once(&world.version, change, &allowed, &world.heard()));
    }

    fn take(&mut self, next: impl FnOnce(&Self) -> Result<Next, Refused>) {
        let next = next(self).ok();
        self.make(next);
    }

    /// Up to the last step of a transfer: the newcomers are complete, or read already.
    fn come_to_the_last_step(&mut self) {
        self.register = Some(founded(MEMBERS));
        let (from, by) = (NodeId::new(1 + self.dice.below(4) as u64), MEMBERS + 1);
        let first = if self.dice.chance(60) {
            StagedChange::replace(from, member(by))
        } else {
            StagedChange::leave(from)
        };
        (0..3).for_each(|_| self.ask_something());
        self.calm(500);
        let allowed = Allowed::default();
        self.take(|world| commit_at_once(&world.version, first, &allowed, &world.heard()));
        let read_new = self.dice.chance(50);
        for _ in 0..40 {
            let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
            ids.into_iter().for_each(|id| self.adopt(id));
            self.calm(500);
            let record = record_of(&self.version);
            let complete = |place| {
                let claims = self.words();
                let claims = claims.values().flat_map(|word| word.complete.clone());
                claims
                    .into_iter()
                    .any(|claim| claim.vnode == place && claim.epoch == record.epoch)
            };
            let filled = record.newcomers().all(|place| complete(place.vnode));
            match record.state {
                ClassState::JointNew => return,
                ClassState::JointOld if filled && !read_new => return,
                ClassState::JointOld | ClassState::Stable => self.go_on(),
            }
        }
    }

    fn race(&mut self) {
        let mut removed = false;
        for _ in 0..self.weather.steps {
            match self.dice.below(100) {
                0..45 => (0..=self.dice.below(8)).for_each(|_| self.deliver_one(true)),
                45..55 => {
                    let ms = 10 + self.dice.below(300) as u64;
                    self.pass(ms, false);
                }
                55..65 => self.ask_something(),
                65..80 => {
                    let running = self.running();
                    if let Some(id) = self.dice.pick(&running) {
                        self.adopt(id);
                    }
                }
                80..90 => self.go_on(),
                90..95 => self.change(&mut removed),
                _ => self.crash_or_start_anybody(),
            }
            if !self.wrongs.is_empty() {
                return;
            }
        }
    }

    /// Source, target or whoever dies, and comes back some time.
    fn crash_or_start_anybody(&mut self) {
        let running = self.running();
        let down: Vec<NodeId> = self
            .nodes
            .keys()
            .copied()
            .filter(|id| !running.contains(id))
            .collect();
        let is_out = |node: &NodeId| {
            self.version
                .going(*node)
                .is_some_and(|going| going.is_dead())
        };
        let back: Vec<NodeId> = down.iter().copied().filter(|node| !is_out(node)).collect();
        match (self.dice.pick(&back), down.len()) {
            (Some(id), _) => self.start(id),
            (None, 0..2) => {
                if let Some(id) = self.dice.pick(&running) {
                    self.die(id, false);
                }
            }
            (None, _) => {}
        }
    }
}

pub(crate) fn run(seed: u64, wrong: Option<Wrong>) -> Result<(usize, u64), String> {
    let mut world = World::new(seed, weather(seed), wrong);
    world.come_to_the_last_step();
    world.race();
    world.end()?;
    let versions = usize::try_from(world.version.version.get()).unwrap_or(0);
    Ok((versions, world.answered))
}

#[test]
fn v01_the_last_step_of_a_transfer_races_other_changes_and_nothing_is_dropped_early() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from: u64 = number("QUORATE_RACING_FROM").unwrap_or(0);
    let seeds = from..from + number("QUORATE_RACING_SEEDS").unwrap_or(300);
    let (mut wrong, mut versions, mut answered) = (Vec::new(), 0, 0);
    for seed in seeds {
        match run(seed, None) {
            Ok((made, asked)) => {
                versions += made;
                answered += asked;
            }
            Err(error) => {
                eprintln!("seed {seed}: {error}");
                wrong.push(seed);
            }
        }
    }
    eprintln!("{versions} versions, {answered} answers");
    assert!(wrong.is_empty(), "seeds {wrong:?}");
    assert!(versions > 0 && answered > 0);
}
