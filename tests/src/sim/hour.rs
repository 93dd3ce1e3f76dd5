//! `quorate-sim --scenario hour`: an hour of everything, and what is left of it afterwards.
//!
//! Sixty virtual minutes of puts, deletes, values that expire and writes over what was read, under every fault that there
//! is: killed and paused processes, power cuts, cut and lossy links, destroyed, old and damaged disks, clocks that
//! jump. Then all faults end, the checkers of all runs judge, siblings are resolved, and everything that lies on
//! the disks is counted. At its floor a node holds one dot for each object, no context, no log entry, no hint, and
//! nothing of deleted keys; no clock has a gap but of an actor that somebody writes with; and of actors that nobody writes
//! with any more a clock has no more entries than are worth a new generation.

use std::process::ExitCode;

use quorate_core::causality::Clock;
use quorate_core::record::{decode_vnode, keys};
use quorate_core::{Census, Family, Timing};
use quorate_protocol::client::ClientReply;
use quorate_protocol::options::{ReadOptions, WriteOptions};

use super::clients::ClientEvent;
use super::config::{Config, FaultPlan, NetworkPlan, Profile};
use super::converge;
use super::driven::Ask;
use super::history::{Key, Kind};
use super::overrides::{Case, Overrides};
use super::run::{Verdict, end};
use super::trace::Trace;
use super::workload;
use super::world::World;

/// How long it is, microseconds.
const HOUR_US: u64 = 3_600_000_000;
/// How often it is told what lies on the disks, microseconds.
const TELL_EVERY_US: u64 = 600_000_000;
/// How long resolving siblings may take to settle, microseconds.
const FLOOR_WITHIN_US: u64 = 120_000_000;
/// How often the cluster is looked at meanwhile, microseconds.
const LOOK_US: u64 = 250_000;
/// Nodes, clients, operations of each, and keys of each bucket.
const NODES: u32 = 5;
const CLIENTS: u32 = 6;
const OPERATIONS: u32 = 3_000;
const KEYS: u32 = 60;
/// Puts with a time to live, of a thousand.
const EXPIRING: u32 = 250;
/// The client in whose name siblings are resolved.
const RESOLVER: u32 = 1_000;
/// Entries of actors that somebody writes with, or did a moment ago, in one clock at most.
const LIVING_MAX: u64 = 2 * NODES as u64;
/// What an object's record and its storage key need beside what a client gave, of one version.
pub const METADATA_BYTES_MAX: u64 = 64;

/// Runs the hour of a seed and tells of it. Ends with 0 if the floor was reached, 1 if an invariant was broken or
/// something is left, 2 if the healed cluster did not settle.
#[must_use]
pub fn main(seed: u64) -> ExitCode {
    let mut world = World::new(config(seed), Trace::new(false), &|_| {});
    println!("{}", world.config.summary());
    while world.at_us < HOUR_US {
        let until_us = world.at_us + TELL_EVERY_US;
        world.run_until(until_us);
        tell(&world);
    }
    let (settled_us, verdict) = end(&mut world);
    match verdict {
        Verdict::Clean => {}
        Verdict::Stuck(why) => return failed(2, &format!("it does not settle: {why}")),
        Verdict::Broken(violations) => {
            let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return failed(1, &lines.join("\n"));
        }
    }
    println!(
        "all faults end: settled after {:.1} s, {} operations judged",
        settled_us as f64 / 1e6,
        world.history.operations.len()
    );
    let resolved = resolve(&mut world);
    println!("{resolved} keys with siblings resolved");
    let until_us = world.at_us + FLOOR_WITHIN_US;
    while world.at_us < until_us && above_floor(&world).is_some() {
        let look_us = world.at_us + LOOK_US;
        world.run_until(look_us);
    }
    tell(&world);
    match above_floor(&world) {
        None => {
            println!(
                "the floor: one dot for each object, and no context, log entry or hint is left"
            );
            ExitCode::SUCCESS
        }
        Some(why) => failed(1, &why),
    }
}

fn failed(code: u8, why: &str) -> ExitCode {
    println!("{why}");
    ExitCode::from(code)
}

/// All faults, more of everything, and an hour of it.
fn config(seed: u64) -> Config {
    let overrides = Overrides {
        nodes: Some(NODES),
        ..Overrides::default()
    };
    let mut config = Config::of(&Case { seed, overrides });
    config.profile = Profile::Storm;
    (config.fault_us, config.repair_every_us) = (HOUR_US, 30_000_000);
    (config.clients, config.operations, config.keys) = (CLIENTS, OPERATIONS, KEYS);
    config.think_us = HOUR_US / u64::from(OPERATIONS);
    config.founding = None;
    config.fold_actors = Timing::default().fold_actors;
    config.network = NetworkPlan {
        loss: 20,
        duplication: 20,
        delay_min_us: 200,
        delay_more_us: 2_000,
        outlive: false,
    };
    config.faults = FaultPlan {
        every_us: 4_000_000,
        kill: true,
        power: true,
        pause: true,
        partition: true,
        one_way: true,
        flap: true,
        clog: true,
        clocks: true,
        several: true,
        bad_reads: true,
        bad_writes: true,
        full: true,
        slow_sync: true,
        bad_sync: true,
        wipe: true,
        rewind: true,
        damage: true,
        vanish: true,
        vanish_objects: false,
    };
    // A value with a single copy would be lost with its disk.
    for bucket in &mut config.map.buckets {
        bucket.props.n = bucket.props.n.max(2);
    }
    config.let_values_expire(EXPIRING);
    config
}

/// What lies on all disks together, as far as they can be read now.
#[derive(Debug, Default)]
struct Sums {
    objects: u64,
    dots: u64,
    contexts: u64,
    metadata_bytes: u64,
    log_entries: u64,
    log_bytes: u64,
    hints: u64,
    vnodes: u64,
    actors: u64,
    /// Entries of actors that somebody writes with.
    living: u64,
}

impl Sums {
    fn take(world: &World<'_>) -> Self {
        let mut sums = Self::default();
        for census in world
            .nodes
            .iter()
            .filter_map(|n| Census::take(&n.disk).ok())
        {
            let log = census.family(Family::Log);
            sums.objects += census.family(Family::Objects).entries;
            sums.dots += census.objects.dots;
            sums.contexts += census.objects.contexts;
            sums.metadata_bytes += census.objects.metadata_bytes;
            sums.log_entries += log.entries;
            sums.log_bytes += log.key_bytes + log.record_bytes;
            sums.hints += census.family(Family::Hints).entries;
            sums.vnodes += census.clocks.vnodes;
            sums.actors += census.clocks.actors;
        }
        sums.living = living(world);
        sums
    }
}

/// How many entries of all clocks are of actors that somebody writes with.
fn living(world: &World<'_>) -> u64 {
    let vnodes = world.nodes.iter().flat_map(|node| {
        let records = node.disk.records(Family::Vnodes);
        records.filter_map(|(key, record)| {
            let class = keys::parse_vnode_key(key)?;
            Some((class, decode_vnode(key, record).ok()?.clock))
        })
    });
    let lives = |class, actor| world.nodes.iter().any(|n| n.writes_with(class, actor));
    let of = |(class, clock): (_, Clock)| clock.actors().filter(|a| lives(class, *a)).count();
    vnodes.map(of).sum::<usize>() as u64
}

fn tell(world: &World<'_>) {
    let sums = Sums::take(world);
    let of = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    println!(
        "{:>3} min: {} operations, {} faults; {} objects, {:.2} dots and {:.1} bytes of metadata each, {} contexts; \
         {} log entries of {} bytes, {} hints; {:.1} entries in each of {} clocks, {:.1} of them of actors in use",
        world.at_us / 60_000_000,
        world.history.operations.len(),
        world.trace.begun().borrow().len(),
        sums.objects,
        of(sums.dots, sums.objects),
        of(sums.metadata_bytes, sums.objects),
        sums.contexts,
        sums.log_entries,
        sums.log_bytes,
        sums.hints,
        of(sums.actors, sums.vnodes),
        sums.vnodes,
        of(sums.living, sums.vnodes),
    );
}

/// What is left that need not be.
fn above_floor(world: &World<'_>) -> Option<String> {
    converge::unsettled(world).or_else(|| world.nodes.iter().find_map(left_at))
}

fn left_at(node: &super::node::Node) -> Option<String> {
    let id = node.id;
    let census = match Census::take(&node.disk) {
        Ok(census) => census,
        Err(error) => return Some(format!("{id}: {error}")),
    };
    let objects = census.family(Family::Objects).entries;
    let left = [
        ("log entries", census.family(Family::Log).entries),
        ("hints", census.family(Family::Hints).entries),
        ("contexts", census.objects.contexts),
        ("deleted objects", census.objects.deleted),
        (
            "dots beyond one for each object",
            census.objects.dots - objects,
        ),
        ("unreadable records", census.unreadable),
    ];
    if let Some((what, count)) = left.iter().find(|(_, count)| *count > 0) {
        return Some(format!("{id} has {count} {what}"));
    }
    let entries = census.clocks.actors_max;
    if entries > Timing::default().fold_actors as u64 + LIVING_MAX {
        return Some(format!("{id} has {entries} entries in one clock"));
    }
    let bytes = census.objects.metadata_bytes;
    (bytes > objects * METADATA_BYTES_MAX)
        .then(|| format!("{id} has {bytes} bytes of metadata for {objects} objects"))
}

/// Puts a value over all siblings of each key that has some. Returns how many keys that were.
fn resolve(world: &mut World<'_>) -> usize {
    let Ok(finals) = converge::finals(world) else {
        return 0;
    };
    let siblings = finals.iter().filter(|(_, shown)| shown.len() > 1);
    let keys: Vec<Key> = siblings.map(|(key, _)| *key).collect();
    keys.iter().for_each(|key| resolve_key(world, *key));
    keys.len()
}

fn resolve_key(world: &mut World<'_>, key: Key) {
    let Some(bucket) = world.config.map.bucket(key.bucket).cloned() else {
        return;
    };
    let get = workload::get(key, ReadOptions::default(), None);
    let kind = workload::read_kind(&get, &bucket);
    let Some(ClientReply::Got(got)) = ask(world, key, kind, get.into()) else {
        return;
    };
    let shown = got.siblings.iter();
    let seen = shown.filter_map(|one| super::history::write_of(&one.content.value).ok());
    let (id, options) = (world.new_write(), WriteOptions::default());
    let kind = workload::write_kind(id, false, Some(seen.collect()), &options, &bucket);
    let mut put = workload::put(key, id, 100, Some(got.context), options);
    put.ttl_ms = Some(0);
    let _ = ask(world, key, kind, put.into());
}

/// Asks the first primary and waits.
fn ask(
    world: &mut World<'_>,
    key: Key,
    kind: Kind,
    request: quorate_protocol::client::ClientRequest,
) -> Option<ClientReply> {
    let node = world.config.primaries(key).first().copied()?;
    let sent = world.ask(Ask {
        client: RESOLVER,
        node,
        key,
        kind,
        request,
        deadline_ms: 5_000,
        again: None,
    });
    let until_us = world.at_us + 6_000_000;
    world.run_until_so(until_us, |world| world.is_answered(sent));
    match world.answer(sent)?.1 {
        ClientEvent::Reply(_, reply) => Some(*reply),
        ClientEvent::Go
        | ClientEvent::Lost(_)
        | ClientEvent::Refused(_)
        | ClientEvent::TimedOut(_) => None,
    }
}
