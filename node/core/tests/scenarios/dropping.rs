//! Dropped buckets: nothing is left of them, whoever was away meanwhile, and nothing else goes.

use std::sync::Arc;

use quorate_core::{Family, Note};
use quorate_protocol::client::Put;
use quorate_protocol::error::ErrorCode;
use quorate_protocol::options::Count;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::{BucketId, NodeId};

use crate::walk::{LWW, SIBLINGS, Walk, a_get, values};
use crate::{KEY, fallbacks, primaries, read_r};

/// A value too long for one record.
const PIECES: usize = 200_000;
const KEYS: usize = 30;

fn all(walk: &mut Walk, bucket: BucketId, key: &str, value: &str) -> Put {
    let mut put = walk.a_put(key, value);
    put.bucket = bucket;
    put.options.w = Some(Count::All);
    put
}

/// Fills a bucket: many keys, a long value, one that expires in a year.
fn fill(walk: &mut Walk, bucket: BucketId) {
    for number in 0..KEYS {
        let key = format!("key {number}");
        let mut put = all(walk, bucket, &key, &"v".repeat(number * 10));
        if number == 1 {
            put.content.value = "v".repeat(PIECES).into();
        }
        put.ttl_ms = (number == 2).then_some(365 * 24 * 3_600_000);
        let at = walk.preference(bucket, &key).primaries[0];
        walk.put(at, put).unwrap();
    }
}

fn drop_bucket(walk: &mut Walk, bucket: BucketId) {
    walk.change_buckets(|buckets| buckets.retain(|other| other.id != bucket));
}

fn records(walk: &Walk, node: NodeId) -> Vec<usize> {
    let families = Family::ALL.into_iter();
    families
        .map(|family| walk.disk(node).entries(family))
        .collect()
}

fn everybody() -> Vec<NodeId> {
    (1..=5).map(NodeId::new).collect()
}

#[test]
fn of_a_dropped_bucket_nothing_is_left_and_of_others_everything() {
    let (mut both, mut one) = (Walk::new(5), Walk::new(5));
    fill(&mut one, LWW);
    one.pass(65_000); // requests are remembered for a minute
    fill(&mut both, LWW);
    fill(&mut both, SIBLINGS);
    both.pass(65_000);
    drop_bucket(&mut both, SIBLINGS);
    everybody().into_iter().for_each(|node| both.tell_map(node));
    both.pass(3_000);
    for node in everybody() {
        let (mut found, mut wanted) = (records(&both, node), records(&one, node));
        // Digests stay where there were objects, and it is noted that all is done.
        let vnodes = Family::ALL
            .iter()
            .position(|&family| family == Family::Vnodes);
        (found[vnodes.unwrap()], wanted[vnodes.unwrap()]) = (0, 0);
        assert_eq!(found, wanted, "{node}");
    }
    let at = both.preference(LWW, "key 7").primaries[1];
    let mut get = a_get("key 7");
    get.bucket = LWW;
    assert_eq!(values(&both.get(at, get).unwrap()), ["v".repeat(70)]);
    let refused = both.get(at, a_get(KEY)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NoSuchBucket);
    both.pass(30_000);
    assert!(both.notes(Note::DroppedRecord) > 0 && both.notes(Note::Swept) == 5);
    assert_eq!(both.notes(Note::DigestsDiffer), 0);
    assert_eq!(both.notes(Note::DamageFound), 0);
    assert_eq!(both.notes(Note::SilentLossFound), 0);
}

#[test]
fn who_was_away_when_a_bucket_was_dropped_removes_it_when_it_is_back_and_nobody_takes_it_for_damage()
 {
    let mut walk = Walk::new(5);
    fill(&mut walk, SIBLINGS);
    let nodes = primaries(&walk);
    let (away, fallback) = (nodes[2], fallbacks(&walk)[0]);
    walk.kill(away);
    let mut put = walk.a_put(KEY, "for a hint");
    put.options.w = Some(Count::All);
    walk.put(nodes[0], put).unwrap();
    assert_eq!(walk.hints_for(fallback, away), 1);
    drop_bucket(&mut walk, SIBLINGS);
    everybody().into_iter().for_each(|node| walk.tell_map(node));
    walk.pass(1_000);
    assert_eq!(walk.hints_for(fallback, away), 0, "hints go, too");
    walk.start(away);
    walk.pass(20_000);
    for node in everybody() {
        for family in [
            Family::Objects,
            Family::Chunks,
            Family::Hints,
            Family::Log,
            Family::Expiry,
        ] {
            assert_eq!(walk.disk(node).entries(family), 0, "{node}: {family:?}");
        }
        assert!(walk.current(node), "{node}");
    }
    assert_eq!(walk.notes(Note::DigestsDiffer), 0);
    assert_eq!(walk.notes(Note::DamageFound), 0);
}

#[test]
fn a_removal_that_a_restart_interrupts_goes_on_and_one_that_is_done_is_not_begun_again() {
    let mut walk = Walk::new(5);
    fill(&mut walk, SIBLINGS);
    walk.pass(1_000);
    let node = primaries(&walk)[0];
    drop_bucket(&mut walk, SIBLINGS);
    assert!(walk.disk(node).entries(Family::Objects) > 0);
    walk.tell_map(node); // and no tick before it dies
    walk.kill(node);
    walk.start(node);
    walk.pass(1_000);
    assert_eq!(walk.disk(node).entries(Family::Objects), 0);
    let swept = walk.notes(Note::Swept);
    walk.kill(node);
    walk.start(node);
    walk.pass(1_000);
    assert_eq!(walk.notes(Note::Swept), swept);
}

#[test]
fn who_has_not_heard_of_a_drop_does_not_take_what_is_dropped_for_deleted() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let late = nodes[2];
    let put = all(&mut walk, SIBLINGS, KEY, "first");
    walk.put(nodes[0], put).unwrap();
    walk.pass(20_000);
    walk.lose("ReplicaPut", late, 0);
    let mut put = walk.a_put(KEY, "second");
    put.context = Some(walk.get(nodes[0], a_get(KEY)).unwrap().context);
    put.options.w = Some(Count::Exactly(2));
    walk.put(nodes[0], put).unwrap();
    drop_bucket(&mut walk, SIBLINGS);
    for node in everybody().into_iter().filter(|&node| node != late) {
        walk.tell_map(node);
    }
    walk.lose_nothing();
    walk.pass(10_000);
    // It asks for the write that it lacks, and believes no empty answer.
    assert_eq!(walk.disk(late).entries(Family::Objects), 1);
    assert_eq!(read_r(&mut walk, late, 1).unwrap_or_default().len(), 1);
    walk.tell_map(late);
    walk.pass(20_000);
    for family in [Family::Objects, Family::Log] {
        assert_eq!(walk.disk(late).entries(family), 0, "{family:?}");
    }
    assert!(walk.current(late));
}

#[test]
fn classes_end_with_their_last_bucket_and_begin_anew_with_the_next_one() {
    let mut walk = Walk::new(5);
    fill(&mut walk, SIBLINGS);
    let away = primaries(&walk)[2];
    walk.kill(away);
    drop_bucket(&mut walk, SIBLINGS);
    drop_bucket(&mut walk, LWW);
    for node in everybody() {
        walk.tell_map(node);
    }
    walk.pass(2_000);
    for node in everybody().into_iter().filter(|&node| node != away) {
        let left: usize = [
            Family::Objects,
            Family::Chunks,
            Family::Log,
            Family::Requests,
        ]
        .into_iter()
        .map(|family| walk.disk(node).entries(family))
        .sum();
        // Who was alive when, and that all is done.
        assert_eq!(
            (left, walk.disk(node).entries(Family::Vnodes)),
            (0, 2),
            "{node}"
        );
        assert_eq!(walk.status(node).vnodes.len(), 0);
    }
    let bucket = BucketId::made(4, 7);
    let template = Walk::new(5).map.buckets[0].clone();
    walk.change_buckets(|buckets| {
        buckets.push(quorate_protocol::map::Bucket {
            id: bucket,
            ..template
        });
    });
    for node in everybody() {
        walk.tell_map(node);
    }
    walk.start(away); // it still has all that was there before
    walk.pass(5_000);
    let put = all(&mut walk, bucket, KEY, "anew");
    let at = walk.preference(bucket, KEY).primaries[0];
    walk.put(at, put).unwrap();
    walk.pass(20_000);
    let objects = everybody().into_iter();
    let objects = objects.map(|node| walk.disk(node).entries(Family::Objects));
    assert_eq!(objects.sum::<usize>(), 3);
    let vnodes = walk.status(away).vnodes;
    assert!(!vnodes.is_empty() && vnodes.iter().all(|vnode| vnode.current && !vnode.damaged));
    assert_eq!(walk.notes(Note::DamageFound), 0);
    assert_eq!(MapVersion::new(bucket.born()), MapVersion::new(4));
}

/// Found by the simulator's seed 889.
#[test]
fn who_begins_again_with_an_old_map_keeps_what_only_later_versions_know() {
    let mut walk = Walk::new(5);
    drop_bucket(&mut walk, LWW);
    for node in everybody() {
        walk.tell_map(node);
    }
    walk.pass(2_000);
    let old = Arc::clone(&walk.version);
    let bucket = BucketId::made(3, 7);
    let template = walk.map.bucket(SIBLINGS).unwrap().clone();
    walk.change_buckets(|buckets| {
        let props = quorate_protocol::map::BucketProps {
            n: 2,
            ..template.props.clone()
        };
        buckets.push(quorate_protocol::map::Bucket {
            id: bucket,
            name: "two".to_owned(),
            props,
            ..template
        });
    });
    for node in everybody() {
        walk.tell_map(node);
    }
    fill(&mut walk, bucket);
    walk.pass(10_000);
    let node = walk.preference(bucket, KEY).primaries[1];
    let before = records(&walk, node);
    walk.kill(node);
    let new = std::mem::replace(&mut walk.version, old);
    walk.start(node);
    walk.pass(5_000);
    assert_eq!(records(&walk, node), before);
    walk.version = new;
    walk.tell_map(node);
    walk.pass(60_000);
    assert_eq!(records(&walk, node)[..2], before[..2]);
    let vnodes = walk.status(node).vnodes;
    assert!(vnodes.iter().all(|vnode| vnode.current && !vnode.damaged));
    let losses = [Note::DamageFound, Note::SilentLossFound, Note::Rebuilding];
    assert_eq!(losses.map(|note| walk.notes(note)), [0; 3]);
}
