//! `quorate lag`: how many writes each node lacks, counted exactly.

use std::time::{Duration, Instant};

use clap::Args;
use quorate_client::{ClusterMap, Convergence, NodeId};
use serde_json::json;

use crate::connect::{Connect, duration, name_of};
use crate::outcome::Done;
use crate::output::Out;

/// Show how many writes each node lacks
///
/// Counts, not estimates: the writes that some replica of a partition has and the node's own replica has not.
#[derive(Args)]
pub(crate) struct Lag {
    /// Show it again and again, until interrupted
    #[arg(long)]
    watch: bool,
    /// How often to show it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    every: Duration,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Lag, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let started = Instant::now();
    loop {
        let found = client.convergence().await;
        report(&client.map(), &found, started.elapsed(), out)?;
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

fn report(map: &ClusterMap, found: &Convergence, at: Duration, out: &mut Out) -> Done {
    let silent = |node: NodeId| found.silent.iter().any(|(known, _)| *known == node);
    let hints_for = |node: NodeId| -> u64 {
        let held = found.hints.iter().filter(|(_, held)| held.target == node);
        held.map(|(_, held)| held.hints).sum()
    };
    if out.is_json() {
        let nodes: Vec<_> = map
            .members
            .iter()
            .map(|member| {
                let lacks = (!silent(member.id)).then(|| found.lacks(member.id));
                json!({ "node": member.name, "lacks": lacks, "hints_waiting": hints_for(member.id) })
            })
            .collect();
        return out.json(&json!({
            "seconds": at.as_secs_f64(), "converged": found.is_converged(), "nodes": nodes,
        }));
    }
    let of_node = |node: NodeId| {
        if silent(node) {
            return format!("{} ?", name_of(map, node));
        }
        let (lacks, hints) = (found.lacks(node), hints_for(node));
        let waiting = match hints {
            0 => String::new(),
            hints => format!(" ({hints} as hints)"),
        };
        format!("{} {lacks}{waiting}", name_of(map, node))
    };
    let nodes: Vec<String> = map
        .members
        .iter()
        .map(|member| of_node(member.id))
        .collect();
    let verdict = if found.is_converged() {
        "converged"
    } else {
        "writes missing"
    };
    out.line(format_args!(
        "{:>7.1} s  {verdict}: {}",
        at.as_secs_f64(),
        nodes.join(", ")
    ))
}
