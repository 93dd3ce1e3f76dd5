//! Vnodes that lost something, and how they are filled again.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::record::keys;
use quorate_core::{Family, Note};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{SIBLINGS, Walk, a_get, values};

pub(crate) const KEYS: usize = 60;

pub(crate) fn name(number: usize) -> String {
    format!("key-{number:03}")
}

pub(crate) fn node(number: u64) -> NodeId {
    NodeId::new(number)
}

/// What each node must hold of the classes that it is a primary of.
pub(crate) fn objects(walk: &Walk, id: NodeId) -> BTreeMap<Vec<u8>, Bytes> {
    walk.disk(id).records(Family::Objects)
}

pub(crate) fn put_at(walk: &mut Walk, at: NodeId, key: &str, value: &str) {
    let mut put = walk.a_put(key, value);
    put.options.w = Some(Count::Exactly(2));
    walk.put(at, put).unwrap();
}

fn delete_at(walk: &mut Walk, at: NodeId, key: &str) {
    let delete = walk.a_delete(key);
    walk.delete(at, delete).unwrap();
}

/// Five nodes, all keys written, every log collected.
fn filled() -> Walk {
    filled_by(Walk::new(5))
}

pub(crate) fn filled_by(mut walk: Walk) -> Walk {
    for number in 0..KEYS {
        put_at(&mut walk, node(1 + number as u64 % 5), &name(number), "v");
    }
    walk.pass(15_000);
    for id in 1..=5 {
        assert_eq!(walk.disk(node(id)).entries(Family::Log), 0);
    }
    walk
}

pub(crate) fn read_at(walk: &mut Walk, at: NodeId, key: &str) -> Vec<String> {
    let mut get = a_get(key);
    get.options.r = Some(Count::Exactly(1));
    values(&walk.get(at, get).unwrap())
}

/// All replicas are current, whole, and hold the same; no log entry, no context is left.
pub(crate) fn assert_converged(walk: &Walk) {
    assert_alike(walk);
    for member in &walk.map.members {
        let id = member.id;
        assert_eq!(walk.disk(id).entries(Family::Log), 0, "log of {id}");
    }
}

/// All replicas are current, whole, and hold the same.
pub(crate) fn assert_alike(walk: &Walk) {
    assert_eq!(
        walk.notes(Note::ReplicasDiffer),
        0,
        "made equal, but not right"
    );
    let ids: Vec<NodeId> = walk.map.members.iter().map(|member| member.id).collect();
    let mut copies: BTreeMap<Vec<u8>, Vec<(NodeId, Bytes)>> = BTreeMap::new();
    for &id in &ids {
        let status = walk.status(id);
        for vnode in &status.vnodes {
            assert!(
                vnode.current && vnode.lag == 0 && !vnode.damaged && vnode.rebuilding.is_none(),
                "{id}: {vnode:?}"
            );
        }
        for (key, record) in objects(walk, id) {
            copies.entry(key).or_default().push((id, record));
        }
    }
    for (key, held) in copies {
        let (class, _, name) = keys::parse_object_key(&key).unwrap();
        let mut primaries = walk.map.ring.primaries(class).to_vec();
        primaries.sort_unstable();
        let name = String::from_utf8_lossy(name).into_owned();
        let holders: Vec<NodeId> = held.iter().map(|(id, _)| *id).collect();
        assert_eq!(holders, primaries, "{name}");
        assert!(
            held.iter().all(|(_, record)| *record == held[0].1),
            "{name}"
        );
    }
}

fn assert_all_there(walk: &mut Walk, at: NodeId) {
    for number in 0..KEYS {
        assert_eq!(read_at(walk, at, &name(number)), ["v"], "{}", name(number));
    }
}

#[test]
fn r25_a_node_with_an_empty_disk_is_filled_again_without_client_reads() {
    let mut walk = filled();
    let before = objects(&walk, node(3));
    assert!(!before.is_empty());
    walk.kill(node(3));
    *walk.disk_mut(node(3)) = Default::default();
    walk.start(node(3));
    walk.pass(20_000);
    assert!(walk.notes(Note::Rebuilt) > 0);
    assert_eq!(objects(&walk, node(3)), before);
    assert_converged(&walk);
    assert_all_there(&mut walk, node(3));
}

#[test]
fn r19_an_old_copy_of_a_disk_brings_no_deleted_value_back() {
    let mut walk = filled();
    let old = walk.disk(node(3)).clone();
    for number in 0..KEYS / 2 {
        delete_at(&mut walk, node(1), &name(number));
    }
    for number in KEYS..KEYS + 5 {
        put_at(&mut walk, node(1), &name(number), "new");
    }
    walk.pass(15_000);
    walk.kill(node(3));
    *walk.disk_mut(node(3)) = old;
    walk.start(node(3));
    let mut early = a_get(&name(0));
    early.options.r = Some(Count::Exactly(1));
    assert!(walk.get(node(3), early).unwrap().siblings.is_empty());
    walk.pass(20_000);
    assert_converged(&walk);
    for number in 0..KEYS / 2 {
        assert!(read_at(&mut walk, node(3), &name(number)).is_empty());
    }
    assert_eq!(read_at(&mut walk, node(3), &name(KEYS)), ["new"]);
}

#[test]
fn an_old_copy_of_a_disk_is_told_by_a_peer_that_remembers_more() {
    let mut walk = filled();
    let old = walk.disk(node(3)).clone();
    for number in 0..KEYS {
        put_at(&mut walk, node(1), &name(number), "v");
    }
    walk.pass(1_000);
    walk.kill(node(3));
    *walk.disk_mut(node(3)) = old;
    walk.start(node(3));
    walk.pass(1_500);
    assert!(walk.notes(Note::PeerBehindItsWord) > 0);
    assert!(walk.notes(Note::Rebuilding) > 0);
    walk.pass(20_000);
    assert!(walk.notes(Note::Rebuilt) > 0);
    assert_converged(&walk);
}

fn damage_and_restart(family: Family) -> Walk {
    let mut walk = filled();
    if family == Family::Log {
        // Something has to be in a log: a peer is away.
        walk.kill(node(5));
        for number in 0..KEYS {
            let key = name(number);
            put_at(&mut walk, node(3), &key, "w");
        }
        walk.pass(1_000);
    }
    let keys: Vec<Vec<u8>> = walk.disk(node(3)).records(family).into_keys().collect();
    assert!(keys.len() > 3, "{family:?}");
    walk.kill(node(3));
    for key in [&keys[0], &keys[keys.len() / 2], &keys[keys.len() / 2 + 1]] {
        walk.disk_mut(node(3)).damage(family, key);
    }
    walk.start(node(3));
    if family == Family::Log {
        walk.start(node(5));
    }
    walk
}

#[test]
fn a_damaged_vnode_record_or_log_is_made_good_from_a_peer() {
    for family in [Family::Vnodes, Family::Log] {
        let mut walk = damage_and_restart(family);
        walk.pass(30_000);
        assert!(walk.notes(Note::Rebuilt) > 0, "{family:?}");
        assert_converged(&walk);
    }
}

#[test]
fn a_damaged_object_is_never_taken_for_a_deleted_one_and_comes_back() {
    let mut walk = damage_and_restart(Family::Objects);
    for number in 0..KEYS {
        let mut get = a_get(&name(number));
        get.options.r = Some(Count::Exactly(2));
        assert_eq!(values(&walk.get(node(3), get).unwrap()), ["v"]);
    }
    walk.pass(30_000);
    assert!(walk.notes(Note::Rebuilt) > 0);
    assert_converged(&walk);
    assert_all_there(&mut walk, node(3));
}

/// Writes "mine" while the other primaries are away, so that one alone has it. Says who, and who is away.
pub(crate) fn write_at_one(walk: &mut Walk, key: &str) -> (NodeId, Vec<NodeId>) {
    let primaries = walk.preference(SIBLINGS, key).primaries;
    let (mine, others) = (primaries[0], primaries[1..].to_vec());
    others.iter().for_each(|&other| walk.kill(other));
    let mut put = walk.a_put(key, "mine");
    put.options.w = Some(Count::Exactly(1));
    put.options.sloppy = Some(false);
    walk.put(mine, put).unwrap();
    (mine, others)
}

#[test]
fn a_write_that_only_the_damaged_vnode_had_survives() {
    let mut walk = filled();
    let key = name(0);
    let (mine, others) = write_at_one(&mut walk, &key);
    walk.kill(mine);
    let record = keys::vnode_key(class_of(&walk, &key));
    walk.disk_mut(mine).damage(Family::Vnodes, &record);
    walk.start(mine);
    for &other in &others {
        walk.start(other);
    }
    walk.pass(30_000);
    assert_converged(&walk);
    assert!(read_at(&mut walk, others[0], &key).contains(&"mine".to_owned()));
}

fn class_of(walk: &Walk, key: &str) -> quorate_ring::Class {
    quorate_ring::Class {
        n: 3,
        partition: walk.map.ring.partition_of(SIBLINGS, key.as_bytes()),
    }
}

/// Three hints for a primary that is down, at one fallback, the middle one unreadable.
fn unreadable_hint(restart: bool) {
    let mut walk = filled();
    let key = name(0);
    let preference = walk.preference(SIBLINGS, &key);
    let (away, keeper) = (preference.primaries[2], preference.fallbacks[0]);
    let same: Vec<String> = (0..400)
        .map(|number| format!("other-{number}"))
        .filter(|other| class_of(&walk, other) == class_of(&walk, &key))
        .take(5)
        .collect();
    walk.kill(away);
    for key in &same {
        put_at(&mut walk, preference.primaries[0], key, "w");
    }
    let hints: Vec<Vec<u8>> = walk
        .disk(keeper)
        .records(Family::Hints)
        .into_keys()
        .collect();
    assert_eq!(hints.len(), 5);
    walk.disk_mut(keeper).damage(Family::Hints, &hints[2]);
    walk.disk_mut(keeper).damage(Family::Hints, &hints[3]);
    if restart {
        walk.kill(keeper);
        walk.start(keeper);
    }
    walk.start(away);
    walk.pass(20_000);
    assert_eq!(walk.disk(keeper).entries(Family::Hints), 0);
    assert_eq!(walk.hints_for(keeper, away), 0);
    assert_converged(&walk);
    for key in &same {
        assert_eq!(read_at(&mut walk, away, key), ["w"]);
    }
}

#[test]
fn a_hint_that_cannot_be_read_keeps_nobody_waiting() {
    unreadable_hint(false);
    unreadable_hint(true);
}

/// A walk in which node 3 comes back with an empty disk and has got so many pages.
fn half_way(pages: u32) -> Walk {
    let mut walk = filled();
    walk.kill(node(3));
    *walk.disk_mut(node(3)) = Default::default();
    walk.lose("SnapshotPage", node(3), pages);
    walk.start(node(3));
    walk.pass(3_000);
    walk
}

#[test]
fn writes_and_deletes_during_the_transfer_are_kept() {
    let mut walk = half_way(3);
    for number in 0..KEYS / 2 {
        delete_at(&mut walk, node(1), &name(number));
    }
    for number in KEYS..KEYS + 20 {
        put_at(&mut walk, node(3), &name(number), "new");
    }
    walk.pass(2_000);
    walk.lose_nothing();
    walk.pass(30_000);
    assert_converged(&walk);
    for number in 0..KEYS / 2 {
        assert!(read_at(&mut walk, node(3), &name(number)).is_empty());
    }
    for number in KEYS..KEYS + 20 {
        assert_eq!(read_at(&mut walk, node(3), &name(number)), ["new"]);
    }
}

#[test]
fn a_transfer_goes_on_where_it_was_when_the_receiver_or_the_sender_starts_again() {
    for crashed in 1..=5 {
        let mut walk = half_way(5);
        walk.kill(node(crashed));
        walk.pass(500);
        walk.start(node(crashed));
        walk.lose_nothing();
        walk.pass(30_000);
        assert_converged(&walk);
        assert_all_there(&mut walk, node(3));
    }
}

#[test]
fn a_second_peer_takes_over_when_the_first_one_is_gone() {
    for dead in [1, 2, 4, 5] {
        let mut walk = half_way(5);
        walk.kill(node(dead));
        walk.lose_nothing();
        walk.pass(40_000);
        for vnode in walk.status(node(3)).vnodes {
            assert_eq!(vnode.rebuilding, None, "{vnode:?}");
        }
        walk.start(node(dead));
        walk.pass(20_000);
        assert_converged(&walk);
    }
}

#[test]
fn two_damaged_replicas_at_once_are_filled_from_the_third() {
    let mut walk = filled();
    for id in [2, 3] {
        walk.kill(node(id));
        *walk.disk_mut(node(id)) = Default::default();
    }
    for id in [2, 3] {
        walk.start(node(id));
    }
    walk.pass(40_000);
    assert_converged(&walk);
    assert_all_there(&mut walk, node(2));
}

#[test]
fn the_only_member_of_a_class_serves_what_it_can_read_and_claims_no_absence() {
    let mut walk = Walk::new(1);
    for number in 0..KEYS {
        let mut put = walk.a_put(&name(number), "v");
        put.options.w = Some(Count::Exactly(1));
        walk.put(node(1), put).unwrap();
    }
    walk.kill(node(1));
    let key = keys::object_key(class_of(&walk, &name(7)), SIBLINGS, name(7).as_bytes());
    walk.disk_mut(node(1)).damage(Family::Objects, &key);
    walk.start(node(1));
    walk.pass(2_000);
    let mut get = a_get(&name(7));
    get.options.r = Some(Count::Exactly(1));
    assert!(walk.get(node(1), get).is_err());
    walk.pass(5_000);
    let damaged: Vec<_> = walk.status(node(1)).vnodes;
    assert_eq!(damaged.iter().filter(|vnode| vnode.damaged).count(), 1);
    let mut stale = a_get(&name(8));
    stale.options.stale_ok = true;
    assert_eq!(values(&walk.get(node(1), stale).unwrap()), ["v"]);
}

#[test]
fn when_all_are_damaged_nobody_claims_an_absence() {
    let mut walk = filled();
    let class = class_of(&walk, &name(0));
    let primaries = walk.preference(SIBLINGS, &name(0)).primaries;
    for &id in &primaries {
        walk.kill(id);
        let record = keys::vnode_key(class);
        walk.disk_mut(id).damage(Family::Vnodes, &record);
    }
    primaries.iter().for_each(|&id| walk.start(id));
    walk.pass(20_000);
    assert!(walk.get(primaries[0], a_get(&name(0))).is_err());
    let mut stale = a_get(&name(0));
    stale.options.stale_ok = true;
    let got = walk.get(primaries[0], stale).unwrap();
    assert_eq!(
        (values(&got), got.maybe_stale),
        (vec!["v".to_owned()], true)
    );
}

/// Found by the simulator (seed 1326): the pieces of a long value outlived the record of its object,
/// and nobody ever removed them.
#[test]
fn pieces_whose_record_was_lost_are_swept_out() {
    let mut walk = filled();
    let long = "x".repeat(200_000);
    let (gone, stays) = ("long-gone", "long-stays");
    for key in [gone, stays] {
        put_at(&mut walk, node(1), key, &long);
    }
    walk.pass(15_000);
    let holder = walk.preference(SIBLINGS, gone).primaries[0];
    let pieces = walk.disk(holder).entries(Family::Chunks);
    let record = keys::object_key(class_of(&walk, gone), SIBLINGS, gone.as_bytes());
    walk.kill(holder);
    let other = walk.preference(SIBLINGS, gone).primaries[1];
    delete_at(&mut walk, other, gone);
    walk.disk_mut(holder).damage(Family::Objects, &record);
    walk.start(holder);
    walk.pass(40_000);
    assert!(walk.notes(Note::Rebuilt) > 0);
    assert_converged(&walk);
    assert_eq!(walk.disk(holder).entries(Family::Chunks), pieces - 4);
    assert!(read_at(&mut walk, holder, gone).is_empty());
    assert_eq!(read_at(&mut walk, other, stays), [long]);
}
