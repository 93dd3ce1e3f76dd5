//! R24: deletes without a context of what is not there, repeated by the network or by their client.

use quorate_core::{Input, Note};
use quorate_protocol::client::{ClientReply, ClientRequest, Delete};
use quorate_protocol::peer::{Forward, PeerMessage};
use quorate_ring::NodeId;

use crate::walk::{SIBLINGS, Walk};
use crate::{KEY, primaries, read_r};

/// The delete as another node passes it on.
fn passed_on(walk: &Walk, delete: &Delete) -> PeerMessage {
    let request = ClientRequest::from(delete.clone());
    let mut body = Vec::new();
    request.encode_body(&mut body);
    let partition = walk.map.ring.partition_of(SIBLINGS, KEY.as_bytes());
    Forward {
        op: 7,
        partition,
        principal: "a client".to_owned(),
        hops: 1,
        opcode: request.opcode(),
        body: body.into(),
    }
    .into()
}

fn give(walk: &mut Walk, to: NodeId, from: NodeId, message: &PeerMessage) {
    let message = message.clone();
    let deadline_ms = 5_000;
    walk.give(
        to,
        Input::Peer {
            from,
            message,
            deadline_ms,
        },
    );
}

/// Found by the simulator (seed 3757).
#[test]
fn a_second_copy_of_a_delete_that_found_nothing_deletes_nothing_that_came_since() {
    let mut walk = Walk::new(5);
    let (p1, fallback) = (
        primaries(&walk)[0],
        walk.preference(SIBLINGS, KEY).fallbacks[0],
    );
    let delete = walk.a_delete(KEY);
    let message = passed_on(&walk, &delete);
    give(&mut walk, p1, fallback, &message);
    walk.pass(100);
    let put = walk.a_put(KEY, "written since");
    walk.put(p1, put).unwrap();
    give(&mut walk, p1, fallback, &message);
    walk.pass(500);
    assert_eq!(read_r(&mut walk, p1, 3).unwrap(), ["written since"]);
}

#[test]
fn a_late_retry_of_a_delete_that_found_nothing_is_answered_and_deletes_nothing_that_came_since() {
    let mut walk = Walk::new(5);
    let p1 = primaries(&walk)[0];
    let mut delete = walk.a_delete(KEY);
    let first = walk.delete(p1, delete.clone()).unwrap();
    let put = walk.a_put(KEY, "written since");
    walk.put(p1, put).unwrap();
    delete.retry = true;
    let again = walk.delete(p1, delete).unwrap();
    assert_eq!((first.dot, again.dot), (None, None));
    assert_eq!(walk.notes(Note::RetryRecognised), 1);
    assert_eq!(read_r(&mut walk, p1, 3).unwrap(), ["written since"]);
}

#[test]
fn a_second_copy_of_a_delete_that_is_still_reading_is_not_carried_out_beside_it() {
    let mut walk = Walk::new(5);
    let (p1, fallback) = (
        primaries(&walk)[0],
        walk.preference(SIBLINGS, KEY).fallbacks[0],
    );
    let delete = walk.a_delete(KEY);
    let message = passed_on(&walk, &delete);
    walk.lose("ReplicaState", p1, 0);
    give(&mut walk, p1, fallback, &message);
    walk.deliver();
    let reads = walk.notes(Note::Get);
    give(&mut walk, p1, fallback, &message);
    walk.deliver();
    assert_eq!(walk.notes(Note::Get), reads, "it is read for once");
}

#[test]
fn a_retry_of_a_delete_that_is_still_reading_takes_the_place_of_the_first_try() {
    let mut walk = Walk::new(5);
    let p1 = primaries(&walk)[0];
    let mut delete = walk.a_delete(KEY);
    walk.lose("ReplicaState", p1, 0);
    let first = walk.begin(p1, delete.clone());
    walk.deliver();
    walk.lose_nothing();
    delete.retry = true;
    let second = walk.begin(p1, delete);
    walk.pass(3_000);
    assert!(matches!(walk.reply(first), Some(ClientReply::Failed(_))));
    assert!(matches!(walk.reply(second), Some(ClientReply::Written(_))));
}
