//! A cluster is recovered after a majority of its members is gone for good: whoever was ordered to asks all that are left.
//!
//! The first version of the next *lineage* is a register of its own, whatever version it is made from, and its quorum is
//! everybody who is left. See the module's documentation for why that is safe.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::peer::{
    Ballot, MapForsake, MapForsaken, MapNotForsaken, MapRecover, MapRecovered,
};
use quorate_protocol::versioned::{Going, MapChange, Voter};
use quorate_protocol::{RequestId, StorageId};
use quorate_ring::NodeId;

use super::waiting::Waiter;
use super::{Outcome, Refusal, Register, RegisterMessage, Version};
use crate::effects::{Now, Ticket};
use crate::moves::recovered;
use crate::plant::Plant;

/// This node's attempt to recover the cluster.
#[derive(Clone, Debug)]
pub(super) struct Recovering {
    pub(super) request: RequestId,
    pub(super) waiters: Vec<Waiter>,
    gone: Vec<NodeId>,
    ballot: Ballot,
    phase: Phase,
    resend_at_us: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Who is left is asked to give up the lineage.
    Asking(BTreeMap<NodeId, Left>),
    /// Everybody who did is asked to accept this.
    Offering {
        version: Version,
        missing: BTreeSet<NodeId>,
    },
}

/// What a member that is left has.
#[derive(Clone, Debug)]
struct Left {
    storage: StorageId,
    newest: Version,
    accepted: Option<(Ballot, Version)>,
    recovered: Option<(Ballot, Version)>,
}

impl Register {
    /// An operator's order.
    pub(super) fn recover(
        &mut self,
        now: Now,
        ticket: Ticket,
        (request, mut gone): (RequestId, Vec<NodeId>),
        deadline_ms: u32,
    ) {
        gone.sort_unstable();
        gone.dedup();
        let left_us = u64::from(deadline_ms).saturating_mul(1000);
        let waiter = Waiter {
            ticket,
            deadline_us: now.mono_us.saturating_add(left_us),
        };
        if let Some(made) = self.made(request) {
            return self.tell(ticket, made);
        }
        if let Some(running) = &mut self.recovering {
            if running.gone == gone {
                running.waiters.push(waiter);
            } else {
                self.refuse(ticket, Refusal::Busy(1));
            }
            return;
        }
        let map = self.known.map();
        let over = |node: &NodeId| map.recovered_without(*node).is_some();
        if !gone.is_empty() && gone.iter().all(over) {
            return self.tell(ticket, self.known.name());
        }
        if let Err(refusal) = self.may_recover(now, &gone) {
            return self.refuse(ticket, refusal);
        }
        self.begin_recovery(now, request, gone, vec![waiter]);
    }

    fn begin_recovery(
        &mut self,
        now: Now,
        request: RequestId,
        gone: Vec<NodeId>,
        waiters: Vec<Waiter>,
    ) {
        let promised = self.pledge.as_ref().map_or(0, |one| one.promised.round);
        self.seen_round = self.seen_round.max(promised).saturating_add(1);
        self.recovering = Some(Recovering {
            request,
            waiters,
            gone,
            ballot: Ballot::new(self.seen_round, self.config.me, self.life),
            phase: Phase::Asking(BTreeMap::new()),
            resend_at_us: now.mono_us.saturating_add(self.config.pace.resend_us),
        });
        self.ask_who_is_left();
    }

    /// Whether the cluster can be recovered so, before anybody gives up anything.
    fn may_recover(&self, now: Now, gone: &[NodeId]) -> Result<(), Refusal> {
        let me = self.config.me;
        let refused = |why: String| Err(Refusal::NotRecoverable(why));
        if !self.is_member(me) {
            return Err(Refusal::NotAMember(me));
        }
        if gone.contains(&me) {
            return refused("the node that is asked is among those called gone".to_owned());
        }
        let map = self.known.map();
        if let Some(node) = gone.iter().find(|&&node| !map.admits(node)) {
            return refused(format!("{node} is no member of version {}", map.version));
        }
        let left = map
            .voters
            .iter()
            .filter(|voter| !gone.contains(&voter.node));
        if self.is_founded() && 2 * left.count() > map.voters.len() {
            return refused(
                "a majority of the voters is left, so nothing has to be given up: remove the others with `quorate cluster force-remove`"
                    .to_owned(),
            );
        }
        let left = self.members_left(&self.known, gone).into_iter();
        let storages = left.map(|node| (node, self.config.storage)).collect();
        let made = self.recovery_of(now, &self.known, RequestId::new(0, 0), gone, &storages);
        made.map(drop)
    }

    /// Members of a version that are not called gone, now or before.
    fn members_left(&self, version: &Version, gone: &[NodeId]) -> BTreeSet<NodeId> {
        let map = version.map();
        let is_dead = |node| map.going(node).is_some_and(Going::is_dead);
        let members = map.map.members.iter().map(|member| member.id);
        let left = members.filter(|&node| !gone.contains(&node) && !is_dead(node));
        left.collect()
    }

    /// Who must answer: whoever is left of the newest version here, and of the voters of the newest that those know.
    fn required(&self) -> BTreeSet<NodeId> {
        let Some(recovering) = &self.recovering else {
            return BTreeSet::new();
        };
        let mut required = self.members_left(&self.known, &recovering.gone);
        if let Phase::Asking(answers) = &recovering.phase
            && let Some(base) = base_of(answers)
        {
            let voters = base.map().voters.iter().map(|voter| voter.node);
            let left = self.members_left(&base, &recovering.gone);
            required.extend(voters.filter(|node| left.contains(node)));
            // Who has left meanwhile is no member there.
            let is_member = |node: &NodeId| base.map().map.member(*node).is_some();
            required.retain(is_member);
        }
        required
    }

    /// Who has not answered yet.
    pub(super) fn not_heard(&self) -> Vec<NodeId> {
        match self.recovering.as_ref().map(|one| &one.phase) {
            None => Vec::new(),
            Some(Phase::Offering { missing, .. }) => missing.iter().copied().collect(),
            Some(Phase::Asking(answers)) => {
                let required = self.required().into_iter();
                required
                    .filter(|node| !answers.contains_key(node))
                    .collect()
            }
        }
    }

    fn ask_who_is_left(&mut self) {
        let lineage = self.known.name().version.lineage();
        let Some(recovering) = &self.recovering else {
            return;
        };
        let ballot = recovering.ballot;
        let message = match &recovering.phase {
            Phase::Asking(_) => RegisterMessage::Forsake(MapForsake {
                lineage,
                ballot,
                gone: recovering.gone.clone(),
            }),
            Phase::Offering { version, .. } => RegisterMessage::Recover(MapRecover {
                lineage,
                ballot,
                map: version.bytes().clone(),
            }),
        };
        for to in self.not_heard() {
            self.send(to, message.clone());
        }
    }

    /// Asks again who is silent, and ends the attempt when nobody waits for it any more.
    pub(super) fn drive_recovery(&mut self, now: Now) {
        let missing = self.not_heard();
        let Some(recovering) = &mut self.recovering else {
            return;
        };
        let late = |waiter: &Waiter| waiter.deadline_us <= now.mono_us;
        let gone = recovering.waiters.iter().filter(|waiter| late(waiter));
        let gone: Vec<Ticket> = gone.map(|waiter| waiter.ticket).collect();
        recovering.waiters.retain(|waiter| !late(waiter));
        let over = recovering.waiters.is_empty();
        let due = recovering.resend_at_us <= now.mono_us;
        if due {
            recovering.resend_at_us = now.mono_us.saturating_add(self.config.pace.resend_us);
        }
        for ticket in gone {
            let missing = missing.clone();
            self.refuse(ticket, Refusal::NotAllAnswered { missing });
        }
        if over {
            self.recovering = None;
        } else if due {
            self.ask_who_is_left();
        }
    }

    pub(super) fn recovery_timer(&self) -> u64 {
        let Some(recovering) = &self.recovering else {
            return u64::MAX;
        };
        let deadlines = recovering.waiters.iter().map(|waiter| waiter.deadline_us);
        let first = deadlines.min().unwrap_or(u64::MAX);
        first.min(recovering.resend_at_us)
    }

    pub(super) fn forsaken(&mut self, now: Now, from: NodeId, message: &MapForsaken) {
        let Some(left) = self.left(message) else {
            return;
        };
        match self.current_recovery(message.lineage, message.ballot) {
            Some(Phase::Asking(answers)) => answers.insert(from, left),
            Some(Phase::Offering { .. }) | None => return,
        };
        if self.not_heard().is_empty() || self.breaks(Plant::PledgeOfAFew) {
            self.offer_recovery(now);
        }
    }

    /// What a member has, `None` where this build cannot read it: not to be counted as nothing.
    fn left(&self, message: &MapForsaken) -> Option<Left> {
        let read = |(ballot, bytes): &(Ballot, bytes::Bytes)| {
            Version::parse(bytes).ok().map(|version| (*ballot, version))
        };
        let newest = Version::parse(&message.newest).ok()?;
        let accepted = message.accepted.as_ref().map(read);
        let recovered = message.recovered.as_ref().map(read);
        let unreadable = matches!(accepted, Some(None)) || matches!(recovered, Some(None));
        let (accepted, recovered) = (accepted.flatten(), recovered.flatten());
        let forgets = self.breaks(Plant::RecoveredFromNothing);
        (!unreadable).then_some(Left {
            storage: message.storage,
            newest,
            accepted: accepted.filter(|_| !forgets),
            recovered: recovered.filter(|_| !forgets),
        })
    }

    fn current_recovery(&mut self, lineage: u16, ballot: Ballot) -> Option<&mut Phase> {
        let mine = self.known.name().version.lineage();
        let recovering = self.recovering.as_mut()?;
        (lineage == mine && recovering.ballot == ballot).then_some(&mut recovering.phase)
    }

    /// Everybody who is left has answered: they are to accept the version of the latest attempt that any of them
    /// knows; else the one that follows from all they know.
    fn offer_recovery(&mut self, now: Now) {
        let Some(recovering) = &self.recovering else {
            return;
        };
        let Phase::Asking(answers) = &recovering.phase else {
            return;
        };
        let earlier = answers.values().filter_map(|left| left.recovered.as_ref());
        let earlier = earlier.max_by_key(|(ballot, _)| *ballot);
        let storages = answers.iter().map(|(&node, left)| (node, left.storage));
        let storages: BTreeMap<NodeId, StorageId> = storages.collect();
        let version = match (earlier, base_of(answers)) {
            (Some((_, version)), _) => Ok(version.clone()),
            (None, Some(base)) => {
                let (request, gone) = (recovering.request, &recovering.gone);
                self.recovery_of(now, &base, request, gone, &storages)
            }
            (None, None) => return,
        };
        match version {
            Err(refusal) => self.end_recovery(&refusal),
            Ok(version) => {
                if let Some(recovering) = &mut self.recovering {
                    let missing = storages.into_keys().collect();
                    recovering.phase = Phase::Offering { version, missing };
                }
                self.ask_who_is_left();
            }
        }
    }

    /// The first version of the next lineage, made from this one with those whose storages are known.
    fn recovery_of(
        &self,
        now: Now,
        base: &Version,
        request: RequestId,
        gone: &[NodeId],
        storages: &BTreeMap<NodeId, StorageId>,
    ) -> Result<Version, Refusal> {
        let is_member = |node: NodeId| base.map().map.member(node).is_some();
        let voters = storages.iter().filter(|&(&node, _)| is_member(node));
        let voters = voters.map(|(&node, &storage)| Voter {
            node,
            storage: Some(storage),
        });
        let refused = |why: String| Refusal::NotRecoverable(why);
        let gone: Vec<NodeId> = gone
            .iter()
            .copied()
            .filter(|&node| is_member(node))
            .collect();
        let next = recovered(base.map(), &gone, voters.collect());
        let next = next.map_err(|error| refused(error.to_string()))?;
        let change = MapChange {
            request,
            by: self.config.me,
            wall_ms: now.wall_ms,
            what: next.what,
        };
        Ok(base.recovered(change, next.draft, gone)?)
    }

    pub(super) fn recovery_accepted(&mut self, from: NodeId, message: MapRecovered) {
        let decided = match self.current_recovery(message.lineage, message.ballot) {
            Some(Phase::Offering { version, missing }) => {
                missing.remove(&from);
                missing.is_empty().then(|| version.clone())
            }
            Some(Phase::Asking(_)) | None => None,
        };
        if let Some(version) = decided {
            self.announce(version);
        }
    }

    pub(super) fn not_forsaken_by(&mut self, now: Now, from: NodeId, message: MapNotForsaken) {
        if self
            .current_recovery(message.lineage, message.ballot)
            .is_none()
        {
            return;
        }
        let alive = message.alive;
        if !alive.is_empty() {
            return self.end_recovery(&Refusal::Alive { alive, by: from });
        }
        self.seen_round = self.seen_round.max(message.promised.round);
        if let Some(recovering) = self.recovering.take() {
            let Recovering {
                request,
                waiters,
                gone,
                ..
            } = recovering;
            self.begin_recovery(now, request, gone, waiters);
            // Two who are ordered at one time must not overtake each other for ever.
            let longest_us = self.config.pace.longest_us;
            let wait_us = self.draw_below(longest_us);
            if let Some(recovering) = &mut self.recovering {
                recovering.resend_at_us = now.mono_us.saturating_add(wait_us);
            }
        }
    }

    fn end_recovery(&mut self, refusal: &Refusal) {
        let ended = self.recovering.take();
        for waiter in ended.into_iter().flat_map(|one| one.waiters) {
            self.refuse(waiter.ticket, refusal.clone());
        }
    }

    /// A version of a later lineage is here: tells those who wait for it.
    pub(super) fn recovered_to(&mut self) {
        self.pledge = None;
        let Some(ended) = self.recovering.take() else {
            return;
        };
        let made = self.known.name();
        let map = self.known.shared();
        let done = ended.gone.iter().all(|&node| !map.admits(node));
        for waiter in ended.waiters {
            let outcome = if done {
                Outcome::Made(made)
            } else {
                Outcome::Refused(Refusal::NotRecoverable(format!(
                    "another order came first, and version {made} still has some of the members that this one calls gone: look at it and order again"
                )))
            };
            let ticket = waiter.ticket;
            let effect = super::RegisterEffect::Outcome { ticket, outcome };
            self.outbox.once_durable(effect);
        }
    }
}

/// The last version of the lineage, as far as those who are left can know: the newest that any of them has, or the one after
/// it that one has accepted in the latest attempt, for that may be decided.
fn base_of(answers: &BTreeMap<NodeId, Left>) -> Option<Version> {
    let newest = answers.values().map(|left| &left.newest);
    let newest = newest.max_by_key(|version| version.name())?;
    let accepted = answers.values().filter_map(|left| left.accepted.as_ref());
    let next = accepted.filter(|(_, version)| version.check_follows(newest).is_ok());
    let next = next.max_by_key(|(ballot, _)| *ballot);
    Some(next.map_or(newest, |(_, version)| version).clone())
}
