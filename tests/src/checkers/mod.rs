//! The judges of a run, one invariant each.
//!
//! | file | invariant | judges |
//! |---|---|---|
//! | `lost_writes` | I1 no acknowledged write lost | history, final state |
//! | `invention` | I2 no invention; refused means never visible | history, final state |
//! | `resurrection` | I3 no resurrection | history, final state |
//! | `false_siblings` | I4 no false siblings | history |
//! | `contexts` | I5 context sanity | history, final state |
//! | `listings` | listings name what is there | history |
//! | `last_write` | I8 the last write wins | history, stamps in batches, final state |
//! | `sessions` | I7 session guarantees | history |
//! | `freshness` | P4 reads with r + w > n are fresh | history |
//! | `ack_truth` | I10 acknowledgements are true | every batch and sync |
//! | `dot_uniqueness` | I11 a dot is given out once | every batch |
//! | `expiry` | a value is there as long as its writer said, and no longer | history, expiries in batches, final state |
//! | `bounded` | I14 a quiet cluster has let go of everything | nodes at the end |
//! | `maps` | the cluster map: one content for each version, and none forgotten | every change at any node, answers, final state |
//! | `availability` | I15 writes succeed beside a dead node | history, outages |
//! | `given_up` | what a majority excuses that is lost for good | history, batches |
//! | `removal` | what a forced removal excuses, rule 13 | history, versions, batches |
//! | `zones` | A11 no two copies in one zone | every version |
//! | `retries` | I11 a request gets one dot while somebody remembers it | every batch, disks |
//!
//! I6 (convergence), and of I15 that everything ends, are judged where the run ends, in `sim/run.rs`. I18
//! (damage is never passed on) are I1 to I8 and I6 in runs whose disks are destroyed; I19 is
//! `quorate-sim --twice`. `causal` is what the history says of cause and effect, without asking the store.

pub mod ack_truth;
pub mod availability;
pub mod bounded;
pub mod causal;
pub mod contexts;
pub mod dot_uniqueness;
pub mod expiry;
pub mod false_siblings;
pub mod freshness;
pub mod given_up;
pub mod invention;
pub mod last_write;
pub mod listings;
pub mod lost_writes;
pub mod maps;
pub mod removal;
pub mod resurrection;
pub mod retries;
pub mod sessions;
#[cfg(test)]
pub(crate) mod testing;
pub mod zones;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::Dot;
use quorate_ring::BucketId;

use crate::history::{History, Key, Kind, Operation, Shown, WriteId};
use crate::sim::config::Profile;
use causal::Causal;
pub use given_up::Lost;
pub use removal::{Missing, Unaware};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its short name.
    pub invariant: &'static str,
    /// The key concerned, if it is one key.
    pub key: Option<Key>,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// One that concerns a key.
    #[must_use]
    pub const fn of(invariant: &'static str, key: Key, what: String) -> Self {
        Self {
            invariant,
            key: Some(key),
            what,
        }
    }

    /// One that concerns no key in particular.
    #[must_use]
    pub const fn general(invariant: &'static str, what: String) -> Self {
        Self {
            invariant,
            key: None,
            what,
        }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key {
            Some(key) => write!(f, "{} on {key}: {}", self.invariant, self.what),
            None => write!(f, "{}: {}", self.invariant, self.what),
        }
    }
}

/// What a run left behind to be judged.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// What clients did and saw.
    pub history: &'a History,
    /// What all primaries of each key held in the end; keys without versions may be absent.
    pub finals: BTreeMap<Key, BTreeSet<Shown>>,
    /// Copies of each bucket.
    pub copies: BTreeMap<BucketId, u8>,
    /// Buckets whose answers are chosen by stamp.
    pub by_stamp: BTreeSet<BucketId>,
    /// The run's weather.
    pub profile: Profile,
    /// Unsynced data was lost in a power cut.
    pub power_lost: bool,
    /// When which processes did not run.
    pub outages: &'a [Outage],
    /// When a replica had lost what it held of a key, and could not know it.
    pub blind: Vec<Blind>,
    /// From when on the cluster had so many members; empty where that never changed.
    pub members: &'a [(u64, usize)],
    /// When members had been removed by force and did not know it.
    pub unaware: &'a [Unaware],
    /// When nobody else held an acknowledged write.
    pub missing: &'a [Missing],
    /// When nobody held a write but members that are gone for good.
    pub lost: &'a [Lost],
    /// The time stamp of every version that any node ever stored.
    pub stamps: &'a BTreeMap<Dot, u64>,
    /// By how much two clocks differed at most, at any two times of the run, milliseconds.
    pub skew_ms: u64,
    /// When what nodes stored of writes expires.
    pub expiries: BTreeMap<WriteId, Expiries>,
    /// When the run ended, microseconds.
    pub end_us: u64,
}

/// When the versions that one write made expire: more than one where it was carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiries {
    /// The first of them, by a clock that is right, microseconds; `None`: one of them never expires.
    pub first_us: Option<u64>,
    /// The last of them; `None`: one of them never expires.
    pub last_us: Option<u64>,
    /// Before this time every node shows it.
    pub hidden_from_us: u64,
    /// After this time no node shows it.
    pub hidden_by_us: u64,
}

/// A time in which a replica of a key had lost it without a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blind {
    /// The key.
    pub key: Key,
    /// It vanished then, microseconds.
    pub from_us: u64,
    /// It was there again then.
    pub until_us: u64,
}

/// A time in which a node's process did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The node's place.
    pub node: usize,
    /// It ended then, microseconds.
    pub from_us: u64,
    /// It was started again then; the end of time if it was not.
    pub until_us: u64,
}

impl Evidence<'_> {
    /// What a key holds in the end.
    #[must_use]
    pub fn final_of(&self, key: Key) -> BTreeSet<Shown> {
        self.finals.get(&key).cloned().unwrap_or_default()
    }

    /// The operations on each key, in the order in which they began.
    #[must_use]
    pub fn operations_by_key(&self) -> BTreeMap<Key, Vec<&Operation>> {
        let mut by_key: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
        for operation in &self.history.operations {
            by_key.entry(operation.key).or_default().push(operation);
        }
        by_key
    }

    /// Whether a write that ended ok must be known somewhere in the end.
    #[must_use]
    pub fn is_kept(&self, operation: &Operation) -> bool {
        self.was_promised(operation) && !given_up::is_lost(self, operation)
    }

    /// Whether a write that ended ok must be known somewhere as long as somebody is left who held it. Where power went off, a
    /// single copy that was not synced may be gone; the fault schedule never takes two holders of one write.
    #[must_use]
    pub fn was_promised(&self, operation: &Operation) -> bool {
        let Kind::Write { w, dw, .. } = operation.kind else {
            return false;
        };
        operation.is_ok() && (!self.power_lost || w >= 2 || dw >= 1)
    }

    /// Whether two nodes were down at the same time somewhere between two times, both included.
    #[must_use]
    pub fn several_down(&self, from_us: u64, until_us: u64) -> bool {
        let together = |one: &Outage, other: &Outage| {
            let begin_us = one.from_us.max(other.from_us).max(from_us);
            one.node != other.node && begin_us <= one.until_us.min(other.until_us).min(until_us)
        };
        self.outages
            .iter()
            .any(|one| self.outages.iter().any(|other| together(one, other)))
    }

    /// The fewest members that the cluster had at a time between two, both included.
    #[must_use]
    pub fn fewest_members(&self, from_us: u64, until_us: u64) -> usize {
        let ends = self.members.iter().skip(1).map(|&(at_us, _)| at_us);
        let spans = self.members.iter().zip(ends.chain([u64::MAX]));
        let meets =
            spans.filter(|((began_us, _), ended_us)| *began_us <= until_us && from_us <= *ended_us);
        meets
            .map(|((_, count), _)| *count)
            .min()
            .unwrap_or(usize::MAX)
    }

    /// Whether a read may have asked nobody but a replica that denied in good faith what it had lost.
    #[must_use]
    pub fn is_blind(&self, read: &Operation) -> bool {
        read.alone && self.is_blind_to(read.key, read)
    }

    /// Whether a replica of a key denied in good faith what it had lost, while an operation went on.
    #[must_use]
    pub fn is_blind_to(&self, key: Key, operation: &Operation) -> bool {
        let meets = |blind: &Blind| {
            blind.key == key
                && blind.from_us <= operation.completed_us
                && operation.invoked_us <= blind.until_us
        };
        self.blind.iter().any(meets)
    }

    /// Whether causality alone decides what a bucket's answers are.
    #[must_use]
    pub fn is_causal(&self, key: Key) -> bool {
        !self.by_stamp.contains(&key.bucket)
    }
}

/// All that the judges find.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Vec<Violation> {
    let causal = Causal::new(evidence);
    let judges = [
        invention::judge,
        lost_writes::judge,
        resurrection::judge,
        false_siblings::judge,
        contexts::judge,
        listings::judge,
        sessions::judge,
        freshness::judge,
        last_write::judge,
        availability::judge,
        expiry::judge,
    ];
    judges
        .into_iter()
        .flat_map(|judge| judge(evidence, &causal))
        .collect()
}
