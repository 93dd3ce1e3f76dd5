//! The tasks, and what a run of them used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_client::{Bucket, Error};
use quorate_tests::process::{Cluster, Programs};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::keys::Chooser;
use super::mix::{Kind, Mix};
use super::report::Report;
use super::store::Store;
use super::{Settings, Tally};
use crate::cpu::{cpu_of_all, own_cpu};
use crate::failure::Failure;
use crate::many::many;
use crate::progress::Progress;
use crate::stage::stage;
use crate::workload::Workload;

/// Nodes of a cluster that is made for a measurement: each has a copy of every key.
const NODES: usize = 3;
const PARTITIONS: u32 = 64;
/// What is due begins at the latest so long after the end of a run.
const LATE_MAX: Duration = Duration::from_secs(10);

/// Who is measured.
pub struct Target {
    /// Where requests go.
    pub bucket: Bucket,
    /// Processes whose CPU time is the servers'; none: it is not known.
    pub pids: Vec<u32>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its requests.
    pub tally: Tally,
    /// From the end of the warm-up to the end of the last request.
    pub took: Duration,
    /// CPU time of the servers meanwhile, if it is known.
    pub server_cpu: Option<Duration>,
    /// Updates meanwhile that were two requests: they had no context and read first.
    pub reads_first: u64,
    /// CPU time of this process meanwhile.
    pub client_cpu: Duration,
}

/// Makes a cluster of three nodes in a temporary directory, and measures it.
///
/// # Errors
/// See [`Failure`].
pub async fn run_on_own_cluster(
    programs: &Programs,
    settings: Settings,
) -> Result<Report, Failure> {
    let (_cluster, target) = own_cluster(programs).await?;
    run(&target, settings).await
}

/// A cluster of three nodes in a temporary directory.
pub(crate) async fn own_cluster(programs: &Programs) -> Result<(Cluster, Target), Failure> {
    let size = (NODES, PARTITIONS);
    // Keys are written by the measurement itself.
    let (mut cluster, loader) = stage(programs, size, None, (Workload::new(0, 0), 1)).await?;
    let pids = cluster.all().filter_map(|node| cluster.node(node).pid());
    let target = Target {
        bucket: loader.bucket,
        pids: pids.collect(),
    };
    Ok((cluster, target))
}

/// Writes the keys, and measures.
///
/// # Errors
/// Keys cannot be written, or a server process is not there.
pub async fn run(target: &Target, settings: Settings) -> Result<Report, Failure> {
    let session = Session::open(target, settings).await?;
    let mut measured = Vec::new();
    for number in 0..session.settings.runs.max(1) {
        measured.push(session.measure(number, session.settings.mix).await?);
    }
    Ok(Report {
        settings: session.settings,
        measured,
    })
}

/// Keys that are written, and can be asked for.
pub(crate) struct Session {
    settings: Settings,
    store: Arc<Store>,
    chooser: Chooser,
    pids: Vec<u32>,
}

impl Session {
    /// Writes the keys.
    pub(crate) async fn open(target: &Target, settings: Settings) -> Result<Self, Failure> {
        // A process that is not there is told before anything is written.
        cpu_of_all(&target.pids)?;
        let workload = Workload::new(settings.seed, settings.value_bytes);
        let store = Arc::new(Store::new(target.bucket.clone(), workload));
        fill(&store, &settings).await?;
        let chooser = Chooser::new(settings.distribution, settings.keys);
        Ok(Self {
            store,
            chooser,
            pids: target.pids.clone(),
            settings,
        })
    }

    /// One run, of requests of this kind whatever the settings say.
    pub(crate) async fn measure(&self, number: usize, mix: Mix) -> Result<Measured, Failure> {
        let settings = Settings {
            mix,
            ..self.settings.clone()
        };
        let run = Run::new(&settings, &self.store, self.chooser);
        run.measure(number, &self.pids).await
    }
}

async fn fill(store: &Arc<Store>, settings: &Settings) -> Result<(), Failure> {
    let mut progress = Progress::new("load", settings.keys);
    let (mut failed, mut first) = (0, None);
    let work = |_| {
        let store = Arc::clone(store);
        async move { store.insert().await }
    };
    many(
        settings.outstanding,
        0..settings.keys,
        work,
        |done: Result<(), Error>| {
            progress.step(done.is_ok());
            if let Err(error) = done {
                failed += 1;
                first.get_or_insert_with(|| error.to_string());
            }
        },
    )
    .await;
    progress.finish();
    first.map_or(Ok(()), |first| Err(Failure::Writes { failed, first }))
}

/// What all tasks of a run share.
struct Run {
    settings: Settings,
    store: Arc<Store>,
    chooser: Chooser,
    begin: Instant,
    /// How many requests were taken by tasks.
    turns: AtomicU64,
    tally: Mutex<Tally>,
}

impl Run {
    fn new(settings: &Settings, store: &Arc<Store>, chooser: Chooser) -> Arc<Self> {
        let begin = Instant::now();
        Arc::new(Self {
            settings: settings.clone(),
            store: Arc::clone(store),
            chooser,
            begin,
            turns: AtomicU64::new(0),
            tally: Mutex::new(Tally::new(begin + settings.warm_up, settings.time)),
        })
    }

    async fn measure(self: Arc<Self>, number: usize, pids: &[u32]) -> Result<Measured, Failure> {
        let mut tasks = JoinSet::new();
        for task in 0..self.settings.outstanding.max(1) {
            let run = Arc::clone(&self);
            // Each task of each run draws other keys, and the same ones with the same seed.
            let seed = self.settings.seed
                ^ ((number as u64) << 32 | task as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            tasks.spawn(async move { run.task(ChaCha8Rng::seed_from_u64(seed)).await });
        }
        let counts_from = self.begin + self.settings.warm_up;
        tokio::time::sleep_until(counts_from.into()).await;
        let (servers, own) = (cpu_of_all(pids)?, own_cpu());
        let reads_first = self.store.reads_first();
        self.watch(number).await;
        while let Some(ended) = tasks.join_next().await {
            // A task is never cancelled: it panicked, and so does whoever waits for it.
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        }
        let used = cpu_of_all(pids)?.saturating_sub(servers);
        Ok(Measured {
            took: counts_from.elapsed(),
            server_cpu: (!pids.is_empty()).then_some(used),
            reads_first: self.store.reads_first() - reads_first,
            client_cpu: own_cpu().saturating_sub(own),
            tally: self.tally(|tally| tally.clone()),
        })
    }

    /// Shows how far it is, until requests no longer count.
    async fn watch(&self, number: usize) {
        let seconds = self.settings.time.as_secs();
        let runs = self.settings.runs.max(1);
        let what = format!(
            "{} {} of {runs}, seconds",
            self.settings.mix.name,
            number + 1
        );
        let mut progress = Progress::new(&what, seconds);
        for second in 1..=seconds {
            let until = self.begin + self.settings.warm_up + Duration::from_secs(second);
            tokio::time::sleep_until(until.into()).await;
            progress.step_telling(self.tally(|tally| {
                let (done, failed) = (tally.operations(), tally.failed());
                format!("{done} operations done, {failed} failed")
            }));
        }
        progress.finish();
    }

    /// One request after the other, until none counts any more.
    async fn task(&self, mut dice: ChaCha8Rng) {
        let end = self.begin + self.settings.warm_up + self.settings.time;
        loop {
            let from = match self.settings.rate {
                None => Instant::now(),
                Some(rate) => due(self.begin, self.turns.fetch_add(1, Ordering::Relaxed), rate),
            };
            if from >= end {
                return;
            }
            if Instant::now() > end + LATE_MAX {
                self.tally(|tally| tally.leave_out(from));
                continue;
            }
            if from > Instant::now() {
                tokio::time::sleep_until(from.into()).await;
            }
            let kind = self.settings.mix.kind(dice.next_u64());
            let done = self.request(kind, &mut dice).await;
            let done = done.map_err(|error| error.code().name());
            self.tally(|tally| tally.add(kind, from, Instant::now(), done));
        }
    }

    async fn request(&self, kind: Kind, dice: &mut ChaCha8Rng) -> Result<bool, Error> {
        let key = self.chooser.draw(dice, self.store.written());
        match kind {
            Kind::Read => self.store.read(key).await,
            Kind::Update => self.store.update(key).await.map(|()| true),
            Kind::Insert => self.store.insert().await.map(|()| true),
            Kind::ReadModifyWrite => self.store.read_modify_write(key).await,
        }
    }

    fn tally<T>(&self, with: impl FnOnce(&mut Tally) -> T) -> T {
        with(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// When a request is due: each at its own distance from the beginning, so that nothing adds up.
fn due(begin: Instant, turn: u64, rate: u64) -> Instant {
    let rate = rate.max(1);
    let nanos = (turn % rate) * 1_000_000_000 / rate;
    begin + Duration::from_secs(turn / rate) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_the_rate_whatever_became_of_those_before() {
        let begin = Instant::now();
        let after = |turn, rate| due(begin, turn, rate) - begin;
        assert_eq!(after(0, 3), Duration::ZERO);
        assert_eq!(after(1, 3), Duration::from_nanos(333_333_333));
        assert_eq!(after(3, 3), Duration::from_secs(1));
        assert_eq!(after(7_000_000, 1_000), Duration::from_secs(7_000));
        assert_eq!(after(10, 0), Duration::from_secs(10));
    }
}
