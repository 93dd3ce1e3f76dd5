//! A change of the ring goes on: the next version is made as soon as the words of the members allow one.
//!
//! # Why anybody may
//!
//! [`next_version`] is a function of the present version and of what was heard. A proposal is for one present version, of
//! all proposals one is decided, and whatever a node had not heard only makes it propose less. So nothing depends on who
//! proposes. The members with the lowest ids that answer do, one after the other, so that there is mostly one proposal.
//! Where each believes to be the first, or those who heard the words die, the cost is one more attempt.

use quorate_protocol::RequestId;
use quorate_protocol::versioned::VersionedMap;
use rand_chacha::rand_core::Rng;

use super::wish::{Judged, What, Wish};
use super::{Keeper, KeeperEffect};
use crate::effects::Now;
use crate::moves::{Complete, Heard, next_version};
use crate::plant::Plant;

/// Words are collected for so long before a version is made of them, microseconds: many classes ride on one.
const PAUSE_US: u64 = 200_000;
/// Whoever comes next in rank waits longer, microseconds.
const RANK_US: u64 = 600_000;
/// After a proposal came to nothing: at least this, and by chance up to twice as long, microseconds.
const AGAIN_US: u64 = 500_000;
/// How long one try may take, milliseconds.
const TRY_MS: u32 = 5_000;

impl Keeper {
    /// Something may be possible that was not: it is looked at in a while.
    pub(super) fn plan_to_go_on(&mut self, now: Now) {
        let me = self.config.me;
        let Some(rank) = self.hearers().iter().position(|&node| node == me) else {
            return;
        };
        let pause_us = PAUSE_US + RANK_US * rank as u64;
        self.go_on_by(now.mono_us.saturating_add(pause_us));
    }

    /// Looks again after a proposal that came to nothing.
    pub(super) fn plan_to_go_on_again(&mut self, now: Now) {
        let more_us = self.rng.next_u64() % AGAIN_US;
        self.go_on_by(now.mono_us.saturating_add(AGAIN_US + more_us));
    }

    fn go_on_by(&mut self, at_us: u64) {
        self.go_on_at_us = Some(self.go_on_at_us.unwrap_or(u64::MAX).min(at_us));
    }

    fn is_going_on(&self) -> bool {
        self.wishes.values().any(|wish| wish.what == What::GoOn)
    }

    /// Proposes what comes next, if it is time and there is something.
    pub(super) fn go_on(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        if self.go_on_at_us.is_none_or(|at_us| at_us > now.mono_us) || self.is_going_on() {
            return;
        }
        self.go_on_at_us = None;
        if !self.is_under_way() || !self.hearers().contains(&self.config.me) {
            return;
        }
        let version = self.map();
        if next_version(&version, &self.heard(&version)).is_none() {
            return;
        }
        let wish = Wish {
            what: What::GoOn,
            waiter: None,
            request: RequestId::new(self.rng.next_u64(), self.rng.next_u64()),
            deadline_us: now.mono_us.saturating_add(u64::from(TRY_MS) * 1000),
            proposed: false,
        };
        self.add(now, wish, effects);
    }

    pub(super) fn next_going_on(&self) -> u64 {
        match self.go_on_at_us {
            Some(at_us) if !self.is_going_on() => at_us,
            Some(_) | None => u64::MAX,
        }
    }

    /// What is known of all members.
    pub(super) fn heard(&self, version: &VersionedMap) -> Heard {
        let here = (self.config.me, self.config.storage);
        let mut heard = self.words.all(here, &self.up, version);
        self.assume(version, &mut heard);
        heard
    }

    /// What is taken for heard where a rule is broken on purpose.
    fn assume(&self, version: &VersionedMap, heard: &mut Heard) {
        let breaks = |plant| self.planted == Some(plant);
        for word in heard.words.values_mut() {
            if breaks(Plant::GoesOnUnheard) {
                word.version = version.version;
            }
            if breaks(Plant::GoneAssumed) {
                word.departing.clear();
            }
        }
        if breaks(Plant::ClaimsAssumed) {
            let newcomers = version.records.iter().flat_map(|record| {
                let places = record.newcomers();
                places.map(move |place| (record, place))
            });
            for (record, place) in newcomers {
                if let Some(word) = heard.words.get_mut(&place.node) {
                    word.complete.push(Complete {
                        class: record.class,
                        vnode: place.vnode,
                        epoch: record.epoch,
                    });
                }
            }
        }
    }

    pub(super) fn judge_going_on(&self) -> Judged {
        let version = self.map();
        match next_version(&version, &self.heard(&version)) {
            Some(next) => Judged::Next(next.what, Box::new(next.draft)),
            None => Judged::Settled(None),
        }
    }
}
