//! What a data directory refuses, each by name and before anything in it changes.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quorate_node::daemon;
use quorate_node::identity::{DataDir, DataDirError, Identity, LockError, MapState};
use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::versioned::VersionedMap;
use quorate_protocol::{ClusterId, StorageId, map_file};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight, Zone};
use tempfile::TempDir;

const ME: NodeId = NodeId::new(7);
const OTHER: NodeId = NodeId::new(8);
const CLUSTER: ClusterId = ClusterId::new(1, 2);
const STORAGE: StorageId = StorageId::new(3);

fn map() -> VersionedMap {
    let member = |id: NodeId| Member {
        id,
        name: format!("n{}", id.get()),
        peer_addresses: vec!["127.0.0.1:1".to_owned()],
        client_addresses: vec!["127.0.0.1:2".to_owned()],
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let members = vec![member(ME), member(OTHER)];
    let placed: Vec<Placed> = members
        .iter()
        .map(|member| Placed {
            id: member.id,
            zone: Zone::default(),
            weight: member.weight,
        })
        .collect();
    let map = ClusterMap {
        cluster: CLUSTER,
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members,
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &placed).unwrap(),
        buckets: Vec::new(),
    };
    VersionedMap::created(map, 0)
}

struct Made {
    _root: TempDir,
    path: PathBuf,
}

fn made() -> Made {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("data");
    DataDir::init(&path, &map(), ME, STORAGE).unwrap();
    Made { _root: root, path }
}

/// Every file with its bytes, so that "nothing was changed" can be said.
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.is_file() && !file.ends_with("LOCK"))
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect();
    all.sort();
    all
}

fn refused(path: &Path, node: NodeId, cluster: ClusterId) -> DataDirError {
    let before = files(path);
    let error = DataDir::open(path, node, cluster)
        .and_then(|dir| dir.load_map())
        .unwrap_err();
    assert_eq!(files(path), before, "nothing was changed");
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    error
}

#[test]
fn a_made_directory_opens_for_its_owner_and_knows_its_map() {
    let made = made();
    let dir = DataDir::open(&made.path, ME, CLUSTER).unwrap();
    assert_eq!(
        dir.identity(),
        Identity {
            cluster: CLUSTER,
            node: ME,
            storage: STORAGE
        }
    );
    assert_eq!(dir.load_map().unwrap(), MapState::new(map()));
    let mode = fs::metadata(&made.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else may read it");
}

#[test]
fn a_second_user_is_refused_by_name_until_the_first_has_let_go() {
    let made = made();
    let first = DataDir::open(&made.path, ME, CLUSTER).unwrap();
    let error = refused(&made.path, ME, CLUSTER);
    assert!(
        matches!(error, DataDirError::Lock(LockError::Held { .. })),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("pid {}", std::process::id())),
        "{error}"
    );
    drop(first);
    DataDir::open(&made.path, ME, CLUSTER).unwrap();
}

#[test]
fn another_nodes_and_another_clusters_directory_are_refused_by_name() {
    let made = made();
    let error = refused(&made.path, OTHER, CLUSTER);
    assert!(
        matches!(
            error,
            DataDirError::OtherNode {
                found: ME,
                expected: OTHER,
                ..
            }
        ),
        "{error}"
    );
    let other = ClusterId::new(9, 9);
    let error = refused(&made.path, ME, other);
    assert!(
        matches!(error, DataDirError::OtherCluster { found: CLUSTER, .. }),
        "{error}"
    );
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let made = made();
    let file = made.path.join("identity");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("format 6", "format 7");
    fs::write(&file, text).unwrap();
    let error = refused(&made.path, ME, CLUSTER);
    assert!(error.to_string().contains("format 7"), "{error}");
}

#[test]
fn damaged_and_missing_files_are_refused_by_name() {
    for name in ["identity", "map"] {
        let made = made();
        let file = made.path.join(name);
        let whole = fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x20;
            fs::write(&file, flipped).unwrap();
            let error = refused(&made.path, ME, CLUSTER);
            assert!(error.to_string().contains(name), "{error}");
            fs::write(&file, &whole[..at]).unwrap();
            refused(&made.path, ME, CLUSTER);
        }
        fs::remove_file(&file).unwrap();
        refused(&made.path, ME, CLUSTER);
    }
}

#[test]
fn a_map_of_another_cluster_in_the_directory_is_refused() {
    let made = made();
    let mut foreign = map();
    foreign.map.cluster = ClusterId::new(9, 9);
    MapState::new(foreign)
        .store(&made.path.join("map"))
        .unwrap();
    let error = refused(&made.path, ME, CLUSTER);
    assert!(
        matches!(error, DataDirError::OtherCluster { .. }),
        "{error}"
    );
}

#[test]
fn the_stored_map_is_replaced_whole() {
    let made = made();
    let dir = DataDir::open(&made.path, ME, CLUSTER).unwrap();
    let mut state = MapState::new(map());
    state.given.change.what = "another one".to_owned();
    state.store(&dir.map_file()).unwrap();
    assert_eq!(dir.load_map().unwrap(), state);
    assert!(!made.path.join("map.new").exists());
}

#[test]
fn init_changes_no_directory_that_is_in_use_or_holds_anything_else() {
    let made = made();
    let before = files(&made.path);
    let error = DataDir::init(&made.path, &map(), OTHER, STORAGE).unwrap_err();
    assert!(matches!(error, DataDirError::Exists(_, ME)), "{error}");
    assert_eq!(files(&made.path), before);

    let full = tempfile::tempdir().unwrap();
    fs::write(full.path().join("letter"), "dear").unwrap();
    let error = DataDir::init(full.path(), &map(), ME, STORAGE).unwrap_err();
    assert!(matches!(error, DataDirError::NotEmpty(_)), "{error}");
}

#[test]
fn an_interrupted_init_can_be_repeated() {
    let made = made();
    fs::remove_file(made.path.join("identity")).unwrap();
    let error = DataDir::open(&made.path, ME, CLUSTER).unwrap_err();
    assert!(matches!(error, DataDirError::Missing(_)), "{error}");
    DataDir::init(&made.path, &map(), ME, STORAGE).unwrap();
    DataDir::open(&made.path, ME, CLUSTER).unwrap();
}

#[test]
fn init_takes_members_only_and_names_them() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("cluster.map");
    fs::write(&file, map_file::encode(&map())).unwrap();
    let dir = root.path().join("data");
    let error = daemon::init(&dir, &file, NodeId::new(99))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("0000000000000063") && error.contains("0000000000000007 (n7)"),
        "{error}"
    );
    assert!(!dir.exists());
    daemon::init(&dir, &file, OTHER).unwrap();
    DataDir::open(&dir, OTHER, CLUSTER).unwrap();

    fs::write(&file, b"QMAP but cut").unwrap();
    let error = daemon::init(&root.path().join("other"), &file, ME)
        .unwrap_err()
        .to_string();
    assert!(error.contains("cluster.map"), "{error}");
}
