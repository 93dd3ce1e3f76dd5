//! Connecting: seeds that are dead, certificates that are wrong, nodes that are somebody else.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant, SystemTime};

use crate::support::{Act, Fake, free_ports, pem, spec};
use quorate_client::provision::Validity;
use quorate_client::{Client, Error, Kind, TlsFiles, TlsPem};

fn fake() -> Fake {
    Fake::start(1, |_, _, _| Act::Ignore)
}

async fn refused(fake: &Fake, tls: TlsPem) -> Error {
    fake.builder().tls(tls).connect().await.err().unwrap()
}

#[tokio::test]
async fn a_dead_seed_beside_a_live_one_costs_nothing() {
    let fake = fake();
    let dead = format!("127.0.0.1:{}", free_ports(1)[0]);
    let started = Instant::now();
    let seeds = [
        dead,
        "no.such.host.invalid:1".to_owned(),
        fake.seeds()[0].clone(),
    ];
    let client = Client::builder()
        .seeds(seeds)
        .tls(fake.tls())
        .connect()
        .await
        .unwrap();
    assert_eq!(client.map().cluster, fake.made.map.cluster);
    assert!(started.elapsed() < Duration::from_millis(1900));
}

#[tokio::test]
async fn dead_seeds_alone_are_worth_another_try_and_named() {
    let fake = fake();
    let dead = format!("127.0.0.1:{}", free_ports(1)[0]);
    let tried = Client::builder()
        .seeds([dead.as_str()])
        .tls(fake.tls())
        .connect()
        .await;
    let error = tried.err().unwrap();
    assert_eq!(error.kind(), Kind::Retry);
    assert!(error.to_string().contains(&dead), "{error}");
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused() {
    let fake = fake();
    let other = spec(&[4201]).create().unwrap();
    let error = refused(&fake, pem(&other.authority, &other.admin)).await;
    assert_eq!(error.kind(), Kind::Fix);
    assert!(error.to_string().contains("of another cluster"), "{error}");
}

#[tokio::test]
async fn a_client_of_another_authority_is_refused() {
    let fake = fake();
    let other = spec(&[4201]).create().unwrap();
    let tls = TlsPem {
        ca: fake.tls().ca,
        cert: other.admin.cert.clone(),
        key: other.admin.key.clone(),
    };
    let error = refused(&fake, tls).await;
    assert_eq!(error.kind(), Kind::Fix);
    assert!(
        error
            .to_string()
            .contains("refuses this client's certificate: it is of another authority"),
        "{error}"
    );
}

#[tokio::test]
async fn certificates_out_of_their_time_are_refused() {
    let fake = fake();
    let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
    for (from, until) in [(now - day * 2, now - day), (now + day, now + day * 2)] {
        let client = fake
            .made
            .authority
            .client("late", Validity { from, until })
            .unwrap();
        let error = refused(&fake, pem(&fake.made.authority, &client)).await;
        assert_eq!(error.kind(), Kind::Fix, "{error}");
    }
}

#[tokio::test]
async fn a_client_that_poses_as_a_node_is_refused() {
    // A server with a client's certificate: right authority, wrong usage and no node's name.
    let mut fake = fake();
    let (id, endpoint) = fake.endpoints.pop().unwrap();
    endpoint.close(0u32.into(), b"");
    let address = endpoint.local_addr().unwrap();
    drop(endpoint);
    fake.made.nodes[0].1 = fake
        .made
        .authority
        .client("mallory", Validity::leaf())
        .unwrap();
    let posing = crate::support::posing(&fake, id);
    let tried = Client::builder()
        .seeds([posing.local_addr().unwrap().to_string()])
        .tls(fake.tls())
        .connect()
        .await;
    let error = tried.err().unwrap();
    assert_eq!(error.kind(), Kind::Fix, "{error} {address}");
}

#[tokio::test]
async fn missing_and_mixed_up_files_are_named() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        ca: dir.path().join("ca.pem"),
        cert: dir.path().join("me.pem"),
        key: dir.path().join("me.key"),
    };
    let connect = || fake.builder().tls(files.clone()).connect();
    assert!(
        connect()
            .await
            .err()
            .unwrap()
            .to_string()
            .contains("ca.pem")
    );
    let tls = fake.tls();
    std::fs::write(&files.ca, &tls.ca).unwrap();
    std::fs::write(&files.cert, &tls.key).unwrap();
    std::fs::write(&files.key, &tls.key).unwrap();
    assert!(
        connect()
            .await
            .err()
            .unwrap()
            .to_string()
            .ends_with("me.pem: no certificate in PEM form")
    );
    std::fs::write(&files.cert, &fake.made.nodes[0].1.cert).unwrap();
    assert!(
        connect()
            .await
            .err()
            .unwrap()
            .to_string()
            .contains("do not belong together")
    );
    std::fs::write(&files.cert, &tls.cert).unwrap();
    connect().await.unwrap();
}
