//! R16 to R19: siblings, contexts, deletes, and what is left of them.

use quorate_core::{Family, Note};
use quorate_protocol::ErrorCode;
use quorate_protocol::limits::SIBLINGS_MAX;

use crate::walk::{Walk, a_get, values};
use crate::{KEY, fallbacks, primaries, read_r};

#[test]
fn r16_two_blind_writes_are_siblings_and_a_context_resolves_them() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    for (at, value) in [(nodes[0], "one"), (nodes[1], "two")] {
        let put = walk.a_put(KEY, value);
        walk.put(at, put).unwrap();
    }
    let got = walk.get(nodes[2], a_get(KEY)).unwrap();
    assert_eq!(values(&got), ["one", "two"]);
    let mut put = walk.a_put(KEY, "both");
    put.context = Some(got.context);
    walk.put(nodes[2], put).unwrap();
    assert_eq!(read_r(&mut walk, nodes[0], 3).unwrap(), ["both"]);
}

#[test]
fn r16_blind_writes_through_one_coordinator_are_siblings_too() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    for value in ["one", "two"] {
        let put = walk.a_put(KEY, value);
        walk.put(nodes[0], put).unwrap();
    }
    assert_eq!(read_r(&mut walk, nodes[0], 2).unwrap(), ["one", "two"]);
}

#[test]
fn a_chain_of_writes_through_returned_contexts_never_makes_siblings() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let mut context = None;
    for round in 0..50 {
        let mut put = walk.a_put(KEY, &format!("mine {round}"));
        put.context = context;
        context = Some(walk.put(nodes[round % 3], put).unwrap().context);
    }
    assert!(context.unwrap().len() < 200);
    assert_eq!(read_r(&mut walk, nodes[1], 3).unwrap(), ["mine 49"]);
}

#[test]
fn a_write_beside_unseen_siblings_returns_no_context_to_swallow_them_with() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    for value in ["other", "mine"] {
        let put = walk.a_put(KEY, value);
        let written = walk.put(nodes[0], put).unwrap();
        assert_eq!(written.context.is_empty(), written.siblings > 1);
    }
    assert_eq!(read_r(&mut walk, nodes[1], 3).unwrap(), ["mine", "other"]);
}

#[test]
fn r17_interleaved_writers_never_explode_siblings_or_context() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let mut contexts = vec![None; 10];
    for round in 0..1_000 {
        let writer = (round * 7) % 10;
        let at = nodes[round % 3];
        let mut put = walk.a_put(KEY, &format!("{writer}:{round}"));
        put.context = contexts[writer].take();
        walk.put(at, put).unwrap();
        let reader = (round * 3) % 10;
        let got = walk.get(nodes[(round + 1) % 3], a_get(KEY)).unwrap();
        assert!(got.siblings.len() <= 11, "{} siblings", got.siblings.len());
        assert!(
            got.context.len() < 200,
            "a context of {} bytes",
            got.context.len()
        );
        contexts[reader] = Some(got.context);
    }
}

#[test]
fn r19_a_delete_is_not_undone_by_a_replica_or_hint_that_comes_back() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let put = walk.a_put(KEY, "old");
    walk.put(nodes[0], put).unwrap();
    walk.pass(100);
    walk.kill(nodes[2]);
    let delete = walk.a_delete(KEY);
    assert!(walk.delete(nodes[0], delete).unwrap().dot.is_some());
    walk.pass(60_000);
    walk.start(nodes[2]);
    walk.pass(10_000);
    assert_eq!(
        read_r(&mut walk, nodes[2], 3).unwrap(),
        Vec::<String>::new()
    );
    for &node in &nodes {
        assert_eq!(
            walk.disk(node).entries(Family::Objects),
            0,
            "nothing of a deleted object is left"
        );
        assert_eq!(walk.disk(node).entries(Family::Log), 0);
    }
    let put = walk.a_put(KEY, "new");
    walk.put(nodes[1], put).unwrap();
    assert_eq!(read_r(&mut walk, nodes[0], 3).unwrap(), ["new"]);
}

#[test]
fn deleting_what_is_not_there_writes_nothing() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let delete = walk.a_delete(KEY);
    assert_eq!(walk.delete(nodes[0], delete).unwrap().dot, None);
    assert!(
        nodes
            .iter()
            .all(|&node| walk.disk(node).entries(Family::Log) == 0)
    );
}

#[test]
fn a_quiet_cluster_drops_log_and_context_and_its_reads_write_nothing() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    let mut context = None;
    for round in 0..5 {
        let mut put = walk.a_put(KEY, &format!("{round}"));
        put.context = context;
        context = Some(walk.put(nodes[round % 3], put).unwrap().context);
    }
    walk.pass(5_000);
    assert!(
        nodes
            .iter()
            .all(|&node| walk.disk(node).entries(Family::Log) == 0)
    );
    assert!(walk.notes(Note::ContextDropped) > 0);
    assert_eq!(read_r(&mut walk, nodes[0], 3).unwrap(), ["4"]);
    walk.pass(2_000);
    assert_eq!(
        walk.notes(Note::ReadRepair) + walk.notes(Note::FallbackRepair),
        0
    );
}

#[test]
fn a_sibling_set_at_its_limit_refuses_writes_and_not_repair() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    for round in 0..SIBLINGS_MAX {
        let put = walk.a_put(KEY, &format!("{round}"));
        let written = walk.put(nodes[0], put).unwrap();
        assert_eq!(
            written.info.warnings.is_empty(),
            written.siblings < 10,
            "a warning comes before the refusal"
        );
    }
    let put = walk.a_put(KEY, "one too many");
    assert_eq!(
        walk.put(nodes[0], put).unwrap_err().code,
        ErrorCode::TooLarge
    );
    // A fallback knows nothing of the siblings, so it takes more of them, and hands them over.
    nodes.iter().for_each(|&node| walk.kill(node));
    let put = walk.a_put(KEY, "from afar");
    walk.put(fallbacks(&walk)[0], put).unwrap();
    nodes.iter().for_each(|&node| walk.start(node));
    walk.pass(10_000);
    let got = walk.get(nodes[2], a_get(KEY)).unwrap();
    assert_eq!(got.siblings.len(), SIBLINGS_MAX + 1);
    let mut put = walk.a_put(KEY, "merged");
    put.context = Some(got.context);
    walk.put(nodes[1], put).unwrap();
    assert_eq!(read_r(&mut walk, nodes[0], 3).unwrap(), ["merged"]);
}

#[test]
fn a_coordinator_whose_clock_runs_ahead_is_refused_by_name() {
    let mut walk = Walk::new(5);
    let nodes = primaries(&walk);
    walk.set_clock_ahead(nodes[0], 5_000);
    let put = walk.a_put(KEY, "v");
    let error = walk.put(nodes[0], put).unwrap_err();
    assert!(
        matches!(error.code, ErrorCode::QuorumNotMet | ErrorCode::InDoubt),
        "{error:?}"
    );
    let put = walk.a_put(KEY, "w");
    walk.put(nodes[1], put).unwrap();
}
