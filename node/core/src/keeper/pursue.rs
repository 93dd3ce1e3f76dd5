//! Wishes, from the first look at them to their end.

use quorate_protocol::WireError;
use quorate_protocol::client::ClientReply;
use rand_chacha::rand_core::Rng;

use super::wish::{Judged, What, Wish};
use super::{Keeper, KeeperEffect, MapRequest, refusal};
use crate::effects::{Now, Ticket};
use crate::register::{Outcome, Proposal, Refusal, RegisterInput};

/// Between two tries to have this node's storage named: at least this, and by chance up to twice as long, microseconds.
const NAMING_PAUSE_US: u64 = 1_000_000;

impl Keeper {
    pub(super) fn wish(
        &mut self,
        now: Now,
        waiter: Ticket,
        request: MapRequest,
        deadline_ms: u32,
        effects: &mut Vec<KeeperEffect>,
    ) {
        let (what, request) = match request {
            MapRequest::Put(put) => (What::Put(put.name, put.props), put.request),
            MapRequest::Ring(asked) => {
                let request = asked.request;
                (What::Ring(Box::new(asked)), request)
            }
        };
        // Who waits is to hear of the end before he gives up.
        let patience_ms = u64::from(deadline_ms - deadline_ms / 8);
        let wish = Wish {
            what,
            waiter: Some(waiter),
            request,
            deadline_us: now.mono_us.saturating_add(patience_ms * 1000),
            proposed: false,
        };
        self.add(now, wish, effects);
    }

    pub(super) fn add(&mut self, now: Now, wish: Wish, effects: &mut Vec<KeeperEffect>) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.wishes.insert(ticket, wish);
        self.pursue(now, ticket, effects);
    }

    /// Takes one wish as far as it gets with the newest version.
    pub(super) fn pursue(&mut self, now: Now, ticket: Ticket, effects: &mut Vec<KeeperEffect>) {
        let Some(wish) = self.wishes.get(&ticket).cloned() else {
            return;
        };
        match self.judge(&wish) {
            Judged::Settled(reply) => self.end(now, ticket, reply.map(|reply| *reply), effects),
            Judged::Recover(gone) => {
                if let Some(wish) = self.wishes.get_mut(&ticket) {
                    wish.proposed = true;
                }
                let left_us = wish.deadline_us.saturating_sub(now.mono_us);
                let input = RegisterInput::Recover {
                    ticket,
                    request: wish.request,
                    gone,
                    deadline_ms: u32::try_from(left_us / 1000).unwrap_or(u32::MAX),
                };
                self.feed(now, input, effects);
            }
            Judged::Next(what, draft) => {
                if let Some(refusal) = self.hopeless() {
                    return self.end(now, ticket, Some(refusal.into()), effects);
                }
                if let Some(wish) = self.wishes.get_mut(&ticket) {
                    wish.proposed = true;
                }
                let left_us = wish.deadline_us.saturating_sub(now.mono_us);
                let proposal = Proposal {
                    request: wish.request,
                    base: self.register.newest().name(),
                    what,
                    draft: *draft,
                };
                let input = RegisterInput::Propose {
                    ticket,
                    proposal: Box::new(proposal),
                    deadline_ms: u32::try_from(left_us / 1000).unwrap_or(u32::MAX),
                };
                self.feed(now, input, effects);
            }
        }
    }

    /// What the register says of a wish that was proposed.
    pub(super) fn outcome(
        &mut self,
        now: Now,
        ticket: Ticket,
        outcome: Outcome,
        effects: &mut Vec<KeeperEffect>,
    ) {
        let Some(wish) = self.wishes.get_mut(&ticket) else {
            return;
        };
        let refusal = match outcome {
            Outcome::Made(made) => return self.granted(now, ticket, made),
            Outcome::Refused(refusal) => refusal,
        };
        if matches!(wish.what, What::GoOn | What::Generation(_)) {
            return self.end(now, ticket, None, effects);
        }
        match refusal {
            // Another version is there, or about to be: the wish is looked at again on top of it.
            Refusal::Stale { .. }
            | Refusal::Forgotten { .. }
            | Refusal::Behind { .. }
            | Refusal::NotFounded { .. } => wish.proposed = false,
            other @ (Refusal::Invalid(_)
            | Refusal::NotAMember(_)
            | Refusal::Busy(_)
            | Refusal::BeingRecovered { .. }
            | Refusal::NotRecoverable(_)
            | Refusal::Alive { .. }
            | Refusal::NotAllAnswered { .. }
            | Refusal::NoMajority { .. }
            | Refusal::InDoubt { .. }) => {
                let error = refusal::of_register(&self.register.newest().map().map, &other);
                self.end(now, ticket, Some(error.into()), effects);
            }
        }
    }

    /// Looks at waiting wishes again when another version has come, and ends those whose time is over.
    pub(super) fn look_again(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        let changed = std::mem::take(&mut self.changed);
        let waiting = self.wishes.iter().filter(|(_, wish)| !wish.proposed);
        let waiting: Vec<(Ticket, u64)> = waiting
            .map(|(&ticket, wish)| (ticket, wish.deadline_us))
            .collect();
        for (ticket, deadline_us) in waiting {
            if deadline_us <= now.mono_us {
                let error = self.too_late();
                self.end(now, ticket, Some(error.into()), effects);
            } else if changed {
                self.pursue(now, ticket, effects);
            }
        }
    }

    /// Ends a wish, and answers who waits for it.
    pub(super) fn end(
        &mut self,
        now: Now,
        ticket: Ticket,
        reply: Option<ClientReply>,
        effects: &mut Vec<KeeperEffect>,
    ) {
        let Some(wish) = self.wishes.remove(&ticket) else {
            return;
        };
        match (wish.waiter, reply) {
            (Some(ticket), Some(reply)) => effects.push(KeeperEffect::Reply { ticket, reply }),
            (None, _) if wish.what == What::GoOn => self.plan_to_go_on_again(now),
            (None, _) if matches!(wish.what, What::Generation(_)) => self.plan_a_generation(now),
            (None, _) => {
                let more_us = self.rng.next_u64() % NAMING_PAUSE_US;
                self.name_at_us = now.mono_us.saturating_add(NAMING_PAUSE_US + more_us);
            }
            (Some(_), None) => {}
        }
    }

    /// Why nothing can be decided now, as far as this node sees.
    pub(super) fn hopeless(&self) -> Option<WireError> {
        let version = self.register.newest().map();
        let silent = self.silent();
        let founded = self.register.is_founded();
        let enough = if founded {
            version.voters.len() / 2 + 1
        } else {
            version.voters.len()
        };
        let answer = version.voters.len() - silent.len();
        if answer >= enough {
            None
        } else if founded {
            Some(refusal::no_majority(&version.map, &silent))
        } else {
            Some(refusal::not_founded(&version.map, &silent))
        }
    }

    /// A wish that waited for another version waited too long.
    pub(super) fn too_late(&self) -> WireError {
        let version = self.register.newest().map();
        let status = self.register.status();
        let missing = status.attempt.map(|attempt| attempt.missing);
        let missing = missing.unwrap_or_else(|| self.silent());
        if self.register.is_founded() {
            refusal::no_majority(&version.map, &missing)
        } else {
            refusal::not_founded(&version.map, &missing)
        }
    }
}
