//! R20: what is left of keys that were deleted or have expired, counted in the databases of stopped nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use quorate_client::{Bucket, Error};
use quorate_tests::process::{Cluster, Index, Inspection, Ledger, Settings, Trouble, until};

use crate::stage::{Outcome, Stage, say};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    let few = Settings {
        nodes: 3,
        partitions: 8,
        ..Settings::default()
    };
    let name = "r20_nothing_is_left_of_deleted_keys";
    let deleted = r20_nothing_is_left_of_deleted_keys;
    trials.push(stage.own(name, few.clone(), deleted));
    let name = "r20_nothing_is_left_of_expired_keys";
    trials.push(stage.own(name, few, r20_nothing_is_left_of_expired_keys));
}

/// How many keys come and go.
const KEYS: usize = 3_000;
/// Clients at work at a time.
const CLIENTS: usize = 16;
/// Who is away for a while.
const AWAY: Index = 2;
/// Every so many keys have a value that is stored in pieces.
const LONG_EVERY: usize = 100;
/// Ten times the 10 s within which nothing is left.
const NOTHING_WITHIN: Duration = Duration::from_secs(100);
/// Answers to retries are remembered for a minute.
const RETRY_WINDOW: Duration = Duration::from_secs(62);
/// What a database may have grown by, once all is gone from it again.
const GROWN_MAX: u64 = 1 << 20;
/// What must be empty.
const FAMILIES: [&str; 5] = ["objects", "chunks", "hints", "log", "expiry"];

/// Stops all nodes, looks into their databases, and starts them again.
async fn inspected(cluster: &mut Cluster, compact: bool) -> Result<Vec<Inspection>, Trouble> {
    for node in cluster.all() {
        cluster.stop(node).await?;
    }
    let nodes = cluster.all();
    let found = nodes.map(|node| cluster.inspect(node, compact)).collect();
    cluster.heal().await?;
    cluster.settled().await?;
    found
}

/// Does something for each of these keys, many at a time.
async fn for_keys<W, D>(bucket: &Bucket, keys: impl Iterator<Item = usize>, work: W) -> Outcome
where
    W: Fn(Bucket, usize) -> D + Copy + Send + Sync + 'static,
    D: Future<Output = Result<(), Error>> + Send,
{
    let mut shares: Vec<Vec<usize>> = vec![Vec::new(); CLIENTS];
    keys.enumerate()
        .for_each(|(place, key)| shares[place % CLIENTS].push(key));
    let begin = |keys: Vec<usize>| {
        let bucket = bucket.clone();
        tokio::spawn(async move {
            for key in keys {
                work(bucket.clone(), key).await?;
            }
            Ok::<_, Error>(())
        })
    };
    let tasks: Vec<_> = shares.into_iter().map(begin).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn name(key: usize) -> String {
    format!("gone-{key}")
}

fn value(key: usize) -> Vec<u8> {
    let length = if key.is_multiple_of(LONG_EVERY) {
        100_000
    } else {
        200
    };
    vec![key.to_be_bytes()[7]; length]
}

/// A key with one version, with two siblings, or with one that has replaced another.
async fn write(bucket: Bucket, key: usize) -> Result<(), Error> {
    bucket.put(name(key), value(key)).send().await?;
    match key % 3 {
        0 => {}
        1 => {
            bucket.put(name(key), "a sibling").send().await?;
        }
        _ => {
            let read = bucket.get(name(key)).send().await?;
            let put = bucket.put(name(key), value(key + 1)).context(read.context);
            put.send().await?;
        }
    }
    Ok(())
}

/// What was read is deleted, or whatever is there.
async fn delete(bucket: Bucket, key: usize) -> Result<(), Error> {
    let delete = bucket.delete(name(key));
    if key.is_multiple_of(2) {
        let read = bucket.get(name(key)).send().await?;
        delete.context(read.context).send().await?;
    } else {
        delete.send().await?;
    }
    Ok(())
}

/// Deleted, made again, and deleted again.
async fn delete_twice(bucket: Bucket, key: usize) -> Result<(), Error> {
    delete(bucket.clone(), key).await?;
    write(bucket.clone(), key).await?;
    delete(bucket, key).await
}

async fn is_gone(bucket: Bucket, key: usize) -> Result<(), Error> {
    let read = bucket.get(name(key)).r(3).send().await?;
    assert!(!read.is_found(), "{} is there again", name(key));
    Ok(())
}

/// Waits until no node has a log entry or a hint any more. Returns how long that took.
async fn collected(cluster: &Cluster) -> Result<Duration, Trouble> {
    let begin = Instant::now();
    cluster.settled().await?;
    until("no log entry is left", NOTHING_WITHIN, async || {
        for node in cluster.all() {
            let vnodes = cluster.status(node).await?.vnodes;
            let left: u64 = vnodes.iter().map(|vnode| vnode.log_entries).sum();
            if left > 0 {
                return Ok(Err(format!("n{} has {left} log entries", node + 1)));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    Ok(begin.elapsed())
}

/// Nothing but what each vnode has always: its clock, and its digest since something was written to it. And who was
/// alive when, once for the node.
fn check_empty(found: &[Inspection], empty: &[Inspection]) -> Outcome {
    for (node, (found, empty)) in found.iter().zip(empty).enumerate() {
        for family in FAMILIES {
            let left = found.figure(&format!("{family}.entries"))?;
            assert_eq!(left, 0, "{family} of n{}", node + 1);
        }
        for figure in ["clocks.vnodes", "unreadable"] {
            let (found, empty) = (found.figure(figure)?, empty.figure(figure)?);
            assert_eq!(found, empty, "{figure} of n{}", node + 1);
        }
        let vnodes = found.figure("clocks.vnodes")?;
        let always = 2 * vnodes + 1;
        assert_eq!(found.figure("vnodes.entries")?, always, "of n{}", node + 1);
    }
    Ok(())
}

/// After one compaction the files are about those of an empty database. Returns how many answers to retries are
/// remembered.
async fn check_files(cluster: &mut Cluster, empty: &[Inspection]) -> Result<u64, Trouble> {
    let found = inspected(cluster, true).await?;
    let mut answers = 0;
    for (node, (found, empty)) in found.iter().zip(empty).enumerate() {
        answers += found.figure("requests.entries")?;
        let (now, before) = (found.figure("file_bytes")?, empty.figure("file_bytes")?);
        say!("n{}: {now} bytes compacted, {before} when empty", node + 1);
        assert!(now <= before + GROWN_MAX, "n{} has grown", node + 1);
    }
    Ok(answers)
}

async fn r20_nothing_is_left_of_deleted_keys(cluster: &mut Cluster, _: &mut Ledger) -> Outcome {
    let empty = inspected(cluster, true).await?;
    let bucket = cluster.bucket();
    for_keys(&bucket, 0..KEYS, write).await?;
    for_keys(&bucket, 0..KEYS / 3, delete).await?;
    cluster.kill_seen(AWAY).await?;
    for_keys(&bucket, KEYS / 3..KEYS / 2, delete).await?;
    for_keys(&bucket, KEYS / 2..KEYS * 2 / 3, delete_twice).await?;
    cluster.restart(AWAY).await?;
    for_keys(&bucket, KEYS * 2 / 3..KEYS, delete).await?;
    let took = collected(cluster).await?;
    check_empty(&inspected(cluster, false).await?, &empty)?;
    for_keys(&bucket, 0..KEYS, is_gone).await?;
    say!("{KEYS} keys: nothing left of them after {took:.1?}");
    tokio::time::sleep(RETRY_WINDOW).await;
    assert_eq!(check_files(cluster, &empty).await?, 0, "answers to retries");
    Ok(())
}

/// How long what expires lives.
const SHORT: Duration = Duration::from_secs(2);

async fn write_short_lived(bucket: Bucket, key: usize) -> Result<(), Error> {
    let put = bucket.put(name(key), value(key)).ttl(SHORT);
    put.send().await?;
    if key.is_multiple_of(3) {
        let read = bucket.get(name(key)).send().await?;
        let over = bucket.put(name(key), value(key + 1)).ttl(SHORT);
        over.context(read.context).send().await?;
    } else if key.is_multiple_of(5) {
        let beside = bucket.put(name(key), "a sibling").ttl(SHORT);
        beside.send().await?;
    }
    Ok(())
}

async fn r20_nothing_is_left_of_expired_keys(cluster: &mut Cluster, _: &mut Ledger) -> Outcome {
    let empty = inspected(cluster, true).await?;
    let bucket = cluster.bucket();
    for_keys(&bucket, 0..KEYS / 2, write_short_lived).await?;
    cluster.kill_seen(AWAY).await?;
    for_keys(&bucket, KEYS / 2..KEYS, write_short_lived).await?;
    // Their time passes while a node is away that has never seen some of them, and others not replaced.
    tokio::time::sleep(SHORT).await;
    cluster.restart(AWAY).await?;
    cluster.seen(AWAY, true).await?;
    for_keys(&bucket, 0..KEYS, is_gone).await?;
    // A replica removes what has expired once its own clock is past by what clocks may differ.
    tokio::time::sleep(SHORT).await;
    let took = collected(cluster).await?;
    check_empty(&inspected(cluster, false).await?, &empty)?;
    say!("{KEYS} keys: nothing left of them {took:.1?} after their time");
    check_files(cluster, &empty).await?;
    Ok(())
}
