//! `quorate backup`: nodes make, list, verify and prune backups of their data.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use quorate_client::{
    BackupEntry, BackupJob, BackupReport, BackupTask, Client, Error, JobState, Kind, Member,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::connect::{Connect, duration, member};
use crate::outcome::{Done, Failure, complain, error_json};
use crate::output::{Out, table};

/// How often a job is asked for.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How often it is told how far the jobs are.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Make, list, verify or prune backups of nodes
///
/// Each node backs up its own data while it serves, below the directory of its configuration. To restore one, stop
/// the node and run `quorate-node restore` there.
#[derive(Subcommand)]
pub(crate) enum Backup {
    /// Make a backup of each node's data
    Create(Create),
    /// List the backups of each node, and the jobs under way
    List(List),
    /// Compare what is stored with its checksums
    Verify(Verify),
    /// Remove all but the latest backups
    Prune(Prune),
}

#[derive(Args)]
struct Which {
    /// Only this node, by name or id; may be given several times [default: all]
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args)]
struct Patience {
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = duration)]
    timeout: Duration,
}

#[derive(Args)]
pub(crate) struct Create {
    /// A word to recognise the backups by: letters, digits, dots, dashes and underscores
    #[arg(long, value_name = "WORD")]
    label: Option<String>,
    /// Wait until they are made
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Only the backup of this number
    #[arg(long, value_name = "NUMBER")]
    backup: Option<u64>,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
pub(crate) struct Prune {
    /// How many backups to leave on each node
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    which: Which,
}

pub(crate) async fn run(command: Backup, out: &mut Out) -> Done {
    match command {
        Backup::Create(args) => {
            let label = args.label.unwrap_or_default();
            let task = BackupTask::Create { label };
            let patience = args.wait.then_some(args.patience.timeout);
            work(&args.which, &task, patience, out).await
        }
        Backup::List(args) => list(&args.which, out).await,
        Backup::Verify(args) => {
            let task = BackupTask::Verify {
                backup: args.backup,
            };
            work(&args.which, &task, Some(args.patience.timeout), out).await
        }
        Backup::Prune(args) => {
            let task = BackupTask::Prune { keep: args.keep };
            work(&args.which, &task, Some(args.patience.timeout), out).await
        }
    }
}

impl Which {
    fn members(&self, client: &Client) -> Result<Vec<Member>, Failure> {
        let map = client.map();
        if self.nodes.is_empty() {
            return Ok(map.members.clone());
        }
        let named = self.nodes.iter();
        let mut members: Vec<Member> = named
            .map(|name| member(&map, name).cloned())
            .collect::<Result<_, _>>()?;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by_key(|member| member.id);
        Ok(members)
    }
}

/// What became of one node's job: how it stands, or why there is none.
type Said = (Member, Result<Option<BackupJob>, Error>);

/// How far the jobs are, by node.
type Told = Arc<Mutex<BTreeMap<String, String>>>;

async fn work(which: &Which, task: &BackupTask, patience: Option<Duration>, out: &mut Out) -> Done {
    let client = which.connect.client().await?;
    let (mut jobs, told) = (JoinSet::new(), Told::default());
    for member in which.members(&client)? {
        let (client, task, told) = (client.clone(), task.clone(), Arc::clone(&told));
        jobs.spawn(async move {
            let ended = one(&client, &member, &task, patience, &told).await;
            (member, ended)
        });
    }
    let telling = tokio::spawn(tell(told));
    let mut said = jobs.join_all().await;
    telling.abort();
    client.close().await;
    said.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    report(&said, task, out)?;
    ending(&said, task)
}

/// Begins one node's job, and follows it to its end where there is patience.
async fn one(
    client: &Client,
    member: &Member,
    task: &BackupTask,
    patience: Option<Duration>,
    told: &Told,
) -> Result<Option<BackupJob>, Error> {
    let number = client.begin_backup(member.id, task).await?;
    let end = patience.map(|patience| Instant::now() + patience);
    loop {
        let asked = client.backup_job(member.id).await;
        let late = end.is_none_or(|end| Instant::now() >= end);
        match asked {
            Ok(report) => {
                let own = |job: &BackupJob| job.request == number;
                let Some(job) = report.job.filter(own) else {
                    return Ok(None);
                };
                lock(told).insert(member.name.clone(), how_far(&job));
                if late || job.state != JobState::Running {
                    return Ok(Some(job));
                }
            }
            // A busy node, perhaps: the job goes on all the same.
            Err(error) if error.kind() == Kind::Retry && !late => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn tell(told: Told) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let words: Vec<String> = lock(&told)
            .iter()
            .map(|(name, far)| format!("{name} {far}"))
            .collect();
        if !words.is_empty() {
            complain(words.join(", "));
        }
    }
}

fn lock(told: &Told) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
    // Whole after every change.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn how_far(job: &BackupJob) -> String {
    match job.state {
        JobState::Running => format!(
            "{} of {}",
            HumanBytes(job.bytes_done),
            HumanBytes(job.bytes_total)
        ),
        JobState::Done => "done".to_owned(),
        JobState::Failed => "failed".to_owned(),
    }
}

fn ending(said: &[Said], task: &BackupTask) -> Done {
    let damage = matches!(task, BackupTask::Verify { .. });
    let code = |ended: &Result<Option<BackupJob>, Error>| match ended {
        Ok(Some(job)) if job.state == JobState::Failed => {
            if damage {
                1
            } else {
                2
            }
        }
        Ok(Some(_)) => 0,
        Ok(None) => 2,
        Err(error) if error.kind() == Kind::Fix => 1,
        Err(_) => 2,
    };
    match said.iter().map(|(_, ended)| code(ended)).max() {
        None | Some(0) => Ok(()),
        Some(code) => Err(Failure::Shown(code)),
    }
}

const LOST: &str = "the node was started again meanwhile, which ended the job";

fn report(said: &[Said], task: &BackupTask, out: &mut Out) -> Done {
    if out.is_json() {
        let nodes = said.iter().map(|(member, ended)| match ended {
            Ok(Some(job)) => json!({ "node": member.name, "job": job_json(job) }),
            Ok(None) => json!({ "node": member.name, "error": { "message": LOST } }),
            Err(error) => json!({ "node": member.name, "error": error_json(error) }),
        });
        return out.json(&json!({ "nodes": nodes.collect::<Vec<_>>() }));
    }
    let mut rows = match task {
        BackupTask::Create { .. } => table(&["NODE", "BACKUP", "STATE", "NEW", "SHARED", "TIME"]),
        BackupTask::Verify { .. } => table(&["NODE", "STATE", "READ", "TIME"]),
        BackupTask::Prune { .. } => table(&["NODE", "STATE", "REMOVED", "TIME"]),
    };
    for (member, ended) in said {
        if let Ok(Some(job)) = ended {
            rows.add_row(row(&member.name, job, task));
        }
    }
    if rows.row_count() > 0 {
        out.table(&rows)?;
    }
    for (member, ended) in said {
        match ended {
            Ok(Some(job)) if !job.error.is_empty() => {
                out.line(format_args!("{}: {}", member.name, job.error))?;
            }
            Ok(Some(_)) => {}
            Ok(None) => out.line(format_args!("{}: {LOST}", member.name))?,
            Err(error) => out.line(format_args!("{}: {error}", member.name))?,
        }
    }
    Ok(())
}

fn row(name: &str, job: &BackupJob, task: &BackupTask) -> Vec<String> {
    let files = |files: u64, bytes: u64| format!("{files} files, {}", HumanBytes(bytes));
    let state = if job.state == JobState::Running {
        format!("running, {}", how_far(job))
    } else {
        how_far(job)
    };
    let time = humantime::format_duration(Duration::from_millis(job.ran_ms)).to_string();
    let name = name.to_owned();
    match task {
        BackupTask::Create { .. } => {
            let number = job.backup.map(|backup| backup.to_string());
            let new = files(job.files_new, job.bytes_new);
            let shared = files(job.files_shared, job.bytes_shared);
            vec![name, number.unwrap_or_default(), state, new, shared, time]
        }
        BackupTask::Verify { .. } => {
            vec![name, state, HumanBytes(job.bytes_done).to_string(), time]
        }
        BackupTask::Prune { .. } => {
            let removed: Vec<String> = job.removed.iter().map(u64::to_string).collect();
            vec![name, state, removed.join(", "), time]
        }
    }
}

async fn list(which: &Which, out: &mut Out) -> Done {
    let client = which.connect.client().await?;
    let mut asked = JoinSet::new();
    for member in which.members(&client)? {
        let client = client.clone();
        asked.spawn(async move {
            let report = client.backups(member.id).await;
            (member, report)
        });
    }
    let mut said = asked.join_all().await;
    client.close().await;
    said.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    show(&said, out)?;
    if said.iter().any(|(_, report)| report.is_err()) {
        return Err(Failure::Shown(2));
    }
    Ok(())
}

fn show(said: &[(Member, Result<BackupReport, Error>)], out: &mut Out) -> Done {
    if out.is_json() {
        let nodes = said.iter().map(|(member, report)| match report {
            Ok(report) => json!({
                "node": member.name, "directory": report.directory,
                "job": report.job.as_ref().map(job_json),
                "backups": report.backups.iter().map(entry_json).collect::<Vec<_>>(),
            }),
            Err(error) => json!({ "node": member.name, "error": error_json(error) }),
        });
        return out.json(&json!({ "nodes": nodes.collect::<Vec<_>>() }));
    }
    let mut rows = table(&["NODE", "BACKUP", "LABEL", "MADE", "FILES", "BYTES", "NEW"]);
    for (member, report) in said {
        let backups = report.iter().flat_map(|report| &report.backups);
        for entry in backups.filter(|entry| entry.problem.is_empty()) {
            rows.add_row([
                member.name.clone(),
                entry.backup.to_string(),
                entry.label.clone(),
                made(entry),
                entry.files.to_string(),
                HumanBytes(entry.bytes).to_string(),
                HumanBytes(entry.bytes_new).to_string(),
            ]);
        }
    }
    if rows.row_count() > 0 {
        out.table(&rows)?;
    }
    for (member, report) in said {
        let name = &member.name;
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                out.line(format_args!("{name}: {error}"))?;
                continue;
            }
        };
        if report.backups.is_empty() {
            out.line(format_args!("{name}: no backups in {}", report.directory))?;
        }
        for entry in &report.backups {
            if !entry.problem.is_empty() {
                out.line(format_args!(
                    "{name}: backup {}: {}",
                    entry.backup, entry.problem
                ))?;
            }
        }
        let running = |job: &&BackupJob| job.state == JobState::Running;
        if let Some(job) = report.job.as_ref().filter(running) {
            out.line(format_args!("{name}: a job is running, {}", how_far(job)))?;
        }
    }
    Ok(())
}

/// When a backup was begun, by the node's clock.
fn made(entry: &BackupEntry) -> String {
    let since = std::time::UNIX_EPOCH.checked_add(Duration::from_millis(entry.began_ms));
    // Far beyond what the calendar of the formatter holds.
    let sound = since.filter(|_| entry.began_ms < 253_402_300_800_000);
    sound.map_or_else(
        || entry.began_ms.to_string(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
}

fn entry_json(entry: &BackupEntry) -> Value {
    json!({
        "backup": entry.backup, "label": entry.label, "began_ms": entry.began_ms, "files": entry.files,
        "bytes": entry.bytes, "bytes_new": entry.bytes_new,
        "problem": Some(&entry.problem).filter(|problem| !problem.is_empty()),
    })
}

fn job_json(job: &BackupJob) -> Value {
    let state = match job.state {
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
    };
    json!({
        "state": state, "backup": job.backup, "began_ms": job.began_ms, "ran_ms": job.ran_ms,
        "bytes_total": job.bytes_total, "bytes_done": job.bytes_done,
        "files_new": job.files_new, "bytes_new": job.bytes_new,
        "files_shared": job.files_shared, "bytes_shared": job.bytes_shared,
        "removed": job.removed, "error": Some(&job.error).filter(|error| !error.is_empty()),
    })
}
