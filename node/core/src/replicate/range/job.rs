//! One repair of a range: which vnodes it concerns, and where it stands with the one whose turn it is.

use std::collections::{BTreeSet, VecDeque};

use quorate_protocol::client::{RangeProgress, RangeRepair};
use quorate_protocol::ids::StorageId;
use quorate_protocol::peer::SnapshotAsk;
use quorate_ring::{Class, NodeId};

use super::judge::{Judged, Lost, Read};
use super::names_ask;
use crate::effects::Note;
use crate::plant::Plant;
use crate::record::KeyPlace;
use crate::shared::Shared;
use crate::store::StoreError;

/// A peer that is away or refuses is asked again so much later, microseconds, and so often.
const AGAIN_US: u64 = 1_000_000;
const TRIES_MAX: u32 = 30;

/// What a read that storage did not answer counts for: as much as a tick.
const FAILED_BYTES: u64 = 1 << 20;

/// What is to be done next.
pub(super) enum Next {
    /// Own keys are to be read after this one.
    Read {
        class: Class,
        after: Option<KeyPlace>,
    },
    /// A peer is to be asked.
    Ask(Box<SnapshotAsk>, NodeId),
    /// Something else: ask once more.
    Again,
    /// Nothing yet.
    Wait,
    /// The repair is over.
    Over,
}

/// A repair.
#[derive(Debug)]
pub(super) struct Job {
    order: RangeRepair,
    todo: BTreeSet<Class>,
    turn: Option<Turn>,
    progress: RangeProgress,
    over: bool,
}

/// Where the repair of one vnode stands.
#[derive(Debug)]
pub(super) struct Turn {
    class: Class,
    storage: StorageId,
    /// Own keys are read before anybody is asked.
    is_read: bool,
    /// Members that have not been compared with yet, the one that is being asked first.
    peers: VecDeque<NodeId>,
    after: Option<KeyPlace>,
    /// What was missing at the first look at the page.
    doubted: BTreeSet<Lost>,
    /// Something was put back.
    lost: bool,
    not_before_us: u64,
    tries: u32,
}

impl Job {
    pub(super) fn new(shared: &Shared, order: RangeRepair) -> Self {
        let copies = order
            .keys
            .as_ref()
            .and_then(|(bucket, _)| shared.view.bucket(*bucket))
            .map(|bucket| bucket.props.n);
        let partitions = order.first..=order.last;
        let concerned = |class: &&Class| {
            partitions.contains(&class.partition) && copies.is_none_or(|n| class.n == n)
        };
        let todo: BTreeSet<Class> = shared.vnodes.keys().filter(concerned).copied().collect();
        Self {
            progress: RangeProgress {
                vnodes: u32::try_from(todo.len()).unwrap_or(u32::MAX),
                ..RangeProgress::default()
            },
            over: todo.is_empty(),
            order,
            todo,
            turn: None,
        }
    }

    pub(super) const fn id(&self) -> u64 {
        self.order.id
    }

    pub(super) const fn keys(&self) -> Option<&KeyPlace> {
        self.order.keys.as_ref()
    }

    pub(super) const fn progress(&self) -> RangeProgress {
        self.progress
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it waits for vnodes that are being filled, and for nothing else.
    pub(super) fn is_stuck(&self, shared: &Shared) -> bool {
        let whole = |class: &Class| shared.vnodes.get(class).is_none_or(|v| v.is_whole());
        self.turn.is_none() && !self.todo.iter().any(whole)
    }

    pub(super) const fn turn_mut(&mut self) -> Option<&mut Turn> {
        self.turn.as_mut()
    }

    pub(super) fn turn_of(&mut self, class: Class) -> Option<&mut Turn> {
        self.turn.as_mut().filter(|turn| turn.class == class)
    }

    /// What comes next.
    pub(super) fn next(&mut self, shared: &mut Shared) -> Next {
        // A vnode that has forgotten meanwhile what it had is read again when it is whole.
        self.turn.take_if(|turn| !turn.is_for(shared));
        if self.turn.is_none() {
            let whole = |class: &&Class| shared.vnodes.get(class).is_some_and(|v| v.is_whole());
            self.todo.retain(|class| shared.vnodes.contains_key(class));
            self.turn = self
                .todo
                .iter()
                .find(whole)
                .and_then(|class| Turn::new(shared, *class));
        }
        let Some(turn) = &mut self.turn else {
            self.over = self.todo.is_empty();
            return if self.over { Next::Over } else { Next::Wait };
        };
        let class = turn.class;
        if !turn.is_read {
            let after = turn.after.clone();
            return Next::Read { class, after };
        }
        let Some(&peer) = turn.peers.front() else {
            return self.end_turn(shared);
        };
        if turn.not_before_us > shared.now.mono_us {
            return Next::Wait;
        }
        if turn.tries >= TRIES_MAX {
            turn.next_peer();
            self.progress.unanswered += 1;
            return Next::Again;
        }
        if !shared.view.is_reachable(peer) {
            turn.refused(shared.now.mono_us);
            return Next::Wait;
        }
        let ask = names_ask(shared, self.order.keys.as_ref(), turn);
        ask.map_or(Next::Wait, |ask| Next::Ask(Box::new(ask), peer))
    }

    /// The vnode was compared with all others.
    fn end_turn(&mut self, shared: &mut Shared) -> Next {
        if let Some(turn) = self.turn.take() {
            self.todo.remove(&turn.class);
            if turn.lost {
                shared.suspect(turn.class);
            }
            self.progress.done += 1;
        }
        self.over = self.todo.is_empty();
        if self.over { Next::Over } else { Next::Again }
    }

    /// Takes what reading a page of own keys came to. Returns the bytes.
    pub(super) fn was_read(&mut self, shared: &mut Shared, read: Result<Read, StoreError>) -> u64 {
        let Some(turn) = &mut self.turn else {
            return 0;
        };
        match read {
            Ok(read) => {
                self.progress.keys += read.keys;
                turn.is_read = read.next.is_none();
                turn.after = read.next;
                read.bytes
            }
            Err(StoreError::Damaged { .. }) => {
                self.found_damage(shared);
                0
            }
            // Storage gives no answer: tried again at the next tick.
            Err(StoreError::Failed(_)) => FAILED_BYTES,
        }
    }

    /// Of what a page leaves in doubt, what is certainly lost.
    pub(super) fn confirmed(&self, shared: &Shared, judged: &Judged) -> BTreeSet<Lost> {
        if shared.breaks(Plant::RangeLossIgnored) {
            return BTreeSet::new();
        }
        if shared.breaks(Plant::RangeProofIgnored) {
            return judged.doubted.clone();
        }
        let before = self.turn.as_ref().map(|turn| &turn.doubted);
        let again = before.map(|before| before.intersection(&judged.doubted).cloned().collect());
        again.unwrap_or_default()
    }

    /// Takes what a peer's page came to, which had so many bytes and put so many versions back.
    pub(super) fn judged(
        &mut self,
        shared: &mut Shared,
        judged: Judged,
        put_back: u64,
        bytes: u64,
    ) {
        self.progress.bytes += bytes;
        let Some(turn) = &mut self.turn else {
            return;
        };
        turn.tries = 0;
        if put_back > 0 {
            turn.lost = true;
            self.progress.missing += put_back;
            shared.note(Note::RangeLossFound);
            if let Some(vnode) = shared.vnodes.get_mut(&turn.class) {
                vnode.bad_records += put_back;
            }
        } else if !turn.looks_again() && !judged.doubted.is_empty() {
            turn.not_before_us = shared.now.mono_us + AGAIN_US;
            turn.doubted = judged.doubted;
            return;
        }
        turn.doubted.clear();
        self.progress.compared += judged.keys;
        self.progress.behind += judged.behind;
        match judged.next {
            Some(next) => turn.after = Some(next),
            None => turn.next_peer(),
        }
    }

    /// A record could not be read: the vnode is marked by now, and is filled again.
    fn found_damage(&mut self, shared: &mut Shared) {
        let Some(turn) = self.turn.take() else {
            return;
        };
        self.todo.remove(&turn.class);
        self.progress.done += 1;
        self.progress.damaged += 1;
        if let Some(vnode) = shared.vnodes.get_mut(&turn.class) {
            vnode.bad_records += 1;
        }
    }
}

impl Turn {
    fn new(shared: &Shared, class: Class) -> Option<Self> {
        let members = shared.view.readers(class).into_iter();
        Some(Self {
            class,
            storage: shared.vnodes.get(&class)?.storage,
            is_read: false,
            peers: members.filter(|member| *member != shared.view.me).collect(),
            after: None,
            doubted: BTreeSet::new(),
            lost: false,
            not_before_us: 0,
            tries: 0,
        })
    }

    pub(super) const fn class(&self) -> Class {
        self.class
    }

    pub(super) const fn after(&self) -> Option<&KeyPlace> {
        self.after.as_ref()
    }

    /// Whether the next page is asked for once more, because of what was missing at the first look.
    pub(super) fn looks_again(&self) -> bool {
        !self.doubted.is_empty()
    }

    /// Whether the vnode is whole, and what it has is what it had when the turn began.
    pub(super) fn is_for(&self, shared: &Shared) -> bool {
        let vnode = shared.vnodes.get(&self.class);
        vnode.is_some_and(|vnode| vnode.is_whole() && vnode.storage == self.storage)
    }

    /// The peer cannot be compared with now.
    pub(super) const fn refused(&mut self, now_us: u64) {
        self.tries += 1;
        self.not_before_us = now_us + AGAIN_US;
    }

    fn next_peer(&mut self) {
        self.peers.pop_front();
        self.after = None;
        self.doubted.clear();
        self.tries = 0;
        self.not_before_us = 0;
    }
}
