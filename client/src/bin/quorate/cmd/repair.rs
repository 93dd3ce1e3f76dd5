//! `quorate repair`: all stored data is read through now, and compared between replicas; or the keys of one bucket
//! (`repair_range.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clap::Args;
use quorate_client::{Class, Client, Error, Member, NodeId, PartitionId, Scrub, VnodeStatus};
use serde_json::json;

use super::repair_range::{self, Wanted};
use super::scrub::Which;
use crate::connect::{Connect, duration, name_of};
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::Out;

/// How often a waiting command asks.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// An order that shows no effect after so many looks is given again: a node that met damage has forgotten it.
const LOOKS_MAX: u32 = 10;

/// Read all stored data through now, or a range of it, and mend what is damaged
///
/// Every vnode of the nodes is read from its disk, without any client read, and held against what must be there; what is
/// damaged or missing is filled again from peers. Then replicas are compared by the digests of what they hold.
///
/// With --bucket, only keys of that bucket are read, and compared with what every other replica of them holds: what
/// one has lost is put back, and what is unreadable is filled again. Interrupted, it can simply be given again.
///
/// Exit code 0: everything is whole, and replicas are equal. 1: damage was found; it is healed, or being healed when the
/// time ran out. 2: a node could not be asked.
#[derive(Args)]
pub(crate) struct Repair {
    /// Only this node, by name or id; may be given several times
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    /// Only this partition, or these: 3-7
    #[arg(long, value_name = "NUMBERS", conflicts_with = "all")]
    partition: Option<Partitions>,
    /// Only keys of this bucket
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    bucket: Option<String>,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT", requires = "bucket")]
    prefix: Option<String>,
    /// All partitions; so it is where none is named
    #[arg(long)]
    all: bool,
    /// Tell the progress
    #[arg(long)]
    watch: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
}

/// Partitions from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partitions {
    /// The first.
    pub(super) first: PartitionId,
    /// The last.
    pub(super) last: PartitionId,
}

impl Partitions {
    /// As many as there can be.
    pub(super) const fn all() -> Self {
        Self {
            first: PartitionId::new(0),
            last: PartitionId::new(u16::MAX),
        }
    }

    fn contains(self, partition: PartitionId) -> bool {
        (self.first..=self.last).contains(&partition)
    }

    fn each(self) -> impl Iterator<Item = PartitionId> {
        (self.first.get()..=self.last.get()).map(PartitionId::new)
    }
}

impl std::str::FromStr for Partitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse().map(PartitionId::new).ok();
        let both = number(first).zip(number(last));
        both.filter(|(first, last)| first <= last)
            .map(|(first, last)| Self { first, last })
            .ok_or_else(|| "write a number, or the first and the last: 3-7".to_owned())
    }
}

/// The state of one node's part.
#[derive(Default)]
struct Part {
    /// Others are only looked at, to compare with.
    ordered: bool,
    /// When the node took the order, by its own time.
    at_ms: u64,
    /// Bad records known at the last look: fewer of them later mean that the node began anew, with damage.
    bad: u64,
    vnodes: Vec<VnodeStatus>,
    /// Bad records of each vnode before the order.
    before: BTreeMap<Class, u64>,
    found: bool,
    /// Looks in a row without a vnode at work, and without one less to be read.
    idle: u32,
    /// Looks in a row without an answer; after [`LOOKS_MAX`] it is waited for no more.
    missed: u32,
    error: Option<Error>,
}

impl Part {
    fn is_open(&self, vnode: &VnodeStatus) -> bool {
        let read = vnode.scrubbed_ms.is_some_and(|at_ms| at_ms >= self.at_ms);
        let before = self.before.get(&vnode.class).copied().unwrap_or(0);
        let healed = vnode.bad_records > before;
        vnode.damaged || vnode.rebuilding.is_some() || !(read || healed)
    }

    fn open(&self) -> usize {
        if !self.ordered {
            return 0;
        }
        self.vnodes
            .iter()
            .filter(|vnode| self.is_open(vnode))
            .count()
    }

    fn take(&mut self, vnodes: Vec<VnodeStatus>) {
        let bad = vnodes.iter().map(|vnode| vnode.bad_records).sum();
        let at_work = |vnode: &VnodeStatus| vnode.scrubbing.is_some() || vnode.rebuilding.is_some();
        let lost = vnodes
            .iter()
            .any(|vnode| vnode.damaged || vnode.rebuilding.is_some());
        self.found |= self.ordered && (lost || bad != self.bad);
        let (before, busy) = (self.open(), vnodes.iter().any(at_work));
        (self.bad, self.vnodes) = (bad, vnodes);
        // Small vnodes are read between two looks: what counts is that fewer are open.
        let goes_on = busy || self.open() < before;
        self.idle = if goes_on { 0 } else { self.idle + 1 };
    }
}

pub(crate) async fn run(args: Repair, out: &mut Out) -> Done {
    let end = Instant::now() + args.timeout;
    let client = args.connect.client().await?;
    let named = Which::members(&client, &args.nodes)?;
    if let Some(bucket) = args.bucket {
        let wanted = Wanted {
            members: named,
            bucket,
            prefix: args.prefix.unwrap_or_default().into(),
            partitions: args.partition,
            watch: args.watch,
            end,
        };
        return repair_range::run(client, wanted, out).await;
    }
    let partition = args.partition;
    let mut parts = begin(&client, &named, partition).await;
    let mut told = String::new();
    let differing = loop {
        tokio::time::sleep(ASK_EVERY).await;
        go_on(&client, partition, &mut parts).await;
        let words = progress(&parts);
        if args.watch && words != told {
            complain(format_args!("{words}"));
            told = words;
        }
        let waits = |part: &Part| part.open() > 0 || part.error.is_some();
        let open = parts.values().filter(|part| part.missed <= LOOKS_MAX);
        let differing = differing(&parts);
        if (open.filter(|part| waits(part)).count() == 0 && differing.is_empty())
            || Instant::now() >= end
        {
            break differing;
        }
    };
    let map = client.map();
    client.close().await;
    report(&parts, &differing, |node| name_of(&map, node), out)?;
    let found = parts.values().any(|part| part.found || part.open() > 0);
    if parts
        .values()
        .any(|part| part.ordered && part.error.is_some())
    {
        Err(Failure::Shown(2))
    } else if found || !differing.is_empty() {
        Err(Failure::Shown(1))
    } else {
        Ok(())
    }
}

/// Gives the order to those that were named; the others are looked at.
async fn begin(
    client: &Client,
    named: &[Member],
    partition: Option<Partitions>,
) -> BTreeMap<NodeId, Part> {
    let mut parts: BTreeMap<NodeId, Part> = BTreeMap::new();
    for member in client.map().members.iter() {
        let part = parts.entry(member.id).or_default();
        part.ordered = named.contains(member);
        look(client, member.id, partition, part).await;
        let before = part.vnodes.iter();
        part.before = before
            .map(|vnode| (vnode.class, vnode.bad_records))
            .collect();
        part.found = false;
        if part.ordered {
            give(client, member.id, partition, part).await;
        }
    }
    parts
}

async fn go_on(client: &Client, partition: Option<Partitions>, parts: &mut BTreeMap<NodeId, Part>) {
    for (&node, part) in parts {
        look(client, node, partition, part).await;
        if part.open() > 0 && part.idle > LOOKS_MAX {
            give(client, node, partition, part).await;
            part.idle = 0;
        }
    }
}

/// Orders all partitions, or one after the other; by the time of the first order it is judged what was read since.
async fn give(client: &Client, node: NodeId, partitions: Option<Partitions>, part: &mut Part) {
    let held: BTreeSet<PartitionId> = part.vnodes.iter().map(|v| v.class.partition).collect();
    let orders: Vec<Option<PartitionId>> = match partitions {
        None => vec![None],
        Some(some) => some
            .each()
            .filter(|one| held.contains(one))
            .map(Some)
            .collect(),
    };
    let mut at_ms = None;
    for partition in orders {
        let order = Scrub {
            now: true,
            partition,
            ..Scrub::default()
        };
        match client.scrub(node, order).await {
            Ok(state) => at_ms = at_ms.or(Some(state.at_ms)),
            Err(error) => return part.error = Some(error),
        }
    }
    (part.at_ms, part.error) = (at_ms.unwrap_or(part.at_ms), None);
}

async fn look(client: &Client, node: NodeId, partition: Option<Partitions>, part: &mut Part) {
    match client.status(node, true).await {
        Ok(report) => {
            let wanted = |vnode: &VnodeStatus| {
                partition.is_none_or(|some| some.contains(vnode.class.partition))
            };
            part.take(report.vnodes.into_iter().filter(wanted).collect());
            (part.error, part.missed) = (None, 0);
        }
        Err(error) => {
            part.error = Some(error);
            part.missed += 1;
        }
    }
}

/// Classes of which two replicas that lack nothing hold something else.
fn differing(parts: &BTreeMap<NodeId, Part>) -> BTreeSet<String> {
    let mut digests: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for vnode in parts.values().flat_map(|part| &part.vnodes) {
        if vnode.current && vnode.lag == 0 {
            digests
                .entry(vnode.class)
                .or_default()
                .insert(vnode.digest.to_string());
        }
    }
    let several = digests.into_iter().filter(|(_, digests)| digests.len() > 1);
    several.map(|(class, _)| class.to_string()).collect()
}

fn progress(parts: &BTreeMap<NodeId, Part>) -> String {
    let all: usize = parts
        .values()
        .filter(|part| part.ordered)
        .map(|part| part.vnodes.len())
        .sum();
    let open: usize = parts.values().map(Part::open).sum();
    let vnodes = || {
        parts
            .values()
            .filter(|part| part.ordered)
            .flat_map(|part| &part.vnodes)
    };
    let keys: u64 = vnodes().filter_map(|vnode| vnode.scrubbing).sum();
    let filled = vnodes().filter(|vnode| vnode.rebuilding.is_some()).count();
    format!(
        "{} of {all} vnodes read through, {keys} keys of the next; {filled} are being filled again",
        all - open
    )
}

fn report(
    parts: &BTreeMap<NodeId, Part>,
    differing: &BTreeSet<String>,
    name: impl Fn(NodeId) -> String,
    out: &mut Out,
) -> Done {
    if out.is_json() {
        let nodes: Vec<_> = parts
            .iter()
            .filter(|(_, part)| part.ordered)
            .map(|(&node, part)| {
                json!({
                    "node": name(node), "vnodes": part.vnodes.len(), "open": part.open(),
                    "damage_found": part.found, "bad_records": part.bad,
                    "error": part.error.as_ref().map(error_json),
                })
            })
            .collect();
        return out.json(&json!({ "nodes": nodes, "differing": differing }));
    }
    for (&node, part) in parts.iter().filter(|(_, part)| part.ordered) {
        let found = if part.found {
            "damage was found"
        } else {
            "no damage"
        };
        match &part.error {
            Some(error) => out.line(format_args!("{}: {error}", name(node)))?,
            None => out.line(format_args!(
                "{}: {} vnodes, {found}, {} not whole yet",
                name(node),
                part.vnodes.len(),
                part.open()
            ))?,
        }
    }
    for class in differing {
        out.line(format_args!("{class}: replicas hold something else"))?;
    }
    Ok(())
}
