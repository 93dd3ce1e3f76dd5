//! Known-bad variants of single rules, for the simulator to catch: a checker that catches nothing is
//! no checker. Without the feature `planted` none of them can be switched on.
//!
//! What each of them is in other stores, who must notice it and how soon stands in the table of
//! `tests/src/sim/planted.rs`.

use crate::shared::Shared;

macro_rules! plants {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A rule to break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Plant {
            $($(#[$doc])+ $name,)+
        }

        #[cfg(feature = "planted")]
        impl Plant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

// In alphabetical order.
plants! {
    /// A fallback that holds nothing counts as a replica that says there is nothing.
    AbsenceClaimedByFallback,
    /// A proposer of a map's version offers its own although a voter has accepted another.
    AcceptedValueIgnored,
    /// An acknowledgement that is repeated counts as one more node.
    AckCountedTwice,
    /// A replica that can be reached counts as one that has stored the write.
    AcksGuessed,
    /// A vnode keeps one actor for good, and counts on from what its clock has.
    ActorReused,
    /// A node that lost its storage votes on the map's next version as if it had not voted before.
    AmnesiacVotes,
    /// A newcomer believes answers to questions that it asked before it started again.
    AnswerOfAnEarlierLife,
    /// A proposer that starts again uses the ballots of its last life for something else.
    BallotReused,
    /// A replica that is catching up counts like a current one.
    CatchingUpCounted,
    /// Whoever makes the next version of the map takes every newcomer for complete.
    ClaimsAssumed,
    /// A newcomer counts what an old member had before that one took part in the move.
    ClockOfBeforeTheFence,
    /// Dots are entered into clock and log, and the object that came with them is not stored.
    ClockWithoutObject,
    /// A put replaces whatever its coordinator holds, seen by the writer or not.
    ConcurrentOverwritten,
    /// A key's context is dropped although a member lacks a delete that it stands for.
    ContextDroppedEarly,
    /// What the writer of a put has seen is not taken into account.
    ContextIgnored,
    /// A copy without a place is deleted when the members have what it had, durably or not.
    CoveredUnsynced,
    /// A replica becomes current while other nodes keep hints for it.
    CurrentWithoutHints,
    /// What a cut log no longer says need not be covered by who proves a denial wrong.
    CutForgotten,
    /// A copy without a place is deleted at once.
    DeletedUncovered,
    /// A replica's word that a version was superseded counts, although another one proves that nobody did.
    DenialBelieved,
    /// A vnode that catches up does not wait for what a copy without a place has.
    DepartingUnheard,
    /// A vnode that finds that a peer holds something else under the same clock goes on as if nothing were.
    DifferenceIgnored,
    /// An answer shows a version that another reply knows to be superseded, if it came from the node
    /// that is first in order.
    DominatedShown,
    /// Members talk with one that was called gone when the cluster was recovered.
    DoorOpen,
    /// A write that may have been stored somewhere is reported as certainly not done.
    DoubtReportedAsFailure,
    /// What is in dropped buckets is found when the map drops them, and not looked for after a restart.
    DroppedForgotten,
    /// A bucket gets the id that another one of its name had.
    DroppedIdUsedAgain,
    /// A dropped bucket takes what peers bring: late hints, answers, pages, what repairs put back.
    DroppedTaken,
    /// Peers are told that a write is durable before it was fsynced.
    DurableBeforeFsync,
    /// A durable acknowledgement is sent before the fsync.
    DurableTooEarly,
    /// A vnode that catches up counts what members said under an earlier epoch of its class.
    EarlierEpochHeard,
    /// Members talk with one that was removed by force and given up.
    ExpelledLetIn,
    /// A read shows versions whose time has passed.
    ExpiredShown,
    /// A version that arrives after its time is stored, and nobody notes that it is to be removed.
    ExpiredStored,
    /// Each replica lets the time to live begin when the write arrives there.
    ExpiryByArrival,
    /// What a version superseded is forgotten with it when it expires, although a member lacks it.
    ExpiryForgetsContext,
    /// A fallback goes on with its actor after it has handed over and dropped what it wrote.
    FallbackActorKept,
    /// What a fallback stored counts as stored by a primary.
    FallbackAsPrimary,
    /// A replica serves requests of whatever epoch of the class.
    FenceOpen,
    /// Fallbacks stand in, and count, for members that only work under another epoch of the class.
    FencedStoodInFor,
    /// A vnode that lost something is filled by a copy without a place.
    FilledByTheGone,
    /// A member folds though it does not know all of an actor that is folded.
    FoldTakenBlindly,
    /// Actors are folded though writes of them are missing somewhere.
    FoldedWhileOpen,
    /// A replica tells only who answers it now, not whom it saw meanwhile.
    ForgetsWhoWasAlive,
    /// The first voters of a map are named by most of them, not all.
    FoundedByMajority,
    /// A vnode waits for what members know who were given up.
    GivenUpWaitedFor,
    /// Whoever makes the next version of the map takes it that all work under the present one.
    GoesOnUnheard,
    /// Whoever makes the next version of the map takes every copy without a place for deleted.
    GoneAssumed,
    /// Hints are sent to the first node that answers, and its word for having them is taken.
    HandoffUnverified,
    /// A fallback acknowledges a hint and does not store it.
    HintAckedUnstored,
    /// A hint is dropped when it is sent, not when its target has stored it.
    HintDroppedUnacknowledged,
    /// Hints for a node without a place are dropped.
    HintsOfTheGoneDropped,
    /// Hints for a node without a place wait for that node.
    HintsOfTheGoneKept,
    /// An acknowledgement of an older write counts for whatever is under way.
    LateAckCounted,
    /// A request that may have waited in a pause is taken for new.
    LateTryTrusted,
    /// A version of an earlier lineage with a higher number is taken for the newer one.
    LineageIgnored,
    /// Log entries are dropped once this node alone has them durably.
    LogDroppedEarly,
    /// A voter accepts what it has promised not to accept any more.
    LowerBallotTaken,
    /// What a delete leaves behind is dropped while a member that has not seen it cannot be reached.
    MarkerDroppedWhileAway,
    /// A version of the map is decided by those whom it makes voters.
    NewMembersDecide,
    /// A write under way when its class moves on is not shipped to the new sets.
    NotShippedAnew,
    /// A vnode whose storage went back in time goes on with what it has.
    OldStorageTrusted,
    /// A node that has a place again goes on with the copy that it had.
    OldVnodeRegained,
    /// A version of the map that somebody once decided replaces a newer one.
    OlderMapTaken,
    /// While a class moves, nodes of the old and of the new set count together towards one quorum.
    OneQuorumForBoth,
    /// The cluster is recovered with the word of the first that is left, in place of all.
    PledgeOfAFew,
    /// A member says that it gave up a lineage before that is durable.
    PledgeUnsynced,
    /// A member that has promised to take no late copies of a retired actor's writes takes them.
    PromiseBroken,
    /// What a repair of a range finds missing is left at that.
    RangeLossIgnored,
    /// A version that a peer holds and this vnode does not is put back at the first look, whatever the peer had not
    /// seen yet.
    RangeProofIgnored,
    /// A vnode that found damage keeps its clock while it is filled again.
    RebuildTrustsOldClock,
    /// What a member that is left has accepted is forgotten when the cluster is recovered.
    RecoveredFromNothing,
    /// A replica that refused a write counts as current all the same.
    RefusedAndCurrent,
    /// Every replica that answered a read is written to, stale or not.
    RepairOnEveryRead,
    /// A change of the map that was made already is made again when it is asked for again.
    RetriedChangeMadeAgain,
    /// A retried request is coordinated as if it were new.
    RetryMintsAgain,
    /// A retry ships what its coordinator holds of the first try, also where that was lost.
    RetryShipsAbsence,
    /// What is written behind the place of a scrub is not taken into account.
    ScrubIgnoresWrites,
    /// Actors are sealed that a node still writes with.
    SealedInUse,
    /// An actor is sealed while copies without a place may hold its writes.
    SealedWhileDeparting,
    /// Actors are sealed by the word of a member that is not complete.
    SealedWhileIncomplete,
    /// Actors are sealed, and nobody asks what is in hints.
    SealedWithoutHints,
    /// A read is answered although nobody knows yet what its session has seen.
    SessionUnchecked,
    /// Only the dots of versions that an object holds are entered, not all that it settles.
    SettlesIgnored,
    /// A limit on siblings applies to what replicas tell each other: nothing larger is stored.
    SiblingLimitStopsRepair,
    /// A vnode that is filled again takes the sender's clock as it is at the end of the transfer.
    SnapshotClockAtEnd,
    /// A stretch of keys counts as held alike on both sides, whatever is in it.
    SpansUnchecked,
    /// A change of the map that was computed from an older version is made all the same.
    StaleChangeMade,
    /// Time stamps are those of the local clock alone.
    StampOfLocalClock,
    /// A fallback coordinates writes that ask for a strict quorum.
    StrictFallback,
    /// A vnode takes over what a peer holds once more although neither has changed since the last time.
    TakenAgain,
    /// The time to live of what was handed over begins anew.
    TimeToLiveAnew,
    /// A node tells one that it takes for dead, and to which it sends nothing, what that one misses.
    ToldWhileTakenForDead,
    /// A replica that comes back takes anybody's testimony for complete.
    TrustsAnIncompleteWitness,
    /// While a class moves, nodes of both sets are read.
    UnionRead,
    /// A member that is left says of all who are called gone that they live, for it saw them once.
    VetoOfThePast,
    /// A voter answers before its word is on disk.
    VoteBeforeFsync,
    /// A write's context is returned although a replica holds what its coordinator has lost of the same actor.
    WriterNotTold,
}

#[cfg(feature = "planted")]
impl Plant {
    /// Those of the register that decides the map's versions, which has tests of its own.
    pub const OF_REGISTER: &'static [Self] = &[
        Self::AcceptedValueIgnored,
        Self::AmnesiacVotes,
        Self::BallotReused,
        Self::FoundedByMajority,
        Self::LineageIgnored,
        Self::LowerBallotTaken,
        Self::NewMembersDecide,
        Self::OlderMapTaken,
        Self::PledgeOfAFew,
        Self::PledgeUnsynced,
        Self::RecoveredFromNothing,
        Self::RetriedChangeMadeAgain,
        Self::StaleChangeMade,
        Self::VoteBeforeFsync,
    ];

    /// Those of classes that move, which have schedules of their own.
    pub const OF_MOVES: &'static [Self] = &[
        Self::AnswerOfAnEarlierLife,
        Self::ClockOfBeforeTheFence,
        Self::CoveredUnsynced,
        Self::DeletedUncovered,
        Self::DepartingUnheard,
        Self::EarlierEpochHeard,
        Self::FenceOpen,
        Self::FencedStoodInFor,
        Self::FilledByTheGone,
        Self::HintsOfTheGoneDropped,
        Self::HintsOfTheGoneKept,
        Self::NotShippedAnew,
        Self::OldVnodeRegained,
        Self::OneQuorumForBoth,
        Self::SealedWhileDeparting,
        Self::UnionRead,
    ];
}

impl Shared {
    /// Whether a rule is to be broken.
    pub(crate) fn breaks(&self, plant: Plant) -> bool {
        self.planted.contains(&plant)
    }
}

#[cfg(feature = "planted")]
impl crate::replica::Replica {
    /// Breaks a rule from now on, beside those that are broken already.
    pub fn plant(&mut self, plant: Plant) {
        self.shared.planted.insert(plant);
    }

    /// The rules that are broken.
    #[must_use]
    pub const fn planted(&self) -> &std::collections::BTreeSet<Plant> {
        &self.shared.planted
    }
}
