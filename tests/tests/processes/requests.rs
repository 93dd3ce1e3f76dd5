//! R01 to R08: who is asked, who answers, and what the reply says.

use std::sync::Arc;

use libtest_mimic::Trial;
use quorate_client::{ErrorCode, NodeId, Read, Role};
use quorate_tests::process::{Cluster, Index, Ledger, Settings, Trouble, until};

use crate::stage::{Outcome, Stage, shared};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        r01_exactly_n_copies_on_n_distinct_nodes,
        r02_explain_names_every_replica_with_its_answer,
        r03_a_fallback_takes_the_place_of_a_dead_primary_and_the_reply_says_so,
        r04_r05_a_read_with_a_primary_down_succeeds_and_fills_the_fallback,
        r06_two_primaries_down_and_two_fallbacks_filled_from_the_one_left,
        r07_without_any_primary_only_what_a_fallback_holds_is_an_answer,
        r08_pw_counts_primaries_only,
    );
    for nodes in [1, 2] {
        let name = format!("a_cluster_of_{nodes}_works_and_says_that_it_is_under_replicated");
        let few = Settings {
            nodes,
            ..Settings::default()
        };
        trials.push(stage.own(&name, few, a_small_cluster_works_and_says_so));
    }
}

async fn a_small_cluster_works_and_says_so(cluster: &mut Cluster, ledger: &mut Ledger) -> Outcome {
    let count = u8::try_from(cluster.all().count())?;
    let written = ledger
        .put(&cluster.bucket(), "small", "v", |put| put.w(count))
        .await?;
    let warned = |warnings: &[String]| {
        warnings
            .iter()
            .any(|warning| warning.contains("under-replicated"))
    };
    assert!(
        warned(&written.info.warnings),
        "{:?}",
        written.info.warnings
    );
    for node in cluster.all() {
        assert_eq!(
            values(&cluster.at(node)?.get("small").r(1).send().await?),
            ["v"]
        );
        assert_eq!(cluster.status(node).await?.under_replicated, 64);
    }
    let refused = cluster
        .bucket()
        .put("small", "v")
        .w(3)
        .send()
        .await
        .unwrap_err();
    assert_ne!(refused.kind(), quorate_client::Kind::Fix, "{refused}");
    Ok(())
}

/// The values of a read as text, in order.
pub(crate) fn values(read: &Read) -> Vec<String> {
    let mut values: Vec<String> = read
        .siblings
        .iter()
        .map(|value| String::from_utf8_lossy(&value.data).into_owned())
        .collect();
    values.sort();
    values
}

fn ids(cluster: &Cluster, nodes: &[Index]) -> Result<Vec<NodeId>, Trouble> {
    nodes.iter().map(|&node| cluster.id(node)).collect()
}

async fn r01_exactly_n_copies_on_n_distinct_nodes(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r01")?;
    ledger
        .put(&cluster.bucket(), "r01", "v", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    let read = cluster.bucket().get("r01").r(3).explain().send().await?;
    let (primaries, fallbacks) = (
        ids(cluster, &members.primaries)?,
        ids(cluster, &members.fallbacks)?,
    );
    assert_eq!(read.info.preference[..3], primaries);
    assert_eq!(read.info.preference[3..], fallbacks);
    let mut holders: Vec<NodeId> = read.info.replicas.iter().map(|part| part.node).collect();
    holders.sort();
    holders.dedup();
    assert_eq!(holders.len(), 3, "{:?}", read.info.replicas);
    assert!(holders.iter().all(|holder| primaries.contains(holder)));
    // With the three of them gone nobody else has a copy.
    for &primary in &members.primaries {
        cluster.kill(primary).await?;
    }
    let asked = cluster
        .at(members.fallbacks[0])?
        .get("r01")
        .r(1)
        .send()
        .await;
    assert_eq!(
        asked.map(|read| values(&read)).unwrap_err().code(),
        ErrorCode::Unavailable
    );
    Ok(())
}

async fn r02_explain_names_every_replica_with_its_answer(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let primaries = ids(cluster, &cluster.members_of("r02")?.primaries)?;
    let written = ledger
        .put(&cluster.bucket(), "r02", "v", |put| put.w(3).explain())
        .await?;
    assert_eq!(
        (
            written.info.answered,
            written.info.primaries,
            written.info.fallbacks
        ),
        (3, 3, 0)
    );
    assert_eq!(written.info.replicas.len(), 3);
    let read = cluster.bucket().get("r02").r(3).explain().send().await?;
    assert!(read.info.preference.starts_with(&primaries));
    assert_eq!(read.info.replicas.len(), 3);
    assert!(!read.info.reason.is_empty());
    for part in &read.info.replicas {
        assert_eq!(
            (part.answer.as_str(), part.role, part.counted),
            ("value", Role::Primary, true),
            "{part:?}"
        );
        assert_eq!(part.dots, [written.dot.unwrap()]);
        assert!(part.latency_us.is_some());
    }
    // r answers end it: the third replica need not have been waited for.
    let read = cluster.bucket().get("r02").r(2).send().await?;
    assert!(read.info.answered >= 2, "{:?}", read.info);
    Ok(())
}

async fn r03_a_fallback_takes_the_place_of_a_dead_primary_and_the_reply_says_so(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r03")?;
    let (p3, f4) = (members.primaries[2], members.fallbacks[0]);
    cluster.kill_seen(p3).await?;
    let at = cluster.at(members.primaries[0])?;
    let written = ledger.put(&at, "r03", "v", |put| put.w(2)).await?;
    assert!(written.info.answered >= 2, "{:?}", written.info);
    let written = ledger.put(&at, "r03", "w", |put| put.w(3)).await?;
    assert_eq!(
        (written.info.primaries, written.info.fallbacks),
        (2, 1),
        "{:?}",
        written.info
    );
    assert_eq!(
        cluster.hints(f4, p3).await?,
        1,
        "both writes are in one object"
    );
    Ok(())
}

async fn r04_r05_a_read_with_a_primary_down_succeeds_and_fills_the_fallback(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r04")?;
    let (p3, f4) = (members.primaries[2], members.fallbacks[0]);
    ledger
        .put(&cluster.bucket(), "r04", "v", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    cluster.kill_seen(p3).await?;
    let at = cluster.at(members.primaries[0])?;
    let refused = at
        .get("r04")
        .r(3)
        .notfound_ok(false)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.needed(), refused.got()),
        (ErrorCode::QuorumNotMet, Some(3), Some(2))
    );
    let read = at.get("r04").r(3).send().await?;
    assert_eq!(values(&read), ["v"]);
    filled(cluster, f4, p3, 1).await?;
    for r in 1..=3 {
        let read = at.get("r04").r(r).notfound_ok(false).send().await?;
        assert_eq!(values(&read), ["v"], "r={r}");
    }
    let read = at.get("r04").r(3).notfound_ok(false).send().await?;
    assert_eq!((read.info.primaries, read.info.fallbacks), (2, 1));
    Ok(())
}

/// Waits until repair has put `count` objects for `target` on a fallback.
async fn filled(
    cluster: &Cluster,
    fallback: Index,
    target: Index,
    count: u64,
) -> Result<(), Trouble> {
    let patience = std::time::Duration::from_secs(20);
    until("read repair fills the fallback", patience, async || {
        let hints = cluster.hints(fallback, target).await?;
        Ok(if hints == count {
            Ok(())
        } else {
            Err(format!("{hints} hints"))
        })
    })
    .await?;
    Ok(())
}

async fn r06_two_primaries_down_and_two_fallbacks_filled_from_the_one_left(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r06")?;
    let &[p1, p2, p3] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    ledger
        .put(&cluster.bucket(), "r06", "v", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    cluster.kill_seen(p1).await?;
    cluster.kill_seen(p2).await?;
    let at = cluster.at(p3)?;
    assert_eq!(values(&at.get("r06").r(3).send().await?), ["v"]);
    let patience = std::time::Duration::from_secs(20);
    until("both fallbacks are filled", patience, async || {
        let mut held = 0;
        for &fallback in &members.fallbacks {
            held += cluster.hints(fallback, p1).await? + cluster.hints(fallback, p2).await?;
        }
        Ok(if held == 2 {
            Ok(())
        } else {
            Err(format!("{held} hints"))
        })
    })
    .await?;
    for r in 1..=3 {
        assert_eq!(
            values(&at.get("r06").r(r).notfound_ok(false).send().await?),
            ["v"],
            "r={r}"
        );
    }
    Ok(())
}

async fn r07_without_any_primary_only_what_a_fallback_holds_is_an_answer(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r07")?;
    for &primary in &members.primaries {
        cluster.kill(primary).await?;
    }
    for &primary in &members.primaries {
        cluster.seen(primary, false).await?;
    }
    let at = cluster.at(members.fallbacks[1])?;
    for r in 1..=3 {
        let refused = at
            .get("r07")
            .r(r)
            .deadline(std::time::Duration::from_secs(2))
            .send()
            .await;
        let refused = refused.map(|read| values(&read)).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Unavailable, "r={r}: {refused}");
    }
    for &fallback in &members.fallbacks {
        for &primary in &members.primaries {
            assert_eq!(
                cluster.hints(fallback, primary).await?,
                0,
                "an empty value was written by repair"
            );
        }
    }
    let written = ledger.put(&at, "r07", "v", |put| put.w(2)).await?;
    assert_eq!((written.info.primaries, written.info.fallbacks), (0, 2));
    for r in 1..=2 {
        let read = at.get("r07").r(r).send().await?;
        assert!(read.fallbacks_only);
        assert_eq!(values(&read), ["v"]);
    }
    Ok(())
}

async fn r08_pw_counts_primaries_only(cluster: &mut Cluster, ledger: &mut Ledger) -> Outcome {
    let members = cluster.members_of("r08")?;
    cluster.kill_seen(members.primaries[0]).await?;
    let at = cluster.at(members.primaries[1])?;
    ledger.put(&at, "r08", "v", |put| put.w(3)).await?;
    assert_eq!(values(&at.get("r08").r(3).send().await?), ["v"]);
    let refused = ledger
        .put(&at, "r08", "w", |put| put.pw(3))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.needed(), refused.got()),
        (ErrorCode::QuorumNotMet, Some(3), Some(2))
    );
    Ok(())
}
