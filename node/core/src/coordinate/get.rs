//! Coordinating a read: ask all replicas, count what counts, ask again where they differ.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::Role;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::Dot;
use quorate_protocol::peer::{ReplicaGet, ReplicaState, Want};
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;

use super::ReadAsk;
use super::fence::fenced_state;
use super::get_answer::role_of;
use crate::causality::{Clock, Object, ReplyView};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::quorum::read::{Answer, ReadTally, ReadVerdict};
use crate::shared::{Asker, Cx};
use crate::shelf::Place;

/// Rounds of questions after which a key that keeps changing is answered as it is.
const ROUNDS_MAX: u32 = 16;

/// What one replica said last.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) role: Role,
    pub(crate) object: Object,
    pub(crate) holds: bool,
    /// What counts of `said`.
    pub(crate) seen: Vec<Dot>,
    /// What it says to have seen. For this and what follows see [`super::get_differ`].
    pub(crate) said: Vec<Dot>,
    pub(crate) denied: Vec<Dot>,
    pub(crate) ground: Clock,
    /// What it was asked to cover.
    pub(crate) prove: Option<Clock>,
    pub(crate) proven: bool,
    pub(crate) asked: BTreeSet<Dot>,
    pub(crate) deletes: Vec<Dot>,
    pub(crate) session_met: bool,
    pub(crate) waits_for: Vec<NodeId>,
}

/// One read under way.
#[derive(Debug)]
pub(crate) struct GetOp {
    pub(crate) asker: Asker,
    pub(crate) place: Place,
    pub(crate) ask: ReadAsk,
    pub(crate) deadline_us: u64,
    pub(crate) started_us: u64,
    pub(crate) due_us: u64,
    pub(crate) tally: ReadTally,
    pub(crate) replies: BTreeMap<NodeId, Reply>,
    /// Fallback to the primary it stands in for.
    pub(crate) stand_ins: BTreeMap<NodeId, NodeId>,
    pub(crate) errors: BTreeMap<NodeId, WireError>,
    pub(crate) latency_us: BTreeMap<NodeId, u64>,
    /// The number of the last question to each node that has not answered it. Only its answer is
    /// taken: a repeated or overtaken one describes an earlier state, and what a node has seen is
    /// to be read beside what it held at that very moment.
    pub(crate) awaited: BTreeMap<NodeId, u64>,
    pub(crate) rounds: u32,
    /// When to ask replicas again that were catching up.
    pub(crate) retry_at_us: Option<u64>,
    /// Answered; what is left is read repair.
    pub(crate) answered: bool,
    /// Under which epoch of the class it is asked: only answers of this one count.
    pub(crate) epoch: MapVersion,
}

/// The reads that this replica coordinates.
#[derive(Debug, Default)]
pub(crate) struct Gets {
    pub(crate) ops: BTreeMap<u64, GetOp>,
    pub(crate) due: BTreeSet<(u64, u64)>,
    /// Awaited questions and the operations that asked them.
    questions: BTreeMap<u64, u64>,
}

impl Gets {
    pub(crate) fn start(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        place: Place,
        ask: ReadAsk,
        deadline_us: u64,
    ) {
        if let Some(delete) = &ask.then_delete
            && self.is_repeated(cx, asker, &place, delete.request)
        {
            return;
        }
        let id = cx.s.new_op();
        let mut op = GetOp {
            asker,
            tally: ReadTally::new(ask.quorum),
            epoch: cx.s.view.epoch(place.class),
            place,
            ask,
            deadline_us,
            started_us: cx.s.now.mono_us,
            due_us: deadline_us,
            replies: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency_us: BTreeMap::new(),
            awaited: BTreeMap::new(),
            rounds: 0,
            retry_at_us: None,
            answered: false,
        };
        cx.s.note(Note::Get);
        op.ask_everybody(cx);
        self.keep_or_end(cx, id, op);
    }

    pub(super) fn take_out(&mut self, id: u64) -> Option<GetOp> {
        let op = self.ops.remove(&id)?;
        self.due.remove(&(op.due_us, id));
        for question in op.awaited.values() {
            self.questions.remove(question);
        }
        Some(op)
    }

    pub(super) fn keep_or_end(&mut self, cx: &mut Cx<'_>, id: u64, mut op: GetOp) {
        if !op.advance(cx) {
            op.due_us = op.next_due();
            self.due.insert((op.due_us, id));
            let questions = op.awaited.values().map(|&question| (question, id));
            self.questions.extend(questions);
            self.ops.insert(id, op);
        }
    }

    pub(crate) fn on_state(&mut self, cx: &mut Cx<'_>, from: NodeId, state: ReplicaState) {
        let Some(&id) = self.questions.get(&state.op) else {
            return;
        };
        let asked = |op: &GetOp| op.awaited.get(&from) == Some(&state.op);
        if !self.ops.get(&id).is_some_and(asked) {
            return;
        }
        let Some(mut op) = self.take_out(id) else {
            return;
        };
        op.awaited.remove(&from);
        op.latency_us
            .entry(from)
            .or_insert(cx.s.now.mono_us - op.started_us);
        let fenced = state.epoch != op.epoch;
        let role = role_of(op.stand_ins.contains_key(&from));
        let state = if fenced {
            fenced_state(&state, role)
        } else {
            state
        };
        op.take(cx.s, from, state);
        if fenced && !cx.s.breaks(Plant::FencedStoodInFor) {
            op.tally.note(from, role, Answer::Fenced);
        }
        self.keep_or_end(cx, id, op);
    }

    pub(crate) fn on_peer_down(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        for id in self.waiting_for(node) {
            let Some(mut op) = self.take_out(id) else {
                continue;
            };
            op.fail(node, WireError::new(ErrorCode::Unavailable, "unreachable"));
            self.keep_or_end(cx, id, op);
        }
    }

    /// A peer answers with a new life: what it was asked before is asked again.
    pub(crate) fn on_peer_restarted(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        for id in self.waiting_for(node) {
            let Some(mut op) = self.take_out(id) else {
                continue;
            };
            op.ask_again(cx, node);
            self.keep_or_end(cx, id, op);
        }
    }

    fn waiting_for(&self, node: NodeId) -> Vec<u64> {
        let ops = self.ops.iter();
        ops.filter(|(_, op)| op.tally.outstanding().any(|silent| silent == node))
            .map(|(&id, _)| id)
            .collect()
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        while let Some(&(due_us, id)) = self.due.first() {
            if due_us > cx.s.now.mono_us {
                break;
            }
            self.due.pop_first();
            let Some(mut op) = self.take_out(id) else {
                continue;
            };
            if cx.s.now.mono_us >= op.deadline_us {
                if !op.answered {
                    op.time_out(cx);
                    continue;
                }
                op.stop_lingering(cx);
            }
            if op.retry_at_us.is_some_and(|at| at <= cx.s.now.mono_us) {
                op.retry_at_us = None;
                op.ask_again_who_was_behind(cx);
            }
            self.keep_or_end(cx, id, op);
        }
    }

    pub(crate) fn forget_asker(&mut self, asker: Asker) {
        self.ops
            .values_mut()
            .filter(|op| op.asker == asker)
            .for_each(|op| op.asker = Asker::Nobody);
    }
}

impl GetOp {
    /// Late replies are not awaited any longer: those that came are repaired.
    fn stop_lingering(&mut self, cx: &Cx<'_>) {
        let silent: Vec<NodeId> = self.tally.outstanding().collect();
        self.awaited.clear();
        for node in silent {
            let role = self
                .replies
                .get(&node)
                .map_or(Role::Primary, |reply| reply.role);
            self.tally.note(node, role, Answer::Failed);
        }
        self.deadline_us = cx.s.now.mono_us + cx.s.timing.linger_us;
    }

    fn next_due(&self) -> u64 {
        self.retry_at_us
            .map_or(self.deadline_us, |at| at.min(self.deadline_us))
    }

    pub(super) fn ask_everybody(&mut self, cx: &mut Cx<'_>) {
        let primaries = cx.s.readers(self.place.class);
        let me = cx.s.view.me;
        let nearest = if primaries.contains(&me) {
            Some(me)
        } else {
            primaries
                .iter()
                .copied()
                .find(|&node| cx.s.view.reaches(self.place.class, node))
        };
        for &primary in &primaries {
            if cx.s.view.reaches(self.place.class, primary) {
                let all = nearest == Some(primary) && !self.ask.head;
                self.question(
                    cx,
                    primary,
                    Role::Primary,
                    Want {
                        all,
                        dots: Vec::new(),
                    },
                    Vec::new(),
                );
            } else {
                self.tally.note(primary, Role::Primary, Answer::Failed);
                self.errors.insert(
                    primary,
                    WireError::new(ErrorCode::Unavailable, "unreachable"),
                );
            }
        }
        self.add_stand_ins(cx);
    }

    pub(crate) fn question(
        &mut self,
        cx: &mut Cx<'_>,
        to: NodeId,
        role: Role,
        want: Want,
        seen: Vec<Dot>,
    ) {
        self.tally.note(to, role, Answer::Outstanding);
        let number = cx.s.new_op();
        self.awaited.insert(to, number);
        let message = ReplicaGet {
            op: number,
            class: self.place.class,
            epoch: self.epoch,
            bucket: self.place.bucket,
            key: self.place.key.clone(),
            want,
            seen,
            session: self.ask.session.clone(),
            prove: self.to_be_proven(to),
        };
        cx.s.send(
            to,
            message,
            cx.s.ms_until(self.deadline_us),
            Priority::Foreground,
        );
    }

    /// Asks a fallback for every primary that failed and has none yet. Returns whether one was asked.
    fn add_stand_ins(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.ask.quorum.sloppy {
            return false;
        }
        let mut asked = false;
        for primary in cx.s.readers(self.place.class) {
            let failed = self.tally.answer_of(primary) == Some(Answer::Failed);
            if !failed || self.stand_ins.values().any(|&target| target == primary) {
                continue;
            }
            let free =
                |node: &NodeId| cx.s.view.is_reachable(*node) && !self.stand_ins.contains_key(node);
            let Some(fallback) = cx.s.view.fallbacks(self.place.class).into_iter().find(free)
            else {
                break;
            };
            self.stand_ins.insert(fallback, primary);
            self.question(
                cx,
                fallback,
                Role::Fallback,
                Want {
                    all: !self.ask.head,
                    dots: Vec::new(),
                },
                Vec::new(),
            );
            asked = true;
        }
        asked
    }

    fn ask_again_who_was_behind(&mut self, cx: &mut Cx<'_>) {
        cx.s.note(Note::WaitedForCatchUp);
        let behind: Vec<NodeId> = self
            .replies
            .keys()
            .copied()
            .filter(|&node| {
                let answer = self.tally.answer_of(node);
                matches!(answer, Some(Answer::CatchingUp | Answer::Fenced))
                    || self
                        .replies
                        .get(&node)
                        .is_some_and(|reply| !reply.session_met)
            })
            .collect();
        for node in behind {
            self.ask_again(cx, node);
        }
    }

    /// Asks a node once more for all that it knows.
    fn ask_again(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let (role, seen) = match self.replies.get(&node) {
            Some(reply) => (reply.role, reply.asked.iter().copied().collect()),
            None => (role_of(self.stand_ins.contains_key(&node)), Vec::new()),
        };
        let want = Want {
            all: !self.ask.head,
            dots: Vec::new(),
        };
        self.question(cx, node, role, want, seen);
    }

    /// Does what can be done with what came. Returns whether the operation is over.
    fn advance(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.answered {
            return self.repair(cx);
        }
        match self.tally.verdict() {
            ReadVerdict::Pending => {
                // Who is catching up may be done before somebody answers who is only presumed to be there.
                if self.tally.catching_up() > 0 {
                    self.wait(cx);
                }
                false
            }
            ReadVerdict::Met | ReadVerdict::FallbacksOnly => self.try_answer(cx, false),
            ReadVerdict::Waiting if self.ask.quorum.stale_ok => self.try_answer(cx, true),
            ReadVerdict::Waiting => {
                // A primary may have fallen silent only now.
                if !self.add_stand_ins(cx) {
                    self.wait(cx);
                }
                false
            }
            ReadVerdict::OutOfReach => {
                if self.add_stand_ins(cx) {
                    false
                } else if self.ask.quorum.stale_ok && !self.replies.is_empty() {
                    self.try_answer(cx, true)
                } else {
                    self.refuse(cx);
                    true
                }
            }
        }
    }

    fn wait(&mut self, cx: &Cx<'_>) {
        if self.retry_at_us.is_none() {
            self.retry_at_us = Some(cx.s.now.mono_us + cx.s.timing.retry_us);
        }
    }

    fn try_answer(&mut self, cx: &mut Cx<'_>, maybe_stale: bool) -> bool {
        let session_unmet = self.ask.session.is_some() && !self.session_met();
        if !maybe_stale && session_unmet && !cx.s.breaks(Plant::SessionUnchecked) {
            self.wait(cx);
            return false;
        }
        if self.ask_where_they_differ(cx)
            || self.ask_who_holds_what_is_denied(cx)
            || (!self.ask.head && self.fetch_bodies(cx))
        {
            return false;
        }
        self.answer(cx, maybe_stale);
        self.answered = true;
        self.deadline_us = cx.s.now.mono_us + cx.s.timing.linger_us;
        self.retry_at_us = None;
        self.repair(cx)
    }

    fn session_met(&self) -> bool {
        self.replies
            .iter()
            .any(|(&node, reply)| reply.session_met && self.tally.counts(node))
    }

    /// What each replica says, for merging. An empty fallback says nothing.
    pub(crate) fn views(&self) -> Vec<ReplyView<'_>> {
        let speaks = |reply: &&Reply| reply.role == Role::Primary || reply.holds;
        self.replies
            .values()
            .filter(speaks)
            .map(|reply| ReplyView {
                object: &reply.object,
                seen: &reply.seen,
            })
            .collect()
    }

    /// Counts a further round of questions. Returns whether it is still within bounds.
    pub(crate) const fn may_ask_again(&mut self) -> bool {
        self.rounds += 1;
        self.rounds <= ROUNDS_MAX
    }
}
