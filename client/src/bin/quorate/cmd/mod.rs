//! The commands, one file each.

pub(crate) mod backup;
pub(crate) mod bucket;
pub(crate) mod certs;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod converged;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod handoff;
pub(crate) mod history;
pub(crate) mod join;
pub(crate) mod keys;
pub(crate) mod lag;
pub(crate) mod load;
pub(crate) mod members;
pub(crate) mod ping;
pub(crate) mod plan;
pub(crate) mod preflist;
pub(crate) mod put;
mod recover;
pub(crate) mod repair;
mod repair_range;
pub(crate) mod ring;
pub(crate) mod scrub;
pub(crate) mod status;
mod transfers;
pub(crate) mod verify;
pub(crate) mod wait;

use self::cluster::Cluster;
use crate::args::{Args, Command};
use crate::outcome::{Done, Failure};
use crate::output::Out;

/// Does what the command line asks for.
pub(crate) fn run(args: Args, out: &mut Out) -> Done {
    match args.command {
        Command::Put(put) => in_runtime(put::run(put, out)),
        Command::Get(get) => in_runtime(get::run(get, out)),
        Command::Delete(delete) => in_runtime(delete::run(delete, out)),
        Command::Keys(keys) => in_runtime(keys::run(keys, out)),
        Command::Load(load) => in_runtime(load::run(load, out)),
        Command::Verify(verify) => in_runtime(verify::run(verify, out)),
        Command::Preflist(preflist) => in_runtime(preflist::run(preflist, out)),
        Command::Bucket(bucket) => in_runtime(bucket::run(bucket, out)),
        Command::Status(status) => in_runtime(status::run(status, out)),
        Command::Ring(ring) => in_runtime(ring::run(ring, out)),
        Command::Handoff(handoff) => in_runtime(handoff::run(handoff, out)),
        Command::Wait(wait) => in_runtime(wait::run(wait, out)),
        Command::Converged(converged) => in_runtime(converged::run(converged, out)),
        Command::Lag(lag) => in_runtime(lag::run(lag, out)),
        Command::Backup(backup) => in_runtime(backup::run(backup, out)),
        Command::Repair(repair) => in_runtime(repair::run(repair, out)),
        Command::Scrub(scrub) => in_runtime(scrub::run(scrub, out)),
        Command::Ping(ping) => in_runtime(ping::run(ping, out)),
        Command::Certs(certs) => certs::run(certs, out),
        Command::Cluster(Cluster::History(history)) => in_runtime(history::run(history, out)),
        Command::Cluster(Cluster::Create(create)) => cluster::create(create, out),
        Command::Cluster(Cluster::Join(join)) => in_runtime(join::join(join, out)),
        Command::Cluster(Cluster::Replace(replace)) => in_runtime(join::replace(replace, out)),
        Command::Cluster(Cluster::Leave(one)) => in_runtime(members::leave(one, out)),
        Command::Cluster(Cluster::ForceRemove(one)) => in_runtime(members::force_remove(one, out)),
        Command::Cluster(Cluster::Weight(to)) => in_runtime(members::reweigh(to, out)),
        Command::Cluster(Cluster::Zone(to)) => in_runtime(members::rezone(to, out)),
        Command::Cluster(Cluster::Plan(plain)) => in_runtime(plan::run(plain, out)),
        Command::Cluster(Cluster::Commit(commit)) => in_runtime(members::commit(commit, out)),
        Command::Cluster(Cluster::Clear(plain)) => in_runtime(members::clear(plain, out)),
        Command::Cluster(Cluster::Cancel(plain)) => in_runtime(members::cancel(plain, out)),
        Command::Cluster(Cluster::Forget(one)) => in_runtime(members::forget(one, out)),
        Command::Cluster(Cluster::Recover(args)) => in_runtime(recover::run(args, out)),
        Command::Completions(completions) => completions::run(&completions, out),
    }
}

/// Runs what needs the network.
fn in_runtime(command: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))?;
    runtime.block_on(command)
}
