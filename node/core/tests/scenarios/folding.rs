//! Actors of earlier generations become one entry of the clock, and nothing else changes by that.

use quorate_core::causality::Clock;
use quorate_core::{Input, Replica};
use quorate_protocol::options::Count;
use quorate_protocol::peer::Seal;
use quorate_ring::{Class, NodeId};

use crate::walk::{SIBLINGS, Walk, a_get, values};

const KEY: &str = "a key";

/// A cluster in which each member of a class has written under several actors.
struct Stage {
    walk: Walk,
    members: [NodeId; 3],
}

impl Stage {
    fn new(prepare: fn(&mut Replica)) -> Self {
        let walk = Walk::prepared(5, prepare);
        let mut members = walk.preference(SIBLINGS, KEY).primaries;
        members.sort_unstable();
        let members = members.try_into().unwrap();
        let mut stage = Self { walk, members };
        for _ in 0..2 {
            for member in stage.members {
                stage.walk.kill(member);
                stage.walk.start(member);
                stage.walk.pass(3_000);
                stage.put("first", member, 3);
            }
        }
        stage.walk.pass(15_000);
        stage
    }

    fn put(&mut self, value: &str, at: NodeId, w: u8) {
        let mut put = self.walk.a_put(KEY, value);
        put.options.w = Some(Count::Exactly(w));
        if let Ok(got) = self.walk.get(at, a_get(KEY)) {
            put.context = Some(got.context);
        }
        self.walk.put(at, put).unwrap();
    }

    fn class(&self) -> Class {
        let ring = &self.walk.map.ring;
        Class {
            n: 3,
            partition: ring.partition_of(SIBLINGS, KEY.as_bytes()),
        }
    }

    fn clocks(&self) -> Vec<Clock> {
        let class = self.class();
        let clock = |&member| self.walk.clock(member, class);
        self.members.iter().map(clock).collect()
    }

    /// The next generation begins, and these nodes do not hear of it.
    fn begin_generation(&mut self, deaf: &[NodeId]) {
        self.walk.begin_generation();
        for id in (1..=5).map(NodeId::new).filter(|id| !deaf.contains(id)) {
            self.walk.tell_map(id);
        }
    }

    /// What each member says of the key by itself.
    fn held(&mut self) -> Vec<Vec<String>> {
        let mut get = a_get(KEY);
        get.options.r = Some(Count::Exactly(1));
        let members = self.members.into_iter();
        members
            .map(|member| values(&self.walk.get(member, get.clone()).unwrap()))
            .collect()
    }

    fn folded(&self) -> Vec<u64> {
        self.clocks().iter().map(Clock::folded).collect()
    }
}

#[test]
fn actors_of_a_generation_that_is_over_become_one_entry() {
    let mut stage = Stage::new(|_| {});
    assert!(stage.clocks().iter().all(|clock| clock.len_actors() >= 6));
    stage.begin_generation(&[]);
    stage.walk.pass(20_000);
    for clock in stage.clocks() {
        assert_eq!((clock.folded(), clock.len_actors()), (1, 1));
    }
    assert_eq!(stage.held(), vec![["first"]; 3]);
    let first = stage.members[0];
    stage.put("second", first, 3);
    stage.walk.kill(first);
    stage.walk.start(first);
    stage.walk.pass(15_000);
    for clock in stage.clocks() {
        assert_eq!((clock.folded(), clock.actors().count()), (1, 1));
        assert!(clock.actors().all(|actor| actor.generation() == 2));
    }
    assert_eq!(stage.held(), vec![["second"]; 3]);
}

#[test]
fn a_delete_and_a_new_write_after_a_fold_leave_nothing_of_before() {
    let mut stage = Stage::new(|_| {});
    stage.begin_generation(&[]);
    stage.walk.pass(20_000);
    let [first, second, _] = stage.members;
    let mut delete = stage.walk.a_delete(KEY);
    delete.context = Some(stage.walk.get(first, a_get(KEY)).unwrap().context);
    stage.walk.delete(first, delete).unwrap();
    stage.walk.pass(15_000);
    assert_eq!(stage.held(), vec![Vec::<String>::new(); 3]);
    stage.put("again", second, 3);
    assert_eq!(stage.held(), vec![["again"]; 3]);
}

#[test]
fn a_fold_waits_for_whoever_does_not_know_that_the_generation_is_over() {
    let mut stage = Stage::new(|_| {});
    let member = stage.members[1];
    let others = |id: &NodeId| !stage.members.contains(id);
    let stranger = (1..=5).map(NodeId::new).find(others).unwrap();
    stage.begin_generation(&[member, stranger]);
    stage.walk.pass(20_000);
    assert_eq!(stage.folded(), [0, 0, 0]);
    stage.walk.tell_map(member);
    stage.walk.pass(20_000);
    assert_eq!(stage.folded(), [0, 0, 0]);
    stage.walk.tell_map(stranger);
    stage.walk.pass(20_000);
    assert_eq!(stage.folded(), [1, 1, 1]);
}

/// A write that only fallbacks have, in hints, when the class would be folded; says what the members hold in the end.
fn fold_beside_a_hint(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut stage = Stage::new(prepare);
    let fallback = stage.walk.preference(SIBLINGS, KEY).fallbacks[0];
    for member in stage.members {
        stage.walk.kill(member);
    }
    let put = stage.walk.a_put(KEY, "in a hint");
    stage.walk.put(fallback, put).unwrap();
    for member in stage.members {
        stage.walk.lose("Hints", member, 0);
        stage.walk.start(member);
    }
    stage.begin_generation(&[]);
    stage.walk.pass(20_000);
    stage.walk.lose_nothing();
    stage.walk.pass(30_000);
    stage.held()
}

#[test]
fn a_fold_waits_until_hints_are_handed_over() {
    assert_eq!(fold_beside_a_hint(|_| {}), vec![["first", "in a hint"]; 3]);
}

/// A write of an actor of which only the writing member has anything yet, when the class would be folded.
pub(crate) fn fold_beside_a_write_under_way(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut stage = Stage::new(prepare);
    let [first, second, third] = stage.members;
    stage.walk.kill(second);
    stage.walk.start(second);
    stage.walk.pass(3_000);
    for member in [first, third] {
        stage.walk.lose("ReplicaPut", member, 0);
        stage.walk.lose("DotsAnswer", member, 0);
    }
    stage.put("at one", second, 1);
    stage.begin_generation(&[]);
    stage.walk.pass(60_000);
    stage.walk.lose_nothing();
    stage.walk.pass(30_000);
    stage.held()
}

#[test]
fn a_fold_waits_until_all_have_what_one_has() {
    let held = fold_beside_a_write_under_way(|_| {});
    assert_eq!(held, vec![["at one"]; 3]);
}

/// A member lacks a write, and is told that all of its generation is folded.
pub(crate) fn told_of_a_fold_too_early(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut stage = Stage::new(prepare);
    let [first, _, third] = stage.members;
    stage.walk.lose("ReplicaPut", third, 0);
    stage.walk.lose("DotsAnswer", third, 0);
    stage.put("not at one", first, 2);
    stage.walk.pass(3_000);
    stage.begin_generation(&[]);
    let seal = Seal {
        class: stage.class(),
        voids: Clock::of_folded(1).to_wire(),
    };
    let message = seal.into();
    stage.walk.give(
        third,
        Input::Peer {
            from: first,
            deadline_ms: 0,
            message,
        },
    );
    stage.walk.deliver();
    stage.walk.lose_nothing();
    stage.walk.pass(30_000);
    stage.held()
}

#[test]
fn who_is_told_of_a_fold_and_lacks_something_is_filled_with_it() {
    assert_eq!(told_of_a_fold_too_early(|_| {}), vec![["not at one"]; 3]);
}

#[test]
fn a_late_copy_from_before_a_fold_changes_nothing() {
    let mut stage = Stage::new(|_| {});
    let [first, _, third] = stage.members;
    stage.walk.lose("ReplicaPut", third, 0);
    stage.put("replaced", first, 2);
    stage.walk.lose_nothing();
    stage.put("last", first, 3);
    stage.walk.pass(15_000);
    stage.begin_generation(&[]);
    stage.walk.pass(60_000); // for half a minute the actor of the last write is taken to be in use
    assert_eq!(stage.folded(), [1, 1, 1]);
    stage.walk.deliver_late("ReplicaPut", third);
    stage.walk.pass(15_000);
    assert_eq!(stage.held(), vec![["last"]; 3]);
}

#[test]
fn a_member_that_lost_its_map_writes_what_others_take_for_new() {
    let mut stage = Stage::new(|_| {});
    let before = stage.walk.version.clone();
    stage.begin_generation(&[]);
    stage.walk.pass(20_000);
    let first = stage.members[0];
    stage.walk.kill(first);
    let newest = std::mem::replace(&mut stage.walk.version, before);
    stage.walk.start(first);
    stage.walk.version = newest;
    stage.walk.pass(3_000);
    stage.put("under an old map", first, 3);
    stage.walk.pass(15_000);
    assert_eq!(stage.held(), vec![["under an old map"]; 3]);
}
