//! Measurements: failure detection, and small requests beside large values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Ledger};

use crate::stage::{Outcome, Stage, say, shared};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        a_killed_node_is_noticed_by_all,
        r22_requests_go_on_beside_a_paused_replica,
        small_requests_go_on_beside_the_largest_values,
    );
}

/// The times of a measurement, in order.
struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that this share of all keeps.
    fn quantile(&self, share: f64) -> Duration {
        let last = self.0.len() - 1;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let at = (last as f64 * share).round() as usize;
        self.0[at]
    }

    fn report(&self, what: &str) {
        say!(
            "{what}: median {:.1?}, p95 {:.1?}, p99 {:.1?} of {}",
            self.quantile(0.5),
            self.quantile(0.95),
            self.quantile(0.99),
            self.0.len()
        );
    }
}

async fn a_killed_node_is_noticed_by_all(cluster: &mut Cluster, ledger: &mut Ledger) -> Outcome {
    ledger
        .put(&cluster.bucket(), "noticed", "v", |put| put.w(3))
        .await?;
    let mut times = Vec::new();
    for round in 0..6 {
        let node = round % 5;
        // `seen` fails beyond ten times the 2 s within which 95 % are to be noticed.
        times.push(cluster.kill_seen(node).await?);
        cluster.restart(node).await?;
        cluster.seen(node, true).await?;
    }
    Times::new(times).report("until all others call a killed node unreachable");
    Ok(())
}

async fn r22_requests_go_on_beside_a_paused_replica(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let bucket = cluster.bucket();
    for number in 0..50 {
        ledger
            .put(&bucket, &format!("r22-{number}"), "v", |put| put)
            .await?;
    }
    cluster.pause(4)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for number in 0..200 {
        let key = format!("r22-{}", number % 50);
        let begin = Instant::now();
        let read = bucket.get(&key).send().await?;
        reads.push(begin.elapsed());
        assert!(read.is_found(), "{key}");
        let begin = Instant::now();
        ledger
            .replace(&bucket, &key, format!("{number}"), &read, |put| put)
            .await?;
        writes.push(begin.elapsed());
    }
    Times::new(reads).report("reads beside a paused node");
    Times::new(writes).report("writes beside a paused node");
    Ok(())
}

async fn small_requests_go_on_beside_the_largest_values(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const LARGE: usize = 16 << 20;
    let (large_client, small_client) = (cluster.new_client().await?, cluster.bucket());
    for number in 0..20 {
        ledger
            .put(&small_client, &format!("small-{number}"), "v", |put| put)
            .await?;
    }
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    let writer = tokio::spawn(async move {
        let (bucket, begin, mut sent) =
            (large_client.bucket("default"), Instant::now(), Vec::new());
        for number in 0_u8..4 {
            let (key, value) = (format!("large-{number}"), Bytes::from(vec![number; LARGE]));
            let write = bucket.put(&key, value.clone()).send().await;
            let read = bucket.get(&key).send().await;
            let whole =
                read.is_ok_and(|read| read.siblings.len() == 1 && read.siblings[0].data == value);
            sent.push((key, value, write, whole));
        }
        finished.store(true, Ordering::Relaxed);
        (sent, begin.elapsed())
    });
    let mut times = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let key = format!("small-{}", times.len() % 20);
        let begin = Instant::now();
        let read = small_client.get(&key).send().await?;
        ledger
            .replace(
                &small_client,
                &key,
                format!("{}", times.len()),
                &read,
                |put| put,
            )
            .await?;
        times.push(begin.elapsed());
    }
    let (sent, took) = writer.await?;
    for (key, value, write, whole) in sent {
        ledger.note(&key, value, &[], write)?;
        assert!(whole, "{key} did not come back as it was written");
    }
    say!("4 values of 16 MiB written and read within {took:.1?}");
    let times = Times::new(times);
    times.report("a small read and write meanwhile");
    assert!(times.quantile(0.99) < Duration::from_secs(10));
    Ok(())
}
