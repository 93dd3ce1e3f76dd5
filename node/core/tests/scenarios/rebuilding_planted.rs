//! Rules of rebuilding, broken on purpose: each is seen by a walk that is there for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::record::keys;
use quorate_core::{Family, Note, Plant, Replica};
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::rebuilding::{KEYS, filled_by, name, node, objects, put_at};
use crate::walk::{Walk, a_get};

type Prepare = fn(&mut Replica);

/// Whether all replicas ended whole and alike.
fn converged(walk: &Walk) -> bool {
    let ids = walk.map.members.iter().map(|member| member.id);
    let mut copies: BTreeMap<Vec<u8>, BTreeMap<NodeId, Bytes>> = BTreeMap::new();
    for id in ids {
        let vnodes = walk.status(id).vnodes;
        if vnodes.iter().any(|vnode| !vnode.current || vnode.lag > 0) {
            return false;
        }
        for (key, record) in objects(walk, id) {
            copies.entry(key).or_default().insert(id, record);
        }
    }
    let alike = |held: &BTreeMap<NodeId, Bytes>| {
        let first = held.values().next();
        held.len() == 3 && held.values().all(|record| Some(record) == first)
    };
    // Made equal by comparing digests is not the same as right.
    walk.notes(Note::ReplicasDiffer) == 0 && copies.values().all(alike)
}

fn empty_disk(prepare: Prepare) -> Walk {
    let mut walk = filled_by(Walk::prepared(5, prepare));
    walk.kill(node(3));
    *walk.disk_mut(node(3)) = Default::default();
    walk.start(node(3));
    walk.pass(20_000);
    walk
}

fn damaged_objects(prepare: Prepare) -> Walk {
    let mut walk = filled_by(Walk::prepared(5, prepare));
    let keys: Vec<Vec<u8>> = objects(&walk, node(3)).into_keys().collect();
    walk.kill(node(3));
    walk.disk_mut(node(3)).damage(Family::Objects, &keys[0]);
    walk.start(node(3));
    let damaged = keys::parse_object_key(&keys[0]).unwrap().2.to_vec();
    let mut get = a_get(&String::from_utf8(damaged).unwrap());
    get.options.r = Some(Count::Exactly(2));
    walk.get(node(3), get).unwrap();
    walk.pass(20_000);
    walk
}

/// New keys come while the transfer stands at the first class, before its last page.
fn writes_behind_the_cursor(prepare: Prepare) -> Walk {
    let mut walk = filled_by(Walk::prepared(5, prepare));
    walk.kill(node(3));
    *walk.disk_mut(node(3)) = Default::default();
    walk.lose("SnapshotPage", node(3), 4);
    walk.start(node(3));
    walk.pass(1_000);
    // What is written now never reaches node 3 on its own.
    walk.lose("ReplicaPut", node(3), 0);
    for number in KEYS..2 * KEYS {
        put_at(&mut walk, node(1 + number as u64 % 2), &name(number), "new");
    }
    walk.pass(1_000);
    walk.lose_nothing();
    walk.pass(30_000);
    walk
}

#[test]
fn without_a_plant_all_is_well() {
    assert!(converged(&empty_disk(|_| {})));
    assert!(converged(&damaged_objects(|_| {})));
    assert!(converged(&writes_behind_the_cursor(|_| {})));
}

#[test]
fn a_vnode_that_trusts_its_old_clock_takes_its_loss_for_a_delete() {
    let planted = |replica: &mut Replica| replica.plant(Plant::RebuildTrustsOldClock);
    assert!(!converged(&damaged_objects(planted)));
}

#[test]
fn the_clock_at_the_end_of_a_transfer_covers_what_never_came() {
    let planted = |replica: &mut Replica| replica.plant(Plant::SnapshotClockAtEnd);
    assert!(!converged(&writes_behind_the_cursor(planted)));
}
