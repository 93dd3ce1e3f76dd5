//! A02 to A06 and A08: what clients see, and what becomes of data, while classes move.

use std::collections::BTreeSet;

use quorate_protocol::client::Moves;
use quorate_protocol::error::ErrorCode;
use quorate_protocol::versioned::{ClassState, StagedChange};

use super::Scenario;
use super::ask::{UnderWay, Wrote};
use super::failure::Failure;
use super::request::{Over, delete, get, put};
use super::stage::{Stage, Weather};
use super::walk::{BUCKET, F4, P1, P2, P3, Walk};
use crate::sim::history::Key;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "a02",
        sentence: "Under constant load of ascending values and reads of every key a node joins, one leaves, one is replaced, one is removed by force: nothing lost, nothing not found, nothing stale.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(2),
        walk: a02,
    },
    Scenario {
        name: "a03",
        sentence: "While a class moves, a write reaches its quorum among the old replicas and among the new ones; a newcomer never answers from a half-full copy.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a03,
    },
    Scenario {
        name: "a04",
        sentence: "A newcomer gets copied records and live writes of the same keys in any order, and twice: it ends up with the same as all.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a04,
    },
    Scenario {
        name: "a05",
        sentence: "One key is written a thousand times a second throughout: the class moves all the same.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a05,
    },
    Scenario {
        name: "a06",
        sentence: "The old replicas had diverged before the move began, since one was cut off: nothing of either side is lost.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a06,
    },
    Scenario {
        name: "a08",
        sentence: "A rolling restart of all nodes, each before the one before it has caught up, also while a node joins: nothing lost, nothing not found, nothing stale.",
        weather: Weather::Stormy,
        stage: Stage::with_spares(1),
        walk: a08,
    },
];

/// The first node that is no member at first, and the second.
pub(super) const N6: usize = 5;
pub(super) const N7: usize = 6;
/// Keys of a load.
const LOADED: u32 = 8;

pub(super) fn join(walk: &Walk<'_>, place: usize) -> StagedChange {
    StagedChange::join(walk.as_member(place))
}

pub(super) fn replace(walk: &Walk<'_>, place: usize, by: usize) -> StagedChange {
    StagedChange::replace(walk.id(place), walk.as_member(by))
}

/// Keys of which the node at a place is a primary, so many, and no others.
pub(super) fn keys_at(walk: &mut Walk<'_>, place: usize, many: usize) -> Vec<Key> {
    let (first, id) = (walk.world.config.keys, walk.id(place));
    let numbers = (first..).map(|number| Key {
        bucket: BUCKET,
        number,
    });
    let chosen = numbers.filter(|&key| walk.standing(key).read.contains(&id));
    let keys: Vec<Key> = chosen.take(many).collect();
    walk.world.config.keys = keys.last().map_or(first, |key| key.number + 1);
    keys
}

/// Writes a value to each key, over what was there.
pub(super) fn write_each(
    walk: &mut Walk<'_>,
    keys: &[Key],
    name: &str,
    before: &[Wrote],
) -> Result<Vec<Wrote>, Failure> {
    let mut all = Vec::new();
    for (index, &key) in keys.iter().enumerate() {
        let request = put(name).of(key).silently();
        let request = match before.get(index) {
            Some(before) => request.over(before),
            None => request,
        };
        all.push(walk.put_patiently(&request)?);
    }
    walk.say(format!("\"{name}\" is written to {} keys", keys.len()));
    Ok(all)
}

fn a02(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.begin_load(LOADED);
    walk.pass(1_000);
    let joins = join(walk, N6);
    walk.make(&[joins])?;
    let leaves = StagedChange::leave(walk.id(walk.place(P2)));
    walk.make(&[leaves])?;
    let replaces = replace(walk, walk.place(P3), N7);
    walk.make(&[replaces])?;
    let lost = walk.place(F4);
    // Whoever goes for good must not take the only copy of what was acknowledged: w=2 says that there are two.
    walk.lose(lost);
    walk.pass(2_000);
    walk.force_out(lost)?;
    walk.pass(1_000);
    walk.end_load()?;
    walk.at_rest().map(|_| ())
}

/// The slowest pace of copies, bytes a second.
const SLOWEST: u64 = 1_000;

/// Changes set out, and their newcomer is not filled until told otherwise. Until that order has arrived copies travel as slowly as
/// they can: few as they are, they would be there before it.
pub(super) fn begin_held_up(
    walk: &mut Walk<'_>,
    changes: &[StagedChange],
    by: usize,
) -> Result<(), Failure> {
    let pace = |bytes_per_s: u64| Moves {
        bytes_per_s: Some(bytes_per_s),
        ..Moves::default()
    };
    walk.moves_everywhere(pace(SLOWEST))?;
    walk.begin(changes)?;
    hold_up(walk, by)?;
    walk.moves_everywhere(pace(0))
}

fn hold_up(walk: &mut Walk<'_>, by: usize) -> Result<(), Failure> {
    let id = walk.id(by);
    walk.until("the newcomer knows that it is a member", 5_000, |walk| {
        let newest = walk.world.nodes[by].newest();
        let is_member = newest.is_some_and(|newest| newest.map().map.member(id).is_some());
        is_member
            .then_some(())
            .ok_or_else(|| "it does not".to_owned())
    })?;
    let paused = Moves {
        pause: Some(true),
        ..Moves::default()
    };
    walk.moves(by, paused)?;
    walk.say("the newcomer is told not to be filled until further notice");
    Ok(())
}

/// It is filled.
pub(super) fn let_go(walk: &mut Walk<'_>, by: usize) -> Result<(), Failure> {
    let go_on = Moves {
        pause: Some(false),
        ..Moves::default()
    };
    walk.say("the newcomer is told to go on");
    walk.moves(by, go_on).map(|_| ())
}

/// Those of the keys whose class is under way, the old nodes being read.
fn held_up(walk: &Walk<'_>, keys: &[Key]) -> Vec<usize> {
    let moves = |&index: &usize| walk.standing(keys[index]).state == ClassState::JointOld;
    (0..keys.len()).filter(moves).collect()
}

fn a03(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let (a, b) = (walk.place(P1), walk.place(P2));
    let keys = keys_at(walk, a, 40);
    let mut newest = write_each(walk, &keys, "old", &[])?;
    walk.at_rest()?;
    let replaces = replace(walk, a, N6);
    begin_held_up(walk, &[replaces], N6)?;
    let moving = held_up(walk, &keys);
    walk.expect("classes held up", "most", moving.len(), moving.len() > 10)?;
    for &index in moving.iter().step_by(2) {
        newest[index] = both_quorums(walk, keys[index], &newest[index])?;
    }
    walk.say("each of those writes reached two of the old nodes and two of the new ones");
    half_full(walk, &keys, &newest)?;
    walk.kill_at(N6);
    walk.kill_at(b);
    walk.pass(2_000);
    let id = walk.id(b);
    let with_b = moving
        .iter()
        .find(|&&index| walk.standing(keys[index]).new.contains(&id));
    if let Some(&index) = with_b {
        let strict = put("refused").of(keys[index]).over(&newest[index]);
        let strict = strict
            .writing(|options| options.sloppy = Some(false))
            .deadline_ms(3_000);
        let result = walk.try_put_at(&strict, a);
        let is_refused =
            matches!(&result, Err(refused) if refused.code != Some(ErrorCode::Invalid));
        walk.expect(
            "a strict write with one of three new nodes",
            "an error",
            &result,
            is_refused,
        )?;
    }
    walk.start_at(N6);
    walk.start_at(b);
    walk.pass(3_000);
    if let Some(&index) = with_b {
        // It may be there all the same, where it was stored before it failed.
        newest[index] = walk.put_at(&put("after it").of(keys[index]).silently(), None)?;
        let read = walk.get_at(&get().of(keys[index]).silently(), None)?;
        let all = put("all").of(keys[index]).over(&read).silently();
        newest[index] = walk.put_at(&all, None)?;
    }
    let_go(walk, N6)?;
    walk.at_rest()?;
    half_full(walk, &keys, &newest)
}

/// A write that is acknowledged by two is at two of the old set and at two of the new one.
fn both_quorums(walk: &mut Walk<'_>, key: Key, before: &Wrote) -> Result<Wrote, Failure> {
    let standing = walk.standing(key);
    let strict = put("new").of(key).over(Over::from(before)).silently();
    let strict = strict.writing(|options| options.sloppy = Some(false)).w(2);
    let wrote = walk.put_patiently(&strict)?;
    if standing.state != ClassState::JointOld || walk.standing(key) != standing {
        return Ok(wrote); // the order to pause came too late for this class
    }
    for (set, which) in [(standing.old, "old"), (standing.new, "new")] {
        let nodes = 0..walk.world.nodes.len();
        let nodes = nodes.filter(|&place| set.contains(&walk.id(place)));
        let have = nodes
            .filter(|&place| walk.holds(place, key, wrote.id))
            .count();
        let what = format!("{which} nodes that have an acknowledged write of {key}");
        walk.expect(&what, "two or more", have, have >= 2)?;
    }
    Ok(wrote)
}

/// Reads through the newcomer show the newest values, and where it is not read its own answer counts for nothing.
fn half_full(walk: &mut Walk<'_>, keys: &[Key], newest: &[Wrote]) -> Result<(), Failure> {
    let id = walk.id(N6);
    let mut held_back = 0;
    for (&key, wrote) in keys.iter().zip(newest) {
        for r in [1, 2, 3] {
            let moves = walk.standing(key).state == ClassState::JointOld;
            let explained = get()
                .of(key)
                .r(r)
                .silently()
                .reading(|options| options.explain = true);
            let read = walk.get_at(&explained, Some(N6))?;
            walk.shows_ids(&read, &BTreeSet::from([wrote.id]))?;
            let counted = read.info.replicas.iter();
            let counted = counted
                .filter(|part| part.node == id && part.counted)
                .count();
            if moves && walk.standing(key).state == ClassState::JointOld {
                walk.equal("answers of the half-full copy that counted", 0, counted)?;
                held_back += 1;
            }
        }
    }
    walk.say(format!(
        "every key was read at the newcomer with one, two and three answers: all right, {held_back} times while its copy was half full"
    ));
    Ok(())
}

fn a04(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.shake();
    let a = walk.place(P1);
    let keys = keys_at(walk, a, 30);
    let old = write_each(walk, &keys, "old", &[])?;
    walk.idle()?;
    let slow = Moves {
        bytes_per_s: Some(20_000),
        ..Moves::default()
    };
    walk.moves_everywhere(slow)?;
    let replaces = replace(walk, a, N6);
    walk.begin(&[replaces])?;
    let mut newest = old;
    let (mut rounds, mut deleted) = (0, BTreeSet::new());
    while rounds < 3 || (walk.has_moved().is_err() && rounds < 40) {
        for (index, &key) in keys.iter().enumerate() {
            let over = newest[index].clone();
            if (index + rounds) % 7 == 0 && !deleted.contains(&index) {
                newest[index] = walk.put_patiently(&delete(&over).of(key).silently())?;
                deleted.insert(index);
            } else {
                let write = put(format!("live {rounds}")).of(key).over(&over).silently();
                newest[index] = walk.put_patiently(&write)?;
                deleted.remove(&index);
            }
        }
        rounds += 1;
    }
    walk.say(format!(
        "each key was written or deleted {rounds} times while records were copied"
    ));
    walk.at_rest()?;
    for (index, (&key, newest)) in keys.iter().zip(&newest).enumerate() {
        let read = walk.get_at(&get().of(key).r(3).silently(), Some(N6))?;
        let shown = BTreeSet::from_iter((!deleted.contains(&index)).then_some(newest.id));
        walk.shows_ids(&read, &shown)?;
    }
    Ok(())
}

/// Writes of one key that are under way at most. In bad weather, where each takes long, no more than keep the siblings few.
const UNDER_WAY: usize = 32;
const UNDER_WAY_IN_WIND: usize = 4;
/// A request for it has so long, milliseconds: where a message is lost nothing comes before that.
const RESTLESS_MS: u32 = 2_000;

/// Who writes one key all the time, over what was read of it last.
#[derive(Debug)]
struct Restless {
    over: Over,
    under_way: Vec<UnderWay>,
    /// Siblings have piled up to their limit, since no read came back for long: the key is read before it is written again, as the
    /// refusal demands.
    crowded: bool,
    sent: usize,
    done: usize,
    refused: usize,
}

impl Restless {
    fn writes(&self) -> usize {
        let writes = self.under_way.iter().filter(|way| way.id.is_some());
        writes.count()
    }

    /// Sends what may be sent, and takes what has come a millisecond later.
    fn go_on(&mut self, walk: &mut Walk<'_>) {
        let most = if walk.is_calm() {
            UNDER_WAY
        } else {
            UNDER_WAY_IN_WIND
        };
        if let Some(place) = walk.some_running() {
            let writes = self.writes();
            if writes < most && !self.crowded {
                let write = put(format!("{}", self.sent)).over(self.over.clone());
                let write = write.deadline_ms(RESTLESS_MS).silently();
                self.under_way.push(walk.send_to(&write, place));
                self.sent += 1;
            }
            if self.writes() == self.under_way.len() {
                let read = get().deadline_ms(RESTLESS_MS).silently();
                self.under_way.push(walk.send_to(&read, place));
            }
        }
        walk.pass(1);
        let under_way = std::mem::take(&mut self.under_way).into_iter();
        let (ended, rest): (Vec<_>, Vec<_>) = under_way.partition(|way| walk.has_ended(way));
        self.under_way = rest;
        for way in ended {
            self.take(walk, &way);
        }
    }

    fn take(&mut self, walk: &mut Walk<'_>, way: &UnderWay) {
        match (way.id, walk.wait(way)) {
            (Some(_), Ok(_)) => self.done += 1,
            (None, Ok(reply)) => {
                if let Ok(seen) = walk.seen(way, reply) {
                    self.over = Over::from(&seen);
                    self.crowded = false;
                }
            }
            (_, Err(refused)) => {
                self.crowded |= refused.code == Some(ErrorCode::TooLarge);
                self.refused += 1;
            }
        }
    }
}

fn a05(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let a = walk.place(P1);
    let keys = keys_at(walk, a, 50);
    write_each(walk, &keys, "at rest", &[])?;
    let first = walk.put(&put("first"), P1)?;
    let replaces = replace(walk, a, N6);
    walk.begin(&[replaces])?;
    let mut writer = Restless {
        over: Over::from(&first),
        under_way: Vec::new(),
        crowded: false,
        sent: 0,
        done: 0,
        refused: 0,
    };
    let from_us = walk.world.at_us;
    let most_ms = walk.patience_ms(30_000);
    let mut moved_ms = None;
    while moved_ms.is_none() || writer.sent < 500 {
        let took_ms = (walk.world.at_us - from_us) / 1_000;
        if moved_ms.is_none() && walk.has_moved().is_ok() {
            moved_ms = Some(took_ms);
        }
        walk.expect(
            "ms until the class has moved, and five hundred writes were sent",
            most_ms,
            (took_ms, walk.has_moved(), writer.sent),
            took_ms <= most_ms,
        )?;
        writer.go_on(walk);
    }
    let Restless {
        sent,
        done,
        refused,
        ..
    } = writer;
    walk.say(format!(
        "{sent} writes of one key, {done} of them done, {refused} requests refused; its class has moved after {} ms",
        moved_ms.unwrap_or_default()
    ));
    let missed = sent - done - writer.writes();
    walk.expect(
        "writes that were not done",
        "half of them at most",
        (missed, sent),
        missed <= sent / 2,
    )?;
    for way in &writer.under_way {
        // Whatever becomes of it is entered in the history, for the end of the walk.
        let _ = walk.wait(way);
    }
    walk.at_rest().map(|_| ())
}

fn a06(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let a = walk.place(P1);
    let keys = keys_at(walk, a, 12);
    let old = write_each(walk, &keys, "before", &[])?;
    walk.idle()?;
    let others: Vec<usize> = (0..N6).filter(|&place| place != a).collect();
    let cut = walk.cut_at(&[a], &others);
    walk.pass(3_000);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for (index, &key) in keys.iter().enumerate() {
        let alone = put("alone").of(key).over(&old[index]).w(1).silently();
        here.push(walk.put_at(&alone, Some(a))?);
        let beyond = put("others").of(key).over(&old[index]).silently();
        there.push(walk.put_at(&beyond, Some(others[index % others.len()]))?);
    }
    walk.say("both sides wrote over the same values, without seeing each other");
    let replaces = replace(walk, a, N6);
    let staged = [replaces];
    let reach: Vec<usize> = walk.running();
    walk.expect("members", 5, reach.len(), reach.len() == 5)?;
    walk.world.end_cut(cut);
    walk.say("the cut ends, and the one that was cut off is replaced at once");
    walk.make(&staged)?;
    for (index, &key) in keys.iter().enumerate() {
        for r in [2, 3] {
            let read = walk.get_at(&get().of(key).r(r).silently(), None)?;
            walk.shows(&read, &[&here[index], &there[index]])?;
        }
    }
    walk.at_rest()?;
    walk.say("every key has the values of both sides");
    Ok(())
}

fn a08(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.begin_load(LOADED);
    walk.pass(1_000);
    roll(walk, 2)?;
    let joins = join(walk, N6);
    walk.begin(&[joins])?;
    roll(walk, 1)?;
    walk.moved()?;
    walk.end_load()?;
    walk.at_rest().map(|_| ())
}

/// Restarts all members, one after the other, without waiting for anything.
fn roll(walk: &mut Walk<'_>, rounds: usize) -> Result<(), Failure> {
    for _ in 0..rounds {
        for place in walk.world.members() {
            walk.kill_at(place);
            walk.pass(400);
            walk.start_at(place);
            walk.pass(100);
            let behind = walk.is_up_to_date(place).err();
            walk.say(behind.map_or("it is up to date already".to_owned(), |why| {
                format!("the next one restarts although {why}")
            }));
            walk.check_load()?;
        }
    }
    Ok(())
}
