//! Operators stage and commit changes of the members, and the ring goes there by itself.

use quorate_core::Ticket;
use quorate_protocol::client::{ClientReply, Commit, RingChange, RingChanged};
use quorate_protocol::versioned::{ClassRecord, ClassState, StagedChange, VersionedMap};
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::{Class, Weight};

use crate::world::{SECOND, World, id};

/// Five nodes with a bucket, and node 5 drained in a staged change.
fn staged() -> World {
    let mut world = World::founded(5);
    world.ask(1, "b", 3, 1);
    world.run(SECOND);
    let drained = StagedChange::weight(id(5), Weight::DRAINED);
    let ticket = world.change(2, RingChange::Stage(drained));
    world.run(SECOND);
    assert!(changed(&world, ticket).what.contains("weight 0"));
    world
}

fn changed(world: &World, ticket: Ticket) -> RingChanged {
    match world.reply(ticket) {
        Some((_, ClientReply::RingChanged(changed))) => changed.clone(),
        other => panic!("{other:?}"),
    }
}

fn refused(world: &World, ticket: Ticket) -> WireError {
    match world.reply(ticket) {
        Some((_, ClientReply::Failed(error))) => error.clone(),
        other => panic!("{other:?}"),
    }
}

fn is_at_rest(version: &VersionedMap) -> bool {
    let stands = |record: &ClassRecord| {
        let wanted = version.map.ring.primaries(record.class);
        let there = record.old.iter().all(|place| wanted.contains(&place.node));
        record.state == ClassState::Stable && record.departing.is_empty() && there
    };
    version.before.is_none() && !version.records.is_empty() && version.records.iter().all(stands)
}

fn commit() -> RingChange {
    RingChange::Commit(Commit::default())
}

#[test]
fn a_committed_change_goes_to_its_end_by_itself_and_then_nothing_more_is_decided() {
    let mut world = staged();
    let ticket = world.change(4, commit());
    world.run(10 * SECOND);
    let end = world.version(1);
    assert!(changed(&world, ticket).version.get() < end);
    assert!((1..=5).all(|node| world.version(node) == end));
    assert!(is_at_rest(&world.keeper(1).map()));
    world.run(30 * SECOND);
    assert_eq!(world.version(1), end);
}

#[test]
fn a_change_waits_for_the_word_of_every_member_and_goes_on_when_it_is_heard() {
    let mut world = staged();
    world.wordless.insert(id(3));
    world.change(4, commit());
    world.run(20 * SECOND);
    let version = world.keeper(1).map();
    let of_three = |state| {
        let mut records = version.records.iter();
        records.any(|record| record.place_of(id(3)).is_some() && record.state == state)
    };
    assert!(of_three(ClassState::JointOld) && !of_three(ClassState::JointNew));
    world.give_a_word(3);
    world.run(10 * SECOND);
    assert!(is_at_rest(&world.keeper(1).map()));
}

#[test]
fn a_change_goes_on_though_a_node_that_heard_most_was_away() {
    let mut world = staged();
    world.wordless.insert(id(5));
    world.change(4, commit());
    world.run(SECOND);
    world.stop(1);
    world.run(5 * SECOND);
    world.give_a_word(5);
    world.run(5 * SECOND);
    // It has forgotten what it heard, and is told again.
    world.start(1);
    world.give_a_word(1);
    world.run(10 * SECOND);
    assert!(is_at_rest(&world.keeper(3).map()));
}

#[test]
fn a_plan_names_what_is_committed_and_another_one_is_refused() {
    let mut world = staged();
    let plan = world.keeper(1).plan().unwrap();
    assert_eq!(plan.changes.len(), 1);
    let five = plan.nodes.iter().find(|line| line.node == id(5)).unwrap();
    assert!(five.before > 0 && five.after == 0);
    let more = StagedChange::weight(id(4), Weight::new(50).unwrap());
    world.change(3, RingChange::Stage(more));
    world.run(SECOND);
    let looked_at = |digest| {
        RingChange::Commit(Commit {
            plan: Some(digest),
            ..Commit::default()
        })
    };
    let stale = world.change(1, looked_at(plan.digest));
    world.run(SECOND);
    assert_eq!(refused(&world, stale).code, ErrorCode::Conflict);
    let newer = world.keeper(1).plan().unwrap().digest;
    let ticket = world.change(1, looked_at(newer));
    world.run(10 * SECOND);
    assert!(changed(&world, ticket).version.get() > plan.version.get());
    assert!(is_at_rest(&world.keeper(1).map()));
}

#[test]
fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
    let mut world = World::founded(3);
    let before = world.version(1);
    let stranger = StagedChange::leave(id(9));
    let asked = [
        (RingChange::Clear, ErrorCode::Conflict),
        (commit(), ErrorCode::Conflict),
        (RingChange::Cancel, ErrorCode::Conflict),
        (RingChange::Stage(stranger), ErrorCode::Invalid),
        (RingChange::Forget(id(1)), ErrorCode::Invalid),
    ];
    for (change, code) in asked {
        let ticket = world.change(1, change);
        world.run(SECOND);
        assert_eq!(refused(&world, ticket).code, code);
    }
    assert_eq!(
        world.keeper(1).plan().unwrap_err().code,
        ErrorCode::Conflict
    );
    assert_eq!(world.version(1), before);
}

#[test]
fn whoever_is_asked_names_no_last_copy_on_a_dead_node_while_others_run_that_have_been_restarted_in_a_quiet_cluster()
 {
    let mut world = World::founded(5);
    world.ask(1, "b", 3, 1);
    world.run(SECOND);
    for node in 1..=5 {
        world.stop(node);
        world.run(SECOND);
        world.start(node);
        world.run(SECOND);
    }
    world.stop(5);
    world.run(SECOND);
    world.change(2, RingChange::Stage(StagedChange::force_remove(id(5))));
    world.run(SECOND);
    for node in 1..=4 {
        assert_eq!(world.keeper(node).plan().unwrap().losses, [], "node {node}");
    }
    let ring = &world.keeper(1).map().map.ring;
    let class = |partition| Class { n: 3, partition };
    let holders = ring
        .partitions()
        .partitions()
        .map(|partition| ring.primaries(class(partition)));
    let with_it = holders.into_iter().find(|nodes| nodes.contains(&id(5)));
    let others: Vec<u64> = with_it.unwrap().iter().map(|node| node.get()).collect();
    for node in others.iter().filter(|&&node| node != 5) {
        world.stop(*node);
    }
    let asked = (1..5).find(|node| !others.contains(node)).unwrap();
    let losses = world.keeper(asked).plan().unwrap().losses;
    assert!(losses.iter().any(|loss| loss.node == id(5)), "{losses:?}");
}
