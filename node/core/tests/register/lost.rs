//! A majority of the members is gone for good, and an operator gives them up: single walks, and everything that can go
//! wrong meanwhile in random order.

use quorate_core::register::{Outcome, Refusal};
use quorate_core::{Plant, Ticket};
use quorate_ring::NodeId;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::walks::{name, until_accepted};
use crate::world::{World, id};

fn five() -> World {
    World::new(5, 5, true, 1, None)
}

fn ids(numbers: &[u64]) -> Vec<NodeId> {
    numbers.iter().copied().map(id).collect()
}

fn no_violation(world: &World) {
    assert_eq!(world.facts.violations, Vec::<String>::new());
}

fn refused(world: &World, ticket: Ticket) -> String {
    match world.outcome(ticket) {
        Some(Outcome::Refused(refusal)) => refusal.to_string(),
        other => panic!("{ticket:?}: {other:?}"),
    }
}

/// Three of five die.
fn most_die(world: &mut World) -> Vec<NodeId> {
    let gone = ids(&[3, 4, 5]);
    gone.iter().for_each(|&node| world.crash(node, 9));
    gone
}

#[test]
fn those_who_are_left_go_on_as_the_next_lineage_and_decide_by_their_majority() {
    let mut world = five();
    name(&mut world, 1, "before");
    world.settle();
    let gone = most_die(&mut world);
    let order = world.recover(id(1), 7, &gone);
    world.calm(2);
    let newest = world.newest(id(2));
    assert_eq!(world.made(order), Some(newest.name()));
    assert_eq!(newest.name().version.to_string(), "1.3");
    assert_eq!(newest.map().map.name, "before");
    let voters: Vec<NodeId> = newest.map().voters.iter().map(|voter| voter.node).collect();
    assert_eq!(voters, ids(&[1, 2]));
    assert!(gone.iter().all(|&node| !newest.map().admits(node)));
    assert_eq!(newest.map().recoveries[0].gone, gone);
    let after = name(&mut world, 2, "after");
    world.calm(2);
    let made = world.made(after).unwrap();
    assert_eq!(made.version.to_string(), "1.4");
    no_violation(&world);
}

#[test]
fn an_order_that_is_repeated_anywhere_is_done_once() {
    let mut world = five();
    let gone = most_die(&mut world);
    let first = world.recover(id(1), 7, &gone);
    world.calm(2);
    let (again, other) = (
        world.recover(id(2), 7, &gone),
        world.recover(id(1), 8, &gone),
    );
    world.calm(2);
    assert_eq!(world.made(first), world.made(again));
    assert_eq!(world.made(first), world.made(other));
    assert_eq!(world.newest(id(1)).name().version.lineage(), 1);
    no_violation(&world);
}

#[test]
fn what_somebody_left_has_accepted_is_part_of_what_is_recovered() {
    let mut world = five();
    let ticket = name(&mut world, 3, "orphan");
    until_accepted(&mut world, id(2));
    world.write(id(2));
    let gone = most_die(&mut world);
    world.wire.clear();
    let order = world.recover(id(1), 7, &gone);
    world.calm(2);
    let newest = world.newest(id(1));
    assert_eq!(newest.map().map.name, "orphan");
    assert_eq!(newest.name().version.to_string(), "1.3");
    assert!(world.made(order).is_some() && world.outcome(ticket).is_none());
    no_violation(&world);
}

#[test]
fn a_member_that_is_left_and_silent_is_named_and_nothing_is_decided_without_it() {
    let mut world = five();
    let gone = most_die(&mut world);
    world.crash(id(2), 9);
    let order = world.recover(id(1), 7, &gone);
    world.calm(12);
    let words = refused(&world, order);
    assert!(words.contains(&id(2).to_string()), "{words}");
    assert_eq!(world.newest(id(1)).name().version.lineage(), 0);
    let change = name(&mut world, 1, "change");
    let words = refused(&world, change);
    assert!(words.contains("being recovered"), "{words}");
    world.start(id(2));
    let order = world.recover(id(2), 8, &gone);
    world.calm(2);
    assert!(world.made(order).is_some());
    no_violation(&world);
}

#[test]
fn whoever_could_remove_members_in_the_usual_way_is_told_so() {
    let mut world = five();
    world.crash(id(5), 9);
    let order = world.recover(id(1), 7, &[id(5)]);
    assert!(refused(&world, order).contains("force-remove"));
    let order = world.recover(id(1), 8, &ids(&[1, 2, 3]));
    assert!(refused(&world, order).contains("among those called gone"));
    let order = world.recover(id(1), 9, &ids(&[3, 4, 9]));
    assert!(refused(&world, order).contains("no member"));
    assert!(world.wire.is_empty());
}

#[test]
fn who_was_called_gone_and_returns_hears_it_and_keeps_what_it_has() {
    let mut world = five();
    let gone = most_die(&mut world);
    world.recover(id(1), 7, &gone);
    world.calm(2);
    world.start(id(4));
    world.calm(3);
    assert_eq!(world.newest(id(4)).name().version.to_string(), "1");
    assert!(world.given_up.contains(&id(4)));
    assert_eq!(world.newest(id(1)).name().version.lineage(), 1);
    no_violation(&world);
}

/// Three of five were called gone, and were only cut off: they went on, and now they are heard again.
pub(crate) fn gone_and_alive(plant: Option<Plant>) -> World {
    let mut world = World::new(5, 5, true, 1, plant);
    for from in [1, 2] {
        for to in [3, 4, 5] {
            world.cut.extend([(id(from), id(to)), (id(to), id(from))]);
        }
    }
    world.recover(id(1), 7, &ids(&[3, 4, 5]));
    for what in ["a", "b", "c"] {
        name(&mut world, 3, what);
        world.calm(1);
    }
    assert_eq!(world.newest(id(3)).name().version.to_string(), "4");
    assert_eq!(world.newest(id(1)).name().version.to_string(), "1.2");
    world.facts.violations.clear(); // they were never gone, and the facts take them for it
    world.cut.clear();
    world.calm(3);
    world
}

#[test]
fn a_version_of_those_who_are_gone_is_older_however_far_they_went_on() {
    let world = gone_and_alive(None);
    for node in [1, 2] {
        assert_eq!(world.newest(id(node)).name().version.to_string(), "1.2");
    }
    for node in [3, 4, 5] {
        assert_eq!(world.newest(id(node)).name().version.to_string(), "4");
        assert!(world.given_up.contains(&id(node)));
    }
    no_violation(&world);
}

#[test]
fn two_minorities_that_give_each_other_up_never_become_one_cluster() {
    let mut world = five();
    world.crash(id(5), 9);
    let (left, right) = ([1, 2], [3, 4]);
    for from in left {
        for to in right {
            world.cut.extend([(id(from), id(to)), (id(to), id(from))]);
        }
    }
    world.recover(id(1), 7, &ids(&[3, 4, 5]));
    world.calm(2);
    world.facts = crate::facts::Facts::new(&crate::world::first(5, true));
    world.recover(id(3), 8, &ids(&[1, 2, 5]));
    world.calm(2);
    let names = [1, 3].map(|node| world.newest(id(node)).name());
    assert_eq!(names[0].version, names[1].version);
    assert_ne!(names[0], names[1]);
    world.facts.violations.clear();
    name(&mut world, 1, "further");
    world.calm(2);
    world.facts.violations.clear();
    world.cut.clear();
    world.calm(3);
    let told = |words: &str| {
        world
            .facts
            .violations
            .iter()
            .any(|what| what.contains(words))
    };
    assert!(told("has 1.2"), "{:?}", world.facts.violations);
    assert_eq!(world.newest(id(3)).name(), names[1]);
    assert_eq!(world.newest(id(2)).map().map.name, "further");
}

#[test]
fn a_cluster_of_which_some_never_ran_is_recovered_from_the_first_version() {
    let mut world = World::new(3, 3, false, 1, None);
    world.crash(id(3), 0);
    world.crash(id(2), 0);
    world.start(id(2));
    let order = world.recover(id(1), 7, &[id(3)]);
    world.calm(3);
    assert!(world.made(order).is_some(), "{:?}", world.outcome(order));
    let after = name(&mut world, 2, "after");
    world.calm(2);
    assert!(world.made(after).is_some());
    no_violation(&world);
}

struct Fall {
    world: World,
    rng: ChaCha12Rng,
    gone: Vec<NodeId>,
    left: Vec<NodeId>,
    /// May come back with what they had.
    may_return: Vec<NodeId>,
    requests: u64,
}

/// Runs a seed: changes under way, then most members die, and the cluster is recovered under faults. Gives back what was
/// wrong, and how often a change under way was part of what was recovered.
pub(crate) fn run(seed: u64, plant: Option<Plant>) -> (Vec<String>, u64) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let members = 3 + rng.next_u64() % 4;
    let world = World::new(members, members, true, seed, plant);
    let mut all: Vec<NodeId> = world.ids();
    all.rotate_left(usize::try_from(rng.next_u64() % members).unwrap());
    let most = usize::try_from(members / 2 + 1).unwrap();
    let (gone, left) = all.split_at(most);
    let mut fall = Fall {
        gone: gone.to_vec(),
        left: left.to_vec(),
        may_return: gone[..all.len() / 2].to_vec(),
        world,
        rng,
        requests: 0,
    };
    fall.change_and_die();
    for _ in 0..300 {
        fall.step();
    }
    fall.heal();
    let last = fall.world.facts.last().map().recoveries.last().cloned();
    let kept = last.is_some_and(|last| last.after.version.count() > 1);
    fall.world.facts.at_the_end();
    (fall.world.facts.violations.clone(), u64::from(kept))
}

impl Fall {
    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    fn pick(&mut self, from: &[NodeId]) -> NodeId {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).unwrap()]
    }

    /// A few changes, each somewhere on its way when the machines end.
    fn change_and_die(&mut self) {
        for at in 0..self.below(3) {
            let node = self.pick(&self.world.ids());
            name(
                &mut self.world,
                node.get(),
                ["a", "b", "c"][usize::try_from(at).unwrap()],
            );
            for _ in 0..self.below(60) {
                self.shuffle();
            }
        }
        for node in self.gone.clone() {
            let written = self.below(3);
            self.world.crash(node, usize::try_from(written).unwrap());
        }
    }

    fn shuffle(&mut self) {
        let node = self.pick(&self.world.ids());
        match self.below(3) {
            0 if self.world.is_up(node) => self.world.write(node),
            0 | 1 => self.world.deliver(0),
            _ => {
                let at = self.below(self.world.wire.len() as u64);
                self.world.deliver(usize::try_from(at).unwrap());
            }
        }
    }

    fn step(&mut self) {
        let node = self.pick(&self.left.clone());
        let up = self.world.is_up(node);
        match self.below(100) {
            0..=69 => self.shuffle(),
            70..=72 if up => self.order(node),
            73..=74 if up => {
                let written = self.below(3);
                self.world.crash(node, usize::try_from(written).unwrap());
            }
            73..=79 if !up => self.world.start(node),
            80..=81 if up => {
                name(&mut self.world, node.get(), "change");
            }
            82..=83 => {
                let at = self.below(self.world.wire.len() as u64);
                self.world.wire.remove(usize::try_from(at).unwrap());
            }
            84..=85 => {
                let node = self.pick(&self.may_return.clone());
                if self.world.is_up(node) {
                    self.world.crash(node, 1);
                } else {
                    self.world.start(node);
                }
            }
            86..=92 => {
                let (from, to) = (self.pick(&self.world.ids()), self.pick(&self.world.ids()));
                self.world.heartbeat(from, to);
            }
            93..=99 => {
                let us = self.below(1_000_000);
                self.world.pass(us);
            }
            _ => {}
        }
    }

    fn order(&mut self, node: NodeId) {
        self.requests += self.below(2);
        let gone = self.gone.clone();
        self.world.recover(node, self.requests, &gone);
    }

    /// Faults end, and the order is repeated: it is done, all who are left agree, and can decide.
    fn heal(&mut self) {
        for node in self.left.clone() {
            if !self.world.is_up(node) {
                self.world.start(node);
            }
        }
        self.world.calm(12);
        let by = self.pick(&self.left.clone());
        let gone = self.gone.clone();
        let order = self.world.recover(by, 1000, &gone);
        self.world.calm(12);
        if self.world.made(order).is_none() {
            let outcome = self.world.outcome(order).cloned();
            return self.wrong(format!("not recovered: {outcome:?}"));
        }
        let after = name(&mut self.world, by.get(), "after");
        self.world.calm(12);
        if self.world.made(after).is_none() {
            let outcome = self.world.outcome(after).cloned();
            self.wrong(format!("nothing can be changed: {outcome:?}"));
        }
        let last = self.world.facts.last().name();
        for node in self.left.clone() {
            let newest = self.world.newest(node).name();
            if newest != last || newest.version.lineage() != 1 {
                self.wrong(format!("{node} has {newest}, and {last} is the last"));
            }
        }
        for node in self.gone.clone() {
            let returned = self.world.is_up(node);
            if returned && !self.world.given_up.contains(&node) {
                self.wrong(format!(
                    "{node} is back and has not heard that it was given up"
                ));
            }
        }
    }

    fn wrong(&mut self, what: String) {
        self.world.facts.violations.push(what);
    }
}

#[test]
fn a_recovery_is_decided_once_and_forgets_nothing_that_somebody_left_has_accepted() {
    let more = std::env::var("QUORATE_REGISTER_SEEDS").ok();
    let seeds = more.map_or(1000, |seeds| seeds.parse().unwrap());
    let mut kept = 0;
    for seed in 0..seeds {
        let (violations, one) = run(seed, None);
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        kept += one;
    }
    println!("{seeds} seeds: {kept} recovered a change that was made before");
    assert!(kept > seeds / 10, "{kept}");
}

#[test]
fn the_refusal_of_an_order_says_whether_anything_was_given_up() {
    let gone = vec![id(3)];
    assert!(Refusal::BeingRecovered { gone }.is_certain());
    assert!(!Refusal::NotAllAnswered { missing: vec![] }.is_certain());
}
