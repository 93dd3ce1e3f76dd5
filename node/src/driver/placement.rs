//! The cluster map that is in force, for everybody who routes.

use arc_swap::ArcSwap;
use quorate_protocol::client::ClientRequest;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::{PartitionId, RingVersion};

use super::context::Map;

/// Holds the map; readers never wait.
#[derive(Debug)]
pub(super) struct Placement(ArcSwap<quorate_protocol::versioned::VersionedMap>);

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
        Self(ArcSwap::new(map))
    }

    pub(super) fn map(&self) -> Map {
        self.0.load_full()
    }

    pub(super) fn set(&self, map: Map) {
        self.0.store(map);
    }

    pub(super) fn ring_version(&self) -> RingVersion {
        self.0.load().map.ring.version()
    }

    /// Finds who handles a request.
    pub(super) fn handler(&self, request: &ClientRequest) -> Result<Handler, WireError> {
        let version = self.0.load();
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
            | ClientRequest::Status(_)
            | ClientRequest::Replicas(_)
            | ClientRequest::Backup(_)
            | ClientRequest::Scrub(_) => {
                return Ok(Handler::Node);
            }
        };
        Ok(Handler::Partition(map.ring.partition_of(bucket, key)))
    }
}
