//! Values that live for a limited time.

use quorate_core::{Family, Note, Replica};
use quorate_protocol::client::Put;
use quorate_protocol::error::ErrorCode;
use quorate_protocol::limits::{CLOCK_AHEAD_MS_MAX, TTL_MS_MAX};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{LWW, Walk, a_get, values};
use crate::{KEY, primaries, read_r};

/// A value too long for one record.
const PIECES: usize = 200_000;

fn three(walk: &Walk) -> [NodeId; 3] {
    primaries(walk).try_into().unwrap()
}

fn expiring(walk: &mut Walk, value: &str, ttl_ms: u64) -> Put {
    let mut put = walk.a_put(KEY, value);
    put.ttl_ms = Some(ttl_ms);
    put.options.w = Some(Count::All);
    put
}

/// All records of a node beside those of its vnodes and of recent requests.
fn left(walk: &Walk, node: NodeId) -> usize {
    let families = [
        Family::Objects,
        Family::Chunks,
        Family::Hints,
        Family::Log,
        Family::Expiry,
    ];
    let disk = walk.disk(node);
    families
        .into_iter()
        .map(|family| disk.entries(family))
        .sum()
}

#[test]
fn a_value_is_shown_until_its_time_and_then_nothing_is_left_of_it() {
    let mut walk = Walk::new(5);
    let nodes = three(&walk);
    let long = "v".repeat(PIECES);
    let put = expiring(&mut walk, &long, 20_000);
    walk.put(nodes[0], put).unwrap();
    let got = walk.get(nodes[1], a_get(KEY)).unwrap();
    let written_ms = got.siblings[0].modified_ms;
    assert_eq!(got.siblings[0].expires_ms, written_ms + 20_000);
    walk.pass(19_000);
    assert_eq!(read_r(&mut walk, nodes[2], 3).unwrap().len(), 1);
    walk.pass(1_000);
    assert_eq!(
        read_r(&mut walk, nodes[2], 3).unwrap(),
        Vec::<String>::new()
    );
    let held = walk.disk(nodes[0]).entries(Family::Objects);
    assert_eq!(held, 1, "other clocks may be behind");
    walk.pass(CLOCK_AHEAD_MS_MAX + 200);
    for node in nodes {
        assert_eq!(left(&walk, node), 0, "{node}");
    }
    assert_eq!(walk.notes(Note::Expired), 3);
    assert_eq!(walk.notes(Note::ReadRepair), 0);
}

#[test]
fn a_write_through_the_context_of_an_expired_value_replaces_it() {
    let mut walk = Walk::new(5);
    let nodes = three(&walk);
    let put = expiring(&mut walk, "short", 100);
    walk.put(nodes[0], put).unwrap();
    walk.pass(200);
    let got = walk.get(nodes[0], a_get(KEY)).unwrap();
    assert!(got.siblings.is_empty());
    let mut put = walk.a_put(KEY, "lasting");
    put.context = Some(got.context);
    let written = walk.put(nodes[1], put).unwrap();
    assert_eq!(written.siblings, 1);
    let again = walk.get(nodes[2], a_get(KEY)).unwrap();
    assert_eq!(values(&again), ["lasting"]);
    assert_eq!(again.siblings[0].expires_ms, 0);
    walk.pass(60_000);
    assert_eq!(read_r(&mut walk, nodes[2], 3).unwrap(), ["lasting"]);
    assert_eq!(walk.notes(Note::Expired), 0);
}

#[test]
fn a_hint_that_comes_after_the_time_of_its_value_brings_no_value() {
    let mut walk = Walk::new(5);
    let [p1, _, p3] = three(&walk);
    walk.kill(p3);
    let put = expiring(&mut walk, "short", 1_000);
    walk.put(p1, put).unwrap();
    walk.pass(10_000);
    walk.start(p3);
    walk.pass(20_000);
    assert!(walk.notes(Note::HintDelivered) > 0);
    assert_eq!(walk.notes(Note::ExpiredOnArrival), 1);
    assert_eq!(read_r(&mut walk, p3, 1).unwrap(), Vec::<String>::new());
    for node in (1..=5).map(NodeId::new) {
        assert_eq!(left(&walk, node), 0, "{node}");
    }
}

#[test]
fn a_retry_finds_the_time_of_the_first_try() {
    let mut walk = Walk::new(5);
    let [p1, p2, _] = three(&walk);
    let mut put = expiring(&mut walk, "v", 20_000);
    walk.put(p1, put.clone()).unwrap();
    let first = walk.get(p1, a_get(KEY)).unwrap().siblings.remove(0);
    walk.pass(5_000);
    put.retry = true;
    walk.put(p2, put).unwrap();
    let again = walk.get(p2, a_get(KEY)).unwrap().siblings.remove(0);
    assert_eq!((again.dot, again.expires_ms), (first.dot, first.expires_ms));
}

#[test]
fn where_the_last_write_is_shown_an_expired_one_counts_as_not_there() {
    let mut walk = Walk::new(5);
    let [p1, p2, p3] = three(&walk);
    let mut lasting = walk.a_put(KEY, "lasting");
    lasting.bucket = LWW;
    walk.cut(p1, p2);
    walk.put(p1, lasting).unwrap();
    let mut get = a_get(KEY);
    get.bucket = LWW;
    let mut short = walk.a_put(KEY, "short");
    (short.bucket, short.ttl_ms) = (LWW, Some(3_000));
    walk.pass(10);
    walk.put(p1, short).unwrap();
    assert_eq!(values(&walk.get(p3, get.clone()).unwrap()), ["short"]);
    walk.heal();
    walk.pass(10_000);
    // It replaced what its coordinator held.
    assert!(walk.get(p3, get).unwrap().siblings.is_empty());
}

#[test]
fn a_time_to_live_that_is_too_long_is_refused_and_changes_nothing() {
    let mut walk = Walk::new(5);
    let nodes = three(&walk);
    for ttl_ms in [TTL_MS_MAX + 1, u64::MAX] {
        let put = expiring(&mut walk, "v", ttl_ms);
        let error = walk.put(nodes[0], put).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains("ten years"), "{error}");
    }
    assert_eq!(left(&walk, nodes[0]), 0);
    let put = expiring(&mut walk, "v", TTL_MS_MAX);
    walk.put(nodes[0], put).unwrap();
    assert_eq!(read_r(&mut walk, nodes[0], 3).unwrap(), ["v"]);
}

/// What P3 shows in the end of a key whose value was replaced, while it was away, by one that has expired since.
/// It had the first value, and that it has it becomes known only when it is back: before it learns
/// what replaced that.
pub(crate) fn read_after_a_successor_expired(prepare: fn(&mut Replica)) -> (Walk, Vec<String>) {
    let mut walk = Walk::prepared(3, prepare);
    let [p1, p2, p3] = three(&walk);
    [p1, p2]
        .into_iter()
        .for_each(|node| walk.lose("Clocks", node, 0));
    let mut put = walk.a_put(KEY, "replaced");
    put.options.w = Some(Count::All);
    walk.put(p1, put).unwrap();
    let context = walk.get(p1, a_get(KEY)).unwrap().context;
    walk.kill(p3);
    walk.lose_nothing();
    let mut put = walk.a_put(KEY, "short");
    (put.context, put.ttl_ms) = (Some(context), Some(1_000));
    walk.put(p1, put).unwrap();
    walk.pass(10_000);
    assert_eq!(walk.notes(Note::Expired), 2);
    for name in ["DotsAnswer", "ReplicaPut"] {
        walk.lose(name, p3, 0);
    }
    walk.start(p3);
    walk.pass(5_000);
    walk.lose_nothing();
    walk.pass(20_000);
    let shown = read_r(&mut walk, p3, 1).unwrap();
    (walk, shown)
}

#[test]
fn what_an_expired_value_had_replaced_stays_replaced() {
    let (walk, shown) = read_after_a_successor_expired(|_| {});
    assert_eq!(shown, Vec::<String>::new());
    for node in (1..=3).map(NodeId::new) {
        assert_eq!(left(&walk, node), 0, "{node}");
    }
}

/// The same where it has not expired by the clock of the node that wrote it, but by that of another one which is ahead: that
/// one's copy takes it away.
pub(crate) fn read_after_a_successor_expired_elsewhere(prepare: fn(&mut Replica)) -> Vec<String> {
    let mut walk = Walk::prepared(3, prepare);
    let [p1, p2, p3] = three(&walk);
    walk.set_clock_ahead(p2, 60_000);
    walk.pass(70_000); // it is believed by and by
    [p1, p2]
        .into_iter()
        .for_each(|node| walk.lose("Clocks", node, 0));
    let mut put = walk.a_put(KEY, "replaced");
    put.options.w = Some(Count::All);
    walk.put(p1, put).unwrap();
    let context = walk.get(p1, a_get(KEY)).unwrap().context;
    walk.kill(p3);
    walk.lose_nothing();
    let mut put = walk.a_put(KEY, "short");
    (put.context, put.ttl_ms) = (Some(context), Some(30_000));
    walk.put(p1, put).unwrap();
    walk.pass(100);
    assert!(walk.notes(Note::ExpiredOnArrival) > 0);
    read_r(&mut walk, p2, 2).unwrap();
    walk.pass(100);
    assert_eq!(walk.notes(Note::Expired), 0);
    for name in ["DotsAnswer", "ReplicaPut"] {
        walk.lose(name, p3, 0);
    }
    walk.start(p3);
    walk.pass(5_000);
    walk.lose_nothing();
    walk.pass(20_000);
    read_r(&mut walk, p3, 1).unwrap()
}

/// Found by the simulator's seed 1145.
#[test]
fn what_a_value_had_replaced_that_expired_by_another_clock_stays_replaced() {
    let shown = read_after_a_successor_expired_elsewhere(|_| {});
    assert_eq!(shown, Vec::<String>::new());
}

/// Found by the simulator's seed 698: the replacing value reached a node that is being filled again. Its time passes there
/// before the page comes that has it no more.
#[test]
fn what_a_value_had_replaced_that_expired_while_a_node_was_filled_stays_replaced() {
    let mut walk = Walk::new(3);
    let [p1, p2, p3] = three(&walk);
    let others = (0..60).map(|number| format!("key {number}"));
    for key in others.chain([KEY.to_owned()]) {
        let mut put = walk.a_put(&key, "replaced");
        put.options.w = Some(Count::All);
        walk.put(p1, put).unwrap();
    }
    walk.pass(15_000);
    let context = walk.get(p1, a_get(KEY)).unwrap().context;
    walk.kill(p2);
    *walk.disk_mut(p2) = Default::default();
    walk.lose("SnapshotPage", p2, 0);
    for name in ["DotsAnswer", "ReplicaPut", "SnapshotPage"] {
        walk.lose(name, p3, 0);
    }
    walk.start(p2);
    walk.pass(5_000);
    let mut put = walk.a_put(KEY, "short");
    (put.context, put.ttl_ms) = (Some(context), Some(1_000));
    walk.put(p1, put).unwrap();
    walk.pass(5_000);
    assert_eq!(
        walk.notes(Note::Expired),
        1,
        "only where nothing is missing"
    );
    walk.lose_nothing();
    for name in ["DotsAnswer", "ReplicaPut", "SnapshotPage"] {
        walk.lose(name, p3, 0);
    }
    walk.pass(30_000);
    assert!(walk.notes(Note::Rebuilt) > 0);
    walk.kill(p1);
    walk.lose_nothing();
    walk.pass(20_000);
    assert_eq!(read_r(&mut walk, p3, 1).unwrap(), Vec::<String>::new());
}

#[test]
fn a_node_whose_index_of_expiries_was_damaged_removes_what_expired_all_the_same() {
    let mut walk = Walk::new(3);
    let [p1, _, p3] = three(&walk);
    let put = expiring(&mut walk, "v", 60_000);
    walk.put(p1, put).unwrap();
    walk.pass(15_000);
    let noted = walk.disk(p3).records(Family::Expiry);
    let (key, _) = noted.first_key_value().unwrap();
    walk.disk_mut(p3).damage(Family::Expiry, key);
    walk.kill(p3);
    walk.start(p3);
    walk.pass(20_000);
    assert_eq!(walk.disk(p3).records(Family::Expiry), noted);
    walk.pass(60_000);
    assert_eq!(left(&walk, p3), 0);
}
