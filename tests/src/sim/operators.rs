//! Operators who change the members, their weights and zones while everything else goes on: classes move, move on to other
//! places before they have arrived, and move back; a node leaves, and comes back as a newcomer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_core::Ticket;
use quorate_core::register::Version;
use quorate_protocol::RequestId;
use quorate_protocol::client::{ChangeRing, ClientReply, Commit, RingChange};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::versioned::{ClassState, StagedChange, VersionedMap};
use quorate_ring::{NodeId, Weight, Zone};

use super::config::{Config, Profile};
use super::counters::Counter;
use super::dice::Dice;
use super::event::Event;
use super::history::Key;
use super::world::World;

/// In so many of a thousand runs of large clusters operators change the ring.
const CHANGING: u32 = 300;
/// What an operator gives a request, milliseconds.
const DEADLINE_MS: u32 = 4_000;

/// What operators want, and what they were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Operators {
    asked: BTreeMap<Ticket, &'static str>,
}

/// Decides whether operators change the ring in a run.
pub(super) fn draw(config: &mut Config) {
    let mut dice = Dice::new(config.seed, "operators");
    // One node may be away and another drained: no bucket that the run makes may ask for more copies than are left.
    let members = config.map.members.len();
    let enough = members >= usize::from(config.map.ring.copies()) + 2;
    // Returning nodes are checked for freshness beyond quorums, by what those that are up have heard in calm weather: a
    // node that lags behind the class's epoch has not heard it, and both that have may go down.
    let calm = config.profile == Profile::Returning;
    if dice.chance(CHANGING) && !calm && members >= 5 && (enough || config.founding.is_none()) {
        config.operate_every_us = dice.between(3_000_000, 20_000_000);
    }
}

impl World<'_> {
    /// Plans what operators ask for in a run.
    pub(super) fn order_changes(&mut self) {
        if self.config.operate_every_us == 0 {
            return;
        }
        let mut dice = Dice::new(self.config.seed, "orders of operators");
        let mut after_us = 2_000_000 + dice.exponential(self.config.operate_every_us);
        while after_us < self.config.fault_us {
            let end_us = self.order_change(&mut dice, after_us);
            after_us = end_us + 1 + dice.exponential(self.config.operate_every_us);
        }
    }

    /// One visit of an operator. Returns when it ends, microseconds.
    fn order_change(&mut self, dice: &mut Dice, from_us: u64) -> u64 {
        let mut at_us = from_us;
        if dice.chance(200) {
            self.order(dice, at_us, "cancel", RingChange::Cancel);
            return at_us;
        }
        for _ in 0..dice.between(1, 2) {
            let change = self.a_change(dice);
            self.order(dice, at_us, "stage", RingChange::Stage(change));
            at_us += dice.between(10_000, 2_000_000);
        }
        if dice.chance(50) {
            self.order(dice, at_us, "clear", RingChange::Clear);
            return at_us;
        }
        for _ in 0..dice.between(1, 3) {
            // Nobody forces a plan by which some class has fewer copies than reads of the end ask for.
            let commit = Commit::default();
            self.order(dice, at_us, "commit", RingChange::Commit(commit));
            at_us += dice.between(100_000, 3_000_000);
        }
        if dice.chance(200) {
            self.order(dice, at_us, "cancel", RingChange::Cancel);
        }
        at_us
    }

    fn a_change(&self, dice: &mut Dice) -> StagedChange {
        let members = &self.config.map.members;
        // One node comes and goes; who it is does not matter.
        if let Some(guest) = members.last().filter(|_| dice.chance(350)) {
            return if dice.chance(500) {
                StagedChange::leave(guest.id)
            } else {
                StagedChange::join(guest.clone())
            };
        }
        let node = members[dice.index(members.len())].id;
        if dice.chance(150) {
            let zone = if dice.chance(500) { "a" } else { "b" };
            let zone: Zone = zone.parse().unwrap_or_default();
            return StagedChange::zone(node, zone);
        }
        if let [.., drained, _] = &members[..]
            && dice.chance(250)
        {
            return StagedChange::weight(drained.id, Weight::DRAINED);
        }
        let weights = [50, 100, 100, 100, 200];
        let weight = weights[dice.index(weights.len())];
        StagedChange::weight(node, Weight::new(weight).unwrap_or_default())
    }

    fn order(&mut self, dice: &mut Dice, after_us: u64, what: &'static str, change: RingChange) {
        let request = RequestId::new(dice.bits(), dice.bits());
        let node = dice.index(self.nodes.len());
        self.order_at(node, (request, change), after_us, what);
    }

    /// An operator asks a node for a change.
    pub(super) fn order_at(
        &mut self,
        node: usize,
        (request, change): (RequestId, RingChange),
        after_us: u64,
        what: &'static str,
    ) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.operators.asked.insert(ticket, what);
        let event = Event::Request {
            node,
            ticket,
            request: Box::new(ChangeRing::new(request, change).into()),
            deadline_ms: DEADLINE_MS,
        };
        self.schedule(after_us, event);
    }

    /// An operator calls these gone for good.
    pub fn order_recovery(&mut self, node: usize, gone: Vec<usize>) {
        let gone = gone.into_iter().map(|node| self.nodes[node].id).collect();
        let request = RequestId::new(self.at_us, node as u64);
        self.order_at(node, (request, RingChange::Recover(gone)), 1, "recover");
    }

    /// The lineage of the newest version of the map at a node.
    #[must_use]
    pub fn lineage(&self, node: usize) -> u16 {
        let newest = self.founding.maps.newest(node);
        newest.map_or(0, |newest| newest.name().version.lineage())
    }

    /// An operator waits for an answer.
    pub(super) fn await_operator(&mut self, ticket: Ticket, what: &'static str) {
        self.operators.asked.insert(ticket, what);
    }

    /// A node answers an operator.
    pub(super) fn answers_operator(&mut self, ticket: Ticket, reply: &ClientReply) {
        let Some(what) = self.operators.asked.remove(&ticket) else {
            return;
        };
        if let ClientReply::Failed(error) = reply {
            let told = || format!("an operator's {what} failed: {}", error.message);
            self.trace.say(self.at_us, told);
        }
        let outcome = match (what, reply) {
            ("stage", ClientReply::RingChanged(_)) => "staged",
            ("clear", ClientReply::RingChanged(_)) => "cleared",
            ("commit", ClientReply::RingChanged(_)) => "committed",
            ("cancel", ClientReply::RingChanged(_)) => "cancelled",
            ("forget", ClientReply::RingChanged(_)) => "forgotten",
            ("recover", ClientReply::RingChanged(_)) => "recovered",
            ("drop", ClientReply::RingChanged(_)) => "bucket dropped",
            ("drop", ClientReply::Failed(error)) if error.code == ErrorCode::NoSuchBucket => {
                "no bucket to drop"
            }
            (_, ClientReply::Failed(error)) if error.code == ErrorCode::Conflict => "conflict",
            (_, ClientReply::Failed(error)) if error.code == ErrorCode::Invalid => "refused",
            (_, _) => "not decided in time",
        };
        self.counters.count(Counter::Ring(outcome));
    }

    /// The nodes that a node knows to be members of a key's class, or that are by now.
    pub(super) fn places_at(&self, node: usize, key: Key) -> BTreeSet<usize> {
        let Some(class) = self.config.class_of(key) else {
            return BTreeSet::new();
        };
        let newest = self.newest_map();
        let known = self.founding.maps.newest(node).map(Version::shared);
        let mut places = BTreeSet::new();
        for version in [Some(newest), known].into_iter().flatten() {
            let records = &version.records;
            let at = records.binary_search_by_key(&class, |record| record.class);
            let ids: Vec<NodeId> = match at {
                Ok(at) => records[at]
                    .places()
                    .iter()
                    .map(|place| place.node)
                    .collect(),
                Err(_) => version.map.ring.primaries(class).to_vec(),
            };
            places.extend(ids.into_iter().filter_map(|id| self.place_of(id)));
        }
        places
    }

    /// The nodes that are members by now.
    #[must_use]
    pub fn members(&self) -> Vec<usize> {
        let newest = self.newest_map();
        let members = newest.map.members.iter();
        members
            .filter_map(|member| self.place_of(member.id))
            .collect()
    }

    /// One of them.
    pub(super) fn some_member(&mut self) -> usize {
        let members = self.members();
        members
            .get(self.dice.index(members.len()))
            .copied()
            .unwrap_or(0)
    }

    /// The newest version that any node has.
    #[must_use]
    pub fn newest_map(&self) -> Arc<VersionedMap> {
        self.newest_version().map_or_else(
            || self.config.first_version().shared(),
            |version| version.shared(),
        )
    }

    pub(super) fn newest_version(&self) -> Option<Version> {
        let nodes = 0..self.nodes.len();
        let known = nodes.filter_map(|node| self.founding.maps.newest(node));
        known.max_by_key(|version| version.name()).cloned()
    }
}

/// What a change of the ring has left to do.
pub(crate) fn unfinished(version: &VersionedMap) -> Option<String> {
    for record in &version.records {
        let class = record.class;
        if record.state != ClassState::Stable {
            return Some(format!(
                "class {class} is under way in version {}: {record:?}",
                version.version
            ));
        }
        if let Some(place) = record.departing.first() {
            let node = place.node;
            return Some(format!("{node}'s copy of class {class} departs"));
        }
        let wanted = version.map.ring.primaries(class);
        if record.old.len() != wanted.len()
            || record.old.iter().any(|place| !wanted.contains(&place.node))
        {
            return Some(format!("class {class} is not where the ring wants it"));
        }
    }
    let under_way = version.before.is_some();
    under_way.then(|| "a change of the ring has not come to its end".to_owned())
}
