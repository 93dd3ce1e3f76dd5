//! Where the replies to a read differ: who has seen what others hold, and whether those who deny it are right.
//!
//! First each replica that lacks a version is asked whether it has seen it. If one has, and nothing that it still has
//! says why it does not hold it, that is a *denial*: superseded, or lost without a sign. Then the replicas that hold
//! the version are asked whether they have seen all that the denier's word can rest on
//! ([`crate::replicate::denial`] has the reasons). If one has, the denial does not count for this read.

use quorate_protocol::client::Role;
use quorate_protocol::ids::Dot;
use quorate_protocol::peer::{ActorClock, Want};
use quorate_ring::NodeId;

use super::get::{GetOp, Reply};
use crate::causality::{Clock, differing};
use crate::effects::Note;
use crate::plant::Plant;
use crate::quorum::read::Answer;
use crate::shared::{Cx, Shared};

impl Reply {
    /// Whether it proves that a version denied on this ground was superseded by nobody.
    fn disproves(&self, dot: Dot, ground: &Clock) -> bool {
        let covers = |prove: &Clock| prove.covers(ground);
        self.proven && self.object.has(dot) && self.prove.as_ref().is_some_and(covers)
    }

    /// Whether its word alone speaks against a version.
    fn denies(&self, dot: Dot) -> bool {
        self.seen.contains(&dot) && self.denied.contains(&dot)
    }
}

impl GetOp {
    /// Asks the replicas that lack a version which others hold whether they have seen it. Returns
    /// whether answers are awaited that matter.
    pub(crate) fn ask_where_they_differ(&mut self, cx: &mut Cx<'_>) -> bool {
        let open = differing(&self.views());
        if open.is_empty() {
            return false;
        }
        let mut questions = Vec::new();
        for (&node, reply) in &mut self.replies {
            if reply.role == Role::Fallback && !reply.holds {
                continue;
            }
            let unknown = |dot: &Dot| {
                !reply.object.has(*dot)
                    && !reply.object.context.covers(*dot)
                    && !reply.asked.contains(dot)
            };
            let ask: Vec<Dot> = open.iter().copied().filter(unknown).collect();
            if !ask.is_empty() {
                reply.asked.extend(&ask);
                questions.push((node, reply.role, reply.asked.iter().copied().collect()));
            }
        }
        if questions.is_empty() {
            // What has been asked and not answered decides: a version counts as unseen by nobody yet.
            return self
                .awaited
                .keys()
                .any(|node| self.replies.contains_key(node));
        }
        if !self.may_ask_again() {
            return false;
        }
        for (node, role, seen) in questions {
            self.question(
                cx,
                node,
                role,
                Want {
                    all: false,
                    dots: Vec::new(),
                },
                seen,
            );
        }
        true
    }

    /// Asks those who hold a version that others deny for a proof. Returns whether answers are awaited that matter.
    pub(crate) fn ask_who_holds_what_is_denied(&mut self, cx: &mut Cx<'_>) -> bool {
        if cx.s.breaks(Plant::DenialBelieved) {
            return false;
        }
        let open = self.denials(cx.s.shown_at_ms());
        if open.is_empty() {
            return false;
        }
        let ground = self.ground_of(&open);
        let (mut questions, mut awaited) = (Vec::new(), false);
        for (&node, reply) in &mut self.replies {
            let held = open.iter().copied().filter(|&dot| reply.object.has(dot));
            let dots: Vec<Dot> = held.collect();
            let asked = |prove: &Clock| prove.covers(&ground);
            if reply.role != Role::Primary || dots.is_empty() {
                continue;
            }
            if reply.prove.as_ref().is_some_and(asked) {
                awaited |= self.awaited.contains_key(&node);
                continue;
            }
            reply.prove = Some(ground.clone());
            questions.push((node, dots, reply.asked.iter().copied().collect()));
        }
        if questions.is_empty() {
            return awaited;
        }
        if !self.may_ask_again() {
            return false;
        }
        let all_dots = !self.ask.head;
        for (node, mut dots, seen) in questions {
            dots.retain(|_| all_dots);
            self.question(cx, node, Role::Primary, Want { all: false, dots }, seen);
        }
        true
    }

    /// Versions that a current replica holds, that have not expired, and against which nothing speaks but denials.
    fn denials(&self, at_ms: u64) -> Vec<Dot> {
        let current = |node: &NodeId| {
            let answer = self.tally.answer_of(*node);
            matches!(answer, Some(Answer::Current { .. } | Answer::Outstanding))
        };
        let holders = self.replies.iter().filter(|(node, _)| current(node));
        let versions = holders.flat_map(|(_, reply)| &reply.object.versions);
        let living = versions.filter(|version| !version.has_expired(at_ms));
        let mut dots: Vec<Dot> = living
            .map(|version| version.dot)
            .filter(|&dot| self.is_merely_denied(dot))
            .collect();
        dots.sort_unstable();
        dots.dedup();
        dots
    }

    fn is_merely_denied(&self, dot: Dot) -> bool {
        let mut against = self
            .replies
            .values()
            .filter(|reply| !reply.object.has(dot))
            .filter(|reply| reply.object.context.covers(dot) || reply.seen.contains(&dot))
            .peekable();
        against.peek().is_some() && against.all(|reply| reply.denies(dot))
    }

    /// All that denials of these versions can rest on.
    fn ground_of(&self, dots: &[Dot]) -> Clock {
        let mut ground = Clock::new();
        let deniers = self.replies.values();
        for reply in deniers.filter(|reply| dots.iter().any(|&dot| reply.denies(dot))) {
            ground.merge(&reply.ground);
        }
        ground
    }

    /// What a node is to cover, so that what it holds is proven.
    pub(super) fn to_be_proven(&self, node: NodeId) -> Option<Vec<ActorClock>> {
        let prove = self.replies.get(&node)?.prove.as_ref()?;
        Some(prove.to_wire())
    }

    /// Of what replicas say to have seen, that counts which nobody has proven to be no reason.
    pub(super) fn weigh_denials(&mut self, shared: &mut Shared) {
        let proven = self.replies.values().any(|reply| reply.proven);
        if !proven || shared.breaks(Plant::DenialBelieved) {
            return;
        }
        let disproved = |reply: &Reply, dot: Dot| {
            let mut holders = self.replies.values();
            reply.denied.contains(&dot)
                && holders.any(|holder| holder.disproves(dot, &reply.ground))
        };
        let mut counting: Vec<(NodeId, Vec<Dot>)> = Vec::new();
        for (&node, reply) in self
            .replies
            .iter()
            .filter(|(_, reply)| !reply.denied.is_empty())
        {
            let said = reply.said.iter().copied();
            let seen: Vec<Dot> = said.filter(|&dot| !disproved(reply, dot)).collect();
            if seen.len() < reply.seen.len() {
                shared.note(Note::DenialDisproved);
            }
            counting.push((node, seen));
        }
        for (node, seen) in counting {
            if let Some(reply) = self.replies.get_mut(&node) {
                reply.seen = seen;
            }
        }
    }
}
