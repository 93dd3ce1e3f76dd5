//! Reads that meet a replica which has lost an object without a sign: it has seen the value, does not hold it, and
//! says so in good faith, as if somebody had deleted it.

use quorate_core::record::keys;
use quorate_core::{Family, Note, Replica};
use quorate_protocol::options::Count;
use quorate_ring::{Class, NodeId};

use crate::walk::{SIBLINGS, Walk, a_get, values};
use crate::{KEY, primaries};

fn record(walk: &Walk) -> Vec<u8> {
    let class = Class {
        n: 3,
        partition: walk.map.ring.partition_of(SIBLINGS, KEY.as_bytes()),
    };
    keys::object_key(class, SIBLINGS, KEY.as_bytes())
}

fn holds(walk: &Walk, node: NodeId) -> bool {
    let objects = walk.disk(node).records(Family::Objects);
    objects.contains_key(&record(walk))
}

fn put(walk: &mut Walk, at: NodeId, value: &str) {
    let mut put = walk.a_put(KEY, value);
    put.options.w = Some(Count::Exactly(3));
    walk.put(at, put).unwrap();
}

/// A value that all primaries hold, at rest; then the first of them, which gave it its dot, loses it. Nobody scrubs.
fn lost_at_its_coordinator(prepare: fn(&mut Replica)) -> Walk {
    let mut walk = Walk::prepared(5, prepare);
    let first = primaries(&walk)[0];
    put(&mut walk, first, "first");
    walk.pass(15_000);
    let record = record(&walk);
    walk.disk_mut(first).lose(Family::Objects, &record);
    walk
}

fn read(walk: &mut Walk, at: NodeId, r: u8) -> Vec<String> {
    let mut get = a_get(KEY);
    get.options.r = Some(Count::Exactly(r));
    values(&walk.get(at, get).unwrap())
}

/// What is read from all primaries and from two of them, at each of them.
pub(crate) fn read_what_one_denies(prepare: fn(&mut Replica)) -> (Walk, Vec<Vec<String>>) {
    let mut walk = lost_at_its_coordinator(prepare);
    let mut shown = Vec::new();
    for at in primaries(&walk) {
        shown.push(read(&mut walk, at, 3));
        shown.push(read(&mut walk, at, 2));
    }
    (walk, shown)
}

#[test]
fn a_value_that_one_replica_has_lost_is_shown_by_reads_that_ask_another_one_too() {
    let (mut walk, shown) = read_what_one_denies(|_| {});
    assert_eq!(shown, vec![["first"]; 6]);
    assert!(walk.notes(Note::DenialDisproved) >= 3);
    walk.pass(10_000);
    assert!(holds(&walk, primaries(&walk)[0]), "nothing was rebuilt");
}

/// Who lost the value gives a later dot to another one, and a client replaces what it is shown. Returns what it was
/// shown and what is there in the end.
pub(crate) fn replace_what_is_shown(prepare: fn(&mut Replica)) -> (Vec<String>, Vec<String>) {
    let mut walk = lost_at_its_coordinator(prepare);
    let members = primaries(&walk);
    put(&mut walk, members[0], "second");
    let mut get = a_get(KEY);
    get.options.r = Some(Count::Exactly(3));
    let got = walk.get(members[1], get).unwrap();
    let mut over = walk.a_put(KEY, "third");
    over.context = Some(got.context.clone());
    walk.put(members[1], over).unwrap();
    walk.pass(60_000);
    (values(&got), read(&mut walk, members[2], 3))
}

#[test]
fn a_write_through_a_read_replaces_nothing_that_the_read_did_not_show() {
    let (shown, end) = replace_what_is_shown(|_| {});
    assert_eq!(shown, ["first", "second"]);
    assert_eq!(end, ["third"]);
}

/// Who lost the value gives a later dot to another one, and its writer replaces what it wrote itself. Returns what is
/// there in the end.
pub(crate) fn replace_what_was_written(prepare: fn(&mut Replica)) -> Vec<String> {
    let mut walk = lost_at_its_coordinator(prepare);
    let members = primaries(&walk);
    let mut second = walk.a_put(KEY, "second");
    second.options.w = Some(Count::Exactly(2));
    let written = walk.put(members[0], second).unwrap();
    let mut third = walk.a_put(KEY, "third");
    third.context = (!written.context.is_empty()).then_some(written.context);
    walk.put(members[1], third).unwrap();
    walk.pass(60_000);
    read(&mut walk, members[2], 3)
}

#[test]
fn what_a_write_returns_claims_nothing_that_its_coordinator_has_lost() {
    let end = replace_what_was_written(|_| {});
    assert_eq!(end, ["first", "second", "third"]);
}

#[test]
fn read_repair_takes_nothing_from_those_who_hold_it_and_has_the_denier_read_through() {
    let mut walk = lost_at_its_coordinator(|_| {});
    let members = primaries(&walk);
    assert_eq!(read(&mut walk, members[1], 3), ["first"]);
    walk.pass(100);
    assert!(holds(&walk, members[1]) && holds(&walk, members[2]));
    assert_eq!(walk.notes(Note::DenialDoubted), 1);
    walk.pass(10_000);
    assert_eq!(walk.notes(Note::SilentLossFound), 1);
    assert!(members.iter().all(|&node| holds(&walk, node)));
    // From now on nobody denies anything.
    let before = walk.notes(Note::DenialDisproved);
    assert_eq!(read(&mut walk, members[2], 3), ["first"]);
    assert_eq!(walk.notes(Note::DenialDisproved), before);
}

/// The denier has deleted the value, and lost what the delete left behind; the holder has not heard of the delete.
#[test]
fn a_delete_that_a_holder_has_not_seen_counts_although_its_trace_was_lost() {
    let mut walk = Walk::new(5);
    let members = primaries(&walk);
    put(&mut walk, members[0], "first");
    walk.pass(15_000);
    let context = walk.get(members[0], a_get(KEY)).unwrap().context;
    walk.kill(members[2]);
    walk.lose("ReplicaPut", members[1], 0);
    walk.lose("Hints", members[1], 0);
    walk.lose("DotsAnswer", members[1], 0);
    let mut delete = walk.a_delete(KEY);
    delete.context = Some(context);
    delete.options.w = Some(Count::Exactly(1));
    walk.delete(members[0], delete).unwrap();
    assert!(holds(&walk, members[1]));
    let record = record(&walk);
    walk.disk_mut(members[0]).lose(Family::Objects, &record);
    for at in [members[0], members[1]] {
        assert_eq!(read(&mut walk, at, 2), Vec::<String>::new());
    }
    assert_eq!(walk.notes(Note::DenialDisproved), 0);
    walk.lose_nothing();
    walk.start(members[2]);
    walk.pass(60_000);
    assert_eq!(read(&mut walk, members[1], 3), Vec::<String>::new());
}

/// An old hint is no witness: what it holds was deleted while its keeper was away.
#[test]
fn an_old_hint_proves_nothing_against_those_who_have_seen_the_delete() {
    let mut walk = Walk::new(5);
    let members = primaries(&walk);
    let keeper = walk.preference(SIBLINGS, KEY).fallbacks[0];
    walk.kill(members[2]);
    let mut put = walk.a_put(KEY, "first");
    put.options.w = Some(Count::Exactly(3));
    walk.put(members[0], put).unwrap();
    assert_eq!(walk.hints_for(keeper, members[2]), 1);
    walk.kill(keeper);
    walk.start(members[2]);
    walk.pass(5_000);
    let context = walk.get(members[0], a_get(KEY)).unwrap().context;
    let mut delete = walk.a_delete(KEY);
    delete.context = Some(context);
    walk.delete(members[0], delete).unwrap();
    walk.pass(15_000);
    walk.kill(members[2]);
    walk.start(keeper);
    assert_eq!(read(&mut walk, members[0], 2), Vec::<String>::new());
    assert_eq!(walk.notes(Note::DenialDisproved), 0);
}
