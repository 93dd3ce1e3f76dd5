//! What operators ask of the members and their places (stage, commit, cancel), and the end of a bucket.

use quorate_ring::{BucketId, NodeId, RingDigest};
use serde::{Deserialize, Serialize};

use crate::ids::RequestId;
use crate::versioned::{MapVersion, StagedChange};

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingChange {
    /// One more change waits to be committed.
    Stage(StagedChange),
    /// No change waits any more.
    Clear,
    /// What waits is done.
    Commit(Commit),
    /// The change under way is taken back.
    Cancel,
    /// Nobody waits for the copies of a member that was removed by force.
    Forget(NodeId),
    /// A bucket is dropped with all that is in it.
    Drop(BucketId),
    /// These members, so many that no majority is left, are gone for good: the cluster goes on without them and without
    /// what only they hold.
    Recover(Vec<NodeId>),
}

/// What goes with a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Make the cluster worse, if the changes do.
    pub force: bool,
    /// Nodes whose data may be lost.
    pub loss_of: Vec<NodeId>,
    /// The plan that was looked at: nothing else is committed. `None`: whatever it is.
    pub plan: Option<RingDigest>,
}

/// A [`RingChange`] in the form that the wire has for it: a kind and what that kind needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRing {
    /// Kept over retries.
    pub request: RequestId,
    kind: u8,
    staged: Option<StagedChange>,
    commit: Option<Commit>,
    node: Option<NodeId>,
    bucket: Option<BucketId>,
}

/// A request that says too little, too much, or is of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ring change of kind {0} cannot be read: it is of a later version, or damaged")]
pub struct RingChangeError(pub u8);

impl ChangeRing {
    /// The request for it.
    #[must_use]
    pub fn new(request: RequestId, change: RingChange) -> Self {
        let bare = |kind| Self {
            request,
            kind,
            staged: None,
            commit: None,
            node: None,
            bucket: None,
        };
        match change {
            RingChange::Stage(staged) => Self {
                staged: Some(staged),
                ..bare(0)
            },
            RingChange::Clear => bare(1),
            RingChange::Commit(commit) => Self {
                commit: Some(commit),
                ..bare(2)
            },
            RingChange::Cancel => bare(3),
            RingChange::Forget(node) => Self {
                node: Some(node),
                ..bare(4)
            },
            RingChange::Drop(bucket) => Self {
                bucket: Some(bucket),
                ..bare(5)
            },
            RingChange::Recover(gone) => Self {
                commit: Some(Commit {
                    force: true,
                    loss_of: gone,
                    plan: None,
                }),
                ..bare(6)
            },
        }
    }

    /// What is wanted.
    ///
    /// # Errors
    /// It says too little, too much, or is of a later version.
    pub fn change(&self) -> Result<RingChange, RingChangeError> {
        let Self { staged, commit, .. } = self;
        match (self.kind, staged, commit, self.node, self.bucket) {
            (0, Some(staged), None, None, None) => Ok(RingChange::Stage(staged.clone())),
            (1, None, None, None, None) => Ok(RingChange::Clear),
            (2, None, Some(commit), None, None) => Ok(RingChange::Commit(commit.clone())),
            (3, None, None, None, None) => Ok(RingChange::Cancel),
            (4, None, None, Some(node), None) => Ok(RingChange::Forget(node)),
            (5, None, None, None, Some(bucket)) => Ok(RingChange::Drop(bucket)),
            (6, None, Some(lost), None, None) => Ok(RingChange::Recover(lost.loss_of.clone())),
            (kind, ..) => Err(RingChangeError(kind)),
        }
    }
}

/// It is done: the version that did it, or a later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingChanged {
    /// The newest version at the node asked.
    pub version: MapVersion,
    /// What that one changed, in a sentence.
    pub what: String,
}

/// Read what a commit of the staged changes would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRing {}

/// What a commit would do, as the node asked sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingPlan {
    /// The version of the cluster map in which the changes are staged.
    pub version: MapVersion,
    /// Names what would be committed.
    pub digest: RingDigest,
    /// The changes, in sentences, in the order in which they were staged.
    pub changes: Vec<String>,
    /// What each node holds before and after, by n and node.
    pub nodes: Vec<PlanLine>,
    /// What is to be known before.
    pub warnings: Vec<PlanWarning>,
    /// Nodes that may have the last up-to-date copy of some class and are removed by force.
    pub losses: Vec<PlanLoss>,
}

/// What one node holds of the classes of one n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLine {
    /// Copies that the classes keep.
    pub n: u8,
    /// The node.
    pub node: NodeId,
    /// Copies that it holds now.
    pub before: u32,
    /// Copies that it is to hold.
    pub after: u32,
    /// Copies that it receives.
    pub receives: u32,
    /// Copies that it sends.
    pub sends: u32,
}

/// Something to be known before a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWarning {
    /// A sentence.
    pub text: String,
    /// Whether a commit has to be forced for it.
    pub needs_force: bool,
}

/// A node whose data may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanLoss {
    /// The node.
    pub node: NodeId,
    /// Of how many classes.
    pub classes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_comes_back() {
        let node = NodeId::new(7);
        let changes = [
            RingChange::Stage(StagedChange::leave(node)),
            RingChange::Clear,
            RingChange::Commit(Commit {
                force: true,
                loss_of: vec![node],
                plan: None,
            }),
            RingChange::Cancel,
            RingChange::Forget(node),
            RingChange::Drop(BucketId::new(9)),
        ];
        for change in changes {
            let asked = ChangeRing::new(RequestId::new(1, 2), change.clone());
            let mut bytes = Vec::new();
            crate::codec::encode(&asked, &mut bytes);
            let read: ChangeRing = crate::codec::decode(&bytes).unwrap();
            assert_eq!(read.change(), Ok(change));
        }
    }

    #[test]
    fn a_change_that_says_too_much_or_is_of_a_later_version_is_refused() {
        let mut asked = ChangeRing::new(RequestId::new(1, 2), RingChange::Clear);
        asked.node = Some(NodeId::new(7));
        assert_eq!(asked.change(), Err(RingChangeError(1)));
        asked.kind = 9;
        assert_eq!(asked.change(), Err(RingChangeError(9)));
    }
}
