use bytes::{Bytes, BytesMut};
use quorate_protocol::ErrorCode;
use quorate_protocol::limits::{CLIENT_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX, VALUE_BYTES_MAX};

use super::super::bounds::CLIENT_OPEN_MAX;
use super::super::{NetEvent, SendRefused};
use super::harness::{TestClient, frame, node, read_one};
use crate::tls::testing::Authority;

#[tokio::test]
async fn small_requests_are_answered_in_any_order_on_the_first_stream() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    for request in 1..=3 {
        client.ask(request, &[7; 100]).await;
    }
    let NetEvent::ClientFrame {
        client: key,
        principal,
        ..
    } = one.next().await
    else {
        panic!("a request")
    };
    assert_eq!(&*principal, "alice");
    one.client_frame().await;
    one.client_frame().await;
    one.net.reply(key, frame(0x8101, 3, b"third")).unwrap();
    let mut both = BytesMut::from(&frame(0x8101, 1, b"first")[..]);
    both.extend_from_slice(&frame(0x8101, 2, b"second"));
    one.net.reply(key, both.freeze()).unwrap();
    for (request, body) in [(3, &b"third"[..]), (1, b"first"), (2, b"second")] {
        let (header, answer) = client.reply().await;
        assert_eq!((header.request, &answer[..]), (request, body));
    }
    assert_eq!(one.net.client_load(), (1, 0));
}

#[tokio::test]
async fn large_requests_come_on_streams_of_their_own_of_either_kind() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    let value = vec![5; VALUE_BYTES_MAX];
    let (mut send, mut back) = client.connection.open_bi().await.unwrap();
    send.write_all(&frame(0x0102, 1, &value)).await.unwrap();
    send.finish().unwrap();
    let (key, header, body) = one.client_frame().await;
    assert_eq!((header.request, body.len()), (1, VALUE_BYTES_MAX));
    assert_eq!(
        back.read_to_end(10).await.unwrap(),
        b"",
        "nothing comes back on it"
    );
    one.net.reply(key, frame(0x8102, 1, b"stored")).unwrap();
    assert_eq!(client.reply().await.0.request, 1);

    let mut send = client.connection.open_uni().await.unwrap();
    send.write_all(&frame(0x0102, 2, &value)).await.unwrap();
    send.finish().unwrap();
    let (_, header, body) = one.client_frame().await;
    assert_eq!((header.request, body.len()), (2, VALUE_BYTES_MAX));
}

#[tokio::test]
async fn a_large_reply_comes_on_a_stream_that_the_node_opens_and_a_small_one_overtakes_it() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    client.ask(1, b"").await;
    client.ask(2, b"").await;
    let (key, ..) = one.client_frame().await;
    one.client_frame().await;
    let value: Bytes = (0..VALUE_BYTES_MAX)
        .map(|at| u8::try_from(at % 253).unwrap())
        .collect();
    one.net.reply(key, frame(0x8101, 1, &value)).unwrap();
    one.net
        .reply(key, frame(0x8101, 2, &[1; SMALL_BODY_BYTES_MAX]))
        .unwrap();
    assert_eq!(client.reply().await.0.request, 2);
    let (header, body) = read_one(client.connection.accept_uni().await.unwrap()).await;
    assert_eq!(header.request, 1);
    assert!(body == value, "the value arrives byte for byte");
}

#[tokio::test]
async fn a_flood_is_refused_as_overloaded_and_the_connection_goes_on() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    let extra = 500;
    let flood = u64::try_from(CLIENT_OPEN_MAX).unwrap() + extra;
    for request in 0..flood {
        client.ask(request, b"x").await;
    }
    for request in flood - extra..flood {
        let (refused, error) = client.failure().await;
        assert_eq!((refused, error.code), (request, ErrorCode::Overloaded));
        assert!(error.retry_after_ms.is_some(), "{error:?}");
    }
    assert_eq!(one.net.client_load(), (1, CLIENT_OPEN_MAX));
    let (key, first, _) = one.client_frame().await;
    one.net
        .reply(key, frame(0x8101, first.request, b""))
        .unwrap();
    client.reply().await;
    client.ask(flood, b"after").await;
    for _ in 1..CLIENT_OPEN_MAX {
        one.client_frame().await;
    }
    assert_eq!(one.client_frame().await.1.request, flood);
}

#[tokio::test]
async fn a_request_over_the_limit_is_answered_too_large_before_its_body_came() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    let announced = frame(0x0102, 42, &vec![0; CLIENT_BODY_BYTES_MAX + 1]);
    let mut send = client.connection.open_uni().await.unwrap();
    send.write_all(&announced[..40]).await.unwrap();
    let (request, error) = client.failure().await;
    assert_eq!((request, error.code), (42, ErrorCode::TooLarge));
    client.ask(43, b"goes on").await;
    assert_eq!(one.client_frame().await.1.request, 43);
}

#[tokio::test]
async fn a_large_request_given_up_by_the_client_is_forgotten() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    let mut send = client.connection.open_uni().await.unwrap();
    send.write_all(&frame(0x0102, 1, &[0; 1000])[..500])
        .await
        .unwrap();
    send.reset(0u32.into()).unwrap();
    client.ask(2, b"").await;
    assert_eq!(one.client_frame().await.1.request, 2);
}

#[tokio::test]
async fn a_client_that_goes_is_told_once_and_gets_no_replies() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    client.ask(1, b"").await;
    let (key, ..) = one.client_frame().await;
    client.connection.close(0u32.into(), b"bye");
    assert!(matches!(one.next().await, NetEvent::ClientLost { client } if client == key));
    assert_eq!(
        one.net.reply(key, frame(0x8101, 1, b"")),
        Err(SendRefused::ClientGone(key))
    );
    assert_eq!(one.net.client_load(), (0, 0));
}
