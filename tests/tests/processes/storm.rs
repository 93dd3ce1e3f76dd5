//! Everything at once, for a short while; `quorate-storm` does it for as long as one likes.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Ledger, Namespaces, Programs, Settings, Trouble, until};
use quorate_tests::storm::Storm;

use crate::requests::values;
use crate::stage::{Outcome, Stage, alone, finish, say};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    alone!(
        stage,
        trials,
        a_storm_of_faults_under_load_breaks_no_promise,
        a_storm_in_network_namespaces_breaks_no_promise,
    );
    let shimmed = Settings {
        shims: true,
        ..Settings::default()
    };
    let name = "a_node_whose_clock_is_far_off_is_named_and_loses_nothing";
    trials.push(stage.own(
        name,
        shimmed,
        a_node_whose_clock_is_far_off_is_named_and_loses_nothing,
    ));
}

async fn a_storm_of_faults_under_load_breaks_no_promise(programs: &Programs) -> Outcome {
    weather(programs, &Storm::default()).await
}

async fn a_storm_in_network_namespaces_breaks_no_promise(programs: &Programs) -> Outcome {
    if !Namespaces::available() {
        say!("skipped: network namespaces need root, and a system that allows them");
        return Ok(());
    }
    let storm = Storm {
        namespaces: true,
        seed: 2,
        ..Storm::default()
    };
    weather(programs, &storm).await
}

async fn weather(programs: &Programs, storm: &Storm) -> Outcome {
    let report = storm.run(programs).await?;
    for line in report.to_string().lines() {
        say!("{line}");
    }
    assert!(report.is_clean(), "{:?}", report.verdict.violations);
    assert!(
        report.ok > report.failed + report.in_doubt,
        "hardly anything succeeded"
    );
    Ok(())
}

async fn a_node_whose_clock_is_far_off_is_named_and_loses_nothing(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const HOUR_MS: i64 = 3_600_000;
    if !cluster.has_shims() {
        say!("skipped: there is no C compiler to move a node's clock with");
        return Ok(());
    }
    let key = "clock";
    let hasty = cluster.members_of(key)?.primaries[0];
    ledger
        .put(&cluster.bucket(), key, "before", |put| put.w(3))
        .await?;
    cluster.stop(hasty).await?;
    cluster.order(hasty, |orders| orders.clock_ms = HOUR_MS)?;
    cluster.restart(hasty).await?;
    cluster.seen(hasty, true).await?;
    let other = (hasty + 1) % 5;
    let warning = clock_warning(cluster, other).await?;
    assert!(
        warning.contains(&cluster.id(hasty)?.to_string()),
        "{warning}"
    );
    let before = cluster.bucket().get(key).send().await?;
    let refused = cluster
        .at(hasty)?
        .put(key, "an hour ahead")
        .context(before.context.clone())
        .send()
        .await;
    let seen: Vec<_> = before.siblings.iter().map(|sibling| sibling.dot).collect();
    let refused = ledger.note(key, "an hour ahead".into(), &seen, refused);
    let refused = refused.expect_err("replicas took a stamp of tomorrow");
    say!("a write through the hasty node: {refused}");
    let read = cluster.at(hasty)?.get(key).send().await?;
    assert!(read.is_found(), "its reads go on");
    cluster.stop(hasty).await?;
    cluster.order(hasty, |orders| orders.clock_ms = 0)?;
    finish(cluster, ledger).await?;
    let read = cluster.bucket().get(key).r(3).send().await?;
    assert!(!values(&read).is_empty());
    Ok(())
}

/// What a node says of its peers' clocks.
async fn clock_warning(cluster: &Cluster, node: usize) -> Result<String, Trouble> {
    let what = "a node names the peer whose clock is off";
    let (warning, _) = until(what, Duration::from_secs(20), async || {
        let warnings = cluster.status(node).await?.warnings;
        let named = warnings.iter().find(|warning| warning.contains("clock of"));
        Ok(named.cloned().ok_or_else(|| format!("{warnings:?}")))
    })
    .await?;
    Ok(warning)
}
