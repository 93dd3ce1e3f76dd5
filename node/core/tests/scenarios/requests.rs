//! R01 to R14: quorums, fallbacks, hints, retries.

use quorate_core::{Family, Note};
use quorate_protocol::ErrorCode;
use quorate_protocol::client::Role;
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{LWW, Walk, a_get, values};
use crate::{KEY, fallbacks, primaries, read_r};

#[test]
fn r01_exactly_n_copies_on_n_distinct_nodes() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let put = walk.a_put(KEY, "v");
    walk.put(nodes[0], put).unwrap();
    walk.pass(100);
    let holders = (1..=5)
        .filter(|&id| walk.disk(NodeId::new(id)).entries(Family::Objects) == 1)
        .count();
    assert_eq!(holders, 3);
    assert_eq!(nodes.len(), 3);
}

#[test]
fn r02_explain_names_every_replica_with_its_answer() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let put = walk.a_put(KEY, "v");
    walk.put(nodes[1], put).unwrap();
    let mut get = a_get(KEY);
    get.options.explain = true;
    get.options.r = Some(Count::All);
    let got = walk.get(nodes[0], get).unwrap();
    assert_eq!(got.info.answered, 3);
    assert!(got.info.preference.starts_with(&nodes));
    assert_eq!(got.info.replicas.len(), 3);
    assert!(
        got.info
            .replicas
            .iter()
            .all(|replica| replica.answer == "value" && replica.role == Role::Primary)
    );
}

#[test]
fn r03_a_fallback_takes_the_place_of_a_dead_primary_and_the_reply_says_so() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    walk.kill(nodes[2]);
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::All);
    let written = walk.put(nodes[0], put).unwrap();
    assert_eq!((written.info.primaries, written.info.fallbacks), (2, 1));
    assert_eq!(walk.hints_for(fallbacks(&walk)[0], nodes[2]), 1);
}

#[test]
fn r04_r05_a_read_with_a_primary_down_succeeds_and_fills_the_fallback() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let put = walk.a_put(KEY, "v");
    walk.put(nodes[0], put).unwrap();
    walk.kill(nodes[2]);
    let mut strict = a_get(KEY);
    strict.options.r = Some(Count::All);
    strict.options.notfound_ok = Some(false);
    let error = walk.get(nodes[0], strict.clone()).unwrap_err();
    assert_eq!(
        (error.code, error.needed, error.got),
        (ErrorCode::QuorumNotMet, Some(3), Some(2))
    );
    assert_eq!(read_r(&mut walk, nodes[0], 3).unwrap(), ["v"]);
    walk.pass(2_000);
    assert_eq!(
        walk.hints_for(fallbacks(&walk)[0], nodes[2]),
        1,
        "read repair fills the fallback"
    );
    let got = walk.get(nodes[0], strict).unwrap();
    assert_eq!((got.info.primaries, got.info.fallbacks), (2, 1));
}

#[test]
fn r06_two_primaries_down_and_two_fallbacks_filled_from_the_one_left() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let put = walk.a_put(KEY, "v");
    walk.put(nodes[0], put).unwrap();
    walk.pass(100);
    walk.kill(nodes[0]);
    walk.kill(nodes[1]);
    assert_eq!(read_r(&mut walk, nodes[2], 3).unwrap(), ["v"]);
    walk.pass(2_000);
    let held: u64 = fallbacks(&walk)
        .iter()
        .map(|&f| walk.hints_for(f, nodes[0]) + walk.hints_for(f, nodes[1]))
        .sum();
    assert_eq!(held, 2);
}

#[test]
fn r07_without_any_primary_only_what_a_fallback_holds_is_an_answer() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let asked = fallbacks(&walk)[1];
    nodes.iter().for_each(|&node| walk.kill(node));
    let error = read_r(&mut walk, asked, 1).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::Exactly(2));
    let written = walk.put(asked, put).unwrap();
    assert_eq!((written.info.primaries, written.info.fallbacks), (0, 2));
    let got = walk.get(asked, a_get(KEY)).unwrap();
    assert!(got.fallbacks_only);
    assert_eq!(values(&got), ["v"]);
    nodes.iter().for_each(|&node| walk.start(node));
    walk.pass(5_000);
    assert_eq!(read_r(&mut walk, nodes[2], 3).unwrap(), ["v"]);
}

#[test]
fn r08_pw_counts_primaries_only() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    walk.kill(nodes[0]);
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::All);
    walk.put(nodes[1], put).unwrap();
    assert_eq!(read_r(&mut walk, nodes[1], 3).unwrap(), ["v"]);
    let mut put = walk.a_put(KEY, "w");
    put.options.pw = Some(Count::All);
    let error = walk.put(nodes[1], put).unwrap_err();
    assert_eq!(
        (error.code, error.needed, error.got),
        (ErrorCode::QuorumNotMet, Some(3), Some(2))
    );
}

#[test]
fn r09_hints_reach_the_returned_primary_and_are_dropped_after_it_stored_them() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    walk.kill(nodes[0]);
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::All);
    walk.put(nodes[1], put).unwrap();
    let mut bulky = walk.a_put(KEY, &"x".repeat(60_000));
    bulky.context = None;
    walk.put(nodes[1], bulky).unwrap();
    walk.start(nodes[0]);
    walk.pass(5_000);
    assert!(walk.current(nodes[0]));
    assert!(walk.notes(Note::HintDelivered) > 0);
    assert!(
        fallbacks(&walk)
            .iter()
            .all(|&f| walk.disk(f).entries(Family::Hints) == 0)
    );
    walk.kill(nodes[1]);
    walk.kill(nodes[2]);
    assert!(
        read_r(&mut walk, nodes[0], 1)
            .unwrap()
            .contains(&"v".to_owned())
    );
}

#[test]
fn r14_a_write_to_all_is_read_with_r1_through_every_node() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let mut put = walk.a_put(KEY, "v");
    put.options.w = Some(Count::All);
    walk.put(nodes[0], put).unwrap();
    for id in 1..=5 {
        assert_eq!(read_r(&mut walk, NodeId::new(id), 1).unwrap(), ["v"]);
    }
}

#[test]
fn a_retry_with_the_same_request_id_never_makes_a_second_version() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let mut put = walk.a_put(KEY, "v");
    let first = walk.put(nodes[0], put.clone()).unwrap();
    put.retry = true;
    for &at in &nodes {
        assert_eq!(walk.put(at, put.clone()).unwrap().dot, first.dot);
    }
    walk.kill(nodes[0]);
    assert_eq!(walk.put(nodes[1], put.clone()).unwrap().dot, first.dot);
    assert_eq!(read_r(&mut walk, nodes[1], 2).unwrap(), ["v"]);
    assert_eq!(walk.notes(Note::RetryRecognised), 4);
}

#[test]
fn an_lww_bucket_shows_the_latest_only() {
    let mut walk = Walk::new(5);
    let at = walk.preference(LWW, KEY).primaries;
    for (node, value) in [(at[0], "early"), (at[1], "late")] {
        let mut put = walk.a_put(KEY, value);
        put.bucket = LWW;
        walk.put(node, put).unwrap();
        walk.pass(10);
    }
    let mut get = a_get(KEY);
    get.bucket = LWW;
    assert_eq!(values(&walk.get(at[2], get).unwrap()), ["late"]);
}

#[test]
fn any_node_takes_any_request() {
    let mut walk = Walk::new(5);
    for id in 1..=5 {
        let put = walk.a_put(&format!("key {id}"), "v");
        walk.put(NodeId::new(id), put).unwrap();
        assert_eq!(
            values(
                &walk
                    .get(NodeId::new(6 - id), a_get(&format!("key {id}")))
                    .unwrap()
            ),
            ["v"]
        );
    }
    assert!(walk.notes(Note::Forwarded) > 0);
}

#[test]
fn a_cluster_of_one_or_two_works_and_says_that_it_is_under_replicated() {
    for count in [1, 2] {
        let mut walk = Walk::new(count);
        let at = NodeId::new(1);
        let mut put = walk.a_put(KEY, "v");
        put.options.w = Some(Count::Exactly(1));
        let written = walk.put(at, put).unwrap();
        assert!(
            written
                .info
                .warnings
                .iter()
                .any(|warning| warning.contains("under-replicated"))
        );
        assert_eq!(read_r(&mut walk, at, 1).unwrap(), ["v"]);
    }
}

#[test]
fn a_value_in_pieces_comes_back_whole_through_reads_hints_and_anti_entropy() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let long = "0123456789abcdef".repeat(50_000);
    walk.kill(nodes[2]);
    let put = walk.a_put(KEY, &long);
    let written = walk.put(nodes[0], put).unwrap();
    walk.start(nodes[2]);
    walk.pass(5_000);
    walk.kill(nodes[0]);
    walk.kill(nodes[1]);
    assert_eq!(read_r(&mut walk, nodes[2], 1).unwrap(), [long]);
    walk.start(nodes[0]);
    walk.start(nodes[1]);
    let mut delete = walk.a_delete(KEY);
    delete.context = Some(written.context);
    walk.delete(nodes[0], delete).unwrap();
    walk.pass(5_000);
    for id in (1..=5).map(NodeId::new) {
        assert_eq!(
            walk.disk(id).entries(Family::Chunks),
            0,
            "pieces left on {id}"
        );
    }
}

#[test]
fn read_repair_carries_a_delete_to_a_replica_that_missed_it() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let put = walk.a_put(KEY, "old");
    walk.put(nodes[0], put).unwrap();
    walk.pass(200);
    walk.cut(nodes[0], nodes[2]);
    let delete = walk.a_delete(KEY);
    walk.delete(nodes[0], delete).unwrap();
    assert_eq!(walk.disk(nodes[2]).entries(Family::Objects), 1);
    walk.heal();
    assert_eq!(
        read_r(&mut walk, nodes[1], 3).unwrap(),
        Vec::<String>::new()
    );
    walk.pass(20);
    assert!(walk.notes(Note::ReadRepair) > 0);
    assert_eq!(
        read_r(&mut walk, nodes[2], 1).unwrap(),
        Vec::<String>::new()
    );
}
