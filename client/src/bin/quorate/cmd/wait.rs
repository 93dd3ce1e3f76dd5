//! `quorate wait`: until the cluster is as wanted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use quorate_client::{Client, Error};
use serde_json::json;

use super::converged;
use super::status::why;
use crate::connect::{Connect, duration};
use crate::moving::Moving;
use crate::outcome::{Done, Failure, complain};
use crate::output::Out;
use crate::survey::{Said, survey};

/// How often it asks.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// Wait until the cluster is as wanted
///
/// Exit code 0: all that is asked for holds. 2: it did not within the time; what it waits for is said meanwhile. Between
/// two steps of a rolling restart: `quorate wait --healthy --no-handoff`.
#[derive(Args)]
#[group(id = "wanted", required = true, multiple = true)]
pub(crate) struct Wait {
    /// Every member answers, reaches all others, and is caught up
    #[arg(long, group = "wanted")]
    healthy: bool,
    /// No hint is kept for anybody, and no class is moving
    #[arg(long, group = "wanted")]
    no_handoff: bool,
    /// Every write is on all replicas of its partition, and no hint is left
    #[arg(long, group = "wanted")]
    converged: bool,
    /// No ring change is under way: all classes are in their places, no old copy is left, nobody leaves
    #[arg(long, group = "wanted")]
    settled: bool,
    #[command(flatten)]
    until: Until,
}

#[derive(Args)]
struct Until {
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Wait, out: &mut Out) -> Done {
    let until = &args.until;
    let (begin, client) = (Instant::now(), until.connect.client().await?);
    let mut shown = String::new();
    let missing = loop {
        let missing = args.missing(&client).await;
        if missing.is_empty() || begin.elapsed() >= until.timeout {
            break missing;
        }
        let words = missing.join("; ");
        if words != shown {
            complain(format_args!("waiting: {words}"));
            shown = words;
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    client.close().await;
    let waited_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    if out.is_json() {
        out.json(
            &json!({ "holds": missing.is_empty(), "missing": missing, "waited_ms": waited_ms }),
        )?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    out.flush()?;
    complain(format_args!(
        "not after {}: {}",
        humantime::format_duration(until.timeout),
        missing.join("; ")
    ));
    Err(Failure::Shown(2))
}

impl Wait {
    /// What does not hold yet.
    async fn missing(&self, client: &Client) -> Vec<String> {
        match self.look(client).await {
            Ok(missing) => missing,
            Err(error) => vec![error.to_string()],
        }
    }

    async fn look(&self, client: &Client) -> Result<Vec<String>, Error> {
        // Members may have gone since the last look.
        let map = client.refresh_map().await?;
        let said = survey(client, false).await;
        let mut missing = Vec::new();
        if self.healthy {
            let sick = said.iter().filter(|said| !said.is_ready(|_| true));
            missing.extend(sick.map(|said| why(&map, said)));
        }
        if self.no_handoff {
            missing.extend(hints(&said));
        }
        if self.settled || self.no_handoff {
            missing.extend(moving(client, &said).await?);
        }
        if self.converged {
            let found = client.convergence().await;
            if !found.is_converged() {
                missing.push(converged::summary(&map, &found));
            }
        }
        Ok(missing)
    }
}

fn hints(said: &[Said]) -> Option<String> {
    let silent = said.iter().find(|said| said.report.is_err());
    if let Some(silent) = silent {
        let name = &silent.member.name;
        return Some(format!("{name} does not answer, and may keep hints"));
    }
    let kept: u64 = said.iter().map(Said::hints).sum();
    let in_flight: u64 = said.iter().map(Said::hints_in_flight).sum();
    (kept + in_flight > 0).then(|| format!("{kept} hints are kept, {in_flight} in flight"))
}

/// What moves, if anything; and whether those who answer work by one version.
async fn moving(client: &Client, said: &[Said]) -> Result<Option<String>, Error> {
    let version = client.version().await?;
    let moving = Moving::by(&version);
    if !moving.is_over() {
        let silent = moving.going.iter().filter(|(name, is_dead)| {
            let answers = |said: &&Said| said.member.name == *name && said.report.is_ok();
            !is_dead && !said.iter().any(|said| answers(&said))
        });
        let hints = silent
            .map(|(name, _)| format!(", {name} does not answer: start it, or remove it by force"));
        return Ok(Some(moving.words() + &hints.collect::<String>()));
    }
    let reports = said.iter().filter_map(|said| said.report.as_ref().ok());
    let mut newest: BTreeSet<u64> = reports
        .map(|report| report.map.newest.version.get())
        .collect();
    newest.insert(version.version.get());
    let words = "the nodes are at different versions of the cluster map";
    Ok((newest.len() > 1).then(|| words.to_owned()))
}
