//! Disks that are full or damaged under a running cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Index, Ledger, Settings, Trouble, until};

use crate::requests::values;
use crate::stage::{Outcome, Stage, finish, say, shared};
use crate::starting::{Mount, mounts};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        a_node_below_its_reserve_steps_aside_and_clients_see_no_error
    );
    let few = Settings {
        nodes: 3,
        partitions: 8,
        ..Settings::default()
    };
    let name = "damaged_data_is_never_passed_off_as_absence";
    trials.push(stage.own(name, few, damaged_data_is_never_passed_off_as_absence));
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
    let config = cluster.node(node).config().to_owned();
    let text = fs::read_to_string(&config).map_err(Trouble::io("the configuration"))?;
    fs::write(&config, text.replacen(from, to, 1)).map_err(Trouble::io("the configuration"))?;
    cluster.stop(node).await?;
    cluster.restart(node).await
}

async fn a_node_below_its_reserve_steps_aside_and_clients_see_no_error(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    const PLENTY: &str = "cache_mb = 32\n";
    // More than any disk has free.
    const SCARCE: &str = "cache_mb = 32\ndisk_reserve_mb = 4000000000\n";
    let full = 4;
    ledger
        .put(&cluster.bucket(), "reserve", "before", |put| put.w(3))
        .await?;
    configure(cluster, full, PLENTY, SCARCE).await?;
    let status = cluster.status(full).await?;
    assert!(
        status
            .warnings
            .iter()
            .any(|warning| warning.contains("writes are refused")),
        "{:?}",
        status.warnings
    );
    for number in 0..100 {
        let key = format!("reserve-{number}");
        ledger
            .put(&cluster.bucket(), &key, "v", |put| put.w(2))
            .await?;
        ledger
            .put(&cluster.at(full)?, &key, "w", |put| put.w(2))
            .await?;
    }
    let read = cluster.at(full)?.get("reserve").r(3).send().await?;
    assert_eq!(values(&read), ["before"], "a node without room still reads");
    configure(cluster, full, SCARCE, PLENTY).await?;
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

/// The table files of a database.
fn tables(data: &Path) -> std::io::Result<Vec<PathBuf>> {
    let files = fs::read_dir(data.join("db"))?
        .flatten()
        .map(|entry| entry.path());
    Ok(files
        .filter(|path| path.extension().is_some_and(|ending| ending == "sst"))
        .collect())
}

async fn damaged_data_is_never_passed_off_as_absence(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    const KEYS: usize = 500;
    let bucket = cluster.bucket();
    for number in 0..KEYS {
        let value = noise(number, 1_000);
        bucket
            .put(format!("damaged-{number}"), value)
            .w(3)
            .send()
            .await?;
    }
    cluster.settled().await?;
    // The second opening has read the log into tables.
    for _ in 0..2 {
        cluster.stop(0).await?;
        cluster.restart(0).await?;
        cluster.settled().await?;
    }
    cluster.stop(0).await?;
    let mut flipped = 0;
    for table in tables(&cluster.data_dir(0))? {
        let mut bytes = fs::read(&table)?;
        // Data comes first in a table, its index and properties last.
        for at in (0..bytes.len().saturating_sub(8 << 10)).step_by(4 << 10) {
            bytes[at] ^= 0x55;
            flipped += 1;
        }
        fs::write(&table, bytes)?;
    }
    assert!(flipped > 0, "nothing was damaged");
    cluster.restart(0).await?;
    let (mut values, mut errors) = (0, 0);
    for number in 0..KEYS {
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
    let (named, _) = until(
        "the node says that it is damaged",
        Duration::from_secs(20),
        async || {
            let status = cluster.status(0).await?;
            let damaged = status.vnodes.iter().filter(|vnode| vnode.damaged).count();
            Ok(if damaged > 0 {
                Ok(damaged)
            } else {
                Err(format!("{:?}", status.warnings))
            })
        },
    )
    .await?;
    for number in 0..KEYS {
        let read = bucket.get(format!("damaged-{number}")).r(2).send().await?;
        assert!(read.is_found(), "damaged-{number} at r=2");
    }
    say!(
        "{flipped} bytes flipped: {named} vnodes damaged; r=1 there: {values} values, {errors} errors, 0 absent"
    );
    Ok(())
}
