//! Catching up: after a start or a cut, a vnode claims no absence until every node that could know
//! more has said so, and it has everything that they have.
//!
//! The simple form: it waits for every other member of its class, and for every other node of the
//! cluster that can be reached (it may keep hints). A member of the class that is down is waited
//! for; another node that has not been reachable since the start is not, after a grace time.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::peer::{CatchUpAnswer, CatchUpAsk, CatchUpEntry};
use quorate_ring::{Class, NodeId};

use crate::causality::Clock;
use crate::effects::{Note, Priority};
use crate::shared::{Cx, Shared};

/// How often the same question is repeated while it is open, microseconds.
const ASK_AGAIN_US: u64 = 150_000;

/// Classes in one question: an answer has a clock for each and must fit a frame.
const CLASSES_PER_FRAME: usize = 256;

/// The questions of all vnodes of one replica.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// Number of the first question that counts, for each node: older answers describe an earlier
    /// time.
    valid_from: BTreeMap<NodeId, u64>,
    asked_us: BTreeMap<NodeId, u64>,
    /// Nodes never reachable since the start that might keep hints, until the grace time is over.
    unseen: BTreeSet<NodeId>,
    opened_us: u64,
}

impl CatchUp {
    /// All vnodes begin to wait.
    pub(crate) fn open(shared: &mut Shared) -> Self {
        let classes: Vec<Class> = shared.vnodes.keys().copied().collect();
        classes
            .iter()
            .for_each(|&class| shared.begin_to_wait(class));
        Self {
            unseen: shared.view.peers().collect(),
            opened_us: shared.now.mono_us,
            ..Self::default()
        }
    }

    /// A peer answers (again): what it holds must be asked for once more.
    pub(crate) fn on_peer_up(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        self.unseen.remove(&node);
        self.valid_from.remove(&node);
        for class in cx.s.vnodes.keys().copied().collect::<Vec<_>>() {
            let is_peer = cx.s.is_member(node, class);
            if let Some(vnode) = cx.s.vnodes.get_mut(&class) {
                vnode.wait_for(node, is_peer);
                vnode.revision += 1;
            }
        }
        self.ask(cx, node);
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        self.end_grace(cx);
        let peers: Vec<NodeId> =
            cx.s.view
                .peers()
                .filter(|&node| cx.s.view.is_reachable(node))
                .collect();
        for node in peers {
            let asked_us = self.asked_us.get(&node).copied().unwrap_or(0);
            if asked_us + ASK_AGAIN_US <= cx.s.now.mono_us {
                self.ask(cx, node);
            }
        }
        cx.s.settle_all();
    }

    /// Nodes that nobody could reach since the start are no longer waited for, unless they are
    /// members of the class.
    fn end_grace(&mut self, cx: &mut Cx<'_>) {
        if self.unseen.is_empty() || cx.s.now.mono_us < self.opened_us + cx.s.timing.hint_holder_us
        {
            return;
        }
        let unseen = std::mem::take(&mut self.unseen);
        for vnode in cx.s.vnodes.values_mut() {
            vnode
                .waits
                .retain(|node, wait| wait.is_peer || !unseen.contains(node));
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        let open =
            |wait: &crate::vnode::Wait| !wait.no_hints || (wait.is_peer && wait.cover.is_none());
        let waiting =
            cx.s.vnodes
                .values()
                .filter(|vnode| vnode.waits.get(&node).is_some_and(open));
        let classes: Vec<Class> = waiting.map(|vnode| vnode.class).collect();
        if classes.is_empty() {
            return;
        }
        self.asked_us.insert(node, cx.s.now.mono_us);
        for part in classes.chunks(CLASSES_PER_FRAME) {
            let number = cx.s.new_op();
            self.valid_from.entry(node).or_insert(number);
            let ask = CatchUpAsk {
                number,
                classes: part.to_vec(),
            };
            cx.s.send(node, ask, 0, Priority::Foreground);
        }
    }

    pub(crate) fn on_answer(&mut self, cx: &mut Cx<'_>, from: NodeId, answer: CatchUpAnswer) {
        if self
            .valid_from
            .get(&from)
            .is_none_or(|&first| answer.number < first)
        {
            return;
        }
        for entry in answer.entries {
            cx.s.take_entry(from, entry);
        }
        cx.s.settle_all();
    }
}

impl Shared {
    /// A vnode begins to wait for every other node.
    pub(crate) fn begin_to_wait(&mut self, class: Class) {
        let peers: Vec<(NodeId, bool)> = self
            .view
            .peers()
            .map(|node| (node, self.is_member(node, class)))
            .collect();
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            peers
                .into_iter()
                .for_each(|(node, is_peer)| vnode.wait_for(node, is_peer));
        }
    }

    fn take_entry(&mut self, from: NodeId, entry: CatchUpEntry) {
        let Some(vnode) = self.vnodes.get_mut(&entry.class) else {
            return;
        };
        let Some(wait) = vnode.waits.get_mut(&from) else {
            return;
        };
        wait.no_hints = entry.hints == 0;
        if let Some(clock) = &entry.clock
            && let Ok(applied) = Clock::from_wire(&clock.applied)
            && wait.cover.is_none()
        {
            wait.cover = Some(applied);
        }
        if let Some(clock) = entry.clock {
            self.take_clock(from, clock);
        }
    }

    /// Vnodes that have got all they waited for become current.
    pub(crate) fn settle_all(&mut self) {
        let mut current = 0;
        for vnode in self.vnodes.values_mut() {
            if vnode.settle_waits() {
                vnode.revision += 1;
                current += 1;
            }
        }
        (0..current).for_each(|_| self.note(Note::CaughtUp));
    }

    /// What this node has of some classes for the asker.
    pub(crate) fn answer_catch_up(&mut self, from: NodeId, ask: CatchUpAsk) {
        let entries = ask.classes.into_iter().map(|class| CatchUpEntry {
            class,
            hints: self.hints.for_class(from, class),
            clock: self
                .vnodes
                .get(&class)
                .filter(|_| self.is_member(from, class))
                .map(crate::vnode::Vnode::to_wire),
        });
        let answer = CatchUpAnswer {
            number: ask.number,
            entries: entries.collect(),
        };
        self.send(from, answer, 0, Priority::Foreground);
    }
}
