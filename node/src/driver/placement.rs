//! The cluster map that is in force, for everybody who routes.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use quorate_protocol::client::ClientRequest;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::{PartitionId, RingVersion};
use tokio::sync::Notify;

use super::context::Map;

/// Holds the map; readers never wait.
#[derive(Debug)]
pub(super) struct Placement {
    map: ArcSwap<quorate_protocol::versioned::VersionedMap>,
    /// Told at every new map.
    changed: Notify,
    /// Why this node serves nobody, if so.
    closed: ArcSwapOption<String>,
}

/// Who handles a client's request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handler {
    /// The shard that owns this partition.
    Partition(PartitionId),
    /// The node as a whole.
    Node,
}

impl Placement {
    pub(super) fn new(map: Map) -> Self {
        Self {
            map: ArcSwap::new(map),
            changed: Notify::new(),
            closed: ArcSwapOption::empty(),
        }
    }

    pub(super) fn map(&self) -> Map {
        self.map.load_full()
    }

    pub(super) fn set(&self, map: Map) {
        self.map.store(map);
        self.changed.notify_one();
    }

    /// Waits for a map that was not there at the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says why this node serves nobody, or that it does.
    pub(super) fn close(&self, why: Option<String>) {
        self.closed.store(why.map(Arc::new));
    }

    /// Why this node serves nobody, if so.
    pub(super) fn closed(&self) -> Option<Arc<String>> {
        self.closed.load_full()
    }

    pub(super) fn ring_version(&self) -> RingVersion {
        self.map.load().map.ring.version()
    }

    /// Finds who handles a request.
    pub(super) fn handler(&self, request: &ClientRequest) -> Result<Handler, WireError> {
        let version = self.map.load();
        let map = &version.map;
        let (bucket, key) = match request {
            ClientRequest::Get(get) => (get.bucket, &get.key),
            ClientRequest::Put(put) => (put.bucket, &put.key),
            ClientRequest::Delete(delete) => (delete.bucket, &delete.key),
            ClientRequest::Keys(keys) => {
                let count = map.ring.partitions().get();
                if u32::from(keys.partition.get()) < count {
                    return Ok(Handler::Partition(keys.partition));
                }
                let text = format!(
                    "partition {} does not exist: this ring has {count}",
                    keys.partition
                );
                return Err(WireError::new(ErrorCode::Invalid, text));
            }
            ClientRequest::GetMap(_)
            | ClientRequest::Ping(_)
            | ClientRequest::PutBucket(_)
            | ClientRequest::MapHistory(_)
            | ClientRequest::ChangeRing(_)
            | ClientRequest::PlanRing(_)
            | ClientRequest::GetVersion(_)
            | ClientRequest::Status(_)
            | ClientRequest::Replicas(_)
            | ClientRequest::Backup(_)
            | ClientRequest::Scrub(_)
            | ClientRequest::Moves(_) => {
                return Ok(Handler::Node);
            }
        };
        Ok(Handler::Partition(map.ring.partition_of(bucket, key)))
    }
}
