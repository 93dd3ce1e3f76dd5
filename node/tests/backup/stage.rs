//! A data directory with an open database, and whom to ask for backups of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use quorate_core::store::{Batch, Family, Store, Write};
use quorate_node::backup::{BackupSettings, Desk, Listed, Manifest, Parts, Shelf};
use quorate_node::identity::DataDir;
use quorate_node::sources::Sources;
use quorate_node::storage::rocks::{Rocks, RocksSettings};
use quorate_node::storage::{Checkpoint, Storage};
use quorate_protocol::client::{Backup, BackupAction, BackupJob, JobState};
use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::versioned::VersionedMap;
use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring};
use tempfile::TempDir;

pub(crate) const NODE: NodeId = NodeId::new(1);

/// Three members, so that every class has peers.
pub(crate) fn map() -> VersionedMap {
    let member = |number: u64| Member {
        id: NodeId::new(number),
        name: format!("n{number}"),
        peer_addresses: vec!["127.0.0.1:1".to_owned()],
        client_addresses: vec!["127.0.0.1:2".to_owned()],
        zone: Default::default(),
        weight: Default::default(),
    };
    let placed = |number: u64| Placed {
        id: NodeId::new(number),
        zone: Default::default(),
        weight: Default::default(),
    };
    let map = ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: (1..=3).map(member).collect(),
        ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &[1, 2, 3].map(placed)).unwrap(),
        buckets: Vec::new(),
    };
    VersionedMap::created(map, 0)
}

/// A data directory with an open database, and whom to ask for backups of it.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) data: DataDir,
    pub(crate) rocks: Arc<Rocks>,
    pub(crate) desk: Desk,
    pub(crate) settings: BackupSettings,
}

pub(crate) fn rocks_settings() -> RocksSettings {
    RocksSettings {
        cache_bytes: 8 << 20,
        open_files_max: 64,
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(1 << 16, 0)
    }

    pub(crate) fn with(rate_mb: u32, reserve_mb: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data =
            DataDir::init(&dir.path().join("data"), &map(), NODE, StorageId::new(7)).unwrap();
        let rocks = Rocks::open(&data.database(), StorageId::new(7), rocks_settings()).unwrap();
        let rocks = Arc::new(rocks);
        let settings = BackupSettings {
            directory: dir.path().join("backups"),
            rate_mb,
        };
        let source: Arc<dyn Checkpoint> = Arc::clone(&rocks) as _;
        let parts = parts(&settings, &data, source, reserve_mb);
        Self {
            desk: Desk::new(parts),
            dir,
            data,
            rocks,
            settings,
        }
    }

    pub(crate) fn shelf(&self) -> Shelf {
        Shelf::of(&self.settings.directory, NODE)
    }

    pub(crate) fn manifests(&self) -> Vec<Manifest> {
        let all = self.shelf().list().unwrap();
        all.into_iter()
            .map(|listed: Listed| listed.manifest.unwrap())
            .collect()
    }

    pub(crate) fn pool(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.shelf().dir().join("pool")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn put(&self, number: u32) {
        commit(
            &self.rocks,
            &[Family::Objects],
            number,
            Bytes::from(vec![1; 5000]),
        );
    }
}

pub(crate) fn parts(
    settings: &BackupSettings,
    data: &DataDir,
    source: Arc<dyn Checkpoint>,
    reserve_mb: u32,
) -> Parts {
    Parts {
        settings: settings.clone(),
        data_dir: data.path().to_owned(),
        identity: data.identity(),
        source,
        reserve_mb,
        sources: Sources::system(),
        stop: AtomicBool::new(false),
    }
}

pub(crate) fn commit(rocks: &Rocks, families: &[Family], number: u32, value: Bytes) {
    let write = |&family| Write::Put {
        family,
        key: number.to_be_bytes().to_vec(),
        value: value.clone(),
    };
    let writes = families.iter().map(write).collect();
    rocks.commit(&Batch { writes }).unwrap();
}

pub(crate) fn request(action: BackupAction, number: u64) -> Backup {
    Backup {
        action,
        request: number,
        label: String::new(),
        backup: None,
        keep: 1,
    }
}

/// Has a job done and waits for its end.
pub(crate) fn done(desk: &Desk, request: &Backup) -> BackupJob {
    let number = request.request;
    let mut report = desk.answer(request).unwrap();
    loop {
        let job = report.job.unwrap();
        assert_eq!(job.request, number);
        if job.state != JobState::Running {
            return job;
        }
        std::thread::sleep(Duration::from_millis(2));
        report = desk.answer(&self::request(BackupAction::State, 0)).unwrap();
    }
}

pub(crate) fn create(desk: &Desk, number: u64) -> BackupJob {
    done(desk, &request(BackupAction::Create, number))
}

/// Puts the database of a backup together, as whoever has only the files could.
pub(crate) fn assemble(shelf: &Shelf, manifest: &Manifest, to: &Path) {
    fs::create_dir_all(to.join("db")).unwrap();
    for file in &manifest.files {
        let from = shelf.dir().join("pool").join(&file.checksum);
        fs::copy(from, to.join(&file.name)).unwrap();
    }
}

pub(crate) fn keys(rocks: &Rocks, family: Family) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    rocks
        .scan(family, &[], &[0xff; 9], &mut |key, _| {
            found.push(key.to_vec());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    found
}
