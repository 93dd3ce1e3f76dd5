//! Writing many keys fast, over the client library.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_client::{Bucket, Error, Kind};

use crate::dataset::{Change, Last};
use crate::failure::Failure;
use crate::many::many;
use crate::progress::Progress;
use crate::workload::Workload;

/// Tries of one write by this program, each with the library's own retries within its deadline.
const TRIES_MAX: u32 = 5;
/// Pause before another try, doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// What a run of writes did.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Writes acknowledged.
    pub written: u64,
    /// Of these, writes that took more than one try.
    pub retried: u64,
    /// Writes that failed for good, by the error's code.
    pub failed: BTreeMap<&'static str, u64>,
    /// What the first of them said.
    pub first_failure: Option<String>,
    /// From the first write to the last.
    pub took: Duration,
}

impl Loaded {
    /// Writes acknowledged in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.written as f64 / self.took.as_secs_f64().max(1e-6)
    }

    fn add(&mut self, ended: Result<u32, Error>) -> bool {
        match &ended {
            Ok(tries) => {
                self.written += 1;
                self.retried += u64::from(*tries > 1);
            }
            Err(error) => {
                *self.failed.entry(error.code().name()).or_default() += 1;
                self.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
        ended.is_ok()
    }
}

/// Writes to a bucket, several at a time.
#[derive(Clone)]
pub struct Loader {
    /// Where to.
    pub bucket: Bucket,
    /// Keys and values.
    pub workload: Workload,
    /// Writes under way at the same time, 1 at least.
    pub clients: usize,
}

impl Loader {
    /// Puts write 0 of the keys `0..keys`. Nothing is read before: where a key holds something already a
    /// sibling is left beside it.
    pub async fn fill(&self, keys: u64) -> Loaded {
        let one = |loader: Self, key| async move { loader.put_new(key).await };
        self.run("load", keys, 0..keys, one).await
    }

    /// Carries out changes of keys that may hold something: each reads first, and replaces what it read.
    pub async fn change(&self, changes: &[Change]) -> Loaded {
        let total = changes.len() as u64;
        let one = |loader: Self, change| async move { loader.replace(change).await };
        self.run("change", total, changes.iter().copied(), one)
            .await
    }

    /// Deletes keys, each through the context of a read of its own if `contexts`; otherwise the node that takes
    /// the request deletes what it finds, and all tries are one request.
    pub async fn delete(&self, keys: &[u64], contexts: bool) -> Loaded {
        let total = keys.len() as u64;
        let one = move |loader: Self, key| async move {
            if contexts {
                let last = Last::Deleted(0);
                loader.replace(Change { key, last }).await
            } else {
                loader.delete_found(key).await
            }
        };
        self.run("delete", total, keys.iter().copied(), one).await
    }

    async fn run<Item, Work>(
        &self,
        what: &'static str,
        total: u64,
        items: impl Iterator<Item = Item>,
        one: impl Fn(Self, Item) -> Work,
    ) -> Loaded
    where
        Work: Future<Output = Result<u32, Error>> + Send + 'static,
    {
        let (mut progress, mut loaded) = (Progress::new(what, total), Loaded::default());
        let begin = Instant::now();
        let work = |item| one(self.clone(), item);
        many(self.clients, items, work, |ended| {
            let ok = loaded.add(ended);
            progress.step(ok);
        })
        .await;
        loaded.took = begin.elapsed();
        progress.finish();
        loaded
    }

    /// All tries are one request, which nodes apply once.
    async fn put_new(&self, key: u64) -> Result<u32, Error> {
        let (name, value) = (self.workload.key(key), self.workload.value(key, 0));
        let value = Bytes::from(value);
        let mut put = self.bucket.put(&name, value.clone());
        let id = put.request_id();
        let mut tries = 1;
        loop {
            match put.send().await {
                Ok(_) => return Ok(tries),
                Err(error) if may_help(&error, tries) => pause(&error, tries).await,
                Err(error) => return Err(error),
            }
            tries += 1;
            put = self.bucket.put(&name, value.clone()).retry_of(id);
        }
    }

    async fn delete_found(&self, key: u64) -> Result<u32, Error> {
        let name = self.workload.key(key);
        let mut delete = self.bucket.delete(&name);
        let id = delete.request_id();
        let mut tries = 1;
        loop {
            match delete.send().await {
                Ok(_) => return Ok(tries),
                Err(error) if may_help(&error, tries) => pause(&error, tries).await,
                Err(error) => return Err(error),
            }
            tries += 1;
            delete = self.bucket.delete(&name).retry_of(id);
        }
    }

    /// Each try reads first: none can leave a second value beside the first.
    async fn replace(&self, change: Change) -> Result<u32, Error> {
        let mut tries = 1;
        loop {
            match self.try_replace(change).await {
                Ok(()) => return Ok(tries),
                Err(error) if may_help(&error, tries) => pause(&error, tries).await,
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }

    async fn try_replace(&self, Change { key, last }: Change) -> Result<(), Error> {
        let name = self.workload.key(key);
        let context = self.bucket.get(&name).head().send().await?.context;
        let done = match last {
            Last::Put(write) => {
                let value = self.workload.value(key, write);
                let put = self.bucket.put(&name, value).context(context);
                put.send().await
            }
            Last::Deleted(_) => self.bucket.delete(&name).context(context).send().await,
        };
        done.map(drop)
    }
}

pub(crate) fn may_help(error: &Error, tries: u32) -> bool {
    tries < TRIES_MAX && matches!(error.kind(), Kind::Retry | Kind::InDoubt)
}

pub(crate) async fn pause(error: &Error, tries: u32) {
    let pause = error.retry_after().unwrap_or(PAUSE * (1 << tries));
    tokio::time::sleep(pause).await;
}

/// All writes, or what the first failure said.
pub(crate) fn all_done(loaded: Loaded) -> Result<Loaded, Failure> {
    match &loaded.first_failure {
        None => Ok(loaded),
        Some(first) => Err(Failure::Writes {
            failed: loaded.failed.values().sum(),
            first: first.clone(),
        }),
    }
}
