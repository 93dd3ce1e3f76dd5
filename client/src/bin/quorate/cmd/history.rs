//! `quorate cluster history`: the log of the cluster map's versions.

use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use quorate_client::{Client, Error, MapLine, MapLog};
use serde_json::json;
use tokio::task::JoinSet;

use crate::connect::{Connect, name_of};
use crate::outcome::{Done, Failure};
use crate::output::{Out, table};

#[derive(Args)]
pub(crate) struct History {
    /// Show only so many of the youngest versions
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: History, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let map = client.map();
    let log = newest(&client).await;
    client.close().await;
    let log =
        log.ok_or_else(|| Failure::Failed("the cluster map names no members".to_owned()))??;
    let all = log.versions.len();
    let from = all.saturating_sub(args.last.unwrap_or(all));
    let shown = &log.versions[from..];
    if out.is_json() {
        let versions: Vec<_> = shown
            .iter()
            .map(|line| {
                json!({
                    "version": line.version.get(), "digest": line.digest.to_string(),
                    "at_ms": line.wall_ms, "by": name_of(&map, line.by), "what": line.what,
                })
            })
            .collect();
        return out.json(&json!({ "node": name_of(&map, log.node), "versions": versions }));
    }
    let mut rows = table(&["VERSION", "DIGEST", "WHEN", "BY", "WHAT"]);
    for line in shown {
        let digest = line.digest.to_string();
        rows.add_row([
            line.version.to_string(),
            digest.get(..8).unwrap_or(&digest).to_owned(),
            when(line),
            name_of(&map, line.by),
            line.what.clone(),
        ]);
    }
    out.table(&rows)
}

/// Asks all nodes, and takes the log that goes furthest: a node may not have the newest version yet.
async fn newest(client: &Client) -> Option<Result<MapLog, Error>> {
    let mut asked = JoinSet::new();
    for member in &client.map().members {
        let (client, node) = (client.clone(), member.id);
        asked.spawn(async move { client.map_history(node).await });
    }
    let answers = asked.join_all().await.into_iter();
    let better = |one: Result<MapLog, Error>, other: Result<MapLog, Error>| {
        if youngest(&other) > youngest(&one) {
            other
        } else {
            one
        }
    };
    answers.reduce(better)
}

fn youngest(log: &Result<MapLog, Error>) -> Option<u64> {
    let last = log.as_ref().ok()?.versions.last();
    last.map(|line| line.version.get())
}

/// By the clock of the node that proposed it.
fn when(line: &MapLine) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(line.wall_ms));
    // Far beyond what the calendar of the formatter holds, and what nobody noted.
    let sound = time.filter(|_| (1..253_402_300_800_000).contains(&line.wall_ms));
    sound.map_or_else(
        || "-".to_owned(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
}
