//! `quorate cluster leave`, `weight`, `zone`, `force-remove`, `commit`, `clear`, `cancel`, `forget`: changes of the
//! members are staged one by one, looked at together, and committed.

use clap::Args;
use quorate_client::{
    Client, ClusterMap, Commit, Member, NodeId, RingChange, RingChanged, RingDigest, StagedChange,
    Weight, Zone,
};
use serde_json::json;

use crate::connect::Connect;
use crate::outcome::{Done, Failure};
use crate::output::Out;

#[derive(Args)]
pub(crate) struct One {
    /// The node: its name, or its id
    node: String,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
pub(crate) struct ToWeight {
    /// The node: its name, or its id
    node: String,
    /// How much it carries, in relation to the others: 0 (nothing) to 1000
    #[arg(value_parser = weight)]
    weight: Weight,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
pub(crate) struct ToZone {
    /// The node: its name, or its id
    node: String,
    /// The zone, such as dc1 or dc1/rack2
    zone: Zone,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
pub(crate) struct Plain {
    #[command(flatten)]
    pub(super) connect: Connect,
}

#[derive(Args)]
pub(crate) struct ToCommit {
    /// Commit only what `plan` showed under this name
    #[arg(long, value_name = "PLAN")]
    plan: Option<RingDigest>,
    /// Commit though it makes the cluster worse
    #[arg(long)]
    force: bool,
    /// A node whose data may be lost; once for each such node
    #[arg(long, value_name = "NODE")]
    loss_of: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

fn weight(text: &str) -> Result<Weight, String> {
    let number: u16 = text.parse().map_err(|_| "not a number".to_owned())?;
    Weight::new(number).map_err(|error| error.to_string())
}

pub(crate) async fn leave(args: One, out: &mut Out) -> Done {
    stage(&args.connect, &args.node, StagedChange::leave, out).await
}

pub(crate) async fn force_remove(args: One, out: &mut Out) -> Done {
    stage(&args.connect, &args.node, StagedChange::force_remove, out).await
}

pub(crate) async fn reweigh(args: ToWeight, out: &mut Out) -> Done {
    let change = |node| StagedChange::weight(node, args.weight);
    stage(&args.connect, &args.node, change, out).await
}

pub(crate) async fn rezone(args: ToZone, out: &mut Out) -> Done {
    let change = |node| StagedChange::zone(node, args.zone.clone());
    stage(&args.connect, &args.node, change, out).await
}

pub(crate) async fn clear(args: Plain, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    change(&client, RingChange::Clear, out).await
}

pub(crate) async fn cancel(args: Plain, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    change(&client, RingChange::Cancel, out).await
}

pub(crate) async fn forget(args: One, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let node = found(&client.map(), &args.node)?;
    change(&client, RingChange::Forget(node), out).await
}

pub(crate) async fn commit(args: ToCommit, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let map = client.map();
    let loss_of = args.loss_of.iter().map(|node| found(&map, node));
    let commit = Commit {
        force: args.force,
        loss_of: loss_of.collect::<Result<_, _>>()?,
        plan: args.plan,
    };
    change(&client, RingChange::Commit(commit), out).await
}

async fn stage(
    connect: &Connect,
    node: &str,
    staged: impl Fn(NodeId) -> StagedChange,
    out: &mut Out,
) -> Done {
    let client = connect.client().await?;
    let node = found(&client.map(), node)?;
    change(&client, RingChange::Stage(staged(node)), out).await
}

pub(super) async fn change(client: &Client, change: RingChange, out: &mut Out) -> Done {
    let changed = client.change_ring(change).await;
    client.close().await;
    let RingChanged { version, what } = changed?;
    if out.is_json() {
        return out.json(&json!({ "version": version.get(), "what": what }));
    }
    out.line(format_args!("version {version} of the cluster map: {what}"))
}

/// The member of that name or id.
pub(super) fn found(map: &ClusterMap, node: &str) -> Result<NodeId, Failure> {
    let is_meant = |member: &&Member| member.name == node || member.id.to_string() == node;
    let member = map.members.iter().find(is_meant);
    member
        .map(|member| member.id)
        .ok_or_else(|| Failure::Refused(format!("{node} is no member: `quorate ring` lists them")))
}
