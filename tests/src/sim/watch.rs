//! What checkers are shown of a world: who remembers which request, how far clocks went apart.

use std::collections::BTreeMap;

use quorate_core::causality::Clock;
use quorate_core::store::Store;
use quorate_core::{Family, Write};
use quorate_protocol::limits::CLOCK_AHEAD_MS_MAX;
use quorate_protocol::peer::PeerMessage;

use super::clock::WALL_START_MS;
use super::config::Profile;
use super::world::World;
use crate::checkers::retries::{self, Witness};
use crate::checkers::{Expiries, Violation};
use crate::history::WriteId;

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

    /// When what nodes stored of writes expires. The ids of simulated requests end with the write's.
    #[must_use]
    pub fn expiries(&self) -> BTreeMap<WriteId, Expiries> {
        let mut by_write: BTreeMap<WriteId, Vec<u64>> = BTreeMap::new();
        for (request, expires_ms) in self.dots.expiries() {
            let [.., a, b, c, d, e, f, g, h] = request.to_bytes();
            let write = WriteId(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
            by_write.entry(write).or_default().push(expires_ms);
        }
        let (behind_ms, ahead_ms) = self.skews_ms;
        let (behind_us, ahead_us) = (
            behind_ms.unsigned_abs() * 1000,
            ahead_ms.unsigned_abs() * 1000,
        );
        let right_us = |ms: u64| ms.saturating_sub(WALL_START_MS) * 1000;
        let of = |all: Vec<u64>| {
            let lasting = all.contains(&0);
            let first = all.iter().copied().filter(|&ms| ms > 0).min();
            let last = all.iter().copied().max().filter(|_| !lasting);
            let (first_us, last_us) = (first.map(right_us), last.map(right_us));
            // A coordinator hides by its hybrid clock, which may run ahead of its own.
            let hides_early_us = ahead_us + CLOCK_AHEAD_MS_MAX * 1000;
            Expiries {
                first_us,
                last_us,
                hidden_from_us: first_us.map_or(u64::MAX, |us| us.saturating_sub(hides_early_us)),
                hidden_by_us: last_us.map_or(u64::MAX, |us| us.saturating_add(behind_us)),
            }
        };
        by_write
            .into_iter()
            .map(|(write, all)| (write, of(all)))
            .collect()
    }

    /// By how much two wall clocks differed at most, at any two times so far, milliseconds.
    #[must_use]
    pub const fn skew_ms(&self) -> u64 {
        self.skews_ms.0.abs_diff(self.skews_ms.1)
    }
}
