//! The agreement's dealings with other members.

use quorate_protocol::map::Bucket;
use quorate_protocol::peer::{
    BucketCommit, BucketCommitted, BucketPropose, BucketVote, Buckets, PeerMessage,
};
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use super::proposal::{Proposal, Waiter};
use super::rules::Offer;
use super::{Agreement, AgreementEffect, refusal};
use crate::plant::Plant;

impl Agreement {
    pub(super) fn peer(&mut self, from: NodeId, message: PeerMessage) {
        if from == self.me || self.map.member(from).is_none() {
            return;
        }
        match message {
            PeerMessage::BucketPropose(message) => self.vote(from, message),
            PeerMessage::BucketVote(message) => self.count(from, message),
            PeerMessage::BucketCommit(message) => self.committed_elsewhere(from, message),
            PeerMessage::BucketCommitted(message) => self.confirmed(from, message),
            PeerMessage::Buckets(message) => self.compare(from, message),
            PeerMessage::ReplicaGet(_)
            | PeerMessage::ReplicaState(_)
            | PeerMessage::ReplicaPut(_)
            | PeerMessage::ReplicaAck(_)
            | PeerMessage::FindRequest(_)
            | PeerMessage::FoundRequest(_)
            | PeerMessage::ReplicaKeys(_)
            | PeerMessage::ReplicaKeyPage(_)
            | PeerMessage::Forward(_)
            | PeerMessage::Forwarded(_)
            | PeerMessage::Clocks(_)
            | PeerMessage::DotsAsk(_)
            | PeerMessage::DotsAnswer(_)
            | PeerMessage::SnapshotAsk(_)
            | PeerMessage::SnapshotPage(_)
            | PeerMessage::Remembered(_)
            | PeerMessage::SealAsk(_)
            | PeerMessage::SealAnswer(_)
            | PeerMessage::Seal(_)
            | PeerMessage::Hints(_)
            | PeerMessage::HintsAck(_)
            | PeerMessage::CatchUpAsk(_)
            | PeerMessage::CatchUpAnswer(_)
            | PeerMessage::Alive(_)
            | PeerMessage::Heartbeat(_)
            | PeerMessage::HeartbeatAck(_)
            | PeerMessage::MapPrepare(_)
            | PeerMessage::MapPromise(_)
            | PeerMessage::MapAccept(_)
            | PeerMessage::MapAccepted(_)
            | PeerMessage::MapRefused(_)
            | PeerMessage::MapNewest(_)
            | PeerMessage::MapAsk(_)
            | PeerMessage::MapDecided(_) => {}
        }
    }

    pub(super) fn peer_up(&mut self, peer: NodeId) {
        self.up.insert(peer);
        let lacking = |proposal: &&Proposal| proposal.missing(&self.members()).contains(&peer);
        let lacking: Vec<Proposal> = self.proposals.values().filter(lacking).cloned().collect();
        for proposal in lacking {
            self.ask(&proposal, vec![peer]);
        }
    }

    /// A proposal that lacks the vote of a node which is down fails at once rather than at its deadline.
    pub(super) fn peer_down(&mut self, peer: NodeId) {
        self.up.remove(&peer);
        let members = self.members();
        let lacking = |proposal: &Proposal| {
            proposal.is_asking() && proposal.missing(&members).contains(&peer)
        };
        let lacking = self
            .proposals
            .iter()
            .filter(|(_, proposal)| lacking(proposal));
        for name in lacking.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let refusal = refusal::missing(&self.map, &name, vec![peer]);
            let waiters = self.end(&name);
            self.refuse(&waiters, &refusal);
        }
    }

    pub(super) fn send_buckets(&mut self, to: NodeId) {
        let buckets = self.rules.in_force().cloned().collect();
        self.send_once_durable(to, Buckets { buckets }.into());
    }

    /// Asks those that did not answer a proposal yet, or tells them that it is in force.
    pub(super) fn ask_missing(&mut self, name: &str) {
        let Some(proposal) = self.proposals.get(name).cloned() else {
            return;
        };
        let missing = proposal.missing(&self.members());
        self.ask(
            &proposal,
            missing
                .into_iter()
                .filter(|&node| node != self.me)
                .collect(),
        );
    }

    pub(super) fn ask(&mut self, proposal: &Proposal, nodes: Vec<NodeId>) {
        let (op, asking) = (proposal.op(), proposal.is_asking());
        for to in nodes {
            let bucket = proposal.bucket().clone();
            if asking {
                let message = BucketPropose { op, bucket }.into();
                self.outbox.now(AgreementEffect::Send { to, message });
            } else {
                self.send_once_durable(to, BucketCommit { op, bucket }.into());
            }
        }
    }

    pub(super) fn refuse(&mut self, waiters: &[Waiter], error: &WireError) {
        for waiter in waiters {
            self.outbox.now(AgreementEffect::Reply {
                ticket: waiter.ticket,
                reply: error.clone().into(),
            });
        }
    }

    fn send_once_durable(&mut self, to: NodeId, message: PeerMessage) {
        self.outbox
            .once_durable(AgreementEffect::Send { to, message });
    }

    /// Somebody asks this node to keep a definition.
    fn vote(&mut self, from: NodeId, BucketPropose { op, bucket }: BucketPropose) {
        let offer = match bucket.check(self.map.ring.copies()) {
            Ok(()) if self.breaks(Plant::VoteNotKept) => Offer::Kept { changed: false },
            Ok(()) => self.rules.offer(&bucket),
            Err(error) => Offer::Refused(error),
        };
        let (kept, in_force, error) = match offer {
            Offer::Kept { changed } => {
                if changed {
                    self.outbox.changed();
                }
                (bucket, false, None)
            }
            Offer::Other(other) => (other, false, None),
            Offer::InForce(current) => (current, true, None),
            Offer::Behind => {
                let error = refusal::behind(&bucket);
                (bucket, false, Some(error))
            }
            Offer::Refused(error) => (bucket, false, Some(error)),
        };
        let vote = BucketVote {
            op,
            kept,
            in_force,
            error,
        };
        self.send_once_durable(from, vote.into());
    }

    /// A member answers a proposal of this node.
    fn count(&mut self, from: NodeId, vote: BucketVote) {
        let running = self
            .proposals
            .values_mut()
            .find(|proposal| proposal.op() == vote.op);
        let Some(proposal) = running.filter(|proposal| proposal.is_asking()) else {
            return;
        };
        let name = proposal.bucket().name.clone();
        let BucketVote {
            op,
            kept,
            in_force,
            error,
        } = vote;
        if let Some(error) = error {
            self.voted_no(from, &name, &error);
        } else if kept.name != name || kept.check(self.map.ring.copies()).is_err() {
            // Not an answer to what was asked; asking again is all that can be done.
        } else if in_force {
            self.learn(kept);
        } else if kept == *proposal.bucket() {
            proposal.confirm(op, from);
        } else if let Offer::Kept { changed: true } = self.rules.offer(&kept) {
            // Smaller than this node's own: `reconcile` follows it.
            self.outbox.changed();
        }
    }

    fn voted_no(&mut self, from: NodeId, name: &str, error: &WireError) {
        if error.code == ErrorCode::Unavailable {
            // It lacks a revision; the proposal is repeated soon.
            self.send_buckets(from);
        } else {
            let waiters = self.end(name);
            self.refuse(&waiters, error);
        }
    }

    fn committed_elsewhere(&mut self, from: NodeId, BucketCommit { op, bucket }: BucketCommit) {
        if bucket.check(self.map.ring.copies()).is_ok() {
            self.learn(bucket);
            self.send_once_durable(from, BucketCommitted { op }.into());
        }
    }

    fn confirmed(&mut self, from: NodeId, BucketCommitted { op }: BucketCommitted) {
        for proposal in self
            .proposals
            .values_mut()
            .filter(|proposal| !proposal.is_asking())
        {
            proposal.confirm(op, from);
        }
    }

    /// Takes what is in force at a peer, and sends back what it lacks.
    fn compare(&mut self, from: NodeId, Buckets { buckets }: Buckets) {
        let copies = self.map.ring.copies();
        for bucket in buckets.iter().filter(|bucket| bucket.check(copies).is_ok()) {
            self.learn(bucket.clone());
        }
        let lacks = |mine: &Bucket| !buckets.contains(mine);
        if self.rules.in_force().any(lacks) {
            self.send_buckets(from);
        }
    }
}
