//! An operator gives up a majority that is gone for good.

use quorate_core::Ticket;
use quorate_core::keeper::KeeperInput;
use quorate_protocol::client::{ClientReply, RingChange};
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use crate::world::{SECOND, World, id};

fn refused(world: &World, ticket: Ticket) -> WireError {
    match world.reply(ticket) {
        Some((_, ClientReply::Failed(error))) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// Five nodes with a bucket, of which three are gone.
fn fallen() -> (World, RingChange) {
    let mut world = World::founded(5);
    world.ask(1, "b", 3, 1);
    world.run(SECOND);
    for node in [3, 4, 5] {
        world.stop(node);
    }
    world.run(3 * SECOND);
    let gone: Vec<NodeId> = [3, 4, 5].map(id).to_vec();
    (world, RingChange::Recover(gone))
}

fn lineage(world: &World, node: u64) -> u16 {
    world.keeper(node).map().version.lineage()
}

#[test]
fn those_who_are_left_go_on_and_change_the_map_again() {
    let (mut world, order) = fallen();
    let ticket = world.change(1, order.clone());
    world.run(5 * SECOND);
    let Some((_, ClientReply::RingChanged(changed))) = world.reply(ticket) else {
        panic!("{:?}", world.reply(ticket));
    };
    assert_eq!(changed.version.lineage(), 1);
    assert_eq!((lineage(&world, 1), lineage(&world, 2)), (1, 1));
    let made = world.ask(2, "c", 2, 2);
    world.run(5 * SECOND);
    let Some((_, ClientReply::BucketStored(stored))) = world.reply(made) else {
        panic!("{:?}", world.reply(made));
    };
    let version = world.keeper(1).map();
    assert!(!version.has_dropped(stored.bucket.id));
    let again = world.change(2, order);
    world.run(SECOND);
    assert!(matches!(
        world.reply(again),
        Some((_, ClientReply::RingChanged(_)))
    ));
    assert_eq!(lineage(&world, 1), 1, "it is done once");
}

#[test]
fn who_answers_is_not_given_up() {
    let (mut world, order) = fallen();
    world.start(5);
    world.run(2 * SECOND);
    let ticket = world.change(1, order);
    world.run(SECOND);
    let error = refused(&world, ticket);
    assert_eq!(
        (error.code, error.nodes),
        (ErrorCode::Conflict, vec![id(5)])
    );
    assert_eq!(lineage(&world, 1), 0);
}

#[test]
fn who_answers_another_member_that_is_left_is_not_given_up() {
    let (mut world, order) = fallen();
    world.give(id(2), KeeperInput::PeerUp(id(4)));
    let ticket = world.change(1, order);
    world.run(SECOND);
    let error = refused(&world, ticket);
    assert_eq!(
        (error.code, error.nodes),
        (ErrorCode::Conflict, vec![id(4)])
    );
    assert_eq!(lineage(&world, 1), 0);
}

#[test]
fn a_member_that_is_left_and_silent_is_named_before_anybody_gives_his_word() {
    let (mut world, order) = fallen();
    world.stop(2);
    world.run(3 * SECOND);
    let ticket = world.change(1, order);
    world.run(SECOND);
    let error = refused(&world, ticket);
    assert_eq!(
        (error.code, error.nodes),
        (ErrorCode::Unavailable, vec![id(2)])
    );
    for node in [2, 3, 4, 5] {
        world.start(node);
    }
    world.run(3 * SECOND);
    let made = world.ask(1, "c", 2, 2);
    world.run(5 * SECOND);
    assert!(matches!(
        world.reply(made),
        Some((_, ClientReply::BucketStored(_)))
    ));
}

#[test]
fn who_was_given_up_hears_it_when_it_is_back_and_keeps_its_map() {
    let (mut world, order) = fallen();
    world.change(1, order);
    world.run(5 * SECOND);
    world.start(3);
    world.run(5 * SECOND);
    assert!(world.given_up.contains(&id(3)));
    assert_eq!((lineage(&world, 3), lineage(&world, 1)), (0, 1));
}
