//! Losses that no checksum tells of, found by reading everything through or by comparing digests.

use bytes::Bytes;
use quorate_core::causality::Digest;
use quorate_core::record::{decode_object, encode_digest, keys};
use quorate_core::{Family, Note, Replica, Timing, digest_of_objects, stored_digest};
use quorate_protocol::client::Scrub;
use quorate_protocol::options::Count;
use quorate_ring::{Class, NodeId};

use crate::walk::{SIBLINGS, Walk, a_get, values};

pub(crate) const KEY: &str = "a key";
const LONG: usize = 150_000;

fn often() -> Timing {
    Timing {
        scrub_every_us: 2_000_000,
        ..Timing::default()
    }
}

/// Five nodes; the key and fifty others are written, and every log is collected.
pub(crate) fn filled(prepare: fn(&mut Replica), timing: Timing) -> Walk {
    let mut walk = Walk::paced(5, prepare, timing);
    for number in 0..50 {
        put(&mut walk, &format!("key {number}"), "other");
    }
    put(&mut walk, KEY, "first");
    walk.pass(15_000);
    walk
}

pub(crate) fn put(walk: &mut Walk, key: &str, value: &str) {
    let at = walk.preference(SIBLINGS, key).primaries[0];
    let mut put = walk.a_put(key, value);
    put.options.w = Some(Count::Exactly(3));
    walk.put(at, put).unwrap();
}

pub(crate) fn class_of(walk: &Walk, key: &str) -> Class {
    Class {
        n: 3,
        partition: walk.map.ring.partition_of(SIBLINGS, key.as_bytes()),
    }
}

pub(crate) fn record_of(walk: &Walk, key: &str) -> Vec<u8> {
    keys::object_key(class_of(walk, key), SIBLINGS, key.as_bytes())
}

fn victim(walk: &Walk) -> NodeId {
    walk.preference(SIBLINGS, KEY).primaries[1]
}

pub(crate) fn held(walk: &Walk, at: NodeId, key: &str) -> Option<Bytes> {
    walk.disk(at)
        .records(Family::Objects)
        .get(&record_of(walk, key))
        .cloned()
}

/// Every replica is whole and holds the same.
pub(crate) fn assert_healed(walk: &Walk) {
    let class = class_of(walk, KEY);
    let mut digests: Vec<Digest> = Vec::new();
    for node in walk.preference(SIBLINGS, KEY).primaries {
        let status = walk.status(node);
        let vnode = status.vnodes.iter().find(|vnode| vnode.class == class);
        let vnode = vnode.unwrap();
        assert!(vnode.current && !vnode.damaged, "{node}: {vnode:?}");
        let disk = walk.disk(node);
        assert_eq!(stored_digest(disk, class), digest_of_objects(disk, class));
        digests.extend(stored_digest(disk, class).ok());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn r25_an_object_that_vanishes_is_found_by_a_scrub_and_comes_back_without_client_reads() {
    let mut walk = filled(|_| {}, often());
    let (node, key) = (victim(&walk), record_of(&walk, KEY));
    let before = held(&walk, node, KEY);
    walk.disk_mut(node).lose(Family::Objects, &key);
    walk.pass(15_000);
    assert_eq!(walk.notes(Note::SilentLossFound), 1);
    assert_eq!(held(&walk, node, KEY), before);
    assert_healed(&walk);
}

#[test]
fn damage_that_a_cache_hides_is_found_by_the_next_round() {
    let mut walk = filled(|_| {}, often());
    let (node, key) = (victim(&walk), record_of(&walk, KEY));
    let before = held(&walk, node, KEY);
    for _ in 0..2 {
        walk.disk_mut(node)
            .damage_behind_a_cache(Family::Objects, &key);
        let found = walk.notes(Note::DamageFound);
        walk.pass(15_000);
        assert!(walk.notes(Note::DamageFound) > found);
        assert_eq!(held(&walk, node, KEY), before);
        assert_healed(&walk);
    }
}

#[test]
fn a_piece_of_a_long_value_that_vanishes_is_found_by_a_scrub_and_comes_back() {
    let mut walk = filled(|_| {}, often());
    put(&mut walk, "long", &"x".repeat(LONG));
    let node = walk.preference(SIBLINGS, "long").primaries[2];
    let pieces = walk.disk(node).records(Family::Chunks);
    let piece = pieces.keys().next().unwrap();
    walk.disk_mut(node).lose(Family::Chunks, piece);
    walk.pass(15_000);
    assert!(walk.notes(Note::DamageFound) > 0);
    assert_eq!(walk.disk(node).records(Family::Chunks), pieces);
    let bad: u64 = walk
        .status(node)
        .vnodes
        .iter()
        .map(|vnode| vnode.bad_records)
        .sum();
    assert_eq!(bad, 1);
}

#[test]
fn a_log_entry_that_vanishes_is_found_by_a_scrub_and_leaves_nothing_behind() {
    let mut walk = filled(|_| {}, often());
    let primaries = walk.preference(SIBLINGS, KEY).primaries;
    walk.kill(primaries[2]);
    let mut over = walk.a_put(KEY, "second");
    over.options.w = Some(Count::Exactly(2));
    walk.put(primaries[0], over).unwrap();
    let log = walk.disk(primaries[1]).records(Family::Log);
    let entry = log.keys().next().unwrap();
    walk.disk_mut(primaries[1]).lose(Family::Log, entry);
    walk.pass(5_000);
    assert!(walk.notes(Note::SilentLossFound) > 0);
    walk.start(primaries[2]);
    walk.pass(20_000);
    assert_healed(&walk);
    assert_eq!(walk.disk(primaries[1]).entries(Family::Log), 0);
}

/// Writes and deletes everywhere while scrubs go on, a page of one object at a time. Returns how often a loss
/// was found that was none.
pub(crate) fn false_alarms(prepare: fn(&mut Replica)) -> u64 {
    let slow = Timing {
        scrub_every_us: 1,
        scrub_bytes_per_s: 20_000,
        ..Timing::default()
    };
    let mut walk = filled(prepare, slow);
    for round in 0..400_u32 {
        let key = format!("key {}", round % 50);
        let at = walk.preference(SIBLINGS, &key).primaries[0];
        if round % 7 == 0 {
            let delete = walk.a_delete(&key);
            walk.begin(at, delete);
        } else {
            let put = walk.a_put(&key, "again");
            walk.begin(at, put);
        }
        walk.pass(50);
    }
    assert!(
        walk.notes(Note::Scrubbed) > 20,
        "hardly anything was scrubbed"
    );
    walk.notes(Note::SilentLossFound) + walk.notes(Note::Rebuilding)
}

#[test]
fn writes_while_a_scrub_goes_on_raise_no_alarm() {
    assert_eq!(false_alarms(|_| {}), 0);
}

/// An object vanishes and its key is written again before anybody scrubs: the old version is on no disk
/// here any more, the new one shows nothing, and only the digest still says so. Returns who lost it.
pub(crate) fn vanished_and_overwritten(prepare: fn(&mut Replica)) -> (Walk, NodeId) {
    let mut walk = filled(prepare, Timing::default());
    let (node, key) = (victim(&walk), record_of(&walk, KEY));
    walk.disk_mut(node).lose(Family::Objects, &key);
    let mut second = walk.a_put(KEY, "second");
    second.options.w = Some(Count::Exactly(3));
    let at = walk.preference(SIBLINGS, KEY).primaries[0];
    walk.put(at, second).unwrap();
    walk.pass(60_000);
    (walk, node)
}

#[test]
fn equal_clocks_with_different_digests_make_both_scrub_and_the_one_that_lost_something_is_rebuilt()
{
    let (mut walk, node) = vanished_and_overwritten(|_| {});
    assert!(walk.notes(Note::DigestsDiffer) > 0);
    assert!(walk.notes(Note::SilentLossFound) > 0);
    assert_eq!(walk.notes(Note::ReplicasDiffer), 0);
    assert_healed(&walk);
    let got = walk.get(node, a_get(KEY)).unwrap();
    assert_eq!(values(&got), ["first", "second"]);
}

/// One member, by its order of ids, holds less than the others under the same clock, and each is right by its own measure.
/// Returns who, and what it had held.
pub(crate) fn less_held_by(
    order: usize,
    prepare: fn(&mut Replica),
) -> (Walk, NodeId, Option<Bytes>) {
    let mut walk = filled(prepare, Timing::default());
    let (key, class) = (record_of(&walk, KEY), class_of(&walk, KEY));
    let mut members = walk.preference(SIBLINGS, KEY).primaries.clone();
    members.sort_unstable();
    let node = members[order];
    let record = held(&walk, node, KEY).unwrap();
    let part = Digest::of_object(
        SIBLINGS,
        KEY.as_bytes(),
        &decode_object(&key, &record).unwrap(),
    );
    walk.kill(node);
    let mut digest = stored_digest(walk.disk(node), class).unwrap();
    digest.take(part);
    let digest_key = keys::digest_key(class);
    let forged = encode_digest(&digest_key, &digest);
    walk.disk_mut(node).lose(Family::Objects, &key);
    walk.disk_mut(node)
        .forge(Family::Vnodes, digest_key, forged);
    walk.start(node);
    walk.pass(90_000);
    (walk, node, Some(record))
}

#[test]
fn where_both_seem_whole_the_value_wins_whoever_has_lost_it() {
    for order in 0..3 {
        let (walk, node, record) = less_held_by(order, |_| {});
        assert!(walk.notes(Note::ReplicasDiffer) > 0);
        assert_eq!(walk.notes(Note::SilentLossFound), 0);
        assert_eq!(held(&walk, node, KEY), record, "member {order}");
        assert_healed(&walk);
    }
}

#[test]
fn a_pass_and_its_end_are_told() {
    let mut walk = filled(
        |_| {},
        Timing {
            scrub_bytes_per_s: 0,
            ..often()
        },
    );
    let node = victim(&walk);
    let told = |walk: &Walk| {
        let vnodes = walk.status(node).vnodes;
        let scrubbed = vnodes.iter().filter(|vnode| vnode.scrubbed_ms.is_some());
        scrubbed.count()
    };
    assert_eq!(told(&walk), 0, "a pace of 0 is a pause");
    walk = filled(|_| {}, often());
    assert_eq!(told(&walk), walk.status(node).vnodes.len());
}

/// The clock of one node is ahead: it has dropped what expired, and the others hold it still. That is no
/// difference, and a scrub that goes on meanwhile loses nothing.
#[test]
fn an_expired_version_that_one_replica_has_dropped_and_another_has_not_is_no_damage() {
    let slow = Timing {
        scrub_every_us: 1,
        scrub_bytes_per_s: 20_000,
        ..Timing::default()
    };
    let mut walk = filled(|_| {}, slow);
    let primaries = walk.preference(SIBLINGS, KEY).primaries;
    walk.set_clock_ahead(primaries[2], 900);
    for number in 0..50 {
        let mut put = walk.a_put(&format!("key {number}"), "short");
        put.ttl_ms = Some(5_000 + 100 * number);
        let at = walk
            .preference(SIBLINGS, &format!("key {number}"))
            .primaries[0];
        walk.begin(at, put);
    }
    walk.pass(8_000);
    let ahead = |number: &i32| {
        let key = format!("key {number}");
        let members = walk.preference(SIBLINGS, &key).primaries;
        let bytes = |node: &NodeId| held(&walk, *node, &key).map_or(0, |record| record.len());
        let there = bytes(&primaries[2]);
        members.contains(&primaries[2]) && members.iter().any(|node| bytes(node) > there)
    };
    assert!((0..50).filter(ahead).count() > 3, "nothing differs");
    for _ in 0..40 {
        walk.pass(1_000);
    }
    assert!(walk.notes(Note::Expired) > 50);
    assert_eq!(walk.disk(primaries[0]).entries(Family::Expiry), 0);
    assert!(walk.notes(Note::Scrubbed) > 20);
    let alarms = [
        Note::SilentLossFound,
        Note::DigestsDiffer,
        Note::ReplicasDiffer,
        Note::Rebuilding,
    ];
    assert_eq!(alarms.map(|note| walk.notes(note)), [0; 4]);
}

#[test]
fn an_expiry_whose_note_vanished_is_noted_again_by_a_scrub() {
    let mut walk = filled(|_| {}, often());
    let mut put = walk.a_put(KEY, "short");
    put.ttl_ms = Some(20_000);
    put.options.w = Some(Count::Exactly(3));
    let node = walk.preference(SIBLINGS, KEY).primaries[0];
    walk.put(node, put).unwrap();
    let noted = walk.disk(node).records(Family::Expiry);
    let entry = noted.keys().next().unwrap();
    walk.disk_mut(node).lose(Family::Expiry, entry);
    walk.pass(10_000);
    assert_eq!(walk.disk(node).records(Family::Expiry), noted);
    walk.pass(15_000);
    assert_eq!(walk.disk(node).entries(Family::Expiry), 0);
    assert_eq!(walk.notes(Note::Expired), 3);
}

fn read_through(walk: &Walk, node: NodeId) -> usize {
    let vnodes = walk.status(node).vnodes;
    let done = vnodes.iter().filter(|vnode| vnode.scrubbed_ms.is_some());
    done.count()
}

#[test]
fn by_order_a_partition_or_all_are_read_through_at_once_whatever_the_pace() {
    let mut walk = filled(
        |_| {},
        Timing {
            scrub_bytes_per_s: 0,
            ..Timing::default()
        },
    );
    let (node, class) = (victim(&walk), class_of(&walk, KEY));
    let now = Scrub {
        now: true,
        ..Scrub::default()
    };
    let one = Scrub {
        partition: Some(class.partition),
        ..now.clone()
    };
    let key = record_of(&walk, KEY);
    walk.disk_mut(node).lose(Family::Objects, &key);
    assert_eq!(walk.order_scrub(node, one).vnodes, 1);
    walk.pass(5_000);
    assert_eq!(walk.notes(Note::SilentLossFound), 1);
    assert_healed(&walk);
    let all = walk.order_scrub(node, now);
    assert!(all.paused && all.vnodes > 1, "{all:?}");
    walk.pass(5_000);
    assert_eq!(read_through(&walk, node), walk.status(node).vnodes.len());
}

#[test]
fn a_pause_lasts_until_it_is_lifted() {
    let mut walk = Walk::paced(5, |_| {}, often());
    let node = NodeId::new(1);
    let paused = |pause| Scrub {
        pause: Some(pause),
        ..Scrub::default()
    };
    assert!(walk.order_scrub(node, paused(true)).paused);
    let before = read_through(&walk, node);
    walk.pass(10_000);
    assert_eq!(read_through(&walk, node), before);
    assert!(before < walk.status(node).vnodes.len());
    assert!(!walk.order_scrub(node, paused(false)).paused);
    walk.pass(10_000);
    assert_eq!(read_through(&walk, node), walk.status(node).vnodes.len());
}

#[test]
fn who_gives_the_same_order_again_and_again_keeps_no_vnode_from_its_turn() {
    let mut walk = Walk::new(5);
    let node = walk.map.members[0].id;
    let vnodes = walk.status(node).vnodes.len();
    let now = Scrub {
        now: true,
        ..Scrub::default()
    };
    // In the time between two orders there is none for all of them.
    for _ in 0..vnodes {
        walk.order_scrub(node, now.clone());
        walk.pass(200);
    }
    assert!(vnodes > 3, "{vnodes}");
    assert_eq!(read_through(&walk, node), vnodes);
}
