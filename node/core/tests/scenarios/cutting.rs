//! Dot logs that are cut: a member was away for longer than the others note what it misses.

use quorate_core::{Family, Note, Replica, Timing};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::rebuilding::{assert_alike, name, node, put_at, read_at};
use crate::walk::{SIBLINGS, Walk, a_get, values};
use crate::{KEY, primaries, read_r};

/// Some hundred keys in each of the eight partitions.
const KEYS: usize = 800;
/// Of which so many change while a node is away.
const CHANGED: usize = 16;

/// One entry, and no more.
const SHORT: u64 = 100;

fn short_logs(prepare: fn(&mut Replica)) -> Walk {
    let timing = Timing {
        log_bytes_max: SHORT,
        scrub_every_us: 2_000_000,
        ..Timing::default()
    };
    Walk::paced(3, prepare, timing)
}

/// Three nodes hold all keys; of some the third misses an overwrite or a delete, and no log has it any more.
pub(crate) fn away_for_long(prepare: fn(&mut Replica)) -> Walk {
    let mut walk = short_logs(prepare);
    for number in 0..KEYS {
        put_at(&mut walk, node(1 + number as u64 % 3), &name(number), "old");
    }
    walk.pass(20_000);
    walk.kill(node(3));
    for number in changed() {
        let at = node(1 + number as u64 % 2);
        let mut get = a_get(&name(number));
        get.options.r = Some(Count::Exactly(2));
        let context = walk.get(at, get).unwrap().context;
        if number % 4 == 0 {
            let mut delete = walk.a_delete(&name(number));
            delete.context = Some(context);
            walk.delete(at, delete).unwrap();
        } else {
            let mut put = walk.a_put(&name(number), "new");
            put.context = Some(context);
            put.options.w = Some(Count::Exactly(2));
            walk.put(at, put).unwrap();
        }
    }
    walk.pass(5_000);
    assert!(walk.notes(Note::LogCut) > 0, "nothing was cut");
    walk
}

fn changed() -> impl Iterator<Item = usize> {
    (0..KEYS).step_by(KEYS / CHANGED)
}

fn expected(number: usize) -> Vec<String> {
    let changed = changed().any(|changed| changed == number);
    match (changed, number % 4) {
        (false, _) => vec!["old".to_owned()],
        (true, 0) => Vec::new(),
        (true, _) => vec!["new".to_owned()],
    }
}

#[test]
fn who_was_away_for_longer_than_the_log_lasts_is_filled_with_what_differs() {
    let mut walk = away_for_long(|_| {});
    walk.start(node(3));
    walk.pass(60_000);
    assert!(walk.notes(Note::Rebuilt) > 0, "no log answered");
    assert!(
        walk.notes(Note::HeldAlike) > 0,
        "everything was handed over"
    );
    assert_alike(&walk);
    for number in 0..KEYS {
        let key = name(number);
        assert_eq!(read_at(&mut walk, node(3), &key), expected(number), "{key}");
    }
    for id in 1..=3 {
        assert_eq!(walk.disk(node(id)).entries(Family::Log), 0, "log of {id}");
    }
}

#[test]
fn while_it_is_filled_no_read_is_stale_or_misses_anything() {
    let mut walk = away_for_long(|_| {});
    walk.start(node(3));
    for _ in 0..40 {
        for number in changed() {
            let mut get = a_get(&name(number));
            get.options.r = Some(Count::Exactly(2));
            let got = walk.get(node(3), get).unwrap();
            assert_eq!(values(&got), expected(number), "{}", name(number));
        }
        walk.pass(25);
    }
}

/// A member does not hear of a delete, and says with good reason that it is current; the log entry of the delete is cut,
/// and its context dropped. Returns what both that answer show.
pub(crate) fn read_after_a_cut_delete(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut walk = short_logs(prepare);
    let members = primaries(&walk);
    let mut put = walk.a_put(KEY, "deleted");
    put.options.w = Some(Count::Exactly(3));
    walk.put(members[0], put).unwrap();
    walk.pass(15_000);
    let context = walk.get(members[0], a_get(KEY)).unwrap().context;
    walk.kill(members[2]);
    walk.pass(2_000);
    for name in ["ReplicaPut", "Hints", "DotsAnswer", "SnapshotPage"] {
        walk.lose(name, members[1], 0);
    }
    let mut delete = walk.a_delete(KEY);
    delete.context = Some(context);
    delete.options.w = Some(Count::Exactly(1));
    walk.delete(members[0], delete).unwrap();
    write_until_it_is_cut(&mut walk, members[0]);
    walk.pass(15_000);
    let shown = members[..2]
        .iter()
        .map(|&at| read_r(&mut walk, at, 2).unwrap_or_default());
    shown.collect()
}

/// Keys of the same partition are written, which the log has to remember instead.
fn write_until_it_is_cut(walk: &mut Walk, at: NodeId) {
    let partition = |walk: &Walk, key: &str| walk.map.ring.partition_of(SIBLINGS, key.as_bytes());
    let own = partition(walk, KEY);
    let same = (0..)
        .map(name)
        .filter(|key| partition(walk, key) == own)
        .take(8);
    for key in same.collect::<Vec<_>>() {
        let mut put = walk.a_put(&key, "more");
        put.options.w = Some(Count::Exactly(1));
        walk.put(at, put).unwrap();
    }
    walk.pass(1_000);
    assert!(walk.notes(Note::LogCut) > 0, "nothing was cut");
}

#[test]
fn a_delete_whose_log_entry_was_cut_is_not_undone_by_who_has_not_heard_of_it() {
    let shown = read_after_a_cut_delete(|_| {});
    assert_eq!(shown, vec![Vec::<String>::new(); 2]);
}
