//! Repair of a range: it is read and compared, what was lost is found, and nothing else is taken for lost.

use bytes::Bytes;
use quorate_core::{Family, Note, Replica, Timing};
use quorate_protocol::client::{RangeProgress, RangeRepair, Scrub};
use quorate_protocol::options::Count;
use quorate_ring::{NodeId, PartitionId};

use crate::scrubbing::{KEY, assert_healed, class_of, filled, held, put, record_of};
use crate::walk::{SIBLINGS, Walk};

/// Keys of the bucket that begin so, in all partitions.
fn order(id: u64, prefix: &'static str) -> Scrub {
    Scrub {
        repair: Some(Box::new(RangeRepair {
            id,
            keys: Some((SIBLINGS, Bytes::from_static(prefix.as_bytes()))),
            first: PartitionId::new(0),
            last: PartitionId::new(u16::MAX),
        })),
        ..Scrub::default()
    }
}

fn progress(walk: &mut Walk, at: NodeId, id: u64, prefix: &'static str) -> RangeProgress {
    walk.order_scrub(at, order(id, prefix)).repair.unwrap()
}

/// Orders a repair, lets time pass, and tells how it ended.
fn repaired(walk: &mut Walk, at: NodeId, id: u64, prefix: &'static str) -> RangeProgress {
    progress(walk, at, id, prefix);
    walk.pass(40_000);
    let ended = progress(walk, at, id, prefix);
    assert_eq!(ended.done, ended.vnodes, "{ended:?}");
    ended
}

fn primaries(walk: &Walk) -> Vec<NodeId> {
    walk.preference(SIBLINGS, KEY).primaries
}

/// How many of the keys a node holds that begin so.
fn held_by(walk: &Walk, at: NodeId, prefix: &str) -> u64 {
    let records = walk.disk(at).records(Family::Objects);
    // Class, bucket, key.
    let begins = |key: &&Vec<u8>| key[11..].starts_with(prefix.as_bytes());
    records.keys().filter(begins).count() as u64
}

#[test]
fn r25_a_range_is_read_and_compared_and_a_vanished_object_comes_back() {
    let mut walk = filled(|_| {}, Timing::default());
    let node = primaries(&walk)[1];
    let before = held(&walk, node, KEY);
    let record = record_of(&walk, KEY);
    walk.disk_mut(node).lose(Family::Objects, &record);
    let ended = repaired(&mut walk, node, 1, "a ");
    assert_eq!((ended.missing, ended.damaged), (1, 0), "{ended:?}");
    assert_eq!(ended.unanswered, 0);
    assert_eq!(walk.notes(Note::RangeLossFound), 1);
    assert_eq!(held(&walk, node, KEY), before);
    assert_eq!(walk.notes(Note::Rebuilding), 0, "nothing else was missing");
    assert_healed(&walk);
}

#[test]
fn what_is_missing_outside_of_the_range_is_found_as_well() {
    let mut walk = filled(|_| {}, Timing::default());
    let class = class_of(&walk, KEY);
    let names = (0..50).map(|number| format!("key {number}"));
    let other = names
        .into_iter()
        .find(|name| class_of(&walk, name) == class);
    let (node, other) = (primaries(&walk)[1], other.unwrap());
    for name in [KEY, &other] {
        let record = record_of(&walk, name);
        walk.disk_mut(node).lose(Family::Objects, &record);
    }
    let ended = repaired(&mut walk, node, 1, "a ");
    assert_eq!(ended.missing, 1);
    assert_eq!(walk.notes(Note::SilentLossFound), 1);
    assert!(held(&walk, node, &other).is_some());
    assert_healed(&walk);
}

#[test]
fn a_long_value_is_put_back_with_its_pieces() {
    let mut walk = filled(|_| {}, Timing::default());
    put(&mut walk, "a long one", &"x".repeat(150_000));
    walk.pass(15_000);
    let node = walk.preference(SIBLINGS, "a long one").primaries[1];
    let pieces = walk.disk(node).records(Family::Chunks);
    let record = record_of(&walk, "a long one");
    walk.disk_mut(node).lose(Family::Objects, &record);
    for piece in pieces.keys() {
        walk.disk_mut(node).lose(Family::Chunks, piece);
    }
    assert_eq!(repaired(&mut walk, node, 1, "a ").missing, 1);
    assert_eq!(walk.disk(node).records(Family::Chunks), pieces);
    assert!(held(&walk, node, "a long one").is_some());
}

#[test]
fn only_the_range_is_read_and_what_vanished_elsewhere_is_left_to_others() {
    let mut walk = filled(|_| {}, Timing::default());
    let node = primaries(&walk)[1];
    let record = record_of(&walk, KEY);
    walk.disk_mut(node).lose(Family::Objects, &record);
    let ended = repaired(&mut walk, node, 1, "key 1");
    assert_eq!(ended.keys, held_by(&walk, node, "key 1"));
    assert_eq!(ended.compared, 2 * ended.keys, "each of two others");
    assert_eq!((ended.missing, ended.behind, ended.damaged), (0, 0, 0));
    assert_eq!(held(&walk, node, KEY), None);
}

#[test]
fn a_damaged_record_in_the_range_is_met_and_healed() {
    let mut walk = filled(|_| {}, Timing::default());
    let node = primaries(&walk)[2];
    let (before, record) = (held(&walk, node, KEY), record_of(&walk, KEY));
    walk.disk_mut(node).damage(Family::Objects, &record);
    progress(&mut walk, node, 1, "a ");
    walk.pass(20_000);
    assert!(walk.notes(Note::Rebuilt) > 0);
    assert_eq!(held(&walk, node, KEY), before);
    let after = repaired(&mut walk, node, 2, "a ");
    assert_eq!((after.missing, after.damaged), (0, 0), "{after:?}");
    assert_healed(&walk);
}

#[test]
fn members_that_each_lost_something_take_it_from_each_other() {
    let mut walk = filled(|_| {}, Timing::default());
    let class = class_of(&walk, KEY);
    let members = primaries(&walk);
    let names = (0..50).map(|number| format!("key {number}"));
    let near: Vec<String> = names
        .filter(|name| class_of(&walk, name) == class)
        .collect();
    assert!(near.len() >= 3, "{near:?}");
    for (node, name) in members.iter().zip(&near) {
        let record = record_of(&walk, name);
        walk.disk_mut(*node).lose(Family::Objects, &record);
    }
    for node in &members {
        progress(&mut walk, *node, 1, "key ");
    }
    walk.pass(20_000);
    assert_eq!(walk.notes(Note::RangeLossFound), 3);
    assert_eq!(walk.notes(Note::Rebuilding), 0);
    for node in &members {
        for name in &near {
            assert!(held(&walk, *node, name).is_some(), "{name} at {node}");
        }
    }
    assert_healed(&walk);
}

#[test]
fn a_replica_that_is_away_is_counted_and_a_later_repair_includes_it() {
    let mut walk = filled(|_| {}, Timing::default());
    let members = primaries(&walk);
    let ended = progress(&mut walk, members[0], 1, "a ");
    assert_eq!(ended.done, 0);
    walk.kill(members[2]);
    walk.pass(400_000);
    let ended = progress(&mut walk, members[0], 1, "a ");
    assert_eq!(ended.done, ended.vnodes, "it does not wait for ever");
    assert!(ended.unanswered > 0, "{ended:?}");
    walk.start(members[2]);
    walk.pass(5_000);
    assert_eq!(repaired(&mut walk, members[0], 2, "a ").unanswered, 0);
}

#[test]
fn an_order_given_again_joins_and_after_a_restart_it_begins_anew() {
    let mut walk = filled(|_| {}, Timing::default());
    let node = primaries(&walk)[0];
    let ended = repaired(&mut walk, node, 7, "key");
    assert_eq!(progress(&mut walk, node, 7, "key"), ended);
    assert_eq!(walk.notes(Note::RangeRepaired), 1);
    walk.kill(node);
    walk.start(node);
    assert_eq!(progress(&mut walk, node, 7, "key").done, 0);
    walk.pass(20_000);
    assert_eq!(progress(&mut walk, node, 7, "key"), ended);
}

#[test]
fn too_many_repairs_at_a_time_are_refused() {
    let mut walk = filled(|_| {}, Timing::default());
    let node = primaries(&walk)[0];
    for id in 0..8 {
        progress(&mut walk, node, id, "key");
    }
    assert_eq!(walk.order_scrub(node, order(8, "key")).repair, None);
    walk.pass(60_000);
    progress(&mut walk, node, 8, "key");
}

/// What a peer said to hold arrives after everybody has seen it deleted, and nothing is left of it anywhere. Returns
/// how often that was taken for a loss.
pub(crate) fn late_pages(prepare: fn(&mut Replica)) -> u64 {
    let patient = Timing {
        resend_us: 60_000_000,
        ..Timing::default()
    };
    let mut walk = filled(prepare, patient);
    let node = primaries(&walk)[0];
    walk.lose("SnapshotPage", node, 0);
    progress(&mut walk, node, 1, "a ");
    walk.pass(500);
    let mut delete = walk.a_delete(KEY);
    delete.options.w = Some(Count::Exactly(3));
    walk.delete(node, delete).unwrap();
    walk.pass(10_000);
    assert_eq!(held(&walk, node, KEY), None, "nothing is left of it");
    walk.lose_nothing();
    walk.deliver_late("SnapshotPage", node);
    walk.pass(30_000);
    walk.notes(Note::RangeLossFound)
}

#[test]
fn what_was_deleted_while_a_page_was_under_way_is_not_taken_for_lost() {
    assert_eq!(late_pages(|_| {}), 0);
}

#[test]
fn an_object_that_vanished_comes_back_with_a_repair_of_its_range() {
    assert!(comes_back(|_| {}));
}

/// An object vanishes and a repair of its range follows. Returns whether the object came back.
pub(crate) fn comes_back(prepare: fn(&mut Replica)) -> bool {
    let mut walk = filled(prepare, Timing::default());
    let node = primaries(&walk)[1];
    let record = record_of(&walk, KEY);
    walk.disk_mut(node).lose(Family::Objects, &record);
    repaired(&mut walk, node, 1, "a ");
    held(&walk, node, KEY).is_some()
}

#[test]
fn writes_while_a_repair_goes_on_raise_no_alarm() {
    let mut walk = filled(|_| {}, Timing::default());
    for round in 0..200_u32 {
        let key = format!("key {}", round % 50);
        if round % 20 == 0 {
            let node = NodeId::new(1 + u64::from(round / 20) % 5);
            walk.order_scrub(node, order(u64::from(round), "key"));
        }
        if round % 3 == 0 {
            let at = walk.preference(SIBLINGS, &key).primaries[0];
            let delete = walk.a_delete(&key);
            walk.begin(at, delete);
        } else {
            put(&mut walk, &key, "again");
        }
        walk.pass(50);
    }
    walk.pass(30_000);
    assert!(walk.notes(Note::RangeRepaired) >= 10);
    assert_eq!(walk.notes(Note::RangeLossFound), 0);
    assert_eq!(walk.notes(Note::Rebuilding), 0);
}
