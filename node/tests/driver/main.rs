//! The driver under real replicas: several nodes in one process, over memory.

// A test ends at the first answer that it does not expect, whatever it is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod cluster;
mod trace;

use bytes::Bytes;
use quorate_core::Note;
use quorate_core::store::StoreError;
use quorate_node::driver::Event;
use quorate_protocol::client::{
    ClientReply, ClientRequest, Content, Delete, Get, GetMap, Got, Keys, Ping, Put, PutBucket,
    Status,
};
use quorate_protocol::frame::Header;
use quorate_protocol::limits::DEADLINE_MS_MAX;
use quorate_protocol::map::{BucketMode, BucketProps};
use quorate_protocol::options::{Count, QuorumDefaults, ReadOptions, WriteOptions};
use quorate_protocol::{ErrorCode, RequestId};
use quorate_ring::{BucketId, NodeId, PartitionId};

use cluster::Cluster;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

async fn bucket(cluster: &Cluster) -> BucketId {
    let props = BucketProps {
        n: 3,
        mode: BucketMode::Siblings,
        defaults: QuorumDefaults::default(),
    };
    // Members answer each other a moment after the start.
    for _ in 0..100 {
        let request = PutBucket {
            name: "b".to_owned(),
            props: props.clone(),
            request: RequestId::new(1, 2),
        };
        match cluster.ask(cluster.nodes[0], request).await {
            ClientReply::BucketStored(stored) => {
                everywhere(cluster, stored.bucket.id).await;
                return stored.bucket.id;
            }
            ClientReply::Failed(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the bucket was never created");
}

async fn everywhere(cluster: &Cluster, bucket: BucketId) {
    cluster
        .wait_for("the bucket on all nodes", async |cluster| {
            for &node in &cluster.nodes {
                let ClientReply::Map(reply) = cluster.ask(node, GetMap { known: 0 }).await else {
                    return false;
                };
                if reply.map.bucket(bucket).is_none() {
                    return false;
                }
            }
            true
        })
        .await;
}

fn put(bucket: BucketId, key: &str, value: impl Into<Bytes>, request: u64) -> Put {
    Put {
        bucket,
        key: Bytes::copy_from_slice(key.as_bytes()),
        content: Content {
            value: value.into(),
            ..Content::default()
        },
        context: None,
        options: WriteOptions::default(),
        request: RequestId::new(1, request),
        retry: false,
        ttl_ms: None,
    }
}

fn get(bucket: BucketId, key: &str, r: Count) -> Get {
    let options = ReadOptions {
        r: Some(r),
        ..ReadOptions::default()
    };
    Get {
        bucket,
        key: Bytes::copy_from_slice(key.as_bytes()),
        options,
        session: None,
    }
}

async fn values(
    cluster: &Cluster,
    node: NodeId,
    bucket: BucketId,
    key: &str,
    r: Count,
) -> Vec<Bytes> {
    got(cluster.ask(node, get(bucket, key, r)).await)
        .siblings
        .into_iter()
        .map(|one| one.content.value)
        .collect()
}

fn got(reply: ClientReply) -> Got {
    match reply {
        ClientReply::Got(got) => got,
        other => panic!("{other:?}"),
    }
}

fn failed(reply: ClientReply) -> ErrorCode {
    match reply {
        ClientReply::Failed(error) => error.code,
        other => panic!("{other:?}"),
    }
}

fn written(reply: &ClientReply) -> bool {
    matches!(reply, ClientReply::Written(_))
}

/// Keys that between them reach every partition and shard.
fn keys() -> Vec<String> {
    (0..40).map(|number| format!("key{number}")).collect()
}

async fn fill(cluster: &Cluster, bucket: BucketId) {
    let nodes = cluster.nodes.iter().cycle();
    for ((number, key), &node) in (0..).zip(keys()).zip(nodes) {
        let reply = cluster
            .ask(node, put(bucket, &key, key.clone(), number))
            .await;
        assert!(written(&reply), "{reply:?}");
    }
}

async fn check_filled(cluster: &Cluster, bucket: BucketId) {
    for key in keys() {
        for &node in &cluster.nodes {
            let found = values(cluster, node, bucket, &key, Count::Quorum).await;
            assert_eq!(
                found,
                [Bytes::copy_from_slice(key.as_bytes())],
                "{key} at {node}"
            );
        }
    }
}

#[test]
fn what_is_written_through_one_node_is_read_through_all() {
    run(async {
        let cluster = Cluster::start(5, 1);
        let bucket = bucket(&cluster).await;
        fill(&cluster, bucket).await;
        check_filled(&cluster, bucket).await;
        cluster.settle().await;
    });
}

#[test]
fn shards_on_threads_of_their_own_serve_as_one_node() {
    run(async {
        let cluster = Cluster::start(3, 4);
        let bucket = bucket(&cluster).await;
        fill(&cluster, bucket).await;
        check_filled(&cluster, bucket).await;
        cluster.settle().await;
        let report = cluster.status(cluster.nodes[0]).await;
        assert_eq!(
            report.vnodes_total, 8,
            "one vnode for each partition, over all shards: {report:?}"
        );
        let mut listed = 0;
        for partition in 0..8 {
            let ask = Keys {
                bucket,
                partition: PartitionId::new(partition),
                after: None,
                limit: 1000,
            };
            match cluster.ask(cluster.nodes[1], ask).await {
                ClientReply::KeyPage(page) => listed += page.keys.len(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(listed, keys().len());
    });
}

#[test]
fn a_value_too_large_for_the_small_lane_arrives_whole() {
    run(async {
        let cluster = Cluster::start(3, 2);
        let bucket = bucket(&cluster).await;
        let value = Bytes::from(vec![5; 1_000_000]);
        assert!(written(
            &cluster
                .ask(cluster.nodes[0], put(bucket, "large", value.clone(), 1))
                .await
        ));
        assert_eq!(
            values(&cluster, cluster.nodes[2], bucket, "large", Count::All).await,
            [value]
        );
    });
}

#[test]
fn a_node_that_was_stopped_comes_back_with_its_data_and_catches_up() {
    run(async {
        let mut cluster = Cluster::start(3, 2);
        let bucket = bucket(&cluster).await;
        fill(&cluster, bucket).await;
        cluster.settle().await;
        let gone = cluster.nodes[2];
        cluster.stop_node(gone).await;
        assert_eq!(
            cluster.disks[&gone].unsynced(),
            0,
            "a stop syncs everything"
        );
        for (number, key) in (100..).zip(keys()) {
            let held = got(cluster
                .ask(cluster.nodes[0], get(bucket, &key, Count::Quorum))
                .await);
            let write = Put {
                context: Some(held.context),
                ..put(bucket, &key, "new", number)
            };
            let reply = cluster.ask(cluster.nodes[0], write).await;
            assert!(written(&reply), "{reply:?}");
        }
        cluster.start_node(gone);
        cluster.settle().await;
        for key in keys() {
            assert_eq!(
                values(&cluster, gone, bucket, &key, Count::Exactly(1)).await,
                ["new"],
                "{key}"
            );
        }
    });
}

#[test]
fn a_storage_that_fails_costs_no_acknowledged_write_and_is_opened_again() {
    run(async {
        let cluster = Cluster::start(3, 1);
        let bucket = bucket(&cluster).await;
        fill(&cluster, bucket).await;
        let ill = cluster.nodes[0];
        cluster.disks[&ill].fail(Some(StoreError::Failed("input/output error".to_owned())));
        // The others may have it by now, so this node can neither say yes nor no.
        let reply = cluster.ask(ill, put(bucket, "during", "x", 500)).await;
        let expected = [ErrorCode::InDoubt, ErrorCode::StorageFailed];
        assert!(written(&reply) || expected.contains(&failed(reply)));
        cluster
            .wait_for("a refusal by name", async |cluster| {
                let reply = cluster.ask(ill, put(bucket, "refused", "x", 501)).await;
                !written(&reply) && failed(reply) == ErrorCode::StorageFailed
            })
            .await;
        let reply = cluster
            .ask(cluster.nodes[1], put(bucket, "meanwhile", "y", 502))
            .await;
        assert!(written(&reply), "two of three are enough: {reply:?}");
        assert!(
            cluster
                .driver(ill)
                .counters()
                .of_event(Event::StorageFailure)
                > 0
        );
        cluster.disks[&ill].fail(None);
        cluster
            .wait_for("the storage to be opened again", async |cluster| {
                matches!(
                    cluster
                        .ask(ill, get(bucket, "meanwhile", Count::Quorum))
                        .await,
                    ClientReply::Got(_)
                )
            })
            .await;
        cluster.settle().await;
        assert_eq!(
            values(&cluster, ill, bucket, "meanwhile", Count::Exactly(1)).await,
            ["y"]
        );
        check_filled(&cluster, bucket).await;
    });
}

#[test]
fn a_full_disk_makes_its_node_step_aside_and_clients_see_no_error() {
    run(async {
        let cluster = Cluster::start(4, 2);
        let bucket = bucket(&cluster).await;
        cluster.driver(cluster.nodes[0]).set_writable(false);
        fill(&cluster, bucket).await;
        cluster.driver(cluster.nodes[0]).set_writable(true);
        cluster.settle().await;
        check_filled(&cluster, bucket).await;
    });
}

#[test]
fn an_acknowledged_durable_write_survives_a_power_cut_of_all() {
    run(async {
        let mut cluster = Cluster::start(3, 1);
        let bucket = bucket(&cluster).await;
        let options = WriteOptions {
            w: Some(Count::All),
            dw: Some(Count::All),
            ..WriteOptions::default()
        };
        let reply = cluster
            .ask(
                cluster.nodes[0],
                Put {
                    options,
                    ..put(bucket, "durable", "d", 1)
                },
            )
            .await;
        assert!(written(&reply), "{reply:?}");
        for disk in cluster.disks.values() {
            disk.cut_power(0);
        }
        let mut surviving = 0;
        for node in cluster.nodes.clone() {
            let mut entries = 0;
            let count = &mut |_: &[u8], _: &[u8]| {
                entries += 1;
                std::ops::ControlFlow::Continue(())
            };
            let disk = &cluster.disks[&node];
            quorate_core::Store::scan(
                &**disk,
                quorate_core::Family::Objects,
                &[],
                &[0xff; 16],
                count,
            )
            .unwrap();
            surviving += entries;
            cluster.stop_node(node).await;
        }
        assert_eq!(surviving, 3, "each replica had synced before it said so");
    });
}

#[test]
fn requests_are_refused_by_name_while_the_node_stops() {
    run(async {
        let mut cluster = Cluster::start(3, 1);
        let bucket = bucket(&cluster).await;
        let node = cluster.nodes[0];
        let stopping = cluster.take(node);
        let (reply, ()) = tokio::join!(biased; async {
            tokio::task::yield_now().await;
            cluster.ask(node, put(bucket, "late", "x", 1)).await
        }, stopping.stop());
        assert_eq!(failed(reply), ErrorCode::Stopping);
    });
}

#[test]
fn a_node_alone_says_what_is_under_replicated() {
    run(async {
        let cluster = Cluster::start(1, 1);
        let report = cluster.status(cluster.nodes[0]).await;
        assert_eq!(report.under_replicated, 8);
        assert!(
            report
                .warnings
                .iter()
                .any(|warning| warning.contains("8 partitions")),
            "{report:?}"
        );
        let reply = cluster.ask(cluster.nodes[0], Ping { nonce: 5 }).await;
        assert!(matches!(reply, ClientReply::Pong(pong) if pong.nonce == 5));
    });
}

#[test]
fn deadlines_of_nothing_and_beyond_all_bounds_are_refused() {
    run(async {
        let cluster = Cluster::start(3, 1);
        let bucket = bucket(&cluster).await;
        let requests: [ClientRequest; 3] = [
            get(bucket, "k", Count::Quorum).into(),
            put(bucket, "k", "v", 1).into(),
            Delete {
                bucket,
                key: "k".into(),
                context: None,
                options: WriteOptions::default(),
                request: RequestId::new(1, 2),
                retry: false,
            }
            .into(),
        ];
        for request in requests {
            for deadline_ms in [0, DEADLINE_MS_MAX + 1, u32::MAX] {
                let mut body = Vec::new();
                request.encode_body(&mut body);
                let header = Header {
                    opcode: request.opcode(),
                    count: 1,
                    deadline_ms,
                    ..Header::default()
                };
                let reply = cluster
                    .ask_with(cluster.nodes[0], header, body.into())
                    .await;
                assert_eq!(
                    failed(reply),
                    ErrorCode::Invalid,
                    "{} with {deadline_ms}",
                    request.name()
                );
            }
        }
    });
}

#[test]
fn frames_that_are_no_request_get_a_typed_error_and_hurt_nobody() {
    run(async {
        let cluster = Cluster::start(3, 1);
        let node = cluster.nodes[0];
        let header = |opcode| Header {
            opcode,
            count: 1,
            deadline_ms: 1000,
            ..Header::default()
        };
        let ask = async |opcode, body: &'static [u8]| {
            failed(cluster.ask_with(node, header(opcode), body.into()).await)
        };
        assert_eq!(ask(0x7777, b"").await, ErrorCode::NotSupported);
        assert_eq!(ask(0x0101, b"").await, ErrorCode::Protocol);
        assert_eq!(ask(0x0106, b"\x91\x05\x05").await, ErrorCode::Protocol);
        assert_eq!(ask(0x0101, &[0x91; 200]).await, ErrorCode::Protocol);
        let beyond = Keys {
            bucket: BucketId::new(1),
            partition: PartitionId::new(8),
            after: None,
            limit: 1,
        };
        assert_eq!(failed(cluster.ask(node, beyond).await), ErrorCode::Invalid);
        assert!(matches!(
            cluster.ask(node, Status { vnodes: false }).await,
            ClientReply::StatusReport(_)
        ));
        assert_eq!(
            cluster.driver(node).counters().of_event(Event::BadRequest),
            4
        );
    });
}

#[test]
fn what_the_core_notes_is_counted() {
    run(async {
        let cluster = Cluster::start(3, 2);
        let bucket = bucket(&cluster).await;
        fill(&cluster, bucket).await;
        let puts: u64 = cluster
            .nodes
            .iter()
            .map(|&node| cluster.driver(node).counters().of_note(Note::Put))
            .sum();
        assert_eq!(puts, keys().len() as u64);
    });
}

#[test]
fn bytes_between_peers_are_counted_at_both_ends() {
    run(async {
        let cluster = Cluster::start(3, 2);
        let bucket = bucket(&cluster).await;
        fill(&cluster, bucket).await;
        let all = |event| -> u64 {
            let counted = |&node| cluster.driver(node).counters().of_event(event);
            cluster.nodes.iter().map(counted).sum()
        };
        // What was sent may still be on its way, and nothing arrives that was not sent. A sender counts after it has
        // handed over, so that what was received may be counted a moment earlier.
        let received = all(Event::PeerBytesReceived);
        let counted = async {
            while all(Event::PeerBytesSent) < received {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let counted = tokio::time::timeout(std::time::Duration::from_secs(10), counted).await;
        let sent = all(Event::PeerBytesSent);
        assert!(counted.is_ok(), "{received} received, {sent} sent");
        let keys: usize = keys().iter().map(|key| key.len()).sum();
        assert!(received >= keys as u64, "{received} for {keys}");
    });
}
