//! Nodes that come, go and are replaced while the others serve.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Index, Ledger, Settings, Tool, Trouble, until};

use crate::rolling::Load;
use crate::stage::{Outcome, Stage, finish, say};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    let settings = || Settings {
        nodes: 3,
        partitions: 16,
        ..Settings::default()
    };
    trials.push(stage.own(
        "a02_nodes_join_and_leave_under_load_while_others_are_killed_and_nothing_is_lost",
        settings(),
        a02_nodes_join_and_leave_under_load_while_others_are_killed_and_nothing_is_lost,
    ));
    trials.push(stage.own(
        "a02_a_killed_node_is_replaced_under_load_and_never_comes_back",
        settings(),
        a02_a_killed_node_is_replaced_under_load_and_never_comes_back,
    ));
    trials.push(stage.own(
        "a07_a_joiner_killed_before_and_while_it_is_filled_takes_its_places",
        settings(),
        a07_a_joiner_killed_before_and_while_it_is_filled_takes_its_places,
    ));
}

/// Values under many keys, so that every class has some to move.
async fn fill(cluster: &Cluster, ledger: &mut Ledger, keys: usize) -> Outcome {
    let value = vec![b'v'; 2000];
    for key in 0..keys {
        let key = format!("filled-{key}");
        ledger
            .put(&cluster.bucket(), &key, value.clone(), |put| put)
            .await?;
    }
    Ok(())
}

/// Waits until a node's log of this life holds these words.
pub(crate) async fn says(cluster: &mut Cluster, node: Index, words: &str) -> Result<(), Trouble> {
    let patience = Duration::from_secs(60);
    until(&format!("'{words}' is logged"), patience, async || {
        let log = cluster.node(node).log_of_this_life();
        Ok(if log.contains(words) {
            Ok(())
        } else {
            Err(cluster.node(node).log_end())
        })
    })
    .await
    .map(drop)
}

/// A new node that runs, and waits to be taken in.
pub(crate) async fn at_the_door(cluster: &mut Cluster, command: &[&str]) -> Result<Index, Trouble> {
    let newcomer = cluster.newcomer(command)?;
    cluster.restart(newcomer).await?;
    says(cluster, newcomer, "waiting to be taken in").await?;
    Ok(newcomer)
}

/// What a node answers whose client port is asked directly.
pub(crate) fn refusal(cluster: &Cluster, node: Index) -> Result<String, Trouble> {
    let seed = cluster.files().seeds()[node].clone();
    let asked = Tool::new(cluster, &["get", "default", "k", "--seeds", &seed]).run()?;
    assert_ne!(asked.code, Some(0), "it served: {}", asked.out);
    Ok(asked.err)
}

async fn a02_nodes_join_and_leave_under_load_while_others_are_killed_and_nothing_is_lost(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    fill(cluster, ledger, 300).await?;
    let load = Load::start(cluster, "a02");
    let joined = at_the_door(cluster, &["join"]).await?;
    let planned = cluster.tool(&["cluster", "plan"])?;
    assert!(planned.out.contains("n4"), "{}", planned.out);
    assert!(!planned.out.contains("doors"), "{}", planned.out);
    cluster.tool(&["cluster", "commit"])?;
    cluster.kill(1).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.restart(1).await?;
    let took = cluster.ring_settled().await?;
    let places = cluster.status(joined).await?.vnodes_total;
    say!("joined in {took:.1?}, {places} places");
    assert!(places > 0);
    cluster.tool(&["cluster", "leave", "n1"])?;
    cluster.tool(&["cluster", "commit"])?;
    cluster.kill(joined).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.restart(joined).await?;
    let took = cluster.ring_settled().await?;
    cluster.has_left(0);
    says(cluster, 0, "is no member of the cluster any more").await?;
    say!("left in {took:.1?}");
    assert!(refusal(cluster, 0)?.contains("no member of the cluster any more"));
    // A restart does not make it a member.
    cluster.stop(0).await?;
    cluster.restart(0).await?;
    says(cluster, 0, "waiting to be taken in").await?;
    assert!(refusal(cluster, 0)?.contains("no member of the cluster"));
    let (requests, errors) = load.end(ledger).await?;
    say!("{requests} requests, {} errors", errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    finish(cluster, ledger).await
}

async fn a02_a_killed_node_is_replaced_under_load_and_never_comes_back(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    cluster.ring_settled().await?;
    fill(cluster, ledger, 100).await?;
    let load = Load::start(cluster, "replaced");
    cluster.kill_seen(1).await?;
    cluster.tool(&["cluster", "force-remove", "n2"])?;
    at_the_door(cluster, &["join"]).await?;
    cluster.tool(&["cluster", "commit", "--force"])?;
    cluster.tool(&["cluster", "forget", "n2"])?;
    let took = cluster.ring_settled().await?;
    say!("replaced in {took:.1?}");
    cluster.has_left(1);
    let (requests, errors) = load.end(ledger).await?;
    say!("{requests} requests, {} errors", errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    // It believes to be a member until the others refuse it, or tell it.
    cluster.restart(1).await?;
    says(cluster, 1, "serves nobody").await?;
    assert!(refusal(cluster, 1)?.contains("serves nobody"));
    finish(cluster, ledger).await
}

async fn a07_a_joiner_killed_before_and_while_it_is_filled_takes_its_places(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    fill(cluster, ledger, 500).await?;
    let joined = at_the_door(cluster, &["join"]).await?;
    cluster.kill(joined).await?;
    cluster.tool(&["cluster", "commit"])?;
    for pause_ms in [0, 300, 900] {
        cluster.restart(joined).await?;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        cluster.kill(joined).await?;
    }
    cluster.restart(joined).await?;
    let took = cluster.ring_settled().await?;
    let places = cluster.status(joined).await?.vnodes_total;
    say!("joined in {took:.1?}, {places} places");
    assert!(places > 0);
    finish(cluster, ledger).await
}
