//! R09 and its kin: what happens when a node comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Index, Ledger, Trouble, until};

use crate::requests::values;
use crate::stage::{Outcome, Stage, say, shared};

/// Ten times the 10 s that an idle cluster may take.
const DELIVERY_WAIT: Duration = Duration::from_secs(100);

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        r09_hints_reach_the_returned_primary_and_then_it_serves_alone,
        r10_a_node_that_catches_up_answers_neither_not_found_nor_stale,
        r11_each_primary_that_returns_makes_default_reads_right_at_once,
        r12_a_returned_minority_never_passes_off_an_older_value_as_current,
        r12b_a_primary_that_died_before_is_not_waited_for,
        r13_hints_survive_the_restart_of_the_fallback_that_keeps_them,
        r13_hints_arrive_although_the_primary_flaps,
        a_killed_cluster_started_in_another_order_keeps_everything,
    );
}

/// Waits until a node keeps no hint for another any more. Returns how long that took.
async fn delivered(cluster: &Cluster, from: Index, to: Index) -> Result<Duration, Trouble> {
    let (_, took) = until("all hints are delivered", DELIVERY_WAIT, async || {
        let hints = cluster.hints(from, to).await?;
        Ok(if hints == 0 {
            Ok(())
        } else {
            Err(format!("{hints} hints"))
        })
    })
    .await?;
    Ok(took)
}

async fn r09_hints_reach_the_returned_primary_and_then_it_serves_alone(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r09")?;
    let &[p1, p2, p3] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    let f4 = members.fallbacks[0];
    cluster.kill_seen(p1).await?;
    ledger
        .put(&cluster.at(p2)?, "r09", "v", |put| put.w(3))
        .await?;
    assert_eq!(cluster.hints(f4, p1).await?, 1);
    cluster.restart(p1).await?;
    let took = delivered(cluster, f4, p1).await?;
    say!("the hint was delivered within {took:.2?} of the node's readiness");
    // Everybody else who has it is gone: the primary must have it, and durably.
    for node in [p2, p3, f4] {
        cluster.kill(node).await?;
    }
    cluster.kill(p1).await?;
    cluster.restart(p1).await?;
    let read = cluster
        .at(p1)?
        .get("r09")
        .r(1)
        .stale_ok(true)
        .send()
        .await?;
    assert_eq!(values(&read), ["v"]);
    Ok(())
}

async fn r11_each_primary_that_returns_makes_default_reads_right_at_once(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r11")?;
    let &[p1, p2, p3] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    ledger
        .put(&cluster.bucket(), "r11", "old", |put| put.w(3))
        .await?;
    cluster.kill_seen(p1).await?;
    cluster.kill_seen(p2).await?;
    let read = cluster.at(p3)?.get("r11").send().await?;
    ledger
        .replace(&cluster.at(p3)?, "r11", "new", &read, |put| put.w(3))
        .await?;
    for returned in [p1, p2] {
        cluster.restart(returned).await?;
        for through in [returned, p3] {
            let read = cluster.at(through)?.get("r11").send().await?;
            assert_eq!(
                values(&read),
                ["new"],
                "through n{} after n{} returned",
                through + 1,
                returned + 1
            );
        }
    }
    Ok(())
}

async fn r12_a_returned_minority_never_passes_off_an_older_value_as_current(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r12")?;
    let &[p1, p2, p3] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    let f4 = members.fallbacks[0];
    ledger
        .put(&cluster.bucket(), "r12", "old", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    cluster.kill_seen(p1).await?;
    cluster.kill_seen(p2).await?;
    let read = cluster.at(p3)?.get("r12").send().await?;
    ledger
        .replace(&cluster.at(p3)?, "r12", "new", &read, |put| put.w(2))
        .await?;
    cluster.kill(p3).await?;
    cluster.kill(f4).await?;
    cluster.restart(p1).await?;
    cluster.restart(p2).await?;
    for through in [p1, p2, members.fallbacks[1]] {
        let read = cluster
            .at(through)?
            .get("r12")
            .r(2)
            .deadline(Duration::from_secs(3))
            .send()
            .await;
        match read {
            Ok(read) => assert_eq!(values(&read), ["new"], "through n{}", through + 1),
            Err(error) => assert_eq!(error.kind(), quorate_client::Kind::Retry, "{error}"),
        }
    }
    cluster.restart(p3).await?;
    let read = cluster.at(p1)?.get("r12").r(2).send().await?;
    assert_eq!(values(&read), ["new"]);
    Ok(())
}

/// Reads that need both primaries left are answered within ten times the second that they may take.
async fn r12b_a_primary_that_died_before_is_not_waited_for(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const PATIENCE: Duration = Duration::from_secs(10);
    let members = cluster.members_of("r12b")?;
    let &[p1, p2, p3] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    ledger
        .put(&cluster.bucket(), "r12b", "v", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    cluster.kill_seen(p3).await?;
    // All have told each other how far they have seen their peers come and go.
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.kill(p1).await?;
    cluster.restart(p1).await?;
    let begin = Instant::now();
    for through in [p1, p2] {
        let at = cluster.at(through)?;
        let get = at.get("r12b").r(2).pr(2).deadline(PATIENCE);
        assert_eq!(values(&get.send().await?), ["v"]);
    }
    let took = begin.elapsed();
    say!("both primaries counted within {took:.2?} of the node's readiness");
    assert!(took < PATIENCE, "{took:.2?}");
    Ok(())
}

async fn r13_hints_survive_the_restart_of_the_fallback_that_keeps_them(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r13")?;
    let (p1, f4) = (members.primaries[0], members.fallbacks[0]);
    cluster.kill_seen(p1).await?;
    ledger
        .put(&cluster.at(members.primaries[1])?, "r13", "v", |put| {
            put.w(3)
        })
        .await?;
    assert_eq!(cluster.hints(f4, p1).await?, 1);
    cluster.kill(f4).await?;
    cluster.restart(f4).await?;
    assert_eq!(
        cluster.hints(f4, p1).await?,
        1,
        "a hint was lost by kill -9"
    );
    // It is away again while the primary returns, and delivers when it is back.
    cluster.stop(f4).await?;
    cluster.restart(p1).await?;
    cluster.restart(f4).await?;
    let took = delivered(cluster, f4, p1).await?;
    say!("the hint was delivered within {took:.2?} of the fallback's readiness");
    Ok(())
}

async fn r13_hints_arrive_although_the_primary_flaps(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r13flap")?;
    let (p1, f4) = (members.primaries[0], members.fallbacks[0]);
    cluster.kill_seen(p1).await?;
    let keys: Vec<String> = (0..200).map(|number| format!("r13flap-{number}")).collect();
    for key in keys.iter().map(String::as_str).chain(["r13flap"]) {
        ledger
            .put(&cluster.bucket(), key, "v", |put| put.w(3))
            .await?;
    }
    cluster.restart(p1).await?;
    for round in 0..20 {
        if round % 4 == 0 {
            cluster.kill(p1).await?;
            cluster.restart(p1).await?;
        } else {
            cluster.pause(p1)?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            cluster.resume(p1)?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    delivered(cluster, f4, p1).await?;
    Ok(())
}

async fn a_killed_cluster_started_in_another_order_keeps_everything(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    for number in 0..100 {
        ledger
            .put(
                &cluster.bucket(),
                &format!("all-{number}"),
                format!("{number}"),
                |put| put,
            )
            .await?;
    }
    for node in cluster.all() {
        cluster.kill(node).await?;
    }
    let mut order: Vec<_> = cluster.all().collect();
    order.reverse();
    for node in order {
        cluster.restart(node).await?;
    }
    // By the client whose every connection died.
    let bucket = cluster.bucket();
    for number in 0..100 {
        let read = bucket.get(format!("all-{number}")).send().await?;
        assert_eq!(values(&read), [format!("{number}")]);
    }
    Ok(())
}

async fn r10_a_node_that_catches_up_answers_neither_not_found_nor_stale(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const KEYS: usize = 1_000;
    let members = cluster.members_of("r10-0")?;
    let p1 = members.primaries[0];
    let client = cluster.bucket();
    for number in 0..KEYS / 2 {
        ledger
            .put(&client, &format!("r10-{number}"), "old", |put| put)
            .await?;
    }
    cluster.kill_seen(p1).await?;
    for number in 0..KEYS {
        let key = format!("r10-{number}");
        let read = client.get(&key).send().await?;
        ledger
            .replace(&client, &key, "new", &read, |put| put)
            .await?;
    }
    cluster.restart(p1).await?;
    let (at, mut waited) = (cluster.at(p1)?, 0);
    for number in 0..KEYS {
        let r = u8::try_from(number % 3 + 1)?;
        let read = at.get(format!("r10-{number}")).r(r).send().await?;
        assert_eq!(
            values(&read),
            ["new"],
            "r10-{number} at r={r}: {:?}",
            read.info
        );
        waited += usize::from(read.info.catching_up > 0);
    }
    say!("{KEYS} keys read while catching up; {waited} answers met a replica that was");
    Ok(())
}
