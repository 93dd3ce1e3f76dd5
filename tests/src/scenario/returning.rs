//! R09 to R13, R12b: what happens when a node comes back.

use quorate_protocol::error::ErrorCode;

use super::Scenario;
use super::ask::{Seen, Wrote};
use super::failure::{Failure, Refused};
use super::request::{Over, get, put};
use super::stage::{Stage, Weather};
use super::walk::{BUCKET, F4, F5, P1, P2, P3, Walk, Who};
use crate::sim::history::{Key, WriteId};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "r09",
        sentence: "P1 comes back: hints reach it within 10 s; then it alone serves r=1; F4 dropped its copy only after P1 had it durably.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r09,
    },
    Scenario {
        name: "r10",
        sentence: "While P1 catches up, every key is read at r=1, 2 and 3, again and again: no not found, no stale value.",
        weather: Weather::Windy,
        stage: Stage::FIVE,
        walk: r10,
    },
    Scenario {
        name: "r11",
        sentence: "Two primaries down, writes at w=3, one recovers: a default read succeeds on its first try; the same after the second.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r11,
    },
    Scenario {
        name: "r12",
        sentence: "P1 and P2 miss a write, then return while those who have it are down: never the older value as if it were current.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r12,
    },
    Scenario {
        name: "r12b",
        sentence: "P3 dies for good, then P1 restarts: reads at r=2 work again within 1 s, because P2 knows that P3 died before P1 left.",
        weather: Weather::Windy,
        stage: Stage::FIVE,
        walk: r12b,
    },
    Scenario {
        name: "r13",
        sentence: "The fallback that holds hints restarts, or is down when the primary returns, or the primary flaps 20 times: the hints still arrive.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r13,
    },
];

fn r09(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.kill(P1);
    walk.missed(P1)?;
    let wrote = walk.put(&put("v").w(3), P2)?;
    walk.exactly(
        "hints that F4 keeps for P1",
        1,
        walk.hints(Some(F4), Some(P1)),
    )?;
    walk.start(P1);
    walk.handed_over(P1)?;
    walk.say("at this very moment P1 loses its power: what it confirmed must be on its disk");
    walk.power(P1);
    for who in [P2, P3, F4, F5] {
        walk.kill(who);
    }
    walk.start(P1);
    let stale_ok = get().r(1).reading(|options| options.stale_ok = true);
    let read = walk.get(&stale_ok, P1)?;
    walk.shows(&read, &[&wrote])?;
    for who in [P2, P3, F4, F5] {
        walk.start(who);
    }
    walk.idle()?;
    for who in [P2, P3] {
        walk.kill(who);
    }
    let read = walk.get(&get().r(1), P1)?;
    walk.shows(&read, &[&wrote])
}

/// Keys of which P1 is a primary, beside the one that scenarios are about.
fn keys_of_p1(walk: &mut Walk<'_>) -> Vec<Key> {
    let (place, many) = (walk.place(P1), walk.many as usize);
    let keys = (1..).map(|number| Key {
        bucket: BUCKET,
        number,
    });
    let keys: Vec<Key> = keys
        .filter(|&key| walk.world.primaries(key).contains(&place))
        .take(many)
        .collect();
    walk.world.config.keys = keys.last().map_or(0, |key| key.number) + 1; // the end reads all of them
    keys
}

/// Requests under way at a time where there are many.
const AT_A_TIME: usize = 50;

/// Writes a value to each key, over what was written before; through P2.
fn write_all(
    walk: &mut Walk<'_>,
    keys: &[Key],
    name: &str,
    before: &[Wrote],
) -> Result<Vec<Wrote>, Failure> {
    let mut done = Vec::new();
    for (chunk, keys) in keys.chunks(AT_A_TIME).enumerate() {
        let requests: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, &key)| {
                let request = put(name).of(key).silently();
                match before.get(chunk * AT_A_TIME + index) {
                    Some(before) => request.over(before),
                    None => request,
                }
            })
            .collect();
        let sent: Vec<_> = requests.iter().map(|one| walk.send(one, P2)).collect();
        for (request, sent) in requests.iter().zip(sent) {
            let reply = walk.wait(&sent);
            let wrote = match (reply.and_then(|reply| walk.wrote(&sent, reply)), sent.id) {
                (Ok(wrote), _) => wrote,
                (Err(refused), Some(id)) if !walk.is_calm() => {
                    walk.say(format!("a write is tried again: {refused}"));
                    walk.put(&request.clone().again(id), P2)?
                }
                (Err(refused), _) => {
                    let what = "a write".to_owned();
                    return Err(Failure::Refused { what, refused });
                }
            };
            done.push(wrote);
        }
    }
    Ok(done)
}

/// Reads all keys once, a third each at r=1 at P1, r=2 at P1 and r=3 at P2. Returns how many answers met a
/// replica that was catching up.
fn read_all(
    walk: &mut Walk<'_>,
    round: usize,
    keys: &[Key],
    newest: &[Wrote],
) -> Result<usize, Failure> {
    let mut met = 0;
    let all: Vec<(Key, WriteId)> = keys
        .iter()
        .zip(newest)
        .map(|(&key, wrote)| (key, wrote.id))
        .collect();
    for (chunk, keys) in all.chunks(AT_A_TIME).enumerate() {
        let requests: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, &(key, _))| {
                let (r, who) = [(1, P1), (2, P1), (3, P2)][(chunk + index + round) % 3];
                (get().of(key).r(r).silently(), who)
            })
            .collect();
        let sent: Vec<_> = requests
            .iter()
            .map(|(request, who)| walk.send(request, *who))
            .collect();
        for (((request, who), sent), (_, newest)) in requests.iter().zip(sent).zip(keys) {
            let reply = walk.wait(&sent);
            let seen = match reply.and_then(|reply| walk.seen(&sent, reply)) {
                Ok(seen) => seen,
                Err(refused) => read_again(walk, request, *who, refused)?,
            };
            walk.shows_ids(&seen, &[*newest].into())?;
            met += usize::from(seen.info.catching_up > 0);
        }
    }
    Ok(met)
}

fn read_again(
    walk: &mut Walk<'_>,
    request: &super::request::Request,
    who: Who,
    refused: Refused,
) -> Result<Seen, Failure> {
    if walk.is_calm() {
        let what = "a read".to_owned();
        return Err(Failure::Refused { what, refused });
    }
    walk.get(request, who)
}

fn r10(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let keys = keys_of_p1(walk);
    let half = keys.len() / 2;
    walk.say(format!(
        "{} keys have P1 as a primary; half of them get a first value",
        keys.len()
    ));
    let old = write_all(walk, &keys[..half], "old", &[])?;
    walk.idle()?;
    walk.kill(P1);
    walk.missed(P1)?;
    let newest = write_all(walk, &keys, "new", &old)?;
    walk.say(format!("{} writes were made without it", newest.len()));
    walk.start(P1);
    let (mut rounds, mut met) = (0, 0);
    while rounds < 3 || walk.is_current(P1).is_err() {
        met += read_all(walk, rounds, &keys, &newest)?;
        rounds += 1;
        let most = if walk.is_calm() { 30 } else { 300 };
        walk.expect(
            "rounds until P1 has caught up",
            most,
            rounds,
            rounds <= most,
        )?;
    }
    walk.say(format!(
        "every key was read {rounds} times, all right; {met} answers met a replica that was catching up"
    ));
    walk.handed_over(P1)?;
    Ok(())
}

fn r11(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let old = walk.put(&put("old").w(3), P3)?;
    walk.idle()?;
    walk.kill(P1);
    walk.kill(P2);
    walk.missed(P1)?;
    walk.missed(P2)?;
    let new = walk.put(&put("new").over(&old).w(3), P3)?;
    for returned in [P1, P2] {
        walk.start(returned);
        for through in [returned, P3] {
            let read = walk.get(&get(), through)?;
            walk.shows(&read, &[&new])?;
        }
    }
    Ok(())
}

fn r12(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let old = walk.put(&put("old").w(3), P1)?;
    walk.idle()?;
    walk.kill(P1);
    walk.kill(P2);
    walk.missed(P1)?;
    walk.missed(P2)?;
    let new = walk.put(&put("new").over(Over::from(&old)).w(2), P3)?;
    walk.kill(P3);
    walk.kill(F4);
    walk.start(P1);
    walk.start(P2);
    for through in [P1, P2, F5, P1] {
        let patient = get().r(2).deadline_ms(3_000);
        match walk.try_get(&patient, through) {
            Ok(read) => walk.shows(&read, &[&new])?,
            Err(refused) => {
                let honest = [
                    Some(ErrorCode::Unavailable),
                    Some(ErrorCode::DeadlineExceeded),
                    None,
                ];
                let holds = honest.contains(&refused.code) || !walk.is_calm();
                walk.expect("how it is refused", "unavailable", refused, holds)?;
            }
        }
    }
    walk.start(P3);
    let read = walk.get(&get().r(2), P1)?;
    walk.shows(&read, &[&new])
}

fn r12b(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let wrote = walk.put(&put("v").w(3), P1)?;
    walk.idle()?;
    walk.kill(P3);
    walk.missed(P3)?;
    walk.pass(5_000);
    walk.say("P3 never comes back");
    walk.kill(P1);
    walk.pass(1_000);
    walk.start(P1);
    // A node that has just started presumes for 1.5 s that every peer is there. That must not delay it.
    let from_us = walk.world.at_us;
    for through in [P1, P2, F4] {
        let read = walk.get(&get().r(2), through)?;
        walk.shows(&read, &[&wrote])?;
        let took_ms = (walk.world.at_us - from_us) / 1000;
        let most_ms = walk.patience_ms(1_000);
        walk.expect(
            "ms until a read works",
            most_ms,
            took_ms,
            took_ms <= most_ms,
        )?;
    }
    Ok(())
}

fn r13(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.kill(P1);
    walk.missed(P1)?;
    let first = walk.put(&put("v").w(3), P2)?;
    let kept = walk.hints(Some(F4), Some(P1));
    walk.exactly("hints that F4 keeps for P1", 1, kept)?;
    walk.kill(F4);
    walk.start(F4);
    walk.equal(
        "hints after its restart",
        kept,
        walk.hints(Some(F4), Some(P1)),
    )?;
    walk.noticed(F4)?;
    walk.kill(F4);
    walk.start(P1);
    walk.noticed(P1)?;
    walk.start(F4);
    walk.handed_over(P1)?;
    walk.say("now P1 comes and goes");
    walk.kill(P1);
    walk.missed(P1)?;
    let second = walk.put(&put("w").over(&first).w(3), P2)?;
    for round in 0..20 {
        walk.start(P1);
        walk.pass(50 + 20 * (round % 7));
        walk.kill(P1);
        walk.pass(30);
    }
    walk.start(P1);
    walk.handed_over(P1)?;
    walk.caught_up(P1)?;
    let read = walk.get(&get().r(1), P1)?;
    walk.shows(&read, &[&second])
}
