//! One run from its seed to its verdict.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Note;
use quorate_protocol::client::ClientReply;
use quorate_protocol::map::BucketMode;
use quorate_ring::BucketId;

use super::agreeing;
use super::config::Config;
use super::converge;
use super::counters::{Counter, Counters};
use super::history::{History, Key, Operation, Shown, WriteId, write_of};
use super::node::Node;
use super::overrides::Case;
use super::trace::{Begun, Trace};
use super::world::{Prepare, World};
use crate::checkers::bounded::{self, Load};
use crate::checkers::{self, Evidence, Violation};

/// How often the healed cluster is looked at, microseconds.
const LOOK_US: u64 = 250_000;
/// Within this time after healing everything must be settled, microseconds.
const SETTLE_US: u64 = 120_000_000;
/// A settled cluster writes nothing for so long, microseconds. Longer than it takes until clocks are
/// told again that were lost before the healing.
const CALM_US: u64 = 11_000_000;
/// The same where power was lost and logs may keep entries: what lets them go may take two rounds of clocks,
/// where a question of an ended life arrived last.
const CALM_AFTER_LOSS_US: u64 = 22_000_000;
/// How long the reads of the quiet cluster may take, their read repair included, microseconds.
const QUIET_US: u64 = 8_000_000;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held and everything settled.
    Clean,
    /// Some invariant was broken.
    Broken(Vec<Violation>),
    /// The healed cluster did not settle in time: what was left to do.
    Stuck(String),
}

/// What a run has to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// The hash of its trace.
    pub hash: u64,
    /// Events.
    pub events: u64,
    /// Virtual time, microseconds.
    pub virtual_us: u64,
    /// That of the phase with faults.
    pub fault_us: u64,
    /// Faults begun.
    pub faults: u64,
    /// Whether it reached what such a run must reach.
    pub reached: bool,
    /// From healing until everything was settled, microseconds.
    pub settled_after_us: u64,
    /// Operations of clients.
    pub operations: u64,
    /// Those that ended well.
    pub ok: u64,
    /// What happened, counted.
    pub counters: Counters,
    /// Invariants that were broken, with the keys concerned; `stuck` stands for not settled.
    pub concerned: Vec<(String, Key)>,
    /// Lines about the first key concerned.
    pub timeline: Vec<String>,
    /// What the seed decided.
    pub config: String,
    /// The faults that began, in order.
    pub begun: Vec<Begun>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, print: bool, prepare: Prepare<'_>) -> Report {
    run_case(&Case::from(seed), Trace::new(print), prepare)
}

/// Runs a seed with other parts than it decides.
#[must_use]
pub fn run_case(case: &Case, trace: Trace, prepare: Prepare<'_>) -> Report {
    run_configured(Config::of(case), trace, prepare)
}

/// Runs a configuration.
#[must_use]
pub fn run_configured(config: Config, trace: Trace, prepare: Prepare<'_>) -> Report {
    let summary = config.summary();
    let mut world = World::new(config, trace, prepare);
    suffer(&mut world);
    let fault_us = world.at_us;
    let (settled_after_us, verdict) = end(&mut world);
    Report {
        fault_us,
        ..report(&world, summary, settled_after_us, verdict)
    }
}

/// Ends all faults, waits until everything is settled, and judges. Returns how long settling took,
/// microseconds.
pub fn end(world: &mut World<'_>) -> (u64, Verdict) {
    world.heal();
    match settle(world) {
        Err(why) => (SETTLE_US, verdict_of_stuck(world, why)),
        Ok(after_us) => (after_us, judge(world)),
    }
}

/// The phase with faults: as long as planned, and then until its goals are reached.
fn suffer(world: &mut World<'_>) {
    let (planned_us, goals) = (world.config.fault_us, world.config.goals);
    world.run_until(planned_us);
    world.config.think_us /= 20;
    while !world.has_reached(goals) && world.at_us < 6 * planned_us {
        let until_us = world.at_us + LOOK_US;
        world.run_until(until_us);
    }
}

fn settle(world: &mut World<'_>) -> Result<u64, String> {
    let healed_us = world.at_us;
    let (mut writes, mut calm_us) = (0, 0);
    loop {
        let until_us = world.at_us + LOOK_US;
        world.run_until(until_us);
        world.look_after_the_vanished();
        calm_us = if world.data_writes == writes {
            calm_us + LOOK_US
        } else {
            0
        };
        writes = world.data_writes;
        let enough_us = if world.power_lost {
            CALM_AFTER_LOSS_US
        } else {
            CALM_US
        };
        let left = if !world.clients_done() {
            Some("clients have not finished".to_owned())
        } else if calm_us < enough_us {
            Some("something is still being written".to_owned())
        } else {
            converge::unsettled(world)
        };
        let after_us = world.at_us - healed_us;
        match left {
            None => return Ok(after_us),
            Some(why) if after_us >= SETTLE_US => {
                let unsettled = converge::unsettled(world).filter(|other| *other != why);
                let more = unsettled.map(|more| format!("; {more}"));
                return Err(why + &more.unwrap_or_default());
            }
            Some(_) => {}
        }
    }
}

/// A broken invariant says more than that the run is stuck.
fn verdict_of_stuck(world: &World<'_>, why: String) -> Verdict {
    if world.violations.is_empty() {
        Verdict::Stuck(why)
    } else {
        Verdict::Broken(world.violations.clone())
    }
}

fn judge(world: &mut World<'_>) -> Verdict {
    let agreed = agreeing::judge(world);
    let finals = converge::finals(world);
    let mut violations = std::mem::take(&mut world.violations);
    violations.extend(agreed);
    match finals {
        Err(why) => violations.push(Violation::general("I6", why)),
        Ok(finals) => {
            violations.extend(quiet(world, &finals));
            let history = world.history.without(&world.founding.dropped);
            violations.extend(checkers::judge(&evidence(world, &history, finals)));
        }
    }
    if violations.is_empty() {
        Verdict::Clean
    } else {
        Verdict::Broken(violations)
    }
}

/// What checkers are shown. What becomes of a bucket's keys is nobody's concern once somebody has dropped it.
fn evidence<'a>(
    world: &'a World<'_>,
    history: &'a History,
    finals: BTreeMap<Key, BTreeSet<Shown>>,
) -> Evidence<'a> {
    let buckets = &world.config.map.buckets;
    Evidence {
        history,
        finals,
        copies: buckets.iter().map(|b| (b.id, b.props.n)).collect(),
        by_stamp: buckets
            .iter()
            .filter(|bucket| bucket.props.mode == BucketMode::Lww)
            .map(|bucket| bucket.id)
            .collect(),
        profile: world.config.profile,
        power_lost: world.power_lost,
        outages: &world.outages,
        blind: world.blind(),
        unaware: &world.removed.unaware,
        members: &world.removed.members,
        missing: world.copies.missing(),
        lost: world.copies.lost_with_the_gone(),
        stamps: world.dots.stamps(),
        skew_ms: world.skew_ms(),
        expiries: world.expiries(),
        end_us: world.at_us,
    }
}

/// I6: reads of a quiet cluster return what all primaries hold, and write nothing.
fn quiet(world: &mut World<'_>, finals: &BTreeMap<Key, BTreeSet<Shown>>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for why in converge::stray_pieces(world) {
        violations.push(Violation::general("I6", why));
    }
    // A replica that is filled by one that has lost something and cannot know it is a second loss.
    let united = world.counters.of(Counter::Core(Note::ReplicasDiffer));
    if united > 0 && world.vanished.is_empty() {
        let why = "replicas that seemed whole held something else under equal clocks";
        violations.push(Violation::general("I18", why.to_owned()));
    }
    for why in converge::wrong_digests(world) {
        violations.push(Violation::general("I18", why));
    }
    let (writes, repairs) = (world.data_writes, repairs(world));
    let asking_us = world.read_everything();
    world.list_everything();
    let until_us = world.at_us + asking_us + QUIET_US;
    world.run_until(until_us);
    if world.data_writes != writes || self::repairs(world) != repairs {
        violations.push(Violation::general(
            "I6",
            format!(
                "reading the quiet cluster made {} repairs and {} writes",
                self::repairs(world) - repairs,
                world.data_writes - writes
            ),
        ));
    }
    for (bucket, here, answer) in world.list_probes.values() {
        let here: BTreeSet<u32> = here.iter().copied().collect();
        let holds = finals.iter().filter(|(key, shown)| {
            key.bucket == *bucket && here.contains(&key.number) && !shown.is_empty()
        });
        let holds: BTreeSet<u32> = holds.map(|(key, _)| key.number).collect();
        if let Some(why) = wrong_listing(answer.as_ref(), *bucket, &holds) {
            violations.push(Violation::general("listing", why));
        }
    }
    for (key, answer) in world.probes.values() {
        let by_stamp = world
            .config
            .map
            .bucket(key.bucket)
            .is_some_and(|bucket| bucket.props.mode == BucketMode::Lww);
        if let Some(why) = wrong_answer(answer.as_ref(), finals.get(key), by_stamp) {
            violations.push(Violation::of("I6", *key, why));
        }
    }
    let loads: Vec<Load> = world.nodes.iter().filter_map(Node::load).collect();
    violations.extend(bounded::judge(&loads));
    violations
}

fn wrong_listing(
    answer: Option<&ClientReply>,
    bucket: BucketId,
    holds: &BTreeSet<u32>,
) -> Option<String> {
    let Some(ClientReply::KeyPage(page)) = answer else {
        return Some(format!(
            "the quiet cluster answers a listing with {answer:?}"
        ));
    };
    let numbers = page
        .keys
        .iter()
        .map(|key| Key::parse(bucket, key).map(|key| key.number));
    let listed: Option<BTreeSet<u32>> = numbers.collect();
    // A page may end before the keys do: what it has must be the first of them.
    let mut expected: Vec<Key> = holds.iter().map(|&number| Key { bucket, number }).collect();
    expected.sort_by_cached_key(|key| key.bytes());
    if page.more {
        expected.truncate(page.keys.len().max(1));
    }
    let expected: BTreeSet<u32> = expected.into_iter().map(|key| key.number).collect();
    (listed != Some(expected)).then(|| {
        format!(
            "bucket {bucket}: the quiet cluster holds the keys {holds:?} and lists {:?}",
            page.keys
        )
    })
}

fn repairs(world: &World<'_>) -> u64 {
    let of = |note| world.counters.of(Counter::Core(note));
    of(Note::ReadRepair) + of(Note::FallbackRepair)
}

fn wrong_answer(
    answer: Option<&ClientReply>,
    holds: Option<&BTreeSet<Shown>>,
    by_stamp: bool,
) -> Option<String> {
    let Some(ClientReply::Got(got)) = answer else {
        return Some(format!("the quiet cluster answers a read with {answer:?}"));
    };
    let holds: BTreeSet<WriteId> = holds.into_iter().flatten().map(|s| s.write).collect();
    let shown: Result<BTreeSet<WriteId>, String> = got
        .siblings
        .iter()
        .map(|sibling| write_of(&sibling.content.value))
        .collect();
    match shown {
        Err(why) => Some(why),
        Ok(shown) if shown == holds => None,
        Ok(shown) if by_stamp && shown.len() == 1 && shown.is_subset(&holds) => None,
        Ok(shown) => Some(format!(
            "the quiet cluster holds {holds:?} and answers {shown:?}"
        )),
    }
}

/// The keys that a failure is about, each once, in the order in which they are named.
fn concerned(world: &World<'_>, verdict: &Verdict) -> Vec<(String, Key)> {
    let history = &world.history;
    match verdict {
        Verdict::Clean => Vec::new(),
        Verdict::Stuck(why) => {
            let of_class = || {
                let mut writes = history.operations.iter().filter(|op| op.write().is_some());
                let class = |key| world.config.class_of(key).map(|class| class.to_string());
                let named =
                    |op: &&Operation| class(op.key).is_some_and(|class| why.contains(&class));
                Some(writes.find(named)?.key)
            };
            let key = history.concerned(why).or_else(of_class);
            key.map(|key| ("stuck".to_owned(), key))
                .into_iter()
                .collect()
        }
        Verdict::Broken(violations) => violations
            .iter()
            .filter_map(|violation| {
                let key = violation
                    .key
                    .or_else(|| history.concerned(&violation.what))?;
                Some((violation.invariant.to_owned(), key))
            })
            .collect(),
    }
}

fn report(world: &World<'_>, config: String, settled_after_us: u64, verdict: Verdict) -> Report {
    let operations = &world.history.operations;
    let concerned = concerned(world, &verdict);
    Report {
        seed: world.config.seed,
        verdict,
        hash: world.trace.hash(),
        events: world.trace.events(),
        virtual_us: world.at_us,
        fault_us: 0,
        faults: world.trace.begun().borrow().len() as u64,
        reached: world.has_reached(world.config.goals),
        settled_after_us,
        operations: operations.len() as u64,
        ok: operations.iter().filter(|op| op.is_ok()).count() as u64,
        counters: world.counters.clone(),
        timeline: world
            .trace
            .story(&world.history)
            .or_else(|| Some(world.history.timeline(concerned.first()?.1)))
            .unwrap_or_default(),
        config,
        concerned,
        begun: world.trace.begun().borrow().clone(),
    }
}
