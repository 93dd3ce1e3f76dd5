//! A node on an old copy of its disk, to which a hint brings later writes before it has compared clocks.

use quorate_core::{Note, Replica};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{SIBLINGS, Walk, a_get, values};

const KEY: &str = "a key";

/// What that node holds of a key in the end. One value of the key was overwritten after the copy was made,
/// and that is settled: nobody has a context of it any more. Then a value was written blindly beside the new one
/// while the node was away, so that a fallback keeps both for it, and neither says what it supersedes.
pub(crate) fn read_after_a_hint_on_an_old_copy(
    prepare: fn(&mut Replica),
    peers_restart: bool,
) -> (Walk, Vec<String>) {
    let mut walk = Walk::prepared(5, prepare);
    let [p1, p2, p3]: [NodeId; 3] = walk.preference(SIBLINGS, KEY).primaries.try_into().unwrap();
    put(&mut walk, p1, "first", false);
    walk.pass(15_000);
    let old = walk.disk(p3).clone();
    put(&mut walk, p2, "second", true);
    walk.pass(15_000);
    walk.kill(p3);
    put(&mut walk, p2, "third", false);
    *walk.disk_mut(p3) = old;
    if peers_restart {
        [p1, p2].into_iter().for_each(|node| walk.kill(node));
        [p1, p2].into_iter().for_each(|node| walk.start(node));
    }
    let late = ["CatchUpAnswer", "Clocks", "Remembered"];
    late.into_iter().for_each(|name| walk.lose(name, p3, 0));
    walk.start(p3);
    walk.pass(2_000);
    assert!(walk.notes(Note::HintDelivered) > 0);
    walk.lose_nothing();
    walk.pass(30_000);
    let mut get = a_get(KEY);
    get.options.r = Some(Count::Exactly(1));
    let held = values(&walk.get(p3, get).unwrap());
    (walk, held)
}

fn put(walk: &mut Walk, at: NodeId, value: &str, over: bool) {
    let mut put = walk.a_put(KEY, value);
    put.options.w = Some(Count::All);
    if over {
        let got = walk.get(at, a_get(KEY)).unwrap();
        put.context = Some(got.context);
    }
    walk.put(at, put).unwrap();
}

#[test]
fn hints_do_not_hide_that_storage_went_back_from_peers_that_have_restarted() {
    let (walk, held) = read_after_a_hint_on_an_old_copy(|_| {}, true);
    assert_eq!(held, ["second", "third"]);
    assert!(walk.notes(Note::OldStorageFound) > 0);
}

#[test]
fn hints_do_not_hide_that_storage_went_back_from_peers_that_remember() {
    let (_, held) = read_after_a_hint_on_an_old_copy(|_| {}, false);
    assert_eq!(held, ["second", "third"]);
}

#[test]
fn a_restart_is_not_taken_for_an_old_copy() {
    let mut walk = Walk::new(5);
    for round in 0..3 {
        put(&mut walk, NodeId::new(1 + round % 5), "value", true);
        walk.pass(15_000);
        for node in (1..=5).map(NodeId::new) {
            walk.kill(node);
            walk.pass(1_000);
            walk.start(node);
            walk.pass(3_000);
        }
    }
    assert_eq!(walk.notes(Note::OldStorageFound), 0);
    assert_eq!(walk.notes(Note::Rebuilding), 0);
}
