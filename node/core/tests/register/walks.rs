//! Single walks, each named after what it shows.

use bytes::Bytes;
use quorate_core::register::{
    Outcome, Pace, Proposal, Refusal, Register, RegisterConfig, RegisterEffect, RegisterInput,
    RegisterMessage, StoredRegisterError, VersionError,
};
use quorate_core::{Now, Ticket};
use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::{
    Ballot, MapAccept, MapAccepted, MapAsk, MapDecided, MapNewest, MapPrepare, MapPromise,
    MapRefused,
};
use quorate_protocol::versioned::{MapName, MapVersion};
use quorate_protocol::{ClusterId, RequestId};
use quorate_ring::NodeId;

use crate::world::{World, first, id, join, leave, member, storage, vote};

/// Three founded members; what a run may not break is checked at its end.
pub(crate) fn three() -> World {
    World::new(3, 3, true, 1, None)
}

pub(crate) fn name(world: &mut World, node: u64, name: &str) -> Ticket {
    world.change(id(node), name, |draft| draft.map.name = name.to_owned())
}

fn refusal(world: &World, ticket: Ticket) -> Refusal {
    match world.outcome(ticket) {
        Some(Outcome::Refused(refusal)) => refusal.clone(),
        other => panic!("{ticket:?}: {other:?}"),
    }
}

fn same_everywhere(world: &World, version: u64) {
    for node in world.ids() {
        let newest = world.newest(node).name().version;
        assert_eq!(newest, MapVersion::new(version), "{node}");
    }
    no_violation(world);
}

fn no_violation(world: &World) {
    assert_eq!(world.facts.violations, Vec::<String>::new());
}

/// Delivers and writes until a node has accepted something that it does not know to be decided.
pub(crate) fn until_accepted(world: &mut World, node: NodeId) {
    while world.register(node).status().undecided.is_none() {
        world.ids().into_iter().for_each(|node| world.write(node));
        world.deliver(0);
    }
}

#[test]
fn a_change_becomes_the_next_version_everywhere_and_is_in_the_log() {
    let mut world = three();
    let ticket = name(&mut world, 2, "renamed");
    world.settle();
    same_everywhere(&world, 2);
    let newest = world.newest(id(3));
    assert_eq!(world.made(ticket), Some(newest.name()));
    assert_eq!(newest.map().map.name, "renamed");
    let log: Vec<_> = newest.history().collect();
    assert_eq!(log.len(), 2);
    assert_eq!(
        (log[1].change.by, log[1].change.what.as_str()),
        (id(2), "renamed")
    );
    assert_eq!(newest.map().parent, Some(log[0].name.digest));
}

#[test]
fn of_two_changes_of_one_version_one_is_made_and_the_other_refused_by_name() {
    let mut world = three();
    let one = name(&mut world, 1, "one");
    let two = name(&mut world, 2, "two");
    world.calm(10);
    same_everywhere(&world, 2);
    let (winner, loser) = match world.made(one) {
        Some(_) => ("one", two),
        None => ("two", one),
    };
    let refused = refusal(&world, loser);
    let Refusal::Stale { base, newest, what } = refused else {
        panic!("{refused}");
    };
    assert_eq!((base.version.get(), newest.version.get()), (1, 2));
    assert_eq!(what, winner);
}

#[test]
fn what_a_dead_proposer_had_accepted_is_completed_by_the_others_and_a_retry_learns_it() {
    let mut world = three();
    let ticket = name(&mut world, 1, "orphan");
    until_accepted(&mut world, id(2));
    world.crash(id(1), 0);
    world.wire.clear();
    world.calm(20);
    assert_eq!(world.newest(id(3)).map().map.name, "orphan");
    assert_eq!(world.outcome(ticket), None);
    let made = world.newest(id(3));
    let again = Proposal {
        request: made.map().change.request,
        base: first(3, true).name(),
        what: "orphan".to_owned(),
        draft: made.draft(),
    };
    let retried = world.propose(id(3), again, 1000);
    world.settle();
    assert_eq!(world.made(retried), Some(made.name()));
    no_violation(&world);
}

#[test]
fn a_proposal_without_a_majority_is_refused_as_certain_and_one_that_was_offered_as_in_doubt() {
    let mut world = three();
    world.crash(id(2), 0);
    world.crash(id(3), 0);
    let lonely = name(&mut world, 1, "lonely");
    world.calm(12);
    let refused = refusal(&world, lonely);
    let Refusal::NoMajority { missing, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!(missing, [id(2), id(3)]);
    world.start(id(2));
    world.start(id(3));
    let offered = name(&mut world, 1, "offered");
    until_accepted(&mut world, id(1));
    world.crash(id(2), 0);
    world.crash(id(3), 0);
    world.calm(12);
    let doubt = refusal(&world, offered);
    assert!(!doubt.is_certain(), "{doubt}");
    world.start(id(2));
    world.calm(20);
    assert_eq!(world.newest(id(2)).map().map.name, "offered");
    no_violation(&world);
}

#[test]
fn an_answer_waits_for_the_disk() {
    let mut world = three();
    name(&mut world, 1, "early");
    world.wire.retain(|packet| packet.to == id(2));
    world.deliver(0);
    assert!(
        world.wire.is_empty(),
        "a promise left before it was written"
    );
    assert_eq!(world.nodes[&id(2)].writing.len(), 1);
    world.write(id(2));
    let promised = world.wire.pop_front().map(|packet| packet.message);
    assert!(matches!(promised, Some(RegisterMessage::Promise(_))));
}

#[test]
fn a_wiped_voter_does_not_vote_until_a_version_names_its_new_storage() {
    let mut world = three();
    world.wipe(id(3));
    world.start(id(3));
    world.crash(id(2), 0);
    let alone = name(&mut world, 1, "alone");
    world.calm(12);
    assert!(matches!(refusal(&world, alone), Refusal::NoMajority { .. }));
    world.start(id(2));
    let new = world.storage(id(3));
    let named = world.change(id(1), "node 3 has a new disk", |draft| {
        vote(draft, id(3), new)
    });
    world.calm(10);
    assert!(world.made(named).is_some());
    assert!(world.register(id(3)).status().votes);
    world.crash(id(2), 0);
    let together = name(&mut world, 1, "together");
    world.calm(10);
    assert!(world.made(together).is_some());
    no_violation(&world);
}

#[test]
fn with_two_of_three_wiped_nothing_is_decided_any_more() {
    let mut world = three();
    for node in [id(2), id(3)] {
        world.wipe(node);
        world.start(node);
    }
    for node in 1..=3 {
        let ticket = name(&mut world, node, "nobody");
        world.calm(15);
        let refusal = refusal(&world, ticket);
        assert!(refusal.to_string().contains("majority"), "{refusal}");
    }
    same_everywhere(&world, 1);
}

#[test]
fn the_first_version_is_founded_once_all_have_run_and_changes_only_then() {
    let mut world = World::new(3, 3, false, 1, None);
    world.crash(id(3), 0);
    world.calm(20);
    same_version_of(&world, &[1, 2], 1);
    let early = name(&mut world, 1, "early");
    assert!(matches!(refusal(&world, early), Refusal::NotFounded { .. }));
    world.start(id(3));
    world.calm(20);
    same_everywhere(&world, 2);
    let voters = world.newest(id(1)).map().voters.clone();
    assert!(
        voters
            .iter()
            .all(|voter| voter.storage == Some(storage(voter.node, 0)))
    );
    let later = name(&mut world, 1, "later");
    world.settle();
    assert!(world.made(later).is_some());
    world.calm(60);
    same_everywhere(&world, 3);
}

fn same_version_of(world: &World, nodes: &[u64], version: u64) {
    for &node in nodes {
        assert_eq!(world.newest(id(node)).name().version.get(), version);
    }
}

#[test]
fn a_node_that_missed_versions_adopts_the_newest_at_once() {
    let mut world = three();
    world.crash(id(3), 0);
    for change in 0..5 {
        name(&mut world, 1, &format!("change {change}"));
        world.settle();
    }
    world.start(id(3));
    world.heartbeat(id(1), id(3));
    world.deliver(0);
    world.settle();
    same_everywhere(&world, 6);
}

#[test]
fn members_come_and_go_until_none_of_the_first_is_left() {
    let mut world = World::new(3, 6, true, 1, None);
    for (number, (comes, goes)) in [(4, 1), (5, 2), (6, 3)].into_iter().enumerate() {
        let storage = storage(id(comes), 0);
        let ticket = world.change(id(goes), "replace", |draft| {
            join(draft, id(comes), storage);
            leave(draft, id(goes));
        });
        world.calm(3);
        assert!(world.made(ticket).is_some());
        same_everywhere(&world, number as u64 + 2);
    }
    for gone in 1..=3 {
        let ticket = name(&mut world, gone, "from outside");
        world.settle();
        assert!(matches!(refusal(&world, ticket), Refusal::NotAMember(_)));
        world.crash(id(gone), 0);
    }
    let ticket = name(&mut world, 5, "without them");
    world.settle();
    assert!(world.made(ticket).is_some());
    no_violation(&world);
}

#[test]
fn a_change_that_contradicts_itself_is_refused_and_nothing_is_sent() {
    let mut world = three();
    let stranger = world.change(id(1), "a stranger votes", |draft| {
        vote(draft, id(9), storage(id(9), 0));
    });
    let nobody = world.change(id(1), "nobody votes", |draft| draft.voters.clear());
    let unnamed = world.change(id(1), "a storage is not known", |draft| {
        draft.voters[0].storage = None;
    });
    let silent = world.change(id(1), "", |_| {});
    for ticket in [stranger, nobody, unnamed, silent] {
        let refusal = refusal(&world, ticket);
        let contradicts = matches!(refusal, Refusal::Invalid(VersionError::Contradiction(_)));
        assert!(contradicts, "{refusal}");
    }
    assert!(world.wire.is_empty());
}

#[test]
fn a_quiet_cluster_says_nothing_and_makes_no_versions() {
    let mut world = three();
    name(&mut world, 1, "last");
    world.settle();
    for _ in 0..100 {
        world.pass(10_000_000);
        assert!(world.wire.is_empty());
    }
    assert_eq!(world.register(id(1)).next_timer(), u64::MAX);
    same_everywhere(&world, 2);
}

#[test]
fn a_version_of_another_cluster_or_of_another_past_is_not_adopted() {
    let mut world = three();
    let mut forked = World::new(3, 3, true, 9, None);
    name(&mut world, 1, "ours");
    name(&mut forked, 1, "theirs");
    world.settle();
    forked.settle();
    name(&mut forked, 1, "and another");
    forked.settle();
    let theirs = forked.newest(id(2));
    let mut effects = Vec::new();
    let mut register = world
        .nodes
        .get_mut(&id(1))
        .unwrap()
        .register
        .take()
        .unwrap();
    let message = RegisterMessage::Decided(MapDecided {
        map: theirs.bytes().clone(),
    });
    let from = id(2);
    register.handle(
        Now::default(),
        RegisterInput::Peer { from, message },
        &mut effects,
    );
    let here = register.newest().name();
    let contradiction = RegisterEffect::Contradiction {
        here,
        there: theirs.name(),
        peer: from,
    };
    assert_eq!(effects, [contradiction]);
    assert_eq!(here.version.get(), 2);
}

fn config() -> RegisterConfig {
    RegisterConfig {
        me: id(1),
        storage: storage(id(1), 0),
        pace: Pace::default(),
    }
}

fn opened(cluster: ClusterId, stored: &[u8]) -> Result<Register, StoredRegisterError> {
    let mut map = first(3, true).map().clone();
    map.map.cluster = cluster;
    let given = quorate_core::register::Version::seal(map).unwrap();
    Register::open(config(), given, Some(stored), [1; 32])
}

#[test]
fn a_damaged_or_foreign_state_is_refused_and_another_storages_votes_are_dropped() {
    let mut world = three();
    name(&mut world, 1, "accepted");
    until_accepted(&mut world, id(1));
    world.write(id(1));
    let cluster = crate::world::CLUSTER;
    let disk = world.nodes[&id(1)].disk.clone().unwrap();
    assert!(opened(cluster, &disk).unwrap().status().undecided.is_some());
    let error = opened(ClusterId::new(1, 1), &disk).unwrap_err();
    assert_eq!(error, StoredRegisterError::OtherCluster(cluster));
    let mut renamed = first(3, true).map().clone();
    renamed.map.name = "another".to_owned();
    let given = quorate_core::register::Version::seal(renamed).unwrap();
    let error = Register::open(config(), given, Some(&disk), [1; 32]).unwrap_err();
    assert!(
        matches!(error, StoredRegisterError::OtherMap { .. }),
        "{error}"
    );
    let mut damaged = disk.clone();
    damaged[40] ^= 1;
    let error = opened(cluster, &damaged).unwrap_err();
    assert!(matches!(error, StoredRegisterError::Damaged(_)), "{error}");
    world.nodes.get_mut(&id(1)).unwrap().generation = 1;
    world.crash(id(1), 0);
    world.start(id(1));
    let status = world.register(id(1)).status();
    assert!(!status.votes && status.undecided.is_none(), "{status:?}");
}

#[test]
fn a_request_that_nobody_remembers_any_more_is_in_doubt_not_denied() {
    let mut world = World::new(1, 1, true, 1, None);
    let long_ago = Proposal {
        request: RequestId::new(5, 5),
        base: world.newest(id(1)).name(),
        what: "long ago".to_owned(),
        draft: world.newest(id(1)).draft(),
    };
    let made = world.propose(id(1), long_ago.clone(), 1000);
    world.settle();
    assert!(world.made(made).is_some());
    for change in 0..70 {
        name(&mut world, 1, &format!("change {change}"));
        world.settle();
    }
    let retried = world.propose(id(1), long_ago, 1000);
    assert!(matches!(
        refusal(&world, retried),
        Refusal::Forgotten { .. }
    ));
    assert_eq!(world.newest(id(1)).history().count(), 65);
}

#[test]
fn a_member_without_a_vote_proposes_and_learns_like_any_other() {
    let mut world = World::new(3, 4, true, 1, None);
    world.change(id(1), "a member without a vote", |draft| {
        draft.map.members.push(member(id(4)));
    });
    world.calm(3);
    assert!(!world.register(id(4)).status().votes);
    let ticket = name(&mut world, 4, "by the fourth");
    world.calm(3);
    assert!(world.made(ticket).is_some());
    same_everywhere(&world, 3);
}

#[test]
fn no_message_takes_a_register_down_or_changes_what_is_decided() {
    let last = Ballot::new(u64::MAX, id(2), LifeId::new(u64::MAX));
    let mut world = World::new(3, 4, true, 1, None);
    name(&mut world, 1, "decided");
    world.settle();
    let parent = world.newest(id(1)).name();
    let later = MapName {
        version: MapVersion::new(u64::MAX),
        ..parent
    };
    let garbage = Bytes::from_static(b"no version");
    let storage = storage(id(2), 0);
    for parent in [parent, later, first(3, true).name()] {
        let ballot = last;
        let accepted = Some((ballot, garbage.clone()));
        let map = garbage.clone();
        let messages = [
            RegisterMessage::Prepare(MapPrepare { parent, ballot }),
            RegisterMessage::Promise(MapPromise {
                parent,
                ballot,
                storage,
                accepted,
            }),
            RegisterMessage::Accept(MapAccept {
                parent,
                ballot,
                map: map.clone(),
            }),
            RegisterMessage::Accepted(MapAccepted {
                parent,
                ballot,
                storage,
            }),
            RegisterMessage::Refused(MapRefused {
                parent,
                ballot,
                promised: last,
            }),
            RegisterMessage::Newest(MapNewest { newest: parent }),
            RegisterMessage::Ask(MapAsk { have: parent }),
            RegisterMessage::Decided(MapDecided { map }),
        ];
        for message in messages {
            for from in [id(2), id(3), id(4)] {
                let message = message.clone();
                world.input(id(1), RegisterInput::Peer { from, message });
            }
        }
    }
    world.wire.clear();
    world.calm(10);
    assert_eq!(world.newest(id(1)).name(), parent);
    no_violation(&world);
}
