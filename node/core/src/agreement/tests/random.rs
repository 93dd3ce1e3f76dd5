//! Everything that can go wrong, in random order: lost, repeated, late messages; crashes between
//! a state's way to the disk and its arrival; equal and different requests everywhere.

use proptest::prelude::*;
use quorate_protocol::ErrorCode;
use quorate_protocol::client::ClientReply;

use super::cluster::{Cluster, id, props};
use crate::effects::Ticket;

#[derive(Clone, Debug)]
enum Step {
    /// At a node, for one of the names, with one of the definitions.
    Ask(u64, u8, u8),
    /// One of the messages under way arrives.
    Deliver(usize),
    /// One of them arrives and stays under way.
    Repeat(usize),
    Lose(usize),
    Write(u64),
    /// With so many of its states reaching the disk.
    Crash(u64, usize),
    Start(u64),
    NoticeCrashes,
    Tick(u64),
    CompareDigests,
}

/// Of these, `a` is only ever asked for in one way; the others in three.
const NAMES: [&str; 3] = ["a", "b", "c"];

fn definition(name: &str, which: u8) -> quorate_protocol::map::BucketProps {
    match (name, which) {
        ("a", _) | (_, 0) => props(3, 1),
        (_, 1) => props(3, 2),
        (_, _) => props(2, 1),
    }
}

fn step(nodes: u64) -> impl Strategy<Value = Step> {
    let node = 1..=nodes;
    prop_oneof![
        4 => (node.clone(), 0..3_u8, 0..3_u8).prop_map(|(node, name, which)| Step::Ask(node, name, which)),
        30 => (0..64_usize).prop_map(Step::Deliver),
        3 => (0..64_usize).prop_map(Step::Repeat),
        2 => (0..64_usize).prop_map(Step::Lose),
        15 => node.clone().prop_map(Step::Write),
        3 => (node.clone(), 0..3_usize).prop_map(|(node, written)| Step::Crash(node, written)),
        8 => node.prop_map(Step::Start),
        1 => Just(Step::NoticeCrashes),
        3 => (1..800_u64).prop_map(Step::Tick),
        1 => Just(Step::CompareDigests),
    ]
}

fn perform(cluster: &mut Cluster, step: Step) {
    let under_way = cluster.wire.len();
    let at = |which: usize| which % under_way.max(1);
    match step {
        Step::Ask(node, name, which) => {
            let name = NAMES[usize::from(name)];
            cluster.ask(id(node), name, definition(name, which));
        }
        Step::Deliver(which) => cluster.deliver(at(which)),
        Step::Repeat(which) => {
            cluster.wire.extend(cluster.wire.get(at(which)).cloned());
            cluster.deliver(at(which));
        }
        Step::Lose(which) => drop(cluster.wire.remove(at(which))),
        Step::Write(node) => cluster.write(id(node)),
        Step::Crash(node, written) => {
            if cluster.nodes[&id(node)].agreement.is_some() {
                cluster.crash(id(node), written);
            }
        }
        Step::Start(node) => {
            if cluster.nodes[&id(node)].agreement.is_none() {
                cluster.start(id(node));
            }
        }
        Step::NoticeCrashes => cluster.notice_crashes(),
        Step::Tick(ms) => cluster.tick(ms),
        Step::CompareDigests => cluster.compare_digests(),
    }
}

/// Faults stop: everybody runs, everything arrives.
fn heal(cluster: &mut Cluster, nodes: u64) {
    for number in 1..=nodes {
        if cluster.nodes[&id(number)].agreement.is_none() {
            cluster.start(id(number));
        }
    }
    for _ in 0..3 {
        cluster.settle();
        cluster.tick(1000);
        cluster.compare_digests();
    }
    cluster.settle();
}

fn outcome(cluster: &Cluster, ticket: Ticket) -> Result<(), ErrorCode> {
    match cluster.reply(ticket) {
        Some(ClientReply::BucketStored(_)) => Ok(()),
        Some(ClientReply::Failed(error)) => Err(error.code),
        other => panic!("{ticket:?} got {other:?}"),
    }
}

fn walk(nodes: u64, seed: u8, steps: Vec<Step>) {
    let mut cluster = Cluster::new(nodes, seed);
    steps
        .into_iter()
        .for_each(|step| perform(&mut cluster, step));
    heal(&mut cluster, nodes);
    // What every client of a name agrees on comes into force, whatever happened before.
    for number in 1..=nodes {
        let ticket = cluster.ask(id(number), "a", definition("a", 0));
        cluster.settle();
        assert_eq!(outcome(&cluster, ticket), Ok(()));
    }
    for name in ["b", "c"] {
        assert!(is_completed(&mut cluster, name, nodes), "{name} is stuck");
    }
    for name in NAMES {
        let everywhere: Vec<_> = (1..=nodes)
            .map(|number| cluster.in_force(id(number), name))
            .collect();
        assert!(
            everywhere[0].is_some() && everywhere.iter().all(|bucket| *bucket == everywhere[0])
        );
    }
    told_is_true(&cluster);
}

/// Where clients differ, some definition can be had: no name is stuck. Each refusal of what is kept
/// here is owed to a smaller one kept elsewhere, of which there are at most as many as nodes.
fn is_completed(cluster: &mut Cluster, name: &str, nodes: u64) -> bool {
    (0..nodes).any(|_| {
        let outcomes = [0, 1, 2].map(|which| {
            let ticket = cluster.ask(id(1), name, definition(name, which));
            cluster.settle();
            outcome(cluster, ticket)
        });
        let fair =
            |outcome: &Result<(), ErrorCode>| matches!(outcome, Ok(()) | Err(ErrorCode::Conflict));
        assert!(outcomes.iter().all(fair), "{outcomes:?}");
        outcomes.contains(&Ok(()))
    })
}

/// Whatever a client was told is in force was in force, under that id and with those properties.
fn told_is_true(cluster: &Cluster) {
    for (_, reply) in &cluster.replies {
        if let ClientReply::BucketStored(stored) = reply {
            let key = (stored.bucket.name.clone(), stored.bucket.revision);
            assert_eq!(cluster.history.get(&key), Some(&stored.bucket));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_nodes_never_differ_about_a_revision(seed: u8, steps in prop::collection::vec(step(3), 50..400)) {
        walk(3, seed, steps);
    }

    #[test]
    fn five_nodes_never_differ_about_a_revision(seed: u8, steps in prop::collection::vec(step(5), 50..600)) {
        walk(5, seed, steps);
    }
}
