//! The clients of a churn.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_client::{Bucket, Client, Context, Error, Kind, Read};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::page::{Page, Wrong};
use super::report::Churned;
use crate::load::{may_help, pause};
use crate::progress::say;
use crate::workload::{Seen, Workload};

/// How often the end is looked for, and convergence asked about.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long all replicas may take to have the same.
const CONVERGE_WAIT: Duration = Duration::from_secs(180);
/// Answers that reads and writes need.
const QUORUM: u8 = 2;

/// When the load ends.
#[derive(Clone, Debug)]
pub enum Until {
    /// After a time.
    After(Duration),
    /// As soon as there is a file of that name.
    File(PathBuf),
}

/// A load under which nodes come and go.
#[derive(Clone)]
pub struct Churn {
    /// To ask how the replicas stand.
    pub client: Client,
    /// Where to.
    pub bucket: Bucket,
    /// Keys and values.
    pub workload: Workload,
    /// How many keys.
    pub keys: u64,
    /// How many clients.
    pub clients: u64,
    /// Operations a second, of all clients together.
    pub rate: u64,
    /// When it ends.
    pub until: Until,
}

impl Churn {
    /// Loads, waits until all replicas have the same, and reads everything back.
    pub async fn run(self) -> Churned {
        let begin = Instant::now();
        let (end, ended) = tokio::sync::watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            let one = One::new(self.clone(), number, begin);
            clients.spawn(one.load(ended.clone()));
        }
        self.wait_for_end(begin).await;
        end.send_replace(true);
        let mut all = Churned::default();
        let mut pages = Vec::new();
        for mut one in clients.join_all().await {
            all.add(std::mem::take(&mut one.churned));
            pages.push(one);
        }
        all.took = begin.elapsed();
        all.converged = self.converge().await;
        let mut checks: JoinSet<Churned> = pages.into_iter().map(One::check).collect();
        while let Some(checked) = checks.join_next().await {
            // A task is never cancelled; one that panicked must not count as a good one.
            match checked {
                Ok(checked) => all.add(checked),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        all
    }

    async fn wait_for_end(&self, begin: Instant) {
        loop {
            let is_over = match &self.until {
                Until::After(time) => begin.elapsed() >= *time,
                Until::File(file) => file.exists(),
            };
            if is_over {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn converge(&self) -> Option<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < CONVERGE_WAIT {
            // Members may have come and gone since the map was read.
            let _ = self.client.refresh_map().await;
            if self.client.convergence().await.is_converged() {
                return Some(begin.elapsed());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        None
    }
}

/// One client, and what it knows of its keys.
struct One {
    churn: Churn,
    number: u64,
    begin: Instant,
    pages: Vec<Page>,
    /// How many of its keys it has written for the first time.
    fresh: usize,
    rng: ChaCha12Rng,
    churned: Churned,
}

impl One {
    fn new(churn: Churn, number: u64, begin: Instant) -> Self {
        let own = churn.keys / churn.clients.max(1);
        Self {
            number,
            begin,
            pages: vec![Page::default(); usize::try_from(own).unwrap_or(usize::MAX).max(1)],
            fresh: 0,
            rng: ChaCha12Rng::seed_from_u64(number),
            churned: Churned::default(),
            churn,
        }
    }

    /// The number of its key at that place.
    fn key(&self, at: usize) -> u64 {
        at as u64 * self.churn.clients + self.number
    }

    async fn load(mut self, ended: tokio::sync::watch::Receiver<bool>) -> Self {
        let clients = f64::from(u32::try_from(self.churn.clients).unwrap_or(u32::MAX));
        let rate = f64::from(u32::try_from(self.churn.rate.max(1)).unwrap_or(u32::MAX));
        let mut turns = tokio::time::interval(Duration::from_secs_f64(clients / rate));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*ended.borrow() {
            turns.tick().await;
            let draw = self.rng.next_u64();
            if self.fresh < self.pages.len() && (self.fresh == 0 || draw.is_multiple_of(2)) {
                self.fresh += 1;
                self.write_fresh(self.fresh - 1).await;
            } else {
                // As many as there are, at most.
                let at = usize::try_from(draw >> 1).unwrap_or(usize::MAX) % self.fresh;
                self.replace(at).await;
            }
        }
        self
    }

    async fn write_fresh(&mut self, at: usize) {
        if self.write(at, Context::default(), &[]).await {
            self.churned.fresh += 1;
        }
    }

    async fn replace(&mut self, at: usize) {
        let Some(read) = self.read(at).await else {
            return;
        };
        let found = self.found(at, &read);
        self.churned.reads += 1;
        let judged = self.pages[at].judge(&found);
        self.churned.judge(judged);
        if let Err(wrong) = judged {
            self.complain(at, wrong, &found).await;
        }
        if self.write(at, read.context, &found).await {
            self.churned.replaced += 1;
        }
    }

    fn found(&self, at: usize, read: &Read) -> Vec<Seen> {
        let values = read.siblings.iter();
        let recognise = |data: &Bytes| self.churn.workload.recognise(self.key(at), data);
        values.map(|value| recognise(&value.data)).collect()
    }

    async fn read(&mut self, at: usize) -> Option<Read> {
        let name = self.churn.workload.key(self.key(at));
        let mut tries = 1;
        loop {
            match self.churn.bucket.get(&name).r(QUORUM).send().await {
                Ok(read) => {
                    self.churned.retried += u64::from(tries > 1);
                    return Some(read);
                }
                Err(error) if may_help(&error, tries) => pause(&error, tries).await,
                Err(error) => {
                    self.failed(at, "a read", &error);
                    return None;
                }
            }
            tries += 1;
        }
    }

    /// All tries are one request, which nodes apply once.
    async fn write(&mut self, at: usize, context: Context, seen: &[Seen]) -> bool {
        let write = self.pages[at].next();
        let (key, workload) = (self.key(at), self.churn.workload);
        let (name, value) = (workload.key(key), Bytes::from(workload.value(key, write)));
        let put = || {
            let put = self.churn.bucket.put(&name, value.clone());
            put.context(context.clone()).w(QUORUM)
        };
        let mut next = put();
        let id = next.request_id();
        let (mut tries, mut doubtful) = (1, false);
        loop {
            match next.send().await {
                Ok(_) => {
                    self.churned.retried += u64::from(tries > 1);
                    self.pages[at].acknowledge(write, seen);
                    return true;
                }
                Err(error) => {
                    doubtful |= error.kind() == Kind::InDoubt;
                    if !may_help(&error, tries) {
                        if doubtful {
                            self.pages[at].doubt(write);
                            self.churned.doubts += 1;
                        }
                        self.failed(at, "a write", &error);
                        return false;
                    }
                    pause(&error, tries).await;
                }
            }
            tries += 1;
            next = put().retry_of(id);
        }
    }

    fn failed(&mut self, at: usize, what: &str, error: &Error) {
        *self.churned.errors.entry(error.code().name()).or_default() += 1;
        let seconds = self.begin.elapsed().as_secs_f64();
        let name = String::from_utf8_lossy(&self.churn.workload.key(self.key(at))).into_owned();
        say(&format!("{seconds:.3} s: {what} of {name} failed: {error}"));
    }

    /// Says what was wrong, and how the replicas stand right after.
    async fn complain(&self, at: usize, wrong: Wrong, found: &[Seen]) {
        let seconds = self.begin.elapsed().as_secs_f64();
        let name = self.churn.workload.key(self.key(at));
        let expected = self.pages[at].expected();
        let shown = String::from_utf8_lossy(&name);
        say(&format!(
            "{seconds:.3} s: {} in {shown}: found {found:?}, expected {expected}",
            wrong.name()
        ));
        let again = self.churn.bucket.get(&name).r(3).explain().send().await;
        say(&match again {
            Ok(read) => format!(
                "  read again: {:?}, by {:?}",
                self.found(at, &read),
                read.info
            ),
            Err(error) => format!("  read again: {error}"),
        });
    }

    /// Reads all that was written once more.
    async fn check(mut self) -> Churned {
        for at in 0..self.fresh {
            let Some(read) = self.read(at).await else {
                continue;
            };
            let found = self.found(at, &read);
            let judged = self.pages[at].judge(&found);
            self.churned.judge_last(judged);
            if let Err(wrong) = judged {
                self.complain(at, wrong, &found).await;
            }
        }
        self.churned
    }
}
