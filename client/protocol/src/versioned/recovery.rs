//! How a lineage of versions begins: with what was left after a majority of the members was gone for good.

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

use super::{GoingState, MapName, MapVersion, VersionedMap};
use crate::ids::RequestId;
use crate::limits::MEMBERS_MAX;

/// One time that the cluster was recovered.
///
/// Two recoveries that know nothing of each other may begin the same lineage. They differ in what is written here, so
/// that nobody takes a version of the one for one of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// The first version of the lineage.
    pub version: MapVersion,
    /// The version that it was made from: the last of the lineage before, as far as those who were left knew.
    pub after: MapName,
    /// The operator's order.
    pub request: RequestId,
    /// The members that were called gone, ordered. They never come back.
    pub gone: Vec<NodeId>,
    /// What people called them, in the same order.
    pub names: Vec<String>,
}

impl VersionedMap {
    /// Whether a node is let in: a member that nobody has given up.
    #[must_use]
    pub fn admits(&self, node: NodeId) -> bool {
        let given_up = self
            .going(node)
            .is_some_and(|going| going.state == GoingState::Forgotten);
        self.map.member(node).is_some() && !given_up
    }

    /// The recovery that called this node gone, the last one if there are several.
    #[must_use]
    pub fn recovered_without(&self, node: NodeId) -> Option<&Recovery> {
        let names = |recovery: &&Recovery| recovery.gone.binary_search(&node).is_ok();
        self.recoveries.iter().rev().find(names)
    }

    /// Whether this and that version come from the same recoveries, as far as the earlier lineage goes.
    #[must_use]
    pub fn shares_lineage(&self, other: &Self) -> bool {
        let both = self.recoveries.iter().zip(&other.recoveries);
        both.into_iter().all(|(mine, theirs)| mine == theirs)
    }

    /// Every lineage has its recovery.
    pub(super) fn check_lineage(&self) -> Result<(), String> {
        let lineages = self.recoveries.iter().map(|one| one.version.lineage());
        if !lineages.eq(1..=self.version.lineage()) {
            let version = self.version;
            return Err(format!(
                "the recoveries of version {version} are not those of its lineage"
            ));
        }
        for recovery in &self.recoveries {
            let Recovery {
                version,
                after,
                gone,
                names,
                ..
            } = recovery;
            let begins = after.version.in_next_lineage().next() == *version;
            if !begins || *version > self.version {
                return Err(format!(
                    "a recovery cannot lead from version {} to {version}",
                    after.version
                ));
            }
            if gone.len() != names.len()
                || gone.len() > MEMBERS_MAX
                || !gone.is_sorted_by(|a, b| a < b)
            {
                return Err(
                    "members called gone are too many, without a name, or not distinct and ordered"
                        .to_owned(),
                );
            }
            if let Some(node) = gone.iter().find(|&&node| self.admits(node)) {
                return Err(format!("{node} was called gone and is a member"));
            }
        }
        Ok(())
    }
}
