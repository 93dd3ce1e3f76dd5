//! A majority of the members is gone for good.

use std::fs;
use std::sync::Arc;

use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Ledger, Settings, Tool};

use crate::growing::{at_the_door, refusal, says};
use crate::requests::values;
use crate::stage::{Outcome, Stage, finish, say};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    let settings = Settings {
        nodes: 5,
        partitions: 16,
        ..Settings::default()
    };
    trials.push(stage.own(
        "those_who_are_left_of_a_lost_majority_go_on_and_who_was_given_up_never_comes_back",
        settings,
        those_who_are_left_of_a_lost_majority_go_on_and_who_was_given_up_never_comes_back,
    ));
}

const KEYS: usize = 150;
/// Two of five are left.
const GONE: [usize; 3] = [2, 3, 4];
const NAMED: &str = "n3,n4,n5";

async fn those_who_are_left_of_a_lost_majority_go_on_and_who_was_given_up_never_comes_back(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    cluster.ring_settled().await?;
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for number in 0..KEYS {
        let key = format!("key-{number}");
        cluster
            .bucket()
            .put(&key, number.to_string())
            .w(3)
            .send()
            .await?;
        let holders = cluster.members_of(&key)?.primaries;
        if holders.iter().all(|node| GONE.contains(node)) {
            lost.push(key);
        } else {
            kept.push((key, number.to_string()));
        }
    }
    let early = Tool::new(cluster, &["cluster", "recover", "--gone", NAMED, "--yes"]).run()?;
    assert!(early.err.contains("answers"), "{early:?}");
    for node in GONE {
        cluster.kill_seen(node).await?;
    }
    // Of two of them even the disks are gone.
    for node in [2, 3] {
        fs::remove_dir_all(cluster.data_dir(node))?;
    }
    let pending = Tool::new(cluster, &["cluster", "recover", "--gone", "n3,n4"]).run()?;
    assert!(
        pending.code != Some(0) && pending.err.contains("n5"),
        "{pending:?}"
    );
    let outlook = cluster.tool(&["cluster", "recover", "--gone", NAMED])?;
    assert!(outlook.out.contains("IS LOST"), "{outlook:?}");
    assert!(outlook.err.contains("NOTHING WAS CHANGED"), "{outlook:?}");
    let done = cluster.tool(&["cluster", "recover", "--gone", NAMED, "--yes"])?;
    assert!(done.out.contains("1."), "{done:?}");
    let again = cluster.tool(&["cluster", "recover", "--gone", NAMED, "--yes"])?;
    assert!(again.out.contains("already"), "{again:?}");
    GONE.into_iter().for_each(|node| cluster.has_left(node));
    let took = cluster.ring_settled().await?;
    for (key, value) in &kept {
        let read = cluster.bucket().get(key).r(2).send().await?;
        assert!(values(&read).contains(value), "{key}: {read:?}");
    }
    for key in &lost {
        assert!(
            !cluster.bucket().get(key).r(2).send().await?.is_found(),
            "{key}"
        );
    }
    say!(
        "went on after {took:.1?}: {} keys kept, {} lost with all their copies",
        kept.len(),
        lost.len()
    );
    // One comes back with all that it had: it finds closed doors.
    cluster.restart(4).await?;
    says(cluster, 4, "It serves nobody and can never come back").await?;
    assert!(refusal(cluster, 4)?.contains("never come back"));
    at_the_door(cluster, &["join"]).await?;
    cluster.tool(&["cluster", "commit"])?;
    cluster.ring_settled().await?;
    let key = &kept[0].0;
    let read = cluster.bucket().get(key).send().await?;
    ledger
        .replace(&cluster.bucket(), key, "after", &read, |put| put.w(2))
        .await?;
    finish(cluster, ledger).await
}
