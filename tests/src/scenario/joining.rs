//! A01 and A09 to A11: plans and what comes of them, clients with an old ring, copies that travel at a pace, zones.

use std::collections::BTreeSet;

use quorate_protocol::client::{Commit, Moves, RingChange};
use quorate_protocol::versioned::StagedChange;

use super::Scenario;
use super::failure::Failure;
use super::moving::{N6, N7, begin_held_up, join, keys_at, let_go, replace, write_each};
use super::old_client::OldClient;
use super::orders::Places;
use super::request::{get, put};
use super::stage::{Stage, Weather};
use super::walk::{P1, Walk};
use crate::checkers::zones;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a01",
        sentence: "A plan shows what moves where and how much; nothing moves before the commit; then just that moves, and no ring could move less.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a01,
    },
    Scenario {
        name: "a09",
        sentence: "A write that arrives at a node which has handed over is passed on, and the client learns of the new ring from the reply.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a09,
    },
    Scenario {
        name: "a10",
        sentence: "A move is slowed down, paused, resumed and cancelled; how far it is can be seen; requests beside a slow move take less than twice as long.",
        weather: Weather::Calm,
        stage: Stage::with_spares(1),
        walk: a10,
    },
    Scenario {
        name: "a11",
        sentence: "With three zones no two copies share one, through a join, a departure, a replacement and a loss; with fewer the plan says so.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(2).in_zones(),
        walk: a11,
    },
];

/// Copies that stand somewhere in one state and not in the other, by node.
fn gained(before: &Places, after: &Places, node: quorate_ring::NodeId) -> u32 {
    let more = after.iter().filter(|(class, nodes)| {
        let held = before.get(class).is_some_and(|nodes| nodes.contains(&node));
        nodes.contains(&node) && !held
    });
    u32::try_from(more.count()).unwrap_or(u32::MAX)
}

fn a01(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let keys = keys_at(walk, walk.place(P1), 30);
    write_each(walk, &keys, "v", &[])?;
    walk.at_rest()?;
    let before = walk.places_of_all();
    let joins = join(walk, N6);
    walk.stage(&[joins])?;
    let plan = walk.plan()?;
    for line in &plan.nodes {
        walk.say(format!(
            "  {}: {} copies, then {}; receives {}, sends {}",
            line.node, line.before, line.after, line.receives, line.sends
        ));
    }
    walk.pass(5_000);
    walk.equal(
        "where classes stand before the commit",
        &before,
        &walk.places_of_all(),
    )?;
    let early = keys.iter().filter(|&&key| walk.has_object(N6, key)).count();
    walk.equal("values at the newcomer before the commit", 0, early)?;
    walk.commit(Commit {
        plan: Some(plan.digest),
        ..Commit::default()
    })?;
    walk.moved()?;
    let after = walk.places_of_all();
    for line in &plan.nodes {
        let held = |places: &Places| {
            let count = places
                .values()
                .filter(|nodes| nodes.contains(&line.node))
                .count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let is = (
            held(&before),
            held(&after),
            gained(&before, &after, line.node),
        );
        let should = (line.before, line.after, line.receives);
        walk.equal(
            &format!("copies of {} before and after, and received", line.node),
            should,
            is,
        )?;
    }
    // A ring in balance gives the newcomer its share, rounded down: so much has to come from others whatever is done.
    let copies: usize = before.values().map(BTreeSet::len).sum();
    let least = u32::try_from(copies / (walk.running().len())).unwrap_or(u32::MAX);
    let (received, sent): (u32, u32) = plan.nodes.iter().fold((0, 0), |sum, line| {
        (sum.0 + line.receives, sum.1 + line.sends)
    });
    walk.equal(
        "copies that had to move, and that moved",
        (least, least),
        (received, sent),
    )?;
    let loads = plan.nodes.iter().map(|line| line.after);
    let (low, high) = (loads.clone().min(), loads.max());
    let even = low.zip(high).is_some_and(|(low, high)| high - low <= 1);
    walk.expect(
        "the least and the most that a node holds",
        "one apart",
        (low, high),
        even,
    )?;
    walk.at_rest()?;
    let wrong = keys.iter().filter(|&&key| {
        let stands = walk.standing(key).all.contains(&walk.id(N6));
        stands != walk.has_object(N6, key)
    });
    let wrong = wrong.count();
    walk.equal(
        "values that are at the newcomer without a place, or not there with one",
        0,
        wrong,
    )
}

fn a09(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut client = OldClient::new(walk);
    let keys = keys_at(walk, walk.place(P1), 40);
    let mut newest = write_each(walk, &keys, "old", &[])?;
    walk.at_rest()?;
    let joins = join(walk, N6);
    walk.make(&[joins])?;
    let first = client.ring();
    let mut passed_on = 0;
    for (index, &key) in keys.iter().enumerate() {
        // One that has not been told anything yet, for each key.
        let mut old = OldClient {
            map: walk.world.config.map.clone(),
            ..client.clone()
        };
        let asked = old.order(key)[0];
        let place = (0..N6).find(|&place| walk.id(place) == asked).unwrap_or(0);
        let has_a_place = walk.standing(key).all.contains(&asked);
        let wrote = old.writes(walk, key, &newest[index])?;
        walk.expect(
            "the ring that the client has by then",
            "a later one",
            old.ring(),
            old.ring() > first,
        )?;
        walk.exactly("questions for the map", 1, old.asked)?;
        if !has_a_place {
            walk.exactly("tries that were made again", 0, old.tried_again)?;
            let by = wrote.info.coordinator;
            walk.expect(
                "who carried it out",
                "another node",
                by,
                by != Some(asked) || !walk.is_calm(),
            )?;
            walk.until("who has no place keeps nothing of it", 10_000, |walk| {
                let holds = walk.holds(place, key, wrote.id);
                (!holds)
                    .then_some(())
                    .ok_or_else(|| "it is there".to_owned())
            })?;
            passed_on += 1;
        }
        let read = walk.get_at(&get().of(key).silently(), None)?;
        walk.shows(&read, &[&wrote])?;
        newest[index] = wrote;
        client.tried_again += old.tried_again;
    }
    walk.say(format!(
        "{passed_on} of {} writes went to a node that had handed over: all were passed on, and each client asked for the map once, because a reply named a later ring",
        keys.len()
    ));
    walk.expect(
        "writes that were passed on",
        "some",
        passed_on,
        passed_on > 0,
    )
}

/// Writes, and as many reads, of one measurement: over seconds, since in the moment in which everybody hears of the next version
/// all requests of classes that move wait for it, and that moment counts by its share of the time.
const MEASURED: usize = 300;
/// A slow pace, bytes a second: the move lasts longer than what is measured beside it.
const SLOW: u64 = 600;

/// What one request of a hundred takes longer than, microseconds.
fn p99(walk: &mut Walk<'_>) -> Result<u64, Failure> {
    let mut times = Vec::new();
    for _ in 0..MEASURED {
        let read = walk.get_at(&get().silently(), None)?;
        let write = put("measured").over(&read).silently();
        times.extend([read.took_us, walk.put_at(&write, None)?.took_us]);
        walk.pass(5);
    }
    times.sort_unstable();
    Ok(times[times.len() * 99 / 100])
}

fn a10(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let keys = keys_at(walk, walk.place(P1), 100);
    write_each(walk, &keys, "v", &[])?;
    walk.put(&put("first"), P1)?;
    walk.at_rest()?;
    let before = walk.places_of_all();
    let idle_us = p99(walk)?;
    let joins = join(walk, N6);
    begin_held_up(walk, &[joins], N6)?;
    let report = walk.moves(N6, Moves::default())?;
    walk.equal(
        "whether it says that it is paused",
        true,
        report.pace.paused,
    )?;
    let copied = |walk: &Walk<'_>| keys.iter().filter(|&&key| walk.has_object(N6, key)).count();
    // Words of what was filled before the order came are told within a second or two.
    walk.pass(3_000);
    let (held, progress) = (copied(walk), left(walk)?);
    walk.pass(4_000);
    let now = copied(walk);
    walk.equal("values copied while it is paused", held, now)?;
    // In bad weather words of what was done come late, and the order to pause may.
    let left_now = left(walk)?;
    walk.exactly("copies to be filled while it is paused", progress, left_now)?;
    let is_held = progress > 0 || !walk.is_calm();
    walk.expect("copies to be filled", "some", progress, is_held)?;
    walk.say(format!(
        "{progress} copies are to be filled, and nothing happens while it is paused"
    ));
    walk.moves_everywhere(Moves {
        bytes_per_s: Some(SLOW),
        ..Moves::default()
    })?;
    let_go(walk, N6)?;
    let report = walk.moves(N6, Moves::default())?;
    walk.equal(
        "the pace that it says it has",
        (false, SLOW),
        (report.pace.paused, report.pace.most / SLOW * SLOW),
    )?;
    let slow_us = p99(walk)?;
    let under_way = walk.world.newest_map().before.is_some();
    walk.say(format!("p99 {idle_us} us without a move, {slow_us} us beside a slow one; under way still: {under_way}"));
    let most_us = walk.patience_ms(2 * idle_us);
    walk.expect(
        "p99 beside a slow move",
        most_us,
        slow_us,
        slow_us < most_us,
    )?;
    walk.expect(
        "whether it was measured beside the move",
        true,
        under_way,
        under_way || !walk.is_calm(),
    )?;
    let fast = Moves {
        bytes_per_s: Some(0),
        ..Moves::default()
    };
    // It may come to its end before the order to cancel does.
    if under_way && (walk.is_calm() || walk.cancel().is_ok()) {
        if walk.is_calm() {
            walk.cancel()?;
        }
        // Classes that had moved go back, and their copies travel as all do.
        walk.moves_everywhere(fast)?;
        walk.moved()?;
        walk.equal(
            "where classes stand after the cancellation",
            &before,
            &walk.places_of_all(),
        )?;
        walk.at_rest()?;
        walk.equal("values at who came and went", 0, copied(walk))?;
        let joins = join(walk, N6);
        walk.begin(&[joins])?;
    }
    walk.pass(1_000);
    walk.moves_everywhere(fast)?;
    walk.moved()?;
    walk.at_rest()?;
    let share = walk
        .places_of_all()
        .values()
        .filter(|nodes| nodes.contains(&walk.id(N6)))
        .count();
    walk.equal("copies of the newcomer in the end", 32, share)
}

/// Copies to be filled, as some member says that keeps the account.
fn left(walk: &mut Walk<'_>) -> Result<u32, Failure> {
    let mut left = 0;
    for place in walk.running() {
        let report = walk.moves(place, Moves::default())?;
        let nodes = report.ring.iter().flat_map(|ring| &ring.nodes);
        left = left.max(nodes.map(|node| node.filling).sum());
    }
    Ok(left)
}

fn a11(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.begin_load(6);
    let joins = join(walk, N6);
    walk.make(&[joins])?;
    apart(walk)?;
    // n4 and n7 both stand in zone a.
    let replaces = replace(walk, 3, N7);
    walk.make(&[replaces])?;
    apart(walk)?;
    let leaves = StagedChange::leave(walk.id(4));
    walk.make(&[leaves])?;
    apart(walk)?;
    walk.lose(0);
    walk.pass(2_000);
    walk.force_out(0)?;
    apart(walk)?;
    walk.end_load()?;
    let leaves = StagedChange::leave(walk.id(1));
    walk.say("the last node of zone b is to leave");
    walk.stage(&[leaves])?;
    let plan = walk.plan()?;
    let warned = plan
        .warnings
        .iter()
        .find(|warning| warning.text.contains("zone"));
    let told = warned.map(|warning| warning.text.clone());
    walk.say(format!(
        "the plan says: {}",
        told.clone().unwrap_or_default()
    ));
    walk.expect(
        "whether the plan speaks of zones",
        true,
        &told,
        told.is_some(),
    )?;
    walk.order(RingChange::Clear)
        .map_err(|refused| Failure::Refused {
            what: "to clear".to_owned(),
            refused,
        })?;
    walk.at_rest().map(|_| ())
}

/// No two copies of a class stand in one zone. Each version that was decided is judged besides.
fn apart(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let crowded = zones::crowded(&walk.world.newest_map());
    walk.equal("classes with two copies in one zone", None, crowded)?;
    Ok(())
}
