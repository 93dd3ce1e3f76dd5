//! What is known of members that were removed by force and have not heard of it, and of what only they hold: exactly what
//! rule 13 of ring changes accepts, and no more.

use std::collections::BTreeSet;

use quorate_core::register::Version;
use quorate_protocol::versioned::{Going, MapName, VersionedMap};
use quorate_ring::NodeId;

use super::counters::Counter;
use super::world::World;
use crate::checkers::Unaware;

/// Members that were removed by force.
#[derive(Clone, Debug, Default)]
pub(super) struct Removed {
    pub(super) unaware: Vec<Unaware>,
    open: BTreeSet<NodeId>,
    /// From when on a cluster had so many members that were not taken for dead.
    pub(super) members: Vec<(u64, usize)>,
}

/// Whether a version has removed a node by force, or has it as a member no more.
fn is_out(version: &VersionedMap, node: NodeId) -> bool {
    version.map.member(node).is_none() || version.going(node).is_some_and(Going::is_dead)
}

impl World<'_> {
    /// Whether a node was removed by force and has not heard of it.
    pub(super) fn is_unaware(&self, node: usize) -> bool {
        self.removed.open.contains(&self.nodes[node].id)
    }

    /// A node hears that the cluster was recovered without it: it serves nobody from now on, and never comes back.
    pub(super) fn given_up(&mut self, node: usize, by: MapName) {
        let id = self.nodes[node].id;
        self.trace.say(self.at_us, || {
            format!("{id} hears that it was given up by {by}")
        });
        self.counters
            .count(Counter::Turn("who was called gone hears of it"));
        self.stop_for_good(node);
    }

    /// A node hears at a member's door that it was removed by force and given up: it serves nobody from now on.
    pub(super) fn turned_away(&mut self, node: usize, by: MapName) {
        let id = self.nodes[node].id;
        self.trace
            .say(self.at_us, || format!("{id} is turned away by {by}"));
        self.counters
            .count(Counter::Turn("who was given up is turned away"));
        self.stop_for_good(node);
    }

    /// From now on nothing excuses a node that had not heard of its removal: it does not run, and if it should ever run
    /// again, it must not answer from what it has.
    pub(super) fn is_excused_no_more(&mut self, node: usize) -> bool {
        let (id, at_us) = (self.nodes[node].id, self.at_us);
        let was_open = self.removed.open.remove(&id);
        let mut unaware = self.removed.unaware.iter_mut();
        if let Some(open) = unaware.rfind(|unaware| was_open && unaware.node == id) {
            open.until_us = at_us;
        }
        was_open
    }

    /// A version is the newest of a node: whom it removes may not know that yet, and this node may be one.
    pub(super) fn note_removals(&mut self, node: usize, version: &Version) {
        let (id, map) = (self.nodes[node].id, version.map());
        let counted = map.map.members.iter();
        let counted = counted.filter(|member| !is_out(map, member.id)).count();
        let members = &mut self.removed.members;
        if members.last().is_none_or(|&(_, last)| last != counted) {
            members.push((self.at_us, counted));
        }
        if is_out(map, id) && self.is_excused_no_more(node) {
            self.counters
                .count(Counter::Turn("who was taken for dead hears of it"));
        }
        for going in map.going.iter().filter(|going| going.is_dead()) {
            self.removed_by(version, going.node);
        }
    }

    fn removed_by(&mut self, version: &Version, id: NodeId) {
        let Some(node) = self.place_of(id) else {
            return;
        };
        let known = self.founding.maps.newest(node);
        let knows = known.is_some_and(|known| {
            known.name().version >= version.name().version || is_out(known.map(), id)
        });
        let must_not_serve = self.is_back_from_the_gone(node);
        if !knows && !must_not_serve && !self.is_buried(node) && self.removed.open.insert(id) {
            self.removed.unaware.push(Unaware {
                node: id,
                from_us: self.at_us,
                until_us: u64::MAX,
            });
            self.copies.is_removed(node, self.at_us);
        }
    }
}
