//! Restoring: all of it or nothing, and to its owner only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use quorate_core::causality::Clock;
use quorate_core::record::{Restored, VnodeRecord, decode_vnode, encode_vnode, keys};
use quorate_core::store::{Batch, Family, Store, Write};
use quorate_node::backup::{RestoreError, Restoring, Which, restore};
use quorate_node::identity::{DataDir, DataDirError};
use quorate_node::storage::Storage;
use quorate_node::storage::rocks::Rocks;
use quorate_protocol::client::JobState;
use quorate_protocol::versioned::MapVersion;
use quorate_protocol::{ClusterId, StorageId, VnodeId};
use quorate_ring::{Class, NodeId, PartitionId, RingVersion};

use crate::stage::{NODE, Stage, create, keys as stored_keys, rocks_settings};

const NEW: StorageId = StorageId::new(99);
const CLASS: Class = Class {
    n: 3,
    partition: PartitionId::new(5),
};

fn vnode() -> VnodeRecord {
    VnodeRecord {
        vnode: VnodeId::new(1),
        storage: StorageId::new(11),
        ring: RingVersion::FIRST,
        epoch: MapVersion::FIRST,
        complete: None,
        clock: Clock::new(),
        settled: Clock::new(),
        actors: BTreeMap::new(),
        promised: Default::default(),
        folding: 0,
        voids: Clock::new(),
        damaged: false,
        rebuilding: None,
    }
}

/// A stage with some data, one backup of it, and some data that came later.
fn backed_up() -> Stage {
    let stage = Stage::new();
    let key = keys::vnode_key(CLASS);
    let value = encode_vnode(&key, &vnode());
    let family = Family::Vnodes;
    let writes = vec![Write::Put { family, key, value }];
    stage.rocks.commit(&Batch { writes }).unwrap();
    (0..20).for_each(|number| stage.put(number));
    assert_eq!(create(&stage.desk, 1).state, JobState::Done);
    (20..30).for_each(|number| stage.put(number));
    stage
}

fn request(stage: &Stage, data_dir: &Path) -> Restoring {
    Restoring {
        data_dir: data_dir.to_owned(),
        node: NODE,
        cluster: ClusterId::new(1, 2),
        from: stage.settings.directory.clone(),
        which: Which::Latest,
        restored: Restored::Node,
        force: false,
    }
}

/// Lets the node of a stage end.
fn stop(stage: Stage) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (data, from) = (
        stage.data.path().to_owned(),
        stage.settings.directory.clone(),
    );
    (stage.dir, data, from)
}

fn open(dir: &Path) -> (DataDir, Rocks) {
    let data = DataDir::open(dir, NODE, ClusterId::new(1, 2)).unwrap();
    let rocks = Rocks::open(&data.database(), data.identity().storage, rocks_settings()).unwrap();
    (data, rocks)
}

/// Every file below a directory, with its content; without the lock's.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("LOCK") {
                all.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn an_empty_directory_gets_what_the_backup_has_under_a_new_storage_id() {
    for (restored, marked) in [(Restored::Node, true), (Restored::Cluster, false)] {
        let stage = backed_up();
        let to = stage.dir.path().join("restored");
        let request = Restoring {
            restored,
            ..request(&stage, &to)
        };
        assert_eq!(restore(&request, NEW).unwrap().backup, 1);
        let (data, rocks) = open(&to);
        assert_eq!(data.identity().storage, NEW);
        assert_eq!(stored_keys(&rocks, Family::Objects).len(), 20);
        let (now, then) = (data.load_map().unwrap(), stage.data.load_map().unwrap());
        assert_eq!(now.newest().unwrap(), then.newest().unwrap());

        let mark = rocks.get(Family::Vnodes, &keys::lost_key(CLASS)).unwrap();
        assert_eq!(mark.is_some(), marked);
        let key = keys::vnode_key(CLASS);
        let record = rocks.get(Family::Vnodes, &key).unwrap().unwrap();
        let record = decode_vnode(&key, &record).unwrap();
        assert_ne!(record.storage, vnode().storage);
        let note = data.take_note().unwrap().unwrap();
        assert!(note.contains("backup 1"), "{note}");
        assert_eq!(data.take_note().unwrap(), None);
    }
}

#[test]
fn data_that_is_there_stays_or_is_set_aside() {
    let (_dir, data, from) = stop(backed_up());
    let before = content(&data);
    let mut request = Restoring {
        data_dir: data.clone(),
        node: NODE,
        cluster: ClusterId::new(1, 2),
        from,
        which: Which::Number(1),
        restored: Restored::Node,
        force: false,
    };
    let refused = restore(&request, NEW).unwrap_err();
    assert!(matches!(refused, RestoreError::Data(_)), "{refused}");
    assert_eq!(content(&data), before);

    request.force = true;
    restore(&request, NEW).unwrap();
    let (_, rocks) = open(&data);
    assert_eq!(stored_keys(&rocks, Family::Objects).len(), 20);
    drop(rocks);
    let aside = data.join("before-restore-1");
    for (path, bytes) in &before {
        let moved = aside.join(path.strip_prefix(&data).unwrap());
        assert!(fs::read(&moved).unwrap() == *bytes, "{}", moved.display());
    }
    restore(&request, NEW).unwrap();
    assert!(data.join("before-restore-2").exists() && aside.exists());
}

#[test]
fn a_node_that_runs_is_left_alone() {
    let stage = backed_up();
    let request = Restoring {
        force: true,
        ..request(&stage, stage.data.path())
    };
    let refused = restore(&request, NEW).unwrap_err();
    assert!(matches!(refused, RestoreError::Lock(_)), "{refused}");
}

#[test]
fn only_the_owner_s_own_backups_are_restored() {
    let stage = backed_up();
    let to = stage.dir.path().join("restored");
    let own = request(&stage, &to);
    let at_node = stage.settings.directory.join(NODE.to_string());
    let refused = |change: &dyn Fn(&mut Restoring)| {
        let mut request = own.clone();
        change(&mut request);
        let refused = restore(&request, NEW).unwrap_err();
        assert!(!to.join("identity").exists());
        refused.to_string()
    };
    let text = refused(&|request| request.node = NodeId::new(2));
    assert!(
        text.contains("no backups of node 0000000000000002"),
        "{text}"
    );
    assert!(text.contains("those of 0000000000000001"), "{text}");
    let text = refused(&|request| {
        request.node = NodeId::new(2);
        request.from.clone_from(&at_node);
    });
    assert!(text.contains("is of node 0000000000000001"), "{text}");
    let text = refused(&|request| request.cluster = ClusterId::new(1, 3));
    assert!(text.contains("is of cluster"), "{text}");
    let text = refused(&|request| request.which = Which::Number(4));
    assert!(text.contains("no backup 4: it holds 1"), "{text}");
    let text = refused(&|request| request.from = stage.dir.path().join("nowhere"));
    assert!(text.contains("holds no backups"), "{text}");

    let manifest = stage.shelf().list().unwrap().remove(0).path;
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("data-format 6", "data-format 9")).unwrap();
    let text = refused(&|_| ());
    assert!(text.contains("format 9"), "{text}");
}

#[test]
fn a_damaged_backup_changes_nothing() {
    let stage = backed_up();
    let manifest = stage.manifests().remove(0);
    for file in &manifest.files {
        let path = stage.shelf().dir().join("pool").join(&file.checksum);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        // Logs may be empty.
        if let Some(byte) = flipped.first_mut() {
            *byte ^= 1;
        }
        let longer = [&good[..], b"x"].concat();
        let to = stage.dir.path().join("restored");
        let changed = [flipped, longer].into_iter().filter(|bytes| *bytes != good);
        for broken in changed.map(Some).chain([None]) {
            match broken {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let refused = restore(&request(&stage, &to), NEW).unwrap_err().to_string();
            assert!(refused.contains(&file.name), "{refused}");
            assert_eq!(content(&to).len(), 0);
        }
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn an_interrupted_restore_leaves_what_was_there() {
    let (_dir, data, from) = stop(backed_up());
    let staged = data.join("restoring/db");
    fs::create_dir_all(&staged).unwrap();
    fs::write(staged.join("CURRENT"), "half").unwrap();
    let (opened, rocks) = open(&data);
    assert_eq!(stored_keys(&rocks, Family::Objects).len(), 30);
    drop((opened, rocks));
    let request = Restoring {
        data_dir: data.clone(),
        node: NODE,
        cluster: ClusterId::new(1, 2),
        from,
        which: Which::Latest,
        restored: Restored::Cluster,
        force: true,
    };
    restore(&request, NEW).unwrap();
    assert!(!data.join("restoring").exists());
    let other = DataDir::open(&data, NodeId::new(2), ClusterId::new(1, 2)).unwrap_err();
    assert!(matches!(other, DataDirError::OtherNode { .. }));
    assert_eq!(stored_keys(&open(&data).1, Family::Objects).len(), 20);
}
