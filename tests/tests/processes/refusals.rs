//! Requests and connections that are refused, and what the refusal says.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use quorate_client::provision::{Issued, Validity};
use quorate_client::{
    BucketMode, BucketProps, Client, Count, Error, ErrorCode, Kind, QuorumDefaults,
};
use quorate_tests::process::{Cluster, Ledger, Trouble, write_pem};

use crate::requests::values;
use crate::stage::{Outcome, Stage, shared};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        counts_of_zero_or_above_n_are_refused_by_name,
        empty_keys_absurd_deadlines_and_too_large_parts_are_refused,
        bucket_names_and_properties_that_cannot_be_are_refused,
        a_context_of_another_key_or_a_forged_one_is_refused,
        a_bucket_is_made_beside_a_dead_node_and_not_without_a_majority,
        a_dead_seed_beside_live_ones_costs_nothing,
        clients_of_another_authority_are_refused,
        expired_and_early_client_certificates_are_refused,
    );
}

fn invalid(error: &Error, word: &str) {
    assert_eq!(
        (error.kind(), error.code()),
        (Kind::Fix, ErrorCode::Invalid),
        "{error}"
    );
    assert!(
        error.to_string().contains(word),
        "'{word}' is not in: {error}"
    );
}

async fn counts_of_zero_or_above_n_are_refused_by_name(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let bucket = cluster.bucket();
    for count in [0, 4, 255] {
        invalid(
            &bucket.get("counts").r(count).send().await.unwrap_err(),
            &format!("r={count}"),
        );
        invalid(
            &bucket.get("counts").pr(count).send().await.unwrap_err(),
            &format!("pr={count}"),
        );
        for (error, option) in [
            (
                ledger
                    .put(&bucket, "counts", "v", |put| put.w(count))
                    .await
                    .unwrap_err(),
                "w",
            ),
            (
                ledger
                    .put(&bucket, "counts", "v", |put| put.pw(count))
                    .await
                    .unwrap_err(),
                "pw",
            ),
            (
                ledger
                    .put(&bucket, "counts", "v", |put| put.dw(count))
                    .await
                    .unwrap_err(),
                "dw",
            ),
        ] {
            invalid(&error, &format!("{option}={count}"));
        }
        invalid(
            &bucket.delete("counts").w(count).send().await.unwrap_err(),
            &format!("w={count}"),
        );
    }
    invalid(
        &ledger
            .put(&bucket, "counts", "v", |put| put.w(1).dw(2))
            .await
            .unwrap_err(),
        "dw=2",
    );
    ledger
        .put(&bucket, "counts", "v", |put| {
            put.w(Count::All).pw(2).dw(Count::All)
        })
        .await?;
    let read = bucket.get("counts").r(Count::All).pr(3).send().await?;
    assert_eq!(values(&read), ["v"], "nothing that was refused was written");
    Ok(())
}

async fn empty_keys_absurd_deadlines_and_too_large_parts_are_refused(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let bucket = cluster.bucket();
    invalid(&bucket.get("").send().await.unwrap_err(), "key");
    invalid(&bucket.put("", "v").send().await.unwrap_err(), "key");
    for absurd in [Duration::ZERO, Duration::from_secs(3600), Duration::MAX] {
        invalid(
            &bucket.get("k").deadline(absurd).send().await.unwrap_err(),
            "deadline",
        );
    }
    let long = "k".repeat(4097);
    let too_large = |error: Error| {
        assert_eq!(
            (error.kind(), error.code()),
            (Kind::Fix, ErrorCode::TooLarge),
            "{error}"
        )
    };
    too_large(bucket.get(&long).send().await.unwrap_err());
    too_large(
        bucket
            .put("k", vec![0; (16 << 20) + 1])
            .send()
            .await
            .unwrap_err(),
    );
    too_large(
        bucket
            .put("k", "v")
            .meta("m", vec![0; 4096])
            .send()
            .await
            .unwrap_err(),
    );
    ledger
        .put(&bucket, &long[1..], "v", |put| {
            put.meta("m", vec![0; 4095]).content_type("text/plain")
        })
        .await?;
    let read = bucket.get(&long[1..]).send().await?;
    assert_eq!(
        (
            read.siblings[0].content_type.as_str(),
            read.siblings[0].meta[0].1.len()
        ),
        ("text/plain", 4095)
    );
    Ok(())
}

async fn bucket_names_and_properties_that_cannot_be_are_refused(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let client = cluster.client();
    let fine = BucketProps {
        n: 3,
        mode: BucketMode::Siblings,
        defaults: QuorumDefaults::default(),
    };
    for name in ["", "a\nb", "nul\0", &"b".repeat(256)] {
        invalid(
            &client.create_bucket(name, fine.clone()).await.unwrap_err(),
            "bucket name",
        );
    }
    let with = |n, r| BucketProps {
        n,
        defaults: QuorumDefaults {
            r: Count::Exactly(r),
            ..fine.defaults
        },
        ..fine.clone()
    };
    for (props, word) in [
        (with(0, 1), "n=0"),
        (with(4, 2), "n=4"),
        (with(2, 3), "r=3"),
    ] {
        invalid(
            &client.create_bucket("wrong", props).await.unwrap_err(),
            word,
        );
    }
    let missing = client.bucket("wrong").get("k").send().await.unwrap_err();
    assert_eq!(
        (missing.kind(), missing.code()),
        (Kind::Fix, ErrorCode::NoSuchBucket),
        "{missing}"
    );
    Ok(())
}

async fn a_context_of_another_key_or_a_forged_one_is_refused(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let bucket = cluster.bucket();
    ledger.put(&bucket, "context", "v", |put| put).await?;
    ledger.put(&bucket, "context other", "v", |put| put).await?;
    let read = bucket.get("context").send().await?;
    let other = bucket.get("context other").send().await?;
    let mut forged = read.context.as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = quorate_client::Context::from_bytes(forged)?;
    for context in [other.context, forged] {
        let refused = bucket
            .put("context", "w")
            .context(context.clone())
            .send()
            .await
            .unwrap_err();
        assert_eq!(
            (refused.kind(), refused.code()),
            (Kind::Fix, ErrorCode::BadContext),
            "{refused}"
        );
        let refused = bucket
            .delete("context")
            .context(context)
            .send()
            .await
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::BadContext, "{refused}");
    }
    assert_eq!(values(&bucket.get("context").r(3).send().await?), ["v"]);
    Ok(())
}

async fn a_bucket_is_made_beside_a_dead_node_and_not_without_a_majority(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let props = BucketProps {
        n: 2,
        mode: BucketMode::Siblings,
        defaults: QuorumDefaults::default(),
    };
    cluster.kill_seen(3).await?;
    let client = cluster.client();
    client.create_bucket("beside", props.clone()).await?;
    for node in [2, 4] {
        cluster.kill_seen(node).await?;
    }
    let refused = cluster
        .client()
        .create_bucket("alone", props.clone())
        .await
        .unwrap_err();
    assert_ne!(refused.kind(), Kind::Fix, "{refused}");
    for dead in [2, 3, 4] {
        let dead = cluster.id(dead)?;
        let named = refused.nodes();
        assert!(named.contains(&dead), "{refused}: {named:?}");
    }
    for node in [2, 3, 4] {
        cluster.restart(node).await?;
        cluster.seen(node, true).await?;
    }
    let client = cluster.client();
    let (made, _) = client.create_bucket("alone", props.clone()).await?;
    assert_eq!(made.props, props);
    let bucket = client.bucket("beside");
    bucket.put("k", "v").w(2).send().await?;
    assert_eq!(values(&bucket.get("k").r(2).send().await?), ["v"]);
    Ok(())
}

async fn a_dead_seed_beside_live_ones_costs_nothing(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let dead = quorate_tests::process::free_ports(1)?[0];
    let seeds = [
        format!("127.0.0.1:{}", dead.client),
        "no.such.host.invalid:1".to_owned(),
        cluster.files().seeds().remove(2),
    ];
    let begin = std::time::Instant::now();
    let client = Client::builder()
        .seeds(seeds)
        .tls(cluster.files().tls("admin"))
        .connect()
        .await?;
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    ledger
        .put(&client.bucket("default"), "dead seed", "v", |put| put)
        .await?;
    client.close().await;
    let nobody = Client::builder()
        .seeds([format!("127.0.0.1:{}", dead.client)])
        .tls(cluster.files().tls("admin"))
        .deadline(Duration::from_secs(1))
        .connect()
        .await;
    assert_eq!(nobody.map(|_| ()).unwrap_err().kind(), Kind::Retry);
    Ok(())
}

/// Connects with `NAME.pem` and `NAME.key` of the cluster's directory, and asks something.
async fn ask_as(cluster: &Cluster, name: &str) -> Result<(), Error> {
    let builder = Client::builder()
        .seeds(cluster.files().seeds())
        .tls(cluster.files().tls(name));
    let client = builder.deadline(Duration::from_secs(5)).connect().await?;
    client.bucket("default").get("k").send().await.map(drop)
}

fn issue(cluster: &Cluster, from: SystemTime, until: SystemTime) -> Result<Issued, Trouble> {
    let issued = cluster
        .files()
        .made
        .authority
        .client("tester", Validity { from, until });
    issued.map_err(|error| Trouble::Made(error.to_string()))
}

async fn clients_of_another_authority_are_refused(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let id = cluster.client().map().cluster;
    let stranger =
        quorate_client::provision::Authority::create(id, "other", Validity::authority())?;
    let dir = cluster.dir().to_owned();
    write_pem(
        &dir.join("stranger"),
        &stranger.client("admin", Validity::leaf())?,
    )?;
    let refused = ask_as(cluster, "stranger").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Fix, "{refused}");
    // The other way round: the client trusts another authority than the nodes'.
    let mut tls = cluster.files().tls("admin");
    write_pem(&dir.join("other-ca"), &stranger.issued())?;
    tls.ca = dir.join("other-ca.pem");
    let refused = Client::builder()
        .seeds(cluster.files().seeds())
        .tls(tls)
        .connect()
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::Fix, "{refused}");
    Ok(())
}

async fn expired_and_early_client_certificates_are_refused(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let (dir, now) = (cluster.dir().to_owned(), SystemTime::now());
    for (from, until) in [(now - 2 * DAY, now - DAY), (now + DAY, now + 2 * DAY)] {
        write_pem(&dir.join("timely"), &issue(cluster, from, until)?)?;
        let refused = ask_as(cluster, "timely").await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Fix, "{refused}");
    }
    write_pem(&dir.join("timely"), &issue(cluster, now - DAY, now + DAY)?)?;
    ask_as(cluster, "timely").await?;
    // A node's certificate is no client's.
    std::fs::copy(dir.join("n1/node.pem"), dir.join("node.pem"))?;
    std::fs::copy(dir.join("n1/node.key"), dir.join("node.key"))?;
    let refused = ask_as(cluster, "node").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Fix, "{refused}");
    Ok(())
}
