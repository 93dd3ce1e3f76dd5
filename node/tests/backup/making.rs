//! Making, verifying and pruning.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quorate_core::store::Family;
use quorate_node::backup::{BackupSettings, Desk};
use quorate_node::identity::Identity;
use quorate_node::storage::Checkpoint;
use quorate_node::storage::rocks::Rocks;
use quorate_protocol::client::{BackupAction, JobState};
use quorate_protocol::{ClusterId, ErrorCode, StorageId};

use crate::stage::{
    NODE, Stage, assemble, commit, create, done, keys, parts, request, rocks_settings,
};

#[test]
fn a_second_backup_shares_what_did_not_change() {
    let stage = Stage::new();
    (0..400).for_each(|number| stage.put(number));
    let first = create(&stage.desk, 1);
    assert_eq!(
        (first.state, first.backup),
        (JobState::Done, Some(1)),
        "{}",
        first.error
    );
    assert!(
        first.bytes_new > 10_000 && first.files_shared == 0,
        "{first:?}"
    );

    (400..410).for_each(|number| stage.put(number));
    let second = create(&stage.desk, 2);
    assert_eq!(second.backup, Some(2), "{}", second.error);
    assert!(second.bytes_shared > 0, "the tables of the first");
    assert!(second.bytes_new < first.bytes_new, "{second:?}");

    let manifests = stage.manifests();
    for (manifest, expected) in manifests.iter().zip([400, 410]) {
        let to = stage.dir.path().join(format!("restored-{expected}"));
        assemble(&stage.shelf(), manifest, &to);
        let rocks = Rocks::open(&to.join("db"), StorageId::new(7), rocks_settings()).unwrap();
        assert_eq!(keys(&rocks, Family::Objects).len(), expected);
        let map = fs::read(to.join("map")).unwrap();
        assert_eq!(map, fs::read(stage.data.map_file()).unwrap());
    }
    let identity = Identity {
        cluster: ClusterId::new(1, 2),
        node: NODE,
        storage: StorageId::new(7),
    };
    assert!(
        manifests
            .iter()
            .all(|manifest| manifest.identity == identity)
    );
    assert!(!stage.data.path().join("backup.staging").exists());
}

/// Batches touch all families; in a backup, each family must hold the same ones, and no gap.
#[test]
fn a_backup_under_load_is_one_point_in_time_over_all_families() {
    let stage = Stage::new();
    let (stop, rocks) = (Arc::new(AtomicBool::new(false)), Arc::clone(&stage.rocks));
    let writer = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                commit(&rocks, &Family::ALL, number, Bytes::from(vec![9; 100]));
                number += 1;
                std::thread::sleep(Duration::from_micros(100));
            }
            number
        })
    };
    for number in 1..=4 {
        std::thread::sleep(Duration::from_millis(40));
        let job = create(&stage.desk, number);
        assert_eq!(job.state, JobState::Done, "{}", job.error);
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    let mut before = 0;
    for manifest in stage.manifests() {
        let to = stage.dir.path().join(format!("at-{}", manifest.backup));
        assemble(&stage.shelf(), &manifest, &to);
        let rocks = Rocks::open(&to.join("db"), StorageId::new(7), rocks_settings()).unwrap();
        let objects = keys(&rocks, Family::Objects);
        for family in Family::ALL {
            let found = keys(&rocks, family);
            assert!(found == objects, "{family:?} of backup {}", manifest.backup);
        }
        let numbers = (0..u32::try_from(objects.len()).unwrap()).map(|n| n.to_be_bytes().to_vec());
        assert!(
            numbers.eq(objects.iter().cloned()),
            "a gap in {}",
            manifest.backup
        );
        assert!(
            objects.len() >= before,
            "backup {} went back",
            manifest.backup
        );
        before = objects.len();
    }
    assert!(before > 0 && before <= usize::try_from(written).unwrap());
}

#[test]
fn damage_of_stored_files_is_found_by_name_and_the_next_backup_mends_it() {
    let stage = Stage::new();
    (0..50).for_each(|number| stage.put(number));
    assert_eq!(create(&stage.desk, 1).state, JobState::Done);
    let verified = done(&stage.desk, &request(BackupAction::Verify, 2));
    assert_eq!(verified.state, JobState::Done, "{}", verified.error);
    assert_eq!(verified.bytes_done, verified.bytes_total);

    let manifest = stage.manifests().remove(0);
    let table = manifest
        .files
        .iter()
        .find(|file| file.name.ends_with(".sst"));
    let table = table.unwrap();
    let path = stage.shelf().dir().join("pool").join(&table.checksum);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 4;
    fs::write(&path, bytes).unwrap();
    let verified = done(&stage.desk, &request(BackupAction::Verify, 3));
    assert_eq!(verified.state, JobState::Failed);
    let expected = format!("backup 1: {} is damaged", table.name);
    assert!(verified.error.contains(&expected), "{}", verified.error);

    let second = create(&stage.desk, 4);
    assert_eq!(second.state, JobState::Done, "{}", second.error);
    let verified = done(&stage.desk, &request(BackupAction::Verify, 5));
    assert_eq!(verified.state, JobState::Done, "{}", verified.error);
}

#[test]
fn pruning_leaves_the_latest_and_no_file_that_nobody_needs() {
    let stage = Stage::new();
    for number in 0..4_u32 {
        stage.put(number);
        create(&stage.desk, u64::from(number) + 1);
    }
    let mut prune = request(BackupAction::Prune, 9);
    prune.keep = 2;
    let job = done(&stage.desk, &prune);
    assert_eq!(
        (job.state, &job.removed[..]),
        (JobState::Done, &[1, 2][..]),
        "{}",
        job.error
    );
    let manifests = stage.manifests();
    let numbers: Vec<u64> = manifests.iter().map(|manifest| manifest.backup).collect();
    assert_eq!(numbers, [3, 4]);
    let mut needed: Vec<&str> = manifests
        .iter()
        .flat_map(|manifest| &manifest.files)
        .map(|file| file.checksum.as_str())
        .collect();
    needed.sort_unstable();
    needed.dedup();
    assert_eq!(stage.pool().len(), needed.len());
    assert_eq!(
        create(&stage.desk, 10).backup,
        Some(5),
        "numbers are not used again"
    );

    prune.keep = 0;
    let refused = stage.desk.answer(&prune).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
}

#[test]
fn one_job_runs_at_a_time_and_its_request_is_not_taken_twice() {
    let stage = Stage::with(1, 0);
    (0..1000).for_each(|number| {
        let value = Bytes::from(blake3_noise(number));
        commit(&stage.rocks, &[Family::Chunks], number, value);
    });
    let first = request(BackupAction::Create, 1);
    stage.desk.answer(&first).unwrap();
    let again = stage.desk.answer(&first).unwrap();
    assert_eq!(again.job.unwrap().request, 1);
    let second = stage
        .desk
        .answer(&request(BackupAction::Create, 2))
        .unwrap_err();
    assert_eq!(second.code, ErrorCode::Conflict);
    assert!(second.message.contains("create"), "{}", second.message);
    // The node stops: nothing of the unfinished backup looks whole, and the next one goes on.
    stage.desk.stop();
    assert!(stage.manifests().is_empty() && stage.pool().is_empty());
    assert!(!stage.data.path().join("backup.staging").exists());
}

/// 4 KiB that do not compress.
fn blake3_noise(number: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    blake3::Hasher::new()
        .update(&number.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

#[test]
fn what_is_wrong_is_refused_by_name_and_leaves_nothing() {
    let stage = Stage::with(64, u32::MAX);
    stage.put(1);
    let job = create(&stage.desk, 1);
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.contains("reserve"), "{}", job.error);
    assert!(stage.manifests().is_empty() && stage.pool().is_empty());

    let mut wrong = request(BackupAction::Create, 2);
    wrong.label = "../x".to_owned();
    let refused = stage.desk.answer(&wrong).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);

    // A link may lead where the configuration's check could not see.
    let link = stage.dir.path().join("link");
    std::os::unix::fs::symlink(stage.data.database(), &link).unwrap();
    let settings = BackupSettings {
        directory: link.join("inside"),
        rate_mb: 64,
    };
    let source: Arc<dyn Checkpoint> = Arc::clone(&stage.rocks) as _;
    let desk = Desk::new(parts(&settings, &stage.data, source, 0));
    let job = create(&desk, 3);
    assert!(job.error.contains("inside the database"), "{}", job.error);
}

#[test]
fn a_manifest_that_cannot_be_read_is_listed_and_stops_pruning() {
    let stage = Stage::new();
    stage.put(1);
    create(&stage.desk, 1);
    create(&stage.desk, 2);
    let path = stage.shelf().list().unwrap().remove(0).path;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("backup 1", "backup 7")).unwrap();
    let report = stage.desk.answer(&request(BackupAction::List, 0)).unwrap();
    assert!(report.backups[0].problem.contains("damaged"));
    assert!(report.backups[1].problem.is_empty());
    let job = done(&stage.desk, &request(BackupAction::Prune, 3));
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.contains("nothing is removed"), "{}", job.error);
    assert_eq!(stage.shelf().list().unwrap().len(), 2);
}
