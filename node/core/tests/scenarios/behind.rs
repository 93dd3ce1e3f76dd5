//! Replicas that are there and do not have what was written beside them: they refused it, or came back
//! to a node that took them for dead.

use quorate_core::{Input, Note, Replica};
use quorate_protocol::WireError;
use quorate_protocol::client::ClientReply;
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::Walk;
use crate::{KEY, fallbacks, primaries, read_r};

/// Something of the key is on all primaries.
fn with_an_old_value(prepare: fn(&mut Replica)) -> (Walk, [NodeId; 3]) {
    let mut walk = Walk::prepared(5, prepare);
    let primaries: [NodeId; 3] = primaries(&walk).try_into().unwrap();
    let mut put = walk.a_put(KEY, "old");
    put.options.w = Some(Count::All);
    walk.put(primaries[0], put).unwrap();
    walk.pass(1_000);
    (walk, primaries)
}

/// A write at P2 that P3 does not get: acknowledged by P2 and a fallback in P1's place.
fn put_beside(walk: &mut Walk, [p1, p2, p3]: [NodeId; 3]) {
    walk.lose("ReplicaPut", p3, 0);
    let mut put = walk.a_put(KEY, "new");
    put.options.w = Some(Count::Exactly(2));
    let info = walk.put(p2, put).unwrap().info;
    walk.cut(p1, p2);
    assert_eq!((info.primaries, info.fallbacks), (1, 1));
}

/// P1's disk takes no writes. Then a read that P2's answer does not reach.
pub(crate) fn read_after_a_refusal(
    prepare: fn(&mut Replica),
) -> (Walk, Result<Vec<String>, WireError>) {
    let (mut walk, primaries) = with_an_old_value(prepare);
    let [p1, ..] = primaries;
    walk.give(p1, Input::StorageWritable(false));
    put_beside(&mut walk, primaries);
    let answer = read_r(&mut walk, p1, 2);
    (walk, answer)
}

/// P1 comes back, and P2 does not know it yet. Then a read that P2's answer does not reach.
pub(crate) fn read_while_taken_for_dead(
    prepare: fn(&mut Replica),
) -> (Walk, Result<Vec<String>, WireError>) {
    let (mut walk, primaries) = with_an_old_value(prepare);
    let [p1, p2, _] = primaries;
    walk.kill(p1);
    walk.pass(500);
    walk.start(p1);
    walk.give(p2, Input::PeerDown(p1));
    walk.pass(1_000);
    put_beside(&mut walk, primaries);
    let answer = read_r(&mut walk, p1, 2);
    (walk, answer)
}

fn sound(_: &mut Replica) {}

/// Links work again, and P1 has what it missed.
fn ends_well(mut walk: Walk) {
    let at = primaries(&walk)[0];
    walk.heal();
    walk.lose_nothing();
    walk.pass(5_000);
    assert!((1..=5).all(|id| walk.current(NodeId::new(id))));
    assert_eq!(read_r(&mut walk, at, 2).unwrap(), ["new", "old"]);
}

#[test]
fn r23_a_replica_that_refused_a_write_is_not_believed_until_it_has_it() {
    let (mut walk, answer) = read_after_a_refusal(sound);
    assert!(answer.is_err(), "{answer:?}");
    let p1 = primaries(&walk)[0];
    walk.give(p1, Input::StorageWritable(true));
    ends_well(walk);
}

#[test]
fn a_replica_that_refused_a_write_of_a_coordinator_that_died_hears_the_others_instead() {
    let (mut walk, primaries) = with_an_old_value(sound);
    let [p1, p2, p3] = primaries;
    walk.give(p1, Input::StorageWritable(false));
    for node in [p3, fallbacks(&walk)[0], fallbacks(&walk)[1]] {
        walk.lose("ReplicaPut", node, 0);
    }
    let put = walk.a_put(KEY, "lost");
    let ticket = walk.begin(p2, put);
    walk.deliver();
    assert!(!walk.current(p1));
    walk.kill(p2);
    walk.lose_nothing();
    walk.give(p1, Input::StorageWritable(true));
    walk.pass(1_000);
    assert!(walk.reply(ticket).is_none(), "nobody acknowledged it");
    assert!(walk.current(p1), "it waits for {:?}", walk.waits_for(p1));
    assert_eq!(read_r(&mut walk, p1, 2).unwrap(), ["old"]);
}

#[test]
fn a_replica_that_a_peer_takes_for_dead_is_not_current_before_that_peer_knows_better() {
    let (mut walk, answer) = read_while_taken_for_dead(sound);
    assert!(answer.is_err(), "{answer:?}");
    let [p1, p2]: [NodeId; 2] = primaries(&walk)[..2].try_into().unwrap();
    walk.give(p2, Input::PeerUp(p1));
    ends_well(walk);
}

#[test]
fn nobody_stands_in_for_a_replica_that_restarted_unnoticed_it_is_asked_again() {
    let (mut walk, [p1, p2, _]) = with_an_old_value(sound);
    let before = walk.notes(Note::FallbackWrite);
    walk.lose("ReplicaPut", p1, 0);
    let mut put = walk.a_put(KEY, "new");
    put.options.w = Some(Count::All);
    let ticket = walk.begin(p2, put);
    walk.deliver();
    assert!(walk.reply(ticket).is_none());
    walk.lose_nothing();
    walk.give(p2, Input::PeerUp(p1));
    walk.deliver();
    let Some(ClientReply::Written(written)) = walk.reply(ticket) else {
        panic!("the write was not acknowledged")
    };
    assert_eq!(written.info.primaries, 3);
    assert_eq!(walk.notes(Note::FallbackWrite), before);
}

#[test]
fn a_read_asks_a_replica_again_that_restarted_unnoticed() {
    let (mut walk, [p1, p2, _]) = with_an_old_value(sound);
    walk.lose("ReplicaGet", p1, 0);
    let mut get = crate::walk::a_get(KEY);
    get.options.r = Some(Count::All);
    let ticket = walk.begin(p2, get);
    walk.deliver();
    assert!(walk.reply(ticket).is_none());
    walk.lose_nothing();
    walk.give(p2, Input::PeerUp(p1));
    walk.deliver();
    let Some(ClientReply::Got(got)) = walk.reply(ticket) else {
        panic!("the read was not answered")
    };
    assert_eq!(got.info.primaries, 3);
}

#[test]
fn a_missed_write_of_a_key_that_never_rests_comes_all_the_same() {
    let (mut walk, [p1, _, p3]) = with_an_old_value(sound);
    walk.slow_fsyncs(50);
    let mut context = walk.get(p1, crate::walk::a_get(KEY)).unwrap().context;
    let mut most = 0;
    for round in 0..400 {
        // Each write names what it replaces: of several in a row that were missed, the next one makes up for the last only.
        if round == 0 {
            walk.lose("ReplicaPut", p3, 0);
        } else if round == 3 {
            walk.lose_nothing();
        }
        let mut put = walk.a_put(KEY, &format!("{round}"));
        put.context = Some(context);
        context = walk.put(p1, put).unwrap().context;
        walk.pass(10);
        most = most.max(lag(&walk, p3));
    }
    assert!(most > 0, "nothing was missed");
    assert_eq!(lag(&walk, p3), 0, "it waits until nobody writes the key");
}

/// Writes that a node knows of and lacks.
fn lag(walk: &Walk, node: NodeId) -> u64 {
    let status = walk.status(node);
    status.vnodes.iter().map(|vnode| vnode.lag).sum()
}
