//! The next generation of actors: it begins where a class has many that are retired, so that they can be folded.

use quorate_protocol::RequestId;
use rand_chacha::rand_core::Rng;

use super::wish::{Judged, What, Wish};
use super::{Keeper, KeeperEffect};
use crate::effects::Now;
use crate::register::Version;

/// How long one try may take, milliseconds.
const TRY_MS: u32 = 5_000;
/// Between two tries: at least this, and by chance up to twice as long, microseconds.
const PAUSE_US: u64 = 2_000_000;

impl Keeper {
    /// The generation that a replica of this node wants to begin, if it has not.
    fn wanted_generation(&self) -> Option<u16> {
        let wanted = self.words.own()?.generation;
        let newest = self.register.newest().map();
        (self.register.is_founded() && wanted > newest.generation).then_some(wanted)
    }

    fn asks_for_a_generation(&self) -> bool {
        let mut wishes = self.wishes.values();
        wishes.any(|wish| matches!(wish.what, What::Generation(_)))
    }

    pub(super) fn ask_for_a_generation(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        let Some(wanted) = self.wanted_generation() else {
            return;
        };
        if self.asks_for_a_generation() || self.generation_at_us > now.mono_us {
            return;
        }
        let wish = Wish {
            what: What::Generation(wanted),
            waiter: None,
            request: RequestId::new(self.rng.next_u64(), self.rng.next_u64()),
            deadline_us: now.mono_us.saturating_add(u64::from(TRY_MS) * 1000),
            proposed: false,
        };
        self.add(now, wish, effects);
    }

    /// When it is looked at next.
    pub(super) fn next_generation(&self) -> u64 {
        if self.wanted_generation().is_some() && !self.asks_for_a_generation() {
            self.generation_at_us
        } else {
            u64::MAX
        }
    }

    /// A try has ended.
    pub(super) fn plan_a_generation(&mut self, now: Now) {
        let more_us = self.rng.next_u64() % PAUSE_US;
        self.generation_at_us = now.mono_us.saturating_add(PAUSE_US + more_us);
    }

    pub(super) fn judge_generation(newest: &Version, wanted: u16) -> Judged {
        let mut draft = newest.draft();
        if wanted <= draft.generation {
            return Judged::Settled(None); // somebody else was faster
        }
        draft.generation = draft.generation.saturating_add(1);
        let what = format!(
            "generation {} of actors begins: those before are folded",
            draft.generation
        );
        Judged::Next(what, Box::new(draft))
    }
}
