//! Single walks.

use quorate_protocol::ErrorCode;
use quorate_protocol::client::{BucketStored, ClientReply};
use quorate_protocol::limits::BUCKETS_MAX;
use quorate_protocol::map::{Bucket, BucketMode};
use quorate_protocol::peer::{BucketPropose, Buckets, PeerMessage};
use quorate_ring::BucketId;

use super::cluster::{Cluster, id, map, props};
use crate::agreement::{Agreement, AgreementError, AgreementInput, StoredError, stored};
use crate::effects::Ticket;

fn stored(cluster: &Cluster, ticket: Ticket) -> BucketStored {
    match cluster.reply(ticket) {
        Some(ClientReply::BucketStored(stored)) => stored.clone(),
        other => panic!("expected success, got {other:?}"),
    }
}

fn refused(cluster: &Cluster, ticket: Ticket) -> quorate_protocol::WireError {
    match cluster.reply(ticket) {
        Some(ClientReply::Failed(error)) => error.clone(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_bucket_comes_into_force_everywhere_and_survives_everybodys_restart() {
    let mut cluster = Cluster::new(5, 1);
    let ticket = cluster.ask(id(2), "b", props(3, 1));
    cluster.settle();
    let BucketStored { bucket, changed } = stored(&cluster, ticket);
    assert!(changed);
    assert_eq!((bucket.name.as_str(), bucket.revision), ("b", 1));
    for number in 1..=5 {
        cluster.crash(id(number), 0);
    }
    for number in 1..=5 {
        cluster.start(id(number));
        assert_eq!(cluster.in_force(id(number), "b"), Some(bucket.clone()));
        assert!(cluster.in_force(id(number), "default").is_some());
    }
}

#[test]
fn a_cluster_of_one_agrees_with_itself_once_its_disk_does() {
    let mut cluster = Cluster::new(1, 1);
    let ticket = cluster.ask(id(1), "b", props(3, 1));
    assert_eq!(cluster.reply(ticket), None);
    cluster.settle();
    assert!(stored(&cluster, ticket).changed);
}

#[test]
fn the_same_definition_twice_is_fine_and_changes_nothing() {
    let mut cluster = Cluster::new(3, 1);
    let first = cluster.ask(id(1), "b", props(3, 1));
    cluster.settle();
    let again = cluster.ask(id(3), "b", props(3, 1));
    cluster.settle();
    assert_eq!(
        stored(&cluster, again).bucket,
        stored(&cluster, first).bucket
    );
    assert!(!stored(&cluster, again).changed);
}

#[test]
fn defaults_change_with_a_new_revision_and_n_and_mode_never() {
    let mut cluster = Cluster::new(3, 1);
    let first = cluster.ask(id(1), "b", props(3, 1));
    cluster.settle();
    let change = cluster.ask(id(2), "b", props(3, 2));
    cluster.settle();
    let (before, after) = (
        stored(&cluster, first).bucket,
        stored(&cluster, change).bucket,
    );
    assert_eq!(
        (after.id, after.revision, after.props),
        (before.id, 2, props(3, 2))
    );

    let other_n = cluster.ask(id(1), "b", props(2, 2));
    let mut lww = props(3, 2);
    lww.mode = BucketMode::Lww;
    let other_mode = cluster.ask(id(1), "b", lww);
    for ticket in [other_n, other_mode] {
        let error = refused(&cluster, ticket);
        assert_eq!(error.code, ErrorCode::Conflict);
        assert!(error.message.contains("never change"), "{error}");
    }
}

#[test]
fn a_member_known_to_be_down_is_named_at_once_and_nothing_is_kept() {
    let mut cluster = Cluster::new(3, 1);
    cluster.crash(id(3), 0);
    cluster.notice_crashes();
    let ticket = cluster.ask(id(1), "b", props(3, 1));
    let error = refused(&cluster, ticket);
    assert_eq!(
        (error.code, error.nodes.as_slice()),
        (ErrorCode::Unavailable, &[id(3)][..])
    );
    assert!(
        error.message.contains("n3") && error.retry_after_ms.is_some(),
        "{error}"
    );
    cluster.start(id(3));
    let other = cluster.ask(id(2), "b", props(3, 2));
    cluster.settle();
    assert!(stored(&cluster, other).changed);
}

#[test]
fn a_member_that_does_not_answer_is_named_by_the_deadline_and_a_later_equal_request_succeeds() {
    let mut cluster = Cluster::new(3, 1);
    let ticket = cluster.ask(id(1), "b", props(3, 1));
    cluster.wire.retain(|(_, to, _)| *to != id(2));
    cluster.settle();
    for _ in 0..20 {
        cluster.tick(100);
        cluster.wire.retain(|(_, to, _)| *to != id(2));
        cluster.settle();
    }
    assert_eq!(refused(&cluster, ticket).nodes, [id(2)]);
    let conflict = cluster.ask(id(3), "b", props(3, 2));
    let error = refused(&cluster, conflict);
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(
        error.message.contains("r=1") && error.message.contains("r=2"),
        "{error}"
    );
    let equal = cluster.ask(id(3), "b", props(3, 1));
    cluster.settle();
    assert!(stored(&cluster, equal).changed);
}

#[test]
fn a_member_that_goes_down_ends_the_wait() {
    let mut cluster = Cluster::new(3, 1);
    let ticket = cluster.ask(id(1), "b", props(3, 1));
    cluster.crash(id(2), 0);
    cluster.notice_crashes();
    assert_eq!(refused(&cluster, ticket).nodes, [id(2)]);
}

#[test]
fn a_lost_question_is_repeated() {
    let mut cluster = Cluster::new(3, 1);
    let ticket = cluster.ask(id(1), "b", props(3, 1));
    cluster.wire.clear();
    cluster.settle();
    cluster.tick(350);
    cluster.settle();
    assert!(stored(&cluster, ticket).changed);
}

#[test]
fn the_answer_waits_for_confirmations_a_second_at_most() {
    let mut cluster = Cluster::new(2, 1);
    let ticket = cluster.ask(id(1), "b", props(2, 1));
    for _ in 0..30 {
        cluster.write(id(1));
        cluster.write(id(2));
        cluster
            .wire
            .retain(|(_, _, message)| message.name() != "BucketCommitted");
        cluster.deliver(0);
    }
    assert_eq!(cluster.reply(ticket), None);
    cluster.tick(1100);
    assert!(stored(&cluster, ticket).changed);
}

#[test]
fn equal_requests_at_all_nodes_at_once_all_succeed_with_one_id() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(5, seed);
        let ask = |cluster: &mut Cluster, number| cluster.ask(id(number), "b", props(3, 1));
        let tickets: Vec<Ticket> = (1..=5).map(|number| ask(&mut cluster, number)).collect();
        cluster.settle();
        let buckets: Vec<Bucket> = tickets
            .iter()
            .map(|&ticket| stored(&cluster, ticket).bucket)
            .collect();
        assert!(
            buckets.iter().all(|bucket| *bucket == buckets[0]),
            "seed {seed}"
        );
    }
}

#[test]
fn of_different_requests_at_once_one_succeeds_and_the_others_are_told_of_it() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(3, seed);
        let tickets =
            [1, 2, 3].map(|number: u8| cluster.ask(id(u64::from(number)), "b", props(3, number)));
        cluster.settle();
        let won = |ticket: &&Ticket| {
            matches!(cluster.reply(**ticket), Some(ClientReply::BucketStored(_)))
        };
        assert_eq!(tickets.iter().filter(won).count(), 1, "seed {seed}");
        let lost = tickets.iter().filter(|ticket| !won(ticket));
        assert!(
            lost.clone()
                .all(|&ticket| refused(&cluster, ticket).code == ErrorCode::Conflict)
        );
    }
}

#[test]
fn a_member_that_missed_the_commit_learns_by_digest() {
    let mut cluster = Cluster::new(3, 1);
    let ticket = cluster.ask(id(1), "b", props(3, 1));
    for _ in 0..50 {
        (1..=3).for_each(|number| cluster.write(id(number)));
        cluster
            .wire
            .retain(|(_, _, message)| message.name() != "BucketCommit");
        cluster.deliver(0);
    }
    cluster.tick(1100);
    assert!(stored(&cluster, ticket).changed);
    assert_eq!(cluster.in_force(id(3), "b"), None);
    cluster.compare_digests();
    cluster.settle();
    for number in [2, 3] {
        assert_eq!(
            cluster.in_force(id(number), "b"),
            Some(stored(&cluster, ticket).bucket)
        );
    }
}

#[test]
fn definitions_that_cannot_be_kept_are_refused() {
    let mut cluster = Cluster::new(3, 1);
    let mut dw_above_w = props(3, 1);
    dw_above_w.defaults.dw = Some(quorate_protocol::options::Count::All);
    let long = "x".repeat(256);
    let wrong = [
        ("", props(3, 1)),
        ("a\nb", props(3, 1)),
        (&long, props(3, 1)),
        ("b", props(4, 1)),
        ("b", props(0, 1)),
        ("b", props(3, 4)),
        ("b", dw_above_w),
    ];
    for (name, props) in wrong {
        let ticket = cluster.ask(id(1), name, props);
        assert_eq!(refused(&cluster, ticket).code, ErrorCode::Invalid);
    }
    assert!(cluster.wire.is_empty());
}

#[test]
fn a_peer_cannot_make_a_node_keep_or_take_what_breaks_the_rules() {
    let mut cluster = Cluster::new(2, 1);
    let bad = Bucket {
        id: BucketId::new(5),
        name: "b\n".to_owned(),
        revision: 1,
        props: props(3, 1),
    };
    let reused = Bucket {
        id: BucketId::new(1),
        name: "c".to_owned(),
        revision: 1,
        props: props(3, 1),
    };
    for bucket in [bad.clone(), reused] {
        let message = BucketPropose { op: 1, bucket }.into();
        cluster.give(
            id(1),
            AgreementInput::Peer {
                from: id(2),
                message,
            },
        );
    }
    let message = Buckets { buckets: vec![bad] }.into();
    cluster.give(
        id(1),
        AgreementInput::Peer {
            from: id(2),
            message,
        },
    );
    let stranger = Bucket {
        id: BucketId::new(6),
        name: "d".to_owned(),
        revision: 1,
        props: props(3, 1),
    };
    let message = Buckets {
        buckets: vec![stranger],
    }
    .into();
    cluster.give(
        id(1),
        AgreementInput::Peer {
            from: id(9),
            message,
        },
    );
    assert!(cluster.nodes[&id(1)].writing.is_empty());
    let votes = cluster.wire.iter().filter_map(|(_, _, message)| {
        if let PeerMessage::BucketVote(vote) = message {
            vote.error.as_ref().map(|error| error.code)
        } else {
            None
        }
    });
    assert_eq!(votes.collect::<Vec<_>>(), [ErrorCode::Invalid; 2]);
}

#[test]
fn there_is_a_most_of_buckets() {
    let mut full = map(1);
    let bucket = |number: usize| Bucket {
        id: BucketId::new(1000 + number as u64),
        name: format!("b{number:05}"),
        revision: 1,
        props: props(3, 1),
    };
    full.buckets = (0..BUCKETS_MAX).map(bucket).collect();
    let mut agreement = Agreement::open(id(1), full, None, [1; 32]).unwrap();
    let request = quorate_protocol::client::PutBucket {
        name: "one more".to_owned(),
        props: props(3, 1),
    };
    let mut effects = Vec::new();
    let input = AgreementInput::Client {
        ticket: Ticket(1),
        request,
        deadline_ms: 1000,
    };
    agreement.handle(crate::effects::Now::default(), input, &mut effects);
    let [
        crate::agreement::AgreementEffect::Reply {
            reply: ClientReply::Failed(error),
            ..
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(error.code, ErrorCode::Invalid);
}

#[test]
fn a_stored_state_is_refused_by_others_and_when_damaged() {
    let mut cluster = Cluster::new(1, 1);
    cluster.ask(id(1), "b", props(3, 1));
    cluster.settle();
    let bytes = cluster.nodes[&id(1)].disk.clone().unwrap();
    let open = |bytes: &[u8]| {
        Agreement::open(id(1), map(1), Some(bytes), [0; 32]).map(|opened| opened.digest())
    };
    assert!(open(&bytes).is_ok());
    for at in 0..bytes.len() {
        assert!(open(&bytes[..at]).is_err(), "cut at {at}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        assert!(open(&flipped).is_err(), "flipped at {at}");
    }
    let mut other = map(1);
    other.cluster = quorate_protocol::ClusterId::new(1, 1);
    let opened = Agreement::open(id(1), other, Some(&bytes), [0; 32]);
    assert!(matches!(
        opened,
        Err(AgreementError::Stored(StoredError::OtherCluster(_)))
    ));
    let opened = Agreement::open(id(4), map(1), None, [0; 32]);
    assert!(matches!(opened, Err(AgreementError::NotAMember(_))));
}

/// The stored form is read by every later version: this text may get company, but never changes.
#[test]
fn the_stored_form_is_what_it_was_in_format_1() {
    let mut rich = props(2, 1);
    rich.mode = BucketMode::Lww;
    rich.defaults.pr = Some(quorate_protocol::options::Count::All);
    rich.defaults.dw = Some(quorate_protocol::options::Count::Exactly(1));
    let kept = Bucket {
        id: BucketId::new(0x0102_0304_0506_0708),
        name: "käse".to_owned(),
        revision: 300,
        props: rich,
    };
    let rules = crate::agreement::rules::Rules::from_lists(map(1).buckets, vec![kept]);
    let bytes = stored::encode(map(1).cluster, &rules);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "51424b5400000001676ce779000000000000000700000000000000070100000000000000010764656661756c74010300050200010102030405060708056bc3a47365ac0202012d0100ff01"
    );
    assert_eq!(stored::decode(map(1).cluster, &bytes), Ok(rules));
}

#[test]
fn nothing_that_rests_on_a_state_leaves_before_that_state_is_durable() {
    let mut cluster = Cluster::new(2, 1);
    let ticket = cluster.ask(id(1), "b", props(2, 1));
    cluster.deliver(0);
    assert!(
        cluster.wire.is_empty(),
        "a vote left before the definition was kept"
    );
    cluster.write(id(2));
    cluster.deliver(0);
    assert!(
        cluster.wire.is_empty(),
        "in force without the proposer's own vote"
    );
    cluster.write(id(1));
    assert!(cluster.wire.is_empty() && cluster.in_force(id(1), "b").is_none());
    cluster.write(id(1));
    assert!(cluster.in_force(id(1), "b").is_some());
    assert_eq!(cluster.wire.len(), 1);
    cluster.deliver(0);
    assert!(cluster.wire.is_empty(), "confirmed before it was durable");
    cluster.write(id(2));
    cluster.deliver(0);
    assert!(stored(&cluster, ticket).changed);
}
