//! `quorate cluster join` and `replace`: a new node is given an identity, what it starts from, and its place in what is
//! staged.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use quorate_client::provision::{Authority, NodeSpec, Validity};
use quorate_client::{
    Client, Commit, Error, Going, Kind, Member, RingChange, RingChanged, StagedChange,
};
use quorate_protocol::map_file;
use quorate_protocol::versioned::VersionedMap;
use serde_json::json;

use tokio::time::Instant;

use super::certs::read_authority;
use super::cluster::pair;
use super::members::found;
use crate::connect::Connect;
use crate::files::{Access, NewFiles};
use crate::outcome::{Done, Failure, complain};
use crate::output::Out;

/// How long a cluster that was just started is given to become complete.
const COMPLETE_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Stage that a new node joins, and write what it starts from
///
/// The node gets an id that nobody had before. Written into the directory are:
///
///   cluster.map         the newest version of the cluster map, in which the node is no member yet
///   ca.pem              the authority's certificate
///   NAME.pem, NAME.key  the node's certificate and key
///   secret              what contexts are authenticated with, if it lies beside the authority
///
/// Make its data directory from them with `quorate-node init`, and start it, before the commit or after: until it
/// is taken in it waits and serves nobody.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Join {
    #[command(flatten)]
    newcomer: Newcomer,
}

/// Stage that a new node takes over from a member, and write what it starts from
///
/// What is written is the same as for `quorate cluster join`. The member hands over what it holds and leaves. If it is
/// gone for good, stage `force-remove` for it and let a new node join.
#[derive(Args)]
pub(crate) struct Replace {
    /// The member that goes: its name, or its id
    old: String,
    #[command(flatten)]
    newcomer: Newcomer,
}

#[derive(Args)]
struct Newcomer {
    /// The node: name=NAME,peer=HOST:PORT,client=HOST:PORT, and if wanted zone=A/B,weight=100
    #[arg(long, value_name = "NODE")]
    node: NodeSpec,
    /// The directory with the authority's ca.pem and ca.key, as `quorate cluster create` made it
    #[arg(long, value_name = "DIR")]
    authority: PathBuf,
    /// The directory to write into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Commit at once, if nothing else is staged and nothing speaks against it
    #[arg(long)]
    auto: bool,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn join(args: Join, out: &mut Out) -> Done {
    let change = |_: &VersionedMap, member| Ok(StagedChange::join(member));
    args.newcomer.stage(change, out).await
}

pub(crate) async fn replace(args: Replace, out: &mut Out) -> Done {
    let change = |version: &VersionedMap, member| {
        let old = found(&version.map, &args.old)?;
        Ok(StagedChange::replace(old, member))
    };
    args.newcomer.stage(change, out).await
}

impl Newcomer {
    /// Writes the node's files, then stages its change: a change without its files would be of no use.
    async fn stage(
        &self,
        change: impl FnOnce(&VersionedMap, Member) -> Result<StagedChange, Failure>,
        out: &mut Out,
    ) -> Done {
        let authority = read_authority(&self.authority)?;
        let client = self.connect.client().await?;
        let version = complete(&client).await?;
        let ours = version.map.cluster;
        if authority.cluster() != ours {
            return Err(Failure::Refused(format!(
                "{} is the authority of cluster {}, and this is cluster {ours}: choose this one's",
                self.authority.display(),
                authority.cluster()
            )));
        }
        let member = self
            .node
            .newcomer(&version)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let staged = change(&version, member.clone())?;
        warn_of_shared(&version, &member);
        let files = self.files(&authority, &version, &member)?;
        let written = files.paths();
        files.write()?;
        let changed = match client.change_ring(RingChange::Stage(staged)).await {
            Ok(changed) => changed,
            Err(error) => {
                take_back(&written, &error);
                return Err(error.into());
            }
        };
        let committed = if self.auto {
            Some(commit(&client, &version).await?)
        } else {
            None
        };
        client.close().await;
        report(&member, &self.out, &changed, committed.as_ref(), out)
    }

    fn files(
        &self,
        authority: &Authority,
        version: &VersionedMap,
        member: &Member,
    ) -> Result<NewFiles, Failure> {
        let mut files = NewFiles::new(self.force);
        let place = |name: &str| self.out.join(name);
        let map = map_file::encode(version);
        files.add(place("cluster.map"), map, Access::Open);
        files.add(place("ca.pem"), authority.issued().cert, Access::Open);
        let issued = authority
            .node(member.id, Validity::leaf())
            .map_err(|error| Failure::Refused(error.to_string()))?;
        pair(&mut files, place(&member.name), &issued);
        if let Some(secret) = secret(&self.authority)? {
            files.add(place("secret"), secret, Access::Secret);
        }
        Ok(files)
    }
}

/// The newest version, once it is one that nodes can be added to: a node cannot be made from the version that the cluster
/// was created with, and one that is asked right after the start may have no later one yet.
async fn complete(client: &Client) -> Result<VersionedMap, Failure> {
    let end = Instant::now() + COMPLETE_WITHIN;
    loop {
        let version = client.version().await?;
        if version.is_founded() {
            return Ok(version);
        }
        if Instant::now() >= end {
            return Err(Failure::Refused(
                "the cluster is not complete: nodes can be added once all its first members have run and heard of each other; `quorate status` names who is missing".to_owned(),
            ));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// What was refused leaves no files behind. What may have been staged all the same keeps them.
fn take_back(written: &[PathBuf], error: &Error) {
    if error.kind() != Kind::InDoubt {
        for path in written {
            // Left behind they do no harm: no node of that id was ever staged.
            let _ = fs::remove_file(path);
        }
    }
}

/// Two nodes at one address don't reach each other; unless the other one is gone for good.
fn warn_of_shared(version: &VersionedMap, member: &Member) {
    let ours: Vec<&String> = addresses(member).collect();
    for other in &version.map.members {
        let is_dead = version.going(other.id).is_some_and(Going::is_dead);
        let shared = addresses(other).find(|address| ours.contains(address));
        if let Some(address) = shared.filter(|_| !is_dead) {
            complain(format_args!(
                "warning: {} has the address {address} too: both cannot run at one time",
                other.name
            ));
        }
    }
}

fn addresses(member: &Member) -> impl Iterator<Item = &String> {
    let peers = member.peer_addresses.iter();
    peers.chain(&member.client_addresses)
}

/// The secret that lies beside the authority, if it does.
fn secret(authority: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let path = authority.join("secret");
    match fs::read(&path) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io(path.display(), &error)),
    }
}

/// Commits what was just staged, unless something else is staged too or a warning asks for a person.
async fn commit(client: &Client, before: &VersionedMap) -> Result<RingChanged, Failure> {
    let plan = client.plan_ring().await?;
    let others = plan
        .changes
        .len()
        .saturating_sub(1)
        .max(before.staged.len());
    if others > 0 {
        return Err(Failure::Refused(format!(
            "the change is staged and not committed: {others} others are staged too. Look at all with `quorate cluster plan`"
        )));
    }
    let graves = plan.warnings.iter().filter(|warning| warning.needs_force);
    let graves: Vec<&str> = graves.map(|warning| warning.text.as_str()).collect();
    if !graves.is_empty() {
        return Err(Failure::Refused(format!(
            "the change is staged and not committed: {}. Look at it with `quorate cluster plan`",
            graves.join("; ")
        )));
    }
    let commit = Commit {
        plan: Some(plan.digest),
        ..Commit::default()
    };
    Ok(client.change_ring(RingChange::Commit(commit)).await?)
}

fn report(
    member: &Member,
    dir: &Path,
    staged: &RingChanged,
    committed: Option<&RingChanged>,
    out: &mut Out,
) -> Done {
    let last = committed.unwrap_or(staged);
    if out.is_json() {
        return out.json(&json!({
            "node": member.name, "id": member.id.to_string(), "dir": dir,
            "version": last.version.get(), "what": last.what, "committed": committed.is_some(),
        }));
    }
    let RingChanged { version, what } = last;
    out.line(format_args!("version {version} of the cluster map: {what}"))?;
    let (name, id, dir) = (&member.name, member.id, dir.display());
    out.line(format_args!(
        "node {name} has id {id}; make its data directory with: quorate-node init --dir DATA --map {dir}/cluster.map --node {id}"
    ))?;
    if committed.is_none() {
        out.line(format_args!(
            "look at what moves with: quorate cluster plan"
        ))?;
    }
    Ok(())
}
