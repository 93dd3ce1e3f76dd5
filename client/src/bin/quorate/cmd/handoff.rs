//! `quorate handoff`: the hints that nodes keep for others, and their delivery.

use std::time::Duration;

use clap::Args;
use quorate_client::ClusterMap;
use serde_json::json;

use crate::connect::{Connect, duration, name_of};
use crate::outcome::Done;
use crate::output::{Out, table};
use crate::survey::{Said, survey};

/// Show the hints that nodes keep for others
///
/// A hint is an object that a node keeps in place of one that could not be reached; it is handed
/// off when that node returns.
#[derive(Args)]
pub(crate) struct Handoff {
    /// Show it again and again, until interrupted
    #[arg(long)]
    watch: bool,
    /// How often to show it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    every: Duration,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Handoff, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    loop {
        let said = survey(&client, false).await;
        report(&client.map(), &said, out)?;
        out.flush()?;
        if !args.watch {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(args.every) => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}

fn report(map: &ClusterMap, said: &[Said], out: &mut Out) -> Done {
    let peers = |said: &Said| {
        said.report
            .as_ref()
            .map(|report| report.peers.clone())
            .unwrap_or_default()
    };
    let lines: Vec<_> = said
        .iter()
        .flat_map(|said| {
            peers(said)
                .into_iter()
                .map(|peer| (said.member.name.clone(), peer))
        })
        .filter(|(_, peer)| peer.hints + peer.hints_delivered + peer.hints_in_flight > 0)
        .collect();
    let silent: Vec<&str> = said
        .iter()
        .filter(|said| said.report.is_err())
        .map(|said| said.member.name.as_str())
        .collect();
    if out.is_json() {
        let hints: Vec<_> = lines
            .iter()
            .map(|(holder, peer)| {
                json!({
                    "holder": holder, "for": name_of(map, peer.node), "reachable": peer.reachable,
                    "pending": peer.hints, "delivered": peer.hints_delivered, "in_flight": peer.hints_in_flight,
                })
            })
            .collect();
        return out.json(&json!({ "hints": hints, "silent": silent }));
    }
    let mut rows = table(&[
        "HOLDER",
        "FOR",
        "REACHABLE",
        "PENDING",
        "IN FLIGHT",
        "DELIVERED",
    ]);
    for (holder, peer) in &lines {
        rows.add_row([
            holder.clone(),
            name_of(map, peer.node),
            if peer.reachable { "yes" } else { "no" }.to_owned(),
            peer.hints.to_string(),
            peer.hints_in_flight.to_string(),
            peer.hints_delivered.to_string(),
        ]);
    }
    if lines.is_empty() {
        out.line("no hints are kept, and none were delivered since the nodes started")?;
    } else {
        out.table(&rows)?;
    }
    silent.iter().try_for_each(|name| {
        out.line(format_args!(
            "{name} does not answer: hints it may keep are not shown"
        ))
    })
}
