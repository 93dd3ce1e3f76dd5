//! `quorate cluster plan`: what a commit of the staged changes would do, how much it would move, and about how long that
//! would take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};
use quorate_client::{
    Client, Moves, NodeId, PlanLine, Profile, RingPlan, StagedChange, VersionedMap,
};
use serde_json::{Value, json};

use super::members::Plain;
use crate::outcome::Done;
use crate::output::{Out, table};
use crate::survey::survey;

/// A node that says nothing for so long is left out of the estimate.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) async fn run(args: Plain, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let mut plan = client.plan_ring().await?;
    let names = Names::of(&client.version().await?);
    let sizes = Sizes::ask(&client).await;
    client.close().await;
    plan.nodes
        .sort_by_key(|line| (line.n, names.get(line.node)));
    if out.is_json() {
        return out.json(&as_json(&names, &sizes, &plan));
    }
    show(&names, &sizes, &plan, out)
}

/// What nodes are called and where they stand, those who are to come too.
struct Names(BTreeMap<NodeId, (String, String)>);

impl Names {
    fn of(version: &VersionedMap) -> Self {
        let newcomers = version.staged.iter().filter_map(StagedChange::newcomer);
        let all = version.map.members.iter().chain(newcomers);
        Self(
            all.map(|member| {
                let zone = member.zone.to_string();
                (member.id, (member.name.clone(), zone))
            })
            .collect(),
        )
    }

    fn get(&self, node: NodeId) -> String {
        let known = self.0.get(&node).map(|(name, _)| name.clone());
        known.unwrap_or_else(|| node.to_string())
    }

    fn zone(&self, node: NodeId) -> &str {
        self.0.get(&node).map_or("", |(_, zone)| zone)
    }
}

/// What copies take, as the members that answer say.
struct Sizes {
    /// Bytes of one copy, on average, by n.
    copy: BTreeMap<u8, u64>,
    /// What each node takes in at most, bytes a second; the least of all.
    rate: Option<u64>,
}

impl Sizes {
    async fn ask(client: &Client) -> Self {
        let mut sums: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
        for said in survey(client, true).await {
            let vnodes = said.report.map(|report| report.vnodes);
            for vnode in vnodes.unwrap_or_default() {
                let (bytes, copies) = sums.entry(vnode.class.n).or_default();
                *bytes += vnode.holds.bytes;
                *copies += 1;
            }
        }
        let client = client.with_profile(Profile {
            deadline: Some(PATIENCE),
            ..Profile::default()
        });
        let mut rate: Option<u64> = None;
        for member in client.map().members.clone() {
            if let Ok(report) = client.moves(member.id, Moves::default()).await {
                rate = Some(rate.map_or(report.pace.most, |least| least.min(report.pace.most)));
            }
        }
        let mean = |(bytes, copies): (u64, u64)| bytes / copies.max(1);
        let copy = sums.into_iter().map(|(n, sum)| (n, mean(sum))).collect();
        Self { copy, rate }
    }

    /// About how much a node receives; `None` where nobody has copies of that n.
    fn receives(&self, line: &PlanLine) -> Option<u64> {
        let copy = self.copy.get(&line.n)?;
        Some(copy.saturating_mul(u64::from(line.receives)))
    }

    /// Of all nodes together, and what the one that receives most takes for it at full pace.
    fn all(&self, plan: &RingPlan) -> (u64, Option<Duration>) {
        let mut by_node: BTreeMap<NodeId, u64> = BTreeMap::new();
        for line in &plan.nodes {
            *by_node.entry(line.node).or_default() += self.receives(line).unwrap_or(0);
        }
        let most = by_node.values().copied().max().unwrap_or(0);
        let rate = self.rate.filter(|rate| *rate > 0);
        (
            by_node.values().sum(),
            rate.map(|rate| Duration::from_secs(most.div_ceil(rate))),
        )
    }
}

fn show(names: &Names, sizes: &Sizes, plan: &RingPlan, out: &mut Out) -> Done {
    for change in &plan.changes {
        out.line(format_args!("{change}"))?;
    }
    let heads = ["N", "NODE", "COPIES", "THEN", "RECEIVES", "SENDS", "ABOUT"];
    let mut rows = table(&heads);
    for line in &plan.nodes {
        rows.add_row([
            line.n.to_string(),
            names.get(line.node),
            line.before.to_string(),
            line.after.to_string(),
            line.receives.to_string(),
            line.sends.to_string(),
            match sizes.receives(line) {
                Some(bytes) if line.receives > 0 => HumanBytes(bytes).to_string(),
                Some(_) | None => "-".to_owned(),
            },
        ]);
    }
    out.table(&rows)?;
    show_zones(names, plan, out)?;
    let (bytes, time) = sizes.all(plan);
    let time = time.map_or_else(String::new, |time| {
        format!(", {} or more", HumanDuration(time))
    });
    out.line(format_args!("about {} travel{time}", HumanBytes(bytes)))?;
    show_warnings(names, plan, out)?;
    out.line(format_args!(
        "commit it with: quorate cluster commit --plan {}",
        plan.digest
    ))
}

/// Only where there is more than one.
fn show_zones(names: &Names, plan: &RingPlan, out: &mut Out) -> Done {
    let zones = by_zone(names, plan);
    let distinct: BTreeSet<&str> = zones.keys().map(|(_, zone)| *zone).collect();
    if distinct.len() < 2 {
        return Ok(());
    }
    let mut rows = table(&["N", "ZONE", "COPIES", "THEN"]);
    for ((n, zone), (before, after)) in zones {
        rows.add_row([
            n.to_string(),
            zone.to_owned(),
            before.to_string(),
            after.to_string(),
        ]);
    }
    out.table(&rows)
}

/// Copies before and after, by n and zone.
fn by_zone<'n>(names: &'n Names, plan: &RingPlan) -> BTreeMap<(u8, &'n str), (u32, u32)> {
    let mut zones: BTreeMap<(u8, &str), (u32, u32)> = BTreeMap::new();
    for line in &plan.nodes {
        let (before, after) = zones.entry((line.n, names.zone(line.node))).or_default();
        *before += line.before;
        *after += line.after;
    }
    zones
}

fn show_warnings(names: &Names, plan: &RingPlan, out: &mut Out) -> Done {
    for warning in &plan.warnings {
        let force = if warning.needs_force {
            " (needs --force)"
        } else {
            ""
        };
        out.line(format_args!("warning: {}{force}", warning.text))?;
    }
    for loss in &plan.losses {
        let (node, classes) = (names.get(loss.node), loss.classes);
        out.line(format_args!(
            "warning: {node} may have the last up-to-date copy of {classes} classes (needs --loss-of {node})"
        ))?;
    }
    Ok(())
}

fn as_json(names: &Names, sizes: &Sizes, plan: &RingPlan) -> Value {
    let nodes = plan.nodes.iter().map(|line| {
        json!({
            "n": line.n, "node": names.get(line.node), "before": line.before,
            "after": line.after, "receives": line.receives, "sends": line.sends,
            "receives_bytes_about": sizes.receives(line),
        })
    });
    let zones = by_zone(names, plan).into_iter().map(|((n, zone), (before, after))| {
        json!({ "n": n, "zone": zone, "before": before, "after": after })
    });
    let warnings = plan.warnings.iter();
    let warnings = warnings.map(|one| json!({ "text": one.text, "needs_force": one.needs_force }));
    let losses = plan.losses.iter();
    let losses = losses.map(|one| json!({ "node": names.get(one.node), "classes": one.classes }));
    let (bytes, time) = sizes.all(plan);
    json!({
        "version": plan.version.get(), "plan": plan.digest.to_string(), "changes": plan.changes,
        "nodes": nodes.collect::<Vec<_>>(), "zones": zones.collect::<Vec<_>>(),
        "bytes_about": bytes, "seconds_at_least": time.map(|time| time.as_secs()),
        "warnings": warnings.collect::<Vec<_>>(), "losses": losses.collect::<Vec<_>>(),
    })
}
