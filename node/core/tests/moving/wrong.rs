//! What a run may do wrong on purpose.

use quorate_core::Plant;

/// A rule that is broken: by the replicas, or by who makes the versions and tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// By the replicas.
    Replica(Plant),
    /// Versions follow each other without waiting until the last one is adopted.
    NoBarrier,
    /// From joint-old straight to stable on the new set.
    NoJointNew,
    /// A version is told to the replica before it is on disk.
    AdoptedUnsynced,
    /// A newcomer that is not complete counts as an old member for the next move.
    MovesOverlap,
    /// Joint-new is cancelled without going back to joint-old.
    CancelledAtOnce,
    /// A copy without a place counts as gone without a word of its node.
    GoneAtOnce,
}
