//! One cluster: filled, counted, hurt, asked, and counted again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use quorate_tests::process::{Cluster, Index, Programs, until};

use super::Settings;
use super::check::{Checked, check};
use super::report::Report;
use super::stored::Stored;
use crate::catch_up::{Usage, Usages};
use crate::draw::draw;
use crate::equal::until_equal;
use crate::failure::Failure;
use crate::load::{Loaded, Loader, all_done};
use crate::progress::say;
use crate::stage::stage;
use crate::workload::Workload;

/// Nodes compare clocks once a second, and sync ten times a second: by then all of that was done.
const QUIET: Duration = Duration::from_secs(3);

/// The return of the node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returned {
    /// From the start of its process until it served clients.
    pub serving: Duration,
    /// Until all replicas were proved equal.
    pub equal: Duration,
    /// Until no node kept anything of the deletes for another.
    pub forgotten: Duration,
    /// What all nodes used from the start of the process to the proof.
    pub used: Usage,
}

/// Does everything that was asked for.
///
/// # Errors
/// See [`Failure`]. What was found is no failure: it is in the report.
pub async fn run(programs: &Programs, settings: Settings) -> Result<Report, Failure> {
    let mut bench = Bench::start(programs, settings).await?;
    let loaded = bench.fill().await?;
    let before = bench.count_one_by_one().await?;
    let deleted = bench.delete().await?;
    let returned = bench.come_back().await?;
    let checked = bench.check().await?;
    let repairs = bench.repairs().await?;
    let (after, compacted) = bench.count_at_the_end().await?;
    Ok(Report {
        settings: bench.settings,
        loaded,
        deleted,
        returned,
        checked,
        repairs,
        before,
        after,
        compacted,
    })
}

struct Bench {
    settings: Settings,
    cluster: Cluster,
    away: Index,
    loader: Loader,
    deleted: BTreeSet<u64>,
}

impl Bench {
    async fn start(programs: &Programs, settings: Settings) -> Result<Self, Failure> {
        let size = (settings.nodes, settings.partitions);
        let workload = Workload::new(settings.seed, settings.size);
        let (cluster, loader) = stage(programs, size, None, (workload, settings.clients)).await?;
        Ok(Self {
            away: settings.nodes - 1,
            cluster,
            loader,
            deleted: BTreeSet::new(),
            settings,
        })
    }

    async fn fill(&mut self) -> Result<Loaded, Failure> {
        let loaded = all_done(self.loader.fill(self.settings.keys).await)?;
        say(&format!(
            "{} keys of {} bytes at {:.0} a second",
            loaded.written,
            self.settings.size,
            loaded.rate()
        ));
        self.until_equal(Instant::now()).await?;
        self.until_forgotten(Instant::now()).await?;
        Ok(loaded)
    }

    /// A database can be counted while its node is stopped: so one node after the other.
    async fn count_one_by_one(&mut self) -> Result<Vec<Stored>, Failure> {
        let mut counted = Vec::new();
        for node in self.cluster.all() {
            self.cluster.stop(node).await?;
            counted.push(self.stored(node, false)?);
            let begin = Instant::now();
            self.cluster.restart(node).await?;
            let serving = begin.elapsed();
            self.until_equal(begin).await?;
            say(&format!(
                "n{}: {} objects; started again in {:.2} s",
                node + 1,
                counted.last().map_or(0, |one| one.of("objects")),
                serving.as_secs_f64()
            ));
        }
        Ok(counted)
    }

    /// With one node killed.
    async fn delete(&mut self) -> Result<Loaded, Failure> {
        let total = usize::try_from(self.settings.keys).unwrap_or(usize::MAX);
        let drawn = draw(total, self.settings.deleted, self.settings.seed);
        let keys: Vec<u64> = drawn.into_iter().map(|key| key as u64).collect();
        self.deleted = keys.iter().copied().collect();
        self.cluster.kill_seen(self.away).await?;
        let deleted = self.loader.delete(&keys, self.settings.contexts).await;
        let deleted = all_done(deleted)?;
        say(&format!(
            "{} keys deleted at {:.0} a second",
            deleted.written,
            deleted.rate()
        ));
        tokio::time::sleep(QUIET).await;
        Ok(deleted)
    }

    async fn come_back(&mut self) -> Result<Returned, Failure> {
        let before = Usages::look(&mut self.cluster).await?;
        let begin = Instant::now();
        self.cluster.restart(self.away).await?;
        let serving = begin.elapsed();
        let equal = self.until_equal(begin).await?;
        let used = Usages::look(&mut self.cluster).await?.since(&before);
        let forgotten = self.until_forgotten(begin).await?;
        say(&format!(
            "the node is back: it served after {:.2} s, all replicas equal after {:.2} s, deletes forgotten after {:.2} s",
            serving.as_secs_f64(),
            equal.as_secs_f64(),
            forgotten.as_secs_f64()
        ));
        Ok(Returned {
            serving,
            equal,
            forgotten,
            used,
        })
    }

    async fn until_equal(&self, begin: Instant) -> Result<Duration, Failure> {
        until_equal(&self.cluster, self.away, begin, self.settings.patience).await
    }

    /// Waits until no node keeps a log entry; returns the time since `begin`.
    async fn until_forgotten(&self, begin: Instant) -> Result<Duration, Failure> {
        let patience = self.settings.patience;
        until("no node keeps log entries", patience, async || {
            let mut kept = 0;
            for node in self.cluster.all() {
                let status = self.cluster.status(node).await?;
                kept += status.vnodes.iter().map(|one| one.log_entries).sum::<u64>();
            }
            Ok(if kept == 0 {
                Ok(())
            } else {
                Err(format!("{kept} log entries"))
            })
        })
        .await?;
        Ok(begin.elapsed())
    }

    /// Every key, through every node.
    async fn check(&self) -> Result<Vec<Checked>, Failure> {
        let Loader {
            workload, clients, ..
        } = self.loader;
        let mut checked = Vec::new();
        for node in self.cluster.all() {
            let (what, bucket) = (format!("check n{}", node + 1), self.cluster.at(node)?);
            let begin = Instant::now();
            let keys = self.settings.keys;
            let found = check(&what, &bucket, workload, keys, &self.deleted, clients).await;
            say(&format!(
                "{what}: {} keys read at {:.0} a second, {} of them not right",
                found.read,
                found.read as f64 / begin.elapsed().as_secs_f64().max(1e-6),
                found.not_right()
            ));
            checked.push(found);
        }
        Ok(checked)
    }

    /// Replicas that a read found behind, at all nodes since their last start.
    async fn repairs(&self) -> Result<u64, Failure> {
        let mut repairs = 0;
        for node in self.cluster.all() {
            repairs += self.cluster.counter(node, "read_repairs").await?;
        }
        Ok(repairs)
    }

    fn stored(&mut self, node: Index, compacted: bool) -> Result<Stored, Failure> {
        let counted = self.cluster.inspect(node, compacted)?;
        Ok(Stored::of_database(&counted)?)
    }

    /// All nodes stopped: as it is, and after one compaction.
    async fn count_at_the_end(&mut self) -> Result<(Vec<Stored>, Vec<Stored>), Failure> {
        for node in self.cluster.all() {
            self.cluster.stop(node).await?;
        }
        let (mut after, mut compacted) = (Vec::new(), Vec::new());
        for node in self.cluster.all() {
            after.push(self.stored(node, false)?);
            compacted.push(self.stored(node, true)?);
        }
        Ok((after, compacted))
    }
}
