//! A peer that is slow: what waits for it is bounded, and nothing that was taken is lost.

use std::time::Duration;

use quorate_node::net::{Lane, NetHandle, SendRefused};
use quorate_protocol::frame::Reader;
use quorate_protocol::limits::FRAME_BODY_BYTES_MAX;
use quorate_ring::NodeId;

use super::cluster::{Cluster, Shape};
use super::impostor::{Impostor, frame};
use super::run::paused;

const ME: NodeId = NodeId::new(2);
const SLOW: NodeId = NodeId::new(1);
/// What may wait for one peer on each lane, as the network promises.
const SMALL_BYTES_MAX: usize = 16 << 20;
const BULK_BYTES_MAX: usize = 64 << 20;
/// An opcode of no message, so that the test's frames are told from the node's own.
const OPCODE: u16 = 0x02fe;

async fn slow_peer() -> (Cluster, Impostor) {
    let mut cluster = Cluster::new(Shape {
        seed: 1,
        nodes: 3,
        shards: 1,
        discover_mtu: 1452,
    });
    cluster.start(ME, |hello| hello);
    let impostor = Impostor::link(&cluster, ME).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    (cluster, impostor)
}

fn queued(net: &NetHandle) -> usize {
    let links = net.links();
    links
        .iter()
        .find(|link| link.node == SLOW)
        .map_or(0, |link| link.queued_bytes)
}

/// Sends frames of so many bytes until one is refused, at most every millisecond.
async fn fill(net: &NetHandle, lane: Lane, bytes: usize, bound: usize) -> usize {
    let message = frame(OPCODE, |out| out.resize(out.len() + bytes, 7));
    for taken in 0.. {
        match net.send_peer(SLOW, lane, message.clone()) {
            Ok(()) => {}
            Err(SendRefused::QueueFull { queued, max }) => {
                assert!(queued <= max && max == bound, "{queued} of {max}");
                return taken;
            }
            Err(refused) => panic!("{refused}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(queued(net) <= SMALL_BYTES_MAX + BULK_BYTES_MAX);
    }
    0
}

/// Reads all that comes, and counts the test's frames.
async fn count(impostor: &Impostor, wanted: usize) -> usize {
    let mut streams = tokio::task::JoinSet::new();
    let (told, mut frames) = tokio::sync::mpsc::unbounded_channel();
    let mut seen = 0;
    while seen < wanted {
        tokio::select! {
            biased;
            Some(()) = frames.recv() => seen += 1,
            stream = impostor.connection.accept_uni() => {
                let (mut stream, told) = (stream.unwrap(), told.clone());
                streams.spawn(async move {
                    let mut reader = Reader::new(FRAME_BODY_BYTES_MAX);
                    while let Ok(Some(chunk)) = stream.read_chunk(1 << 16, true).await {
                        reader.push(&chunk.bytes);
                        while let Some((header, _)) = reader.next_frame().unwrap() {
                            if header.opcode == OPCODE {
                                told.send(()).unwrap();
                            }
                        }
                    }
                });
            }
            () = tokio::time::sleep(Duration::from_secs(60)) => return seen,
        }
    }
    seen
}

async fn bounded_and_kept(lane: Lane, bytes: usize, bound: usize) {
    let (cluster, impostor) = slow_peer().await;
    let net = cluster.node(ME).net.clone();
    let taken = fill(&net, lane, bytes, bound).await;
    assert!(taken * bytes > bound / 2, "{taken} frames");
    // The peer lives, it only does not read: the link stays, and so does what waits.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(queued(&net) > bound / 2);
    assert_eq!(count(&impostor, taken).await, taken);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(queued(&net) < 1 << 16, "{} bytes wait still", queued(&net));
}

#[test]
fn small_frames_for_a_slow_peer_are_refused_at_the_bound_and_all_taken_ones_arrive() {
    paused(bounded_and_kept(Lane::Small, 60_000, SMALL_BYTES_MAX));
}

#[test]
fn large_frames_for_a_slow_peer_are_refused_at_the_bound_and_all_taken_ones_arrive() {
    paused(bounded_and_kept(Lane::Bulk, 1 << 20, BULK_BYTES_MAX));
}

#[test]
fn what_waited_for_a_peer_is_given_up_with_its_link() {
    paused(async {
        let (cluster, impostor) = slow_peer().await;
        let net = cluster.node(ME).net.clone();
        fill(&net, Lane::Bulk, 1 << 20, BULK_BYTES_MAX).await;
        cluster.ether.unplug(super::cluster::peer_port(SLOW));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(queued(&net), 0);
        let refused = net.send_peer(SLOW, Lane::Small, frame(OPCODE, |_| {}));
        assert_eq!(refused, Err(SendRefused::NoLink(SLOW)));
        drop(impostor);
    });
}
