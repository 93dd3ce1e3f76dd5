//! A large cluster: 1,000 nodes, 16,384 partitions, three copies, and a rolling replacement of 100 nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use quorate_core::moves::{Complete, Next, Step, Steps, Word, commit, next_version, plan, stage};
use quorate_protocol::codec;
use quorate_protocol::versioned::StagedChange;
use quorate_ring::Class;

use crate::world::{World, founded, id, member, storage};

const NODES: u64 = 1000;
const PARTITIONS: u32 = 16_384;
/// In so many steps of so many nodes.
const STEPS: u64 = 5;
const AT_A_TIME: u64 = 20;

fn zone(number: u64) -> String {
    format!("z{}", number % 5)
}

fn large() -> World {
    let members = (1..=NODES).map(|number| member(number, &zone(number)));
    let mut world = World::idle(founded(members.collect(), PARTITIONS, &[3]));
    hear_that_all_is_done(&mut world);
    world
}

/// The classes of which one of these nodes has a copy: no replacement moves fewer.
fn held_by(world: &World, nodes: &BTreeSet<quorate_ring::NodeId>) -> usize {
    let ring = &world.version.map().map.ring;
    let classes = ring
        .partitions()
        .partitions()
        .map(|partition| Class { n: 3, partition });
    let held = classes.filter(|&class| {
        let mut primaries = ring.primaries(class).iter();
        primaries.any(|node| nodes.contains(node))
    });
    held.count()
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long it took is printed, nothing depends on it"
)]
fn a_rolling_replacement_moves_no_more_than_it_must_in_as_many_versions_as_one_class_takes() {
    let mut world = large();
    let mut versions = Vec::new();
    for step in 0..STEPS {
        let began = Instant::now();
        let gone: BTreeSet<_> = (1..=AT_A_TIME)
            .map(|at| id(step * AT_A_TIME + at))
            .collect();
        let least = held_by(&world, &gone);
        for &node in &gone {
            let by = member(NODES + node.get(), &zone(node.get()));
            let next = stage(world.version.map(), StagedChange::replace(node, by));
            world.decide_unseen(next.unwrap());
        }
        let ring = &world.version.map().map.ring;
        let load: u64 = gone.iter().map(|&node| u64::from(ring.load_of(node))).sum();
        let outlook = plan(world.version.map(), &world.heard).unwrap();
        let copies = outlook.staged.as_ref().unwrap().plan.copies_moved();
        let next = commit(world.version.map(), &Default::default(), &world.heard).unwrap();
        assert_eq!(next.steps.get(&Step::Begin), Some(&least));
        assert_eq!(copies, load, "what the nodes held is what has to move");
        world.decide_unseen(next);
        versions.push(settle(&mut world));
        let (ms, taken) = (began.elapsed().as_millis(), versions.last());
        println!(
            "{AT_A_TIME} nodes: {copies} copies of {least} classes in {taken:?} versions, {ms} ms"
        );
    }
    assert!(
        versions
            .iter()
            .all(|&taken| taken == versions[0] && taken <= 5),
        "{versions:?}"
    );
    let members = &world.version.map().map.members;
    assert_eq!(members.len(), usize::try_from(NODES).unwrap());
    assert!(
        members
            .iter()
            .all(|member| member.id > id(STEPS * AT_A_TIME))
    );
    assert!(world.progress().is_over());
}

/// Versions until nothing is left to do, without the rules that the walks are held against: those look at every class
/// each time.
fn settle(world: &mut World) -> usize {
    let mut taken = 0;
    loop {
        hear_that_all_is_done(world);
        let Some(next) = next_version(world.version.map(), &world.heard) else {
            return taken;
        };
        world.decide_unseen(next);
        taken += 1;
    }
}

/// All members have adopted the newest version, all newcomers are complete, and no copy departs any more.
fn hear_that_all_is_done(world: &mut World) {
    let map = world.version.map();
    let mut words: BTreeMap<_, _> = map
        .map
        .members
        .iter()
        .map(|member| {
            let word = Word {
                version: map.version,
                complete: Vec::new(),
                departing: Vec::new(),
            };
            (member.id, word)
        })
        .collect();
    for record in &map.records {
        for place in record.newcomers() {
            let complete = Complete {
                class: record.class,
                vnode: place.vnode,
                epoch: record.epoch,
            };
            words.get_mut(&place.node).unwrap().complete.push(complete);
        }
    }
    world.heard.running = words
        .keys()
        .map(|&node| (node, Some(storage(node))))
        .collect();
    world.heard.words = words;
}

#[test]
fn a_version_in_which_every_class_moves_is_small_enough_to_travel() {
    let mut world = large();
    let size = |world: &World| {
        let mut bytes = Vec::new();
        codec::encode(world.version.map(), &mut bytes);
        bytes.len()
    };
    let before = size(&world);
    // All of three zones of five: every class of three copies in distinct zones has one there.
    let mut draft = world.version.draft();
    for node in (1..=NODES).filter(|node| node % 5 < 3) {
        let replace = StagedChange::replace(id(node), member(NODES + node, &zone(node)));
        draft.staged.push(replace);
    }
    let staged = Next {
        draft,
        steps: Steps::new(),
        what: "staged".to_owned(),
    };
    world.decide_unseen(staged);
    let next = commit(world.version.map(), &Default::default(), &world.heard).unwrap();
    let moving = next.steps.get(&Step::Begin).copied().unwrap();
    world.decide_unseen(next);
    let joint = size(&world);
    settle(&mut world);
    let after = size(&world);
    println!("bytes: {before} before, {joint} while {moving} classes move, {after} after");
    assert_eq!(moving, PARTITIONS as usize);
    assert!(joint < 2_000_000 && after < 1_000_000, "{joint} {after}");
}
