//! V02 to V05: versions of the cluster map that somebody misses, that cannot be decided, and what they cost.

use std::collections::BTreeSet;

use quorate_protocol::client::{Commit, RingChange};
use quorate_protocol::versioned::{ClassState, MapVersion, StagedChange, VersionedMap};
use quorate_ring::{Class, Weight};

use super::Scenario;
use super::ask::Wrote;
use super::failure::Failure;
use super::moving::{N6, N7, begin_held_up, join, keys_at, let_go, replace, write_each};
use super::old_client::OldClient;
use super::request::{get, put};
use super::stage::{self, Stage, Weather};
use super::walk::{F4, F5, P1, P2, P3, Walk};
use crate::sim::history::Key;
use crate::sim::trace::Trace;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "v02",
        sentence: "A newcomer crashes after a version was decided and before it has installed it: when it is back it learns the version before it serves.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: v02,
    },
    Scenario {
        name: "v03",
        sentence: "With a majority of members unreachable a change stays pending, data stays where it is, reads and writes go on, and the members say whom they wait for.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: v03,
    },
    Scenario {
        name: "v04",
        sentence: "A node that was away for many versions serves and overwrites nothing by its old ring; a client with an old ring still works.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(2),
        walk: v04,
    },
    Scenario {
        name: "v05",
        sentence: "A plan that moves many partitions takes as many versions and messages about them as one that moves few.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: v05,
    },
];

/// Reads a key at a node, which may refuse; what it shows is the newest value.
fn newest_or_nothing(
    walk: &mut Walk<'_>,
    place: usize,
    key: Key,
    newest: &Wrote,
) -> Result<bool, Failure> {
    if !walk.is_open(place) {
        return Ok(false);
    }
    let read = get().of(key).r(2).deadline_ms(300).silently();
    match walk.try_get_at(&read, place) {
        Ok(seen) => {
            walk.shows_ids(&seen, &BTreeSet::from([newest.id]))?;
            Ok(true)
        }
        Err(_) => Ok(false),
    }
}

/// Runs, event by event, until some version has the class of a key in a state, and one node does not know it.
fn until_unknown(walk: &mut Walk<'_>, key: Key, state: ClassState, at: usize) -> bool {
    let class = walk.class(key);
    let until_us = walk.world.at_us + 60_000_000;
    walk.world.run_until_so(until_us, |world| {
        let newest = world.newest_map();
        let Some(epoch) = epoch_in(&newest, class, Some(state)) else {
            return false;
        };
        let known = world.nodes[at].newest();
        known.is_none_or(|known| epoch_in(known.map(), class, None) != Some(epoch))
    })
}

/// The version that last changed where a class stands, if it stands there in that state.
fn epoch_in(version: &VersionedMap, class: Class, state: Option<ClassState>) -> Option<MapVersion> {
    let records = &version.records;
    let found = records.binary_search_by_key(&class, |record| record.class);
    let record = &records[found.ok()?];
    let is_so = state.is_none_or(|state| record.state == state);
    is_so.then_some(record.epoch)
}

fn v02(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let a = walk.place(P1);
    let keys = keys_at(walk, a, 12);
    let mut newest = write_each(walk, &keys, "old", &[])?;
    walk.at_rest()?;
    let replaces = replace(walk, a, N6);
    walk.begin(&[replaces])?;
    for state in [ClassState::JointOld, ClassState::JointNew] {
        if !until_unknown(walk, keys[0], state, N6) {
            // In one version the newcomer was the first to know: nothing to be seen in this weather.
            walk.say(format!("{state:?} was known to the newcomer first"));
            continue;
        }
        let newest_map = walk.world.newest_map();
        let epoch = epoch_in(&newest_map, walk.class(keys[0]), Some(state));
        let decided = epoch.unwrap_or(newest_map.version);
        walk.say(format!(
            "version {decided} is decided, in which classes are {state:?}, and the newcomer does not know it"
        ));
        walk.kill_at(N6);
        newest = write_each(walk, &keys, "while it was down", &newest)?;
        walk.pass(3_000);
        walk.start_at(N6);
        let (mut served, mut tries) = (0, 0);
        while tries < 40 {
            for (&key, wrote) in keys.iter().zip(&newest).take(4) {
                let shown = newest_or_nothing(walk, N6, key, wrote)?;
                let known = walk.world.nodes[N6]
                    .newest()
                    .map(|known| known.map().version);
                if shown {
                    served += 1;
                    walk.expect(
                        "the version of who serves",
                        decided,
                        known,
                        known.is_some_and(|known| known >= decided),
                    )?;
                }
            }
            walk.pass(20);
            tries += 1;
        }
        walk.say(format!(
            "it answered {served} reads since, each with the newest value"
        ));
    }
    walk.moved()?;
    walk.at_rest()?;
    for (&key, wrote) in keys.iter().zip(&newest) {
        let read = walk.get_at(&get().of(key).r(1).silently(), Some(N6))?;
        walk.shows_ids(&read, &BTreeSet::from([wrote.id]))?;
    }
    Ok(())
}

fn v03(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let first = walk.world.config.keys;
    let keys = keys_at(walk, walk.place(P1), 20);
    let old = write_each(walk, &keys, "old", &[])?;
    walk.at_rest()?;
    let joins = join(walk, N6);
    begin_held_up(walk, &[joins], N6)?;
    let here = [walk.place(P1), walk.place(P2), N6];
    let there = [walk.place(P3), walk.place(F4), walk.place(F5)];
    let cuts = [
        walk.cut_at(&here, &there),
        walk.cut_at(&there[..2], &there[2..]),
    ];
    walk.pass(3_000);
    let (version, places) = (walk.world.newest_map().version, walk.places_of_all());
    let copies = |walk: &Walk<'_>| -> BTreeSet<(usize, Key)> {
        let nodes = 0..walk.world.nodes.len();
        let all = nodes.flat_map(|place| keys.iter().map(move |&key| (place, key)));
        all.filter(|&(place, key)| walk.has_object(place, key))
            .collect()
    };
    let held = copies(walk);
    let leaves = RingChange::Stage(StagedChange::leave(walk.id(walk.place(P2))));
    let asked = walk.order(leaves);
    walk.expect(
        "a change without a majority",
        "refused",
        &asked,
        asked.is_err(),
    )?;
    walk.say(format!(
        "a change is refused: {}",
        asked.err().map(|no| no.to_string()).unwrap_or_default()
    ));
    let mut newest = Vec::new();
    for (index, &key) in keys.iter().enumerate() {
        let at = here[index % 2];
        let write = put("meanwhile").of(key).over(&old[index]).silently();
        let wrote = walk.put_at(&write, Some(at))?;
        let read = walk.get_at(&get().of(key).silently(), Some(here[(index + 1) % 2]))?;
        walk.shows(&read, &[&wrote])?;
        newest.push(wrote);
    }
    walk.say("every key is written and read with two answers among those who reach each other");
    walk.pass(5_000);
    let now = (walk.world.newest_map().version, walk.places_of_all());
    walk.equal(
        "the version, and where classes stand",
        (version, places),
        now,
    )?;
    let gone = held.difference(&copies(walk)).count();
    walk.equal("copies that went", 0, gone)?;
    let silent: BTreeSet<_> = walk.world.nodes[here[0]]
        .silent()
        .into_iter()
        .flatten()
        .collect();
    let cut_off: BTreeSet<_> = there.iter().map(|&place| walk.id(place)).collect();
    walk.equal(
        "those of whom a member says that they do not answer",
        cut_off,
        silent,
    )?;
    for cut in cuts {
        walk.world.end_cut(cut);
    }
    walk.say("the cuts end");
    let_go(walk, N6)?;
    walk.moved()?;
    walk.at_rest()?;
    for (key, wrote) in keys.iter().zip(&newest) {
        let read = walk.get_at(&get().of(*key).silently(), None)?;
        walk.shows(&read, &[wrote])?;
    }
    walk.expect(
        "keys",
        first,
        walk.world.config.keys,
        walk.world.config.keys > first,
    )
}

fn v04(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let a = walk.place(P1);
    let mut client = OldClient::new(walk);
    let keys = keys_at(walk, a, 20);
    let old = write_each(walk, &keys, "old", &[])?;
    walk.at_rest()?;
    walk.kill_at(a);
    walk.pass(2_000);
    let newest = write_each(walk, &keys, "new", &old)?;
    let away = walk.world.nodes[a].id;
    let from = walk.world.newest_map().version;
    for round in 0_u16..5 {
        let other = walk.id(walk.place(F4));
        let weight = Weight::new(50 + round).unwrap_or_default();
        walk.stage(&[StagedChange::weight(other, weight)])?;
        walk.order(RingChange::Clear)
            .map_err(|refused| Failure::Refused {
                what: "to clear".to_owned(),
                refused,
            })?;
    }
    walk.stage(&[StagedChange::force_remove(away)])?;
    walk.commit(Commit {
        force: true,
        loss_of: vec![away],
        plan: None,
    })?;
    let joins = join(walk, N6);
    walk.begin(&[joins])?;
    let replaces = replace(walk, walk.place(P2), N7);
    walk.pass(2_000);
    walk.begin(&[replaces])?;
    let newest = write_each(walk, &keys, "newest", &newest)?;
    let versions = walk.world.newest_map().version.get() - from.get();
    walk.say(format!(
        "it was away for {versions} versions, and the ring has no place for it any more; it starts"
    ));
    walk.expect(
        "versions that it missed",
        "15 or more",
        versions,
        versions >= 15,
    )?;
    walk.start_at(a);
    let mut served = 0;
    for _ in 0..20 {
        for (&key, wrote) in keys.iter().zip(&newest).take(5) {
            served += usize::from(newest_or_nothing(walk, a, key, wrote)?);
        }
        walk.pass(30);
    }
    walk.say(format!(
        "it answered {served} reads since, all with the newest value, and refused the others"
    ));
    walk.moved()?;
    for (&key, wrote) in keys.iter().zip(&newest) {
        for r in [2, 3] {
            let read = walk.get_at(&get().of(key).r(r).silently(), None)?;
            walk.shows(&read, &[wrote])?;
        }
    }
    walk.say("what it had written nothing over: no old value is back anywhere");
    for (&key, wrote) in keys.iter().zip(&newest) {
        client.writes(walk, key, wrote)?;
    }
    walk.say(client.told());
    walk.at_rest().map(|_| ())
}

/// Messages that decide versions: neither words of what was done nor what moves.
const DECIDING: [&str; 5] = [
    "MapPrepare",
    "MapPromise",
    "MapAccept",
    "MapAccepted",
    "MapDecided",
];
/// Versions that one change of the ring takes at most, whatever it moves; in bad weather, where words come late, twice as many.
const VERSIONS_MAX: u64 = 16;
/// Messages for one version of six members at most, with rivals who propose it.
const MESSAGES_MAX: u64 = 120;

fn v05(walk: &mut Walk<'_>) -> Result<(), Failure> {
    for partitions in [8, 64, 512] {
        let stage = Stage {
            partitions,
            ..Stage::with_spares(1)
        };
        let config = stage::config(walk.world.config.seed, walk.weather, stage, 1);
        let mut inner = Walk::new(config, walk.weather, 1, Trace::new(false), false, &|_| {});
        let joins = join(&inner, N6);
        inner.pass(3_000);
        inner.stage(&[joins])?;
        let plan = inner.plan()?;
        let moved: u32 = plan.nodes.iter().map(|line| line.receives).sum();
        let before = (inner.world.newest_map().version.get(), deciding(&inner));
        inner.commit(Commit::default())?;
        inner.moved()?;
        let versions = inner.world.newest_map().version.get() - before.0;
        let messages = deciding(&inner) - before.1;
        walk.say(format!(
            "{partitions} partitions: {moved} copies move in {versions} versions, decided with {messages} messages"
        ));
        let most = if walk.is_calm() {
            VERSIONS_MAX
        } else {
            2 * VERSIONS_MAX
        };
        walk.expect("versions", most, versions, versions <= most)?;
        let most = most * MESSAGES_MAX;
        walk.expect(
            "messages that decide them",
            most,
            messages,
            messages <= most,
        )?;
    }
    Ok(())
}

fn deciding(walk: &Walk<'_>) -> u64 {
    let sent = &walk.world.sent;
    DECIDING
        .iter()
        .filter_map(|kind| sent.get(kind))
        .map(|(count, _)| count)
        .sum()
}
