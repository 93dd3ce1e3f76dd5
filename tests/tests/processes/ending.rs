//! Signals, second processes, and disks that take no more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Ledger, Signal, until};

use crate::requests::values;
use crate::stage::{Outcome, Stage, say, shared};

/// The promise is 10 s.
const STOP_MAX: Duration = Duration::from_secs(100);

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        sigterm_ends_a_node_under_load_and_nothing_acknowledged_is_lost,
        a_second_sigterm_ends_a_node_at_once,
        a_second_process_on_one_data_directory_is_refused_and_the_first_goes_on,
        sighup_reads_certificates_again_and_bad_ones_change_nothing,
    );
}

async fn sigterm_ends_a_node_under_load_and_nothing_acknowledged_is_lost(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let bucket = cluster.bucket();
    let writers = tokio::spawn(async move {
        let (mut sent, begin) = (Vec::new(), Instant::now());
        let mut number = 0;
        while begin.elapsed() < Duration::from_secs(3) {
            let (key, value) = (format!("term-{number}"), Bytes::from(vec![7; 20_000]));
            let write = bucket.put(&key, value.clone()).send().await;
            sent.push((key, value, write));
            number += 1;
        }
        sent
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ended = cluster.node(2).terminate(STOP_MAX).await?;
    say!("ended {} within {:.2?}", ended.status, ended.took);
    assert!(ended.status.success(), "{}", ended.status);
    let mut failed = Vec::new();
    for (key, value, write) in writers.await? {
        failed.extend(ledger.note(&key, value, &[], write).err());
    }
    assert!(failed.is_empty(), "clients saw {failed:?}");
    Ok(())
}

async fn a_second_sigterm_ends_a_node_at_once(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    ledger
        .put(&cluster.bucket(), "twice", "v", |put| put.w(3))
        .await?;
    let node = cluster.node(1);
    node.signal(Signal::TERM)?;
    node.signal(Signal::TERM)?;
    let ended = node.end(STOP_MAX).await?;
    say!("ended {} within {:.2?}", ended.status, ended.took);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    Ok(())
}

async fn a_second_process_on_one_data_directory_is_refused_and_the_first_goes_on(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    ledger
        .put(&cluster.bucket(), "second", "v", |put| put.w(3))
        .await?;
    // Other ports, so that nothing but the directory is in the way.
    let ports = quorate_tests::process::free_ports(1)?[0];
    let config = std::fs::read_to_string(cluster.node(0).config())?;
    let own = cluster.files().ports[0];
    let config = config
        .replace(&own.peer.to_string(), &ports.peer.to_string())
        .replace(&own.client.to_string(), &ports.client.to_string());
    let dir = cluster.files().node_dir(0);
    std::fs::write(dir.join("second.toml"), config)?;
    let output = std::process::Command::new(&cluster.programs().node)
        .args(["run", "--config"])
        .arg(dir.join("second.toml"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("in use by another process (pid "), "{text}");
    let read = cluster.at(0)?.get("second").r(3).send().await?;
    assert_eq!(values(&read), ["v"]);
    Ok(())
}

async fn sighup_reads_certificates_again_and_bad_ones_change_nothing(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let pem = cluster.files().node_dir(0).join("node.pem");
    let good = std::fs::read_to_string(&pem)?;
    for (content, words) in [
        ("damaged", "the certificates in force stay"),
        (good.as_str(), "certificates read again"),
    ] {
        std::fs::write(&pem, content)?;
        cluster.node(0).signal(Signal::HUP)?;
        until(words, Duration::from_secs(20), async || {
            let log = cluster.node(0).log_of_this_life();
            Ok(if log.contains(words) {
                Ok(())
            } else {
                Err(String::from("not in the log"))
            })
        })
        .await?;
        let client = cluster.new_client().await?;
        let bucket = client.through(cluster.id(0)?).bucket("default");
        ledger.put(&bucket, "hangup", "v", |put| put.w(3)).await?;
        client.close().await;
    }
    Ok(())
}
