//! What checkers are shown of a world: who remembers which request, how far clocks went apart.

use quorate_core::causality::Clock;
use quorate_core::store::Store;
use quorate_core::{Family, Write};
use quorate_protocol::peer::PeerMessage;

use super::clock::WALL_START_MS;
use super::config::Profile;
use super::world::World;
use crate::checkers::Violation;
use crate::checkers::retries::{self, Witness};

impl World<'_> {
    /// Looks whether a node that gives out dots for puts repeats what somebody remembers.
    pub(super) fn judge_retries(&mut self, minter: usize, writes: &[Write]) {
        match self.config.profile {
            Profile::Calm | Profile::Returning => {}
            Profile::OneDown | Profile::Storm => return,
        }
        for minted in retries::minted(writes) {
            let key = minted.request_key();
            let running = self.nodes.iter().filter(|node| node.is_running());
            let others = running.filter(|node| node.index != minter);
            let records: Vec<(usize, Option<bytes::Bytes>)> = others
                .map(|node| {
                    (
                        node.index,
                        node.disk.get(Family::Requests, &key).ok().flatten(),
                    )
                })
                .collect();
            let witnesses: Vec<Witness<'_>> = records
                .iter()
                .map(|(node, record)| Witness {
                    node: *node,
                    up_us: self.up_us(*node),
                    record: record.as_deref(),
                })
                .collect();
            let wall_ms = WALL_START_MS + self.at_us / 1000;
            let found = retries::judge(&minted, self.up_us(minter), wall_ms, &witnesses);
            self.violations
                .extend(found.map(|why| Violation::general("I11", why)));
        }
    }

    /// Looks whether what a node tells a peer to be durable is.
    pub(super) fn judge_told(&mut self, from: usize, message: &PeerMessage) {
        let PeerMessage::Clocks(told) = message else {
            return;
        };
        let synced = self.nodes[from].disk.synced();
        for clock in &told.clocks {
            let Ok(durable) = Clock::from_wire(&clock.durable) else {
                continue;
            };
            let early = self.ack_truth.tells(from, clock.class, durable, synced);
            self.violations
                .extend(early.map(|why| Violation::general("I10", why)));
        }
    }

    /// For how long a node has run since it was last started, microseconds.
    fn up_us(&self, node: usize) -> u64 {
        let mut outages = self.outages.iter().rev();
        let last = outages.find(|outage| outage.node == node);
        self.at_us - last.map_or(0, |outage| outage.until_us.min(self.at_us))
    }

    /// By how much two wall clocks differed at most, at any two times so far, milliseconds.
    #[must_use]
    pub const fn skew_ms(&self) -> u64 {
        self.skews_ms.0.abs_diff(self.skews_ms.1)
    }
}
