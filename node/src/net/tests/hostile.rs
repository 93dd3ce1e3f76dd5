//! Bytes of no protocol, with a valid certificate and without.

use quinn::{Connection, SendStream};
use quorate_protocol::hello::ALPN_PEER;
use quorate_protocol::limits::{FRAME_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX};

use super::super::hello;
use super::super::{Lane, NetEvent};
use super::harness::{
    Node, TestClient, dial, dial_config, end_of, frame, hello_of, id, join, loopback, node,
};
use crate::tls::testing::{Authority, CLUSTER};

/// Node 1, and node 2 as a hand-made connection that has said hello.
async fn half_made_link(authority: &Authority) -> (Node, Connection, SendStream) {
    let mut one = node(authority, 2);
    one.net.set_peers(vec![(id(1), Vec::new())]);
    let signed = authority.node(id(1), CLUSTER);
    let connection = dial(
        dial_config(authority, &signed, ALPN_PEER),
        one.peer_address(),
        2,
    )
    .await;
    let mut small = connection.open_uni().await.unwrap();
    small
        .write_chunk(hello::frame(&hello_of(Some(id(1)), Some(CLUSTER), 1), 0))
        .await
        .unwrap();
    one.peer_up().await;
    (one, connection, small)
}

/// Both sides hear that what came was malformed, in these words.
async fn both_hear(mut one: Node, connection: &Connection, words: &str) {
    let end = end_of(connection).await;
    assert!(
        end.contains("malformed data") && end.contains(words),
        "{end}"
    );
    let lost = one.peer_lost().await;
    assert!(lost.contains(words), "{lost}");
}

#[tokio::test]
async fn garbage_on_the_small_stream_ends_the_link_with_a_reason() {
    let (one, connection, mut small) = half_made_link(&Authority::new()).await;
    small.write_all(&[0xff; 100]).await.unwrap();
    both_hear(one, &connection, "a frame of 4294967295 bytes").await;
}

#[tokio::test]
async fn a_frame_of_another_version_ends_the_link_with_a_reason() {
    let (one, connection, mut small) = half_made_link(&Authority::new()).await;
    let mut wrong = frame(0x0203, 1, b"x").to_vec();
    wrong[4] = 9;
    small.write_all(&wrong).await.unwrap();
    both_hear(one, &connection, "frame version 9").await;
}

#[tokio::test]
async fn an_oversize_frame_on_the_small_stream_ends_the_link_before_its_body_came() {
    let (one, connection, mut small) = half_made_link(&Authority::new()).await;
    let oversize = frame(0x0203, 1, &vec![0; SMALL_BODY_BYTES_MAX + 1]);
    small.write_all(&oversize[..50]).await.unwrap();
    both_hear(one, &connection, "this side reads").await;
}

#[tokio::test]
async fn an_oversize_announcement_on_a_bulk_stream_ends_the_link_before_its_body_came() {
    let (one, connection, _small) = half_made_link(&Authority::new()).await;
    let mut header = frame(0x0203, 1, b"")[..].to_vec();
    let length = u32::try_from(36 + FRAME_BODY_BYTES_MAX + 1).unwrap();
    header[..4].copy_from_slice(&length.to_be_bytes());
    let mut bulk = connection.open_uni().await.unwrap();
    bulk.write_all(&header).await.unwrap();
    both_hear(one, &connection, "malformed frame").await;
}

#[tokio::test]
async fn a_bulk_stream_of_two_frames_or_half_a_frame_ends_the_link() {
    let whole = frame(0x0203, 1, b"body");
    for (bytes, words) in [
        ([&whole[..], &whole].concat(), "more than one frame"),
        (whole[..42].to_vec(), "ended"),
    ] {
        let (one, connection, _small) = half_made_link(&Authority::new()).await;
        let mut bulk = connection.open_uni().await.unwrap();
        bulk.write_all(&bytes).await.unwrap();
        bulk.finish().unwrap();
        both_hear(one, &connection, words).await;
    }
}

#[tokio::test]
async fn a_bulk_stream_given_up_by_its_sender_leaves_the_link_as_it_is() {
    let (mut one, connection, mut small) = half_made_link(&Authority::new()).await;
    let mut bulk = connection.open_uni().await.unwrap();
    bulk.write_all(&frame(0x0203, 1, b"body")[..42])
        .await
        .unwrap();
    bulk.reset(0u32.into()).unwrap();
    small.write_chunk(frame(0x0203, 2, b"")).await.unwrap();
    assert_eq!(one.peer_frame().await.1.request, 2);
}

#[tokio::test]
async fn a_torn_datagram_ends_the_link_with_a_reason() {
    let (one, connection, _small) = half_made_link(&Authority::new()).await;
    connection
        .send_datagram(frame(0x0240, 1, b"beat").slice(..30))
        .unwrap();
    both_hear(one, &connection, "the stream ended 30 bytes into a frame").await;
}

#[tokio::test]
async fn garbage_of_a_client_ends_its_connection_and_no_other() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let (mut bad, mut good) = (
        TestClient::connect(&authority, &one, 1).await,
        TestClient::connect(&authority, &one, 1).await,
    );
    bad.send
        .write_all(b"GET / HTTP/1.1\r\nHost: quorate\r\n\r\n")
        .await
        .unwrap();
    let end = end_of(&bad.connection).await;
    assert!(end.contains("malformed data"), "{end}");
    assert!(matches!(one.next().await, NetEvent::ClientLost { .. }));
    good.ask(1, b"still here").await;
    assert_eq!(&one.client_frame().await.2[..], b"still here");
}

#[tokio::test]
async fn packets_of_strangers_disturb_nobody() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    let stranger = std::net::UdpSocket::bind(loopback(0)).unwrap();
    for length in [0usize, 1, 20, 100, 1200, 1400] {
        for first in [0x00u8, 0x40, 0x80, 0xc0, 0xff] {
            let mut packet = vec![first; length];
            packet
                .iter_mut()
                .skip(1)
                .enumerate()
                .for_each(|(at, byte)| *byte = u8::try_from(at % 256).unwrap());
            for address in [one.peer_address(), one.net.client_address().unwrap()] {
                stranger.send_to(&packet, address).unwrap();
            }
        }
    }
    two.net
        .send_peer(id(1), Lane::Small, frame(0x0203, 3, b"fine"))
        .unwrap();
    assert_eq!(one.peer_frame().await.1.request, 3);
    TestClient::connect(&authority, &one, 1).await;
}
