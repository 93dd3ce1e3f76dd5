//! Repairs of ranges that somebody orders while everything else goes on.
//!
//! A repair reads and compares; it changes nothing where nothing was lost. So whatever it puts back where no object
//! vanished is wrong.

use bytes::Bytes;
use quorate_core::Ticket;
use quorate_protocol::client::{RangeRepair, Scrub};
use quorate_ring::PartitionId;

use super::config::Config;
use super::dice::Dice;
use super::event::Event;
use super::world::World;
use crate::checkers::Violation;

/// In so many of a thousand runs ranges are repaired.
const REPAIRING: u32 = 300;

/// Decides whether ranges are repaired in a run.
pub(super) fn draw(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "repairs of ranges");
    if dice.chance(REPAIRING) {
        config.repair_every_us = dice.between(1_000_000, 15_000_000);
    }
}

impl World<'_> {
    /// Plans the orders of a run: each for one node that then runs, or for nobody.
    pub(super) fn order_repairs(&mut self) {
        if self.config.repair_every_us == 0 {
            return;
        }
        let mut dice = Dice::new(self.config.seed, "orders to repair");
        let mut after_us = dice.exponential(self.config.repair_every_us);
        while after_us < self.config.fault_us {
            self.last_ticket += 1;
            let order = an_order(&self.config, &mut dice);
            let event = Event::Request {
                node: dice.index(self.nodes.len()),
                ticket: Ticket(self.last_ticket),
                request: Box::new(order.into()),
                deadline_ms: 5_000,
            };
            self.schedule(after_us, event);
            after_us += 1 + dice.exponential(self.config.repair_every_us);
        }
    }

    /// I18: what has not vanished is not missing.
    pub(super) fn judge_range_loss(&mut self, node: usize) {
        let id = self.nodes[node].id;
        self.trace.say(self.at_us, || {
            format!("{id} puts something of a range back")
        });
        if !self.config.faults.vanish_objects {
            let why = format!("{id} puts something of a range back, and nothing was lost");
            self.violations.push(Violation::general("I18", why));
        }
    }
}

/// All keys, a bucket, or those of its keys that begin in some way; in some partitions.
fn an_order(config: &Config, dice: &mut Dice) -> Scrub {
    let last = config.map.ring.partitions().get().saturating_sub(1);
    let last = u64::from(last);
    let (one, other) = (dice.between(0, last), dice.between(0, last));
    let partition = |number: u64| PartitionId::new(u16::try_from(number).unwrap_or(0));
    let bucket = dice.pick(&config.map.buckets).map(|bucket| bucket.id);
    let prefix = if dice.chance(500) {
        Bytes::new()
    } else {
        Bytes::from_static(b"k")
    };
    Scrub {
        repair: Some(Box::new(RangeRepair {
            id: dice.bits(),
            keys: bucket
                .map(|bucket| (bucket, prefix))
                .filter(|_| dice.chance(700)),
            first: partition(one.min(other)),
            last: partition(one.max(other)),
        })),
        ..Scrub::default()
    }
}
