//! One replica, and peers that lie to it: they are authenticated, and believed in what is theirs to say.
//! Each case was found by feeding malformed sequences of messages.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod lone;

use bytes::Bytes;
use quorate_core::{Family, Input, Ticket};
use quorate_protocol::client::{ClientReply, ClientRequest, Get, Keys};
use quorate_protocol::ids::LifeId;
use quorate_protocol::options::{Count, ReadOptions};
use quorate_protocol::peer::{
    ActorClock, CatchUpAsk, Clocks, DotsAnswer, ENDLESS, Forward, PeerMessage, PeerObject,
    ReplicaAck, SettledObject, VnodeClock,
};
use quorate_protocol::versioned::MapVersion;
use quorate_protocol::{
    ActorId, ContentDigest, Dot, ErrorCode, RequestId, StorageId, VnodeId, client,
};
use quorate_ring::{Class, NodeId, PartitionId};

use lone::{BUCKET, Lone, ME, STRANGER, a_put, dot, replica_put};

#[test]
fn a_dot_that_names_no_write_is_refused_wherever_it_comes_from() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(false);
    let target = lone.map.ring.primaries(class)[0];
    let mut put = replica_put(&key, class, vec![dot(7, 0)]);
    put.hint_for = Some(target);
    lone.say(NodeId::new(2), put.clone(), 0);
    assert_eq!(lone.refusal(), Some(ErrorCode::Protocol));
    put.settles = vec![dot(7, 1)];
    put.request = Some((RequestId::new(1, 1), dot(7, 0)));
    lone.say(NodeId::new(2), put.clone(), 0);
    assert_eq!(lone.refusal(), Some(ErrorCode::Protocol));
    assert_eq!(lone.records(Family::Hints), 0);
    put.request = None;
    lone.say(NodeId::new(2), put, 0);
    assert_eq!((lone.refusal(), lone.records(Family::Hints)), (None, 1));
}

#[test]
fn nothing_is_kept_for_who_has_no_replica_of_the_key() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(false);
    for target in [STRANGER, ME] {
        let mut put = replica_put(&key, class, vec![dot(7, 1)]);
        put.hint_for = Some(target);
        lone.say(NodeId::new(2), put, 0);
        assert_eq!(lone.refusal(), Some(ErrorCode::StaleRing), "{target}");
    }
    assert_eq!(lone.records(Family::Hints), 0);
}

#[test]
fn a_key_is_not_stored_under_another_class() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(true);
    let mut classes = (0..8).map(|partition| Class {
        n: 3,
        partition: PartitionId::new(partition),
    });
    let other = classes
        .find(|other| *other != class && lone.map.ring.primaries(*other).contains(&ME))
        .unwrap();
    let put = replica_put(&key, other, vec![dot(7, 1)]);
    lone.say(NodeId::new(2), put, 0);
    assert_eq!(lone.refusal(), Some(ErrorCode::Protocol));
    let put = replica_put(&Bytes::from(vec![b'k'; 5000]), class, vec![dot(7, 1)]);
    lone.say(NodeId::new(2), put, 0);
    assert!(lone.refusal().is_some(), "a key over its limit");
    assert_eq!(lone.records(Family::Log), 0);
}

/// What a request sets off here and at its peers can be found in all their logs by one number.
#[test]
fn a_trace_id_goes_with_all_that_a_request_sets_off_and_with_nothing_else() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(true);
    lone.traces.clear();
    lone.replica.on_behalf_of(77);
    lone.ask(a_put(&key, Count::All));
    assert_eq!(lone.traces, [77, 77], "a copy for each of the two others");
    lone.traces.clear();
    lone.replica.on_behalf_of(88);
    let put = replica_put(&key, class, vec![dot(7, 1)]);
    lone.say(lone.peer(class), put, 0);
    assert_eq!(lone.traces, [88], "the acknowledgement of somebody else's");
    lone.traces.clear();
    lone.replica.on_behalf_of(0);
    lone.pass(2000);
    assert!(!lone.traces.is_empty() && lone.traces.iter().all(|&trace| trace == 0));
}

#[test]
fn what_was_asked_before_there_was_a_link_is_asked_again_over_it() {
    let mut lone = Lone::unlinked();
    let (key, class) = lone.key(true);
    let get = Get {
        bucket: BUCKET,
        key: key.clone(),
        options: ReadOptions::default(),
        session: None,
    };
    for read in [false, true] {
        if read {
            lone.ask(get.clone());
        } else {
            lone.ask(a_put(&key, Count::All));
        }
        assert!(lone.replies.is_empty(), "{:?}", lone.replies);
        lone.sent.clear(); // there is no link: it goes nowhere
        let peer = lone.peers(class)[usize::from(read)];
        lone.feed(Input::PeerUp(peer));
        let again = lone.sent.iter().filter(|(to, message)| {
            *to == peer
                && match message {
                    PeerMessage::ReplicaPut(_) => !read,
                    PeerMessage::ReplicaGet(_) => read,
                    _ => false,
                }
        });
        assert_eq!(again.count(), 1, "read: {read}");
    }
}

#[test]
fn only_nodes_that_were_asked_can_acknowledge() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(true);
    lone.ask(a_put(&key, Count::All));
    let op = lone.sent.iter().find_map(|(_, message)| match message {
        PeerMessage::ReplicaPut(put) => Some(put.op),
        _ => None,
    });
    let ack = |durable| ReplicaAck {
        op: op.unwrap(),
        epoch: MapVersion::FIRST,
        role: client::Role::Primary,
        durable,
        overlooked: false,
        error: None,
    };
    let outside = (2..=5).map(NodeId::new);
    let outside: Vec<NodeId> = outside
        .filter(|node| !lone.map.ring.primaries(class).contains(node))
        .collect();
    for node in outside.into_iter().chain([STRANGER]) {
        lone.say(node, ack(true), 0);
    }
    assert!(lone.replies.is_empty(), "{:?}", lone.replies);
    for node in lone.map.ring.primaries(class).to_vec() {
        lone.say(node, ack(false), 0);
    }
    assert!(matches!(lone.replies[..], [ClientReply::Written(_)]));
}

#[test]
fn an_actor_whose_dots_somebody_else_made_up_is_given_up() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(true);
    let written = |lone: &mut Lone| {
        lone.ask(a_put(&key, Count::Exactly(1)));
        match &lone.replies[..] {
            [ClientReply::Written(written)] => written.dot.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let first = written(&mut lone);
    assert_eq!(written(&mut lone), Dot::new(first.actor, 2));
    let mut forged = replica_put(&key, class, vec![Dot::new(first.actor, 3)]);
    lone.say(lone.peer(class), forged.clone(), 0);
    let second = written(&mut lone);
    assert_ne!(second.actor, first.actor, "its dot 3 is known already");
    forged.object.context = vec![(second.actor, u64::MAX)];
    lone.say(lone.peer(class), forged, 0);
    assert_ne!(
        written(&mut lone).actor,
        second.actor,
        "all its dots are superseded"
    );
}

#[test]
fn a_forwarded_request_lives_no_longer_than_a_clients_may() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(true);
    let get = ClientRequest::from(Get {
        bucket: BUCKET,
        key,
        options: Default::default(),
        session: None,
    });
    let mut body = Vec::new();
    get.encode_body(&mut body);
    let forward = Forward {
        op: 5,
        partition: class.partition,
        principal: "somebody".to_owned(),
        hops: 1,
        opcode: get.opcode(),
        body: body.into(),
    };
    lone.say(NodeId::new(2), forward, u32::MAX);
    assert_eq!(lone.replica.requests_in_flight(), 1);
    lone.pass(60_000);
    assert_eq!(lone.replica.requests_in_flight(), 0);
}

#[test]
fn a_listing_is_not_answered_to_a_client_that_went_away() {
    let mut lone = Lone::new();
    lone.ask(Keys {
        bucket: BUCKET,
        partition: PartitionId::new(0),
        after: None,
        limit: 10,
    });
    lone.feed(Input::ClientGone(Ticket(1)));
    lone.pass(5000);
    assert!(lone.replies.is_empty(), "{:?}", lone.replies);
}

#[test]
fn a_class_is_told_once_however_often_it_is_named() {
    let mut lone = Lone::new();
    let (_, class) = lone.key(true);
    let peer = lone.peer(class);
    let ask = |classes| CatchUpAsk {
        number: 1,
        classes,
        life: LifeId::new(1),
        marks: Vec::new(),
    };
    lone.say(peer, ask(vec![class; 1000]), 0);
    assert!(lone.sent.is_empty());
    lone.say(peer, ask(vec![class]), 0);
    assert_eq!(lone.sent.len(), 1);
}

#[test]
fn missing_writes_are_taken_from_members_only() {
    let mut lone = Lone::new();
    let (key, class) = lone.key(true);
    let answer = DotsAnswer {
        class,
        number: 1,
        objects: vec![SettledObject {
            bucket: BUCKET,
            key,
            object: PeerObject::default(),
            settles: vec![dot(7, 1)],
            requests: Vec::new(),
        }],
        gone: Vec::new(),
        dropped: MapVersion::new(0),
    };
    for from in [STRANGER, ME] {
        lone.say(from, answer.clone(), 0);
        assert_eq!(lone.records(Family::Log), 0, "{from}");
    }
    lone.say(lone.peer(class), answer, 0);
    assert_eq!(lone.records(Family::Log), 1);
}

#[test]
fn clocks_at_the_end_of_all_numbers_can_be_reported_on() {
    let mut lone = Lone::new();
    let all = |actor| ActorClock {
        actor: ActorId::new(actor),
        base: ENDLESS - 1,
        runs: Vec::new(),
    };
    let classes = (0..8).map(|partition| Class {
        n: 3,
        partition: PartitionId::new(partition),
    });
    let shared: Vec<Class> = classes
        .filter(|class| lone.map.ring.primaries(*class).contains(&ME))
        .collect();
    for class in shared {
        let clock = VnodeClock {
            digest: ContentDigest::new(0, 0),
            holds: Default::default(),
            class,
            epoch: MapVersion::FIRST,
            departing: false,
            for_departing: false,
            vnode: VnodeId::FOUNDING,
            storage: StorageId::new(1),
            life: LifeId::new(1),
            applied: vec![all(1), all(2)],
            durable: vec![all(1)],
            current: true,
            swept: None,
            actors: Vec::new(),
        };
        for peer in 2..=5 {
            let clocks = vec![clock.clone()];
            lone.say(NodeId::new(peer), Clocks { clocks }, 0);
        }
    }
    let peers = lone.replica.status().peers;
    assert!(peers.iter().any(|peer| peer.lag == u64::MAX));
}
