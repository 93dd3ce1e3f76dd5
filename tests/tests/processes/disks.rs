//! Disks that are full or damaged under a running cluster.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libtest_mimic::Trial;
use quorate_tests::process::{
    Cluster, Index, Ledger, Settings, Trouble, damage_tables, remove_table,
};

use crate::commands::quorate;
use crate::requests::values;
use crate::stage::{Outcome, Stage, finish, say, shared};
use crate::starting::{Mount, mounts};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        a_node_below_its_reserve_steps_aside_and_clients_see_no_error,
        a_node_without_room_to_catch_up_is_not_counted_by_reads_that_need_it,
    );
    let few = Settings {
        nodes: 3,
        partitions: 8,
        ..Settings::default()
    };
    let name = "damaged_data_is_never_passed_off_as_absence";
    trials.push(stage.own(name, few, damaged_data_is_never_passed_off_as_absence));
    let once = Settings {
        nodes: 3,
        partitions: 8,
        ..Settings::default()
    };
    let name = "a_range_is_read_and_compared_without_client_reads";
    trials.push(stage.own(
        name,
        once,
        a_range_is_read_and_compared_without_client_reads,
    ));
    let often = Settings {
        nodes: 3,
        partitions: 8,
        lines: "scrub = { every_minutes = 1 }".to_owned(),
        ..Settings::default()
    };
    let name = "r25_damage_under_nodes_that_serve_is_healed_without_client_reads";
    let healed = r25_damage_under_nodes_that_serve_is_healed_without_client_reads;
    trials.push(stage.own(name, often, healed));
    let no_reserve = Settings {
        lines: "disk_reserve_mb = 0".to_owned(),
        ..Settings::default()
    };
    let name = "a_full_disk_steps_aside_and_comes_back";
    let full = stage.own(name, no_reserve, a_full_disk_steps_aside_and_comes_back);
    trials.push(full.with_ignored_flag(!mounts()));
}

/// Restarts a node with this line in its configuration instead of that.
async fn configure(
    cluster: &mut Cluster,
    node: Index,
    from: &str,
    to: &str,
) -> Result<(), Trouble> {
    edit(cluster, node, from, to)?;
    cluster.stop(node).await?;
    cluster.restart(node).await
}

/// Replaces a line in a node's configuration.
fn edit(cluster: &mut Cluster, node: Index, from: &str, to: &str) -> Result<(), Trouble> {
    let config = cluster.node(node).config().to_owned();
    let text = fs::read_to_string(&config).map_err(Trouble::io("the configuration"))?;
    fs::write(&config, text.replacen(from, to, 1)).map_err(Trouble::io("the configuration"))
}

const PLENTY: &str = "cache_mb = 32\n";
/// More than any disk has free.
const SCARCE: &str = "cache_mb = 32\ndisk_reserve_mb = 4000000000\n";

async fn a_node_below_its_reserve_steps_aside_and_clients_see_no_error(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let full = 4;
    ledger
        .put(&cluster.bucket(), "reserve", "before", |put| put.w(3))
        .await?;
    configure(cluster, full, PLENTY, SCARCE).await?;
    let status = cluster.status(full).await?;
    let refused = |warning: &String| warning.contains("writes are refused");
    assert!(status.warnings.iter().any(refused), "{:?}", status.warnings);
    // What it misses from now on it cannot fetch: a read that needs all three works while it
    // misses nothing.
    cluster.settled().await?;
    let read = cluster.at(full)?.get("reserve").r(3).send().await?;
    assert_eq!(values(&read), ["before"], "a node without room still reads");
    for number in 0..100 {
        let key = format!("reserve-{number}");
        ledger
            .put(&cluster.bucket(), &key, "v", |put| put.w(2))
            .await?;
        ledger
            .put(&cluster.at(full)?, &key, "w", |put| put.w(2))
            .await?;
        let read = cluster.at(full)?.get(&key).send().await?;
        assert_eq!(values(&read), ["v", "w"], "{key}");
    }
    configure(cluster, full, SCARCE, PLENTY).await?;
    Ok(())
}

async fn a_node_without_room_to_catch_up_is_not_counted_by_reads_that_need_it(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let key = "no room to catch up";
    let bucket = cluster.bucket();
    let full = cluster.members_of(key)?.primaries[0];
    ledger.put(&bucket, key, "before", |put| put.w(3)).await?;
    let before = bucket.get(key).send().await?;
    cluster.kill_seen(full).await?;
    ledger
        .replace(&bucket, key, "latest", &before, |put| put)
        .await?;
    edit(cluster, full, PLENTY, SCARCE)?;
    cluster.restart(full).await?;
    cluster.seen(full, true).await?;
    let at = cluster.at(full)?;
    let read = at.get(key).send().await?;
    assert_eq!(values(&read), ["latest"], "others answer the usual read");
    let short = Duration::from_secs(1);
    let needs_all = at.get(key).r(3).deadline(short).send().await;
    let refused = needs_all.expect_err("a replica that lacks a write was counted");
    assert_eq!(refused.kind(), quorate_client::Kind::Retry, "{refused}");
    assert!(refused.to_string().contains("catching up"), "{refused}");
    let read = at
        .get(key)
        .r(3)
        .deadline(short)
        .stale_ok(true)
        .send()
        .await?;
    assert_eq!(values(&read), ["latest"]);
    configure(cluster, full, SCARCE, PLENTY).await?;
    let read = cluster.at(full)?.get(key).r(3).send().await?;
    assert_eq!(values(&read), ["latest"]);
    Ok(())
}

async fn a_full_disk_steps_aside_and_comes_back(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    let data = cluster.data_dir(4);
    cluster.stop(4).await?;
    let away = data.with_file_name("away");
    fs::rename(&data, &away)?;
    fs::create_dir(&data)?;
    let mount = Mount::new(&data, "48m")?;
    copy(&away, &data)?;
    cluster.restart(4).await?;
    cluster.settled().await?;
    for number in 0..60_u8 {
        let value = Bytes::from(vec![number; 2 << 20]);
        ledger
            .put(&cluster.bucket(), &format!("full-{number}"), value, |put| {
                put
            })
            .await?;
    }
    for number in 0..60_u8 {
        let read = cluster
            .bucket()
            .get(format!("full-{number}"))
            .send()
            .await?;
        assert_eq!(
            read.siblings[0].data[..],
            vec![number; 2 << 20],
            "full-{number}"
        );
    }
    say!(
        "the full node {}",
        if cluster.node(4).is_started() {
            "still runs"
        } else {
            "has ended"
        }
    );
    mount.resize("1g")?;
    // The mount goes before the cluster: its directory could not be deleted otherwise.
    finish(cluster, ledger).await
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?, to.to_owned());
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Bytes that do not compress (SplitMix64, Steele et al. 2014).
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// How many keys the scenario of damage puts.
const DAMAGED_KEYS: usize = 500;

/// Every node has these keys durably in the end.
async fn put_what_will_be_damaged(cluster: &mut Cluster) -> Outcome {
    let bucket = cluster.bucket();
    for number in 0..DAMAGED_KEYS {
        let value = noise(number, 1_000);
        bucket
            .put(format!("damaged-{number}"), value)
            .w(3)
            .send()
            .await?;
    }
    cluster.settled().await?;
    Ok(())
}

async fn damaged_data_is_never_passed_off_as_absence(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let bucket = cluster.bucket();
    put_what_will_be_damaged(cluster).await?;
    // The second opening has read the log into tables.
    for _ in 0..2 {
        cluster.stop(0).await?;
        cluster.restart(0).await?;
        cluster.settled().await?;
    }
    cluster.stop(0).await?;
    let flipped = damage_tables(&cluster.data_dir(0))?;
    assert!(flipped > 0, "nothing was damaged");
    cluster.restart(0).await?;
    let (values, errors) = read_alone(cluster).await?;
    for number in 0..DAMAGED_KEYS {
        let read = bucket.get(format!("damaged-{number}")).r(2).send().await?;
        assert!(read.is_found(), "damaged-{number} at r=2");
    }
    let took = cluster.settled().await?;
    let log = cluster.node(0).log_of_this_life();
    assert!(log.contains("damaged data was left out"), "{log}");
    // Of some keys the node itself has the only copy within reach now.
    cluster.stop(1).await?;
    cluster.stop(2).await?;
    let alone = read_alone(cluster).await?;
    assert_eq!(alone, (DAMAGED_KEYS, 0));
    say!(
        "{flipped} bytes flipped; r=1 there: {values} values, {errors} errors, 0 absent; whole again within {took:.1?}"
    );
    cluster.restart(1).await?;
    cluster.restart(2).await?;
    Ok(())
}

/// How long healing may take: a minute until everything is read through again, and the rest.
const HEALED_WITHIN: Duration = Duration::from_secs(180);

async fn r25_damage_under_nodes_that_serve_is_healed_without_client_reads(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    put_what_will_be_damaged(cluster).await?;
    for node in [0, 1, 0, 1] {
        cluster.stop(node).await?;
        cluster.restart(node).await?;
        cluster.settled().await?;
    }
    // What is read through in the first minute is whole.
    let whole = quorate(cluster, &["repair", "--all"]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let flipped = damage_tables(&cluster.data_dir(0))?;
    assert!(flipped > 0, "nothing was damaged");
    let began = Instant::now();
    healed(cluster, 0, "damaged data was left out").await?;
    say!(
        "{flipped} bytes flipped under n1: healed after {:.1?}",
        began.elapsed()
    );
    let began = Instant::now();
    remove_table(&cluster.data_dir(1))?;
    healed(cluster, 1, "the database goes on without it").await?;
    say!(
        "a table deleted under n2: healed after {:.1?}",
        began.elapsed()
    );
    let whole = quorate(cluster, &["repair", "--all", "--watch"]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    for other in [1, 2] {
        cluster.stop(other).await?;
    }
    assert_eq!(read_alone(cluster).await?, (DAMAGED_KEYS, 0));
    for other in [1, 2] {
        cluster.restart(other).await?;
    }
    Ok(())
}

async fn a_range_is_read_and_compared_without_client_reads(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    put_what_will_be_damaged(cluster).await?;
    cluster.bucket().put("other", "x").w(3).send().await?;
    cluster.settled().await?;
    let whole = quorate(cluster, &["repair", "--bucket", "default"]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let copies = 3 * (DAMAGED_KEYS + 1);
    let all = format!("{copies} keys read, {} compared", 2 * copies);
    assert!(whole.out.contains(&all), "{whole:?}");
    let few = ["repair", "--bucket", "default", "--prefix", "damaged-4"];
    let few = quorate(cluster, &[&few[..], &["--node", "n2", "--json"]].concat());
    let some = (0..DAMAGED_KEYS).filter(|number| number.to_string().starts_with('4'));
    let keys = format!(r#""keys":{},"#, some.count());
    assert!(few.code == Some(0) && few.out.contains(&keys), "{few:?}");
    Ok(())
}

/// Waits until a node has said these words, and everything is whole again.
async fn healed(cluster: &mut Cluster, node: Index, words: &str) -> Result<(), Trouble> {
    let end = Instant::now() + HEALED_WITHIN;
    while !cluster.node(node).log_of_this_life().contains(words) {
        assert!(
            Instant::now() < end,
            "not noticed: {}",
            cluster.node(node).log_end()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    cluster.settled().await?;
    Ok(())
}

/// Reads every key from the damaged node alone: values and errors, and nothing absent.
async fn read_alone(cluster: &Cluster) -> Result<(usize, usize), Trouble> {
    let (mut values, mut errors) = (0, 0);
    for number in 0..DAMAGED_KEYS {
        let read = cluster
            .at(0)?
            .get(format!("damaged-{number}"))
            .r(1)
            .deadline(Duration::from_secs(2))
            .send()
            .await;
        match read {
            Ok(read) => {
                assert!(
                    read.is_found(),
                    "damaged-{number} is called absent: {:?}",
                    read.info
                );
                values += 1;
            }
            Err(_) => errors += 1,
        }
    }
    Ok((values, errors))
}
