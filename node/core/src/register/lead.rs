//! The proposer's side: answers to this node's attempt.

use quorate_protocol::RequestId;
use quorate_protocol::StorageId;
use quorate_protocol::peer::{Ballot, MapAccepted, MapNewest, MapPromise, MapRefused};
use quorate_protocol::versioned::{MapChange, MapName, Voter};
use quorate_ring::NodeId;

use super::round::{Phase, Round};
use super::votes::Votes;
use super::{Draft, Register, RegisterMessage, Version};
use crate::effects::Now;
use crate::plant::Plant;

impl Register {
    pub(super) fn promised(&mut self, now: Now, from: NodeId, message: MapPromise) {
        let MapPromise {
            parent,
            ballot,
            storage,
            accepted,
        } = message;
        if !self.is_answer(from, parent, ballot) {
            return;
        }
        let known = match accepted {
            None => None,
            Some((ballot, bytes)) => match self.possible(&bytes) {
                Some(version) => Some((ballot, version)),
                // It accepted something that this node cannot read: not to be counted as nothing.
                None => return,
            },
        };
        let Some(round) = self.round.as_mut().filter(|round| round.offer().is_none()) else {
            return;
        };
        round.votes.add(from, storage);
        round.promised(known);
        if self.is_enough(|round| &round.votes, &self.known) {
            self.offer(now);
        }
    }

    pub(super) fn accepted(&mut self, from: NodeId, message: MapAccepted) {
        let MapAccepted {
            parent,
            ballot,
            storage,
        } = message;
        if !self.is_answer(from, parent, ballot) {
            return;
        }
        let Some(round) = &mut self.round else {
            return;
        };
        let Some(version) = round.offer().cloned() else {
            return;
        };
        round.votes.add(from, storage);
        let electorate = if self.breaks(Plant::NewMembersDecide) {
            &version
        } else {
            &self.known
        };
        if self.is_enough(|round| &round.votes, electorate) {
            self.announce(version);
        }
    }

    pub(super) fn refused(&mut self, now: Now, from: NodeId, message: MapRefused) {
        if self.is_answer(from, message.parent, message.ballot) {
            self.seen_round = self.seen_round.max(message.promised.round);
            self.back_off(now);
        }
    }

    /// Whether this answers what this node's attempt asks now.
    fn is_answer(&mut self, from: NodeId, parent: MapName, ballot: Ballot) -> bool {
        // A late answer about an older version needs no answer of its own.
        if parent.version < self.known.name().version {
            return false;
        }
        let current = self
            .round
            .as_ref()
            .is_some_and(|round| round.ballot == ballot);
        // Whoever has given up the lineage has ended its attempt.
        self.is_about_next(from, parent) && current
    }

    fn is_enough(&self, votes: impl Fn(&Round) -> &Votes, electorate: &Version) -> bool {
        let Some(votes) = self.round.as_ref().map(votes) else {
            return false;
        };
        let (map, founded) = (electorate.map(), self.founds(electorate));
        let careless = self.breaks(Plant::AmnesiacVotes) && founded
            || self.breaks(Plant::FoundedByMajority) && !founded;
        votes.decide(map, founded) || careless && votes.has_most_nodes(map)
    }

    /// Has a version accepted: the one of the latest attempt known; else one of this node's own choice.
    fn offer(&mut self, now: Now) {
        let Some(version) = self.choice(now) else {
            self.round = None;
            return;
        };
        self.waiting.offered(version.map().change.request);
        let resend_us = self.config.pace.resend_us;
        if let Some(round) = &mut self.round {
            round.accepting(version, now.mono_us, resend_us);
        }
        self.ask_missing();
    }

    fn choice(&self, now: Now) -> Option<Version> {
        let round = self.round.as_ref()?;
        let best = match &round.phase {
            Phase::Preparing { best } => best.as_ref(),
            Phase::Accepting(_) => None,
        };
        let best = best.filter(|_| !self.breaks(Plant::AcceptedValueIgnored));
        let best = best.map(|(_, version)| version.clone());
        if !self.is_founded() {
            return best.or_else(|| self.founding(now, round));
        }
        // No majority holds anything, so anything may be offered; what was accepted here and given up
        // by its proposer comes after what somebody waits for.
        let own = self.acceptor.accepted.as_ref();
        best.or_else(|| self.waiting.first().cloned())
            .or_else(|| own.map(|(_, version)| version.clone()))
    }

    /// The version that names everybody's storage. Fails only if a version's own rules do.
    fn founding(&self, now: Now, round: &Round) -> Option<Version> {
        let careless = self.breaks(Plant::FoundedByMajority);
        let named = |voter: &Voter| {
            let known = round.votes.storage_of(voter.node);
            Voter {
                node: voter.node,
                storage: known.or(careless.then_some(StorageId::new(0))),
            }
        };
        let draft = Draft {
            voters: self.known.map().voters.iter().map(named).collect(),
            ..self.known.draft()
        };
        let change = MapChange {
            request: RequestId::new(self.life.get(), round.ballot.round),
            by: self.config.me,
            wall_ms: now.wall_ms,
            what: "the cluster is complete: every voter's storage is known".to_owned(),
        };
        self.known.child(change, draft).ok()
    }

    /// A version is decided by this node's attempt: adopts it, and names it to all members, old and new.
    pub(super) fn announce(&mut self, version: Version) {
        let maps = [&self.known, &version].map(|version| &version.map().map);
        let members = maps.into_iter().flat_map(|map| &map.members);
        let mut peers: Vec<NodeId> = members.map(|member| member.id).collect();
        peers.sort_unstable();
        peers.dedup();
        let (me, newest) = (self.config.me, version.name());
        self.adopt(version);
        for to in peers.into_iter().filter(|&to| to != me) {
            self.send_once_durable(to, RegisterMessage::Newest(MapNewest { newest }));
        }
    }
}
