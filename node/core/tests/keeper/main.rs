//! The keeper of the cluster map: what clients are told, and what nodes do by themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod lost;
mod ring;
mod world;

use quorate_core::Ticket;
use quorate_protocol::client::ClientReply;
use quorate_protocol::map::Bucket;
use quorate_protocol::{ErrorCode, WireError};

use self::world::{SECOND, World, id};

fn stored(world: &World, ticket: Ticket) -> (Bucket, bool) {
    match world.reply(ticket) {
        Some((_, ClientReply::BucketStored(stored))) => (stored.bucket.clone(), stored.changed),
        other => panic!("{other:?}"),
    }
}

fn refused(world: &World, ticket: Ticket) -> WireError {
    match world.reply(ticket) {
        Some((_, ClientReply::Failed(error))) => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cluster_is_founded_by_itself_once_all_have_run_and_says_who_is_missing_before() {
    let mut world = World::new(3);
    (1..=2).for_each(|number| world.start(number));
    world.run(10 * SECOND);
    let early = world.ask(1, "early", 3, 1);
    world.run(SECOND);
    let error = refused(&world, early);
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(error.nodes, [id(3)]);
    assert!(error.message.contains("n3"), "{error}");
    world.start(3);
    world.run(2 * SECOND);
    assert!((1..=3).all(|node| world.version(node) == 2));
    let late = world.ask(1, "late", 3, 2);
    world.run(SECOND);
    assert!(stored(&world, late).1);
}

#[test]
fn a_request_that_comes_while_the_cluster_is_founded_waits_for_that() {
    let mut world = World::new(3);
    (1..=3).for_each(|number| world.start(number));
    let early = world.ask(2, "b", 3, 1);
    world.run(2 * SECOND);
    assert!(stored(&world, early).1);
}

#[test]
fn a_majority_makes_a_bucket_and_who_was_away_learns_of_it() {
    let mut world = World::founded(3);
    world.stop(3);
    let ticket = world.ask(1, "b", 3, 1);
    world.run(SECOND);
    let (bucket, _) = stored(&world, ticket);
    world.start(3);
    world.run(SECOND);
    assert_eq!(world.keeper(3).map().map.buckets, [bucket]);
}

#[test]
fn without_a_majority_a_request_is_refused_at_once_and_names_who_is_missing() {
    let mut world = World::founded(3);
    (2..=3).for_each(|number| world.stop(number));
    let ticket = world.ask(1, "b", 3, 1);
    let error = refused(&world, ticket);
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(error.nodes, [id(2), id(3)]);
    assert!(error.retry_after_ms.is_some());
}

#[test]
fn voters_that_fall_silent_are_named_before_the_deadline() {
    let mut world = World::founded(3);
    world.mute = [id(2), id(3)].into();
    let ticket = world.ask(1, "b", 3, 1);
    let began_us = 4 * SECOND;
    world.run(began_us);
    let (at_us, _) = world.reply(ticket).unwrap();
    assert!(*at_us < 3 * SECOND + 4 * SECOND, "{at_us}");
    let error = refused(&world, ticket);
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(error.nodes, [id(2), id(3)]);
}

#[test]
fn two_that_ask_at_once_both_get_their_bucket_the_loser_on_top_of_the_winner() {
    let mut world = World::founded(3);
    let tickets = [world.ask(1, "one", 3, 1), world.ask(2, "two", 2, 2)];
    world.run(4 * SECOND);
    for ticket in tickets {
        assert!(stored(&world, ticket).1);
    }
    assert_eq!(world.version(3), 4);
}

#[test]
fn of_two_definitions_asked_for_at_once_one_is_refused() {
    let mut world = World::founded(3);
    let tickets = [world.ask(1, "b", 3, 1), world.ask(2, "b", 2, 2)];
    world.run(4 * SECOND);
    let conflicts = tickets.iter().filter(|&&ticket| {
        let Some((_, ClientReply::Failed(error))) = world.reply(ticket) else {
            return false;
        };
        error.code == ErrorCode::Conflict
    });
    assert_eq!(conflicts.count(), 1);
    assert_eq!(world.version(3), 3);
}

#[test]
fn the_same_request_at_another_node_gets_the_same_bucket() {
    let mut world = World::founded(3);
    let first = world.ask(1, "b", 3, 1);
    world.run(SECOND);
    let again = world.ask(2, "b", 3, 1);
    let another = world.ask(3, "b", 3, 2);
    world.run(SECOND);
    let (bucket, changed) = stored(&world, first);
    assert_eq!(stored(&world, again), (bucket.clone(), changed));
    assert_eq!(stored(&world, another), (bucket, false));
    assert_eq!(world.version(1), 3);
}

#[test]
fn who_is_told_of_a_bucket_may_go_on_at_any_node_that_answers() {
    let mut world = World::founded(3);
    let ticket = world.ask(1, "b", 3, 1);
    for _ in 0..40 {
        world.run(50_000);
        if world.reply(ticket).is_some() {
            break;
        }
    }
    let (bucket, _) = stored(&world, ticket);
    for node in 1..=3 {
        assert_eq!(
            world.keeper(node).map().map.buckets,
            std::slice::from_ref(&bucket)
        );
    }
}

#[test]
fn a_wiped_node_has_its_storage_named_and_votes_again() {
    let mut world = World::founded(3);
    world.stop(3);
    world.wipe(3);
    world.start(3);
    assert!(!world.keeper(3).register().newest().map().is_founded());
    world.run(5 * SECOND);
    let named = world.keeper(1).map().voter(id(3)).unwrap().storage;
    assert_eq!(named, Some(world.storage(3)));
    // Its vote counts: with it and one other there is a majority.
    world.stop(2);
    let ticket = world.ask(1, "b", 3, 1);
    world.run(SECOND);
    assert!(stored(&world, ticket).1);
}

#[test]
fn a_node_restored_from_a_backup_does_not_vote_by_what_it_once_promised() {
    let mut world = World::founded(3);
    let ticket = world.ask(1, "b", 3, 1);
    world.run(SECOND);
    stored(&world, ticket);
    world.stop(3);
    let backup = world.nodes[&id(3)].file.clone().unwrap();
    world.restore(3, &backup, false);
    world.mute = [id(2)].into();
    world.start(3);
    world.run(2 * SECOND);
    assert!(!world.keeper(3).register().status().votes);
    let ticket = world.ask(1, "c", 3, 2);
    world.run(4 * SECOND);
    assert_ne!(refused(&world, ticket).nodes, []);
    world.mute.clear();
    world.run(8 * SECOND);
    assert!(world.keeper(3).register().status().votes);
}

#[test]
fn a_cluster_restored_as_a_whole_is_founded_anew_on_its_newest_backup() {
    let mut world = World::founded(3);
    let old = world.nodes[&id(1)].file.clone().unwrap();
    let ticket = world.ask(1, "b", 3, 1);
    world.run(SECOND);
    let (bucket, _) = stored(&world, ticket);
    let young = world.nodes[&id(2)].file.clone().unwrap();
    (1..=3).for_each(|number| world.stop(number));
    world.restore(1, &old, true);
    world.restore(2, &young, true);
    world.restore(3, &old, true);
    (1..=2).for_each(|number| world.start(number));
    world.run(10 * SECOND);
    assert!(!world.keeper(1).register().is_founded(), "one is missing");
    world.start(3);
    world.run(10 * SECOND);
    for node in 1..=3 {
        let map = world.keeper(node).map();
        assert_eq!(map.map.buckets, std::slice::from_ref(&bucket));
        assert_eq!(
            map.voter(id(node)).unwrap().storage,
            Some(world.storage(node))
        );
    }
    let ticket = world.ask(3, "c", 3, 2);
    world.run(SECOND);
    assert!(stored(&world, ticket).1);
}

#[test]
fn a_node_restored_as_if_with_all_others_decides_nothing_against_them() {
    let mut world = World::founded(3);
    let old = world.nodes[&id(3)].file.clone().unwrap();
    world.stop(3);
    world.restore(3, &old, true);
    world.start(3);
    let ticket = world.ask(1, "b", 3, 1);
    world.run(10 * SECOND);
    stored(&world, ticket);
    let map = world.keeper(1).map();
    assert_eq!(map.voter(id(3)).unwrap().storage, Some(world.storage(3)));
    assert_eq!(world.keeper(3).map(), map);
}
