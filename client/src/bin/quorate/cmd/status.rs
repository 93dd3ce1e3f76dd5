//! `quorate status`: each node's state; waits for the cluster to be ready, or idle.

use std::time::{Duration, Instant};

use clap::Args;
use indicatif::HumanBytes;
use quorate_client::{Client, ClusterMap, MapName, MapStanding, VnodeStatus};
use serde_json::json;

use crate::connect::{Connect, duration, name_of};
use crate::outcome::{Done, Failure, complain};
use crate::output::{Out, table};
use crate::survey::{Said, survey};

/// How often a waiting command asks.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// Show each node's state, or wait for one
///
/// HINTS: objects that the node keeps for others. LAG: writes that its peers have and it lacks.
#[derive(Args)]
pub(crate) struct Status {
    /// Wait until so many nodes are ready: they answer, reach each other, and are caught up; 0 means all
    #[arg(long, value_name = "NODES")]
    wait_ready: Option<usize>,
    /// Wait until all nodes answer, no hints are left and nobody lacks a write
    #[arg(long)]
    wait_idle: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// Show a line for each vnode
    #[arg(long)]
    vnodes: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Status, out: &mut Out) -> Done {
    let end = Instant::now() + args.timeout;
    let client = connect(&args, end).await?;
    let mut shown = String::new();
    let (said, missing) = loop {
        let said = survey(&client, args.vnodes).await;
        let missing = args.missing(&client.map(), &said);
        let Some(words) = &missing else {
            break (said, missing);
        };
        if Instant::now() >= end {
            break (said, missing);
        }
        if *words != shown {
            complain(format_args!("waiting: {words}"));
            shown.clone_from(words);
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    report(&client.map(), &said, args.vnodes, out)?;
    client.close().await;
    match missing {
        Some(words) => {
            out.flush()?;
            complain(format_args!(
                "not after {}: {words}",
                humantime::format_duration(args.timeout)
            ));
            Err(Failure::Shown(2))
        }
        None => Ok(()),
    }
}

impl Status {
    fn waits(&self) -> bool {
        self.wait_ready.is_some() || self.wait_idle
    }

    /// What the wait still waits for.
    fn missing(&self, map: &ClusterMap, said: &[Said]) -> Option<String> {
        let names = |wrong: &dyn Fn(&Said) -> bool| {
            said.iter()
                .filter(|said| wrong(said))
                .map(|said| why(map, said))
                .collect::<Vec<_>>()
                .join("; ")
        };
        if let Some(wanted) = self.wait_ready {
            let wanted = if wanted == 0 { said.len() } else { wanted };
            let up = |node| {
                said.iter()
                    .any(|said| said.member.id == node && said.report.is_ok())
            };
            let ready = said.iter().filter(|said| said.is_ready(up)).count();
            if ready < wanted {
                return Some(format!(
                    "{ready} of {wanted} nodes are ready ({})",
                    names(&|said| !said.is_ready(up))
                ));
            }
        }
        if self.wait_idle && said.iter().any(|said| !said.is_idle()) {
            return Some(format!("not idle ({})", names(&|said| !said.is_idle())));
        }
        None
    }
}

pub(super) fn why(map: &ClusterMap, said: &Said) -> String {
    let name = &said.member.name;
    let Ok(report) = &said.report else {
        return format!("{name} does not answer");
    };
    let mut reasons = Vec::new();
    let catching_up = report.vnodes_total.saturating_sub(report.vnodes_current);
    if catching_up > 0 {
        reasons.push(format!("catches up in {catching_up} vnodes"));
    }
    let unreached: Vec<String> = report
        .peers
        .iter()
        .filter(|peer| !peer.reachable)
        .map(|peer| name_of(map, peer.node))
        .collect();
    if !unreached.is_empty() {
        reasons.push(format!("does not reach {}", unreached.join(", ")));
    }
    if said.hints() > 0 {
        reasons.push(format!("keeps {} hints", said.hints()));
    }
    let lead = report
        .peers
        .iter()
        .map(|peer| peer.lead)
        .fold(0, u64::saturating_add);
    if said.lag() > 0 || lead > 0 {
        reasons.push(format!("lacks {} writes, its peers {lead}", said.lag()));
    }
    format!("{name} {}", reasons.join(", "))
}

/// Where the cluster may still be starting, failing to connect is a reason to wait.
async fn connect(args: &Status, end: Instant) -> Result<Client, Failure> {
    let mut told = false;
    loop {
        match args.connect.try_client().await {
            Err(error) if args.waits() && error.is_passing() && Instant::now() < end => {
                if !told {
                    complain(format_args!("waiting: {error}"));
                    told = true;
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
            result => return Ok(result?),
        }
    }
}

fn report(map: &ClusterMap, said: &[Said], vnodes: bool, out: &mut Out) -> Done {
    if out.is_json() {
        return out.json(&json!({
            "cluster": map.cluster.to_string(),
            "name": map.name,
            "ring_version": map.ring.version().get(),
            "nodes": said.iter().map(|said| said.json(map)).collect::<Vec<_>>(),
        }));
    }
    out.line(format_args!(
        "cluster {}, map version {}, ring version {}, {} partitions",
        map.name,
        newest(said),
        map.ring.version(),
        map.ring.partitions()
    ))?;
    let mut rows = table(&["NODE", "STATE", "UPTIME", "VNODES", "PEERS", "HINTS", "LAG"]);
    for said in said {
        rows.add_row(row(said));
    }
    out.table(&rows)?;
    for said in said {
        let name = &said.member.name;
        match &said.report {
            Ok(report) => report
                .warnings
                .iter()
                .cloned()
                .chain(attempt(&report.map))
                .try_for_each(|warning| out.line(format_args!("{name}: {warning}")))?,
            Err(error) => out.line(format_args!("{name}: {error}"))?,
        }
    }
    if vnodes {
        vnode_lines(map, said, out)
    } else {
        Ok(())
    }
}

/// The newest version of the map that any node has, and how many have it if not all.
fn newest(said: &[Said]) -> String {
    let versions = said.iter().filter_map(|said| said.report.as_ref().ok());
    let versions: Vec<MapName> = versions.map(|report| report.map.newest).collect();
    let Some(newest) = versions.iter().max() else {
        return "unknown".to_owned();
    };
    let have = versions.iter().filter(|version| *version == newest).count();
    if have == versions.len() {
        newest.to_string()
    } else {
        format!("{newest} at {have} of {} nodes", versions.len())
    }
}

/// What a node has under way.
fn attempt(map: &MapStanding) -> Option<String> {
    let undecided = map.undecided.map(|version| {
        format!(
            "has accepted version {version} of the cluster map, which is not known to be decided"
        )
    });
    let attempt = map.attempt.map(|round| {
        let next = map.newest.version.next();
        format!("is at attempt {round} to have version {next} of the cluster map decided")
    });
    let words: Vec<String> = undecided.into_iter().chain(attempt).collect();
    (!words.is_empty()).then(|| words.join(", and "))
}

fn row(said: &Said) -> [String; 7] {
    let dash = || "-".to_owned();
    let name = said.member.name.clone();
    let Ok(report) = &said.report else {
        return [
            name,
            "does not answer".to_owned(),
            dash(),
            dash(),
            dash(),
            dash(),
            dash(),
        ];
    };
    let state = if said.is_current() {
        "current"
    } else {
        "catching up"
    };
    let reached = report.peers.iter().filter(|peer| peer.reachable).count();
    [
        name,
        state.to_owned(),
        humantime::format_duration(Duration::from_secs(report.uptime_ms / 1000)).to_string(),
        format!("{}/{}", report.vnodes_current, report.vnodes_total),
        format!("{reached}/{}", report.peers.len()),
        said.hints().to_string(),
        said.lag().to_string(),
    ]
}

/// How far reading a vnode through has come, or when that was done last.
fn scrub_words(running: Option<u64>, done_ms: Option<u64>) -> String {
    match (running, done_ms) {
        (Some(keys), _) => format!("{keys} keys so far"),
        (None, Some(at_ms)) => super::scrub::ago(at_ms),
        (None, None) => "not yet".to_owned(),
    }
}

/// Entries of the dot log, and what they take.
fn log_words(vnode: &VnodeStatus) -> String {
    match vnode.log_entries {
        0 => "0".to_owned(),
        entries => format!("{entries} ({})", HumanBytes(vnode.log_bytes)),
    }
}

fn vnode_lines(map: &ClusterMap, said: &[Said], out: &mut Out) -> Done {
    let mut rows = table(&[
        "NODE",
        "CLASS",
        "CURRENT",
        "LAG",
        "LOG",
        "DAMAGED",
        "REBUILDING",
        "SCRUB",
        "BAD RECORDS",
        "WAITS FOR",
    ]);
    for said in said {
        for vnode in said.report.iter().flat_map(|report| &report.vnodes) {
            let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
            rows.add_row([
                said.member.name.clone(),
                vnode.class.to_string(),
                yes(vnode.current),
                vnode.lag.to_string(),
                log_words(vnode),
                yes(vnode.damaged),
                vnode
                    .rebuilding
                    .map_or_else(|| "no".to_owned(), |objects| format!("{objects} objects")),
                scrub_words(vnode.scrubbing, vnode.scrubbed_ms),
                vnode.bad_records.to_string(),
                vnode
                    .waits_for
                    .iter()
                    .map(|&node| name_of(map, node))
                    .collect::<Vec<_>>()
                    .join(" "),
            ]);
        }
    }
    out.table(&rows)
}
