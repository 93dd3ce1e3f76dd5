//! R24: a retry through another coordinator than the first try's.

use quorate_core::{Family, Note, Replica};
use quorate_protocol::client::{ClientReply, Put, Written};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::scrubbing::record_of;
use crate::walk::{Walk, a_get};
use crate::{KEY, primaries, read_r};

/// Answers to a search among all five nodes that come before the one with the object.
const SMALL_ANSWERS: u32 = 4;

/// A write that P1 alone has, and its retry.
fn known_to_p1_alone() -> (Walk, [NodeId; 3], Written, Put) {
    let mut walk = Walk::new(5);
    let nodes: [NodeId; 3] = primaries(&walk).try_into().unwrap();
    for id in 1..=5 {
        for name in ["ReplicaPut", "DotsAnswer"] {
            walk.lose(name, NodeId::new(id), 0);
        }
    }
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::Exactly(1));
    let first = walk.put(nodes[0], put.clone()).unwrap();
    put.retry = true;
    (walk, nodes, first, put)
}

fn answer(walk: &mut Walk, ticket: quorate_core::Ticket) -> Option<Written> {
    match walk.reply(ticket)? {
        ClientReply::Written(written) => Some(written),
        other => panic!("a write was answered with {}", other.name()),
    }
}

#[test]
fn r24_a_retry_mints_nothing_while_the_object_of_the_first_try_is_under_way() {
    let (mut walk, [_, p2, _], first, put) = known_to_p1_alone();
    walk.lose("FoundRequest", p2, SMALL_ANSWERS);
    let ticket = walk.begin(p2, put);
    walk.pass(900);
    assert_eq!(answer(&mut walk, ticket), None);
    walk.lose_nothing();
    walk.pass(200);
    let again = answer(&mut walk, ticket).expect("an answer once the object has come");
    assert_eq!(again.dot, first.dot);
    assert_eq!(walk.notes(Note::RetryRecognised), 1);
    assert_eq!(read_r(&mut walk, p2, 3).unwrap(), ["v"]);
}

#[test]
fn r24_if_all_who_know_the_first_try_die_the_retry_is_a_write_of_its_own() {
    let (mut walk, [p1, p2, _], first, put) = known_to_p1_alone();
    walk.lose("FoundRequest", p2, SMALL_ANSWERS);
    let ticket = walk.begin(p2, put);
    walk.pass(100);
    assert_eq!(answer(&mut walk, ticket), None);
    walk.kill(p1);
    walk.pass(100);
    let again = answer(&mut walk, ticket).expect("an answer once nobody is left who knows");
    assert_ne!(again.dot, first.dot);
}

#[test]
fn r24_another_holder_is_asked_if_the_first_dies() {
    for victim in [0, 2] {
        let (mut walk, nodes, first, put) = known_to_p1_alone();
        let p2 = nodes[1];
        walk.lose_nothing();
        walk.lose("ReplicaPut", p2, 0);
        walk.lose("DotsAnswer", p2, 0);
        walk.put(nodes[2], put.clone()).unwrap(); // P3 knows it now as well
        walk.lose("FoundRequest", p2, SMALL_ANSWERS);
        let ticket = walk.begin(p2, put);
        walk.deliver();
        assert_eq!(answer(&mut walk, ticket), None);
        walk.lose_nothing();
        walk.kill(nodes[victim]);
        walk.pass(1_100);
        let again = answer(&mut walk, ticket).expect("the answer of the other one");
        assert_eq!(again.dot, first.dot);
    }
}

/// P1 wrote with P2, and P3 has it or not; then P1's record is gone, and the same request comes once more.
pub(crate) fn retried_after_a_loss(prepare: fn(&mut Replica), settled: bool) -> Vec<String> {
    let mut walk = Walk::prepared(5, prepare);
    let nodes: [NodeId; 3] = primaries(&walk).try_into().unwrap();
    let [p1, p2, p3] = nodes;
    if !settled {
        walk.lose("ReplicaPut", p3, 0);
    }
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::Exactly(2));
    let first = walk.put(p1, put.clone()).unwrap();
    if settled {
        walk.pass(15_000);
    }
    let record = record_of(&walk, KEY);
    walk.disk_mut(p1).lose(Family::Objects, &record);
    walk.lose_nothing();
    put.retry = true;
    assert_eq!(walk.put(p1, put).unwrap().dot, first.dot);
    walk.kill(p1);
    read_r(&mut walk, p2, 2).unwrap()
}

/// Found by the simulator (seed 1787).
#[test]
fn r24_a_retry_at_a_coordinator_that_lost_its_copy_takes_it_from_nobody() {
    for settled in [false, true] {
        assert_eq!(retried_after_a_loss(|_| {}, settled), ["v"]);
    }
}

/// What is read in the end of a key that was written twice, where the first write's client had turned to another node: the one
/// that it had asked first stood still, and goes on after both.
pub(crate) fn read_after_a_pause(prepare: fn(&mut Replica)) -> Vec<String> {
    let mut walk = Walk::prepared(5, prepare);
    let [p1, p2, _]: [NodeId; 3] = primaries(&walk).try_into().unwrap();
    let mut first = walk.a_put(KEY, "first");
    walk.pause(p1);
    walk.begin(p1, first.clone());
    walk.pass(1_500);
    first.retry = true;
    walk.put(p2, first).unwrap();
    let mut second = walk.a_put(KEY, "second");
    second.context = Some(walk.get(p2, a_get(KEY)).unwrap().context);
    walk.put(p2, second).unwrap();
    walk.pass(3_000);
    walk.resume();
    walk.pass(10_000);
    read_r(&mut walk, p2, 3).unwrap()
}

/// Found by the simulator's seed 1388.
#[test]
fn r24_a_first_try_that_waited_in_a_pause_is_no_write_of_its_own() {
    assert_eq!(read_after_a_pause(|_| {}), ["second"]);
}
