//! What an object's record at rest has beside what its client gave: one dot, and so many bytes, whatever its history.

use quorate_core::{Census, Family};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{SIBLINGS, Walk, a_get};

const KEY: &str = "a key";
const VALUE: &str = "a value of twenty-six bytes";

/// Of a record at rest: 11 bytes of its storage key (class, bucket), 8 of its header, flags 1, the dot 9, the time stamp 6,
/// the request id 16, the value's length 1.
const BYTES: u64 = 11 + 8 + 1 + 9 + 6 + 16 + 1;
/// More where a counter is above 127 or 16,383, and where several writes had one millisecond.
const BYTES_MORE_MAX: u64 = 2 + 2;

fn primaries(walk: &Walk) -> Vec<NodeId> {
    walk.preference(SIBLINGS, KEY).primaries
}

/// Writes over what is there, through any node.
fn overwrite(walk: &mut Walk, at: NodeId) {
    let got = walk.get(at, a_get(KEY)).unwrap();
    let mut put = walk.a_put(KEY, VALUE);
    put.context = Some(got.context);
    put.options.w = Some(Count::Exactly(2));
    walk.put(at, put).unwrap();
}

fn put_blindly(walk: &mut Walk, at: NodeId) {
    let put = walk.a_put(KEY, VALUE);
    walk.put(at, put).unwrap();
}

/// What each member holds of the one key that there is, once all logs are collected.
fn at_rest(walk: &mut Walk) -> Vec<Census> {
    walk.pass(40_000);
    let disks = primaries(walk).into_iter().map(|node| walk.disk(node));
    disks.map(|disk| Census::take(disk).unwrap()).collect()
}

/// One version with one dot, and nothing else; returns the bytes of metadata, the same at all members.
fn metadata(walk: &mut Walk) -> u64 {
    let found = at_rest(walk);
    for census in &found {
        let objects = census.objects;
        assert_eq!(census.family(Family::Objects).entries, 1);
        assert_eq!((objects.dots, objects.dots_max), (1, 1));
        assert_eq!((objects.contexts, objects.context_entries), (0, 0));
        for family in [Family::Log, Family::Hints, Family::Chunks, Family::Expiry] {
            assert_eq!(census.family(family).entries, 0, "{family:?}");
        }
        assert_eq!(census.unreadable, 0);
        assert_eq!(objects.client_bytes, (KEY.len() + VALUE.len()) as u64);
        assert_eq!(objects.metadata_bytes, found[0].objects.metadata_bytes);
    }
    found[0].objects.metadata_bytes
}

#[test]
fn an_object_that_was_written_once_has_one_dot_and_52_bytes_of_metadata() {
    let mut walk = Walk::new(5);
    let at = primaries(&walk)[0];
    put_blindly(&mut walk, at);
    assert_eq!(metadata(&mut walk), BYTES);
    assert_eq!(BYTES, 52);
}

#[test]
fn a_thousand_overwrites_by_five_coordinators_and_forty_restarts_leave_no_more() {
    let mut walk = Walk::new(5);
    let at = primaries(&walk)[0];
    put_blindly(&mut walk, at);
    for round in 0..1_000_u64 {
        let node = NodeId::new(1 + round % 5);
        if round % 25 == 0 {
            // Each life of a vnode writes with an actor of its own.
            walk.kill(node);
            overwrite(&mut walk, NodeId::new(1 + (round + 1) % 5));
            walk.start(node);
            walk.pass(2_000);
        }
        overwrite(&mut walk, node);
    }
    let bytes = metadata(&mut walk);
    assert!((BYTES..=BYTES + BYTES_MORE_MAX).contains(&bytes), "{bytes}");
}

#[test]
fn siblings_that_were_resolved_and_keys_that_were_made_again_leave_no_more() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    for node in nodes.iter().chain(&nodes) {
        put_blindly(&mut walk, *node);
    }
    overwrite(&mut walk, nodes[1]);
    let resolved = metadata(&mut walk);
    assert!((BYTES..=BYTES + BYTES_MORE_MAX).contains(&resolved));
    let delete = walk.a_delete(KEY);
    walk.delete(nodes[2], delete).unwrap();
    for census in at_rest(&mut walk) {
        assert_eq!(census.family(Family::Objects).entries, 0);
        assert_eq!(census.family(Family::Log).entries, 0);
    }
    put_blindly(&mut walk, nodes[2]);
    let again = metadata(&mut walk);
    assert!((BYTES..=BYTES + BYTES_MORE_MAX).contains(&again));
}
