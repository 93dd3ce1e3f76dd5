//! Scrubbing: every record of a vnode is read now and then, without anybody asking for it, and what was
//! read is held against what must be there.
//!
//! # A pass
//!
//! One vnode at a time is gone through in pages, within ticks and under a budget of bytes per second:
//! objects with all pieces that they name, then the dot log, then the hints kept for the other members
//! of its class. What cannot be read goes the way that damage goes whoever meets it. What is missing
//! without a trace shows at the end: the pass sums up the objects that it read, and while it runs each
//! change behind its place changes the sum as it changes the vnode's digest
//! ([`crate::replicate::digests`]). So at the end both are equal, or objects were lost silently: a record
//! that vanished, a deleted file, a database that went back in time. Log entries are counted the same way.
//! A vnode that lost something is damaged and rebuilt ([`crate::replicate::rebuild`]).
//!
//! A pass is not stored: after a restart it begins again. Vnodes take turns, the one whose last pass is
//! longest ago first; those of which something is suspected go before all others, whatever the pace.
//!
//! # Suspicion
//!
//! Peers tell their digests with their clocks (`differ.rs`). Equal clocks and different digests are damage.

mod differ;
mod order;
mod pass;
mod read;

use std::collections::BTreeMap;

use quorate_ring::Class;

pub(crate) use self::differ::{Differing, Taken};
pub use self::order::ScrubOrdered;
pub(crate) use self::pass::Pass;
use crate::causality::Digest;
use crate::effects::Note;
use crate::replicate::allowance::Allowance;
use crate::shared::{Cx, Shared};
use crate::vnode::Vnode;

/// A page takes at most so many bytes of a tick.
const PAGE_BYTES: u64 = 256 * 1024;
/// Pages in one tick.
const PAGES_PER_TICK: usize = 8;
/// Where nothing is due it is looked again so much later, microseconds.
const LOOK_AGAIN_US: u64 = 1_000_000;
/// What is suspected is read at least so fast, bytes per second, also where scrubbing is paused.
const URGENT_BYTES_PER_S: u64 = 4 * 1024 * 1024;
/// For what is suspected caches are emptied at most so often, microseconds.
const UNCACHED_AGAIN_US: u64 = 60_000_000;

/// Scrubbing of one replica.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    /// Whose turn it is.
    current: Option<Class>,
    /// When each vnode's last pass ended, monotonic microseconds; 0: not in this life.
    ended_us: BTreeMap<Class, u64>,
    /// What may be read now.
    allowance: Allowance,
    /// Until then no vnode's turn comes, if none is suspected.
    idle_until_us: u64,
    /// When caches were last emptied, monotonic microseconds: since then everything was read from the device first.
    uncached_us: Option<u64>,
    /// By order: nothing is read but what is suspected.
    paused: bool,
}

impl Scrub {
    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        cx.s.judge_differences();
        self.end_stale_pass(cx.s);
        let idle = self.current.is_none() && cx.s.suspected.is_empty();
        if idle && cx.s.now.mono_us < self.idle_until_us {
            return;
        }
        self.hold_if_paused(cx.s);
        let Some(class) = self.turn(cx) else {
            self.allowance.rest();
            return;
        };
        let rate = self.rate(cx.s, class);
        self.allowance.refill(cx.s, rate);
        for _ in 0..PAGES_PER_TICK {
            if self.allowance.is_used_up() || self.current.is_none() {
                return;
            }
            // A slow pace makes small pages, or one would use up many seconds of it.
            let page = (self.rate(cx.s, class) / 10).clamp(1, PAGE_BYTES);
            let bytes = cx.scrub_page(class, page);
            self.allowance.spend(bytes);
            if cx
                .s
                .vnodes
                .get(&class)
                .is_none_or(|vnode| vnode.pass.is_none())
            {
                self.ended_us.insert(class, cx.s.now.mono_us.max(1));
                self.current = None;
            }
        }
    }

    /// A vnode that has lost something, or forgot for another reason what it had, is not scrubbed.
    fn end_stale_pass(&mut self, shared: &mut Shared) {
        let Some(class) = self.current else {
            return;
        };
        let going_on = |vnode: &Vnode| {
            let same = |pass: &Pass| pass.storage() == vnode.storage;
            vnode.is_whole() && vnode.pass.as_ref().is_some_and(same)
        };
        if shared.vnodes.get(&class).is_some_and(going_on) {
            return;
        }
        if let Some(vnode) = shared.vnodes.get_mut(&class) {
            vnode.pass = None;
        }
        self.current = None;
    }

    /// The vnode to go on with, or to begin with.
    fn turn(&mut self, cx: &mut Cx<'_>) -> Option<Class> {
        let shared = &mut *cx.s;
        // Who is suspected again and again keeps nobody else waiting.
        let ended = |class: &Class| self.ended_us.get(class).copied().unwrap_or(0);
        let suspected = shared.suspected.iter().copied();
        let suspected = suspected.min_by_key(|class| (ended(class), *class));
        if self.current.is_some() && (suspected.is_none() || self.is_urgent(shared)) {
            return self.current;
        }
        let next = suspected.or_else(|| self.longest_ago(shared))?;
        if let Some(before) = self.current.and_then(|class| shared.vnodes.get_mut(&class)) {
            before.pass = None; // begun anew when its turn comes again
        }
        let urgent = shared.suspected.remove(&next);
        let vnode = shared
            .vnodes
            .get_mut(&next)
            .filter(|vnode| vnode.is_whole());
        self.current = vnode.map(|vnode| {
            vnode.pass = Some(Pass::new(vnode.storage, urgent));
            next
        });
        if self.current.is_some() {
            self.read_from_the_device(cx, next, urgent);
        }
        self.current
    }

    /// Once a round caches are emptied: what they hold afterwards was read from the device in this round. Who is
    /// suspected again and again does not empty them each time.
    fn read_from_the_device(&mut self, cx: &Cx<'_>, class: Class, urgent: bool) {
        let (now_us, ended_us) = (cx.s.now.mono_us, self.ended_us.get(&class).copied());
        let emptied = self.uncached_us.filter(|&at_us| {
            Some(at_us) > ended_us || (urgent && now_us < at_us + UNCACHED_AGAIN_US)
        });
        self.uncached_us = emptied.or_else(|| {
            cx.store.forget_cached();
            Some(now_us)
        });
    }

    fn is_urgent(&self, shared: &Shared) -> bool {
        let vnode = self.current.and_then(|class| shared.vnodes.get(&class));
        vnode
            .and_then(|vnode| vnode.pass.as_ref())
            .is_some_and(Pass::is_urgent)
    }

    /// The vnode that was scrubbed longest ago, if its time has come.
    fn longest_ago(&mut self, shared: &Shared) -> Option<Class> {
        let now_us = shared.now.mono_us;
        self.idle_until_us = now_us + LOOK_AGAIN_US;
        if self.is_paused(shared) {
            return None;
        }
        let ended = |class: &Class| self.ended_us.get(class).copied().unwrap_or(0);
        let whole = shared.vnodes.values().filter(|vnode| vnode.is_whole());
        let ended_us = |class: &Class| (ended(class), *class);
        let first = whole.map(|vnode| vnode.class).min_by_key(ended_us)?;
        let due_us = match ended(&first) {
            0 => 0,
            ended_us => ended_us + shared.timing.scrub_every_us,
        };
        (due_us <= now_us).then_some(first)
    }

    /// Bytes per second.
    fn rate(&self, shared: &Shared, class: Class) -> u64 {
        let vnode = shared.vnodes.get(&class);
        let urgent = vnode
            .and_then(|vnode| vnode.pass.as_ref())
            .is_some_and(Pass::is_urgent);
        let rate = shared.timing.scrub_bytes_per_s;
        if urgent {
            rate.max(URGENT_BYTES_PER_S)
        } else {
            rate
        }
    }
}

impl Shared {
    /// Something speaks for it that a vnode lost something: it is scrubbed before all others.
    pub(crate) fn suspect(&mut self, class: Class) {
        if let Some(vnode) = self.vnodes.get(&class).filter(|vnode| vnode.is_whole()) {
            let class = vnode.class;
            self.suspected.insert(class);
        }
    }

    /// A pass has come to its end: what it read is all that must be there, or something was lost.
    fn end_pass(&mut self, class: Class) {
        let wall_ms = self.now.wall_ms;
        let mono_us = self.now.mono_us;
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let Some(pass) = vnode.pass.take() else {
            return;
        };
        let put_back = std::mem::replace(&mut vnode.put_back, Digest::EMPTY);
        let mut with_it = vnode.digest;
        with_it.add(put_back);
        if pass.sum() != vnode.digest && pass.sum() == with_it {
            // A peer that had lost it without a sign had taken it from this vnode, which had counted it off (seed 1266).
            vnode.digest = with_it;
            vnode.revision += 1;
            self.digests_changed.insert(class);
        }
        if pass.sum() == vnode.digest && pass.entries() == vnode.log_entries {
            vnode.scrubbed_ms = Some(wall_ms);
            vnode.cleared_us = Some(mono_us);
            return self.note(Note::Scrubbed);
        }
        vnode.bad_records += 1;
        self.note(Note::SilentLossFound);
        self.mark_damaged(class);
    }
}
