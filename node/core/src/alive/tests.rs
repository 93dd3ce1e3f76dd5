//! The rules one by one; whole walks are in `tests/scenarios`.

#![allow(clippy::unwrap_used)]

use quorate_protocol::peer::{Alive, Testimony};

use super::*;

const ME: u64 = 1;
const NODES: [u64; 5] = [1, 2, 3, 4, 5];

fn id(number: u64) -> NodeId {
    NodeId::new(number)
}

fn opened(me: u64, life: u64, stored: Option<AliveRecord>) -> AliveLog {
    let peers = NODES
        .iter()
        .filter(|&&node| node != me)
        .map(|&node| id(node));
    AliveLog::open((0, 1), LifeId::new(life), stored, peers)
}

/// A replica that has met everybody and waits for nobody.
fn settled(me: u64, life: u64) -> AliveLog {
    let mut log = opened(me, life, None);
    for &node in NODES.iter().filter(|&&node| node != me) {
        log.up(id(node), 1);
    }
    log.set_settled(true);
    log.rest(0);
    log
}

fn stored(log: &AliveLog) -> Option<AliveRecord> {
    Some(log.record.clone())
}

/// One replica tells another where it is.
fn tell(from: (u64, &AliveLog), to: &mut AliveLog) {
    to.learn(id(from.0), from.1.now());
    to.rest(0);
}

fn asks(me: &AliveLog, whom: (u64, &AliveLog)) -> Testimony {
    whom.1.testify(&me.marks(id(whom.0)))
}

fn excused(log: &AliveLog) -> Vec<u64> {
    log.excused().iter().map(|node| node.get()).collect()
}

/// Replica 1 and the witness 2 when 3 and 4 are away, each with the other's mark.
fn with_two_away() -> (AliveLog, AliveLog) {
    let (mut one, mut two) = (settled(ME, 10), settled(2, 20));
    for log in [&mut one, &mut two] {
        log.down(id(3));
        log.down(id(4));
        log.rest(0);
    }
    tell((2, &two), &mut one);
    tell((1, &one), &mut two);
    (one, two)
}

#[test]
fn a_witness_excuses_those_that_it_did_not_see() {
    let (one, two) = with_two_away();
    let mut back = opened(ME, 11, stored(&one));
    let told = asks(&back, (2, &two));
    assert!(told.exact && told.complete);
    back.take(id(2), told);
    assert_eq!(excused(&back), [3, 4]);
}

#[test]
fn who_was_up_when_this_replica_ended_is_never_excused() {
    let (one, mut two) = with_two_away();
    two.down(id(5));
    let mut back = opened(ME, 11, stored(&one));
    let told = asks(&back, (2, &two));
    back.take(id(2), told);
    assert_eq!(excused(&back), [3, 4]);
}

#[test]
fn who_came_and_went_meanwhile_is_not_excused_whoever_saw_it() {
    let (mut one, mut two) = with_two_away();
    let mut five = settled(5, 50);
    [3, 4].map(id).into_iter().for_each(|node| five.down(node));
    tell((5, &five), &mut one);
    two.up(id(3), 1);
    two.down(id(3));
    let mut back = opened(ME, 11, stored(&one));
    back.take(id(5), asks(&back, (5, &five)));
    back.take(id(2), asks(&back, (2, &two)));
    assert_eq!(excused(&back), [4]);
}

#[test]
fn without_a_record_or_with_other_shards_nobody_is_excused() {
    let (one, two) = with_two_away();
    let peers = || [2, 3, 4, 5].map(id).into_iter();
    let other = AliveLog::open((0, 2), LifeId::new(11), stored(&one), peers());
    for mut back in [opened(ME, 11, None), other] {
        back.take(id(2), asks(&back, (2, &two)));
        assert_eq!(excused(&back), [0; 0]);
    }
}

#[test]
fn a_gap_of_the_witness_is_no_testimony_until_another_witness_closes_it() {
    let (one, two) = with_two_away();
    let mut five = settled(5, 50);
    for node in [3, 4] {
        five.down(id(node));
    }
    let mut two = two;
    tell((5, &five), &mut two);
    let mut two = opened(2, 21, stored(&two));
    let mut back = opened(ME, 11, stored(&one));
    let told = asks(&back, (2, &two));
    assert!(told.exact && !told.complete);
    back.take(id(2), told);
    assert_eq!(excused(&back), [0; 0]);
    assert!(back.lacks_witness());
    two.take(id(5), asks(&two, (5, &five)));
    back.take(id(2), asks(&back, (2, &two)));
    assert_eq!(excused(&back), [3, 4]);
    assert!(!back.lacks_witness());
}

#[test]
fn a_gap_is_closed_with_all_who_are_not_excused() {
    let (one, two) = with_two_away();
    let mut five = settled(5, 50);
    five.down(id(4));
    let mut two = two;
    tell((5, &five), &mut two);
    five.up(id(4), 1);
    let mut two = opened(2, 21, stored(&two));
    two.take(id(5), asks(&two, (5, &five)));
    let back = opened(ME, 11, stored(&one));
    let told = asks(&back, (2, &two));
    assert!(told.complete);
    assert!(told.seen.contains(&id(4)), "5 saw it while 2 was away");
    assert!(told.seen.contains(&id(3)), "5 had not seen it go");
}

#[test]
fn one_node_alone_is_excused_once_all_others_have_answered() {
    let logs: Vec<AliveLog> = (1..=4).map(|node| settled(node, node * 10)).collect();
    let mut logs = logs;
    for log in &mut logs {
        log.down(id(5));
        log.rest(0);
    }
    let told: Vec<Alive> = logs.iter().map(AliveLog::now).collect();
    for (log, node) in logs.iter_mut().zip(1..) {
        for (told, from) in told.iter().zip(1..).filter(|(_, from)| *from != node) {
            log.learn(id(from), *told);
        }
        log.rest(0);
    }
    let back: Vec<AliveLog> = logs
        .iter()
        .zip(1..)
        .map(|(log, node)| opened(node, node * 10 + 1, stored(log)))
        .collect();
    let mut first = opened(1, 12, stored(&back[0]));
    for other in [2, 3] {
        first.take(
            id(other),
            asks(&first, (other, &back[usize::try_from(other).unwrap() - 1])),
        );
        assert_eq!(excused(&first), [0; 0]);
    }
    first.take(id(4), asks(&first, (4, &back[3])));
    assert_eq!(excused(&first), [5]);
}

#[test]
fn marks_of_forgotten_lives_other_disks_and_the_future_prove_nothing() {
    let (one, two) = with_two_away();
    let back = opened(ME, 11, stored(&one));
    let other_disk = opened(2, 22, None);
    assert!(!asks(&back, (2, &other_disk)).exact);
    let mut old = stored(&two);
    for life in 100..=100 + LIVES_MAX as u64 {
        old = stored(&opened(2, life, old));
    }
    assert!(!asks(&back, (2, &opened(2, 99, old))).exact);
    let mut future = two.now();
    future.mark.position += 1;
    assert!(!two.testify(&[future.mark]).exact);
}

#[test]
fn a_mark_beyond_what_an_ended_life_stored_counts_as_its_end() {
    let (_, two) = with_two_away();
    let kept = stored(&two);
    let mut two = two;
    two.up(id(3), 9);
    two.down(id(3));
    let mark = two.now().mark;
    let lost_tail = opened(2, 21, kept);
    let told = lost_tail.testify(&[mark]);
    assert!(told.exact && !told.complete);
}

#[test]
fn a_peer_that_was_excusable_is_heard_only_once_its_return_is_durable() {
    let (mut one, _) = with_two_away();
    assert!(
        one.heard(id(3), 1_000, 7),
        "although nobody said that it is up"
    );
    assert!(!one.record.peers[&id(3)].excusable);
    assert!(!one.proven(6));
    assert!(one.heard(id(3), 1_001, 8));
    assert!(one.proven(7));
    assert!(!one.heard(id(3), 1_002, 8));
    assert!(
        !one.heard(id(5), 1_002, 8),
        "who was here all the time is heard at once"
    );
    one.rest(1_003);
    assert!(!one.record.peers[&id(3)].excusable, "it may speak again");
    one.rest(1_003 + QUIET_US);
    assert!(one.record.peers[&id(3)].excusable);
}

#[test]
fn somebody_heard_by_one_way_only_counts_as_seen() {
    let (one, mut two) = with_two_away();
    two.heard(id(3), 1_000, 7);
    let mut back = opened(ME, 11, stored(&one));
    back.take(id(2), asks(&back, (2, &two)));
    assert_eq!(excused(&back), [4]);
}

#[test]
fn while_anybody_is_waited_for_the_record_stays_where_it_was() {
    let (one, mut two) = with_two_away();
    let mut back = opened(ME, 11, stored(&one));
    back.up(id(5), 1);
    back.down(id(5));
    two.up(id(4), 1);
    two.down(id(4));
    tell((2, &two), &mut back);
    assert_eq!(back.marks(id(2)), one.marks(id(2)));
    assert!(!back.record.peers[&id(5)].excusable);
    let mut again = opened(ME, 12, stored(&back));
    again.take(id(2), asks(&again, (2, &two)));
    assert_eq!(excused(&again), [3]);
}

#[test]
fn after_a_loss_nobody_is_excused_before_all_were_heard() {
    let (mut one, two) = with_two_away();
    one.excuse_nobody();
    one.take(id(2), asks(&one, (2, &two)));
    one.rest(0);
    assert_eq!(excused(&one), [0; 0]);
    let mut back = opened(ME, 11, stored(&one));
    back.take(id(2), asks(&back, (2, &two)));
    assert_eq!(excused(&back), [0; 0]);
}

#[test]
fn what_is_kept_does_not_grow_with_time() {
    let (mut one, mut two) = with_two_away();
    let bytes = |log: &AliveLog| crate::record::encode_alive(b"", &log.record).len();
    let before = bytes(&one);
    for round in 0..10_000 {
        one.up(id(5), round);
        one.down(id(5));
        two.up(id(5), round);
        two.down(id(5));
        tell((2, &two), &mut one);
    }
    assert!(bytes(&one) <= before + 10, "{} bytes", bytes(&one));
}

#[test]
fn another_number_of_shards_at_a_peer_drops_the_marks_of_those_that_are_gone() {
    let mut one = settled(ME, 10);
    let mark = |shard| AliveMark {
        shard,
        life: LifeId::new(7),
        position: 3,
    };
    let told = |shards, shard| Alive {
        shards,
        mark: mark(shard),
    };
    one.learn(id(2), told(3, 2));
    one.learn(id(2), told(3, 0));
    one.learn(id(2), told(3, 3));
    one.rest(0);
    assert_eq!(one.marks(id(2)), [mark(0), mark(2)]);
    one.learn(id(2), told(2, 0));
    one.rest(0);
    assert_eq!(one.marks(id(2)), [mark(0)]);
}
