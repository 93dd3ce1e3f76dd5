//! A majority of the members is gone for good, at any moment of a change, and the classes go on with those who are left.

use std::collections::BTreeSet;

use quorate_core::moves::{Refused, cancel, recovered, stage};
use quorate_core::register::Version;
use quorate_protocol::versioned::{GoingState, StagedChange, Voter};
use quorate_ring::{NodeId, Weight};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::changes::cluster;
use crate::rules::Rules;
use crate::world::{World, change, classes, id, member, standing, storage};

impl World {
    /// These are gone, and the cluster is recovered by all others.
    fn lose(&mut self, gone: &[NodeId]) {
        for node in gone {
            self.nodes.get_mut(node).unwrap().up = false;
            self.heard.running.remove(node);
        }
        let members = self.version.map().map.members.iter();
        let left = members
            .map(|member| member.id)
            .filter(|node| !gone.contains(node));
        let voter = |node| Voter {
            node,
            storage: Some(storage(node)),
        };
        let next = recovered(self.version.map(), gone, left.map(voter).collect()).unwrap();
        let recovered = self
            .version
            .recovered(change(&next.what), next.draft, gone.to_vec());
        self.version = recovered.unwrap();
        self.rules = Rules::new(self.version.map());
    }

    /// All classes are on nodes that are left, as many as there can be, and nothing names those who are gone.
    fn is_well_without(&self, gone: &[NodeId]) {
        let map = self.version.map();
        let members = map.map.members.len();
        for class in classes(map) {
            let record = standing(map, class);
            let nodes: BTreeSet<NodeId> = record.places().iter().map(|place| place.node).collect();
            assert!(gone.iter().all(|node| !nodes.contains(node)), "{record:?}");
            assert_eq!(nodes.len(), members.min(3), "{record:?}");
            assert!(record.departing.is_empty(), "{record:?}");
        }
        assert!(map.going.is_empty(), "{:?}", map.going);
        let expelled = |node: &NodeId| map.expelled.binary_search(node).is_ok();
        assert!(gone.iter().all(expelled) && gone.iter().all(|&node| !map.admits(node)));
    }
}

fn ids(numbers: &[u64]) -> Vec<NodeId> {
    numbers.iter().copied().map(id).collect()
}

#[test]
fn classes_fill_their_places_from_what_is_left_and_nobody_who_is_gone_comes_back() {
    let mut world = cluster(5, 16);
    let gone = ids(&[3, 4, 5]);
    world.lose(&gone);
    let map = world.version.map();
    assert_eq!(map.version.to_string(), "1.2");
    assert!(
        map.change.what.starts_with("RECOVERED"),
        "{}",
        map.change.what
    );
    let states: BTreeSet<GoingState> = map.going.iter().map(|going| going.state).collect();
    assert_eq!(states, BTreeSet::from([GoingState::Forgotten]));
    world.settle().unwrap();
    world.is_well_without(&gone);
    let again = stage(world.version.map(), StagedChange::join(member(3, "")));
    assert!(matches!(again, Err(Refused::Expelled(_))), "{again:?}");
    world.stage(StagedChange::join(member(6, "")));
    world.commit();
    world.settle().unwrap();
    world.is_well_without(&gone);
}

#[test]
fn a_class_whose_copies_are_all_gone_begins_anew_and_the_others_keep_what_they_have() {
    let mut world = cluster(6, 64);
    let gone = ids(&[1, 2, 3, 4]);
    let before = world.version.clone();
    let is_lost = |version: &Version, class| {
        let places = standing(version.map(), class).places();
        places.iter().all(|place| gone.contains(&place.node))
    };
    world.lose(&gone);
    world.settle().unwrap();
    world.is_well_without(&gone);
    let mut lost = 0;
    for class in classes(before.map()) {
        lost += usize::from(is_lost(&before, class));
        let (was, is) = (
            standing(before.map(), class),
            standing(world.version.map(), class),
        );
        for place in was.places() {
            let kept = is.place_of(place.node);
            assert!(gone.contains(&place.node) || kept == Some(place), "{class}");
        }
    }
    assert!(
        lost > 0,
        "some class had all its copies on those who are gone"
    );
}

#[test]
fn what_is_staged_for_others_stays_staged_and_there_is_no_way_back_to_a_ring_with_the_gone() {
    let mut world = cluster(5, 8);
    world.stage(StagedChange::join(member(6, "")));
    world.commit();
    world.stage(StagedChange::leave(id(3)));
    world.stage(StagedChange::weight(id(1), Weight::MAX));
    world.lose(&ids(&[3, 4, 5]));
    let staged: Vec<NodeId> = world
        .version
        .map()
        .staged
        .iter()
        .map(StagedChange::node)
        .collect();
    assert_eq!(staged, ids(&[1]));
    let back = cancel(world.version.map(), &world.heard);
    assert!(matches!(back, Err(Refused::NothingToCancel)), "{back:?}");
}

#[test]
fn nobody_is_left_to_go_on_with_nobody() {
    let world = cluster(3, 8);
    let all = recovered(world.version.map(), &ids(&[1, 2, 3]), Vec::new());
    assert!(all.is_err());
}

#[test]
fn whatever_was_under_way_ends_with_those_who_are_left() {
    for seed in 0..400 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut below = move |bound: u64| rng.next_u64() % bound;
        let members = 4 + below(4);
        let mut world = cluster(members, 8);
        for newcomer in 0..below(3) {
            let some = id(1 + below(members));
            let change = match below(4) {
                0 => StagedChange::join(member(20 + newcomer, "")),
                1 => StagedChange::replace(some, member(20 + newcomer, "")),
                2 => StagedChange::leave(some),
                _ => StagedChange::force_remove(some),
            };
            let staged = stage(world.version.map(), change).map(|next| world.decide(next).unwrap());
            let allowed = quorate_core::moves::Allowed {
                force: true,
                loss_of: world.ids().into_iter().collect(),
                plan: None,
            };
            if staged.is_ok() {
                let _ = world.commit_with(&allowed);
            }
            for _ in 0..below(4) {
                for node in world.ids() {
                    world.adopt(node);
                    if below(3) > 0 {
                        world.claim(node);
                        world.delete(node, || true);
                        world.hear(node);
                    }
                }
                world.step().unwrap();
            }
        }
        let mut left: Vec<NodeId> = world
            .version
            .map()
            .map
            .members
            .iter()
            .map(|one| one.id)
            .collect();
        let mut gone = Vec::new();
        while 2 * gone.len() <= world.version.map().map.members.len() && left.len() > 1 {
            let at = usize::try_from(below(left.len() as u64)).unwrap();
            gone.push(left.remove(at));
        }
        gone.sort();
        let stays = |node: &NodeId| world.version.map().going(*node).is_none();
        if !left.iter().any(stays) {
            continue;
        }
        world.lose(&gone);
        world
            .settle()
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        world.is_well_without(&gone);
    }
}
