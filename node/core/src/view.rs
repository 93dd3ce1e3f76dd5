//! What a replica knows of the cluster: the map, and who answers this node.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_protocol::map::{Bucket, ClusterMap};
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{BucketId, Class, NodeId};

/// How many fallbacks a request considers beside its n primaries.
pub const FALLBACKS_CONSIDERED: usize = 3;

/// The cluster as one node sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// This node.
    pub me: NodeId,
    /// The version of the map that is in force here.
    pub version: Arc<VersionedMap>,
    reachable: BTreeSet<NodeId>,
    /// Not heard of since the start, and not given up yet: taken for reachable, since a node that took
    /// everybody for dead would write to fallbacks, and believe them, beside living primaries.
    presumed: BTreeSet<NodeId>,
}

impl View {
    /// A view in which nobody has answered yet, and everybody is presumed to.
    #[must_use]
    pub fn new(me: NodeId, version: Arc<VersionedMap>) -> Self {
        let members = version.map.members.iter().map(|member| member.id);
        Self {
            me,
            presumed: members.filter(|&node| node != me).collect(),
            version,
            reachable: BTreeSet::from([me]),
        }
    }

    /// Members, ring and buckets.
    #[must_use]
    pub fn map(&self) -> &ClusterMap {
        &self.version.map
    }

    /// Notes that a peer answers, or not. Returns whether that is news.
    pub fn set_reachable(&mut self, node: NodeId, reachable: bool) -> bool {
        let presumed = self.presumed.remove(&node);
        if reachable {
            self.reachable.insert(node)
        } else {
            node != self.me && (self.reachable.remove(&node) || presumed)
        }
    }

    /// Peers that have neither answered nor been given up since the start.
    #[must_use]
    pub fn presumed(&self) -> Vec<NodeId> {
        self.presumed.iter().copied().collect()
    }

    /// Whether a node answers this one, or is presumed to; this node itself always does.
    #[must_use]
    pub fn is_reachable(&self, node: NodeId) -> bool {
        self.reachable.contains(&node) || self.presumed.contains(&node)
    }

    /// Whether a node is known to answer this one.
    #[must_use]
    pub fn answers(&self, node: NodeId) -> bool {
        self.reachable.contains(&node)
    }

    /// All other members.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.map()
            .members
            .iter()
            .map(|member| member.id)
            .filter(|&id| id != self.me)
    }

    /// The bucket of that id.
    #[must_use]
    pub fn bucket(&self, id: BucketId) -> Option<&Bucket> {
        self.map().bucket(id)
    }

    /// The class of a key of this bucket.
    #[must_use]
    pub fn class_of(&self, bucket: &Bucket, key: &[u8]) -> Class {
        Class {
            n: bucket.props.n,
            partition: self.map().ring.partition_of(bucket.id, key),
        }
    }

    /// The primaries of a class, in order.
    #[must_use]
    pub fn primaries(&self, class: Class) -> &[NodeId] {
        self.map().ring.primaries(class)
    }

    /// The fallbacks that a request of this class considers, in order.
    #[must_use]
    pub fn fallbacks(&self, class: Class) -> Vec<NodeId> {
        self.map()
            .ring
            .fallbacks(class)
            .take(FALLBACKS_CONSIDERED)
            .collect()
    }
}
