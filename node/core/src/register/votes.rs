//! Counting voters: which answers decide.

use std::collections::BTreeMap;

use quorate_protocol::StorageId;
use quorate_protocol::versioned::{VersionedMap, Voter};
use quorate_ring::NodeId;

/// Who answered, and which storage remembers that.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes(BTreeMap<NodeId, StorageId>);

impl Votes {
    pub(super) fn add(&mut self, node: NodeId, storage: StorageId) {
        self.0.insert(node, storage);
    }

    /// Whether nothing else can be decided without one of those who answered.
    ///
    /// Where storages are not known yet any storage may speak for its node, and all nodes must: see the
    /// module's documentation.
    pub(super) fn decide(&self, map: &VersionedMap, founded: bool) -> bool {
        let has = |voter: &&Voter| self.has(voter, founded);
        let count = map.voters.iter().filter(has).count();
        if founded {
            count > map.voters.len() / 2
        } else {
            count == map.voters.len()
        }
    }

    /// More than half of the nodes that vote, whatever storages they have and whether or not that is
    /// enough. Nobody may decide by this: see [`crate::Plant::FoundedByMajority`] and
    /// [`crate::Plant::AmnesiacVotes`].
    pub(super) fn has_most_nodes(&self, map: &VersionedMap) -> bool {
        let spoke = |voter: &&Voter| self.0.contains_key(&voter.node);
        map.voters.iter().filter(spoke).count() > map.voters.len() / 2
    }

    /// Voters that did not answer.
    pub(super) fn missing(&self, map: &VersionedMap, founded: bool) -> Vec<NodeId> {
        let silent = map.voters.iter().filter(|voter| !self.has(voter, founded));
        silent.map(|voter| voter.node).collect()
    }

    pub(super) fn storage_of(&self, node: NodeId) -> Option<StorageId> {
        self.0.get(&node).copied()
    }

    fn has(&self, voter: &Voter, founded: bool) -> bool {
        let spoke = self.0.get(&voter.node);
        spoke.is_some_and(|storage| !founded || voter.storage == Some(*storage))
    }
}
