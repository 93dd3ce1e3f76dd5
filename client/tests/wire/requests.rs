//! Requests against made-up nodes: what is sent, where to, and what a lost answer does.

// A made-up node knows one or two requests; every other one is a failure of the test.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::sync::Mutex;
use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};
use std::time::{Duration, Instant};

use crate::support::{Act, Fake};
use bytes::Bytes;
use quorate_client::{ActorId, Dot, ErrorCode, Kind, NodeId, ReplyInfo, RequestId};
use quorate_protocol::WireError;
use quorate_protocol::client::{
    ClientReply, ClientRequest, Content, Got, KeyPage, Sibling, Written,
};

fn written() -> ClientReply {
    Written {
        dot: Some(Dot::new(ActorId::new(1), 1)),
        context: Bytes::from_static(b"c"),
        siblings: 1,
        info: ReplyInfo::default(),
    }
    .into()
}

fn got(value: Bytes) -> ClientReply {
    let size = value.len() as u64;
    let content = Content {
        value,
        ..Content::default()
    };
    let sibling = Sibling {
        dot: Dot::new(ActorId::new(1), 1),
        content,
        size,
        modified_ms: 1,
        expires_ms: 0,
    };
    Got {
        siblings: vec![sibling],
        context: Bytes::from_static(b"c"),
        fallbacks_only: false,
        maybe_stale: false,
        info: ReplyInfo::default(),
    }
    .into()
}

fn refused(code: ErrorCode) -> Act {
    Act::reply(WireError::new(code, "refused"))
}

/// Each try of a put that arrived: where, its id, and whether it said to be a retry.
type Tries = Arc<Mutex<Vec<(NodeId, RequestId, bool)>>>;

fn noting(tries: &Tries, node: NodeId, request: &ClientRequest) -> usize {
    let mut tries = tries.lock().unwrap();
    if let ClientRequest::Put(put) = request {
        tries.push((node, put.request, put.retry));
    }
    tries.len()
}

#[tokio::test]
async fn values_of_every_size_travel_both_ways() {
    let stored = Mutex::new(Bytes::new());
    let fake = Fake::start(3, move |_, header, request| {
        assert!((1..=5000).contains(&header.deadline_ms));
        match request {
            ClientRequest::Put(put) => {
                *stored.lock().unwrap() = put.content.value;
                Act::reply(written())
            }
            _ => Act::reply(got(stored.lock().unwrap().clone())),
        }
    });
    let bucket = fake.client().await.bucket("default");
    for length in [0, 1, 65_000, 65_536, 70_000, 1_000_000, 16 * 1024 * 1024] {
        let value = Bytes::from(
            (0..length)
                .map(|at: u32| at.to_le_bytes()[0])
                .collect::<Vec<_>>(),
        );
        bucket
            .put("key", value.clone())
            .content_type("x/y")
            .meta("a", "b")
            .send()
            .await
            .unwrap();
        let read = bucket.get("key").r(2).send().await.unwrap();
        assert_eq!(read.single().unwrap().unwrap().data, value, "{length}");
    }
}

#[tokio::test]
async fn a_put_names_its_time_to_live_or_none_and_one_that_cannot_be_is_not_sent() {
    let named = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&named);
    let fake = Fake::start(1, move |_, _, request| {
        if let ClientRequest::Put(put) = request {
            noted.lock().unwrap().push(put.ttl_ms);
        }
        Act::reply(written())
    });
    let bucket = fake.client().await.bucket("default");
    let put = || bucket.put("key", "value");
    put().send().await.unwrap();
    put().ttl(Duration::from_secs(600)).send().await.unwrap();
    put().lasting().send().await.unwrap();
    for wrong in [Duration::ZERO, Duration::MAX] {
        let error = put().ttl(wrong).send().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Fix, "{error}");
    }
    assert_eq!(*named.lock().unwrap(), [None, Some(600_000), Some(0)]);
}

#[tokio::test]
async fn many_requests_share_one_connection_and_find_their_own_answers() {
    let fake = Fake::start(1, |_, _, request| match request {
        ClientRequest::Get(get) => Act::reply(got(get.key)),
        _ => Act::Ignore,
    });
    let bucket = fake.client().await.bucket("default");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let bucket = bucket.clone();
        tasks.spawn(async move {
            let key = format!("key{number}");
            let read = bucket.get(&key).send().await.unwrap();
            assert_eq!(read.single().unwrap().unwrap().data, key);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(fake.endpoints[0].1.open_connections(), 1);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_goes_again_to_its_coordinator_with_its_id() {
    let tries = Tries::default();
    let noted = Arc::clone(&tries);
    let fake = Fake::start(3, move |node, _, request| {
        if noting(&noted, node, &request) == 1 {
            Act::Hangup
        } else {
            Act::reply(written())
        }
    });
    fake.client()
        .await
        .bucket("default")
        .put("key", "value")
        .send()
        .await
        .unwrap();
    let tries = tries.lock().unwrap();
    assert_eq!(tries.len(), 2);
    assert_eq!((tries[0].0, tries[0].1), (tries[1].0, tries[1].1));
    assert_eq!((tries[0].2, tries[1].2), (false, true));
}

#[tokio::test]
async fn a_coordinator_that_keeps_failing_is_left_for_another() {
    let tries = Tries::default();
    let noted = Arc::clone(&tries);
    let fake = Fake::start(3, move |node, _, request| {
        let first = { noted.lock().unwrap().first().map_or(node, |first| first.0) };
        noting(&noted, node, &request);
        if node == first {
            Act::Hangup
        } else {
            Act::reply(written())
        }
    });
    fake.client()
        .await
        .bucket("default")
        .put("key", "value")
        .send()
        .await
        .unwrap();
    let tries = tries.lock().unwrap();
    assert_eq!(tries.len(), 3);
    assert!(tries[0].0 == tries[1].0 && tries[1].0 != tries[2].0 && tries[2].2);
}

#[tokio::test]
async fn a_write_that_nobody_answers_is_in_doubt_and_a_read_is_not() {
    let fake = Fake::start(1, |_, _, _| Act::Ignore);
    let bucket = fake.client().await.bucket("default");
    let short = Duration::from_millis(300);
    let error = bucket
        .put("key", "value")
        .deadline(short)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.got()),
        (Kind::InDoubt, ErrorCode::InDoubt, Some(0))
    );
    let error = bucket.get("key").deadline(short).send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (Kind::Retry, ErrorCode::DeadlineExceeded)
    );
}

#[tokio::test]
async fn refusals_go_elsewhere_and_wrong_requests_come_back_at_once() {
    let count = AtomicUsize::new(0);
    let fake = Fake::start(3, move |_, _, request| {
        match (request, count.fetch_add(1, Ordering::SeqCst)) {
            (ClientRequest::Put(_), 0) => refused(ErrorCode::Stopping),
            (ClientRequest::Put(_), 1) => refused(ErrorCode::Unavailable),
            (ClientRequest::Put(_), _) => Act::reply(written()),
            (_, _) => refused(ErrorCode::Invalid),
        }
    });
    let bucket = fake.client().await.bucket("default");
    bucket.put("key", "value").send().await.unwrap();
    assert_eq!(fake.seen(), 3);
    let error = bucket.get("key").send().await.unwrap_err();
    assert_eq!((error.kind(), fake.seen()), (Kind::Fix, 4));
}

#[tokio::test]
async fn the_retry_budget_ends_a_flood_of_retries() {
    let fake = Fake::start(1, |_, _, _| refused(ErrorCode::Stopping));
    let bucket = fake.client().await.bucket("default");
    for _ in 0..100 {
        bucket.get("key").send().await.unwrap_err();
    }
    // A hundred tries, the reserve of 32, ten earned, and what the seconds of this test refill.
    assert!((142..160).contains(&fake.seen()), "{}", fake.seen());
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_before_it_is_sent() {
    let fake = Fake::start(3, |_, _, _| Act::reply(written()));
    let bucket = fake.client().await.bucket("default");
    let kind = |error: quorate_client::Error| (error.kind(), error.code());
    let wrong = (Kind::Fix, ErrorCode::Invalid);
    assert_eq!(kind(bucket.get("").send().await.unwrap_err()), wrong);
    assert_eq!(kind(bucket.get("k").r(0).send().await.unwrap_err()), wrong);
    assert_eq!(kind(bucket.get("k").r(4).send().await.unwrap_err()), wrong);
    assert_eq!(
        kind(bucket.put("k", "v").w(2).dw(3).send().await.unwrap_err()),
        wrong
    );
    assert_eq!(
        kind(
            bucket
                .put("k", "v")
                .deadline(Duration::ZERO)
                .send()
                .await
                .unwrap_err()
        ),
        wrong
    );
    let large = vec![0; 16 * 1024 * 1024 + 1];
    assert_eq!(
        kind(bucket.put("k", large).send().await.unwrap_err()),
        (Kind::Fix, ErrorCode::TooLarge)
    );
    let missing = fake
        .client()
        .await
        .bucket("missing")
        .get("k")
        .send()
        .await
        .unwrap_err();
    assert_eq!(kind(missing), (Kind::Fix, ErrorCode::NoSuchBucket));
    assert_eq!(fake.seen(), 0);
}

#[tokio::test]
async fn a_node_that_falls_silent_is_given_up_long_before_the_deadline() {
    let fake = Fake::start(2, |_, _, request| match request {
        ClientRequest::Get(get) => Act::reply(got(get.key)),
        _ => Act::Ignore,
    });
    let client = fake.client().await;
    let bucket = client.bucket("default");
    for key in 0..20 {
        bucket.get(format!("{key}")).send().await.unwrap();
    }
    // Its packets now go nowhere, and nobody is told: as after a kill or a cut.
    let (gone, endpoint) = &fake.endpoints[0];
    let nowhere = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    endpoint.rebind(nowhere).unwrap();
    let started = Instant::now();
    let key = (0..)
        .map(|key| format!("{key}"))
        .find(|key| first(&client, key) == *gone)
        .unwrap();
    bucket
        .get(&key)
        .deadline(Duration::from_secs(20))
        .send()
        .await
        .unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
}

/// The node that a key's requests go to first: by the rule that the documentation gives.
fn first(client: &quorate_client::Client, key: &str) -> NodeId {
    let map = client.map();
    let bucket = map.bucket_named("default").unwrap();
    let hash = quorate_ring::placement_hash(bucket.id, key.as_bytes());
    let class = quorate_ring::Class {
        n: bucket.props.n,
        partition: map.ring.partition_of(bucket.id, key.as_bytes()),
    };
    let primaries = map.ring.primaries(class);
    primaries[usize::try_from(hash % primaries.len() as u64).unwrap()]
}

#[tokio::test]
async fn keys_are_listed_page_by_page_and_silent_partitions_are_named() {
    let fake = Fake::start(1, |_, _, request| match request {
        ClientRequest::Keys(keys) if keys.partition.get() == 3 => refused(ErrorCode::QuorumNotMet),
        ClientRequest::Keys(keys) => {
            let name = |page: u8| Bytes::from(format!("{}/{page}", keys.partition));
            let page = match keys.after {
                None => KeyPage {
                    keys: vec![name(0), name(1)],
                    more: true,
                },
                Some(after) => {
                    assert_eq!(after, name(1));
                    KeyPage {
                        keys: vec![name(2)],
                        more: false,
                    }
                }
            };
            Act::reply(page)
        }
        _ => Act::Ignore,
    });
    let mut listing = fake.client().await.bucket("default").keys();
    let mut keys = Vec::new();
    while let Some(key) = listing.next().await.unwrap() {
        keys.push(key);
    }
    assert_eq!(keys.len(), 15 * 3);
    assert_eq!(listing.unanswered().len(), 1);
    assert_eq!(listing.unanswered()[0].0.get(), 3);
}
