//! Backups of running nodes, and what is restored from them: one node beside others that serve, and everything.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Index, Ledger, Settings, Tool, Trouble, until};

use crate::commands::quorate;
use crate::stage::{Outcome, Stage, finish, say};

/// How long it may take until a storage is named: a few heartbeats and tries.
const NAMING: Duration = Duration::from_secs(20);

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    let few = Settings {
        nodes: 3,
        partitions: 8,
        ..Settings::default()
    };
    let name = "a_wiped_node_is_restored_while_the_others_serve";
    trials.push(stage.own(
        name,
        few.clone(),
        a_wiped_node_is_restored_while_the_others_serve,
    ));
    let name = "a_whole_cluster_is_restored_from_different_moments";
    trials.push(stage.own(
        name,
        few,
        a_whole_cluster_is_restored_from_different_moments,
    ));
}

/// Runs `quorate ARGUMENTS...`, which must end with 0.
fn tool(cluster: &Cluster, arguments: &[&str]) -> Result<String, Trouble> {
    let done = Tool::new(cluster, arguments).run()?;
    assert_eq!(
        done.code,
        Some(0),
        "quorate {arguments:?}: {} {}",
        done.out,
        done.err
    );
    Ok(done.out)
}

fn node_dir(cluster: &Cluster, node: Index) -> PathBuf {
    cluster.files().node_dir(node)
}

/// Runs `quorate-node restore` for a node. Returns whether it did, and what it said.
fn restore(cluster: &mut Cluster, node: Index, more: &[&str]) -> Result<(bool, String), Trouble> {
    let program = cluster.programs().node.clone();
    let output = Command::new(program)
        .arg("restore")
        .arg("--config")
        .arg(cluster.node(node).config())
        .args(more)
        .output()
        .map_err(Trouble::io("quorate-node restore"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), said))
}

async fn put_some(cluster: &Cluster, ledger: &mut Ledger, what: &str, keys: usize) -> Outcome {
    for number in 0..keys {
        let value = vec![u8::try_from(number % 251)?; 500 + 10 * number];
        let key = format!("{what}-{number}");
        ledger
            .put(&cluster.bucket(), &key, value, |put| put.w(2).dw(2))
            .await?;
    }
    Ok(())
}

/// Every other one is deleted, every third of the rest overwritten.
async fn change_some(cluster: &Cluster, ledger: &mut Ledger, what: &str, keys: usize) -> Outcome {
    for number in 0..keys {
        let key = format!("{what}-{number}");
        let bucket = cluster.bucket();
        let read = bucket.get(&key).send().await?;
        if number % 2 == 0 {
            ledger.delete(&bucket, &key, &read, |delete| delete).await?;
        } else if number % 3 == 0 {
            let put = ledger.replace(&bucket, &key, "over", &read, |put| put.dw(2));
            put.await?;
        }
    }
    Ok(())
}

async fn a_wiped_node_is_restored_while_the_others_serve(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    put_some(cluster, ledger, "first", 80).await?;
    change_some(cluster, ledger, "first", 20).await?;
    let made = tool(cluster, &["backup", "create", "--wait", "--label", "one"])?;
    say!("{}", made.replace('\n', "\n     "));
    put_some(cluster, ledger, "second", 20).await?;
    let again = tool(cluster, &["backup", "create", "--wait", "--json"])?;
    assert_eq!(again.matches(r#""state":"done""#).count(), 3, "{again}");
    assert!(!again.contains(r#""bytes_shared":0"#), "{again}");
    let verified = tool(cluster, &["backup", "verify"])?;
    assert_eq!(verified.matches("done").count(), 3, "{verified}");
    let listed = tool(cluster, &["backup", "list", "--node", "n1"])?;
    assert!(listed.contains("one") && !listed.contains("n2"), "{listed}");

    // Back to the first of them, over all that came since.
    change_some(cluster, ledger, "first", 60).await?;
    change_some(cluster, ledger, "second", 20).await?;
    put_some(cluster, ledger, "third", 30).await?;
    let (done, said) = restore(cluster, 0, &["--backup", "1", "--force"])?;
    assert!(
        !done && said.contains("in use by another process"),
        "{said}"
    );
    cluster.kill(0).await?;
    fs::remove_dir_all(cluster.data_dir(0))?;
    put_some(cluster, ledger, "while it was away", 10).await?;
    let from = node_dir(cluster, 0).join("backups");
    let from = from.to_string_lossy().into_owned();
    let (done, said) = restore(cluster, 0, &["--from", &from, "--backup", "1"])?;
    assert!(done, "{said}");
    say!("{}", said.trim());
    cluster.restart(0).await?;
    put_some(cluster, ledger, "as it comes back", 10).await?;
    tool(cluster, &["converged", "--wait", "--timeout", "90s"])?;
    // Its votes of before do not count; the others name the storage that it has now.
    let named = "node n1 votes with another storage";
    until("n1's storage is named", NAMING, async || {
        let history = quorate(cluster, &["cluster", "history"]).out;
        let found = history.contains(named);
        Ok(if found { Ok(()) } else { Err(history) })
    })
    .await?;
    let log = cluster.node(0).log_of_this_life();
    assert!(log.contains("was restored from backup 1 (one)"), "{log}");
    let (done, said) = restore(cluster, 1, &["--from", &from, "--force"])?;
    assert!(!done && said.contains("no backups of node"), "{said}");

    let pruned = tool(cluster, &["backup", "prune", "--keep", "1"])?;
    assert_eq!(pruned.matches("done   1").count(), 3, "{pruned}");
    finish(cluster, ledger).await
}

async fn a_whole_cluster_is_restored_from_different_moments(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    put_some(cluster, ledger, "before", 60).await?;
    change_some(cluster, ledger, "before", 40).await?;
    let mut between = Ledger::default();
    put_some(cluster, &mut between, "between", 60).await?;
    for (round, name) in ["n2", "n1", "n3"].into_iter().enumerate() {
        cluster.settled().await?;
        tool(cluster, &["backup", "create", "--wait", "--node", name])?;
        let keys = [20, 40, 60][round];
        change_some(cluster, &mut between, "between", keys).await?;
        put_some(cluster, &mut between, &format!("new-{round}"), 10).await?;
    }
    cluster.settled().await?;
    let all: Vec<Index> = cluster.all().collect();
    for &node in &all {
        cluster.stop(node).await?;
    }
    for &node in &all {
        let (done, said) = restore(cluster, node, &["--whole-cluster"])?;
        assert!(!done && said.contains("--force"), "{said}");
        let (done, said) = restore(cluster, node, &["--whole-cluster", "--force"])?;
        assert!(done, "{said}");
    }
    for &node in &all {
        cluster.node(node).spawn()?;
    }
    for &node in &all {
        cluster.node(node).ready().await?;
    }
    tool(cluster, &["converged", "--wait", "--timeout", "90s"])?;
    // What came between the backups is there or not: one value at most, and the same everywhere.
    for number in 0..60 {
        let key = format!("between-{number}");
        let read = cluster.bucket().get(&key).r(3).explain().send().await?;
        assert!(read.siblings.len() <= 1, "{key}: {read:?}");
        let dots: Vec<_> = read.info.replicas.iter().map(|part| &part.dots).collect();
        assert!(
            dots.windows(2).all(|two| two[0] == two[1]),
            "{key}: {read:?}"
        );
    }
    put_some(cluster, ledger, "after", 20).await?;
    change_some(cluster, ledger, "before", 60).await?;
    // No storage is left that any version named: the cluster is founded a second time.
    let made = tool(cluster, &["bucket", "create", "after the restore"])?;
    assert!(made.contains("revision 1"), "{made}");
    let history = tool(cluster, &["cluster", "history"])?;
    let foundings = history.matches("every voter's storage is known").count();
    assert_eq!(foundings, 2, "{history}");
    finish(cluster, ledger).await
}
