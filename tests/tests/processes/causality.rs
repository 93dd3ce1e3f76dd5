//! R14 to R19: what readers see of writers, siblings, deletes and retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use quorate_client::{BucketMode, BucketProps, QuorumDefaults};
use quorate_tests::process::{Cluster, Ledger};

use crate::requests::values;
use crate::stage::{Outcome, Stage, say, shared};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        r14_a_write_to_all_is_read_with_r1_through_every_node,
        r14_a_session_reads_its_own_writes_through_any_node_and_never_goes_back,
        r15_a_read_beside_a_write_gives_the_old_or_the_new_value,
        r16_two_blind_writes_are_siblings_and_a_context_resolves_them,
        r16_an_lww_bucket_shows_the_latest_only,
        r17_interleaved_writers_never_explode_siblings_or_context,
        r19_a_delete_is_not_undone_by_a_replica_that_was_away,
        r19_a_delete_is_not_undone_by_an_old_hint,
        r19_a_concurrent_write_survives_a_delete_and_a_key_can_be_made_again,
        r24_a_retry_through_another_coordinator_makes_no_second_version,
    );
}

async fn r14_a_write_to_all_is_read_with_r1_through_every_node(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    for round in 0..20 {
        let key = format!("r14-{round}");
        ledger
            .put(&cluster.bucket(), &key, "v", |put| put.w(3))
            .await?;
        for node in cluster.all() {
            let read = cluster.at(node)?.get(&key).r(1).send().await?;
            assert_eq!(values(&read), ["v"], "through n{}", node + 1);
        }
    }
    Ok(())
}

async fn r14_a_session_reads_its_own_writes_through_any_node_and_never_goes_back(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const KEY: &str = "r14 session";
    let members = cluster.members_of(KEY)?;
    // With one replica away, w=1 and r=1 easily meet different ones.
    cluster.kill_seen(members.primaries[2]).await?;
    let mut token = String::new();
    let mut read = cluster.bucket().get(KEY).send().await?;
    for round in 0..50 {
        let client = cluster
            .client()
            .through(cluster.id(members.primaries[round % 2])?);
        let session = client.session();
        if round > 0 {
            session.import(&token)?;
        }
        let bucket = session.bucket("default");
        let value = format!("{round}");
        ledger
            .replace(&bucket, KEY, value.clone(), &read, |put| put.w(1))
            .await?;
        let other = cluster
            .client()
            .through(cluster.id(members.primaries[(round + 1) % 2])?);
        let elsewhere = other.session();
        elsewhere.import(&session.export())?;
        read = elsewhere.bucket("default").get(KEY).r(1).send().await?;
        assert_eq!(values(&read), [value], "round {round}");
        token = elsewhere.export();
    }
    Ok(())
}

async fn r15_a_read_beside_a_write_gives_the_old_or_the_new_value(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r15")?;
    ledger
        .put(&cluster.bucket(), "r15", "0", |put| put.w(3))
        .await?;
    for round in 1..=100_usize {
        let (old, new) = (format!("{}", round - 1), format!("{round}"));
        let read = cluster.bucket().get("r15").r(3).send().await?;
        let (writer, reader) = (
            cluster.at(members.primaries[0])?,
            cluster.at(members.primaries[1 + round % 2])?,
        );
        let (written, seen) = tokio::join!(
            ledger.replace(&writer, "r15", new.clone(), &read, |put| put.w(1)),
            reader.get("r15").r(1).send()
        );
        written?;
        let seen = values(&seen?);
        assert!(
            seen == [old.clone()] || seen == [new.clone()],
            "{seen:?} beside {old} and {new}"
        );
    }
    Ok(())
}

async fn r16_two_blind_writes_are_siblings_and_a_context_resolves_them(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r16")?;
    for (node, value) in [
        (members.primaries[0], "one"),
        (members.primaries[1], "two"),
        (members.primaries[1], "three"),
    ] {
        ledger
            .put(&cluster.at(node)?, "r16", value, |put| put)
            .await?;
    }
    let read = cluster.at(members.primaries[2])?.get("r16").send().await?;
    assert_eq!(values(&read), ["one", "three", "two"]);
    ledger
        .put(&cluster.bucket(), "r16", "unseen", |put| put)
        .await?;
    ledger
        .replace(&cluster.bucket(), "r16", "all", &read, |put| put)
        .await?;
    let read = cluster.bucket().get("r16").r(3).send().await?;
    assert_eq!(
        values(&read),
        ["all", "unseen"],
        "a context replaces what was read and nothing else"
    );
    ledger
        .replace(&cluster.bucket(), "r16", "one left", &read, |put| put)
        .await?;
    assert_eq!(
        values(&cluster.bucket().get("r16").r(3).send().await?),
        ["one left"]
    );
    Ok(())
}

async fn r16_an_lww_bucket_shows_the_latest_only(cluster: &mut Cluster, _: &mut Ledger) -> Outcome {
    let props = BucketProps {
        n: 3,
        mode: BucketMode::Lww,
        defaults: QuorumDefaults::default(),
    };
    let (made, changed) = cluster
        .client()
        .create_bucket("latest", props.clone())
        .await?;
    assert!(changed && made.props == props);
    let (again, changed) = cluster
        .client()
        .create_bucket("latest", props.clone())
        .await?;
    assert!(
        !changed && again.id == made.id,
        "the same definition twice is fine"
    );
    let other = BucketProps {
        mode: BucketMode::Siblings,
        ..props
    };
    let refused = cluster
        .client()
        .create_bucket("latest", other)
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        quorate_client::ErrorCode::Conflict,
        "{refused}"
    );
    for (node, value) in [(0, "early"), (3, "late")] {
        let client = cluster.client().through(cluster.id(node)?);
        client.bucket("latest").put("k", value).send().await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let read = cluster
        .client()
        .bucket("latest")
        .get("k")
        .r(3)
        .send()
        .await?;
    assert_eq!(values(&read), ["late"]);
    Ok(())
}

async fn r17_interleaved_writers_never_explode_siblings_or_context(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const WRITERS: usize = 10;
    const ROUNDS: usize = 100;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let bucket = cluster.at(writer % 5)?;
        tasks.push(tokio::spawn(async move {
            let (mut done, mut siblings, mut token) = (Vec::new(), 0, 0);
            for round in 0..ROUNDS {
                let read = bucket.get("r17").send().await?;
                siblings = siblings.max(read.siblings.len());
                token = token.max(read.context.as_bytes().len());
                let value = Bytes::from(format!("{writer}:{round}"));
                let sent = bucket
                    .put("r17", value.clone())
                    .context(read.context.clone())
                    .send()
                    .await;
                done.push((value, read, sent));
            }
            Ok::<_, quorate_client::Error>((done, siblings, token))
        }));
    }
    let (mut siblings, mut token, mut writes) = (0, 0, Vec::new());
    for task in tasks {
        let (done, most, longest) = task.await??;
        siblings = siblings.max(most);
        token = token.max(longest);
        writes.extend(done);
    }
    say!(
        "{} rounds: at most {siblings} siblings, contexts of at most {token} bytes",
        writes.len()
    );
    assert!(
        siblings <= WRITERS,
        "{siblings} siblings of {WRITERS} writers"
    );
    assert!(token < 200, "a context of {token} bytes");
    // Entries first, then what replaced them: the order among tasks is not known.
    let mut replaced = Vec::new();
    for (value, read, sent) in writes {
        if ledger.note("r17", value, &[], sent).is_ok() {
            replaced.extend(read.siblings.iter().map(|sibling| sibling.dot));
        }
    }
    ledger.replaced("r17", &replaced);
    Ok(())
}

async fn r19_a_delete_is_not_undone_by_a_replica_that_was_away(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r19")?;
    let away = members.primaries[2];
    ledger
        .put(&cluster.bucket(), "r19", "old", |put| put.w(3))
        .await?;
    cluster.settled().await?;
    cluster.kill_seen(away).await?;
    let at = cluster.at(members.primaries[0])?;
    let read = at.get("r19").send().await?;
    ledger.delete(&at, "r19", &read, |delete| delete).await?;
    assert!(!at.get("r19").send().await?.is_found());
    cluster.restart(away).await?;
    for node in cluster.all() {
        for r in 1..=3 {
            let read = cluster.at(node)?.get("r19").r(r).send().await?;
            assert!(
                !read.is_found(),
                "{:?} through n{} at r={r}",
                values(&read),
                node + 1
            );
        }
    }
    cluster.settled().await?;
    let read = cluster.bucket().get("r19").r(3).explain().send().await?;
    assert!(
        read.info.replicas.iter().all(|part| part.dots.is_empty()),
        "{:?}",
        read.info.replicas
    );
    Ok(())
}

async fn r19_a_delete_is_not_undone_by_an_old_hint(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r19hint")?;
    let &[p1, p2, _] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    let f4 = members.fallbacks[0];
    cluster.kill_seen(p1).await?;
    ledger
        .put(&cluster.at(p2)?, "r19hint", "old", |put| put.w(3))
        .await?;
    assert_eq!(cluster.hints(f4, p1).await?, 1);
    // The fallback sleeps on its hint while the others go on without it.
    cluster.pause(f4)?;
    cluster.seen(f4, false).await?;
    let read = cluster.at(p2)?.get("r19hint").r(2).send().await?;
    ledger
        .delete(&cluster.at(p2)?, "r19hint", &read, |delete| delete.w(2))
        .await?;
    cluster.restart(p1).await?;
    cluster.resume(f4)?;
    cluster.settled().await?;
    for node in cluster.all() {
        let read = cluster.at(node)?.get("r19hint").r(3).send().await?;
        assert!(
            !read.is_found(),
            "{:?} through n{}",
            values(&read),
            node + 1
        );
    }
    Ok(())
}

async fn r19_a_concurrent_write_survives_a_delete_and_a_key_can_be_made_again(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r19again")?;
    let bucket = cluster.bucket();
    ledger.put(&bucket, "r19again", "old", |put| put).await?;
    let read = bucket.get("r19again").send().await?;
    ledger
        .put(
            &cluster.at(members.primaries[1])?,
            "r19again",
            "beside",
            |put| put,
        )
        .await?;
    ledger
        .delete(
            &cluster.at(members.primaries[0])?,
            "r19again",
            &read,
            |delete| delete,
        )
        .await?;
    let read = bucket.get("r19again").r(3).send().await?;
    assert_eq!(values(&read), ["beside"]);
    ledger
        .delete(&bucket, "r19again", &read, |delete| delete)
        .await?;
    cluster.settled().await?;
    ledger.put(&bucket, "r19again", "new", |put| put).await?;
    for node in cluster.all() {
        assert_eq!(
            values(&cluster.at(node)?.get("r19again").r(2).send().await?),
            ["new"]
        );
    }
    let nothing = bucket.delete("never there").send().await?;
    assert_eq!(
        nothing.dot, None,
        "a delete that finds nothing writes nothing"
    );
    Ok(())
}

async fn r24_a_retry_through_another_coordinator_makes_no_second_version(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let members = cluster.members_of("r24")?;
    let &[p1, p2, p3] = members.primaries.as_slice() else {
        panic!("three primaries")
    };
    let put = cluster.at(p1)?.put("r24", "v");
    let request = put.request_id();
    let first = ledger.note("r24", Bytes::from("v"), &[], put.send().await)?;
    for node in [p1, p2, p3] {
        let again = cluster
            .at(node)?
            .put("r24", "v")
            .retry_of(request)
            .send()
            .await?;
        assert_eq!(again.dot, first.dot, "through n{}", node + 1);
    }
    cluster.kill_seen(p1).await?;
    let again = cluster
        .at(p2)?
        .put("r24", "v")
        .retry_of(request)
        .send()
        .await?;
    assert_eq!(again.dot, first.dot, "after its coordinator died");
    assert_eq!(
        values(&cluster.at(p2)?.get("r24").r(2).send().await?),
        ["v"]
    );
    Ok(())
}
