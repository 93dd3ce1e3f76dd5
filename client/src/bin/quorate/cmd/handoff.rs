//! `quorate handoff`: hints that nodes keep for others, copies on their way to new places, and the pace of both.

use std::time::Duration;

use clap::Args;
use quorate_client::{Client, ClusterMap, Error, Member, Moves, MovesReport, Profile};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::transfers;
use crate::connect::{Connect, duration, name_of};
use crate::outcome::{Done, Failure, error_json};
use crate::output::{Out, table};
use crate::survey::{Said, survey};

/// A node that says nothing for so long is shown as silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// Show the hints that nodes keep for others, and the copies that travel
///
/// A hint is an object that a node keeps in place of one that could not be reached; it is handed
/// off when that node returns. Copies travel when the ring places partitions elsewhere, and to a
/// node that lost something. They slow down by themselves while requests take longer than usual.
#[derive(Args)]
pub(crate) struct Handoff {
    /// Show it again and again, until interrupted
    #[arg(long)]
    watch: bool,
    /// How often to show it
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    every: Duration,
    /// Fill no new places until resumed or restarted; partitions stay where they are
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Fill new places again
    #[arg(long)]
    resume: bool,
    /// Let each node take in and hand out so many MiB a second at most; 0: as configured
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(0..=RATE_MB_MAX))]
    rate: Option<u64>,
    /// Slow down while one request of twenty takes longer than this; 0: as configured
    #[arg(long, value_name = "TIME", value_parser = duration)]
    latency: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

/// More no disk gives.
const RATE_MB_MAX: u64 = 10_000;

impl Handoff {
    fn order(&self) -> Moves {
        let pause = self.pause.then_some(true);
        let latency_us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Moves {
            pause: pause.or(self.resume.then_some(false)),
            bytes_per_s: self.rate.map(|mib| mib << 20),
            latency_us: self.latency.map(latency_us),
        }
    }
}

pub(crate) async fn run(args: Handoff, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let mut order = args.order();
    let ordered = order != Moves::default();
    let silent = loop {
        let (said, moves) = tokio::join!(survey(&client, false), ask_all(&client, order));
        report(&client.map(), &said, &moves, out)?;
        out.flush()?;
        order = Moves::default(); // once is enough
        if !args.watch {
            break moves.iter().any(|(_, report)| report.is_err());
        }
        tokio::select! {
            () = tokio::time::sleep(args.every) => {}
            _ = tokio::signal::ctrl_c() => break false,
        }
    };
    client.close().await;
    if ordered && silent {
        Err(Failure::Shown(2)) // somebody did not get the order
    } else {
        Ok(())
    }
}

/// What each node says of the copies that travel, ordered by name.
type Told = Vec<(Member, Result<MovesReport, Error>)>;

async fn ask_all(client: &Client, order: Moves) -> Told {
    let client = client.with_profile(Profile {
        deadline: Some(PATIENCE),
        ..Profile::default()
    });
    let mut asked = JoinSet::new();
    for member in client.map().members.clone() {
        let client = client.clone();
        asked.spawn(async move {
            let report = client.moves(member.id, order).await;
            (member, report)
        });
    }
    let mut told = asked.join_all().await;
    told.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    told
}

fn report(map: &ClusterMap, said: &[Said], moves: &Told, out: &mut Out) -> Done {
    if out.is_json() {
        return out.json(&as_json(map, said, moves));
    }
    show_hints(map, said, out)?;
    let reports: Vec<&MovesReport> = moves
        .iter()
        .filter_map(|(_, told)| told.as_ref().ok())
        .collect();
    transfers::show(map, &reports, out)?;
    let silent = moves.iter().filter(|(_, report)| report.is_err());
    silent.into_iter().try_for_each(|(member, _)| {
        out.line(format_args!(
            "{} does not answer: what it keeps or receives is not shown",
            member.name
        ))
    })
}

fn as_json(map: &ClusterMap, said: &[Said], moves: &Told) -> Value {
    let hints: Vec<_> = lines(said)
        .map(|(holder, peer)| {
            json!({
                "holder": holder, "for": name_of(map, peer.node), "reachable": peer.reachable,
                "pending": peer.hints, "delivered": peer.hints_delivered, "in_flight": peer.hints_in_flight,
            })
        })
        .collect();
    let silent: Vec<&str> = said
        .iter()
        .filter(|said| said.report.is_err())
        .map(|said| said.member.name.as_str())
        .collect();
    let nodes: Vec<_> = moves
        .iter()
        .map(|(member, report)| match report {
            Ok(report) => transfers::as_json(map, &member.name, report),
            Err(error) => json!({ "node": member.name, "error": error_json(error) }),
        })
        .collect();
    json!({ "hints": hints, "silent": silent, "nodes": nodes, "ring": transfers::ring_json(map, moves.iter().filter_map(|(_, report)| report.as_ref().ok())) })
}

/// The pairs of a holder and whom it keeps hints for, or did.
fn lines(said: &[Said]) -> impl Iterator<Item = (&str, &quorate_client::PeerStatus)> {
    let reports = said
        .iter()
        .filter_map(|said| Some((said.member.name.as_str(), said.report.as_ref().ok()?)));
    reports
        .flat_map(|(holder, report)| report.peers.iter().map(move |peer| (holder, peer)))
        .filter(|(_, peer)| peer.hints + peer.hints_delivered + peer.hints_in_flight > 0)
}

fn show_hints(map: &ClusterMap, said: &[Said], out: &mut Out) -> Done {
    let mut rows = table(&[
        "HOLDER",
        "FOR",
        "REACHABLE",
        "PENDING",
        "IN FLIGHT",
        "DELIVERED",
    ]);
    for (holder, peer) in lines(said) {
        rows.add_row([
            holder.to_owned(),
            name_of(map, peer.node),
            if peer.reachable { "yes" } else { "no" }.to_owned(),
            peer.hints.to_string(),
            peer.hints_in_flight.to_string(),
            peer.hints_delivered.to_string(),
        ]);
    }
    if rows.is_empty() {
        out.line("no hints are kept, and none were delivered since the nodes started")
    } else {
        out.table(&rows)
    }
}
