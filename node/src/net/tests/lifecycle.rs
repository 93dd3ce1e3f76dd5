use std::net::SocketAddr;
use std::sync::Arc;

use quorate_protocol::ErrorCode;
use rustls_pki_types::CertificateDer;

use super::super::{Lane, NetError, NetParts, NetSettings, bind, start};
use super::harness::{Recorder, TestClient, end_of, frame, id, join, loopback, node, node_with};
use crate::tls::Tls;
use crate::tls::testing::{Authority, CLUSTER};

#[tokio::test]
async fn a_stopping_node_answers_what_is_open_refuses_what_is_new_and_says_why() {
    let authority = Authority::new();
    let mut one = node(&authority, 1);
    let mut client = TestClient::connect(&authority, &one, 1).await;
    client.ask(1, b"").await;
    let (key, ..) = one.client_frame().await;
    let closing = tokio::spawn({
        let net = one.net.clone();
        async move { net.close("maintenance").await }
    });
    // Whether it stops yet is seen by asking: until then requests are taken, and then answered here.
    loop {
        client.ask(2, b"").await;
        tokio::select! {
            biased;
            (_, error) = client.failure() => {
                assert_eq!(error.code, ErrorCode::Stopping);
                break;
            }
            (key, header, _) = one.client_frame() => {
                one.net.reply(key, frame(0x8000, header.request, &stopping_body())).unwrap();
                client.failure().await;
            }
        }
    }
    one.net.reply(key, frame(0x8101, 1, b"in time")).unwrap();
    assert_eq!(&client.reply().await.1[..], b"in time");
    closing.await.unwrap();
    let end = end_of(&client.connection).await;
    assert!(end.contains("stopping: maintenance"), "{end}");
}

fn stopping_body() -> Vec<u8> {
    let mut body = Vec::new();
    let error = quorate_protocol::WireError::new(ErrorCode::Overloaded, "not yet");
    quorate_protocol::client::ClientReply::Failed(error).encode_body(&mut body);
    body
}

#[tokio::test]
async fn what_was_sent_before_closing_arrives_and_the_peer_hears_the_reason() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    one.net
        .send_peer(id(2), Lane::Bulk, frame(0x0230, 1, &vec![1; 3 << 20]))
        .unwrap();
    for request in 2..50 {
        one.net
            .send_peer(id(2), Lane::Small, frame(0x0203, request, &[2; 1000]))
            .unwrap();
    }
    one.net.close("handed over").await;
    let mut requests = Vec::new();
    for _ in 1..50 {
        requests.push(two.peer_frame().await.1.request);
    }
    requests.sort_unstable();
    assert_eq!(requests, (1..50).collect::<Vec<_>>());
    let reason = two.peer_lost().await;
    assert!(reason.contains("stopping: handed over"), "{reason}");
}

#[tokio::test]
async fn reloaded_certificates_serve_new_connections_and_leave_old_ones_alone() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let files = authority.write(directory.path(), &authority.node(id(1), CLUSTER));
    let mut one = node_with(
        Tls::load(files.clone()).unwrap(),
        1,
        NetSettings::default(),
        (0, 0),
    );
    let mut old = TestClient::connect(&authority, &one, 1).await;

    std::fs::write(&files.certificate, "damaged").unwrap();
    assert!(matches!(one.net.reload_tls(), Err(NetError::Tls(_))));
    let still = TestClient::connect(&authority, &one, 1).await;
    assert_eq!(served(&still), served(&old));

    authority.write(directory.path(), &authority.node(id(1), CLUSTER));
    one.net.reload_tls().unwrap();
    let new = TestClient::connect(&authority, &one, 1).await;
    assert_ne!(served(&new), served(&old));
    old.ask(1, b"").await;
    assert_eq!(one.client_frame().await.1.request, 1);
}

fn served(client: &TestClient) -> Vec<CertificateDer<'static>> {
    *client
        .connection
        .peer_identity()
        .unwrap()
        .downcast()
        .unwrap()
}

#[tokio::test]
async fn links_work_over_packets_of_any_size_allowed() {
    let authority = Authority::new();
    for (mtu, discover_mtu) in [
        (1200, 1200),
        (1200, 16_000),
        (6_500, 6_500),
        (6_501, 1200),
        (65_000, 65_000),
    ] {
        let settings = NetSettings {
            initial_mtu: mtu,
            discover_mtu,
            ..NetSettings::default()
        };
        let mut one = node_with(authority.tls(id(1)), 1, settings.clone(), (0, 0));
        let mut two = node_with(authority.tls(id(2)), 1, settings, (0, 0));
        join((&mut one, 1), (&mut two, 2)).await;
        one.net
            .send_peer(id(2), Lane::Bulk, frame(0x0203, 1, &vec![3; 16 << 20]))
            .unwrap();
        assert_eq!(
            two.peer_frame().await.2.len(),
            16 << 20,
            "packets of {mtu} to {discover_mtu} bytes"
        );
    }
}

#[test]
fn a_port_in_use_and_an_address_elsewhere_are_named() {
    let taken = bind(loopback(0)).unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(address).unwrap_err().to_string();
    assert!(
        error.contains(&address.to_string()) && error.contains("another process uses this port"),
        "{error}"
    );
    let elsewhere: SocketAddr = "192.0.2.1:7000".parse().unwrap();
    let error = bind(elsewhere).unwrap_err().to_string();
    assert!(error.contains("does not have that address"), "{error}");
}

#[tokio::test]
async fn settings_out_of_range_are_refused_by_name() {
    let authority = Authority::new();
    for (settings, name) in [
        (
            NetSettings {
                initial_mtu: 1199,
                ..NetSettings::default()
            },
            "initial_mtu",
        ),
        (
            NetSettings {
                discover_mtu: 65_535,
                ..NetSettings::default()
            },
            "discover_mtu",
        ),
        (
            NetSettings {
                clients_max: 0,
                ..NetSettings::default()
            },
            "clients_max",
        ),
    ] {
        let sockets = (bind(loopback(0)).unwrap(), bind(loopback(0)).unwrap());
        let tls = Arc::new(authority.tls(id(1)));
        let parts = NetParts::on_sockets(sockets, tls, settings, Recorder::deaf()).unwrap();
        let error = start(parts).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}
