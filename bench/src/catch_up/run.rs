//! One cluster, filled once, from which one node goes and to which it returns.

use std::time::{Duration, Instant};

use quorate_tests::process::{Cluster, Index, Programs, Trouble};

use super::compare::{Compared, compare};
use super::report::Report;
use super::usage::{Usage, Usages};
use super::{Settings, choose};
use crate::dataset::{Change, Dataset, Last};
use crate::equal::until_equal;
use crate::failure::Failure;
use crate::load::{Loaded, Loader, all_done};
use crate::merkle::depth_for;
use crate::progress::say;
use crate::stage::stage;
use crate::workload::{Seen, Workload};

/// Nodes compare clocks once a second, and sync ten times a second: by then all of that was done.
const QUIET: Duration = Duration::from_secs(3);
/// Keys read back through the node that was away, at most, for each return.
const CHECKED_MAX: usize = 1_000;

/// What a cluster does in a second in which nobody wants anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    /// Bytes between nodes.
    pub bytes: f64,
    /// CPU time of all nodes.
    pub cpu: Duration,
}

/// One return.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Keys that changed.
    pub changed: usize,
    /// How many of these the node has a copy of.
    pub missed: u64,
    /// What all nodes used, from the start of the process to the proof that all replicas are equal.
    pub all: Usage,
    /// The returning node's share.
    pub returned: Usage,
    /// Hints that were kept for it.
    pub hints: u64,
    /// From the start of its process until it served clients.
    pub serving: Duration,
    /// Until all replicas were proved equal.
    pub equal: Duration,
    /// The other ways.
    pub compared: Compared,
}

/// Measures everything that was asked for.
///
/// # Errors
/// See [`Failure`].
pub async fn run(programs: &Programs, settings: Settings) -> Result<Report, Failure> {
    let mut bench = Bench::start(programs, settings).await?;
    let loaded = bench.fill().await?;
    let idle = bench.idle().await?;
    let mut measured = Vec::new();
    for _ in 0..bench.settings.runs.max(1) {
        // After many writes a start has more to read again: that is a price of those writes, paid here.
        bench.measure(0).await?;
        for changed in bench.counts() {
            measured.push(bench.measure(changed).await?);
        }
    }
    Ok(Report {
        settings: bench.settings,
        loaded,
        idle,
        measured,
    })
}

struct Bench {
    settings: Settings,
    cluster: Cluster,
    away: Index,
    loader: Loader,
    /// What was done last to each key.
    lasts: Vec<Last>,
    dataset: Dataset,
    writes: u64,
}

impl Bench {
    async fn start(programs: &Programs, settings: Settings) -> Result<Self, Failure> {
        let size = (settings.nodes, settings.partitions);
        let workload = Workload::new(settings.seed, settings.size);
        let sloppy = (!settings.hints).then_some(false);
        let (cluster, loader) = stage(programs, size, sloppy, (workload, settings.clients)).await?;
        Ok(Self {
            away: settings.nodes - 1,
            cluster,
            loader,
            lasts: Vec::new(),
            dataset: Dataset::default(),
            writes: 0,
            settings,
        })
    }

    /// Nothing first: the price of a restart.
    fn counts(&self) -> Vec<usize> {
        let asked = self.settings.changed.iter().copied();
        std::iter::once(0).chain(asked).collect()
    }

    async fn fill(&mut self) -> Result<Loaded, Failure> {
        let loaded = all_done(self.loader.fill(self.settings.keys).await)?;
        say(&format!(
            "{} keys of {} bytes at {:.0} a second",
            loaded.written,
            self.settings.size,
            loaded.rate()
        ));
        self.lasts = (0..self.settings.keys).map(|_| Last::Put(0)).collect();
        let mut held = Vec::new();
        for (key, last) in (0..).zip(&self.lasts) {
            held.push(self.is_held(key)?.then_some(*last));
        }
        self.dataset = Dataset::new(&self.loader.workload, held.into_iter());
        self.until_equal(Instant::now()).await?;
        Ok(loaded)
    }

    async fn idle(&mut self) -> Result<Idle, Failure> {
        tokio::time::sleep(QUIET).await;
        let (before, begin) = (Usages::look(&mut self.cluster).await?, Instant::now());
        tokio::time::sleep(self.settings.rest).await;
        let used = Usages::look(&mut self.cluster).await?.since(&before);
        let seconds = begin.elapsed().as_secs_f64();
        Ok(Idle {
            bytes: used.sent as f64 / seconds,
            cpu: used.cpu.div_f64(seconds),
        })
    }

    /// Takes the node away, changes keys, and lets it return.
    async fn measure(&mut self, count: usize) -> Result<Measured, Failure> {
        self.cluster.stop(self.away).await?;
        self.writes += 1;
        let seed = self.settings.seed ^ self.writes;
        let changes = choose(&self.lasts, count, self.writes, seed);
        let at_first = Usages::look(&mut self.cluster).await?;
        all_done(self.loader.change(&changes).await)?;
        tokio::time::sleep(QUIET).await;

        let before = Usages::look(&mut self.cluster).await?;
        let begin = Instant::now();
        self.cluster.restart(self.away).await?;
        let serving = begin.elapsed();
        let equal = self.until_equal(begin).await?;
        let after = Usages::look(&mut self.cluster).await?;

        self.check(&changes).await?;
        let mut missed = 0;
        for change in &changes {
            missed += u64::from(self.is_held(change.key)?);
        }
        let measured = Measured {
            changed: changes.len(),
            missed,
            all: after.since(&before),
            returned: after.of(self.away),
            hints: before.since(&at_first).hints_stored,
            serving,
            equal,
            compared: self.compared(&changes, missed).await?,
        };
        say(&format!(
            "{count} changed: equal after {:.2} s, {} bytes between nodes, {:.2} s of CPU time",
            equal.as_secs_f64(),
            measured.all.sent,
            measured.all.cpu.as_secs_f64()
        ));
        Ok(measured)
    }

    async fn until_equal(&self, begin: Instant) -> Result<Duration, Failure> {
        until_equal(&self.cluster, self.away, begin, self.settings.patience).await
    }

    /// Reads changed keys with one answer, through the node that was away.
    async fn check(&self, changes: &[Change]) -> Result<(), Failure> {
        let bucket = self.cluster.at(self.away)?;
        for change in changes.iter().take(CHECKED_MAX) {
            let name = self.loader.workload.key(change.key);
            let read = bucket.get(&name).r(1).send().await;
            let read = read.map_err(Trouble::request("reading back"))?;
            let values: Vec<Seen> = read
                .siblings
                .iter()
                .map(|value| self.loader.workload.recognise(change.key, &value.data))
                .collect();
            let right = match change.last {
                Last::Put(write) => values == [Seen::Write(write)],
                Last::Deleted(_) => values.is_empty(),
            };
            if !right {
                return Err(Failure::Wrong { key: change.key });
            }
        }
        Ok(())
    }

    /// Whether the node that goes away has a copy of a key.
    fn is_held(&self, key: u64) -> Result<bool, Failure> {
        let name = self.loader.workload.key(key);
        let members = self.cluster.members_of(&String::from_utf8_lossy(&name))?;
        Ok(members.primaries.contains(&self.away))
    }

    /// The other ways on the same change. The data set then is what the nodes hold now.
    async fn compared(&mut self, changes: &[Change], missed: u64) -> Result<Compared, Failure> {
        let before = std::mem::take(&mut self.dataset);
        let after = before.changed(&self.loader.workload, changes);
        for change in changes {
            if let Some(last) = usize::try_from(change.key)
                .ok()
                .and_then(|key| self.lasts.get_mut(key))
            {
                *last = change.last;
            }
        }
        let depth = depth_for(self.settings.keys, self.settings.leaf_keys);
        let on_the_side = tokio::task::spawn_blocking(move || {
            let compared = compare(&before, &after, depth);
            (compared, after)
        });
        let (compared, after) = match on_the_side.await {
            Ok(done) => done,
            // It is never cancelled: it panicked, and so does whoever waits for it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.dataset = after;
        let compared = compared?;
        if compared.found == missed {
            Ok(compared)
        } else {
            Err(Failure::Tree {
                found: compared.found,
                missed,
            })
        }
    }
}
