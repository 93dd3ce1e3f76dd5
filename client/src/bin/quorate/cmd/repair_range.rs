//! `quorate repair --bucket`: keys of one bucket are read and compared between their replicas.
//!
//! A node is asked how far it has come by giving it the order again, under the same number: so one that has restarted
//! meanwhile begins anew. One that meets damage in its tables does so: it opens its storage again without what cannot be
//! read, and has forgotten the order and what it found. How many vnodes had to be filled again its counters tell.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_client::{
    Client, Error, Member, NodeId, RangeProgress, RangeRepair, Scrub, StatusReport,
};
use serde_json::json;

use super::repair::Partitions;
use crate::connect::name_of;
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::Out;

/// How often nodes are asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Answers in a row that a node may fail to give before it is waited for no more.
const MISSED_MAX: u32 = 10;

/// What to repair, and how to wait.
pub(super) struct Wanted {
    pub(super) members: Vec<Member>,
    pub(super) bucket: String,
    pub(super) prefix: Bytes,
    pub(super) partitions: Option<Partitions>,
    pub(super) watch: bool,
    pub(super) end: Instant,
}

/// One node's part.
#[derive(Default)]
struct Part {
    progress: RangeProgress,
    /// Vnodes in which damage was found since the node's start, before the order.
    damaged_before: Option<u64>,
    /// Whether all its vnodes were read and compared, and those that are filled again are whole.
    done: bool,
    missed: u32,
    error: Option<Error>,
    /// It has too many repairs under way to begin this one.
    busy: bool,
}

impl Part {
    fn is_open(&self) -> bool {
        !self.done && self.missed < MISSED_MAX
    }
}

pub(super) async fn run(client: Client, wanted: Wanted, out: &mut Out) -> Done {
    let order = order(&client, &wanted)?;
    let mut parts: BTreeMap<NodeId, Part> = BTreeMap::new();
    for member in &wanted.members {
        let report = client.status(member.id, false).await;
        let part = Part {
            damaged_before: report.ok().as_ref().map(damage_found),
            ..Part::default()
        };
        parts.insert(member.id, part);
    }
    let mut told = String::new();
    loop {
        for (&node, part) in &mut parts {
            ask(&client, node, &order, part).await;
        }
        let words = progress(&parts);
        if wanted.watch && words != told {
            complain(format_args!("{words}"));
            told = words;
        }
        if !parts.values().any(Part::is_open) || Instant::now() >= wanted.end {
            break;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    let map = client.map();
    client.close().await;
    report(&parts, |node| name_of(&map, node), out)?;
    verdict(&parts)
}

fn order(client: &Client, wanted: &Wanted) -> Result<RangeRepair, Failure> {
    let map = client.map();
    let bucket = map.bucket_named(&wanted.bucket).ok_or_else(|| {
        Failure::Refused(format!(
            "there is no bucket '{}': `quorate bucket list` names those that there are",
            wanted.bucket
        ))
    })?;
    let id =
        getrandom::u64().map_err(|error| Failure::Failed(format!("no random numbers: {error}")))?;
    let all = Partitions::all();
    let partitions = wanted.partitions.unwrap_or(all);
    Ok(RangeRepair {
        id,
        keys: Some((bucket.id, wanted.prefix.clone())),
        first: partitions.first,
        last: partitions.last,
    })
}

async fn ask(client: &Client, node: NodeId, order: &RangeRepair, part: &mut Part) {
    let scrub = Scrub {
        repair: Some(Box::new(order.clone())),
        ..Scrub::default()
    };
    let asked = match client.scrub(node, scrub).await {
        Ok(state) => {
            part.busy = state.repair.is_none();
            part.progress = state.repair.unwrap_or_default();
            let over = !part.busy && part.progress.done == part.progress.vnodes;
            healed(client, node, order, part, over).await
        }
        Err(error) => Err(error),
    };
    match asked {
        Ok(done) => (part.done, part.error, part.missed) = (done, None, 0),
        Err(error) => {
            part.error = Some(error);
            part.missed += 1;
        }
    }
}

/// Whether a node that has read and compared everything is whole.
async fn healed(
    client: &Client,
    node: NodeId,
    order: &RangeRepair,
    part: &mut Part,
    over: bool,
) -> Result<bool, Error> {
    if !over {
        return Ok(false);
    }
    let report = client.status(node, true).await?;
    let (before, now) = (part.damaged_before.unwrap_or(0), damage_found(&report));
    // A process that began anew counts from 0.
    let found = if now < before { now } else { now - before };
    part.progress.damaged = part
        .progress
        .damaged
        .max(u32::try_from(found).unwrap_or(u32::MAX));
    let partitions = order.first..=order.last;
    let mut concerned = report
        .vnodes
        .iter()
        .filter(|vnode| partitions.contains(&vnode.class.partition));
    Ok(!concerned.any(|vnode| vnode.damaged || vnode.rebuilding.is_some()))
}

/// Vnodes in which a node has found damage since its start.
fn damage_found(report: &StatusReport) -> u64 {
    let mut counters = report.counters.iter();
    let counter = counters.find(|(name, _)| name.as_str() == "damage_found");
    counter.map_or(0, |(_, found)| *found)
}

fn sum(parts: &BTreeMap<NodeId, Part>) -> RangeProgress {
    let all = parts.values().map(|part| part.progress);
    all.fold(RangeProgress::default(), RangeProgress::and)
}

fn progress(parts: &BTreeMap<NodeId, Part>) -> String {
    let all = sum(parts);
    format!(
        "{} of {} vnodes compared: {} keys read, {} compared, {} KiB received, {} versions put back",
        all.done,
        all.vnodes,
        all.keys,
        all.compared,
        all.bytes >> 10,
        all.missing
    )
}

fn report(parts: &BTreeMap<NodeId, Part>, name: impl Fn(NodeId) -> String, out: &mut Out) -> Done {
    if out.is_json() {
        let nodes: Vec<_> = parts
            .iter()
            .map(|(&node, part)| as_json(&name(node), part))
            .collect();
        return out.json(&json!({ "nodes": nodes }));
    }
    for (&node, part) in parts {
        out.line(in_words(&name(node), part))?;
    }
    out.line(progress(parts))
}

fn as_json(name: &str, part: &Part) -> serde_json::Value {
    let progress = part.progress;
    json!({
        "node": name, "vnodes": progress.vnodes, "done": progress.done, "whole": part.done, "keys": progress.keys,
        "compared": progress.compared, "bytes": progress.bytes, "put_back": progress.missing,
        "behind": progress.behind, "vnodes_filled": progress.damaged, "unanswered": progress.unanswered,
        "error": part.error.as_ref().map(error_json),
    })
}

fn in_words(name: &str, part: &Part) -> String {
    let progress = part.progress;
    if let Some(error) = &part.error {
        return format!("{name}: {error}");
    }
    if part.busy {
        return format!("{name}: too many repairs are under way there, try again later");
    }
    let found = match (progress.missing, progress.damaged) {
        (0, 0) => "no damage".to_owned(),
        (versions, 0) => format!("{versions} lost versions put back"),
        (versions, vnodes) => {
            format!("{versions} lost versions put back, {vnodes} damaged vnodes filled again")
        }
    };
    let mut words = format!(
        "{name}: {} of {} vnodes, {} keys read, {} compared, {found}",
        progress.done, progress.vnodes, progress.keys, progress.compared
    );
    if progress.behind > 0 {
        words += &format!(", {} versions on their way", progress.behind);
    }
    if progress.unanswered > 0 {
        words += &format!(
            ", {} replicas could not be compared with",
            progress.unanswered
        );
    }
    if !part.done {
        words += "; not whole yet";
    }
    words
}

fn verdict(parts: &BTreeMap<NodeId, Part>) -> Done {
    let all = sum(parts);
    let silent = |part: &Part| part.error.is_some() || part.busy;
    if parts.values().any(silent) || all.unanswered > 0 {
        Err(Failure::Shown(2))
    } else if all.missing > 0 || all.damaged > 0 || parts.values().any(Part::is_open) {
        Err(Failure::Shown(1))
    } else {
        Ok(())
    }
}
