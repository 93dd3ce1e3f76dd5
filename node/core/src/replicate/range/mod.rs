//! Repair of a range: some keys are read through, and compared with what every other member of their classes
//! holds, without anybody reading them as a client.
//!
//! # What is compared
//!
//! First this node's own records are read, with all values: what is unreadable goes the way that damage goes whoever
//! meets it. Then each other member is asked, page by page, which versions it holds
//! ([`SnapshotAsk::names`](quorate_protocol::peer::SnapshotAsk)), and each of them is held against the own copy:
//!
//! * The own clock lacks the dot: the write is on its way here by anti-entropy, and is counted as behind.
//! * It has the dot, and the object holds the version or a context that covers it: all is well.
//! * It has the dot, and nothing says what became of the version. Either every member has durably seen what superseded
//!   it, or else the context would still be there; or it was lost.
//!
//! In the last case the peer may have been asked before it had seen what superseded the version, so the same page is
//! asked for once more, with values. Whoever still holds it by then, whole and current, has seen nothing that superseded
//! it, if it has all that a denial here can rest on ([`crate::replicate::denial`]; where a log was cut, that is more than
//! the context's word): it was lost here. It is put back as it is there, and nothing else changes: the clock has its dot, and the digest
//! counts it, as it did all the time; or it never did again, where the version was taken away on the word of a peer that had lost it:
//! the pass that follows tells. Where one record is missing others may be, outside of the range too, so the whole
//! vnode is suspected and read through ([`crate::replicate::scrub`]); if more is missing, that is
//! noticed by the digest, and all of it is filled again. What a peer has lost it finds out by its own repair.
//!
//! Versions that expire are left out: each replica removes them by its own time of day. So are void ones.
//!
//! # Pace, and interruptions
//!
//! One page at a time, at the pace of what is suspected. A vnode that is being filled waits for its turn; a peer
//! that is away or being filled is asked again for a while, and then counted. Nothing of this is stored: a node that
//! restarts is given the order again by who waits for it, under the same number.

mod job;
mod judge;

use std::collections::VecDeque;

use quorate_protocol::client::{RangeProgress, RangeRepair};
use quorate_protocol::peer::{
    PeerVersion, SnapshotAsk, SnapshotNames, SnapshotPage, SnapshotPlace,
};
use quorate_ring::NodeId;

use self::job::{Job, Next, Turn};
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::record::KeyPlace;
use crate::replicate::allowance::Allowance;
use crate::shared::{Cx, Shared};

/// Repairs that are remembered, those that are over included. A further one is refused while none of them is over.
const JOBS_MAX: usize = 8;
/// Pages in one tick.
const PAGES_PER_TICK: usize = 8;
/// At least so fast, bytes per second.
const BYTES_PER_S: u64 = 4 * 1024 * 1024;
/// What a page costs beside what is in it.
const PAGE_BYTES: u64 = 64;

/// A page that was asked for.
#[derive(Debug)]
struct Awaited {
    /// The repair that asked.
    job: u64,
    from: NodeId,
    number: u64,
    sent_us: u64,
}

/// The repairs of ranges of one replica, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    jobs: VecDeque<Job>,
    awaited: Option<Awaited>,
    /// What may be read and fetched now.
    allowance: Allowance,
}

impl Ranges {
    /// Takes an order, or tells how far it has come if it is known. `None`: too many are under way.
    pub(crate) fn order(&mut self, shared: &Shared, order: RangeRepair) -> Option<RangeProgress> {
        if let Some(known) = self.jobs.iter().find(|job| job.id() == order.id) {
            return Some(known.progress());
        }
        if self.jobs.len() >= JOBS_MAX {
            let over = self.jobs.iter().position(Job::is_over)?;
            self.jobs.remove(over);
        }
        let job = Job::new(shared, order);
        let progress = job.progress();
        self.jobs.push_back(job);
        Some(progress)
    }

    /// Whether this page was asked for here.
    pub(crate) fn awaits(&self, from: NodeId, number: u64) -> bool {
        let asked = |awaited: &Awaited| (awaited.from, awaited.number) == (from, number);
        self.awaited.as_ref().is_some_and(asked)
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        let late = |awaited: &Awaited| awaited.sent_us + cx.s.timing.resend_us <= now_us;
        if self.awaited.as_ref().is_some_and(late) {
            self.give_up(now_us);
        }
        if self.jobs.iter().all(Job::is_over) {
            self.allowance.rest();
            return;
        }
        let rate = cx.s.timing.scrub_bytes_per_s.max(BYTES_PER_S);
        self.allowance.refill(cx.s, rate);
        self.go_on(cx);
    }

    pub(crate) fn on_page(&mut self, cx: &mut Cx<'_>, page: SnapshotPage) {
        let now_us = cx.s.now.mono_us;
        let asked = self.awaited.take().map(|awaited| awaited.job);
        let Some(job) = self.jobs.iter_mut().find(|job| Some(job.id()) == asked) else {
            return;
        };
        let Some(turn) = job.turn_of(page.class) else {
            return;
        };
        if !turn.is_for(cx.s) {
            return; // dropped at the next tick
        }
        if page.error.is_some() {
            return turn.refused(now_us);
        }
        let bytes = names_bytes(&page);
        self.allowance.spend(bytes + PAGE_BYTES);
        if let Ok(judged) = cx.judge_names(&page) {
            let lost = job.confirmed(cx.s, &judged);
            let put_back = cx.put_back(page, &lost);
            job.judged(cx.s, judged, put_back, bytes);
        }
        self.go_on(cx);
    }

    /// Reads and asks on, as far as the pace allows.
    fn go_on(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..PAGES_PER_TICK {
            if self.allowance.is_used_up() || self.awaited.is_some() {
                return;
            }
            let open = |job: &&mut Job| !job.is_over() && !job.is_stuck(cx.s);
            let Some(job) = self.jobs.iter_mut().find(open) else {
                return;
            };
            match job.next(cx.s) {
                Next::Read { class, after } => {
                    let read = cx.read_range(class, job.keys(), after.as_ref());
                    let bytes = job.was_read(cx.s, read);
                    self.allowance.spend(bytes + PAGE_BYTES);
                }
                Next::Ask(ask, to) => {
                    let job = job.id();
                    return self.ask(cx, job, *ask, to);
                }
                Next::Over => cx.s.note(Note::RangeRepaired),
                Next::Again => {}
                Next::Wait => return,
            }
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, job: u64, ask: SnapshotAsk, to: NodeId) {
        let number = cx.s.new_op();
        self.awaited = Some(Awaited {
            job,
            from: to,
            number,
            sent_us: cx.s.now.mono_us,
        });
        cx.s.send(to, SnapshotAsk { number, ..ask }, 0, Priority::Background);
    }

    /// A page did not come.
    fn give_up(&mut self, now_us: u64) {
        let asked = self.awaited.take().map(|awaited| awaited.job);
        let job = self.jobs.iter_mut().find(|job| Some(job.id()) == asked);
        if let Some(turn) = job.and_then(Job::turn_mut) {
            turn.refused(now_us);
        }
    }
}

/// The question for the next page of which versions a peer holds.
fn names_ask(shared: &Shared, keys: Option<&KeyPlace>, turn: &Turn) -> Option<SnapshotAsk> {
    let vnode = shared.vnodes.get(&turn.class())?;
    Some(SnapshotAsk {
        class: turn.class(),
        number: 0,
        asker: vnode.storage,
        storage: None,
        current: true,
        spans: Vec::new(),
        names: Some(Box::new(SnapshotNames {
            keys: keys.cloned(),
            values: turn.looks_again() || shared.breaks(Plant::RangeProofIgnored),
        })),
        place: SnapshotPlace {
            key: turn.after().cloned(),
            ..SnapshotPlace::default()
        },
    })
}

fn names_bytes(page: &SnapshotPage) -> u64 {
    // What came, not what the sender says of it.
    let came = |version: &PeerVersion| version.body.as_ref().map_or(0, |body| body.value.len());
    let versions = page.objects.iter().map(|object| {
        let values = object
            .object
            .versions
            .iter()
            .map(|version| came(version) + 64);
        object.key.len() + 64 + values.sum::<usize>()
    });
    versions.sum::<usize>() as u64
}
