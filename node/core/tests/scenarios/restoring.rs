//! Nodes on storage that was restored from a backup: one beside others that went on, and a whole cluster, each node
//! from another moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_core::record::{Restored, keys};
use quorate_core::{Family, Note, Replica};
use quorate_protocol::Dot;
use quorate_protocol::map::ClusterMap;
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::rebuilding::{
    KEYS, assert_alike, assert_converged, filled_by, name, node, put_at, read_at, write_at_one,
};
use crate::walk::{Disk, SIBLINGS, Walk, a_get, values};

/// Storage ids that no replica draws.
const STORAGES: u64 = 1 << 60;

/// Puts the disk of a node that is down in place of what it has, as a restore does.
fn restore(walk: &mut Walk, id: NodeId, backup: &Disk, restored: Restored) {
    let map: Arc<ClusterMap> = Arc::clone(&walk.map);
    *walk.disk_mut(id) = backup.restored(restored, &map, STORAGES + id.get() * 1000..);
}

fn restart_others(walk: &mut Walk, except: NodeId) {
    let others: Vec<NodeId> = (1..=5).map(node).filter(|&id| id != except).collect();
    others.iter().for_each(|&id| walk.kill(id));
    others.iter().for_each(|&id| walk.start(id));
}

fn overwrite(walk: &mut Walk, at: NodeId, key: &str, value: &str) {
    let got = walk.get(at, a_get(key)).unwrap();
    let mut put = walk.a_put(key, value);
    put.context = Some(got.context);
    put.options.w = Some(Count::Exactly(2));
    walk.put(at, put).unwrap();
}

fn delete_some(walk: &mut Walk, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let delete = walk.a_delete(&name(number));
        walk.delete(node(1), delete).unwrap();
    }
}

/// Deletes, overwrites and new keys after node 3 was backed up; settled or not.
fn gone_on(settled: bool, peers_restart: bool) -> Walk {
    let mut walk = filled_by(Walk::new(5));
    let backup = walk.disk(node(3)).clone();
    delete_some(&mut walk, 0..KEYS / 2);
    for number in KEYS / 2..KEYS / 2 + 10 {
        overwrite(&mut walk, node(3), &name(number), "over");
    }
    for number in KEYS..KEYS + 5 {
        put_at(&mut walk, node(3), &name(number), "new");
    }
    if settled {
        walk.pass(15_000);
    }
    walk.kill(node(3));
    restore(&mut walk, node(3), &backup, Restored::Node);
    if peers_restart {
        restart_others(&mut walk, node(3));
    }
    walk.start(node(3));
    walk
}

#[test]
fn a_restored_node_brings_nothing_back_and_gets_all_that_came_since() {
    for (settled, peers_restart) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut walk = gone_on(settled, peers_restart);
        let mut early = a_get(&name(0));
        early.options.r = Some(Count::Exactly(1));
        assert!(walk.get(node(3), early).unwrap().siblings.is_empty());
        walk.pass(30_000);
        assert!(walk.notes(Note::Rebuilt) > 0, "all of it is filled again");
        assert_converged(&walk);
        for number in 0..KEYS / 2 {
            assert!(read_at(&mut walk, node(3), &name(number)).is_empty());
        }
        for number in KEYS / 2..KEYS / 2 + 10 {
            assert_eq!(read_at(&mut walk, node(3), &name(number)), ["over"]);
        }
        for number in KEYS..KEYS + 5 {
            assert_eq!(read_at(&mut walk, node(3), &name(number)), ["new"]);
        }
    }
}

#[test]
fn what_only_the_backup_still_has_is_kept() {
    let mut walk = filled_by(Walk::new(5));
    let key = name(0);
    let (mine, others) = write_at_one(&mut walk, &key);
    let backup = walk.disk(mine).clone();
    walk.kill(mine);
    restore(&mut walk, mine, &backup, Restored::Node);
    walk.start(mine);
    others.iter().for_each(|&other| walk.start(other));
    walk.pass(30_000);
    assert_converged(&walk);
    assert!(read_at(&mut walk, others[0], &key).contains(&"mine".to_owned()));
}

/// The restored node does not know any more with whom it acknowledged a write, and the third never saw that one:
/// by their logs of who was alive it would be excused.
#[test]
fn a_write_of_the_time_between_is_never_denied_while_its_other_holder_is_dead() {
    let mut walk = Walk::new(3);
    let key = name(0);
    let [restored, holder, third]: [NodeId; 3] = walk
        .preference(SIBLINGS, &key)
        .primaries
        .try_into()
        .unwrap();
    walk.kill(holder);
    walk.pass(2_000);
    let backup = walk.disk(restored).clone();
    walk.kill(third);
    walk.start(holder);
    walk.pass(2_000);
    put_at(&mut walk, restored, &key, "between");
    walk.pass(2_000);
    walk.kill(holder);
    walk.kill(restored);
    restore(&mut walk, restored, &backup, Restored::Node);
    walk.start(third);
    walk.start(restored);
    walk.pass(10_000);
    let refused = walk.get(third, a_get(&key)).unwrap_err();
    assert!(refused.nodes.contains(&holder), "{refused:?}");
    walk.start(holder);
    walk.pass(20_000);
    assert_eq!(values(&walk.get(third, a_get(&key)).unwrap()), ["between"]);
    assert_converged(&walk);
}

#[test]
fn the_only_member_of_a_class_goes_on_with_what_the_backup_has() {
    let mut walk = Walk::new(1);
    for number in 0..KEYS {
        let mut put = walk.a_put(&name(number), "v");
        put.options.w = Some(Count::Exactly(1));
        walk.put(node(1), put).unwrap();
    }
    let backup = walk.disk(node(1)).clone();
    walk.kill(node(1));
    restore(&mut walk, node(1), &backup, Restored::Node);
    walk.start(node(1));
    walk.pass(2_000);
    assert_eq!(read_at(&mut walk, node(1), &name(7)), ["v"]);
    assert!(read_at(&mut walk, node(1), "never written").is_empty());
}

/// Five nodes, each backed up at another moment, with settled overwrites and deletes before, between and
/// after.
fn whole_cluster(prepare: fn(&mut Replica), order: [u64; 5]) -> Walk {
    let mut walk = filled_by(Walk::prepared(5, prepare));
    delete_some(&mut walk, 0..10);
    walk.pass(15_000);
    let mut backups = Vec::new();
    for (step, &id) in order.iter().enumerate() {
        backups.push((node(id), walk.disk(node(id)).clone()));
        let first = 10 + step * 8;
        delete_some(&mut walk, first..first + 4);
        for number in first + 4..first + 8 {
            overwrite(&mut walk, node(1 + (id + 1) % 5), &name(number), "over");
        }
        put_at(&mut walk, node(id), &name(KEYS + step), "new");
        walk.pass(if step % 2 == 0 { 15_000 } else { 700 });
    }
    (1..=5).for_each(|id| walk.kill(node(id)));
    for (id, backup) in &backups {
        restore(&mut walk, *id, backup, Restored::Cluster);
    }
    order.iter().rev().for_each(|&id| walk.start(node(id)));
    walk.pass(40_000);
    walk
}

const ORDERS: [[u64; 5]; 4] = [
    [1, 2, 3, 4, 5],
    [5, 4, 3, 2, 1],
    [3, 1, 5, 2, 4],
    [2, 5, 1, 4, 3],
];

#[test]
fn a_cluster_restored_from_different_moments_converges_and_keeps_what_was_there_before() {
    for order in ORDERS {
        let mut walk = whole_cluster(|_| {}, order);
        assert!(
            walk.notes(Note::OldStorageFound) > 0,
            "some are older than others know"
        );
        assert_converged(&walk);
        for number in 0..10 {
            assert!(
                read_at(&mut walk, node(1), &name(number)).is_empty(),
                "deleted before"
            );
        }
        for number in 50..KEYS {
            assert_eq!(
                read_at(&mut walk, node(1), &name(number)),
                ["v"],
                "never touched"
            );
        }
        // What came between the backups is there or not, but never beside what it replaced.
        for number in 10..50 {
            let held = read_at(&mut walk, node(1), &name(number));
            assert!(held.len() <= 1, "{order:?}, {}: {held:?}", name(number));
        }
    }
}

/// What one node of a restored cluster holds of a key in the end, on which nodes. One value of the key was overwritten
/// after that node's backup, and that is settled: no later backup has a context of it any more. A value
/// that a fallback keeps for the node says nothing of it either, and arrives before clocks are compared.
pub(crate) fn after_a_hint(prepare: fn(&mut Replica)) -> Vec<Vec<String>> {
    let mut walk = Walk::prepared(5, prepare);
    let key = name(0);
    let [p1, p2, p3]: [NodeId; 3] = walk
        .preference(SIBLINGS, &key)
        .primaries
        .try_into()
        .unwrap();
    put_at(&mut walk, p1, &key, "first");
    walk.pass(15_000);
    let old = walk.disk(p3).clone();
    overwrite(&mut walk, p2, &key, "second");
    walk.pass(15_000);
    walk.kill(p3);
    put_at(&mut walk, p2, &key, "third");
    let others: Vec<NodeId> = (1..=5).map(node).filter(|&id| id != p3).collect();
    for &id in &others {
        let backup = walk.disk(id).clone();
        walk.kill(id);
        restore(&mut walk, id, &backup, Restored::Cluster);
    }
    restore(&mut walk, p3, &old, Restored::Cluster);
    let late = ["CatchUpAnswer", "Clocks", "Remembered"];
    late.into_iter().for_each(|name| walk.lose(name, p3, 0));
    others.iter().for_each(|&id| walk.start(id));
    walk.start(p3);
    walk.pass(2_000);
    assert!(walk.notes(Note::HintDelivered) > 0);
    walk.lose_nothing();
    walk.pass(30_000);
    // The node in question first: reads repair.
    let held = |id| read_at(&mut walk, id, &key);
    [p3, p2, p1].map(held).to_vec()
}

#[test]
fn hints_hide_from_no_node_of_a_restored_cluster_that_its_backup_is_older() {
    assert_eq!(after_a_hint(|_| {}), [["second", "third"]; 3]);
}

#[test]
fn writes_deletes_and_old_tokens_after_the_restore_of_a_cluster_do_what_they_should() {
    let mut walk = Walk::new(3);
    let key = "token";
    put_at(&mut walk, node(1), key, "before");
    walk.pass(15_000);
    let backups: Vec<Disk> = (1..=3).map(|id| walk.disk(node(id)).clone()).collect();
    overwrite(&mut walk, node(2), key, "lost by the restore");
    let token = walk.get(node(1), a_get(key)).unwrap().context;
    walk.pass(15_000);
    (1..=3).for_each(|id| walk.kill(node(id)));
    for (id, backup) in (1..=3).zip(&backups) {
        restore(&mut walk, node(id), backup, Restored::Cluster);
    }
    (1..=3).for_each(|id| walk.start(node(id)));
    walk.pass(20_000);
    assert_eq!(read_at(&mut walk, node(1), key), ["before"]);
    // A value that the token's reader cannot have seen stays; what he had replaced goes.
    put_at(&mut walk, node(3), key, "unseen");
    let mut delete = walk.a_delete(key);
    delete.context = Some(token.clone());
    walk.delete(node(2), delete).unwrap();
    for id in 1..=3 {
        assert_eq!(values(&walk.get(node(id), a_get(key)).unwrap()), ["unseen"]);
    }
    let mut put = walk.a_put(key, "by the old token");
    put.context = Some(token);
    walk.put(node(1), put).unwrap();
    walk.pass(20_000);
    for id in 1..=3 {
        let read = values(&walk.get(node(id), a_get(key)).unwrap());
        assert_eq!(read, ["by the old token", "unseen"]);
    }
}

/// All dots that were given out before and after, by the logs of those that gave them.
pub(crate) fn dots_given_twice(prepare: fn(&mut Replica)) -> Vec<(Dot, String, String)> {
    let mut walk = Walk::prepared(3, prepare);
    let mut given = Vec::new();
    let mut write = |walk: &mut Walk, key: String, at: NodeId| {
        let put = walk.a_put(&key, &key);
        given.extend(walk.put(at, put).unwrap().dot.map(|dot| (dot, key)));
    };
    for number in 0..24 {
        write(&mut walk, format!("first {number}"), node(1 + number % 3));
    }
    let backups: Vec<Disk> = (1..=3).map(|id| walk.disk(node(id)).clone()).collect();
    for number in 0..24 {
        write(&mut walk, format!("lost {number}"), node(1 + number % 3));
    }
    (1..=3).for_each(|id| walk.kill(node(id)));
    for (id, backup) in (1..=3).zip(&backups) {
        restore(&mut walk, node(id), backup, Restored::Cluster);
    }
    (1..=3).for_each(|id| walk.start(node(id)));
    walk.pass(5_000);
    for number in 0..24 {
        write(&mut walk, format!("after {number}"), node(1 + number % 3));
    }
    let mut twice = Vec::new();
    for (index, (dot, key)) in given.iter().enumerate() {
        let same = |(other, of): &&(Dot, String)| other == dot && of != key;
        if let Some((_, other)) = given[..index].iter().find(same) {
            twice.push((*dot, other.clone(), key.clone()));
        }
    }
    twice
}

#[test]
fn no_dot_is_given_out_twice_after_a_restore() {
    assert_eq!(dots_given_twice(|_| {}), []);
}

#[test]
fn a_latest_backup_of_a_vnode_that_was_being_filled_leaves_nobody_waiting_for_ever() {
    for prior in [vec![1, 2, 4, 5], vec![5, 4, 2, 1]] {
        let mut walk = filled_by(Walk::new(5));
        let mut backups: Vec<(NodeId, Disk)> = Vec::new();
        for id in prior {
            backups.push((node(id), walk.disk(node(id)).clone()));
        }
        // All members confirm and settle what the backups so far do not have.
        for number in 0..KEYS {
            overwrite(&mut walk, node(1), &name(number), "over");
        }
        walk.pass(15_000);
        // Node 3 loses something, and is backed up while it is filled again.
        let mut classes = BTreeSet::new();
        let objects = walk.disk(node(3)).records(Family::Objects).into_keys();
        let first = objects.filter(|key| classes.insert(keys::class_of_key(key)));
        let first: Vec<Vec<u8>> = first.collect();
        walk.kill(node(3));
        for key in &first {
            walk.disk_mut(node(3)).damage(Family::Objects, key);
        }
        walk.disk_mut(node(3)).leave_damage_out();
        walk.lose("SnapshotPage", node(3), 2);
        walk.start(node(3));
        walk.pass(3_000);
        let filling = walk.status(node(3)).vnodes;
        assert!(filling.iter().any(|vnode| vnode.rebuilding.is_some()));
        backups.push((node(3), walk.disk(node(3)).clone()));
        walk.lose_nothing();
        (1..=5).for_each(|id| walk.kill(node(id)));
        for (id, backup) in &backups {
            restore(&mut walk, *id, backup, Restored::Cluster);
        }
        (1..=5).for_each(|id| walk.start(node(id)));
        walk.pass(60_000);
        // The dots of what was damaged are in no backup: that gap keeps some log entries until it is sealed.
        assert_alike(&walk);
        for number in 0..KEYS {
            let held = read_at(&mut walk, node(3), &name(number));
            assert!(!held.is_empty(), "{} is lost", name(number));
        }
    }
}

#[test]
fn each_vnode_of_a_restored_disk_has_a_new_storage_id() {
    let walk = filled_by(Walk::new(5));
    let backup = walk.disk(node(3)).clone();
    let storages = |disk: &Disk| -> BTreeSet<u64> {
        let records = disk.records(Family::Vnodes).into_iter();
        let vnodes = records.filter(|(key, _)| keys::parse_vnode_key(key).is_some());
        vnodes
            .map(|(key, record)| quorate_core::record::decode_vnode(&key, &record).unwrap())
            .map(|record| record.storage.get())
            .collect()
    };
    let before = storages(&backup);
    for restored in [Restored::Node, Restored::Cluster] {
        let after = storages(&backup.restored(restored, &walk.map, STORAGES..));
        assert_eq!(after.len(), before.len());
        assert!(after.is_disjoint(&before), "{restored:?}");
    }
}
