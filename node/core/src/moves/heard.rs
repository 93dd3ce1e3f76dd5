//! What is known of the members when a version is made.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::{StorageId, VnodeId};
use quorate_protocol::versioned::{ClassRecord, MapVersion, Place};
use quorate_ring::{Class, NodeId};

use super::Word;

/// What members have said, as far as it has been heard. May be old, may be incomplete: then less can be done.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// What each has done of what the map asks for.
    pub words: BTreeMap<NodeId, Word>,
    /// The nodes that answer now, each with the storage in which its register remembers its votes, if it has said that since
    /// it was last seen to come.
    pub running: BTreeMap<NodeId, Option<StorageId>>,
    /// Nodes that hold hints for others, or may, or something of dropped buckets: they stay members.
    pub hinting: BTreeSet<NodeId>,
}

impl Heard {
    /// The storage with which a node is known to run now.
    pub(super) fn storage_of(&self, node: NodeId) -> Option<StorageId> {
        self.running.get(&node).copied().flatten()
    }
}

/// The same, to be asked about many classes.
pub(super) struct Index {
    adopted: BTreeMap<NodeId, MapVersion>,
    complete: BTreeSet<(NodeId, Class, VnodeId, MapVersion)>,
    departing: BTreeSet<(NodeId, Class, VnodeId)>,
    busy: BTreeSet<NodeId>,
}

impl Index {
    pub(super) fn new(heard: &Heard) -> Self {
        let words = || heard.words.iter();
        let complete = words().flat_map(|(&node, word)| {
            let claims = word.complete.iter();
            claims.map(move |claim| (node, claim.class, claim.vnode, claim.epoch))
        });
        let departing = words().flat_map(|(&node, word)| {
            let copies = word.departing.iter();
            copies.map(move |&(class, vnode)| (node, class, vnode))
        });
        let holds = |(&node, word): (&NodeId, &Word)| (!word.departing.is_empty()).then_some(node);
        Self {
            adopted: words().map(|(&node, word)| (node, word.version)).collect(),
            complete: complete.collect(),
            departing: departing.collect(),
            busy: words()
                .filter_map(holds)
                .chain(heard.hinting.iter().copied())
                .collect(),
        }
    }

    /// Whether a node works under this version or a later one. All that there are have begun with the first.
    pub(super) fn has_adopted(&self, node: NodeId, version: MapVersion) -> bool {
        version <= MapVersion::FIRST || self.is_heard_under(node, version)
    }

    /// Whether a node has been heard that works under this version or a later one.
    pub(super) fn is_heard_under(&self, node: NodeId, version: MapVersion) -> bool {
        self.adopted.get(&node).is_some_and(|&has| has >= version)
    }

    /// Whether a newcomer has proven under the present epoch that it has it all.
    pub(super) fn is_complete(&self, record: &ClassRecord, place: Place) -> bool {
        let claim = (place.node, record.class, place.vnode, record.epoch);
        self.complete.contains(&claim)
    }

    /// Whether the copy of a place that was given up is no more. Its node knows by this epoch that it was given up.
    pub(super) fn is_gone(&self, record: &ClassRecord, place: Place) -> bool {
        self.is_heard_under(place.node, record.epoch)
            && !self
                .departing
                .contains(&(place.node, record.class, place.vnode))
    }

    /// Whether a node holds anything that is not a place of its own.
    pub(super) fn is_busy(&self, node: NodeId) -> bool {
        self.busy.contains(&node)
    }
}
