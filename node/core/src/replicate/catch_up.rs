//! Catching up: after a start or a cut, a vnode claims no absence until every node that could know
//! more has said so, and it has everything that they have.
//!
//! After a start it waits for every node that may have been alive at any moment of its absence:
//! members of its class and copies that depart from it for their clocks and hints, all others for hints.
//! Which ones that can be, and whom nobody needs to wait for, is found out by [`crate::alive`]. After a cut it
//! waits for the nodes that are met again.
//!
//! After a start a member's answer counts if it is of the present epoch of the class, and the next epoch begins the
//! wait anew: what this replica acknowledged in an earlier life and lost may make up a quorum with what a member
//! acknowledges later, as long as that one works under the epoch that was.
//!
//! If of all these one single node is missing, is out of reach, and is no member of the class, it
//! is let off: a write that two nodes acknowledged is also on another one, which has been heard. So
//! one dead fallback blocks nobody; a member is always waited for, and so are two fallbacks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_protocol::ids::{LifeId, StorageId};
use quorate_protocol::peer::{
    AliveMark, CatchUpAnswer, CatchUpAsk, CatchUpEntry, Clocks, Testimony, VnodeClock,
};
use quorate_ring::{Class, NodeId};

use crate::causality::Clock;
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::record::Rebuilding;
use crate::shared::{Cx, Shared};
use crate::view::View;
use crate::vnode::{Vnode, Wait};

/// How often the same question is repeated while it is open, microseconds.
const ASK_AGAIN_US: u64 = 150_000;

/// How often a peer that has nothing more for this replica is asked whether it bears witness by now.
const WITNESS_AGAIN_US: u64 = 1_000_000;

/// Questions kept of one node that does not answer this one yet; they are repeated.
const EARLY_MAX: usize = 64;

/// Classes in one question: an answer has a clock for each and must fit a frame.
const CLASSES_PER_FRAME: usize = 256;

/// The questions of all vnodes of one replica.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// Number of the first question that counts, for each node: older answers describe an earlier
    /// time.
    valid_from: BTreeMap<NodeId, u64>,
    /// Number of the last question to each node: what has a greater one was asked in an earlier life.
    last: BTreeMap<NodeId, u64>,
    asked_us: BTreeMap<NodeId, u64>,
    /// Questions of nodes that do not answer this one yet.
    early: BTreeMap<NodeId, VecDeque<CatchUpAsk>>,
    /// Which of its places this replica last told its peers, and when.
    told: Option<AliveMark>,
    told_us: u64,
    /// Peers within reach may not have said yet what is settled.
    uncompared: bool,
}

impl CatchUp {
    /// All vnodes begin to wait.
    pub(crate) fn open(shared: &mut Shared) -> Self {
        let classes: Vec<Class> = shared.vnodes.keys().copied().collect();
        classes
            .into_iter()
            .for_each(|class| shared.wait_for_all(class));
        Self {
            uncompared: true,
            ..Self::default()
        }
    }

    /// A peer answers (again): what it holds must be asked for once more.
    pub(crate) fn on_peer_up(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        cx.s.alive.set_settled(false);
        self.valid_from.remove(&node);
        self.uncompared = true;
        let may_know = cx.s.is_waited_for(node);
        for class in cx.s.vnodes.keys().copied().collect::<Vec<_>>() {
            let is_peer = cx.s.has_clock_to_tell(class, node);
            cx.s.hear_others(class, node);
            if let Some(vnode) = cx.s.vnodes.get_mut(&class).filter(|_| may_know) {
                vnode.wait_for(node, is_peer, 0);
                vnode.revision += 1;
            }
        }
        self.ask(cx, node);
        for ask in self.early.remove(&node).unwrap_or_default() {
            cx.s.answer_catch_up(node, ask);
        }
    }

    /// Members may be new: they have not said what is settled.
    pub(crate) fn on_map(&mut self, cx: &mut Cx<'_>) {
        cx.s.alive.set_settled(false);
        self.uncompared = true;
    }

    /// A node asks what it misses. Whoever is told may count on it that what this node coordinates from now
    /// on is sent to it. So it is told only once it answers this node: before, its writes go to fallbacks.
    pub(crate) fn on_ask(&mut self, cx: &mut Cx<'_>, from: NodeId, ask: CatchUpAsk) {
        if cx.s.view.answers(from) || cx.s.breaks(Plant::ToldWhileTakenForDead) {
            return cx.s.answer_catch_up(from, ask);
        }
        // The clocks go at once: by them the other one sees whether this node lost something, and that
        // is hidden as soon as hints have brought it again (seed 86).
        let classes = ask
            .classes
            .iter()
            .filter(|&&class| cx.s.is_member(from, class));
        let vnodes = classes.filter_map(|class| cx.s.vnodes.get(class));
        let life = cx.s.alive.life();
        let clocks: Vec<VnodeClock> = vnodes
            .take(CLASSES_PER_FRAME)
            .map(|vnode| vnode.to_wire(from, life))
            .collect();
        if !clocks.is_empty() && ask.classes.is_sorted_by(|one, next| one < next) {
            cx.s.send(from, Clocks { clocks }, 0, Priority::Background);
        }
        let early = self.early.entry(from).or_default();
        if early.len() == EARLY_MAX {
            early.pop_front();
        }
        early.push_back(ask);
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        if !cx.s.alive.is_settled() {
            self.ask_all_again(cx);
            cx.s.hear_others_for_the_silent();
            cx.s.settle_all();
        } else if cx.s.anybody_joins() {
            self.ask_all_again(cx);
        } else if self.uncompared {
            self.ask_uncompared(cx);
        }
        cx.s.alive.rest(cx.s.now.mono_us);
        self.tell(cx);
    }

    /// Tells peers that answer how far this replica has seen them come and go.
    fn tell(&mut self, cx: &mut Cx<'_>) {
        let (now_us, alive) = (cx.s.now.mono_us, cx.s.alive.now());
        let again = self.told_us + cx.s.timing.clocks_again_us <= now_us;
        if self.told == Some(alive.mark) && !again {
            return;
        }
        (self.told, self.told_us) = (Some(alive.mark), now_us);
        for node in cx.s.view.peers().collect::<Vec<_>>() {
            if cx.s.view.answers(node) {
                cx.s.send(node, alive, 0, Priority::Background);
            }
        }
    }

    /// Nothing is waited for, but some peer within reach has not said yet what is settled: an answer was
    /// lost, or the wait for it ended without it.
    fn ask_uncompared(&mut self, cx: &mut Cx<'_>) {
        let lacking = |node: &NodeId| {
            let mut vnodes = cx.s.vnodes.values();
            cx.s.view.answers(*node) && vnodes.any(|vnode| cx.s.is_uncompared(vnode, *node))
        };
        let peers: Vec<NodeId> = cx.s.view.peers().filter(lacking).collect();
        self.uncompared = !peers.is_empty();
        for node in peers {
            self.ask_again(cx, node);
        }
    }

    fn ask_all_again(&mut self, cx: &mut Cx<'_>) {
        let peers = cx.s.view.peers();
        let peers: Vec<NodeId> = peers.filter(|&node| cx.s.view.answers(node)).collect();
        for node in peers {
            self.ask_again(cx, node);
        }
    }

    /// Repeats a question that is open. Whoever has told all it has may still become a witness.
    fn ask_again(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let asked_us = self.asked_us.get(&node).copied().unwrap_or(0);
        let now_us = cx.s.now.mono_us;
        if asked_us + ASK_AGAIN_US <= now_us {
            self.ask(cx, node);
        }
        if asked_us + WITNESS_AGAIN_US <= now_us && cx.s.alive.lacks_witness() {
            let any = cx.s.vnodes.keys().next().copied();
            self.question(cx, node, any.as_slice());
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let open = |wait: &Wait| !wait.no_hints || (wait.is_peer && wait.cover.is_none());
        let waiting = cx.s.vnodes.values().filter(|vnode| {
            vnode.waits.get(&node).is_some_and(open)
                || cx.s.is_uncompared(vnode, node)
                || cx.s.lacks_word_of(vnode).contains(&node)
        });
        let classes: Vec<Class> = waiting.map(|vnode| vnode.class).collect();
        self.question(cx, node, &classes);
    }

    fn question(&mut self, cx: &mut Cx<'_>, node: NodeId, classes: &[Class]) {
        for part in classes.chunks(CLASSES_PER_FRAME) {
            self.asked_us.insert(node, cx.s.now.mono_us);
            let number = cx.s.new_op();
            self.valid_from.entry(node).or_insert(number);
            self.last.insert(node, number);
            let ask = CatchUpAsk {
                number,
                classes: part.to_vec(),
                life: cx.s.alive.life(),
                marks: cx.s.alive.marks(node),
            };
            cx.s.send(node, ask, 0, Priority::Foreground);
        }
    }

    pub(crate) fn on_answer(&mut self, cx: &mut Cx<'_>, from: NodeId, answer: CatchUpAnswer) {
        let first = self.valid_from.get(&from).copied().unwrap_or(u64::MAX);
        let last = self.last.get(&from).copied().unwrap_or(0);
        let of_this_life = (first..=last).contains(&answer.number);
        if !of_this_life && !cx.s.breaks(Plant::AnswerOfAnEarlierLife) {
            return;
        }
        let trusts = cx.s.breaks(Plant::TrustsAnIncompleteWitness);
        let testimony = Testimony {
            exact: answer.testimony.exact || trusts,
            complete: answer.testimony.complete || trusts,
            ..answer.testimony
        };
        cx.s.alive.take(from, testimony);
        for entry in answer.entries {
            cx.s.take_entry(from, entry, answer.number);
        }
        cx.s.settle_all();
    }
}

impl Shared {
    /// A vnode that is new, or has lost what it had, begins to wait for every other node: what it
    /// lacks may be from any time, and no absence excuses anybody.
    pub(crate) fn begin_to_wait(&mut self, class: Class) {
        self.alive.excuse_nobody();
        self.wait_for_all(class);
    }

    /// A vnode begins to wait for every other node, but those that are excused.
    pub(crate) fn wait_for_all(&mut self, class: Class) {
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.waits_for_all = true;
        }
        self.wait_for_those(class, |_, _| true);
    }

    /// Whether a node has a clock of a class to tell, of a copy with a place or without.
    pub(crate) fn has_clock_to_tell(&self, class: Class, node: NodeId) -> bool {
        let departs = self.view.departs(class, node) && !self.breaks(Plant::DepartingUnheard);
        self.is_member(node, class) || departs
    }

    /// Whether what a peer knows may be what a vnode here lacks.
    fn is_waited_for(&self, node: NodeId) -> bool {
        self.view.may_be_asked(node) || self.breaks(Plant::GivenUpWaitedFor)
    }

    /// A vnode begins to wait for these nodes: only what they are asked from now on counts.
    pub(crate) fn wait_for_those(&mut self, class: Class, wanted: impl Fn(&View, NodeId) -> bool) {
        let peers: Vec<(NodeId, bool)> = self
            .view
            .peers()
            .filter(|&node| self.is_waited_for(node) && wanted(&self.view, node))
            .map(|node| (node, self.has_clock_to_tell(class, node)))
            .collect();
        let after = self.new_op();
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            for (node, is_peer) in peers {
                vnode.wait_for(node, is_peer, after);
            }
        }
    }

    fn take_entry(&mut self, from: NodeId, entry: CatchUpEntry, number: u64) {
        if let Some(clock) = &entry.clock {
            // In another epoch members settled things without this vnode, or with another one of this node.
            if clock.epoch == self.view.epoch(entry.class) {
                self.compare_settled(from, entry.class, &entry.settled);
            }
            self.joining_hears(from, clock, number);
        }
        let careless = self.breaks(Plant::CurrentWithoutHints);
        let late = self.breaks(Plant::AnswerOfAnEarlierLife);
        let Some(vnode) = self.vnodes.get_mut(&entry.class) else {
            return;
        };
        let Some(wait) = vnode.waits.get_mut(&from) else {
            return;
        };
        if number <= wait.after && !late {
            return;
        }
        wait.no_hints = entry.hints == 0 || careless;
        if let Some(clock) = entry.clock {
            let storage = clock.storage;
            let of_now = self.is_of_now(&clock);
            self.take_clock(from, clock);
            if of_now {
                self.cover(from, entry.class, storage);
            }
        } else if entry
            .gone
            .is_some_and(|epoch| epoch >= self.view.epoch(entry.class))
            && self.view.departs(entry.class, from)
        {
            wait.cover = Some(Clock::new());
        }
    }

    /// Whether what a peer answers counts for a vnode that waits. One that lost nothing has given no word that it cannot keep,
    /// and takes what members say under any epoch.
    fn is_of_now(&self, clock: &VnodeClock) -> bool {
        let lost_some = |vnode: &Vnode| vnode.waits_for_all;
        let planted = [Plant::EarlierEpochHeard, Plant::ClockOfBeforeTheFence];
        clock.departing
            || clock.epoch >= self.view.epoch(clock.class)
            || !self.vnodes.get(&clock.class).is_some_and(lost_some)
            || planted.into_iter().any(|plant| self.breaks(plant))
    }

    /// A peer has said, of the storage that it has now, what a vnode that waits for it must have.
    fn cover(&mut self, from: NodeId, class: Class, storage: StorageId) {
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let told = vnode.peers.get(&from);
        if let Some(told) = told.filter(|told| told.storage == storage)
            && let Some(wait) = vnode.waits.get_mut(&from)
            && wait.cover.is_none()
        {
            wait.cover = Some(told.applied.clone());
        }
    }

    /// Vnodes that have got all they waited for become current.
    pub(crate) fn settle_all(&mut self) {
        let excused = self.alive.excused();
        let (mut current, mut settled) = (0, true);
        for vnode in self.vnodes.values_mut() {
            let has_all = vnode.settle_refused();
            let heard_all = vnode.settle_waits(&excused, |node| self.view.is_reachable(node));
            if has_all || heard_all {
                vnode.revision += 1;
                current += 1;
            }
            settled &= !vnode.is_behind();
        }
        self.alive.set_settled(settled);
        (0..current).for_each(|_| self.note(Note::CaughtUp));
    }

    /// Whom a vnode waits for: without those that are only waited for as long as others are, too.
    pub(crate) fn awaited(&self, vnode: &Vnode) -> Vec<NodeId> {
        let source = vnode.rebuilding.as_ref().and_then(Rebuilding::source);
        let mut awaited: BTreeSet<NodeId> = source.map(|source| source.node).into_iter().collect();
        awaited.extend(vnode.refused.keys());
        if !vnode.waits.is_empty() {
            let excused = self.alive.excused();
            let waits = vnode.waits.keys().copied();
            awaited.extend(waits.filter(|node| !excused.contains(node)));
        }
        awaited.into_iter().collect()
    }

    /// What this node has of a class for the asker; `None` where it is to ask again.
    fn catch_up_entry(
        &mut self,
        from: NodeId,
        class: Class,
        asker: LifeId,
    ) -> Option<CatchUpEntry> {
        let early = self.breaks(Plant::ClockOfBeforeTheFence);
        let (is_member, life) = (self.is_member(from, class) || early, self.alive.life());
        let mut entry = CatchUpEntry {
            class,
            hints: self.hints.for_class(from, class),
            clock: None,
            gone: None,
            settled: Vec::new(),
        };
        if let Some(vnode) = self.vnodes.get_mut(&class).filter(|_| is_member) {
            vnode.asked_by(from, asker);
            entry.clock = Some(vnode.to_wire(from, life));
            entry.settled = vnode.settled.to_wire();
        } else if let Some(vnode) = self.departing.get(&class).filter(|_| is_member) {
            if vnode.damaged {
                return None; // it is about to take back what it says to have
            }
            entry.clock = Some(vnode.to_wire_departing(from, life));
        } else if is_member && self.view.departs(class, self.view.me) {
            entry.gone = Some(self.view.epoch(class));
        }
        Some(entry)
    }

    /// What this node has of some classes for the asker.
    pub(crate) fn answer_catch_up(&mut self, from: NodeId, ask: CatchUpAsk) {
        // Each class once: a clock is long, and naming a class is not.
        if !ask.classes.is_sorted_by(|one, next| one < next) {
            return;
        }
        let classes = ask.classes.iter();
        let entries = classes.filter_map(|&class| self.catch_up_entry(from, class, ask.life));
        let entries = entries.collect();
        let mut testimony = self.alive.testify(&ask.marks);
        if self.breaks(Plant::ForgetsWhoWasAlive) {
            testimony.seen.retain(|&node| self.view.answers(node));
        }
        let answer = CatchUpAnswer {
            number: ask.number,
            entries,
            testimony,
        };
        self.send(from, answer, 0, Priority::Foreground);
    }
}
