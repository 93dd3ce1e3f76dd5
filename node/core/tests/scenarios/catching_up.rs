//! R11 to R13: whom a replica that comes back waits for, and whom it does not.

use std::collections::BTreeSet;

use quorate_core::effects::Input;
use quorate_core::{Note, Replica, Timing};
use quorate_protocol::options::Count;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use crate::walk::{SIBLINGS, Walk, a_get};
use crate::{KEY, fallbacks, primaries, read_r};

/// Something of the key is on all primaries.
fn with_an_old_value(prepare: fn(&mut Replica)) -> Walk {
    let mut walk = Walk::prepared(5, prepare);
    let mut put = walk.a_put(KEY, "old");
    put.options.w = Some(Count::All);
    walk.put(primaries(&walk)[0], put).unwrap();
    walk.pass(1_000);
    walk
}

fn put_w2(walk: &mut Walk, at: NodeId) {
    let mut put = walk.a_put(KEY, "new");
    put.options.w = Some(Count::Exactly(2));
    walk.put(at, put).unwrap();
}

fn kill_all(walk: &mut Walk, nodes: &[NodeId]) {
    nodes.iter().for_each(|&node| walk.kill(node));
}

fn start_all(walk: &mut Walk, nodes: &[NodeId]) {
    nodes.iter().for_each(|&node| walk.start(node));
}

fn nodes_of(walk: &Walk) -> ([NodeId; 3], [NodeId; 2]) {
    let places = (primaries(walk).try_into(), fallbacks(walk).try_into());
    (places.0.unwrap(), places.1.unwrap())
}

fn is_kept_waiting_by(answer: Result<Vec<String>, WireError>, nodes: &[NodeId]) {
    let error = answer.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable, "{error:?}");
    let named: BTreeSet<NodeId> = error.nodes.iter().copied().collect();
    assert_eq!(named, nodes.iter().copied().collect(), "{error:?}");
}

/// The fallbacks took a write while no primary was there; then a read as soon as all are.
pub(crate) fn read_before_the_hints_came(
    prepare: fn(&mut Replica),
) -> Result<Vec<String>, WireError> {
    let mut walk = with_an_old_value(prepare);
    let (primaries, [f4, _]) = nodes_of(&walk);
    kill_all(&mut walk, &primaries);
    walk.pass(500);
    put_w2(&mut walk, f4);
    start_all(&mut walk, &primaries);
    walk.deliver();
    read_r(&mut walk, primaries[0], 2)
}

/// Two nodes were away, came back while no other node was there, took a write, and went again.
pub(crate) fn read_after_two_were_alone(
    prepare: fn(&mut Replica),
) -> (Walk, Result<Vec<String>, WireError>) {
    let mut walk = with_an_old_value(prepare);
    let ([p1, p2, p3], [f4, f5]) = nodes_of(&walk);
    kill_all(&mut walk, &[p3, f5]);
    walk.pass(500);
    kill_all(&mut walk, &[p1, p2, f4]);
    start_all(&mut walk, &[p3, f5]);
    walk.pass(2_000);
    put_w2(&mut walk, p3);
    kill_all(&mut walk, &[p3, f5]);
    start_all(&mut walk, &[p1, p2, f4]);
    walk.pass(2_000);
    let answer = read_r(&mut walk, p1, 2);
    (walk, answer)
}

/// P1 left when P3 and F4 were away. They came, took a write that P2 did not get, and went again.
pub(crate) fn read_after_two_came_and_went(
    prepare: fn(&mut Replica),
) -> (Walk, Result<Vec<String>, WireError>) {
    let mut walk = with_an_old_value(prepare);
    let ([p1, p2, p3], [f4, _]) = nodes_of(&walk);
    kill_all(&mut walk, &[p3, f4]);
    walk.pass(500);
    walk.kill(p1);
    start_all(&mut walk, &[p3, f4]);
    walk.pass(2_000);
    walk.cut(p2, p3);
    put_w2(&mut walk, p3);
    kill_all(&mut walk, &[p3, f4]);
    walk.heal();
    walk.start(p1);
    walk.pass(1_000);
    let answer = read_r(&mut walk, p1, 3);
    (walk, answer)
}

fn sound(_: &mut Replica) {}

#[test]
fn r11_each_of_two_primaries_that_come_back_answers_on_its_first_try() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, p3], _) = nodes_of(&walk);
    kill_all(&mut walk, &[p1, p2]);
    let mut put = walk.a_put(KEY, "new");
    put.options.w = Some(Count::All);
    walk.put(p3, put).unwrap();
    walk.start(p1);
    assert_eq!(read_r(&mut walk, p1, 2).unwrap(), ["new", "old"]);
    walk.start(p2);
    assert_eq!(read_r(&mut walk, p2, 2).unwrap(), ["new", "old"]);
}

#[test]
fn r12_older_values_are_never_current_while_those_who_took_the_write_are_away() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, p3], [f4, f5]) = nodes_of(&walk);
    kill_all(&mut walk, &[p1, p2]);
    put_w2(&mut walk, p3);
    walk.pass(500);
    kill_all(&mut walk, &[p3, f4]);
    start_all(&mut walk, &[p1, p2]);
    walk.pass(5_000);
    for at in [p1, p2, f5] {
        is_kept_waiting_by(read_r(&mut walk, at, 2), &[p3, f4]);
    }
    let mut stale = a_get(KEY);
    stale.options.stale_ok = true;
    assert!(walk.get(p1, stale).unwrap().maybe_stale);
    walk.start(p3);
    for at in [p1, p2, p3] {
        assert_eq!(read_r(&mut walk, at, 2).unwrap(), ["new", "old"]);
    }
    walk.start(f4);
    walk.pass(1_000);
    assert!((1..=5).all(|id| walk.current(NodeId::new(id))));
}

#[test]
fn r12_hint_holders_that_are_down_are_waited_for_by_name() {
    let mut walk = with_an_old_value(sound);
    let (primaries, [f4, f5]) = nodes_of(&walk);
    kill_all(&mut walk, &primaries);
    walk.pass(500);
    put_w2(&mut walk, f4);
    kill_all(&mut walk, &[f4, f5]);
    start_all(&mut walk, &primaries);
    walk.pass(10_000);
    for at in primaries {
        is_kept_waiting_by(read_r(&mut walk, at, 2), &[f4, f5]);
    }
    // What two nodes acknowledged, one of them can tell.
    walk.start(f5);
    for at in primaries {
        assert_eq!(read_r(&mut walk, at, 2).unwrap(), ["new", "old"]);
    }
}

#[test]
fn r12_one_hint_holder_that_is_down_hides_nothing_that_two_acknowledged() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, _], [f4, _]) = nodes_of(&walk);
    walk.kill(p1);
    put_w2(&mut walk, p2);
    assert_eq!(walk.hints_for(f4, p1), 1);
    walk.kill(f4);
    walk.start(p1);
    assert_eq!(read_r(&mut walk, p1, 3).unwrap(), ["new", "old"]);
}

#[test]
fn r12b_a_node_that_died_before_is_not_waited_for() {
    for gone in 0..3 {
        let mut walk = with_an_old_value(sound);
        let ([p1, p2, p3], [f4, _]) = nodes_of(&walk);
        let dead = [p3, f4, p2][gone];
        walk.kill(dead);
        walk.pass(1_000);
        walk.kill(p1);
        walk.start(p1);
        walk.pass(30);
        assert!(walk.current(p1), "waits for {:?}", walk.waits_for(p1));
        assert_eq!(read_r(&mut walk, p1, 2).unwrap(), ["old"]);
    }
}

#[test]
fn r12b_holds_for_one_restart_after_the_other() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, p3], [f4, f5]) = nodes_of(&walk);
    kill_all(&mut walk, &[p3, f4]);
    for round in 0..20 {
        for node in [p1, p2, f5] {
            walk.pass(500);
            walk.kill(node);
            walk.pass(2_000);
            walk.start(node);
            walk.pass(1_000);
            assert!(walk.current(node), "{round}: {:?}", walk.waits_for(node));
        }
    }
    assert_eq!(read_r(&mut walk, p1, 2).unwrap(), ["old"]);
}

#[test]
fn r12b_a_replica_that_is_killed_again_before_it_has_caught_up_still_excuses_the_dead() {
    let mut walk = with_an_old_value(sound);
    let ([p1, _, p3], [f4, f5]) = nodes_of(&walk);
    kill_all(&mut walk, &[p3, f4]);
    walk.pass(500);
    walk.kill(f5);
    walk.kill(p1);
    for _ in 0..5 {
        walk.start(p1);
        walk.pass(700);
        assert_eq!(walk.waits_for(p1), BTreeSet::from([f5]));
        walk.kill(p1);
        walk.pass(100);
    }
    walk.start(p1);
    walk.start(f5);
    walk.pass(500);
    assert!(walk.current(p1), "waits for {:?}", walk.waits_for(p1));
}

#[test]
fn one_node_that_is_dead_does_not_block_a_cluster_that_was_shut_down_as_a_whole() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, p3], [f4, f5]) = nodes_of(&walk);
    walk.kill(p3);
    walk.pass(500);
    kill_all(&mut walk, &[p1, p2, f4, f5]);
    walk.pass(60_000);
    start_all(&mut walk, &[p1, p2, f4, f5]);
    walk.pass(1_000);
    for node in [p1, p2, f4, f5] {
        assert!(walk.current(node), "{:?}", walk.waits_for(node));
    }
    assert_eq!(read_r(&mut walk, p1, 2).unwrap(), ["old"]);
}

#[test]
fn without_a_witness_two_dead_nodes_are_waited_for_by_name() {
    let (mut walk, answer) = read_after_two_were_alone(sound);
    let ([p1, p2, p3], [f4, f5]) = nodes_of(&walk);
    is_kept_waiting_by(answer, &[p3, f5]);
    let mut stale = a_get(KEY);
    stale.options.stale_ok = true;
    assert!(walk.get(p2, stale).unwrap().maybe_stale);
    start_all(&mut walk, &[p3, f5]);
    walk.pass(1_000);
    for at in [p1, p2, f4] {
        assert_eq!(read_r(&mut walk, at, 2).unwrap(), ["new", "old"]);
    }
}

#[test]
fn who_came_back_meanwhile_and_went_again_is_waited_for() {
    let (mut walk, answer) = read_after_two_came_and_went(sound);
    let ([p1, _, p3], [f4, _]) = nodes_of(&walk);
    is_kept_waiting_by(answer, &[p3, f4]);
    walk.start(p3);
    walk.start(f4);
    assert_eq!(read_r(&mut walk, p1, 3).unwrap(), ["new", "old"]);
}

#[test]
fn a_witness_that_restarts_hands_on_what_it_learned() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, p3], [f4, f5]) = nodes_of(&walk);
    kill_all(&mut walk, &[p3, f4]);
    walk.pass(500);
    walk.kill(p1);
    start_all(&mut walk, &[p3, f4]);
    walk.pass(500);
    kill_all(&mut walk, &[p3, f4]);
    walk.pass(500);
    for node in [p2, f5, p2, f5] {
        walk.kill(node);
        walk.pass(300);
        walk.start(node);
        walk.pass(500);
    }
    walk.start(p1);
    walk.pass(2_000);
    assert_eq!(walk.waits_for(p1), BTreeSet::from([p3, f4]));
    start_all(&mut walk, &[p3, f4]);
    walk.pass(500);
    assert!((1..=5).all(|id| walk.current(NodeId::new(id))));
}

#[test]
fn the_hints_are_there_before_a_returned_primary_says_what_it_lacks() {
    assert_eq!(read_before_the_hints_came(sound).unwrap(), ["new", "old"]);
}

#[test]
fn r13_a_primary_that_flaps_gets_its_hints_and_is_current_each_time() {
    let mut walk = with_an_old_value(sound);
    let ([p1, p2, _], [f4, _]) = nodes_of(&walk);
    walk.kill(p1);
    let mut put = walk.a_put(KEY, "new");
    put.options.w = Some(Count::All);
    walk.put(p2, put).unwrap();
    for _ in 0..20 {
        walk.start(p1);
        walk.pass(20);
        walk.kill(p1);
        walk.pass(20);
    }
    walk.kill(f4);
    walk.start(f4);
    walk.start(p1);
    walk.pass(500);
    assert!(walk.current(p1), "{:?}", walk.waits_for(p1));
    assert_eq!(walk.hints_for(f4, p1), 0);
}

/// Found by the simulator (seed 9777). P3 came back when a write was in hints for P1 and P2 only; these got them, and
/// died before their clocks told P3 of it.
#[test]
fn r12_what_hints_bring_reaches_the_other_members_before_their_takers_can_die() {
    let mut walk = with_an_old_value(|_| {});
    let (primaries, [f4, _]) = nodes_of(&walk);
    kill_all(&mut walk, &primaries);
    walk.pass(500);
    put_w2(&mut walk, f4);
    start_all(&mut walk, &primaries);
    while walk.notes(Note::HintDelivered) < 2 {
        walk.pass(10);
    }
    let [p1, p2, p3] = primaries;
    kill_all(&mut walk, &[p1, p2]);
    walk.pass(2_000);
    assert_eq!(read_r(&mut walk, p3, 2).unwrap(), ["new", "old"]);
}

/// Two keys of two classes, both with this primary and kept for it by this fallback: the class first in order comes first.
fn two_classes(walk: &Walk, primary: NodeId, keeper: NodeId) -> [String; 2] {
    let fits = |key: &String| {
        let list = walk.preference(SIBLINGS, key);
        list.primaries.contains(&primary) && list.fallbacks.first() == Some(&keeper)
    };
    let partition = |key: &String| walk.map.ring.partition_of(SIBLINGS, key.as_bytes());
    let mut keys: Vec<String> = (0..200).map(|number| format!("key {number}")).collect();
    keys.retain(fits);
    keys.sort_by_key(partition);
    keys.dedup_by_key(|key| partition(key));
    [keys.swap_remove(0), keys.pop().unwrap()]
}

/// Found by a random history: a paced handoff stood behind the last hint of one class when there were hints of an
/// earlier class only.
#[test]
fn hints_of_an_earlier_class_that_come_while_a_handoff_pauses_are_handed_over_too() {
    let timing = Timing {
        handoff_bytes_per_s: 200,
        ..Timing::default()
    };
    let mut walk = Walk::paced(5, |_| {}, timing);
    let ([p1, ..], [f4, _]) = nodes_of(&walk);
    let [early, late] = two_classes(&walk, p1, f4);
    walk.kill(p1);
    put_at_another(&mut walk, &late, p1);
    walk.lose("HintsAck", f4, 0);
    walk.start(p1);
    walk.pass(200);
    let coordinator = another_primary(&walk, &early, p1);
    walk.give(coordinator, Input::PeerDown(p1));
    put_at_another(&mut walk, &early, p1);
    assert_eq!(walk.hints_for(f4, p1), 2);
    walk.lose_nothing();
    walk.deliver_late("HintsAck", f4);
    assert_eq!(walk.hints_for(f4, p1), 1);
    walk.pass(10_000);
    assert_eq!(walk.hints_for(f4, p1), 0);
}

fn another_primary(walk: &Walk, key: &str, other: NodeId) -> NodeId {
    let primaries = walk.preference(SIBLINGS, key).primaries;
    primaries.into_iter().find(|&node| node != other).unwrap()
}

fn put_at_another(walk: &mut Walk, key: &str, other: NodeId) {
    let mut put = walk.a_put(key, "v");
    put.options.w = Some(Count::All);
    let at = another_primary(walk, key, other);
    walk.put(at, put).unwrap();
}
