//! When attempts begin, are repeated and given up.

use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::{Ballot, MapAccept, MapPrepare};
use quorate_ring::NodeId;
use rand_chacha::rand_core::Rng;

use super::round::{Phase, Round};
use super::{Outcome, Pace, Refusal, Register, RegisterEffect, RegisterMessage, Version};
use crate::effects::{Now, Ticket};
use crate::plant::Plant;

impl Register {
    /// Begins, repeats or plans an attempt, as the time asks for it.
    pub(super) fn drive(&mut self, now: Now) {
        let longest_us = self.config.pace.longest_us;
        if self.has_forsaken() {
            self.wake_us = None;
            return;
        }
        if let Some(round) = &mut self.round {
            if round.repeat_if_due(now.mono_us, longest_us) {
                self.ask_missing();
            }
        } else if !self.has_reason() {
            self.wake_us = None;
        } else if self.wake_us.is_some_and(|wake_us| wake_us <= now.mono_us) {
            self.begin(now);
        } else if self.wake_us.is_none() {
            self.wake_us = Some(now.mono_us.saturating_add(self.patience_us()));
        }
    }

    /// Ends proposals whose time is over, and an attempt that nobody waits for any more.
    pub(super) fn give_up_late(&mut self, now: Now) {
        for (ticket, offered) in self.waiting.take_late(now.mono_us) {
            let newest = self.known.name();
            let missing = match &self.round {
                Some(round) => round.missing(&self.known, self.is_founded()),
                None => Vec::new(),
            };
            self.refuse(
                ticket,
                if offered {
                    Refusal::InDoubt { newest, missing }
                } else {
                    Refusal::NoMajority { newest, missing }
                },
            );
        }
        let asking = |round: &Round| round.offer().is_none();
        if self.round.as_ref().is_some_and(asking) && !self.has_reason() {
            self.round = None;
        }
    }

    /// Another node is at a later attempt, and nobody waits for one of this node's: leaves it to that one, as long as
    /// it is heard of. Where every voter must answer, nobody would come to an end otherwise.
    pub(super) fn give_way(&mut self, now: Now, to: NodeId) {
        if to != self.config.me && self.waiting.is_empty() {
            self.round = None;
            let half = self.config.pace.longest_us / 2;
            let wait_us = half.saturating_add(self.draw_below(half));
            self.wake_us = Some(now.mono_us.saturating_add(wait_us));
        }
    }

    /// A later attempt is under way: wait, for longer each time.
    pub(super) fn back_off(&mut self, now: Now) {
        self.round = None;
        self.overtaken = self.overtaken.saturating_add(1);
        let pace = self.config.pace;
        let doubled = pace.back_off_us.saturating_mul(1 << self.overtaken.min(16));
        let wait_us = self.draw_below(doubled.min(pace.longest_us));
        self.wake_us = Some(now.mono_us.saturating_add(wait_us));
    }

    /// Asks those who did not answer yet.
    pub(super) fn ask_missing(&mut self) {
        let Some(round) = &self.round else {
            return;
        };
        let (parent, ballot) = (self.known.name(), round.ballot);
        let message = match &round.phase {
            Phase::Preparing { .. } => RegisterMessage::Prepare(MapPrepare { parent, ballot }),
            Phase::Accepting(version) => RegisterMessage::Accept(MapAccept {
                parent,
                ballot,
                map: version.bytes().clone(),
            }),
        };
        for to in round.missing(&self.known, self.is_founded()) {
            self.send(to, message.clone());
        }
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, refusal: Refusal) {
        let outcome = Outcome::Refused(refusal);
        let effect = RegisterEffect::Outcome { ticket, outcome };
        self.outbox.now(effect);
    }

    /// Whether there is something to decide: a proposal, a version whose fate is not known here, or
    /// storages to be named.
    pub(super) fn has_reason(&self) -> bool {
        let founding = !self.is_founded() && self.votes_here();
        let wanted = !self.waiting.is_empty() || self.acceptor.accepted.is_some() || founding;
        wanted && !self.has_forsaken()
    }

    /// How long to wait before an attempt that nobody overtook yet: not at all with a proposal; not long to found
    /// the cluster, yet not all at once; else for a while, since somebody is probably at it.
    fn patience_us(&mut self) -> u64 {
        let Pace {
            back_off_us,
            longest_us,
            ..
        } = self.config.pace;
        let version = self.known.map();
        if !self.waiting.is_empty() {
            0
        } else if self.is_founded() {
            let half = longest_us / 2;
            half.saturating_add(self.draw_below(half))
        } else {
            let voters = u64::try_from(version.voters.len()).unwrap_or(u64::MAX);
            self.draw_below(back_off_us.saturating_mul(voters).min(longest_us))
        }
    }

    fn begin(&mut self, now: Now) {
        self.wake_us = None;
        let reused = self.breaks(Plant::BallotReused);
        let (promised, life) = if reused {
            (0, LifeId::new(0))
        } else {
            (self.acceptor.promised.round, self.life)
        };
        self.seen_round = self.seen_round.max(promised).saturating_add(1);
        let ballot = Ballot::new(self.seen_round, self.config.me, life);
        let resend_us = self.config.pace.resend_us;
        self.round = Some(Round::new(ballot, now.mono_us, resend_us));
        self.ask_missing();
    }

    /// A random number below that; 0 where there is no choice.
    pub(super) fn draw_below(&mut self, bound: u64) -> u64 {
        if bound <= 1 {
            0
        } else {
            self.rng.next_u64() % bound
        }
    }

    /// Whether the newest version lets this node vote, with the storage that it has.
    pub(super) fn votes_here(&self) -> bool {
        let storage = self.config.storage;
        let voter = self.known.map().voter(self.config.me);
        let named = |named| named == storage || self.anew || self.breaks(Plant::AmnesiacVotes);
        voter.is_some_and(|voter| voter.storage.is_none_or(named))
    }

    /// Whether the voters' storages are known, and can still vote; if not, all must take part.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        self.founds(&self.known)
    }

    pub(super) fn founds(&self, version: &Version) -> bool {
        version.map().is_founded() && !self.anew
    }

    pub(super) fn is_member(&self, node: NodeId) -> bool {
        self.known.map().map.member(node).is_some()
    }
}
