//! Load that goes on while nodes die, restart and are cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use quorate_client::{Bucket, Dot, Error, Read, Write};
use quorate_tests::process::{Cluster, Ledger, Settings, until};
use quorate_tests::relay::Label;
use tokio::task::JoinHandle;

use crate::requests::values;
use crate::stage::{Outcome, Stage, finish, say, shared};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        r24_nodes_killed_one_after_the_other_under_load_lose_nothing,
        a08_a_rolling_restart_under_load_is_not_seen_by_clients,
    );
    let relayed = Settings {
        relayed: true,
        ..Settings::default()
    };
    let name = "r21_cut_off_sides_accept_writes_and_agree_after_healing";
    trials.push(stage.own(
        name,
        relayed,
        r21_cut_off_sides_accept_writes_and_agree_after_healing,
    ));
}

const WRITERS: usize = 4;
const KEYS_EACH: usize = 10;

/// Writers that each raise the numbers under keys of their own, and read before they write.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Seen>>,
}

/// One write with what its writer had read.
struct Sent {
    key: String,
    value: Bytes,
    replaces: Vec<Dot>,
    result: Result<Write, Error>,
}

/// What one writer has seen.
#[derive(Default)]
struct Seen {
    sent: Vec<Sent>,
    /// Reads that gave less than was acknowledged before they began.
    wrong: Vec<String>,
    failed_reads: Vec<Error>,
    reads: usize,
}

impl Load {
    pub(crate) fn start(cluster: &Cluster, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = |writer: usize| {
            let keys = (0..KEYS_EACH)
                .map(|key| format!("{name}-{writer}-{key}"))
                .collect();
            tokio::spawn(write(cluster.bucket(), keys, Arc::clone(&stop)))
        };
        let writers = (0..WRITERS).map(writer).collect();
        Self { stop, writers }
    }

    /// Ends it, puts everything into the ledger, and demands that no read was wrong. Returns
    /// requests and errors.
    pub(crate) async fn end(
        self,
        ledger: &mut Ledger,
    ) -> Result<(usize, Vec<Error>), tokio::task::JoinError> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut requests, mut errors) = (0, Vec::new());
        for writer in self.writers {
            let seen = writer.await?;
            assert!(seen.wrong.is_empty(), "{:?}", seen.wrong);
            requests += seen.reads + seen.sent.len();
            errors.extend(seen.failed_reads);
            for Sent {
                key,
                value,
                replaces,
                result,
            } in seen.sent
            {
                errors.extend(ledger.note(&key, value, &replaces, result).err());
            }
        }
        Ok((requests, errors))
    }
}

async fn write(bucket: Bucket, keys: Vec<String>, stop: Arc<AtomicBool>) -> Seen {
    let (mut seen, mut acknowledged, mut number) =
        (Seen::default(), BTreeMap::<String, u64>::new(), 0);
    for key in keys.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        seen.reads += 1;
        let read = match bucket.get(key).send().await {
            Ok(read) => read,
            Err(error) => {
                seen.failed_reads.push(error);
                continue;
            }
        };
        let (least, found) = (acknowledged.get(key).copied(), newest(&read));
        if found < least {
            seen.wrong.push(format!(
                "{key}: {found:?} after {least:?} was acknowledged: {:?}",
                read.info
            ));
        }
        number += 1;
        let value = Bytes::from(number.to_string());
        let result = bucket
            .put(key, value.clone())
            .context(read.context.clone())
            .send()
            .await;
        if result.is_ok() {
            acknowledged.insert(key.clone(), number);
        }
        let replaces = read.siblings.iter().map(|sibling| sibling.dot).collect();
        seen.sent.push(Sent {
            key: key.clone(),
            value,
            replaces,
            result,
        });
    }
    seen
}

fn newest(read: &Read) -> Option<u64> {
    values(read)
        .iter()
        .filter_map(|value| value.parse().ok())
        .max()
}

async fn r24_nodes_killed_one_after_the_other_under_load_lose_nothing(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let load = Load::start(cluster, "r24 load");
    for node in cluster.all() {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.kill(node).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.restart(node).await?;
    }
    let (requests, errors) = load.end(ledger).await?;
    say!(
        "{requests} requests while all nodes were killed in turn: {} errors",
        errors.len()
    );
    for error in &errors {
        assert_ne!(error.kind(), quorate_client::Kind::Fix, "{error}");
    }
    Ok(())
}

async fn a08_a_rolling_restart_under_load_is_not_seen_by_clients(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let load = Load::start(cluster, "a08");
    for node in cluster.all() {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.stop(node).await?;
        cluster.restart(node).await?;
    }
    let (requests, errors) = load.end(ledger).await?;
    say!(
        "{requests} requests during a rolling restart: {} errors",
        errors.len()
    );
    assert!(errors.is_empty(), "{errors:?}");
    Ok(())
}

/// Waits until each of these nodes calls so many peers unreachable.
async fn split(cluster: &Cluster, sides: &[(usize, usize)]) -> Outcome {
    for &(node, missing) in sides {
        until("the sides notice", Duration::from_secs(20), async || {
            let status = cluster.status(node).await?;
            let away = status.peers.iter().filter(|peer| !peer.reachable).count();
            Ok(if away == missing {
                Ok(())
            } else {
                Err(format!("{away} are unreachable"))
            })
        })
        .await?;
    }
    Ok(())
}

async fn r21_cut_off_sides_accept_writes_and_agree_after_healing(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let (left, right) = ([1, 2], [3, 4, 5]);
    let relay = cluster.relay()?;
    let cut = || {
        left.iter().for_each(|&one| {
            right
                .iter()
                .for_each(|&other| relay.cut(Label(one), Label(other)))
        })
    };
    ledger
        .put(&cluster.bucket(), "r21", "before", |put| put.w(3))
        .await?;
    let before = cluster.bucket().get("r21").send().await?;
    cut();
    split(cluster, &[(0, 3), (1, 3), (2, 2), (3, 2)]).await?;
    ledger
        .replace(&cluster.at(0)?, "r21", "left", &before, |put| put.w(2))
        .await?;
    ledger
        .replace(&cluster.at(2)?, "r21", "right", &before, |put| put.w(2))
        .await?;
    relay.heal();
    cluster.settled().await?;
    for node in cluster.all() {
        let read = cluster.at(node)?.get("r21").r(3).send().await?;
        assert_eq!(values(&read), ["left", "right"], "through n{}", node + 1);
    }
    // One-way, and then for milliseconds at a time.
    relay.cut_one_way(Label(1), Label(2));
    for number in 0..50 {
        ledger
            .put(&cluster.bucket(), &format!("r21-{number}"), "v", |put| put)
            .await?;
    }
    relay.heal();
    let load = Load::start(cluster, "r21 load");
    for round in 0..20 {
        cut();
        tokio::time::sleep(Duration::from_millis(20 * (round % 4))).await;
        relay.heal();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (requests, errors) = load.end(ledger).await?;
    say!(
        "{requests} requests over flapping links: {} errors",
        errors.len()
    );
    assert!(errors.is_empty(), "{errors:?}");
    finish(cluster, ledger).await
}
