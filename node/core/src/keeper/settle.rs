//! Telling clients: not before the members that answer know, so that a client may go on at any of them.

use quorate_protocol::peer::MapNewest;
use quorate_protocol::versioned::{MapName, MapVersion};
use quorate_ring::NodeId;

use super::wish::Wish;
use super::{Keeper, KeeperEffect};
use crate::effects::{Now, Ticket};
use crate::register::Version;

/// How long the answer to a client waits for members to learn of what he wanted, microseconds.
const SETTLE_US: u64 = 1_000_000;

/// An answer that waits for other members to learn of a version.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    pub(super) waiter: Ticket,
    pub(super) wish: Wish,
    pub(super) version: MapVersion,
    pub(super) until_us: u64,
}

impl Keeper {
    /// A wish was granted: who waits for it is told when the members that answer know of it, so that he may go on at any
    /// of them, or after a moment.
    pub(super) fn granted(&mut self, now: Now, ticket: Ticket, made: MapName) {
        let Some(wish) = self.wishes.remove(&ticket) else {
            return;
        };
        if let Some(waiter) = wish.waiter {
            self.settling.push(Settling {
                waiter,
                version: made.version,
                until_us: now.mono_us.saturating_add(SETTLE_US).min(wish.deadline_us),
                wish,
            });
        }
    }

    pub(super) fn answer_settled(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        let knows = |peer: &NodeId, version| self.known_at.get(peer) >= Some(&version);
        let is_over = |settling: &Settling| {
            let known = self.up.iter().all(|peer| knows(peer, settling.version));
            known || settling.until_us <= now.mono_us
        };
        let (over, later) = std::mem::take(&mut self.settling)
            .into_iter()
            .partition(is_over);
        self.settling = later;
        let over: Vec<Settling> = over;
        effects.extend(over.into_iter().filter_map(|settling| {
            let (ticket, reply) = (settling.waiter, self.made(&settling.wish)?);
            Some(KeeperEffect::Reply { ticket, reply })
        }));
    }

    /// Who proposed a version wants to know who has it.
    pub(super) fn tell_proposer(&self, version: &Version) -> Option<KeeperEffect> {
        let (to, newest) = (version.map().change.by, version.name());
        let is_peer = to != self.config.me && version.map().map.member(to).is_some();
        let message = MapNewest { newest }.into();
        is_peer.then_some(KeeperEffect::Send { to, message })
    }
}
