//! R21 to R23: links and disks that are neither well nor dead.

use super::Scenario;
use super::ask::{Seen, Wrote};
use super::failure::{Failure, Refused};
use super::request::{Request, get, put};
use super::stage::{Stage, Weather};
use super::walk::{F4, F5, P1, P2, P3, PRIMARIES, Walk, Who};
use crate::sim::faults::Fault;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "r21",
        sentence: "A node is cut off from some peers only, one way, or for milliseconds at a time: both sides accept writes, nothing is lost, and both sides' writes are siblings after healing.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r21,
    },
    Scenario {
        name: "r22",
        sentence: "One replica stands still or is slow by 200 ms: p99 of r=2, w=2 stays below twice its healthy value after the first second.",
        weather: Weather::Calm,
        stage: Stage::FIVE,
        walk: r22,
    },
    Scenario {
        name: "r23",
        sentence: "A disk that is full, slow, or returns errors: its node steps aside, fallbacks take over, clients see no error.",
        weather: Weather::Windy,
        stage: Stage::FIVE,
        walk: r23,
    },
];

fn r21(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.put(&put("before").w(3), P1)?;
    let before = walk.get(&get(), P1)?;
    let cut = walk.cut(&[P1, F4], &[P2, P3, F5]);
    walk.pass(3_000);
    let left = walk.put(&put("left").over(&before).w(2), P1)?;
    let right = walk.put(&put("right").over(&before).w(2), P2)?;
    walk.say("the cut ends");
    walk.mend(cut);
    walk.idle()?;
    for who in PRIMARIES {
        let read = walk.get(&get().r(3), who)?;
        walk.shows(&read, &[&left, &right])?;
    }
    let read = walk.get(&get(), P1)?;
    let cut = walk.cut_one_way(P1, P2);
    walk.pass(3_000);
    let mut last = walk.put(&put("one way").over(&read).w(2), P1)?;
    last = walk.put(&put("against it").over(&last).w(2), P2)?;
    walk.mend(cut);
    walk.say("now the link between P1 and the other primaries comes and goes, 40 times");
    for round in 0..40_usize {
        let cut = walk.cut_silently(&[P1], &[P2, P3]);
        walk.pass(5 + 17 * (round as u64 % 5));
        let write = put(format!("flap {round}")).over(&last).w(2).silently();
        last = walk.put(&write, PRIMARIES[round % 3])?;
        walk.mend(cut);
        walk.pass(20);
    }
    walk.idle()?;
    let read = walk.get(&get().r(3), P3)?;
    walk.shows(&read, &[&last])
}

/// Requests of one measurement.
const MEASURED: usize = 150;

/// Times of requests to primaries that are well, as the client library chooses them, in order.
fn measure(walk: &mut Walk<'_>, at: &[Who]) -> Result<Vec<u64>, Failure> {
    let mut times = Vec::new();
    for round in 0..MEASURED {
        let who = at[round % at.len()];
        let read = walk.get(&get().silently(), who)?;
        let write = put(format!("{round}")).over(&read).silently();
        let wrote = walk.put(&write, who)?;
        times.extend([read.took_us, wrote.took_us]);
        walk.pass(5);
    }
    times.sort_unstable();
    Ok(times)
}

fn p99(times: &[u64]) -> u64 {
    times.get(times.len() * 99 / 100).copied().unwrap_or(0)
}

fn r22(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.put(&put("first"), P1)?;
    let healthy = p99(&measure(walk, &PRIMARIES)?);
    walk.say(format!("healthy: p99 {healthy} us"));
    walk.pause(P3);
    walk.pass(1_000);
    let paused = p99(&measure(walk, &[P1, P2])?);
    walk.say(format!(
        "beside a replica that stands still: p99 {paused} us"
    ));
    walk.expect("p99 beside it", 2 * healthy, paused, paused < 2 * healthy)?;
    walk.go_on(P3);
    walk.idle()?;
    walk.say("now everything from and to P2 takes 100 ms longer each way");
    let place = walk.place(P2);
    walk.world.slow_down(place, 100_000);
    walk.pass(1_000);
    let slow = p99(&measure(walk, &[P1, P3])?);
    walk.say(format!(
        "beside a replica that is slow by 200 ms: p99 {slow} us"
    ));
    walk.expect("p99 beside it", 2 * healthy, slow, slow < 2 * healthy)
}

/// Whom the client library asks, one after the other, after an error that another node may not have.
const IN_TURN: [Who; 6] = [P2, P3, F4, F5, P2, P3];

/// A write at one node after the other, under one request id, until it is done.
fn put_anywhere(walk: &mut Walk<'_>, request: &Request, first: Who) -> Result<Wrote, Failure> {
    let mut request = request.clone();
    let mut under_way = walk.send(&request, first);
    for next in IN_TURN {
        let reply = walk.wait(&under_way);
        if let Ok(wrote) = reply.and_then(|reply| walk.wrote(&under_way, reply)) {
            return Ok(wrote);
        }
        if let Some(id) = under_way.id {
            request = request.again(id);
        }
        walk.pass(50);
        under_way = walk.send(&request, next);
    }
    let reply = walk.wait(&under_way);
    reply
        .and_then(|reply| walk.wrote(&under_way, reply))
        .map_err(nowhere)
}

/// A read at one node after the other.
fn get_anywhere(walk: &mut Walk<'_>, request: &Request, first: Who) -> Result<Seen, Failure> {
    let mut result = walk.try_get(request, first);
    for next in IN_TURN {
        if result.is_ok() {
            break;
        }
        walk.pass(50);
        result = walk.try_get(request, next);
    }
    result.map_err(nowhere)
}

fn nowhere(refused: Refused) -> Failure {
    let what = "a request at one node after the other".to_owned();
    Failure::Refused { what, refused }
}

/// Something that goes wrong with a disk.
struct Trouble {
    text: &'static str,
    fault: fn(usize) -> Fault,
}

/// How long a trouble lasts, microseconds.
const TROUBLE_US: u64 = 8_000_000;

const TROUBLES: [Trouble; 5] = [
    Trouble {
        text: "its disk is full, or mounted read-only",
        fault: |node| Fault::Full {
            node,
            for_us: TROUBLE_US,
        },
    },
    Trouble {
        text: "every third read of its disk fails",
        fault: |node| Fault::BadReads {
            node,
            permille: 300,
            for_us: TROUBLE_US,
        },
    },
    Trouble {
        text: "its next write fails",
        fault: |node| Fault::BadWrite {
            node,
            arrived: false,
        },
    },
    Trouble {
        text: "its next fsync fails",
        fault: |node| Fault::BadSync { node },
    },
    Trouble {
        text: "its fsyncs take seconds",
        fault: |node| Fault::SlowSyncs {
            node,
            for_us: TROUBLE_US,
        },
    },
];

fn r23(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut last = walk.put(&put("first").w(3), P1)?;
    for trouble in TROUBLES {
        walk.trouble(trouble.text, P1, trouble.fault);
        let from_us = walk.world.at_us;
        for round in 0..20 {
            let first = PRIMARIES[round % 3];
            let write = put(format!("{round}")).over(&last).deadline_ms(3_000);
            last = put_anywhere(walk, &write.silently(), first)?;
            let read = get().deadline_ms(3_000).silently();
            let read = get_anywhere(walk, &read, first)?;
            walk.shows(&read, &[&last])?;
            walk.pass(50);
        }
        let took_ms = (walk.world.at_us - from_us) / 1000;
        walk.say(format!(
            "20 writes and 20 reads beside it in {took_ms} ms, all right"
        ));
        walk.world.run_until(from_us + TROUBLE_US + 100_000);
        walk.idle()?;
    }
    Ok(())
}
