//! `quorate converged`: whether all replicas have the same; which of them lack what, and who has it.

use std::time::{Duration, Instant};

use clap::Args;
use quorate_client::{ClassStanding, ClusterMap, Convergence, NodeId, Standing};
use serde_json::{Value, json};

use crate::connect::{Connect, duration, name_of};
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::{Out, table};

/// How often a waiting command asks.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Say whether all replicas have the same
///
/// Exit code 0: every write stored when the question was asked is on all replicas of its partition, and no hint is left.
/// 1: not yet; the table says which replica lacks how many writes, and who has them. 2: a node could not be asked.
#[derive(Args)]
pub(crate) struct Converged {
    /// Wait until it is so
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Show replicas that lack nothing, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Converged, out: &mut Out) -> Done {
    let end = Instant::now() + args.timeout;
    let client = args.connect.client().await?;
    let mut shown = String::new();
    let found = loop {
        let found = client.convergence().await;
        if !args.wait || found.is_converged() || Instant::now() >= end {
            break found;
        }
        let words = summary(&client.map(), &found);
        if words != shown {
            complain(format_args!("waiting: {words}"));
            shown = words;
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    report(&client.map(), &found, args.all, out)?;
    client.close().await;
    match (found.is_converged(), found.silent.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::Shown(1)),
        (false, false) => Err(Failure::Shown(2)),
    }
}

/// The state in a sentence.
pub(super) fn summary(map: &ClusterMap, found: &Convergence) -> String {
    if found.is_converged() {
        return "converged".to_owned();
    }
    let mut reasons: Vec<String> = found
        .silent
        .iter()
        .map(|(node, _)| format!("{} does not answer", name_of(map, *node)))
        .collect();
    if found.silent.is_empty() && found.ring.is_none() {
        reasons.push("the nodes are at different ring versions".to_owned());
    }
    for member in &map.members {
        let lacks = found.lacks(member.id);
        if lacks > 0 {
            reasons.push(format!("{} lacks {lacks} writes", member.name));
        }
    }
    let hints: u64 = found.hints.iter().map(|(_, held)| held.hints).sum();
    if hints > 0 {
        reasons.push(format!("{hints} hints are outstanding"));
    }
    let handoffs: u64 = found.handoffs.values().sum();
    if handoffs > 0 {
        reasons.push(format!("{handoffs} hints are in flight"));
    }
    let unsettled = found.classes.iter().flat_map(|class| &class.replicas);
    let unsettled = unsettled.filter(|replica| replica.damaged || !replica.current);
    match unsettled.count() {
        0 => {}
        count => reasons.push(format!(
            "{count} replicas are catching up or being filled again"
        )),
    }
    let missing: usize = found.classes.iter().map(|class| class.missing.len()).sum();
    if missing > 0 && found.silent.is_empty() {
        reasons.push(format!("{missing} replicas are not there yet"));
    }
    format!("not converged: {}", reasons.join(", "))
}

fn report(map: &ClusterMap, found: &Convergence, all: bool, out: &mut Out) -> Done {
    if out.is_json() {
        return out.json(&as_json(map, found));
    }
    let mut rows = table(&["CLASS", "NODE", "STATE", "LACKS", "HELD BY", "LOG"]);
    for class in &found.classes {
        let shown = class
            .replicas
            .iter()
            .filter(|replica| all || !replica.is_settled());
        shown.for_each(|replica| {
            rows.add_row(row(map, class, replica));
        });
        let silent = |node: &NodeId| found.silent.iter().any(|(known, _)| known == node);
        for node in class.missing.iter().filter(|node| !silent(node)) {
            let (class, name) = (class.class.to_string(), name_of(map, *node));
            rows.add_row([class, name, "not there".to_owned()]);
        }
    }
    if rows.row_count() > 0 {
        out.table(&rows)?;
    }
    for (holder, held) in &found.hints {
        out.line(format_args!(
            "{} keeps {} hints for {} in {}",
            name_of(map, *holder),
            held.hints,
            name_of(map, held.target),
            held.class
        ))?;
    }
    for (node, error) in &found.silent {
        out.line(format_args!("{}: {error}", name_of(map, *node)))?;
    }
    let ring = found
        .ring
        .map_or_else(|| "different".to_owned(), |ring| ring.to_string());
    out.line(format_args!(
        "{} partition classes under ring version {ring}: {}",
        found.classes.len(),
        summary(map, found)
    ))
}

fn row(map: &ClusterMap, class: &ClassStanding, replica: &Standing) -> [String; 6] {
    let held_by = replica
        .held_by
        .iter()
        .map(|&(node, writes)| format!("{} {writes}", name_of(map, node)));
    [
        class.class.to_string(),
        name_of(map, replica.node),
        state(replica).to_owned(),
        replica.lacks.to_string(),
        held_by.collect::<Vec<_>>().join(", "),
        replica.log_entries.to_string(),
    ]
}

const fn state(replica: &Standing) -> &'static str {
    match (replica.damaged, replica.current) {
        (true, _) => "being filled",
        (false, true) => "current",
        (false, false) => "catching up",
    }
}

fn as_json(map: &ClusterMap, found: &Convergence) -> Value {
    let name = |node: NodeId| name_of(map, node);
    let replica = |replica: &Standing| {
        let held_by = replica.held_by.iter();
        json!({
            "node": name(replica.node), "current": replica.current, "damaged": replica.damaged,
            "lacks": replica.lacks, "log_entries": replica.log_entries,
            "held_by": held_by.map(|&(node, writes)| json!({ "node": name(node), "writes": writes })).collect::<Vec<_>>(),
        })
    };
    let classes: Vec<Value> = found
        .classes
        .iter()
        .map(|class| {
            json!({
                "n": class.class.n, "partition": class.class.partition.get(), "converged": class.is_converged(),
                "replicas": class.replicas.iter().map(replica).collect::<Vec<_>>(),
                "missing": class.missing.iter().map(|&node| name(node)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let hints: Vec<Value> = found
        .hints
        .iter()
        .map(|(holder, held)| {
            json!({
                "holder": name(*holder), "for": name(held.target), "n": held.class.n,
                "partition": held.class.partition.get(), "hints": held.hints,
            })
        })
        .collect();
    let handoffs = found.handoffs.iter();
    let silent = found.silent.iter();
    json!({
        "converged": found.is_converged(),
        "ring_version": found.ring.map(quorate_client::RingVersion::get),
        "classes": classes,
        "hints": hints,
        "handoffs": handoffs.map(|(&node, &hints)| json!({ "node": name(node), "in_flight": hints })).collect::<Vec<_>>(),
        "silent": silent.map(|(node, error)| json!({ "node": name(*node), "error": error_json(error) })).collect::<Vec<_>>(),
    })
}
