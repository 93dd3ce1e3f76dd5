//! Links that die without a word, and come back.

use std::time::Duration;

use quorate_ring::NodeId;
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, Shape};
use super::ether::Weather;
use super::run::paused;

/// In the middle: dialled by node 1, dials node 3.
const MIDDLE: NodeId = NodeId::new(2);
/// A link on which nothing comes is given up after 3 s; the next second belongs to the timers.
const SILENCE: Duration = Duration::from_secs(4);
/// The longest pause between two attempts, 2 s, and a handshake.
const AGAIN: Duration = Duration::from_secs(3);

async fn three() -> Cluster {
    let cluster = Cluster::started(Shape {
        seed: 3,
        nodes: 3,
        shards: 1,
        discover_mtu: 1452,
    });
    cluster.ether.set_weather(Weather {
        delay_ms: 1,
        ..Weather::default()
    });
    linked_within(&cluster, AGAIN).await;
    cluster
}

fn links_of(cluster: &Cluster, node: NodeId) -> Vec<(bool, String)> {
    let links = cluster.node(node).net.links().into_iter();
    links
        .map(|link| (link.up, link.last_error.unwrap_or_default()))
        .collect()
}

async fn linked_within(cluster: &Cluster, patience: Duration) {
    let start = Instant::now();
    let all_up = || {
        let mut links = cluster
            .nodes()
            .into_iter()
            .flat_map(|node| links_of(cluster, node));
        links.all(|(up, _)| up)
    };
    while !all_up() {
        assert!(
            start.elapsed() < patience,
            "no link again after {patience:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_link_that_dies_without_a_word_is_noticed_and_made_again() {
    paused(async {
        let cluster = three().await;
        cluster.isolate(MIDDLE, true, true);
        sleep(SILENCE).await;
        for (up, error) in links_of(&cluster, MIDDLE) {
            assert!(!up, "{error}");
        }
        for node in [1, 3].map(NodeId::new) {
            let links = links_of(&cluster, node);
            let down: Vec<_> = links.iter().filter(|(up, _)| !up).collect();
            assert_eq!(down.len(), 1, "{links:?}");
        }
        sleep(Duration::from_secs(20)).await;
        cluster.ether.heal();
        linked_within(&cluster, AGAIN).await;
    });
}

#[test]
fn a_link_that_carries_one_way_only_is_given_up_by_both_sides() {
    paused(async {
        let cluster = three().await;
        cluster.isolate(MIDDLE, true, false);
        sleep(SILENCE * 2).await;
        for node in cluster.nodes() {
            let links = links_of(&cluster, node);
            let up = links.iter().filter(|(up, _)| *up).count();
            assert_eq!(up, usize::from(node != MIDDLE), "{node}: {links:?}");
        }
        cluster.ether.heal();
        linked_within(&cluster, AGAIN).await;
    });
}

#[test]
fn a_node_killed_and_started_again_is_linked_before_the_old_link_would_have_timed_out() {
    paused(async {
        let mut cluster = three().await;
        for node in cluster.nodes() {
            sleep(Duration::from_secs(6)).await;
            cluster.kill(node, 0);
            sleep(Duration::from_millis(200)).await;
            cluster.start(node, |hello| hello);
            // The others still believe in the old link: at first there is nothing to wait for.
            sleep(Duration::from_secs(1)).await;
            linked_within(&cluster, Duration::from_secs(1)).await;
        }
    });
}
