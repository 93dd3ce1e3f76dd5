//! Rebuilding: a vnode that lost something, or lacks what no log answers any more, is filled again
//! from a peer, page by page.
//!
//! # When
//!
//! * *Lost*: something of its own is unreadable, or a peer remembers that it once had, on the very same
//!   storage, more than it has now ([`Remembered`]; compared with its own clock, so that no late
//!   message can fool it). What such a vnode had seen is not known any more, and "in my clock, not in
//!   my object" would turn loss into delete. So clock, log and storage id are thrown away at once
//!   (`discard.rs`), unreadable records and versions are sifted out, and what is readable is kept.
//! * *Behind*: a peer has a dot that no log within reach answers any more (an empty disk, an old copy
//!   of a disk, a log that was cut). What such a vnode says is true, there is only too little of it. It keeps its clock,
//!   and two of them may fill each other at the same time.
//!
//! # Why the result is right
//!
//! A page is an ordinary arrival. The sender reads key k at a time when it had durably applied the
//! clock D that the page carries; so its copy of k settles *every dot of k in D*: held, or superseded.
//! The receiver merges it by the rule for all arrivals (a version that one side lacks goes if that side
//! has seen it), for every key of the page's range, those that the sender does not have included.
//!
//! What the receiver may say afterwards is less: pages are no single snapshot, and only what *all* of
//! them settle goes into the clock of the vnode. For one storage durable clocks only grow, so that is
//! the clock at the start, C. It is entered in the batch of the last page. Until then C counts for the
//! keys already taken ([`Vnode::has_seen`](crate::vnode::Vnode::has_seen)), so that a late copy of
//! what the sender knew to be superseded finds no open door, and for nothing else. Dots beyond C that
//! a page brings are taken one by one, as from an anti-entropy answer, and left to it where they come
//! without their object.
//!
//! What arrives meanwhile is merged in place and enters clock and log dot by dot. That is the same as keeping
//! it as hints to itself: merging asks for exact knowledge of both sides and not for an order.
//!
//! * *United*: two vnodes with equal clocks hold something else, and neither can tell what it lost. As
//!   behind, but versions go by contexts alone: what one side lacks without a context is taken for lost.
//!
//! Of a vnode that lost something, objects from before are mere information. Their versions are in no
//! clock; they are shown to readers, who ask current replicas about them, and go to nobody else. When their
//! key's page comes, D judges them: seen there and not held is superseded. A version that D does not
//! know has been seen by nobody who forgot: it stays and gets a log entry. A context that
//! says more than D knows gets a freshly minted dot, so that peers can ask for what it supersedes.
//! The sender must be a current replica with a place: one that is catching up could have forgotten the same, and one that
//! departs has not seen what came since (seed 1128).
//!
//! # What can go wrong on the way
//!
//! The state is in the vnode's record, written with each page, so either side may crash: the transfer goes
//! on where it was while the sender's storage is the same and its durable clock still covers C. Otherwise,
//! and when the sender stays silent, it begins again with another: what was taken stays, as information.
//! New damage begins it anew from the first step. Without a current peer a vnode stays as it is, shows what it can
//! read and never claims an absence: the only member of its class, or when all are damaged at once.

mod discard;
mod names;
mod pages;
mod sift;
mod spans;
mod sweep;
mod take;
mod under_way;

use std::collections::BTreeMap;

use quorate_protocol::ids::StorageId;
use quorate_protocol::peer::{Remembered, SnapshotAsk, SnapshotPage, SnapshotPlace, SnapshotSpan};
use quorate_ring::{Class, NodeId};

pub(crate) use self::names::range_of;
pub(crate) use self::sift::rest_of;
pub(crate) use self::sweep::Owners;
use self::sweep::Sweep;
pub(crate) use self::take::page_bytes;
use self::under_way::UnderWay;
use crate::causality::Clock;
use crate::effects::Priority;
use crate::plant::Plant;
use crate::record::{RebuildStage, Rebuilding, SnapshotSource};
use crate::shared::{Cx, Shared};
use crate::vnode::Vnode;

/// Vnodes that are filled at a time: the budget that keeps it in the background.
const TRANSFERS_MAX: usize = 4;

/// Unanswered questions in a row after which another sender is looked for.
const SILENT_MAX: u32 = 3;

/// No sender puts a receiver off for longer, milliseconds.
const PAUSE_MS_MAX: u32 = 2_000;

/// How long a peer that refused is not asked again, microseconds.
const REFUSED_US: u64 = 500_000;

/// One page that is awaited.
#[derive(Debug)]
struct Awaited {
    to: NodeId,
    number: u64,
    sent_us: u64,
    /// The vnode's storage and the sender's when it was asked for: a page for an earlier transfer is
    /// of no use to the next.
    storages: (StorageId, Option<StorageId>),
}

/// The transfers to the vnodes of one replica.
#[derive(Debug, Default)]
pub(crate) struct Rebuild {
    awaited: BTreeMap<Class, Awaited>,
    /// Questions in a row that a class's sender left unanswered.
    silent: BTreeMap<Class, u32>,
    /// Until when a peer is not asked again for a class.
    refused: BTreeMap<(Class, NodeId), u64>,
    /// Until when the next page of a class waits for the throttle, the sender's or this one.
    paused: BTreeMap<Class, u64>,
    under_way: UnderWay,
    /// Where the sweeps of vnodes that lost something stand.
    sweeps: BTreeMap<Class, Sweep>,
    not_before_us: u64,
}

impl Rebuild {
    /// When the throttle lets the next page of a transfer under way be asked for.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.paused.values().min().copied()
    }

    /// A peer answers again, or not any more: what it was asked may be lost.
    pub(crate) fn on_peer_change(&mut self, node: NodeId) {
        self.awaited.retain(|_, awaited| awaited.to != node);
        self.refused.retain(|(_, refuser), _| *refuser != node);
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        if !cx.s.writable {
            self.paused.clear();
            return; // what came could not be stored
        }
        cx.discard_damaged();
        cx.s.end_needless();
        cx.sift_all();
        self.sweep_all(cx);
        self.refused.retain(|_, until_us| *until_us > now_us);
        self.give_up_silent(cx);
        self.under_way.forget_ended(cx.s);
        self.paused.retain(|_, until_us| *until_us > now_us);
        if now_us < self.not_before_us {
            return;
        }
        let open = |vnode: &&Vnode| {
            let stage = vnode.rebuilding.as_ref().map(|state| &state.stage);
            let reads = stage.is_some_and(|stage| !matches!(stage, RebuildStage::Sifting { .. }));
            reads && !cx.s.is_held_up(vnode) && !self.paused.contains_key(&vnode.class)
        };
        let classes: Vec<Class> =
            cx.s.vnodes
                .values()
                .filter(open)
                .map(|vnode| vnode.class)
                .collect();
        for class in classes {
            if self.awaited.len() >= TRANSFERS_MAX {
                return;
            }
            if !self.awaited.contains_key(&class) && self.is_swept(cx.s, class) {
                self.ask(cx, class);
            }
        }
    }

    /// Repeats what got no answer, and leaves a sender that stays silent.
    fn give_up_silent(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        let late = |awaited: &Awaited| awaited.sent_us + cx.s.timing.resend_us <= now_us;
        let stuck: Vec<(Class, NodeId)> = self
            .awaited
            .iter()
            .filter(|(_, awaited)| late(awaited))
            .map(|(&class, awaited)| (class, awaited.to))
            .collect();
        for (class, node) in stuck {
            self.awaited.remove(&class);
            self.count_silence(cx, class, node);
        }
    }

    fn count_silence(&mut self, cx: &mut Cx<'_>, class: Class, node: NodeId) {
        let silent = self.silent.entry(class).or_default();
        *silent += 1;
        if *silent >= SILENT_MAX {
            self.leave(cx, class, node);
        }
    }

    /// Looks for another sender.
    fn leave(&mut self, cx: &mut Cx<'_>, class: Class, node: NodeId) {
        self.silent.remove(&class);
        self.refused
            .insert((class, node), cx.s.now.mono_us + REFUSED_US);
        cx.s.begin_again(class);
    }

    fn ask(&mut self, cx: &mut Cx<'_>, class: Class) {
        let Some(vnode) = cx.s.vnodes.get(&class) else {
            return;
        };
        let Some(state) = &vnode.rebuilding else {
            return;
        };
        let (to, storage) = match state.source() {
            Some(source) if cx.s.view.is_reachable(source.node) => {
                (source.node, Some(source.storage))
            }
            Some(source) => {
                // Ticks in which it cannot be reached count as silence, spread over the same time.
                let ticks = cx.s.timing.resend_us / cx.s.timing.tick_us.max(1);
                let (node, silent) = (source.node, self.silent.entry(class).or_default());
                *silent += 1;
                if u64::from(*silent) >= u64::from(SILENT_MAX) * ticks.max(1) {
                    self.leave(cx, class, node);
                }
                return;
            }
            None => match self.best_sender(cx.s, class) {
                Some(node) => (node, None),
                None => return,
            },
        };
        let ask = SnapshotAsk {
            class,
            number: 0,
            asker: vnode.storage,
            storage,
            current: state.lost,
            spans: cx.spans_for(class, &state.stage),
            names: None,
            place: place_of(&state.stage),
        };
        let number = cx.s.new_op();
        let sent_us = cx.s.now.mono_us;
        self.awaited.insert(
            class,
            Awaited {
                to,
                number,
                sent_us,
                storages: (ask.asker, ask.storage),
            },
        );
        cx.s.send(to, SnapshotAsk { number, ..ask }, 0, Priority::Background);
    }

    /// The member that has most of what is missing.
    fn best_sender(&self, shared: &Shared, class: Class) -> Option<NodeId> {
        let vnode = shared.vnodes.get(&class)?;
        // A copy without a place knows nothing of what was written since: it is asked for what it has once this vnode
        // knows what has been superseded.
        let lost = vnode.rebuilding.as_ref().is_some_and(|state| state.lost);
        let early = lost || !shared.knows_what_members_know(vnode);
        let departs = |node: &NodeId| vnode.peers.get(node).is_some_and(|peer| peer.departing);
        let usable = |node: &NodeId| {
            *node != shared.view.me
                && !(early && departs(node) && !shared.breaks(Plant::FilledByTheGone))
                && shared.view.is_reachable(*node)
                && !self.refused.contains_key(&(class, *node))
        };
        if let Some(wanted) = vnode.fill_from.filter(usable) {
            return Some(wanted);
        }
        let known = vnode.peers.iter().filter(|(node, _)| usable(node));
        // Of those who have as much, each partition has an order of its own: one node would send everything otherwise.
        let turn = u32::from(class.partition.get()) % u64::BITS;
        known
            .max_by_key(|(node, peer)| {
                let missing = vnode.clock.count_missing_from(&peer.applied);
                (missing, node.get().rotate_left(turn))
            })
            .map(|(&node, _)| node)
    }

    pub(crate) fn on_page(&mut self, cx: &mut Cx<'_>, from: NodeId, page: SnapshotPage) {
        let class = page.class;
        let asked = |awaited: &&mut Awaited| (awaited.to, awaited.number) == (from, page.number);
        if !self.awaited.get_mut(&class).as_ref().is_some_and(asked) || !cx.s.writable {
            return;
        }
        let Some(awaited) = self.awaited.remove(&class) else {
            return;
        };
        if cx.s.storages(class) != Some(awaited.storages) {
            return;
        }
        let clock = Clock::from_wire(&page.clock).ok();
        let usable = page.error.is_none() && !cx.s.is_ahead(page.dropped);
        let Some(clock) = clock.filter(|_| usable) else {
            return self.leave(cx, class, from);
        };
        if !cx.s.accept_source(class, from, &page, &clock) {
            return self.leave(cx, class, from);
        }
        self.silent.remove(&class);
        let (bytes, now_us) = (page_bytes(&page), cx.s.now.mono_us);
        let rest_us = now_us + u64::from(page.pause_ms.min(PAUSE_MS_MAX)) * 1000;
        self.under_way.took(cx.s, class, bytes);
        let taken = cx.take_page(page, &clock);
        self.not_before_us = self.not_before_us.max(now_us) + cx.s.throttle.took(bytes);
        cx.s.settle_all();
        if taken.is_err() {
            return; // tried again at the next tick, or damaged, and then begun anew
        }
        let Some(vnode) = cx.s.vnodes.get(&class) else {
            return;
        };
        let until_us = self.not_before_us.max(rest_us);
        if vnode.rebuilding.is_none() || cx.s.is_held_up(vnode) {
            self.under_way.forget_ended(cx.s);
        } else if now_us >= until_us {
            self.ask(cx, class);
        } else {
            self.paused.insert(class, until_us);
        }
    }
}

impl Cx<'_> {
    /// What is said of this vnode's own keys with the question for the next page.
    fn spans_for(&self, class: Class, stage: &RebuildStage) -> Vec<SnapshotSpan> {
        match stage {
            RebuildStage::Waiting => self.own_spans(class, None),
            RebuildStage::Objects { after, .. } => self.own_spans(class, after.as_ref()),
            RebuildStage::Sifting { .. } | RebuildStage::Log { .. } => Vec::new(),
        }
    }
}

fn place_of(stage: &RebuildStage) -> SnapshotPlace {
    match stage {
        RebuildStage::Sifting { .. } | RebuildStage::Waiting => SnapshotPlace::default(),
        RebuildStage::Objects { after, .. } => SnapshotPlace {
            key: after.clone(),
            ..SnapshotPlace::default()
        },
        RebuildStage::Log { after, .. } => SnapshotPlace {
            log: true,
            dot: *after,
            ..SnapshotPlace::default()
        },
    }
}

impl Shared {
    /// Whether a vnode is a newcomer that an operator lets wait.
    pub(crate) fn is_held_up(&self, vnode: &Vnode) -> bool {
        let lost = vnode.rebuilding.as_ref().is_some_and(|state| state.lost);
        self.throttle.is_paused() && vnode.joining.is_some() && !lost
    }

    /// The storage of a vnode that is rebuilt, and that of its sender.
    fn storages(&self, class: Class) -> Option<(StorageId, Option<StorageId>)> {
        let vnode = self.vnodes.get(&class)?;
        let source = vnode.rebuilding.as_ref()?.source();
        Some((vnode.storage, source.map(|source| source.storage)))
    }

    /// A vnode whose clock is true and that lacks what no log answers any more is to be filled again.
    pub(crate) fn begin_snapshot(&mut self, class: Class) {
        let Some(vnode) = self.vnodes.get_mut(&class).filter(|vnode| vnode.is_whole()) else {
            return;
        };
        vnode.revision += 1;
        vnode.rebuilding = Some(Rebuilding {
            lost: false,
            united: false,
            objects: 0,
            stage: RebuildStage::Waiting,
        });
        self.note(crate::effects::Note::Rebuilding);
        self.store_vnode(class);
    }

    /// A vnode that was behind and has taken nothing yet is whole again where nobody has any more what it lacked: whoever
    /// had it has lost it meanwhile, and may be waiting to be filled by this one (seed 36).
    fn end_needless(&mut self) {
        let needless = |vnode: &&Vnode| {
            let Some(state) = &vnode.rebuilding else {
                return false;
            };
            let fresh = !state.lost && state.objects == 0 && state.stage == RebuildStage::Waiting;
            let others = self.view.counted(vnode.class).len().saturating_sub(1);
            // Who was to be asked for the rest is being filled as well.
            let wanted = vnode.fill_from.and_then(|node| vnode.peers.get(&node));
            let ready = !state.united || wanted.is_none_or(|peer| !peer.current);
            fresh && ready && vnode.peers.len() >= others && vnode.lacks_nothing()
        };
        let vnodes = self.vnodes.values().filter(needless);
        for class in vnodes.map(|vnode| vnode.class).collect::<Vec<_>>() {
            if let Some(vnode) = self.vnodes.get_mut(&class) {
                vnode.rebuilding = None;
                vnode.fill_from = None;
                vnode.revision += 1;
            }
            self.store_vnode(class);
        }
    }

    /// The transfer begins again with whatever sender is found: nothing of it counts any more.
    fn begin_again(&mut self, class: Class) {
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let Some(state) = &mut vnode.rebuilding else {
            return;
        };
        if state.source().is_some() {
            state.stage = RebuildStage::Waiting;
            self.store_vnode(class);
        }
    }

    /// Whether a page continues the transfer under way, or begins one.
    fn accept_source(
        &mut self,
        class: Class,
        from: NodeId,
        page: &SnapshotPage,
        clock: &Clock,
    ) -> bool {
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return false;
        };
        let Some(state) = &mut vnode.rebuilding else {
            return false;
        };
        match &mut state.stage {
            RebuildStage::Sifting { .. } => false,
            stage @ RebuildStage::Waiting => {
                let source = SnapshotSource {
                    node: from,
                    storage: page.storage,
                    clock: clock.clone(),
                };
                *stage = RebuildStage::Objects {
                    source,
                    after: None,
                };
                true
            }
            RebuildStage::Objects { source, .. } | RebuildStage::Log { source, .. } => {
                let same = (source.node, source.storage) == (from, page.storage);
                same && clock.covers(&source.clock)
            }
        }
    }

    /// A peer says what this node told it once to have durably. For one storage that only grows: what came
    /// back since and is not durable yet, or was not there when this life began, had been lost.
    pub(crate) fn on_remembered(&mut self, from: NodeId, word: &Remembered) {
        let Ok(durable) = Clock::from_wire(&word.durable) else {
            return;
        };
        let lost = self
            .vnodes
            .get(&word.class)
            .filter(|vnode| vnode.storage == word.storage)
            .is_some_and(|vnode| !vnode.durable_for(from).covers(&durable));
        if lost && self.is_member(from, word.class) {
            self.mark_damaged(word.class);
        }
    }
}
