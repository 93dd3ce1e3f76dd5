use quinn::Connection;
use quorate_protocol::ClusterId;
use quorate_protocol::hello::{ALPN_CLIENT, ALPN_PEER, Hello};
use rcgen::{CertificateParams, date_time_ymd};

use super::super::hello;
use super::super::{NetEvent, NetSettings};
use super::harness::{TestClient, dial, dial_config, end_of, hello_of, id, join, node, node_with};
use crate::tls::Tls;
use crate::tls::testing::{Authority, CLUSTER, Signed, node_params};

fn tls_of(authority: &Authority, signed: &Signed) -> Tls {
    let directory = tempfile::tempdir().unwrap();
    Tls::load(authority.write(directory.path(), signed)).unwrap()
}

/// What a stranger with this certificate reads who dials node 1's peer port.
async fn at_peer_port(authority: &Authority, signed: &Signed) -> String {
    let one = node(authority, 1);
    one.net.set_peers(vec![(id(2), Vec::new())]);
    let connection = dial(
        dial_config(authority, signed, ALPN_PEER),
        one.peer_address(),
        1,
    )
    .await;
    end_of(&connection).await
}

fn with_params(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Signed {
    let mut params = node_params(id(2), CLUSTER);
    change(&mut params);
    authority.sign(params)
}

#[tokio::test]
async fn nodes_of_two_authorities_do_not_link_and_both_say_why() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (one, two) = (node(&ours, 1), node(&theirs, 2));
    one.net.set_peers(vec![two.peer_entry(2)]);
    two.net.set_peers(vec![one.peer_entry(1)]);
    one.link_error("the other side's certificate is of another certificate authority")
        .await;
    two.link_error("the other side's certificate is of another certificate authority")
        .await;
}

#[tokio::test]
async fn a_stranger_s_certificate_is_refused_with_the_matching_alert() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let end = at_peer_port(&ours, &theirs.node(id(2), CLUSTER)).await;
    assert!(
        end.contains("this side's certificate is not of its certificate authority"),
        "{end}"
    );
}

#[tokio::test]
async fn certificates_out_of_their_time_are_refused() {
    let authority = Authority::new();
    let expired = with_params(&authority, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let future = with_params(&authority, |params| {
        params.not_before = date_time_ymd(2101, 1, 1)
    });
    for signed in [expired, future] {
        let end = at_peer_port(&authority, &signed).await;
        assert!(end.contains("it finds this side's certificate"), "{end}");
    }
}

#[tokio::test]
async fn a_client_s_certificate_on_the_peer_port_is_sent_to_the_client_port() {
    let authority = Authority::new();
    let end = at_peer_port(&authority, &authority.client("alice", CLUSTER)).await;
    assert!(
        end.contains(
            "wrong identity: this is the peer port, and 'alice' a client: use the client port"
        ),
        "{end}"
    );
}

#[tokio::test]
async fn a_node_s_certificate_on_the_client_port_is_refused() {
    let authority = Authority::new();
    let one = node(&authority, 1);
    let signed = authority.node(id(2), CLUSTER);
    let config = dial_config(&authority, &signed, ALPN_CLIENT);
    let connection = dial(config, one.net.client_address().unwrap(), 1).await;
    let end = end_of(&connection).await;
    assert!(
        end.contains("this is the client port, and the certificate that of node 0000000000000002"),
        "{end}"
    );
}

#[tokio::test]
async fn a_protocol_of_the_other_port_is_refused_by_name() {
    let authority = Authority::new();
    let one = node(&authority, 1);
    let config = dial_config(&authority, &authority.client("alice", CLUSTER), ALPN_CLIENT);
    let endpoint = quinn::Endpoint::client(super::harness::loopback(0)).unwrap();
    let name = quorate_protocol::names::node_name(id(1));
    let error = endpoint
        .connect_with(config, one.peer_address(), &name)
        .unwrap()
        .await
        .unwrap_err();
    let words = super::super::close::explain(&error);
    assert!(words.contains("peer and client ports mixed up?"), "{words}");
}

#[tokio::test]
async fn nodes_of_another_cluster_under_the_same_authority_are_refused_by_name() {
    let authority = Authority::new();
    let other = ClusterId::new(7, 7);
    let one = node(&authority, 1);
    let two = node_with(
        tls_of(&authority, &authority.node(id(2), other)),
        1,
        NetSettings::default(),
        (0, 0),
    );
    one.net.set_peers(vec![two.peer_entry(2)]);
    two.net.set_peers(vec![one.peer_entry(1)]);
    one.link_error(&format!(
        "this is cluster {CLUSTER}, the other side belongs to cluster {other}"
    ))
    .await;
    two.link_error(&format!(
        "this is cluster {other}, the other side belongs to cluster {CLUSTER}"
    ))
    .await;
}

#[tokio::test]
async fn a_client_s_certificate_of_another_cluster_is_refused_by_name() {
    let authority = Authority::new();
    let one = node(&authority, 1);
    let signed = authority.client("alice", ClusterId::new(7, 7));
    let connection = dial(
        dial_config(&authority, &signed, ALPN_CLIENT),
        one.net.client_address().unwrap(),
        1,
    )
    .await;
    let end = end_of(&connection).await;
    assert!(end.contains("check the address"), "{end}");
}

#[tokio::test]
async fn another_node_at_the_address_of_a_peer_is_not_taken_for_it() {
    let authority = Authority::new();
    let (one, three) = (node(&authority, 1), node(&authority, 3));
    one.net
        .set_peers(vec![(id(2), vec![three.peer_address().to_string()])]);
    one.link_error("node-0000000000000002.quorate").await;
}

/// Says `theirs` on the peer port with node 2's certificate, and reads how the connection ends.
async fn end_after_hello(theirs: &Hello) -> String {
    let authority = Authority::new();
    let one = node(&authority, 1);
    one.net.set_peers(vec![(id(2), Vec::new())]);
    let connection = as_node_2(&authority, &one).await;
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_chunk(hello::frame(theirs, 0)).await.unwrap();
    end_of(&connection).await
}

async fn as_node_2(authority: &Authority, one: &super::harness::Node) -> Connection {
    let signed = authority.node(id(2), CLUSTER);
    dial(
        dial_config(authority, &signed, ALPN_PEER),
        one.peer_address(),
        1,
    )
    .await
}

#[tokio::test]
async fn a_hello_that_does_not_match_the_certificate_is_refused() {
    let right = hello_of(Some(id(2)), Some(CLUSTER), 1);
    for (theirs, words) in [
        (
            Hello {
                node: Some(id(3)),
                ..right.clone()
            },
            "the hello names node 0000000000000003, the certificate node",
        ),
        (
            Hello {
                node: None,
                ..right.clone()
            },
            "the hello names no node",
        ),
        (
            Hello {
                cluster: None,
                ..right.clone()
            },
            "the hello names no cluster",
        ),
        (
            Hello {
                cluster: Some(ClusterId::new(7, 7)),
                ..right.clone()
            },
            "check the address",
        ),
        (
            Hello {
                version_min: 900,
                version_max: 901,
                ..right
            },
            "no protocol version in common",
        ),
    ] {
        let end = end_after_hello(&theirs).await;
        assert!(
            end.contains("hello refused") && end.contains(words),
            "{end}"
        );
    }
}

#[tokio::test]
async fn who_says_no_hello_is_closed_after_three_seconds() {
    let authority = Authority::new();
    let one = node(&authority, 1);
    one.net.set_peers(vec![(id(2), Vec::new())]);
    let silent = as_node_2(&authority, &one).await;
    let signed = authority.client("alice", CLUSTER);
    let client = dial(
        dial_config(&authority, &signed, ALPN_CLIENT),
        one.net.client_address().unwrap(),
        1,
    )
    .await;
    let (one_end, client_end) = tokio::join!(end_of(&silent), end_of(&client));
    assert!(one_end.contains("no hello within 3 seconds"), "{one_end}");
    assert!(
        client_end.contains("no hello within 3 seconds"),
        "{client_end}"
    );
}

#[tokio::test]
async fn a_client_over_the_number_allowed_is_refused_as_overloaded_until_one_leaves() {
    let authority = Authority::new();
    let settings = NetSettings {
        clients_max: 1,
        ..NetSettings::default()
    };
    let mut one = node_with(authority.tls(id(1)), 1, settings, (0, 0));
    let first = TestClient::connect(&authority, &one, 1).await;
    let signed = authority.client("bob", CLUSTER);
    let again = || {
        dial(
            dial_config(&authority, &signed, ALPN_CLIENT),
            one.net.client_address().unwrap(),
            1,
        )
    };
    let second = again().await;
    assert!(TestClient::greet(second.clone()).await.is_err());
    let end = end_of(&second).await;
    assert!(
        end.contains("overloaded: 1 clients are connected already"),
        "{end}"
    );
    first.connection.close(0u32.into(), b"");
    let lost = tokio::time::timeout(super::harness::PATIENCE, one.events.recv())
        .await
        .unwrap();
    assert!(matches!(lost, Some(NetEvent::ClientLost { .. })));
    let third = dial(
        dial_config(&authority, &signed, ALPN_CLIENT),
        one.net.client_address().unwrap(),
        1,
    )
    .await;
    TestClient::greet(third).await.unwrap();
}

#[tokio::test]
async fn a_refused_stranger_does_not_disturb_a_link() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    let connection = dial(
        dial_config(&authority, &authority.client("alice", CLUSTER), ALPN_PEER),
        one.peer_address(),
        1,
    )
    .await;
    end_of(&connection).await;
    assert!(one.net.links()[0].up);
}
