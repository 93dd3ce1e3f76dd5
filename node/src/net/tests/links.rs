use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use quorate_protocol::limits::{SMALL_BODY_BYTES_MAX, VALUE_BYTES_MAX};
use quorate_protocol::versioned::MapVersion;
use tokio::sync::oneshot;

use super::super::{Lane, NetEvent, NetSettings, SendRefused};
use super::harness::{Node, frame, id, join, node, node_with};
use crate::tls::testing::Authority;

#[tokio::test]
async fn frames_of_every_lane_pass_both_ways() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    for lane in [Lane::Small, Lane::Bulk, Lane::Datagram] {
        one.net
            .send_peer(id(2), lane, frame(0x0240, 7, b"there"))
            .unwrap();
        let (from, header, body) = two.peer_frame().await;
        assert_eq!(
            (from, header.opcode, header.request, &body[..]),
            (id(1), 0x0240, 7, &b"there"[..]),
            "{lane:?}"
        );
        two.net
            .send_peer(id(1), lane, frame(0x0241, 8, b"and back"))
            .unwrap();
        let (from, header, body) = one.peer_frame().await;
        assert_eq!(
            (from, header.request, &body[..]),
            (id(2), 8, &b"and back"[..]),
            "{lane:?}"
        );
    }
}

#[tokio::test]
async fn small_frames_arrive_in_the_order_they_were_sent_joined_or_alone() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    let mut sent = 0;
    for run in 0..300 {
        let mut frames = BytesMut::new();
        for _ in 0..run % 4 + 1 {
            frames.extend_from_slice(&frame(0x0203, sent, &vec![7; run * 10]));
            sent += 1;
        }
        two.net
            .send_peer(id(1), Lane::Small, frames.freeze())
            .unwrap();
    }
    for request in 0..sent {
        assert_eq!(one.peer_frame().await.1.request, request);
    }
}

#[tokio::test]
async fn a_small_frame_overtakes_a_value_of_16_mib_and_both_arrive_whole() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    let value: Bytes = (0..VALUE_BYTES_MAX)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    one.net
        .send_peer(id(2), Lane::Bulk, frame(0x0203, 1, &value))
        .unwrap();
    for request in 2..12 {
        one.net
            .send_peer(id(2), Lane::Small, frame(0x0203, request, b"small"))
            .unwrap();
    }
    for request in 2..12 {
        assert_eq!(two.peer_frame().await.1.request, request);
    }
    let (_, header, body) = two.peer_frame().await;
    assert_eq!(header.request, 1);
    assert!(body == value, "the value arrives byte for byte");
}

#[tokio::test]
async fn a_frame_too_large_for_the_small_lane_takes_the_bulk_lane_by_itself() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    let mut frames = BytesMut::new();
    frames.extend_from_slice(&frame(0x0203, 1, &[1; SMALL_BODY_BYTES_MAX]));
    frames.extend_from_slice(&frame(0x0203, 2, &[2; SMALL_BODY_BYTES_MAX + 1]));
    one.net
        .send_peer(id(2), Lane::Small, frames.freeze())
        .unwrap();
    one.net
        .send_peer(id(2), Lane::Datagram, frame(0x0203, 3, &[3; 60_000]))
        .unwrap();
    let mut requests = [
        two.peer_frame().await.1.request,
        two.peer_frame().await.1.request,
        two.peer_frame().await.1.request,
    ];
    requests.sort_unstable();
    assert_eq!(requests, [1, 2, 3]);
}

#[tokio::test]
async fn three_nodes_link_each_with_each_whoever_starts_first() {
    let authority = Authority::new();
    let mut nodes = [
        node(&authority, 3),
        node(&authority, 1),
        node(&authority, 2),
    ];
    let entries: Vec<_> = nodes
        .iter()
        .zip([3, 1, 2])
        .map(|(node, number)| node.peer_entry(number))
        .collect();
    for node in &nodes {
        node.net.set_peers(entries.clone());
    }
    for node in &mut nodes {
        let mut up = [node.peer_up().await.0, node.peer_up().await.0];
        up.sort_unstable();
        assert_eq!(
            up,
            node.net
                .links()
                .iter()
                .map(|link| link.node)
                .collect::<Vec<_>>()[..]
        );
        assert!(
            node.net
                .links()
                .iter()
                .all(|link| link.up && link.last_error.is_none())
        );
    }
}

#[tokio::test]
async fn without_a_link_a_message_is_refused_at_once() {
    let authority = Authority::new();
    let one = node(&authority, 1);
    assert_eq!(
        one.net.send_peer(id(2), Lane::Small, frame(0x0203, 1, b"")),
        Err(SendRefused::NoLink(id(2)))
    );
}

#[tokio::test]
async fn a_wrong_address_is_given_up_for_the_next_and_a_new_list_is_dialled_at_once() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    two.net.set_peers(vec![(id(1), Vec::new())]);
    one.net
        .set_peers(vec![(id(2), vec!["no such host.invalid:1".into()])]);
    one.link_error("no such host").await;
    let right = two.peer_address().to_string();
    one.net
        .set_peers(vec![(id(2), vec!["127.0.0.1:0".into(), right])]);
    assert_eq!(one.peer_up().await.0, id(2));
    assert_eq!(two.peer_up().await.0, id(1));
}

#[tokio::test]
async fn a_link_by_an_address_that_is_given_up_is_replaced_and_one_by_a_kept_address_stays() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    let before = two.peer_address().to_string();
    // The same place under another name, which no table of hosts is needed for.
    let other = format!("127.1:{}", two.peer_address().port());
    one.net
        .set_peers(vec![(id(2), vec![other.clone(), before])]);
    one.net
        .send_peer(id(2), Lane::Small, frame(0x0203, 1, b"by the old link"))
        .unwrap();
    assert_eq!(two.peer_frame().await.1.request, 1);
    one.net.set_peers(vec![(id(2), vec![other])]);
    assert!(one.peer_lost().await.contains("a newer connection"));
    assert_eq!(one.peer_up().await.0, id(2));
    assert!(two.peer_lost().await.contains("a newer connection"));
    assert_eq!(two.peer_up().await.0, id(1));
    one.net
        .send_peer(id(2), Lane::Small, frame(0x0203, 2, b"by the new one"))
        .unwrap();
    assert_eq!(two.peer_frame().await.1.request, 2);
}

#[tokio::test]
async fn who_is_no_member_any_more_loses_its_link_and_cannot_come_back() {
    let authority = Authority::new();
    let (mut one, mut two) = (node(&authority, 1), node(&authority, 2));
    join((&mut one, 1), (&mut two, 2)).await;
    two.net.set_peers(Vec::new());
    assert!(two.peer_lost().await.contains("no member"));
    assert!(one.peer_lost().await.contains("no member"));
    one.link_error("node 0000000000000001 is no member that node 0000000000000002 knows")
        .await;
}

/// The newcomer knows the member, and not the other way round, until the member takes it in.
async fn waits_at_the_door_of(member: u64, newcomer: u64) {
    let authority = Authority::new();
    let (mut inside, mut outside) = (node(&authority, member), node(&authority, newcomer));
    outside.net.set_peers(vec![inside.peer_entry(member)]);
    let NetEvent::TurnedAway { node } = inside.next().await else {
        panic!("something else than a node at the door");
    };
    assert_eq!(node, id(newcomer));
    let NetEvent::RefusedBy { node, version } = outside.next().await else {
        panic!("something else than a refusal");
    };
    assert_eq!((node, version), (id(member), MapVersion::FIRST));
    inside.net.set_peers(vec![outside.peer_entry(newcomer)]);
    assert_eq!(inside.peer_up().await.0, id(newcomer));
    assert_eq!(outside.peer_up().await.0, id(member));
}

#[tokio::test]
async fn a_node_that_is_no_member_waits_and_is_linked_at_once_when_the_member_that_dials_takes_it_in()
 {
    waits_at_the_door_of(1, 2).await;
}

#[tokio::test]
async fn a_node_that_is_no_member_waits_and_dials_at_once_when_the_member_that_is_dialled_takes_it_in()
 {
    waits_at_the_door_of(2, 1).await;
}

/// A node on a thread of its own, which can be ended with all its sockets and without a word.
struct Killable {
    node: Node,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Killable {
    async fn start(authority: &Authority, number: u64, incarnation: u64, port: u16) -> Self {
        let tls = authority.tls(id(number));
        let (ready, made) = oneshot::channel();
        let (kill, killed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let _ = ready.send(node_with(
                    tls,
                    incarnation,
                    NetSettings::default(),
                    (port, 0),
                ));
                killed.await.unwrap();
            });
        });
        Self {
            node: made.await.unwrap(),
            kill,
            thread,
        }
    }

    /// Gives back the port, which is free again.
    fn kill(self) -> u16 {
        let port = self.node.peer_address().port();
        drop(self.node);
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
        port
    }
}

async fn survives_a_kill_of_node(survivor: u64, killed: u64) {
    let authority = Authority::new();
    let mut stays = node(&authority, survivor);
    let mut dies = Killable::start(&authority, killed, 1, 0).await;
    join((&mut stays, survivor), (&mut dies.node, killed)).await;
    let port = dies.kill();
    let mut back = Killable::start(&authority, killed, 2, port).await;
    back.node.net.set_peers(vec![stays.peer_entry(survivor)]);
    let reason = stays.peer_lost().await;
    let (node, hello) = stays.peer_up().await;
    assert_eq!(
        (node, hello.incarnation),
        (id(killed), 2),
        "after: {reason}"
    );
    assert_eq!(back.node.peer_up().await.0, id(survivor));
    stays
        .net
        .send_peer(id(killed), Lane::Small, frame(0x0203, 5, b"again"))
        .unwrap();
    assert_eq!(back.node.peer_frame().await.1.request, 5);
    back.kill();
}

#[tokio::test]
async fn a_killed_peer_that_returns_is_linked_again_by_the_one_that_dials() {
    survives_a_kill_of_node(1, 2).await;
}

#[tokio::test]
async fn a_killed_peer_that_returns_dials_the_one_that_stayed() {
    survives_a_kill_of_node(2, 1).await;
}
