//! What becomes of a proposal when it comes in.

use quorate_protocol::RequestId;
use quorate_protocol::versioned::{MapChange, MapName};

use super::waiting::{WAITING_MAX, Waiter};
use super::{Outcome, Proposal, Refusal, Register, RegisterEffect, Version};
use crate::effects::{Now, Ticket};
use crate::plant::Plant;

impl Register {
    pub(super) fn propose(
        &mut self,
        now: Now,
        ticket: Ticket,
        proposal: Proposal,
        deadline_ms: u32,
    ) {
        let waiter = Waiter {
            ticket,
            deadline_us: now
                .mono_us
                .saturating_add(u64::from(deadline_ms).saturating_mul(1000)),
        };
        if let Some(made) = self.made(proposal.request) {
            self.tell(ticket, made);
        } else if self.waiting.has(proposal.request) {
            self.waiting.join(proposal.request, waiter);
        } else {
            match self.wanted(now, proposal) {
                Ok(version) => self.wait_for(now, version, waiter),
                Err(refusal) => self.refuse(ticket, refusal),
            }
        }
    }

    /// A version of that request that is known to be decided.
    pub(super) fn made(&self, request: RequestId) -> Option<MapName> {
        if self.breaks(Plant::RetriedChangeMadeAgain) {
            return None;
        }
        let mut history = self.known.history();
        let found = history.find(|past| past.change.request == request);
        found.map(|past| past.name)
    }

    /// Says that a request was made, once that is durable here.
    pub(super) fn tell(&mut self, ticket: Ticket, made: MapName) {
        let outcome = Outcome::Made(made);
        let effect = RegisterEffect::Outcome { ticket, outcome };
        self.outbox.once_durable(effect);
    }

    /// Why a change of `base` is too late.
    pub(super) fn stale(&self, base: MapName) -> Refusal {
        let newest = self.known.name();
        let next = base.version.next();
        let mut history = self.known.history();
        if history.any(|past| past.name.version == next) {
            let what = self.known.map().change.what.clone();
            Refusal::Stale { base, newest, what }
        } else {
            Refusal::Forgotten { base, newest }
        }
    }

    /// The version that a proposal asks for.
    fn wanted(&self, now: Now, proposal: Proposal) -> Result<Version, Refusal> {
        let (me, newest) = (self.config.me, self.known.name());
        let Proposal {
            request,
            base,
            what,
            draft,
        } = proposal;
        if !self.is_member(me) {
            return Err(Refusal::NotAMember(me));
        }
        if base.version > newest.version {
            return Err(Refusal::Behind { base, newest });
        }
        if base != newest && !self.breaks(Plant::StaleChangeMade) {
            return Err(self.stale(base));
        }
        if let Some(pledge) = &self.pledge {
            let gone = pledge.gone.clone();
            return Err(Refusal::BeingRecovered { gone });
        }
        if !self.is_founded() {
            let silent = self.round.as_ref();
            let missing = silent.map_or_else(Vec::new, |round| {
                round.missing(&self.known, self.is_founded())
            });
            return Err(Refusal::NotFounded { missing });
        }
        if self.waiting.is_full() {
            return Err(Refusal::Busy(WAITING_MAX));
        }
        let change = MapChange {
            request,
            by: me,
            wall_ms: now.wall_ms,
            what,
        };
        Ok(self.known.child(change, draft)?)
    }

    fn wait_for(&mut self, now: Now, version: Version, waiter: Waiter) {
        if self.waiting.is_empty() && self.overtaken == 0 {
            self.wake_us = Some(now.mono_us);
        }
        self.waiting.add(version, self.known.name(), waiter);
    }
}
