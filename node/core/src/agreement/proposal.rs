//! One definition on its way into force, at the node that proposes it.

use std::collections::BTreeSet;

use quorate_protocol::map::Bucket;
use quorate_ring::NodeId;

use crate::effects::{Now, Ticket};

/// Unanswered members are asked again after this time: a message may be lost.
const REPEAT_US: u64 = 300_000;
/// How long the answer to the client waits for members to confirm what is in force.
const CONFIRM_US: u64 = 1_000_000;

/// A client that waits for the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) deadline_us: u64,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Members are asked to keep it; these did.
    Asking { yes: BTreeSet<NodeId> },
    /// It is in force here; these confirmed that it is there too.
    Committing {
        confirmed: BTreeSet<NodeId>,
        until_us: u64,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// Random: votes for an earlier round, or of an earlier life, match nothing.
    op: u64,
    bucket: Bucket,
    /// Number of the state in which this node keeps it.
    kept_in: u64,
    waiters: Vec<Waiter>,
    repeat_us: u64,
    stage: Stage,
}

impl Proposal {
    pub(super) fn new(op: u64, bucket: Bucket, kept_in: u64, now: Now) -> Self {
        Self {
            op,
            bucket,
            kept_in,
            waiters: Vec::new(),
            repeat_us: now.mono_us + REPEAT_US,
            stage: Stage::Asking {
                yes: BTreeSet::new(),
            },
        }
    }

    pub(super) fn op(&self) -> u64 {
        self.op
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) fn is_asking(&self) -> bool {
        match self.stage {
            Stage::Asking { .. } => true,
            Stage::Committing { .. } => false,
        }
    }

    pub(super) fn join(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    pub(super) fn into_waiters(self) -> Vec<Waiter> {
        self.waiters
    }

    /// Starts over with another definition that grants the same.
    pub(super) fn switch(&mut self, op: u64, bucket: Bucket, kept_in: u64, now: Now) {
        let waiters = std::mem::take(&mut self.waiters);
        *self = Self {
            waiters,
            ..Self::new(op, bucket, kept_in, now)
        };
    }

    /// Takes the word of a member that it keeps this definition, or that it is in force there.
    pub(super) fn confirm(&mut self, op: u64, from: NodeId) {
        if op == self.op {
            self.answered().insert(from);
        }
    }

    /// This node votes yes when the state in which it keeps the definition is durable.
    pub(super) fn count_own_vote(&mut self, me: NodeId, durable: u64) {
        if durable >= self.kept_in {
            self.answered().insert(me);
        }
    }

    /// All members keep it, and it is not in force yet.
    pub(super) fn is_agreed(&self, members: &BTreeSet<NodeId>) -> bool {
        self.is_asking() && self.missing(members).is_empty()
    }

    /// A majority keeps it, and it is not in force yet. That is too few: see
    /// [`crate::Plant::MajorityAgrees`].
    pub(super) fn has_majority(&self, members: &BTreeSet<NodeId>) -> bool {
        self.is_asking() && 2 * self.missing(members).len() < members.len()
    }

    pub(super) fn commit(&mut self, me: NodeId, now: Now) {
        self.repeat_us = now.mono_us + REPEAT_US;
        self.stage = Stage::Committing {
            confirmed: BTreeSet::from([me]),
            until_us: now.mono_us + CONFIRM_US,
        };
    }

    /// In force, and confirmed by all or for long enough.
    pub(super) fn is_done(&self, members: &BTreeSet<NodeId>, now: Now) -> bool {
        match self.stage {
            Stage::Asking { .. } => false,
            Stage::Committing { until_us, .. } => {
                now.mono_us >= until_us || self.missing(members).is_empty()
            }
        }
    }

    /// Members that were asked and did not answer.
    pub(super) fn missing(&self, members: &BTreeSet<NodeId>) -> Vec<NodeId> {
        match &self.stage {
            Stage::Asking { yes: answered }
            | Stage::Committing {
                confirmed: answered,
                ..
            } => members.difference(answered).copied().collect(),
        }
    }

    fn answered(&mut self) -> &mut BTreeSet<NodeId> {
        match &mut self.stage {
            Stage::Asking { yes: answered }
            | Stage::Committing {
                confirmed: answered,
                ..
            } => answered,
        }
    }

    /// Clients whose deadline passed while members were asked. What is in force is answered soon anyway.
    pub(super) fn take_late(&mut self, now: Now) -> Vec<Waiter> {
        if !self.is_asking() {
            return Vec::new();
        }
        let (late, waiting) = self
            .waiters
            .iter()
            .partition(|waiter| waiter.deadline_us <= now.mono_us);
        self.waiters = waiting;
        late
    }

    /// Nobody waits for it any more, and it is not in force.
    pub(super) fn is_abandoned(&self) -> bool {
        self.is_asking() && self.waiters.is_empty()
    }

    /// Whether those that did not answer are to be asked again now.
    pub(super) fn repeat_if_due(&mut self, now: Now) -> bool {
        let due = now.mono_us >= self.repeat_us;
        if due {
            self.repeat_us = now.mono_us + REPEAT_US;
        }
        due
    }

    pub(super) fn next_timer(&self) -> u64 {
        let end = match self.stage {
            Stage::Asking { .. } => self.waiters.iter().map(|waiter| waiter.deadline_us).min(),
            Stage::Committing { until_us, .. } => Some(until_us),
        };
        end.unwrap_or(u64::MAX).min(self.repeat_us)
    }
}
