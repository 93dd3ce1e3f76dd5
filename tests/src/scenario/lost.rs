//! A majority of the members is gone for good: the cluster is recovered by what is left.

use quorate_protocol::ErrorCode;

use super::Scenario;
use super::failure::Failure;
use super::request::{get, put};
use super::stage::{Stage, Weather};
use super::walk::{F4, F5, P1, P2, P3, Walk, Who};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "lost",
        sentence: "Three of five machines are gone for good. The two that are left are told so, one of them dies meanwhile, and the order is repeated: what they hold is all there, the map changes again, and a machine that was called gone and returns serves nobody.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: lost,
    },
    Scenario {
        name: "lost-at-once",
        sentence: "All five lose their power at once, and three of them never come back: those who do cannot know what the three were told last, and wait for them until they are given up.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: lost_at_once,
    },
];

const GONE: [Who; 3] = [P3, F4, F5];

fn lost(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let first = walk.put(&put("first").w(3), P1)?;
    walk.idle()?;
    for who in [F4, F5] {
        walk.bury(who);
    }
    walk.kill(P3);
    walk.missed(P3)?;
    walk.say("P3's disk is all there; but somebody says that it is gone, too");
    let read = walk.get(&get().r(2), P1)?;
    walk.shows(&read, &[&first])?;
    let second = walk.put(&put("second").over(&read).w(2), P2)?;
    walk.pass(1_000);
    walk.say("P2 dies before it can be asked for its word");
    walk.kill(P2);
    walk.missed(P2)?;
    walk.recover(P1, &GONE);
    walk.pass(walk.patience_ms(3_000));
    walk.exactly("lineage of P1", 0, walk.lineage(P1))?;
    walk.start(P2);
    walk.noticed(P2)?;
    recover(walk)?;
    for who in [P1, P2] {
        walk.exactly("lineage", 1, walk.lineage(who))?;
    }
    goes_on_with_two(walk)?;
    for who in [P1, P2] {
        let read = walk.get(&get().r(2), who)?;
        walk.shows(&read, &[&second])?;
    }
    let third = walk.put(&put("third").over(&second).w(2), P2)?;
    walk.say("P3 comes back, with the old value, and with the map of before");
    walk.start(P3);
    walk.until("P3 hears that it was given up", 20_000, |walk| {
        let place = walk.place(P3);
        if walk.world.is_buried(place) {
            Ok(())
        } else {
            Err("it takes itself for a member".to_owned())
        }
    })?;
    let stale = walk.try_get(&get().r(1).silently(), P3);
    walk.fails("a read at P3", ErrorCode::Unavailable, stale)?;
    walk.recover(P1, &GONE);
    walk.pass(2_000);
    walk.exactly(
        "lineage after the order was repeated once more",
        1,
        walk.lineage(P1),
    )?;
    for who in [P1, P2] {
        let read = walk.get(&get().r(2), who)?;
        walk.shows(&read, &[&third])?;
    }
    Ok(())
}

/// The order is repeated, at one and at the other, until both are in the next lineage.
fn recover(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut orders = 0;
    while walk.lineage(P1) == 0 || walk.lineage(P2) == 0 {
        let by = [P2, P1][orders % 2];
        orders += 1;
        if orders > 20 {
            return walk.exactly("lineage after 20 orders", 1, 0);
        }
        walk.recover(by, &GONE);
        walk.pass(walk.patience_ms(2_000));
    }
    Ok(())
}

fn goes_on_with_two(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.until("every class is on those who are left", 60_000, |walk| {
        let map = walk.world.newest_map();
        let left = map.map.members.len();
        let moving = map.records.iter().filter(|record| !record.new.is_empty());
        match (left, moving.count()) {
            (2, 0) => Ok(()),
            (members, moving) => Err(format!("{members} members, {moving} classes move")),
        }
    })?;
    walk.idle().map(drop)
}

fn lost_at_once(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let first = walk.put(&put("first").w(3), P1)?;
    walk.idle()?;
    for who in [P1, P2] {
        walk.kill(who);
    }
    for who in GONE {
        walk.bury(who);
    }
    walk.pass(500);
    for who in [P1, P2] {
        walk.start(who);
    }
    recover(walk)?;
    goes_on_with_two(walk)?;
    for who in [P1, P2] {
        let read = walk.get(&get().r(2), who)?;
        walk.shows(&read, &[&first])?;
    }
    Ok(())
}
