#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Command, ControlError, Label, Pair, Relay, Route, ask, serve};

const PATIENCE: Duration = Duration::from_secs(20);
const PAIR: Pair = Pair::new(Label(1), Label(2));

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Node 2 and the way there for node 1, which sends from `one`.
struct Stage {
    relay: Relay,
    one: UdpSocket,
    two: UdpSocket,
}

impl Stage {
    async fn new() -> Self {
        let two = UdpSocket::bind(loopback()).await.unwrap();
        let route = Route {
            pair: PAIR,
            listen: loopback(),
            target: two.local_addr().unwrap(),
        };
        let relay = Relay::start(vec![route], 1).await.unwrap();
        let one = UdpSocket::bind(loopback()).await.unwrap();
        one.connect(relay.addresses()[&PAIR]).await.unwrap();
        Self { relay, one, two }
    }

    fn tell(&self, line: &str) {
        self.relay.apply(&line.parse::<Command>().unwrap()).unwrap();
    }

    async fn at_two(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 70_000];
        let (bytes, from) = timeout(PATIENCE, self.two.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        buffer.truncate(bytes);
        (buffer, from)
    }

    async fn at_one(&self) -> Vec<u8> {
        let mut buffer = vec![0; 70_000];
        let bytes = timeout(PATIENCE, self.one.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        buffer.truncate(bytes);
        buffer
    }
}

#[tokio::test]
async fn packets_of_every_size_reach_the_target_and_answers_come_back_to_their_sender() {
    let stage = Stage::new().await;
    let other = UdpSocket::bind(loopback()).await.unwrap();
    other.connect(stage.relay.addresses()[&PAIR]).await.unwrap();
    for bytes in [0, 1, 1200, 16_000, 65_000] {
        stage.one.send(&vec![1; bytes]).await.unwrap();
        let (packet, from_one) = stage.at_two().await;
        assert_eq!(packet, vec![1; bytes]);
        other.send(b"other").await.unwrap();
        let (_, from_other) = stage.at_two().await;
        assert_ne!(from_one, from_other, "each sender has a socket of its own");
        stage.two.send_to(&packet, from_one).await.unwrap();
        assert_eq!(stage.at_one().await, packet);
    }
}

#[tokio::test]
async fn a_cut_link_is_silent_both_ways_until_it_is_healed() {
    let stage = Stage::new().await;
    stage.one.send(b"before").await.unwrap();
    let (_, back) = stage.at_two().await;
    stage.tell("cut 1 2");
    stage.one.send(b"lost").await.unwrap();
    stage.two.send_to(b"lost", back).await.unwrap();
    let cut = |pair| stage.relay.stats()[&pair].cut;
    timeout(PATIENCE, async {
        while cut(PAIR) + cut(PAIR.back()) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    stage.tell("heal");
    stage.one.send(b"after").await.unwrap();
    assert_eq!(stage.at_two().await.0, b"after");
    stage.two.send_to(b"back", back).await.unwrap();
    assert_eq!(stage.at_one().await, b"back");
}

#[tokio::test]
async fn a_one_way_cut_lets_the_other_way_pass() {
    let stage = Stage::new().await;
    stage.one.send(b"open").await.unwrap();
    let (_, back) = stage.at_two().await;
    stage.relay.cut_one_way(Label(1), Label(2));
    stage.one.send(b"lost").await.unwrap();
    stage.two.send_to(b"passes", back).await.unwrap();
    assert_eq!(stage.at_one().await, b"passes");
    stage.relay.heal();
    stage.one.send(b"after").await.unwrap();
    assert_eq!(stage.at_two().await.0, b"after");
}

#[tokio::test]
async fn delayed_packets_are_late_and_keep_their_order() {
    let stage = Stage::new().await;
    stage.tell("delay * * 50");
    let start = std::time::Instant::now();
    for number in 0..100u8 {
        stage.one.send(&[number]).await.unwrap();
    }
    for number in 0..100u8 {
        assert_eq!(stage.at_two().await.0, [number]);
    }
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn repeated_damaged_and_reordered_packets_arrive_so() {
    let stage = Stage::new().await;
    stage.tell("duplicate 1 2 100");
    stage.one.send(b"twice").await.unwrap();
    assert_eq!(
        (stage.at_two().await.0, stage.at_two().await.0),
        (b"twice".to_vec(), b"twice".to_vec())
    );
    stage.tell("heal");
    stage.tell("corrupt 1 2 100");
    stage.one.send(b"whole").await.unwrap();
    let (damaged, _) = stage.at_two().await;
    assert_eq!(
        damaged
            .iter()
            .zip(b"whole")
            .filter(|(got, sent)| got != sent)
            .count(),
        1
    );
    stage.tell("heal");
    stage.tell("reorder 1 2 50");
    for number in 0..200u8 {
        stage.one.send(&[number]).await.unwrap();
    }
    let mut order = Vec::new();
    for _ in 0..200 {
        order.push(stage.at_two().await.0[0]);
    }
    assert!(!order.is_sorted());
    order.sort_unstable();
    assert_eq!(order, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_target_that_is_not_there_yet_is_found_when_it_comes() {
    let two = UdpSocket::bind(loopback()).await.unwrap();
    let target = two.local_addr().unwrap();
    drop(two);
    let relay = Relay::start(
        vec![Route {
            pair: PAIR,
            listen: loopback(),
            target,
        }],
        1,
    )
    .await
    .unwrap();
    let one = UdpSocket::bind(loopback()).await.unwrap();
    one.connect(relay.addresses()[&PAIR]).await.unwrap();
    one.send(b"too early").await.unwrap();
    let two = UdpSocket::bind(target).await.unwrap();
    let mut buffer = [0; 100];
    let arrival = async {
        loop {
            one.send(b"hello").await.unwrap();
            if let Ok(got) = timeout(Duration::from_millis(20), two.recv(&mut buffer)).await {
                return got.unwrap();
            }
        }
    };
    timeout(PATIENCE, arrival).await.unwrap();
}

#[tokio::test]
async fn a_relay_is_told_over_its_control_file_and_says_what_was_wrong() {
    let directory = std::env::temp_dir().join(format!("quorate-relay-test-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("control");
    std::fs::write(&path, "left by a killed relay").unwrap();
    let stage = Stage::new().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = serve(&stage.relay, &path, async { drop(stopped.await) });
    let telling = async {
        while ask(&path, "stats").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(ask(&path, "cut 1 2").await.unwrap(), "2 directions changed");
        assert!(
            ask(&path, "stats")
                .await
                .unwrap()
                .contains("1 -> 2: packets 0")
        );
        let refused = ask(&path, "cut 1 7").await.unwrap_err();
        assert!(
            matches!(&refused, ControlError::Refused(words) if words.contains("node 7")),
            "{refused}"
        );
        let second = serve(&stage.relay, &path, std::future::ready(()))
            .await
            .unwrap_err();
        assert!(matches!(second, ControlError::InUse(_)), "{second}");
        stop.send(()).unwrap();
    };
    let (served, ()) = tokio::join!(serving, telling);
    served.unwrap();
    assert!(matches!(
        ask(&path, "stats").await.unwrap_err(),
        ControlError::Unreachable { .. }
    ));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn routes_are_read_as_written_and_others_say_why_not() {
    let route: Route = "1:2=127.0.0.1:7000=127.0.0.1:7100".parse().unwrap();
    assert_eq!(
        (route.pair, route.listen.port(), route.target.port()),
        (PAIR, 7000, 7100)
    );
    for (text, words) in [
        ("", "1 parts"),
        ("1:2=127.0.0.1:7000", "2 parts"),
        ("12=127.0.0.1:7000=127.0.0.1:7100", "'12' is no pair"),
        ("1:x=127.0.0.1:7000=127.0.0.1:7100", "'x' is no number"),
        ("1:1=127.0.0.1:7000=127.0.0.1:7100", "to itself"),
        (
            "1:2=localhost:7000=127.0.0.1:7100",
            "'localhost:7000' is no address",
        ),
    ] {
        let error = text.parse::<Route>().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
