//! R01 to R08: who is asked, who answers, and what the reply says.

use quorate_protocol::client::Role;
use quorate_protocol::error::ErrorCode;
use quorate_protocol::options::Count;

use super::Scenario;
use super::failure::Failure;
use super::request::{get, put};
use super::stage::{Stage, Weather};
use super::walk::{F4, F5, P1, P2, P3, PRIMARIES, Walk, Who};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "r01",
        sentence: "A healthy cluster holds exactly n copies of a key on n distinct nodes, and says which.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r01,
    },
    Scenario {
        name: "r02",
        sentence: "A request goes to all replicas; r answers end it; explain shows each replica's part.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r02,
    },
    Scenario {
        name: "r03",
        sentence: "w=2 with P3 down: accepted with two primaries and a fallback copy; the reply says so.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r03,
    },
    Scenario {
        name: "r04",
        sentence: "One primary down, then read r=3: the value on this very read; with notfound_ok=false the fallback's empty answer does not count.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r04,
    },
    Scenario {
        name: "r05",
        sentence: "After R04 read repair has put the value on F4: the next r=3 read succeeds either way, and so do r=2 and r=1.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r05,
    },
    Scenario {
        name: "r06",
        sentence: "Two primaries down: two fallbacks are filled by repair from the one primary left.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r06,
    },
    Scenario {
        name: "r07",
        sentence: "All primaries down: what a fallback holds is returned and marked; otherwise unavailable, never not found.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r07,
    },
    Scenario {
        name: "r08",
        sentence: "w=3 with P1 down is accepted through F4, and read r=3 is right at once; pw=3 fails and says 2 of 3.",
        weather: Weather::Stormy,
        stage: Stage::FIVE,
        walk: r08,
    },
];

fn r01(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.put(&put("v").w(3), P1)?;
    walk.idle()?;
    let holders = walk.holders();
    walk.say(format!("on disk it is at {holders:?}"));
    walk.equal("who holds the key", PRIMARIES.to_vec(), holders)?;
    let read = walk.get(&get().r(3).reading(|options| options.explain = true), P1)?;
    let places = read.info.preference.iter();
    let list = places.map(|id| usize::try_from(id.get()).unwrap_or(0) - 1);
    let list: Vec<_> = list.filter_map(|place| walk.who(place)).collect();
    walk.say(format!("the preference list is {list:?}"));
    walk.equal("the preference list", vec![P1, P2, P3, F4, F5], list)
}

fn r02(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let wrote = walk.put(&put("v"), P2)?;
    walk.idle()?;
    let explained = get().r(3).reading(|options| options.explain = true);
    let read = walk.get(&explained, P1)?;
    walk.shows(&read, &[&wrote])?;
    for part in &read.info.replicas {
        walk.say(format!(
            "  {:?} n{}: {}, {} version, {}",
            part.role,
            part.node.get(),
            part.answer,
            part.dots.len(),
            part.latency_us
                .map_or("no answer".to_owned(), |us| format!("{us} us")),
        ));
    }
    let primaries = read
        .info
        .replicas
        .iter()
        .filter(|part| part.role == Role::Primary && part.answer == "value")
        .count();
    walk.exactly("primaries that answered with the value", 3, primaries)?;
    let usual = walk.get(&get().reading(|options| options.explain = true), P1)?;
    walk.exactly(
        "answers that a default read waits for",
        2,
        usual.info.answered,
    )
}

fn r03(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.kill(P3);
    walk.missed(P3)?;
    let first = walk.put(&put("one").w(2), P1)?;
    let both = walk.put(&put("two").over(&first).w(3), P1)?;
    let who = (both.info.primaries, both.info.fallbacks);
    walk.exactly("primaries and fallbacks that took w=3", (2, 1), who)?;
    walk.exactly(
        "hints that F4 keeps for P3",
        1,
        walk.hints(Some(F4), Some(P3)),
    )?;
    let read = walk.get(&get(), P1)?;
    walk.shows(&read, &[&both])
}

/// The value is on three primaries, and P3 dies.
fn one_down(walk: &mut Walk<'_>) -> Result<super::ask::Wrote, Failure> {
    let wrote = walk.put(&put("v").w(3), P1)?;
    walk.idle()?;
    walk.kill(P3);
    walk.missed(P3)?;
    Ok(wrote)
}

fn picky() -> super::request::Request {
    get()
        .r(3)
        .reading(|options| options.notfound_ok = Some(false))
}

fn r04(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let wrote = one_down(walk)?;
    let result = walk.try_get(&picky(), P1);
    let refused = walk.fails("the picky read", ErrorCode::QuorumNotMet, result)?;
    let counts = (refused.needed, refused.got);
    walk.exactly("needed and got", (Some(3), Some(2)), counts)?;
    let read = walk.get(&get().r(3), P1)?;
    walk.shows(&read, &[&wrote])
}

/// Waits until fallbacks hold the value. In bad weather a repair may be lost: then the next read makes it.
fn filled(walk: &mut Walk<'_>, what: &str, reader: Who, who: &[Who]) -> Result<(), Failure> {
    if !walk.is_calm() {
        for _ in 0..5 {
            walk.get(&get().r(3).silently(), reader)?;
            walk.pass(500);
        }
    }
    walk.until(what, 2_000, |walk| {
        match who.iter().find(|&&who| walk.hints(Some(who), None) == 0) {
            Some(empty) => Err(format!("{} holds nothing", walk.name(*empty))),
            None => Ok(()),
        }
    })?;
    Ok(())
}

fn r05(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let wrote = one_down(walk)?;
    let read = walk.get(&get().r(3), P1)?;
    walk.shows(&read, &[&wrote])?;
    filled(walk, "F4 has been filled by read repair", P1, &[F4])?;
    let read = walk.get(&picky(), P1)?;
    walk.shows(&read, &[&wrote])?;
    let who = (read.info.primaries, read.info.fallbacks);
    walk.exactly("primaries and fallbacks that answered", (2, 1), who)?;
    for r in [1, 2, 3] {
        let read = walk.get(&get().r(r), P2)?;
        walk.shows(&read, &[&wrote])?;
    }
    Ok(())
}

fn r06(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let wrote = walk.put(&put("v").w(3), P1)?;
    walk.idle()?;
    walk.kill(P1);
    walk.kill(P2);
    walk.missed(P1)?;
    walk.missed(P2)?;
    let read = walk.get(&get().r(3), P3)?;
    walk.shows(&read, &[&wrote])?;
    filled(walk, "both fallbacks have been filled", P3, &[F4, F5])?;
    let read = walk.get(&picky(), P3)?;
    walk.shows(&read, &[&wrote])
}

fn r07(walk: &mut Walk<'_>) -> Result<(), Failure> {
    PRIMARIES.iter().for_each(|&who| walk.kill(who));
    for who in PRIMARIES {
        walk.missed(who)?;
    }
    for r in [1, 2, 3] {
        let result = walk.try_get(&get().r(r), F5);
        walk.fails("a read without any primary", ErrorCode::Unavailable, result)?;
    }
    walk.pass(2_000);
    walk.equal("hints that those reads made", 0, walk.hints(None, None))?;
    let wrote = walk.put(&put("v").w(2), F5)?;
    let who = (wrote.info.primaries, wrote.info.fallbacks);
    walk.exactly("primaries and fallbacks that took it", (0, 2), who)?;
    let read = walk.get(&get(), F5)?;
    walk.shows(&read, &[&wrote])?;
    walk.equal("marked fallbacks_only", true, read.fallbacks_only)?;
    PRIMARIES.iter().for_each(|&who| walk.start(who));
    walk.idle()?;
    let read = walk.get(&get().r(3), P3)?;
    walk.shows(&read, &[&wrote])
}

fn r08(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.kill(P1);
    walk.missed(P1)?;
    let wrote = walk.put(&put("v").w(3), P2)?;
    let read = walk.get(&get().r(3), P2)?;
    walk.shows(&read, &[&wrote])?;
    let strict = put("w")
        .over(&read)
        .writing(|options| options.pw = Some(Count::All));
    let result = walk.try_put(&strict, P2);
    let refused = walk.fails("pw=3 with two primaries", ErrorCode::QuorumNotMet, result)?;
    let counts = (refused.needed, refused.got);
    walk.exactly("needed and got", (Some(3), Some(2)), counts)
}
