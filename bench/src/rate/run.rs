//! The requests: reads, and writes over what was read, in turn.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_client::{Bucket, Error};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::report::Measured;
use crate::progress::Progress;
use crate::workload::Workload;

/// Requests at a fixed rate.
#[derive(Clone)]
pub struct Steady {
    /// Where to.
    pub bucket: Bucket,
    /// Keys and values.
    pub workload: Workload,
    /// Keys are drawn of `0..keys`, which must have been written.
    pub keys: u64,
    /// How often a second a request begins, 1 at least. Every other one is a read, and the others read and then
    /// replace what they read.
    pub rate: u64,
    /// For how long.
    pub time: Duration,
    /// What keys are drawn with.
    pub seed: u64,
}

/// How long the parts of one turn took.
struct Turn {
    get: Result<Duration, Error>,
    put: Option<Result<Duration, Error>>,
}

impl Steady {
    /// Begins each request in its turn, and waits for the last one.
    pub async fn run(&self) -> Measured {
        let turns = self.rate.max(1) * self.time.as_secs();
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed);
        let (mut progress, mut measured) = (Progress::new("measure", turns), Measured::default());
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for turn in 0..turns {
            let due = begin + Duration::from_secs(1).mul_f64(turn as f64 / self.rate.max(1) as f64);
            while let Some(ended) = ended_by(&mut running, due).await {
                progress.step(measured.take(ended));
            }
            let (one, key) = (self.clone(), dice.next_u64() % self.keys.max(1));
            running.spawn(async move { one.turn(key, turn, due).await });
        }
        while let Some(ended) = running.join_next().await {
            progress.step(measured.take(ended.unwrap_or_else(pass_on)));
        }
        measured.took = begin.elapsed();
        progress.finish();
        measured
    }

    /// The read counts from when it was due, the write from when what it replaces was read.
    async fn turn(&self, key: u64, turn: u64, due: Instant) -> Turn {
        let name = self.workload.key(key);
        let read = self.bucket.get(&name).send().await;
        let read_at = Instant::now();
        let get = |read: Result<_, Error>| read.map(|_| read_at.duration_since(due));
        let context = match &read {
            Ok(read) if turn % 2 == 1 => read.context.clone(),
            Ok(_) | Err(_) => {
                return Turn {
                    get: get(read.map(drop)),
                    put: None,
                };
            }
        };
        let value = Bytes::from(self.workload.value(key, turn + 1));
        let put = self.bucket.put(&name, value).context(context).send().await;
        Turn {
            get: get(read.map(drop)),
            put: Some(put.map(|_| read_at.elapsed())),
        }
    }
}

/// One that ends until then, if one does.
async fn ended_by(running: &mut JoinSet<Turn>, due: Instant) -> Option<Turn> {
    let due = tokio::time::Instant::from_std(due);
    if running.is_empty() {
        tokio::time::sleep_until(due).await;
        return None;
    }
    let ended = tokio::time::timeout_at(due, running.join_next()).await;
    let ended = ended.ok().flatten()?;
    Some(ended.unwrap_or_else(pass_on))
}

/// A task is never cancelled: it panicked, and so does whoever waits for it.
fn pass_on<T>(error: tokio::task::JoinError) -> T {
    std::panic::resume_unwind(error.into_panic())
}

impl Measured {
    /// Returns whether all went well.
    fn take(&mut self, turn: Turn) -> bool {
        let mut failed = None;
        match turn.get {
            Ok(took) => self.gets.add(took),
            Err(error) => failed = Some(error),
        }
        match turn.put {
            Some(Ok(took)) => self.puts.add(took),
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
        if let Some(error) = &failed {
            *self.errors.entry(error.code().name()).or_default() += 1;
        }
        failed.is_none()
    }
}
