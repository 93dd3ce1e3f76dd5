//! Buckets that a run made are dropped again, while everything else goes on: the clients that use them, moves, faults. Those
//! who ask for buckets may ask for the same name again, with the same nature or another.

use quorate_core::record::{decode_log, decode_request, keys};
use quorate_core::{Family, Ticket};
use quorate_protocol::RequestId;
use quorate_protocol::client::{ChangeRing, RingChange};
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{BucketId, Class};

use super::asking::is_made;
use super::config::Config;
use super::counters::Counter;
use super::dice::Dice;
use super::event::Event;
use super::node::Node;
use super::world::World;

/// In so many of a thousand runs that make buckets some of them are dropped.
const DROPPING: u32 = 500;
/// What a request is given, milliseconds.
const DEADLINE_MS: u32 = 3_000;

/// Decides whether buckets are dropped in a run.
pub(super) fn draw(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "whether buckets are dropped");
    if config.founding.is_some() && dice.chance(DROPPING) {
        config.drop_buckets();
    }
}

impl Config {
    /// Lets buckets that clients ask for be dropped again.
    pub fn drop_buckets(&mut self) {
        let mut dice = Dice::new(self.seed, "how many buckets are dropped");
        self.dropping = u32::try_from(dice.between(400, 1_000)).unwrap_or(1_000);
    }
}

impl World<'_> {
    /// A bucket is in use from now on, and maybe dropped some time later: asked for at several nodes, as who gets no
    /// answer asks elsewhere.
    pub(super) fn order_drop(&mut self, bucket: BucketId) {
        let chance = self.config.dropping;
        let end_us = self.config.fault_us;
        let dice = &mut self.founding.drop_dice;
        if chance == 0 || !dice.chance(chance) || self.healed {
            return;
        }
        let mut after_us = 200_000 + dice.exponential(8_000_000);
        let mut orders = Vec::new();
        for _ in 0..dice.between(1, 3) {
            let request = RequestId::new(dice.bits(), dice.bits());
            orders.push((after_us, dice.index(self.nodes.len()), request));
            after_us += dice.between(50_000, 4_000_000);
        }
        orders.retain(|(after_us, ..)| self.at_us + after_us < end_us);
        if !orders.is_empty() {
            self.founding.maps.asked_to_drop(bucket);
        }
        for (after_us, node, request) in orders {
            self.last_ticket += 1;
            let ticket = Ticket(self.last_ticket);
            self.await_operator(ticket, "drop");
            let change = RingChange::Drop(bucket);
            let event = Event::Request {
                node,
                ticket,
                request: Box::new(ChangeRing::new(request, change).into()),
                deadline_ms: DEADLINE_MS,
            };
            self.schedule(after_us, event);
        }
    }

    /// A version is in force at some node: what it dropped is used no more.
    pub(super) fn note_drops(&mut self, version: &VersionedMap) {
        let buckets = self.config.map.buckets.iter();
        let gone = buckets.filter(|bucket| is_made(bucket) && version.has_dropped(bucket.id));
        let gone: Vec<BucketId> = gone.map(|bucket| bucket.id).collect();
        for id in gone {
            if self.founding.dropped.insert(id) {
                let more_us = self.founding.drop_dice.exponential(4_000_000);
                self.founding.fading.insert(id, self.at_us + more_us);
                self.counters.count(Counter::Bucket("dropped"));
            }
        }
        self.forget_dropped();
    }

    /// Clients go on with a dropped bucket for a while: not all of them hear of it at once.
    pub(super) fn forget_dropped(&mut self) {
        let (now_us, healed) = (self.at_us, self.healed);
        let over = self.founding.fading.iter();
        let over = over.filter(|(_, until_us)| healed || **until_us <= now_us);
        let over: Vec<BucketId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.founding.fading.remove(&id);
            self.config.map.buckets.retain(|bucket| bucket.id != id);
        }
    }
}

/// What is left at a node of buckets that its map has dropped.
pub(super) fn left_of_dropped(node: &Node) -> Option<String> {
    let map = node.newest()?.map();
    for family in Family::ALL {
        let mut left = node.disk.records(family).filter(|(key, record)| {
            let bucket = bucket_of(family, key, record);
            let of_dropped = bucket.is_some_and(|bucket| map.has_dropped(bucket));
            let ended = class_of(family, key).is_some_and(|class| {
                let used = map.used_since(class.n);
                used.is_none()
            });
            of_dropped || ended
        });
        if let Some((key, _)) = left.next() {
            let (id, more) = (node.id, left.count());
            return Some(format!(
                "{id} has {family:?} of a dropped bucket under {key:02x?}, and {more} records more"
            ));
        }
    }
    None
}

fn bucket_of(family: Family, key: &[u8], record: &[u8]) -> Option<BucketId> {
    match family {
        Family::Objects => keys::parse_object_key(key).map(|(_, bucket, _)| bucket),
        Family::Chunks => keys::parse_chunk_key(key).map(|(_, _, bucket, ..)| bucket),
        Family::Hints => keys::parse_hint_key(key).map(|(_, _, bucket, _)| bucket),
        Family::Log => Some(decode_log(key, record).ok()?.bucket),
        Family::Vnodes => None,
        Family::Requests => Some(decode_request(key, record).ok()?.bucket),
        Family::Expiry => keys::parse_expiry_key(key).map(|(_, _, bucket, _)| bucket),
    }
}

fn class_of(family: Family, key: &[u8]) -> Option<Class> {
    match family {
        Family::Log | Family::Requests => keys::class_of_key(key),
        Family::Vnodes => keys::parse_vnode_key(key)
            .or_else(|| keys::parse_digest_key(key))
            .or_else(|| keys::parse_lost_key(key)),
        Family::Objects | Family::Chunks | Family::Hints | Family::Expiry => None,
    }
}
