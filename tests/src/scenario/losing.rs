//! R18 to R20 and R24: power cuts, deletes that stay, and writes in doubt.

use quorate_core::Family;

use super::Scenario;
use super::failure::Failure;
use super::request::{Over, delete, get, put};
use super::stage::{Stage, Weather};
use super::walk::{ALL as EVERYBODY, BUCKET, F4, P1, P2, P3, PRIMARIES, Walk};
use crate::sim::history::Key;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "r18",
        sentence: "A coordinator loses its unsynced writes in a power cut and coordinates a write to a key it had written: both survive, nothing is swallowed. Also with its whole data directory gone.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r18,
    },
    Scenario {
        name: "r19",
        sentence: "A delete with context stays, whatever replica or hint comes back after 30 days; a concurrent write survives it; a key made again is not eaten by it.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r19,
    },
    Scenario {
        name: "r20",
        sentence: "After deletes have reached all replicas, nothing of them remains within 10 s, and no timer decides it.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r20,
    },
    Scenario {
        name: "r24",
        sentence: "A client or a coordinator dies in the middle of a put: the write is wholly there or wholly not; the retry under its id never shows as a sibling.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r24,
    },
];

fn r18(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let first = walk.put(&put("first").w(3), P1)?;
    walk.idle()?;
    walk.pass(1_000);
    let second = walk.put(&put("second").w(2), P1)?;
    walk.power(P1);
    walk.pass(500);
    walk.start(P1);
    let third = walk.put(&put("third").w(2), P1)?;
    walk.say("none of the three had seen another one, so all of them must be there");
    for who in PRIMARIES {
        let read = walk.get(&get().r(3), who)?;
        walk.shows(&read, &[&first, &second, &third])?;
    }
    walk.idle()?;
    let read = walk.get(&get().r(3), P1)?;
    let all = walk.put(&put("all").over(&read), P1)?;
    let read = walk.get(&get().r(3), P2)?;
    walk.shows(&read, &[&all])?;
    walk.idle()?;
    walk.say("now the same with the whole data directory gone");
    walk.wipe(P1);
    walk.pass(500);
    walk.start(P1);
    let fourth = walk.put(&put("fourth").w(2), P1)?;
    for who in PRIMARIES {
        let read = walk.get(&get().r(2), who)?;
        walk.shows(&read, &[&all, &fourth])?;
    }
    Ok(())
}

/// So far ahead all clocks are set, milliseconds: 30 days.
const DAYS_30_MS: i64 = 30 * 24 * 3_600 * 1_000;

fn r19(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let old = walk.put(&put("old").w(3), P1)?;
    walk.idle()?;
    walk.kill(P3);
    walk.missed(P3)?;
    let read = walk.get(&get(), P1)?;
    walk.put(&delete(&read), P1)?;
    walk.shows_ids(&read, &[old.id].into())?;
    walk.say("P1, P2, F4 and F5 live on, and their clocks go 30 days ahead; P3 sleeps with the old value");
    walk.clocks_jump = false;
    for who in EVERYBODY {
        let place = walk.place(who);
        walk.world.nodes[place].clock.skew_ms = DAYS_30_MS;
    }
    walk.pass(60_000);
    walk.start(P3);
    for who in EVERYBODY {
        for r in [1, 2, 3] {
            let read = walk.get(&get().r(r).silently(), who)?;
            walk.shows(&read, &[])?;
        }
    }
    walk.say("read through every node at r=1, 2 and 3: nothing");
    old_hint(walk)?;
    again(walk)
}

/// A fallback sleeps on a hint while the value is deleted.
fn old_hint(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.idle()?;
    walk.say(
        "now with an old hint: F4 keeps one for P1 and stands still while the value is deleted",
    );
    walk.kill(P1);
    walk.missed(P1)?;
    walk.put(&put("hinted").w(3), P2)?;
    walk.pause(F4);
    walk.missed(F4)?;
    let read = walk.get(&get().r(2), P2)?;
    walk.put(&delete(&read).w(2), P2)?;
    walk.start(P1);
    walk.noticed(P1)?;
    walk.go_on(F4);
    walk.handed_over(P1)?;
    for who in PRIMARIES {
        let read = walk.get(&get().r(3), who)?;
        walk.shows(&read, &[])?;
    }
    Ok(())
}

fn again(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.idle()?;
    walk.say("now a delete beside a write that it has not seen");
    walk.put(&put("seen"), P1)?;
    let read = walk.get(&get(), P1)?;
    let beside = walk.put(&put("beside"), P2)?;
    walk.put(&delete(&read), P1)?;
    let read = walk.get(&get().r(3), P3)?;
    walk.shows(&read, &[&beside])?;
    let deleted = walk.put(&delete(&read), P3)?;
    walk.idle()?;
    walk.say("and the key made again");
    let new = walk.put(&put("new"), P2)?;
    walk.expect(
        "the delete was a write",
        true,
        deleted.dot,
        deleted.dot.is_some(),
    )?;
    for who in EVERYBODY {
        let read = walk.get(&get().r(2), who)?;
        walk.shows(&read, &[&new])?;
    }
    Ok(())
}

/// Keys of R20.
const DELETED: u32 = 100;

fn r20(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.world.config.keys = DELETED + 1;
    let keys = (0..DELETED).map(|number| Key {
        bucket: BUCKET,
        number,
    });
    for (index, key) in keys.enumerate() {
        let at = EVERYBODY[index % 5];
        let wrote = walk.put(&put("v").of(key).silently(), at)?;
        walk.put(&delete(&wrote).of(key).silently(), at)?;
    }
    walk.say(format!("{DELETED} keys were written and deleted"));
    walk.until("no disk has anything of them", 10_000, |walk| {
        let left: Vec<String> = left(walk)
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(family, count)| format!("{count} in {}", family.name()))
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(", "))
        }
    })?;
    Ok(())
}

/// Entries over all disks, family by family. Not among them: one clock for each vnode, and request ids, which
/// end with their retry window.
fn left(walk: &Walk<'_>) -> Vec<(Family, usize)> {
    let families = [Family::Objects, Family::Chunks, Family::Hints, Family::Log];
    let count = |family: Family| {
        let nodes = walk.world.nodes.iter();
        nodes.map(|node| node.disk.records(family).count()).sum()
    };
    families
        .into_iter()
        .map(|family| (family, count(family)))
        .collect()
}

fn r24(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let first = walk.put(&put("before").w(3), P1)?;
    let mut last = first;
    for after_us in [0, 300, 700, 1_000, 1_400, 2_000, 5_000] {
        walk.say(format!(
            "the coordinator dies {after_us} us after the request was sent"
        ));
        let read = walk.get(&get(), P2)?;
        walk.shows(&read, &[&last])?;
        let write = put(format!("after {after_us} us")).over(Over::from(&read));
        let under_way = walk.send(&write, P1);
        let until_us = walk.world.at_us + after_us;
        walk.world.run_until(until_us);
        walk.kill(P1);
        let answer = walk.wait(&under_way);
        if let Err(refused) = &answer {
            let code = refused.code;
            let holds = code.is_none_or(|code| code.name() == "unavailable");
            walk.expect(
                "what the client is told",
                "in doubt, or never sent",
                refused,
                holds,
            )?;
        }
        let Some(id) = under_way.id else {
            break;
        };
        // Another coordinator gets the same request id: one write, whatever was left of the first try.
        last = walk.put(&write.again(id), P2)?;
        walk.start(P1);
        walk.idle()?;
        for who in [P1, P3] {
            let read = walk.get(&get().r(3), who)?;
            walk.shows(&read, &[&last])?;
        }
    }
    walk.say("the client dies: it sends a put and never asks again");
    let read = walk.get(&get(), P2)?;
    let lonely = put("lonely").over(&read);
    let under_way = walk.send(&lonely, P3);
    walk.forget(&under_way);
    walk.pass(2_000);
    let read = walk.get(&get().r(3), P1)?;
    let whole = read.writes == [last.id]
        || Some(&read.writes[..]) == under_way.id.as_ref().map(std::slice::from_ref);
    walk.expect(
        "what is there",
        "the write or what it replaces",
        &read.writes,
        whole,
    )
}
