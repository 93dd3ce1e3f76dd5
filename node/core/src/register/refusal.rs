//! Why a change was not made, or is not known to be.

use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use super::version::VersionError;

/// Why a proposal has not become a version.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The map has changed since the change was computed. Certainly not made.
    #[error(
        "the change was made from version {base} of the cluster map, and version {newest} is there now ({what}): look at it and make the change again"
    )]
    Stale {
        /// What it was computed from.
        base: MapName,
        /// What is there.
        newest: MapName,
        /// What the newest version changed.
        what: String,
    },
    /// This node does not know the version from which the change was computed. Certainly not made here.
    #[error(
        "this node has version {newest} of the cluster map and not yet {base}: try again, or at another node"
    )]
    Behind {
        /// What it was computed from.
        base: MapName,
        /// What is here.
        newest: MapName,
    },
    /// The next version would contradict itself. Certainly not made.
    #[error(transparent)]
    Invalid(#[from] VersionError),
    /// This node is no member, so others do not listen to it. Certainly not made.
    #[error("node {0} is no member of the cluster: ask a member")]
    NotAMember(NodeId),
    /// Some voters have not started for the first time yet. Certainly not made.
    #[error(
        "the cluster is not complete yet: {} must run before the cluster map can change",
        list(missing)
    )]
    NotFounded {
        /// Voters that are not known to run; none: it may be a matter of moments.
        missing: Vec<NodeId>,
    },
    /// Too many wait already. Certainly not made.
    #[error("{0} changes of the cluster map wait at this node already: wait for one of them")]
    Busy(usize),
    /// Too few voters answered in time. Certainly not made.
    #[error(
        "no majority of the voters of version {newest} of the cluster map answered; silent: {}. This try changed nothing",
        list(missing)
    )]
    NoMajority {
        /// The version that stays.
        newest: MapName,
        /// Voters that did not answer.
        missing: Vec<NodeId>,
    },
    /// Some voter may have accepted it, and no majority answered in time. It may be made yet: the
    /// same request, repeated at any node, tells.
    #[error(
        "in doubt: the change of version {newest} of the cluster map may be made yet; silent: {}. Repeat the request to learn what became of it",
        list(missing)
    )]
    InDoubt {
        /// The version it would follow.
        newest: MapName,
        /// Voters that did not answer.
        missing: Vec<NodeId>,
    },
    /// This lineage is given up here: an operator has ordered a recovery that has not come to its end. Certainly not made.
    #[error(
        "the cluster is being recovered without {}: repeat that order until it is done",
        list(gone)
    )]
    BeingRecovered {
        /// Who was called gone.
        gone: Vec<NodeId>,
    },
    /// A majority is left, or a node that must not be called gone was. Certainly nothing was changed.
    #[error("the cluster cannot be recovered so: {0}")]
    NotRecoverable(String),
    /// A member that was called gone answers another one. Nothing was decided.
    #[error(
        "{} was called gone and answers node {by}: a node that lives is not recovered from. Stop it, or remove it as long as it can hand over what it holds",
        list(alive)
    )]
    Alive {
        /// Who answers.
        alive: Vec<NodeId>,
        /// Whom.
        by: NodeId,
    },
    /// Not every member that is left has answered in time. The same order, repeated, goes on from there.
    #[error(
        "not recovered yet: every member that is not called gone must answer, and there is no answer from {}. Those who answered decide nothing of the old lineage any more: repeat the order, or name whoever is gone, too",
        list(missing)
    )]
    NotAllAnswered {
        /// Who did not answer.
        missing: Vec<NodeId>,
    },
    /// So many versions were made since that nobody remembers what became of it.
    #[error(
        "version {base} of the cluster map is too long ago to tell what became of a change of it: version {newest} says what is"
    )]
    Forgotten {
        /// What it was computed from.
        base: MapName,
        /// What is there.
        newest: MapName,
    },
}

impl Refusal {
    /// Whether this try will certainly not make the proposal a version. An earlier one that ended in doubt
    /// may.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        match self {
            Self::Stale { .. }
            | Self::Behind { .. }
            | Self::Invalid(_)
            | Self::NotAMember(_)
            | Self::NotFounded { .. }
            | Self::Busy(_)
            | Self::BeingRecovered { .. }
            | Self::NotRecoverable(_)
            | Self::NoMajority { .. } => true,
            Self::InDoubt { .. }
            | Self::Forgotten { .. }
            | Self::Alive { .. }
            | Self::NotAllAnswered { .. } => false,
        }
    }
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
