//! Known-bad variants of single rules, for the simulator to catch: a checker that catches nothing is
//! no checker. Without the feature `planted` none of them can be switched on.

use crate::shared::Shared;

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plant {
    /// A hint is dropped when it is sent, not when its target has stored it.
    HintDroppedUnacknowledged,
    /// Dots are entered into clock and log, and the object that came with them is not stored.
    ClockWithoutObject,
    /// Only the dots of versions that an object holds are entered, not all that it settles.
    SettlesIgnored,
    /// A durable acknowledgement is sent before the fsync.
    DurableTooEarly,
    /// A vnode keeps one actor for good, and counts on from what its clock has.
    ActorReused,
    /// A key's context is dropped although a member lacks a delete that it stands for.
    ContextDroppedEarly,
    /// Log entries are dropped once this node alone has them durably.
    LogDroppedEarly,
    /// A fallback coordinates writes that ask for a strict quorum.
    StrictFallback,
    /// A replica that comes back takes anybody's testimony for complete.
    TrustsAnIncompleteWitness,
    /// A replica tells only who answers it now, not whom it saw meanwhile.
    ForgetsWhoWasAlive,
    /// A replica becomes current while other nodes keep hints for it.
    CurrentWithoutHints,
    /// A vnode that is filled again takes the sender's clock as it is at the end of the transfer.
    SnapshotClockAtEnd,
    /// A vnode that found damage keeps its clock while it is filled again.
    RebuildTrustsOldClock,
    /// What was known of a vnode's durable clock is kept when its storage changed.
    StorageIdIgnored,
    /// A dot that one peer's log has no more is asked of nobody, and no snapshot is asked for.
    GoneForAll,
}

impl Shared {
    /// Whether a rule is to be broken.
    pub(crate) fn breaks(&self, plant: Plant) -> bool {
        self.planted == Some(plant)
    }
}

#[cfg(feature = "planted")]
mod switch {
    use super::Plant;
    use crate::replica::Replica;

    impl Plant {
        /// All of them.
        pub const ALL: &'static [Self] = &[
            Self::HintDroppedUnacknowledged,
            Self::ClockWithoutObject,
            Self::SettlesIgnored,
            Self::DurableTooEarly,
            Self::ActorReused,
            Self::ContextDroppedEarly,
            Self::LogDroppedEarly,
            Self::StrictFallback,
        ];
    }

    impl Replica {
        /// Breaks a rule from now on.
        pub fn plant(&mut self, plant: Plant) {
            self.shared.planted = Some(plant);
        }
    }
}
