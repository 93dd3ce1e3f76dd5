//! Nodes of neighbouring protocol versions work together; where no version is common, both say so.

use std::time::Duration;

use quorate_client::Kind;
use quorate_protocol::hello::{Hello, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use quorate_ring::NodeId;
use tokio::time::sleep;

use super::cluster::{BUCKET, Cluster, Shape};
use super::run::paused;
use super::tap::Greeting;

const MIDDLE: NodeId = NodeId::new(2);

/// Speaks this version and the next.
fn next_too(hello: Hello) -> Hello {
    Hello {
        version_max: PROTOCOL_VERSION + 1,
        ..hello
    }
}

/// Speaks the next version only.
fn next_only(hello: Hello) -> Hello {
    Hello {
        version_min: PROTOCOL_VERSION + 1,
        version_max: PROTOCOL_VERSION + 1,
        ..hello
    }
}

/// Node 2 is dialled by node 1 and dials node 3, so both directions are tried.
fn with_middle(greeting: Greeting) -> Cluster {
    let mut cluster = Cluster::new(Shape {
        seed: 4,
        nodes: 3,
        shards: 1,
        discover_mtu: 1452,
    });
    for node in cluster.nodes() {
        cluster.start(
            node,
            if node == MIDDLE {
                greeting
            } else {
                |hello| hello
            },
        );
    }
    cluster
}

#[test]
fn a_node_that_speaks_the_next_version_too_works_with_those_that_do_not() {
    paused(async {
        let mut cluster = with_middle(next_too);
        let client = cluster.client().await;
        cluster.settle(&client, Duration::from_secs(20)).await;
        let bucket = client.bucket(BUCKET);
        bucket.put("key", "value").w(3).send().await.unwrap();
        let read = bucket.get("key").r(3).send().await.unwrap();
        assert_eq!(read.single().unwrap().unwrap().data, "value");
        assert!(cluster.node(MIDDLE).net.links().iter().all(|link| link.up));
    });
}

#[test]
fn where_no_version_is_common_both_sides_name_what_they_speak() {
    paused(async {
        let cluster = with_middle(next_only);
        sleep(Duration::from_secs(3)).await;
        let (old, new) = (
            format!("{PROTOCOL_VERSION_MIN} to {PROTOCOL_VERSION}"),
            format!("{0} to {0}", PROTOCOL_VERSION + 1),
        );
        for node in cluster.nodes() {
            for link in cluster.node(node).net.links() {
                let strangers = node == MIDDLE || link.node == MIDDLE;
                assert_eq!(link.up, !strangers, "{node}: {link:?}");
                let told = link.last_error.unwrap_or_default();
                let named = told.contains("no protocol version in common")
                    && told.contains(&old)
                    && told.contains(&new);
                assert_eq!(named, strangers, "{node}: {told}");
            }
        }
    });
}

#[test]
fn a_client_is_told_which_versions_the_nodes_speak() {
    paused(async {
        let mut cluster = Cluster::new(Shape {
            seed: 5,
            nodes: 3,
            shards: 1,
            discover_mtu: 1452,
        });
        for node in cluster.nodes() {
            cluster.start(node, next_only);
        }
        let error = cluster.try_client().await.err().unwrap();
        assert_eq!(error.kind(), Kind::Fix);
        let words = error.to_string();
        assert!(words.contains("no protocol version in common"), "{words}");
    });
}
