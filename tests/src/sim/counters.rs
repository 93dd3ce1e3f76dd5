//! What runs provoked, counted. What should happen and never does over many seeds is a failed test.

use std::collections::BTreeMap;

use quorate_core::Note;

/// Something that happened and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// The core noted it.
    Core(Note),
    /// A fault began.
    Fault(&'static str),
    /// Something followed from a fault.
    World(&'static str),
    /// A client began an operation.
    Operation(&'static str),
    /// Something came of a request for a bucket.
    Bucket(&'static str),
    /// Something happened to the cluster map, or to what a node keeps of it.
    Map(&'static str),
    /// An operator was told what became of a change of the ring.
    Ring(&'static str),
    /// A node became a member, or ceased to be one.
    Turn(&'static str),
    /// A client was told an error, by the error's stable name.
    Error(&'static str),
}

impl std::fmt::Display for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Core(note) => write!(f, "core: {note:?}"),
            Self::Fault(what) => write!(f, "fault: {what}"),
            Self::World(what) => write!(f, "world: {what}"),
            Self::Operation(what) => write!(f, "operation: {what}"),
            Self::Bucket(what) => write!(f, "bucket: {what}"),
            Self::Map(what) => write!(f, "map: {what}"),
            Self::Ring(what) => write!(f, "ring: {what}"),
            Self::Turn(what) => write!(f, "turn: {what}"),
            Self::Error(what) => write!(f, "error: {what}"),
        }
    }
}

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<Counter, u64>);

impl Counters {
    /// Counts one.
    pub fn count(&mut self, what: Counter) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often it happened.
    #[must_use]
    pub fn of(&self, what: Counter) -> u64 {
        self.0.get(&what).copied().unwrap_or(0)
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(*what).or_default() += count;
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> {
        self.0.iter().map(|(what, count)| (*what, *count))
    }

    /// What should have happened and did not.
    #[must_use]
    pub fn silent(&self) -> Vec<Counter> {
        let missing = |what: &Counter| self.of(*what) == 0;
        PROVOKED.iter().copied().filter(missing).collect()
    }
}

/// What runs must provoke sooner or later. Missing are notes that would show a bug.
pub const PROVOKED: &[Counter] = &[
    Counter::Core(Note::Get),
    Counter::Core(Note::Put),
    Counter::Core(Note::Delete),
    Counter::Core(Note::Forwarded),
    Counter::Core(Note::FallbackWrite),
    Counter::Core(Note::FallbackCoordinated),
    Counter::Core(Note::HintStored),
    Counter::Core(Note::HintDelivered),
    Counter::Core(Note::ReadRepair),
    Counter::Core(Note::FallbackRepair),
    Counter::Core(Note::Superseded),
    Counter::Core(Note::SiblingsRead),
    Counter::Core(Note::AntiEntropyFetched),
    Counter::Core(Note::CaughtUp),
    Counter::Core(Note::WaitedForCatchUp),
    Counter::Core(Note::LogDropped),
    Counter::Core(Note::ContextDropped),
    Counter::Core(Note::HeldAlike),
    Counter::Core(Note::LogCut),
    Counter::Core(Note::Sealed),
    Counter::Core(Note::ObjectRemoved),
    Counter::Core(Note::RetryRecognised),
    Counter::Core(Note::DeadlineExceeded),
    Counter::Core(Note::QuorumNotMet),
    Counter::Core(Note::PeerBehindItsWord),
    Counter::Core(Note::OldStorageFound),
    Counter::Core(Note::Expired),
    Counter::Core(Note::ExpiredOnArrival),
    Counter::Core(Note::ExpiredHidden),
    Counter::Core(Note::Scrubbed),
    Counter::Core(Note::SilentLossFound),
    Counter::Core(Note::DenialDisproved),
    Counter::Core(Note::DenialDoubted),
    Counter::Core(Note::RangeRepaired),
    Counter::Fault("vanished records"),
    Counter::World("an object vanished"),
    Counter::World("a piece of a long value vanished"),
    Counter::World("a log entry vanished"),
    Counter::Fault("kill"),
    Counter::Fault("power cut"),
    Counter::Fault("pause"),
    Counter::Fault("one isolated"),
    Counter::Fault("two groups"),
    Counter::Fault("ring of majorities"),
    Counter::Fault("one way"),
    Counter::Fault("flap"),
    Counter::Fault("clog"),
    Counter::Fault("clock jump"),
    Counter::Fault("reads fail"),
    Counter::Fault("write fails"),
    Counter::Fault("disk full"),
    Counter::Fault("slow fsyncs"),
    Counter::Fault("fsync fails"),
    Counter::World("restored from a backup"),
    Counter::World("a life ended by its disk"),
    Counter::World("an fsync failed"),
    Counter::Operation("read"),
    Counter::Operation("read, then put"),
    Counter::Operation("read, then delete"),
    Counter::Operation("put over what was read before"),
    Counter::Operation("delete what was read before"),
    Counter::Operation("blind put"),
    Counter::Operation("blind delete"),
    Counter::Operation("put under a forged context"),
    Counter::Operation("delete under a forged context"),
    Counter::Operation("list"),
    Counter::Operation("huge value"),
    Counter::Operation("retry, maybe through another node"),
    Counter::Operation("a key in a bucket that the run made"),
    Counter::Operation("put with a time to live"),
    Counter::Operation("put with its bucket's time to live"),
    Counter::Operation("put that lasts where the default is to expire"),
    Counter::Operation("ask for a bucket"),
    Counter::Operation("ask for a bucket with other defaults"),
    Counter::Operation("ask for a bucket with other n or mode"),
    Counter::Operation("ask for a bucket that cannot be"),
    Counter::Operation("ask for another n or mode of a bucket in use"),
    Counter::Bucket("stored"),
    Counter::Bucket("was so already"),
    Counter::Bucket("conflict"),
    Counter::Bucket("refused"),
    Counter::Bucket("not agreed on in time"),
    Counter::Bucket("completed by another node"),
    Counter::Bucket("defaults changed"),
    Counter::Bucket("dropped"),
    Counter::Core(Note::DroppedRecord),
    Counter::Core(Note::Swept),
    Counter::Core(Note::ClassEnded),
    Counter::Map("founded"),
    Counter::Map("another version than the next was learnt"),
    Counter::Map("another storage named"),
    Counter::Map("written and never told"),
    Counter::Map("file lost"),
    Counter::Map("file damaged"),
    Counter::Map("damaged file refused"),
    Counter::Map("a disk is spared for the votes on it"),
    Counter::Core(Note::Joined),
    Counter::Core(Note::Departing),
    Counter::Core(Note::Departed),
    Counter::Core(Note::ShippedAnew),
    Counter::Core(Note::EpochsMissed),
    Counter::Core(Note::Regained),
    Counter::Ring("staged"),
    Counter::Ring("committed"),
    Counter::Ring("cancelled"),
    Counter::Ring("cleared"),
    Counter::Ring("bucket dropped"),
    Counter::Ring("no bucket to drop"),
    Counter::Ring("conflict"),
    Counter::Ring("refused"),
    Counter::Ring("not decided in time"),
    Counter::Ring("forgotten"),
    Counter::Turn("a node joined"),
    Counter::Turn("a member is none any more"),
    Counter::Turn("a member came back"),
    Counter::Turn("a machine is gone for good"),
    Counter::Turn("a member is taken for dead"),
    Counter::Turn("removed by force"),
    Counter::Turn("who was taken for dead hears of it"),
    Counter::Turn("given up while it was away"),
    Counter::Turn("who was given up is back"),
    Counter::Turn("who was given up is turned away"),
    Counter::Turn("somebody dies at a message of a move"),
    Counter::Error("quorum_not_met"),
    Counter::Error("unavailable"),
    Counter::Error("in_doubt"),
    Counter::Error("deadline_exceeded"),
    Counter::Error("bad_context"),
    Counter::Error("storage_failed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_named_and_what_happened_is_not() {
        let mut counters = Counters::default();
        counters.count(PROVOKED[0]);
        let mut sum = Counters::default();
        sum.add(&counters);
        sum.add(&counters);
        assert_eq!(sum.of(PROVOKED[0]), 2);
        assert_eq!(sum.silent(), PROVOKED[1..]);
    }
}
