//! Generations of actors in a walk.

use std::sync::Arc;

use quorate_core::causality::Clock;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{Class, NodeId};

use super::Walk;

impl Walk {
    /// Makes the version of the map by which the next generation of actors begins. Nobody but who starts from now on has
    /// heard of it.
    pub fn begin_generation(&mut self) {
        let before = &self.version;
        self.version = Arc::new(VersionedMap {
            version: before.version.next(),
            generation: before.generation + 1,
            ..VersionedMap::clone(before)
        });
    }

    /// The clock of a node's vnode.
    pub fn clock(&self, id: NodeId, class: Class) -> Clock {
        let standings = self.nodes[&id]
            .replica
            .as_ref()
            .unwrap()
            .standings(None, 1_000);
        let vnode = standings
            .vnodes
            .iter()
            .find(|vnode| vnode.class == class)
            .unwrap();
        Clock::from_wire(&vnode.applied).unwrap()
    }
}
