//! A storm: real processes under load and under faults of every kind, judged by the same checkers as the
//! simulator.
//!
//! ```text
//! plan     what goes wrong when, from the seed
//! inject   does it: signals, the relay between the nodes, the shim below them
//! clients  the load, through the real client library
//! journal  what they did and saw, packed
//! verdict  the last reads, and the judges
//! report   the table
//! ```
//!
//! The seed decides the faults and what each client wants, not the course of events: that is up to the
//! machine.

mod clients;
mod inject;
mod journal;
mod plan;
mod report;
mod verdict;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_client::{BucketMode, BucketProps, QuorumDefaults};
use quorate_protocol::map::Bucket as Definition;

use crate::checkers::Violation;
use crate::process::{Cluster, Programs, Settings, Trouble};

use clients::{Field, Worker};
use inject::{Injector, Made};
pub use journal::Journal;
pub use plan::{Episode, Fault, draw};
pub use report::Report;
use verdict::Verdict;

/// Connections of its own for so many clients each.
const CLIENTS_PER_CONNECTION: u32 = 16;
/// How long replicas may take to agree when all faults are over.
const SETTLE_WAIT: Duration = Duration::from_secs(240);
/// Keys of which a failed storm tells everything.
const TIMELINES_MAX: usize = 3;

/// What a storm is to be.
#[derive(Clone, Debug)]
pub struct Storm {
    /// What chance starts from.
    pub seed: u64,
    /// How long there is load and trouble.
    pub length: Duration,
    /// Operations in a second, all clients together.
    pub rate: u32,
    /// Clients at the same time.
    pub clients: u32,
    /// Members.
    pub nodes: usize,
    /// Mean time between two faults.
    pub gap: Duration,
    /// Ends early once so many operations were done.
    pub operations_max: u64,
    /// Whether each node has a network namespace of its own, instead of a relay between them.
    pub namespaces: bool,
}

impl Default for Storm {
    fn default() -> Self {
        Self {
            seed: 1,
            length: Duration::from_secs(20),
            rate: 300,
            clients: 16,
            nodes: 5,
            gap: Duration::from_millis(1_000),
            operations_max: u64::MAX,
            namespaces: false,
        }
    }
}

impl Storm {
    /// Makes a cluster, hurts it under load, heals it and judges. Where something is wrong, the
    /// cluster's files stay and the history of the keys concerned is printed.
    ///
    /// # Errors
    /// The harness could not do its part.
    pub async fn run(&self, programs: &Programs) -> Result<Report, Trouble> {
        let settings = Settings {
            nodes: self.nodes,
            relayed: !self.namespaces,
            namespaces: self.namespaces,
            shims: true,
            ..Settings::default()
        };
        let mut cluster = Cluster::start(programs, &settings).await?;
        let ended = self.run_on(&mut cluster).await;
        if ended.as_ref().map_or(true, |report| !report.is_clean()) {
            cluster.keep_files();
        }
        ended
    }

    async fn run_on(&self, cluster: &mut Cluster) -> Result<Report, Trouble> {
        let buckets = buckets(cluster).await?;
        let field = Field::new(buckets.clone());
        let begin = Instant::now();
        let workers = self.start_clients(cluster, &field).await?;
        let length_ms = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
        let gap_ms = u64::try_from(self.gap.as_millis()).unwrap_or(u64::MAX);
        let plan = draw(self.seed, self.nodes, length_ms, gap_ms);
        let mut made = Made::default();
        let played = tokio::select! {
            played = Injector::new(&mut *cluster, &mut made).play(&plan) => played,
            () = enough(&field, self.operations_max) => Ok(()),
        };
        let rest = self.length.saturating_sub(begin.elapsed());
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = enough(&field, self.operations_max) => {}
        }
        field.stop();
        workers.join_all().await;
        let length = begin.elapsed();
        played?;
        let converged = converge(cluster).await;
        let journal = std::mem::take(&mut field.notes().journal);
        let mut verdict = match &converged {
            Ok(_) => verdict::reach(cluster, &journal, &buckets).await?,
            Err(_) => Verdict::default(),
        };
        verdict.violations.extend(panics(&made));
        if !verdict.violations.is_empty() {
            tell(cluster, &journal, &verdict)?;
        }
        Ok(self.report(&field, &journal, (length, made, converged, verdict)))
    }

    async fn start_clients(
        &self,
        cluster: &Cluster,
        field: &Arc<Field>,
    ) -> Result<tokio::task::JoinSet<()>, Trouble> {
        let period = Duration::from_secs_f64(f64::from(self.clients) / f64::from(self.rate.max(1)));
        let mut workers = tokio::task::JoinSet::new();
        let mut client = cluster.new_client().await?;
        for number in 0..self.clients {
            if number > 0 && number % CLIENTS_PER_CONNECTION == 0 {
                client = cluster.new_client().await?;
            }
            let worker = Worker::new(Arc::clone(field), client.clone(), number, self.seed);
            workers.spawn(worker.work(period));
        }
        Ok(workers)
    }

    fn report(
        &self,
        field: &Field,
        journal: &Journal,
        (length, made, converged, verdict): (Duration, Made, Result<Duration, String>, Verdict),
    ) -> Report {
        let mut notes = field.notes();
        let mut took_us = std::mem::take(&mut notes.took_us);
        took_us.sort_unstable();
        Report {
            seed: self.seed,
            length,
            ok: notes.ok,
            failed: notes.failed,
            in_doubt: notes.in_doubt,
            listings: notes.listings,
            keys: journal.keys().len(),
            took_us,
            errors: notes
                .errors
                .iter()
                .map(|(name, count)| (*name, *count))
                .collect(),
            history_bytes: journal.bytes(),
            made,
            converged,
            verdict,
        }
    }
}

/// The first bucket, and one that shows the last write only.
async fn buckets(cluster: &Cluster) -> Result<Vec<Definition>, Trouble> {
    let props = BucketProps {
        n: 3,
        mode: BucketMode::Lww,
        defaults: QuorumDefaults::default(),
    };
    let made = cluster.client().create_bucket("latest", props).await;
    let (latest, _) = made.map_err(Trouble::request("a second bucket"))?;
    let map = cluster.client().map();
    let first = map.bucket_named("default").cloned();
    let first = first.ok_or_else(|| Trouble::Made("no bucket".to_owned()))?;
    Ok(vec![first, latest])
}

async fn enough(field: &Field, operations: u64) {
    while field.done() < operations {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ends all faults and waits until the replicas agree; what is left if they do not.
async fn converge(cluster: &mut Cluster) -> Result<Duration, String> {
    let begin = Instant::now();
    let settled = async {
        cluster.heal().await?;
        cluster.settled_within(SETTLE_WAIT).await
    };
    match settled.await {
        Ok(_) => Ok(begin.elapsed()),
        Err(trouble) => Err(trouble.to_string()),
    }
}

/// A node may end because its disk failed; it never panics and never crashes.
fn panics(made: &Made) -> Vec<Violation> {
    let bad = |ended: &&String| ended.contains("101") || ended.contains("signal");
    let bad = made.ended.iter().filter(bad);
    bad.map(|ended| Violation::general("P7", ended.clone()))
        .collect()
}

/// Prints violations with the history of their keys, which is also written beside the logs.
fn tell(cluster: &Cluster, journal: &Journal, verdict: &Verdict) -> Result<(), Trouble> {
    let mut text = String::new();
    for violation in &verdict.violations {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{violation}");
    }
    let mut keys: Vec<_> = verdict
        .violations
        .iter()
        .filter_map(|one| one.key)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys.into_iter().take(TIMELINES_MAX) {
        let _ = writeln!(text, "\nall that happened to {key}:");
        for line in journal.of(key).timeline(key) {
            let _ = writeln!(text, "{line}");
        }
    }
    println!("{text}");
    let file = cluster.dir().join("violations");
    std::fs::write(&file, text).map_err(Trouble::io(file.display().to_string()))
}
