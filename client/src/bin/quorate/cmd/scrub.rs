//! `quorate scrub`: how far the nodes have read their data through, and whether they go on by themselves.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use quorate_client::{Client, Error, Member, Scrub as Order, ScrubState, VnodeStatus};
use serde_json::json;

use crate::connect::{Connect, member};
use crate::outcome::{Done, Failure, error_json};
use crate::output::{Out, table};

#[derive(Subcommand)]
pub(crate) enum Scrub {
    /// Show how far each node has come
    Status(Which),
    /// Read nothing but what is suspected or ordered, until resumed or restarted
    Pause(Which),
    /// Go on at the configured pace
    Resume(Which),
}

#[derive(Args)]
pub(crate) struct Which {
    /// The nodes, by name or id [default: all]
    nodes: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Which {
    pub(crate) fn members(client: &Client, names: &[String]) -> Result<Vec<Member>, Failure> {
        let map = client.map();
        if names.is_empty() {
            return Ok(map.members.clone());
        }
        let named = names.iter().map(|name| member(&map, name).cloned());
        named.collect()
    }
}

pub(crate) async fn run(args: Scrub, out: &mut Out) -> Done {
    let (pause, which) = match args {
        Scrub::Status(which) => (None, which),
        Scrub::Pause(which) => (Some(true), which),
        Scrub::Resume(which) => (Some(false), which),
    };
    let order = Order {
        pause,
        ..Order::default()
    };
    let client = which.connect.client().await?;
    let mut rows = table(&[
        "NODE",
        "SCRUBBING",
        "READ THROUGH",
        "OLDEST",
        "NOW",
        "BAD RECORDS",
    ]);
    let (mut shown, mut silent) = (Vec::new(), false);
    for member in Which::members(&client, &which.nodes)? {
        match ask(&client, &member, order.clone()).await {
            Ok((state, vnodes)) => {
                shown.push(as_json(&member, &state, &vnodes));
                rows.add_row(row(&member, &state, &vnodes));
            }
            Err(error) => {
                silent = true;
                shown.push(json!({ "node": member.name, "error": error_json(&error) }));
                rows.add_row([member.name.clone(), error.to_string()]);
            }
        }
    }
    client.close().await;
    if out.is_json() {
        out.json(&json!({ "nodes": shown }))?;
    } else {
        out.table(&rows)?;
    }
    if silent {
        Err(Failure::Shown(2))
    } else {
        Ok(())
    }
}

async fn ask(
    client: &Client,
    member: &Member,
    order: Order,
) -> Result<(ScrubState, Vec<VnodeStatus>), Error> {
    let state = client.scrub(member.id, order).await?;
    let report = client.status(member.id, true).await?;
    Ok((state, report.vnodes))
}

fn row(member: &Member, state: &ScrubState, vnodes: &[VnodeStatus]) -> [String; 6] {
    let done = vnodes.iter().filter_map(|vnode| vnode.scrubbed_ms);
    let running = vnodes.iter().filter_map(|vnode| vnode.scrubbing);
    let bad: u64 = vnodes.iter().map(|vnode| vnode.bad_records).sum();
    [
        member.name.clone(),
        if state.paused { "paused" } else { "on" }.to_owned(),
        format!("{} of {}", done.clone().count(), vnodes.len()),
        done.min().map_or_else(|| "-".to_owned(), ago),
        running
            .map(|keys| format!("{keys} keys"))
            .next()
            .unwrap_or_else(|| "-".to_owned()),
        bad.to_string(),
    ]
}

fn as_json(member: &Member, state: &ScrubState, vnodes: &[VnodeStatus]) -> serde_json::Value {
    let done = vnodes.iter().filter_map(|vnode| vnode.scrubbed_ms);
    json!({
        "node": member.name, "paused": state.paused, "vnodes": vnodes.len(),
        "read_through": done.clone().count(), "oldest_ms": done.min(),
        "running": vnodes.iter().filter(|vnode| vnode.scrubbing.is_some()).count(),
        "bad_records": vnodes.iter().map(|vnode| vnode.bad_records).sum::<u64>(),
    })
}

/// How long ago that was, in whole seconds.
pub(crate) fn ago(at_ms: u64) -> String {
    let done = SystemTime::UNIX_EPOCH + Duration::from_millis(at_ms);
    let since = SystemTime::now().duration_since(done).unwrap_or_default();
    let seconds = Duration::from_secs(since.as_secs());
    format!("{} ago", humantime::format_duration(seconds))
}
