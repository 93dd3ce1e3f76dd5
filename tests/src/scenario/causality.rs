//! R14 to R17: what clients see of their own and of each other's writes.

use std::collections::BTreeSet;

use super::Scenario;
use super::failure::Failure;
use super::request::{Over, get, put};
use super::stage::{Stage, Weather};
use super::walk::{ALL as EVERYBODY, P1, P2, P3, PRIMARIES, Walk};
use crate::sim::dice::Dice;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "r14",
        sentence: "Write w=3, then r=1 at each node: the written value everywhere. With a session the same for w=1, and reads never go backwards.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r14,
    },
    Scenario {
        name: "r15",
        sentence: "Write w=1 and a concurrent r=1 read elsewhere: the old or the new value, never an error.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r15,
    },
    Scenario {
        name: "r16",
        sentence: "Two clients write a key without seeing each other: two siblings under one context; a put with it leaves one value.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r16,
    },
    Scenario {
        name: "r17",
        sentence: "10 clients, 1,000 interleaved read-modify-write rounds: never more siblings than writers in flight, and a context below 200 bytes.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r17,
    },
];

fn r14(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let wrote = walk.put(&put("v").w(3), P1)?;
    if walk.is_calm() {
        for who in EVERYBODY {
            let read = walk.get(&get().r(1), who)?;
            walk.shows(&read, &[&wrote])?;
        }
    } else {
        walk.say(
            "in this weather w=3 may be met by a fallback, so r=1 is not asked without a session",
        );
    }
    walk.say("now a session, w=1 and r=1, each request through another node");
    let mut last = wrote;
    for round in 0..10 {
        let at = EVERYBODY[round % 5];
        let next = put(format!("session {round}"))
            .over(&last)
            .w(1)
            .in_session();
        last = walk.put(&next, at)?;
        for step in 1..=2 {
            let other = EVERYBODY[(round + 2 * step) % 5];
            let read = walk.get(&get().r(1).in_session(), other)?;
            walk.shows(&read, &[&last])?;
        }
    }
    Ok(())
}

fn r15(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut old = walk.put(&put("value 0").w(3), P1)?;
    walk.idle()?; // where messages are lost, a fallback may have taken the place of a primary
    let mut older = BTreeSet::from([old.id]);
    let mut seen_new = 0;
    for round in 1..=30_usize {
        walk.pass(50);
        let write = put(format!("value {round}")).over(&old).w(1);
        let write = walk.send(&write.silently(), PRIMARIES[round % 3]);
        let reader = PRIMARIES[(round + 1) % 3];
        let late_us = walk.world.at_us + 37 * round as u64;
        walk.world.run_until(late_us);
        let read = walk.get(&get().r(1).silently(), reader)?;
        let ids: BTreeSet<_> = read.writes.iter().copied().collect();
        // A value that w=1 put on one node reaches the others soon, and in bad weather a little later.
        let known = if walk.is_calm() {
            [old.id].into()
        } else {
            older.clone()
        };
        let one = ids.len() == 1;
        let either = one && (ids.is_subset(&known) || ids.iter().next().copied() == write.id);
        walk.expect("old or new", "one of them", &read.writes, either)?;
        seen_new += u32::from(ids != [old.id].into());
        let result = walk.wait(&write);
        let wrote = result.and_then(|reply| walk.wrote(&write, reply));
        old = match (wrote, write.id) {
            (Ok(wrote), _) => wrote,
            (Err(_), Some(id)) if !walk.is_calm() => {
                let again = put(format!("value {round}")).over(&old).w(1).again(id);
                walk.put(&again, reader)?
            }
            (Err(refused), _) => {
                let what = "the write".to_owned();
                return Err(Failure::Refused { what, refused });
            }
        };
        older.insert(old.id);
    }
    walk.say(format!(
        "30 reads beside a write: {seen_new} showed the new value, the others the old one"
    ));
    Ok(())
}

fn r16(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let one = walk.put(&put("one"), P1)?;
    let two = walk.put(&put("two"), P2)?;
    let read = walk.get(&get(), P3)?;
    walk.shows(&read, &[&one, &two])?;
    let both = walk.put(&put("both").over(&read), P3)?;
    for who in PRIMARIES {
        let read = walk.get(&get().r(2), who)?;
        walk.shows(&read, &[&both])?;
    }
    Ok(())
}

/// Clients of R17.
const WRITERS: usize = 10;
/// Rounds of R17.
const ROUNDS: u32 = 1_000;

fn r17(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut dice = Dice::new(walk.world.config.seed, "writers");
    let rounds = if walk.is_calm() { ROUNDS } else { ROUNDS / 10 };
    let mut read: Vec<Option<Over>> = vec![None; WRITERS];
    let (mut siblings, mut context) = (0, 0);
    for round in 0..rounds {
        // Whoever comes next writes over what it had read some rounds ago, and reads again.
        let writer = dice.index(WRITERS);
        if let Some(over) = read[writer].take() {
            let write = put(format!("{writer}:{round}")).over(over).silently();
            walk.put(&write, PRIMARIES[dice.index(3)])?;
        }
        let seen = walk.get(&get().silently(), PRIMARIES[dice.index(3)])?;
        siblings = siblings.max(seen.writes.len());
        context = context.max(seen.context.len());
        read[writer] = Some(Over::from(&seen));
    }
    walk.say(format!(
        "{rounds} rounds of {WRITERS} clients: at most {siblings} siblings and {context} bytes of context"
    ));
    walk.expect("siblings", WRITERS, siblings, siblings <= WRITERS)?;
    walk.expect("bytes of context", 200, context, context < 200)
}
