//! A storage that no version names: the node asks for it to be named.

use quorate_protocol::RequestId;
use rand_chacha::rand_core::Rng;

use super::wish::{Judged, What, Wish};
use super::{Keeper, KeeperEffect};
use crate::effects::Now;
use crate::register::Version;

/// How long one try to have this node's storage named may take, milliseconds.
const NAMING_MS: u32 = 5_000;

impl Keeper {
    /// Whether the newest version names another storage of this node than the one that it has.
    pub(super) fn wants_a_name(&self) -> bool {
        let map = self.register.newest().map();
        let named = map.voter(self.config.me).and_then(|voter| voter.storage);
        self.register.is_founded() && named.is_some_and(|named| named != self.config.storage)
    }

    pub(super) fn asks_for_a_name(&self) -> bool {
        self.wishes.values().any(|wish| wish.what == What::Name)
    }

    pub(super) fn ask_for_a_name(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        if !self.wants_a_name() || self.asks_for_a_name() || self.name_at_us > now.mono_us {
            return;
        }
        let wish = Wish {
            what: What::Name,
            waiter: None,
            request: RequestId::new(self.rng.next_u64(), self.rng.next_u64()),
            deadline_us: now.mono_us.saturating_add(u64::from(NAMING_MS) * 1000),
            proposed: false,
        };
        self.add(now, wish, effects);
    }

    pub(super) fn judge_name(&self, newest: &Version) -> Judged {
        if !self.wants_a_name() {
            return Judged::Settled(None);
        }
        let (me, storage) = (self.config.me, self.config.storage);
        let mut draft = newest.draft();
        let voter = draft.voters.iter_mut().find(|voter| voter.node == me);
        if let Some(voter) = voter {
            voter.storage = Some(storage);
        }
        let name = newest.map().map.member(me).map_or("?", |me| &me.name);
        let what = format!("node {name} votes with another storage: its former one is lost");
        Judged::Next(what, Box::new(draft))
    }
}
