//! `quorate cluster recover`: goes on without members that are gone for good, so many that no majority is left. Without
//! `--yes` it only says what may be lost.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use quorate_client::{Client, Going, Member, NodeId, RingChange, VersionedMap};
use serde_json::json;

use super::members::{change, found};
use crate::connect::Connect;
use crate::outcome::{Done, Failure, complain};
use crate::output::{Out, table};
use crate::survey::{Said, survey};

/// Go on without members that are gone for good, so many that no majority is left
///
/// Says what may be lost and changes nothing; with --yes it is done. Every member that is not called gone must answer. Those
/// called gone can never come back: they are refused, and what only they hold is given up. This cannot be undone. Call
/// nobody gone who may still run somewhere: both sides would take writes, and what one of them took is lost.
#[derive(Args)]
pub(crate) struct Recover {
    /// The members that are gone: names or ids, separated by commas
    #[arg(long, value_name = "NODES", value_delimiter = ',', required = true)]
    gone: Vec<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Recover, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let version = client.version().await?;
    let gone = named(&version, &args.gone)?;
    if gone
        .iter()
        .all(|&node| version.recovered_without(node).is_some())
    {
        let version = version.version;
        client.close().await;
        return out.line(format_args!(
            "already recovered without them: version {version} of the cluster map"
        ));
    }
    let outlook = Outlook::of(&client, version, gone).await;
    if !out.is_json() || !args.yes {
        outlook.show(out)?;
    }
    if let Some(why) = outlook.refused() {
        client.close().await;
        return Err(Failure::Refused(why));
    }
    if args.yes {
        let gone = outlook.gone.into_iter().collect();
        return change(&client, RingChange::Recover(gone), out).await;
    }
    client.close().await;
    out.flush()?;
    complain(format_args!(
        "NOTHING WAS CHANGED. It is done with --yes, and cannot be undone"
    ));
    Ok(())
}

/// Members by name or id, and those that the cluster was recovered without before.
fn named(version: &VersionedMap, nodes: &[String]) -> Result<BTreeSet<NodeId>, Failure> {
    let earlier = version.recoveries.iter();
    let earlier = earlier.flat_map(|one| one.gone.iter().zip(&one.names));
    let earlier: Vec<(&NodeId, &String)> = earlier.collect();
    let find = |node: &String| {
        let is_meant = |(id, name): &&(&NodeId, &String)| *name == node || id.to_string() == *node;
        let lost = earlier.iter().rev().find(is_meant).map(|(id, _)| **id);
        found(&version.map, node).or_else(|refused| lost.ok_or(refused))
    };
    nodes.iter().map(find).collect()
}

/// What a recovery would mean.
struct Outlook {
    version: VersionedMap,
    gone: BTreeSet<NodeId>,
    said: Vec<Said>,
    losses: BTreeMap<u8, Loss>,
}

/// How many partitions lose what, of those whose buckets keep n copies.
#[derive(Default)]
struct Loss {
    partitions: usize,
    /// Every copy: the data is gone.
    all: usize,
    /// So many that those left are no majority: the last writes may be gone.
    most: usize,
}

impl Outlook {
    async fn of(client: &Client, version: VersionedMap, gone: BTreeSet<NodeId>) -> Self {
        let said = survey(client, false).await;
        let losses = losses(&version, &gone);
        Self {
            version,
            gone,
            said,
            losses,
        }
    }

    fn is_gone(&self, member: &Member) -> bool {
        let dead = self.version.going(member.id).is_some_and(Going::is_dead);
        dead || self.gone.contains(&member.id)
    }

    /// Why it cannot be done now.
    fn refused(&self) -> Option<String> {
        let names = |wrong: &dyn Fn(&Said) -> bool| {
            let wrong = self.said.iter().filter(|said| wrong(said));
            let names: Vec<&str> = wrong.map(|said| said.member.name.as_str()).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let calls = |said: &Said| self.gone.contains(&said.member.id);
        if let Some(alive) = names(&|said| calls(said) && said.report.is_ok()) {
            return Some(format!(
                "{alive} answers: a node that runs is not given up. Nothing was changed"
            ));
        }
        if let Some(silent) = names(&|said| !self.is_gone(&said.member) && said.report.is_err()) {
            return Some(format!(
                "there is no answer from {silent}: every member that is not called gone must answer. Start it, or call it \
                 gone, too, if it is. Nothing was changed"
            ));
        }
        None
    }

    /// Hints that those who are left keep for those who are gone.
    fn hints(&self) -> u64 {
        let reports = self
            .said
            .iter()
            .filter_map(|said| said.report.as_ref().ok());
        let peers = reports.flat_map(|report| &report.peers);
        let gone = peers.filter(|peer| self.gone.contains(&peer.node));
        gone.map(|peer| peer.hints).sum()
    }

    fn show(&self, out: &mut Out) -> Done {
        if out.is_json() {
            return out.json(&self.json());
        }
        let mut rows = table(&["NODE", "ID", "IS", "VERSION OF THE MAP"]);
        for Said { member, report } in &self.said {
            let state = match (self.is_gone(member), report) {
                (true, Ok(_)) => "called gone, AND ANSWERS",
                (true, Err(_)) => "GONE",
                (false, Ok(_)) => "left",
                (false, Err(_)) => "left, AND SILENT",
            };
            let newest = report.as_ref().map(|report| report.map.newest.to_string());
            rows.add_row([
                member.name.clone(),
                member.id.to_string(),
                state.to_owned(),
                newest.unwrap_or_else(|_| "-".to_owned()),
            ]);
        }
        out.table(&rows)?;
        let mut rows = table(&[
            "N",
            "PARTITIONS",
            "NO COPY LEFT",
            "NO MAJORITY LEFT",
            "SAFE",
        ]);
        for (n, loss) in &self.losses {
            let safe = loss.partitions - loss.all - loss.most;
            let counts = [loss.partitions, loss.all, loss.most, safe];
            let counts = counts.iter().map(usize::to_string);
            rows.add_row(std::iter::once(n.to_string()).chain(counts));
        }
        out.table(&rows)?;
        out.line(format_args!(
            "NO COPY LEFT: all data of these partitions IS LOST.\n\
             NO MAJORITY LEFT: the last acknowledged writes of these partitions MAY BE LOST, and deleted values may show again.\n\
             {} hints for those who are gone are kept by those who are left, and go to whoever takes the places.\n\
             What was decided and known to those who are gone alone, such as a new bucket, is given up.",
            self.hints()
        ))
    }

    fn json(&self) -> serde_json::Value {
        let names = |gone: bool| {
            let members = self.said.iter().map(|said| &said.member);
            let some = members.filter(|member| self.is_gone(member) == gone);
            some.map(|member| member.name.clone()).collect::<Vec<_>>()
        };
        let losses = self.losses.iter().map(|(n, loss)| {
            json!({
                "n": n, "partitions": loss.partitions, "no_copy_left": loss.all, "no_majority_left": loss.most,
            })
        });
        json!({
            "version": self.version.version.to_string(), "gone": names(true), "left": names(false),
            "losses": losses.collect::<Vec<_>>(), "hints": self.hints(), "changed": false,
        })
    }
}

fn losses(version: &VersionedMap, gone: &BTreeSet<NodeId>) -> BTreeMap<u8, Loss> {
    let ring = &version.map.ring;
    let mut losses = BTreeMap::new();
    for one in &version.uses {
        let loss: &mut Loss = losses.entry(one.n).or_default();
        for partition in ring.partitions().partitions() {
            let class = quorate_client::Class {
                n: one.n,
                partition,
            };
            let at = version
                .records
                .binary_search_by_key(&class, |record| record.class);
            let holders: Vec<NodeId> = match at.ok().and_then(|at| version.records.get(at)) {
                Some(record) => record.read_set().iter().map(|place| place.node).collect(),
                None => ring.primaries(class).to_vec(),
            };
            let left = holders.iter().filter(|node| !gone.contains(node)).count();
            loss.partitions += 1;
            loss.all += usize::from(left == 0);
            loss.most += usize::from(left > 0 && 2 * left <= holders.len());
        }
    }
    losses
}
