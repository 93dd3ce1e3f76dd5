//! Random walks: operators stage, commit, cancel, clear, remove by force and forget; nodes stop, start, adopt, prove,
//! delete; some of it is heard; versions follow. In any order. Then all is done that can be, and everything is over.

use quorate_core::moves::{
    Allowed, Next, Refused, Step, cancel, clear, commit, drop_bucket, forget, plan, stage,
};
use quorate_protocol::map::Bucket;
use quorate_protocol::versioned::{ClassState, Going, GoingState, StagedChange, VersionedMap};
use quorate_ring::{BucketId, NodeId, Weight, Zone};

use crate::dice::Dice;
use crate::world::{World, bucket, classes, founded, id, member, standing};

/// How often what was done, over a walk or several.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: std::collections::BTreeMap<Step, usize>,
    commits: usize,
    cancels: usize,
    forgotten: usize,
    forced: usize,
    refused: usize,
    dropped: usize,
    most_versions_to_the_end: usize,
}

pub(crate) struct Walk {
    pub(crate) world: World,
    dice: Dice,
    tally: Tally,
    /// The next node that comes has this number.
    fresh: u64,
}

const ZONES: [&str; 3] = ["a", "b", "c/d"];

impl Walk {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let members = 1 + dice.below(6) as u64;
        let members: Vec<_> = (1..=members)
            .map(|number| member(number, dice.pick(&ZONES).unwrap()))
            .collect();
        let partitions = dice.pick(&[8, 16]).unwrap();
        let copies = dice.pick(&[&[3][..], &[2, 5], &[1, 3]]).unwrap();
        Self {
            fresh: 1 + members.len() as u64,
            world: World::new(founded(members, partitions, copies)),
            dice,
            tally: Tally::default(),
        }
    }

    /// So many random actions, then everything to its end.
    pub(crate) fn run(mut self, actions: usize) -> Result<Tally, String> {
        for _ in 0..actions {
            self.act()?;
        }
        self.end()?;
        Ok(self.tally)
    }

    fn act(&mut self) -> Result<(), String> {
        let node = self.dice.pick(&self.world.ids()).unwrap();
        match self.dice.below(40) {
            0..=8 => self.world.adopt(node),
            9..=13 => self.world.claim(node),
            14..=16 => {
                let dice = &mut self.dice;
                self.world.delete(node, || dice.once_in(2));
            }
            17..=24 => self.world.hear(node),
            25 => {
                let up = self.dice.once_in(3);
                self.world.nodes.get_mut(&node).unwrap().up = !up;
            }
            26..=33 => return self.step(),
            34..=36 => return self.operate(node),
            37 => self.world.round(),
            38 => {
                let hinting = &mut self.world.heard.hinting;
                if !hinting.remove(&node) {
                    hinting.insert(node);
                }
            }
            _ => {
                let held = self.world.nodes.keys().copied().collect::<Vec<_>>();
                held.into_iter().for_each(|node| self.world.hear(node));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let heard = &self.world.heard;
        let next = quorate_core::moves::next_version(self.world.version.map(), heard);
        let steps = next.map(|next| next.steps).unwrap_or_default();
        for (step, times) in steps {
            *self.tally.steps.entry(step).or_default() += times;
        }
        self.world.step().map(drop)
    }

    /// An operator does something. What is refused changes nothing.
    fn operate(&mut self, node: NodeId) -> Result<(), String> {
        let version = self.world.version.clone();
        let map = version.map();
        let made = match self.dice.below(12) {
            0..=4 => stage(map, self.some_change(node)),
            5..=7 => self.commit(map),
            8 => cancel(map, &self.world.heard).inspect(|_| self.tally.cancels += 1),
            9 => clear(map),
            10 => forget(map, node).inspect(|_| self.tally.forgotten += 1),
            _ => self.change_buckets(map),
        };
        match made {
            Ok(next) => self.world.decide(next),
            Err(refused) => {
                self.tally.refused += 1;
                assert!(!refused.to_string().is_empty());
                Ok(())
            }
        }
    }

    fn commit(&mut self, map: &VersionedMap) -> Result<Next, Refused> {
        let outlook = plan(map, &self.world.heard)?;
        let careful = Allowed {
            force: true,
            ..Allowed::default()
        };
        if let Ok(next) = commit(map, &careful, &self.world.heard) {
            self.check_nothing_lost(map, &next);
        }
        let allowed = Allowed {
            force: !self.dice.once_in(4),
            loss_of: outlook.losses.keys().copied().collect(),
            plan: Some(outlook.digest),
        };
        let made = commit(map, &allowed, &self.world.heard)?;
        self.tally.commits += 1;
        self.tally.forced += usize::from(!outlook.losses.is_empty());
        Ok(made)
    }

    /// Where no loss was allowed, somebody who runs has what is acknowledged of each class that a node is torn from.
    fn check_nothing_lost(&self, before: &VersionedMap, next: &Next) {
        let is_dead = |going: Option<&Going>| going.is_some_and(Going::is_dead);
        let going = |node| next.draft.going.iter().find(|going| going.node == node);
        for class in classes(before) {
            let record = standing(before, class);
            let torn = record
                .old
                .iter()
                .any(|place| is_dead(going(place.node)) && !is_dead(before.going(place.node)));
            let holders = match record.state {
                ClassState::JointNew => record.places(),
                ClassState::Stable | ClassState::JointOld => record.old,
            };
            let safe = holders.iter().any(|place| {
                let runs = self.world.heard.running.contains_key(&place.node);
                runs && !is_dead(going(place.node))
            });
            assert!(!torn || safe, "{class} has lost its last copy: {holders:?}");
        }
    }

    /// Makes the bucket of some n, or drops it where it is there and is not the only one.
    fn change_buckets(&mut self, map: &VersionedMap) -> Result<Next, Refused> {
        let mut draft = self.world.version.draft();
        let n = 1 + u8::try_from(self.dice.below(usize::from(map.map.ring.copies()))).unwrap();
        let known = map.map.buckets.iter().find(|bucket| bucket.props.n == n);
        if let Some(known) = known.filter(|_| map.map.buckets.len() > 1) {
            let dropped = drop_bucket(map, known.id)?;
            self.tally.dropped += 1;
            return Ok(dropped);
        }
        if known.is_none() {
            let made_by = u32::try_from(map.version.next().get()).unwrap();
            draft.map.buckets.push(Bucket {
                id: BucketId::made(made_by, 0),
                ..bucket(n)
            });
            draft.map.buckets.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Next {
            draft,
            steps: Default::default(),
            what: "a bucket".to_owned(),
        })
    }

    fn some_change(&mut self, node: NodeId) -> StagedChange {
        let zone = self.dice.pick(&ZONES).unwrap();
        let mut newcomer = || {
            self.fresh += 1;
            member(self.fresh, zone)
        };
        match self.dice.below(9) {
            0 | 1 => StagedChange::join(newcomer()),
            2 | 3 => StagedChange::leave(node),
            4 => StagedChange::force_remove(node),
            5 | 6 => StagedChange::replace(node, newcomer()),
            7 => StagedChange::zone(node, zone.parse::<Zone>().unwrap()),
            _ => {
                let weight = self.dice.pick(&[0, 50, 100, 300]).unwrap();
                StagedChange::weight(node, Weight::new(weight).unwrap())
            }
        }
    }

    /// All nodes run but some of the dead, which are forgotten.
    fn end(&mut self) -> Result<(), String> {
        let version = self.world.version.clone();
        let going = version.map().going.iter();
        let dead = going.filter(|going| going.state == GoingState::Dead);
        let lost: Vec<NodeId> = dead
            .map(|going| going.node)
            .filter(|_| self.dice.once_in(2))
            .collect();
        for (id, node) in &mut self.world.nodes {
            node.up = !lost.contains(id);
        }
        for &node in &lost {
            let next = forget(self.world.version.map(), node).map_err(|error| error.to_string())?;
            self.world.decide(next)?;
        }
        self.world.heard.hinting.clear();
        let taken = self.world.settle()?;
        self.tally.most_versions_to_the_end = taken;
        self.check_end()
    }

    fn check_end(&self) -> Result<(), String> {
        let map = self.world.version.map();
        let over = self.world.progress();
        if !over.is_over() || over.can_be_cancelled {
            return Err(format!("end: not over: {over:?}"));
        }
        for class in classes(map) {
            let record = standing(map, class);
            let mut nodes: Vec<NodeId> = record.old.iter().map(|place| place.node).collect();
            let mut target = map.map.ring.primaries(class).to_vec();
            nodes.sort_unstable();
            target.sort_unstable();
            if nodes != target {
                return Err(format!("end: {class} is on {nodes:?}, not {target:?}"));
            }
        }
        let voters: Vec<NodeId> = map.voters.iter().map(|voter| voter.node).collect();
        let members: Vec<NodeId> = map.map.members.iter().map(|member| member.id).collect();
        if voters == members {
            Ok(())
        } else {
            Err(format!("end: {members:?} are members, {voters:?} vote"))
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        for (step, times) in other.steps {
            *self.steps.entry(step).or_default() += times;
        }
        self.commits += other.commits;
        self.cancels += other.cancels;
        self.forgotten += other.forgotten;
        self.forced += other.forced;
        self.refused += other.refused;
        self.dropped += other.dropped;
        let most = self.most_versions_to_the_end;
        self.most_versions_to_the_end = most.max(other.most_versions_to_the_end);
    }
}

/// The first 600, or others that the environment names.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let from = number("QUORATE_PLANNING_FROM").unwrap_or(0);
    from..from + number("QUORATE_PLANNING_SEEDS").unwrap_or(600)
}

#[test]
fn whatever_operators_and_nodes_do_the_rules_hold_and_all_comes_to_an_end() {
    let mut all = Tally::default();
    for seed in seeds() {
        let tally = Walk::new(seed).run(400);
        all.add(tally.unwrap_or_else(|why| panic!("seed {seed}: {why}")));
    }
    println!("{all:?}");
    let every = [
        Step::Begin,
        Step::Retarget,
        Step::Bury,
        Step::ReadNew,
        Step::Settle,
        Step::ReadOld,
        Step::Abandon,
        Step::Forget,
        Step::Finish,
        Step::Remove,
        Step::Vote,
    ];
    for step in every {
        assert!(
            all.steps.contains_key(&step),
            "{step:?} was never seen: {all:?}"
        );
    }
    for seen in [
        all.commits,
        all.cancels,
        all.forgotten,
        all.forced,
        all.refused,
        all.dropped,
    ] {
        assert!(seen > 0, "{all:?}");
    }
}

#[test]
fn the_first_node_can_be_replaced_while_it_is_alone() {
    let mut world = World::new(founded(vec![member(1, "")], 8, &[3]));
    let replace = StagedChange::replace(id(1), member(2, ""));
    world
        .decide(stage(world.version.map(), replace).unwrap())
        .unwrap();
    let made = commit(world.version.map(), &Allowed::default(), &world.heard).unwrap();
    world.decide(made).unwrap();
    world.settle().unwrap();
    let members = &world.version.map().map.members;
    assert_eq!(
        members.iter().map(|member| member.id).collect::<Vec<_>>(),
        [id(2)]
    );
}
