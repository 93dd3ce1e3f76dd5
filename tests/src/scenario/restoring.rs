//! Backups: a node restored beside others that went on, and a whole cluster, each node from another moment.

use std::collections::BTreeMap;

use quorate_core::record::Restored;

use super::Scenario;
use super::ask::Wrote;
use super::failure::Failure;
use super::request::{delete, get, put};
use super::stage::{Stage, Weather};
use super::walk::{ALL as EVERYBODY, BUCKET, P1, P2, P3, PRIMARIES, Walk, Who};
use crate::sim::history::Key;
use crate::sim::restoring::Backup;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "restore",
        sentence: "P3 is restored from a backup while the others go on: nothing deleted since comes back, nothing written since is missing.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: one_node,
    },
    Scenario {
        name: "restore-all",
        sentence: "All five nodes are restored, each from a backup of another moment: they agree, and have everything from before the first of the backups.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: everybody,
    },
];

/// Keys beside the one that scenarios are about.
const KEYS: u32 = 40;
/// Longer than it takes until contexts and log entries are dropped.
const SETTLED_MS: u64 = 12_000;

fn key(number: u32) -> Key {
    Key {
        bucket: BUCKET,
        number,
    }
}

/// What was written last of each key; `None` if that was deleted.
type Latest = BTreeMap<u32, Option<Wrote>>;

fn write_all(walk: &mut Walk<'_>) -> Result<Latest, Failure> {
    walk.world.config.keys = KEYS;
    let mut latest = Latest::new();
    for number in 0..KEYS {
        let at = EVERYBODY[number as usize % EVERYBODY.len()];
        let wrote = walk.put(&put("first").of(key(number)).silently(), at)?;
        latest.insert(number, Some(wrote));
    }
    walk.say(format!("{KEYS} keys are written"));
    Ok(latest)
}

/// Of so many keys the even ones are deleted, the odd ones overwritten.
fn change(
    walk: &mut Walk<'_>,
    latest: &mut Latest,
    numbers: std::ops::Range<u32>,
    name: &str,
) -> Result<(), Failure> {
    walk.say(format!(
        "keys {} to {}: the even ones are deleted, the odd ones overwritten",
        numbers.start,
        numbers.end - 1
    ));
    for number in numbers {
        let at = EVERYBODY[(number as usize + 2) % EVERYBODY.len()];
        let Some(before) = latest.get(&number).cloned().flatten() else {
            continue;
        };
        let (request, is_delete) = if number % 2 == 0 {
            (delete(&before), true)
        } else {
            (put(name).over(&before), false)
        };
        let wrote = walk.put(&request.of(key(number)).silently(), at)?;
        latest.insert(number, Some(wrote).filter(|_| !is_delete));
    }
    Ok(())
}

fn shows_latest(walk: &mut Walk<'_>, latest: &Latest, at: &[Who]) -> Result<(), Failure> {
    for (&number, wrote) in latest {
        for &who in at {
            let read = walk.get(&get().r(2).of(key(number)).silently(), who)?;
            let expected: Vec<&Wrote> = wrote.iter().collect();
            walk.shows(&read, &expected)?;
        }
    }
    walk.say(format!(
        "{} keys are read, and are as they should be",
        latest.len()
    ));
    Ok(())
}

fn back_up(walk: &mut Walk<'_>, who: Who) -> Backup {
    walk.say(format!("{} is backed up", walk.name(who)));
    let place = walk.place(who);
    walk.world.back_up(place)
}

fn restore(walk: &mut Walk<'_>, backup: &Backup, restored: Restored) -> Result<(), Failure> {
    let done = walk.world.restore(backup, restored);
    walk.say(format!("n{} is restored from its backup", backup.node + 1));
    walk.equal("the restore", Ok(()), done)
}

fn one_node(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut latest = write_all(walk)?;
    walk.idle()?;
    let backup = back_up(walk, P3);
    change(walk, &mut latest, 0..20, "since, and settled")?;
    walk.idle()?;
    walk.pass(SETTLED_MS);
    change(walk, &mut latest, 20..30, "since")?;
    walk.kill(P3);
    restore(walk, &backup, Restored::Node)?;
    walk.start(P3);
    shows_latest(walk, &latest, &PRIMARIES)?;
    walk.idle()?;
    for who in [P1, P2] {
        walk.kill(who);
    }
    let read = walk.get(&get().r(1), P3)?;
    let expected: Vec<&Wrote> = latest[&0].iter().collect();
    walk.shows(&read, &expected)
}

/// Writes to keys that may have changed between the backups, each at a primary that has hardly begun to serve and
/// has heard of nobody's clock.
fn write_early(walk: &mut Walk<'_>) -> Result<Vec<(u32, Wrote)>, Failure> {
    let mut done = Vec::new();
    for number in 10..32 {
        let primaries = walk.world.primaries(key(number));
        let at = EVERYBODY
            .into_iter()
            .find(|&who| primaries.contains(&walk.place(who)));
        if let Some(at) = at {
            let request = put("early").of(key(number)).w(1).silently();
            done.push((number, walk.put(&request, at)?));
        }
    }
    walk.say(format!("{} keys are written at once", done.len()));
    Ok(done)
}

fn everybody(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut latest = write_all(walk)?;
    change(walk, &mut latest, 0..10, "before")?;
    walk.idle()?;
    walk.pass(SETTLED_MS);
    let (before, from_us) = (latest.clone(), walk.world.at_us);
    let mut backups = Vec::new();
    let order = walk.shuffled();
    for (step, who) in (0..).zip(order) {
        backups.push(back_up(walk, who));
        change(walk, &mut latest, 10 + 4 * step..16 + 4 * step, "between")?;
        if step % 2 == 0 {
            walk.idle()?;
            walk.pass(SETTLED_MS);
        }
    }
    for who in EVERYBODY {
        walk.kill(who);
    }
    walk.say("what was written and deleted since the first backup may be lost, and may come back");
    walk.world.forgive_since(from_us);
    for backup in &backups {
        restore(walk, backup, Restored::Cluster)?;
    }
    for who in EVERYBODY {
        walk.start(who);
    }
    let early = write_early(walk)?;
    walk.idle()?;
    for (number, wrote) in early {
        let read = walk.get(&get().r(3).of(key(number)).silently(), P2)?;
        let there = read.writes.contains(&wrote.id);
        walk.expect(
            "a write before anybody had compared anything",
            true,
            &read,
            there,
        )?;
    }
    let untouched = |number: &u32, _: &mut Option<Wrote>| !(10..32).contains(number);
    let mut kept = before;
    kept.retain(untouched);
    shows_latest(walk, &kept, &EVERYBODY)?;
    let after = walk.put(&put("after").of(key(KEYS - 1)), P1)?;
    let read = walk.get(&get().r(3).of(key(KEYS - 1)), P2)?;
    let both: Vec<&Wrote> = kept[&(KEYS - 1)].iter().chain([&after]).collect();
    walk.shows(&read, &both)
}
