//! A member that sends what is no message, or half of one: its link ends with a reason, and nothing
//! of what it sent is stored.

use std::time::Duration;

use bytes::Bytes;
use quorate_core::store::{Family, Store};
use quorate_protocol::RequestId;
use quorate_protocol::close::CloseCode;
use quorate_protocol::ids::{ActorId, Dot};
use quorate_protocol::peer::{PeerBody, PeerMessage, PeerObject, PeerVersion, ReplicaPut};
use quorate_protocol::versioned::MapVersion;
use quorate_ring::{BucketId, Class, NodeId};

use super::cluster::{Cluster, Shape};
use super::impostor::{Impostor, frame};
use super::run::paused;

const VICTIM: NodeId = NodeId::new(2);
const SHAPE: Shape = Shape {
    seed: 1,
    nodes: 3,
    shards: 1,
    discover_mtu: 1452,
};

/// What the impostor sends: a write that the victim would store.
fn put() -> PeerMessage {
    let (bucket, key) = (BucketId::new(1), Bytes::from_static(b"key"));
    let dot = Dot::new(ActorId::new(7), 1);
    let value = Bytes::from(vec![5; 2000]);
    let version = PeerVersion {
        dot,
        stamp: 1,
        expires_ms: 0,
        request: RequestId::new(1, 1),
        size: value.len() as u64,
        body: Some(PeerBody {
            value,
            ..PeerBody::default()
        }),
    };
    let partition = super::cluster::map(3).ring.partition_of(bucket, &key);
    ReplicaPut {
        op: 1,
        class: Class { n: 3, partition },
        epoch: MapVersion::FIRST,
        bucket,
        key,
        object: PeerObject {
            versions: vec![version],
            context: Vec::new(),
        },
        settles: vec![dot],
        request: None,
        durable: false,
        hint_for: None,
        repair: false,
    }
    .into()
}

/// The write as a frame, its body changed.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut body = Vec::new();
    put().encode_body(&mut body);
    change(&mut body);
    frame(put().opcode(), |out| out.extend_from_slice(&body))
}

/// Entries that hold data or speak of it.
fn stored(cluster: &Cluster) -> usize {
    let mut count = 0;
    for family in [Family::Objects, Family::Chunks, Family::Hints, Family::Log] {
        let scanned = cluster.disks[&VICTIM].scan(family, &[], &[0xff; 64], &mut |_, _| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        });
        scanned.unwrap();
    }
    count
}

async fn attacked() -> (Cluster, Impostor) {
    let mut cluster = Cluster::new(SHAPE);
    cluster.start(VICTIM, |hello| hello);
    let impostor = Impostor::link(&cluster, VICTIM).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stored(&cluster), 0);
    (cluster, impostor)
}

/// The link has ended in these words, and a new one works as if nothing had happened.
async fn refused(cluster: &Cluster, impostor: Impostor, words: &str) {
    let (code, reason) = impostor.end().await;
    assert_eq!(code, CloseCode::Malformed, "{reason}");
    assert!(reason.contains(words), "{reason}");
    let links = cluster.node(VICTIM).net.links();
    let told = links[0].last_error.clone().unwrap_or_default();
    assert!(told.contains(words), "{told}");
    assert_eq!(stored(cluster), 0, "nothing of it is stored");
    drop(impostor);
    unharmed(cluster, Impostor::link(cluster, VICTIM).await).await;
}

/// The same write, whole, is stored.
async fn unharmed(cluster: &Cluster, mut impostor: Impostor) {
    impostor.small.write_chunk(changed(|_| {})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stored(cluster) > 0, "the node takes whole messages");
}

#[test]
fn a_message_cut_short_ends_the_link_and_changes_nothing() {
    paused(async {
        let (cluster, mut impostor) = attacked().await;
        let short = changed(|body| body.truncate(body.len() - 1));
        impostor.small.write_chunk(short).await.unwrap();
        refused(&cluster, impostor, "no message: opcode 0x0203").await;
    });
}

#[test]
fn a_message_with_bytes_after_its_end_ends_the_link_and_changes_nothing() {
    paused(async {
        let (cluster, impostor) = attacked().await;
        let mut stream = impostor.connection.open_uni().await.unwrap();
        let long = changed(|body| body.push(0));
        stream.write_chunk(long).await.unwrap();
        stream.finish().unwrap();
        refused(&cluster, impostor, "bytes follow the end of the message").await;
    });
}

#[test]
fn a_message_that_is_none_in_a_datagram_ends_the_link_too() {
    paused(async {
        let (cluster, impostor) = attacked().await;
        let none = frame(0x0240, |out| out.push(0xc1));
        impostor.connection.send_datagram(none).unwrap();
        refused(&cluster, impostor, "no message: opcode 0x0240").await;
    });
}

#[test]
fn half_a_message_on_a_stream_that_ends_ends_the_link_and_changes_nothing() {
    paused(async {
        let (cluster, impostor) = attacked().await;
        let mut stream = impostor.connection.open_uni().await.unwrap();
        stream
            .write_chunk(changed(|_| {}).slice(..1000))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.finish().unwrap();
        refused(
            &cluster,
            impostor,
            "the stream ended 1000 bytes into a frame",
        )
        .await;
    });
}

#[test]
fn half_a_message_on_a_stream_given_up_is_forgotten_and_the_link_goes_on() {
    paused(async {
        let (cluster, impostor) = attacked().await;
        let mut stream = impostor.connection.open_uni().await.unwrap();
        stream
            .write_chunk(changed(|_| {}).slice(..1000))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.reset(quinn::VarInt::from_u32(0)).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stored(&cluster), 0);
        unharmed(&cluster, impostor).await;
    });
}

#[test]
fn half_a_message_on_a_link_that_breaks_is_forgotten() {
    paused(async {
        let (cluster, mut impostor) = attacked().await;
        let half = changed(|_| {}).slice(..1000);
        impostor.small.write_chunk(half.clone()).await.unwrap();
        let mut stream = impostor.connection.open_uni().await.unwrap();
        stream.write_chunk(half).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        impostor
            .connection
            .close(quinn::VarInt::from_u32(0), b"gone");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stored(&cluster), 0);
        unharmed(&cluster, Impostor::link(&cluster, VICTIM).await).await;
    });
}

#[test]
fn a_message_of_a_later_version_is_left_out_and_the_link_goes_on() {
    paused(async {
        let (cluster, mut impostor) = attacked().await;
        let unknown = frame(0x02ff, |out| out.push(0x90));
        impostor.small.write_chunk(unknown).await.unwrap();
        unharmed(&cluster, impostor).await;
    });
}

#[test]
fn a_peer_whose_links_always_break_is_dialled_less_and_less_often() {
    paused(async {
        let (cluster, mut impostor) = attacked().await;
        // Node 3 is dialled by the victim: here the links that break are those that the impostor
        // makes, so what is counted is how often the victim knocks.
        impostor
            .small
            .write_chunk(changed(|body| body.truncate(body.len() - 1)))
            .await
            .unwrap();
        impostor.end().await;
        drop(impostor);
        let before = cluster.ether.tally().packets;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let knocks = cluster.ether.tally().packets - before;
        assert!(knocks < 2000, "{knocks} packets in a minute");
    });
}
