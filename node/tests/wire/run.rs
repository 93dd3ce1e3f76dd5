//! One run of one seed: work under mishaps, then fair weather, then judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_client::{Client, Count};
use tokio::task::JoinSet;

use super::cluster::{BUCKET, Cluster};
use super::ether::{Tally, Weather};
use super::oracle::{Oracle, WriteId};
use super::plan::{Episode, Mishap, Plan};
use super::workload::{Worker, name};

/// How long replicas may take to become alike once nothing is wrong any more.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);

/// What a run leaves.
pub(crate) struct Record {
    pub(crate) trace: Vec<String>,
    pub(crate) tally: Tally,
    pub(crate) acknowledged: usize,
    /// From the beginning to the end, by the runtime's clock.
    pub(crate) took: Duration,
}

/// Runs a plan on a runtime of its own whose time passes only when all tasks wait.
///
/// # Panics
/// Something was lost, invented or never settled.
pub(crate) fn run(plan: &Plan) -> Record {
    paused(async {
        let start = tokio::time::Instant::now();
        let mut cluster = Cluster::started(plan.shape);
        let record = live(plan, &mut cluster).await;
        Record {
            took: start.elapsed(),
            ..record
        }
    })
}

/// Runs a test on one thread, on time that stands still while anything can be done.
pub(crate) fn paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

async fn live(plan: &Plan, cluster: &mut Cluster) -> Record {
    cluster.ether.set_weather(plan.weather);
    let oracle = Oracle::default();
    let mut workers = JoinSet::new();
    for number in 1..=plan.clients {
        let worker = Worker {
            number,
            client: cluster.client().await,
            oracle: oracle.clone(),
            trace: cluster.trace.clone(),
        };
        workers.spawn(worker.run(plan.clone()));
    }
    for episode in &plan.episodes {
        befall(cluster, *episode).await;
    }
    while let Some(worked) = workers.join_next().await {
        worked.unwrap();
    }
    cluster.ether.set_weather(Weather {
        delay_ms: plan.weather.delay_ms,
        ..Weather::default()
    });
    let client = cluster.client().await;
    cluster.settle(&client, SETTLE_PATIENCE).await;
    let finals = read_all(&client, plan.keys, &oracle).await;
    let wrong = oracle.judge(&finals);
    assert!(wrong.is_empty(), "{wrong:#?}");
    Record {
        trace: cluster.trace.lines(),
        tally: cluster.ether.tally(),
        acknowledged: oracle.acknowledged(),
        took: Duration::ZERO,
    }
}

async fn befall(cluster: &mut Cluster, episode: Episode) {
    let Episode {
        pause,
        node,
        mishap,
        lasts,
    } = episode;
    tokio::time::sleep(pause).await;
    cluster.trace.note(format_args!("{node} {mishap:?}"));
    match mishap {
        Mishap::Cut { mute, deaf } => cluster.isolate(node, mute, deaf),
        Mishap::Stop => cluster.stop(node).await,
        Mishap::Kill { keep } => cluster.kill(node, keep),
    }
    tokio::time::sleep(lasts).await;
    cluster.trace.note(format_args!("{node} is back"));
    match mishap {
        Mishap::Cut { .. } => cluster.ether.heal(),
        Mishap::Stop | Mishap::Kill { .. } => cluster.start(node, |hello| hello),
    }
}

/// What each key holds, by all of its replicas.
async fn read_all(client: &Client, keys: u64, oracle: &Oracle) -> BTreeMap<u64, BTreeSet<WriteId>> {
    let bucket = client.bucket(BUCKET);
    let mut finals = BTreeMap::new();
    for key in 0..keys {
        let read = bucket.get(name(key)).r(Count::All).send().await.unwrap();
        let values = read.siblings.iter().map(|value| (&value.data, value.dot));
        finals.insert(key, oracle.read(key, values));
    }
    finals
}
