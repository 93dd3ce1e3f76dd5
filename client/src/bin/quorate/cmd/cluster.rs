//! `quorate cluster`, and `create`: everything that the first nodes of a cluster start from.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use quorate_client::provision::{ClusterSpec, Issued, NewCluster, NodeSpec};
use quorate_protocol::map_file;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::PartitionCount;
use serde_json::json;

use super::history::History;
use super::join::{Join, Replace};
use super::members::{One, Plain, ToCommit, ToWeight, ToZone};
use super::recover::Recover;
use crate::files::{Access, NewFiles};
use crate::outcome::{Done, Failure};
use crate::output::{Out, table};

#[derive(Subcommand)]
pub(crate) enum Cluster {
    /// Make a cluster's map, secret, authority and certificates, in a directory
    ///
    /// Written are:
    ///
    ///   cluster.map                 the first cluster map, for every node
    ///   secret                      what contexts are authenticated with: for nodes only
    ///   ca.pem, ca.key              the authority; its key is needed for new certificates only
    ///   nodes/NAME.pem, NAME.key    each node's certificate and key
    ///   clients/admin.pem, admin.key  a first client's
    #[command(verbatim_doc_comment)]
    Create(Create),
    /// Show the versions of the cluster map: when each was made, by whom, and what it changed
    History(History),
    Join(Join),
    Replace(Replace),
    /// Stage that a node hands over all it holds and leaves
    Leave(One),
    /// Stage that a node is gone for good: nothing is had from it any more
    ForceRemove(One),
    /// Stage another weight of a node; 0 drains it
    Weight(ToWeight),
    /// Stage another zone of a node
    Zone(ToZone),
    /// Show what a commit of the staged changes would do
    Plan(Plain),
    /// Make the staged changes; classes then move by themselves
    Commit(ToCommit),
    /// Forget the staged changes
    Clear(Plain),
    /// Take the change back that is under way
    Cancel(Plain),
    /// Wait no longer for what a node holds that was removed by force: it is given up
    Forget(One),
    Recover(Recover),
}

#[derive(Args)]
pub(crate) struct Create {
    /// The cluster's name, for people
    #[arg(long)]
    name: String,
    /// Into how many partitions keys are placed: a power of two, which cannot change later
    #[arg(long, default_value = "64", value_parser = partitions)]
    partitions: PartitionCount,
    /// The most copies that a bucket of this cluster may ask for
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    copies: u8,
    /// A node: name=NAME,peer=HOST:PORT,client=HOST:PORT, and if wanted zone=A/B,weight=100; once
    /// for each node
    #[arg(long = "node", required = true, value_name = "NODE")]
    nodes: Vec<NodeSpec>,
    /// The directory to write into
    #[arg(long)]
    out: PathBuf,
    /// Replace files that exist. The cluster they describe is lost with them
    #[arg(long)]
    force: bool,
}

fn partitions(text: &str) -> Result<PartitionCount, String> {
    let count: u32 = text.parse().map_err(|_| "not a number".to_owned())?;
    PartitionCount::new(count).map_err(|error| error.to_string())
}

pub(crate) fn create(args: Create, out: &mut Out) -> Done {
    let spec = ClusterSpec {
        name: args.name,
        partitions: args.partitions,
        copies: args.copies,
        nodes: args.nodes,
    };
    let made = spec
        .create()
        .map_err(|error| Failure::Refused(error.to_string()))?;
    files(&made, &args.out, args.force).write()?;
    report(&made, &args.out, out)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

fn files(made: &NewCluster, dir: &Path, force: bool) -> NewFiles {
    let mut files = NewFiles::new(force);
    files.add(
        dir.join("cluster.map"),
        map_file::encode(&VersionedMap::created(made.map.clone(), now_ms())),
        Access::Open,
    );
    let secret: String = made
        .secret
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .chain(["\n".to_owned()])
        .collect();
    files.add(dir.join("secret"), secret, Access::Secret);
    pair(&mut files, dir.join("ca"), &made.authority.issued());
    for (name, issued) in &made.nodes {
        pair(&mut files, dir.join("nodes").join(name), issued);
    }
    pair(&mut files, dir.join("clients/admin"), &made.admin);
    files
}

pub(super) fn pair(files: &mut NewFiles, path: PathBuf, issued: &Issued) {
    files.add(
        with_ending(&path, ".pem"),
        issued.cert.as_str(),
        Access::Open,
    );
    files.add(
        with_ending(&path, ".key"),
        issued.key.as_str(),
        Access::Secret,
    );
}

/// Unlike `Path::with_extension`, keeps the dots of a name such as `db1.example`.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn report(made: &NewCluster, dir: &Path, out: &mut Out) -> Done {
    let map = &made.map;
    if out.is_json() {
        let nodes: Vec<_> = map
            .members
            .iter()
            .map(|member| {
                json!({
                    "name": member.name, "node": member.id.to_string(), "partitions": map.ring.load_of(member.id),
                    "peer_addresses": member.peer_addresses, "client_addresses": member.client_addresses,
                })
            })
            .collect();
        let cluster = map.cluster.to_string();
        return out
            .json(&json!({ "cluster": cluster, "name": map.name, "dir": dir, "nodes": nodes }));
    }
    out.line(format_args!(
        "cluster {} ({}) in {}",
        map.name,
        map.cluster,
        dir.display()
    ))?;
    let mut rows = table(&["NODE", "ID", "PARTITIONS", "PEERS", "CLIENTS"]);
    let mut members: Vec<_> = map.members.iter().collect();
    members.sort_by_key(|member| &member.name);
    for member in members {
        rows.add_row([
            member.name.clone(),
            member.id.to_string(),
            map.ring.load_of(member.id).to_string(),
            member.peer_addresses.join(" "),
            member.client_addresses.join(" "),
        ]);
    }
    out.table(&rows)
}
