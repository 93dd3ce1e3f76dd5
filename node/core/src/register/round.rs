//! One attempt to decide the next version.

use quorate_protocol::peer::Ballot;
use quorate_ring::NodeId;

use super::version::Version;
use super::votes::Votes;

/// One attempt of this node, under a ballot that nobody else has.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) ballot: Ballot,
    pub(super) votes: Votes,
    pub(super) phase: Phase,
    /// When those who did not answer are asked again.
    pub(super) resend_at_us: u64,
    interval_us: u64,
}

/// How far it has come.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Asking for promises.
    Preparing {
        /// What was accepted in the latest attempt that anybody knows of.
        best: Option<(Ballot, Version)>,
    },
    /// Asking for this version to be accepted.
    Accepting(Version),
}

impl Round {
    pub(super) fn new(ballot: Ballot, now_us: u64, interval_us: u64) -> Self {
        Self {
            ballot,
            votes: Votes::default(),
            phase: Phase::Preparing { best: None },
            resend_at_us: now_us.saturating_add(interval_us),
            interval_us,
        }
    }

    /// Counts a promise, and what came with it.
    pub(super) fn promised(&mut self, accepted: Option<(Ballot, Version)>) {
        let Phase::Preparing { best } = &mut self.phase else {
            return;
        };
        let later =
            |(ballot, _): &(Ballot, Version)| best.as_ref().is_none_or(|(known, _)| ballot > known);
        if let Some(accepted) = accepted.filter(later) {
            *best = Some(accepted);
        }
    }

    /// All promises needed are there: goes on to have a version accepted.
    pub(super) fn accepting(&mut self, version: Version, now_us: u64, interval_us: u64) {
        *self = Self {
            phase: Phase::Accepting(version),
            ..Self::new(self.ballot, now_us, interval_us)
        };
    }

    /// The version that voters are asked to accept.
    pub(super) fn offer(&self) -> Option<&Version> {
        match &self.phase {
            Phase::Preparing { .. } => None,
            Phase::Accepting(version) => Some(version),
        }
    }

    /// Whether those who are silent are to be asked again now; then, the next time is further off.
    pub(super) fn repeat_if_due(&mut self, now_us: u64, interval_us_max: u64) -> bool {
        if now_us < self.resend_at_us {
            return false;
        }
        self.interval_us = self.interval_us.saturating_mul(2).min(interval_us_max);
        self.resend_at_us = now_us.saturating_add(self.interval_us);
        true
    }

    /// Voters of `parent` that did not answer.
    pub(super) fn missing(&self, parent: &Version, founded: bool) -> Vec<NodeId> {
        self.votes.missing(parent.map(), founded)
    }
}
