//! Refused writes: a vnode that did not take a write is behind, and says so.
//!
//! A coordinator whose write is refused turns to a fallback and counts its acknowledgement in the
//! replica's place. From then on the replica lacks a write that may be acknowledged, although it was
//! there all the time. Its absences count no more until it has the write: a read would otherwise count
//! it beside another replica whose copy is still under way.
//!
//! The coordinator has its own write, so the wait is over when it comes from there, or from the
//! fallback. If the coordinator falls silent or restarts first, the write may be gone for ever; then
//! all others that answer are heard instead: if it was acknowledged, one of them has it. The same where it
//! answers and does not have them any more.

use quorate_protocol::ids::Dot;
use quorate_ring::{Class, NodeId};

use crate::causality::Clock;
use crate::plant::Plant;
use crate::shared::Shared;
use crate::vnode::Vnode;

/// Refused writes of one coordinator that are remembered one by one. Beyond, everybody is heard.
const REFUSED_MAX: u32 = 10_000;

/// What a vnode refused to one coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused {
    dots: Clock,
    count: u32,
}

impl Vnode {
    /// Forgets what has come meanwhile. Returns whether the vnode has just become current.
    pub(crate) fn settle_refused(&mut self) -> bool {
        if self.refused.is_empty() {
            return false;
        }
        let clock = &self.clock;
        self.refused
            .retain(|_, refused| !clock.covers(&refused.dots));
        self.is_current()
    }
}

impl Shared {
    /// A write was refused: until it is here, this vnode's absences do not count.
    pub(crate) fn refused(&mut self, coordinator: NodeId, class: Class, dot: Dot) {
        let careless = self.breaks(Plant::RefusedAndCurrent);
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        if vnode.clock.contains(dot) || careless {
            return;
        }
        let refused = vnode.refused.entry(coordinator).or_default();
        refused.count += u32::from(refused.dots.add(dot));
        let many = refused.count >= REFUSED_MAX;
        vnode.revision += 1;
        self.alive.set_settled(false);
        if many {
            self.hear_others(class, coordinator);
        }
    }

    /// The writes of coordinators that cannot be relied upon any more are looked for elsewhere.
    pub(crate) fn hear_others_for_the_silent(&mut self) {
        let silent: Vec<(Class, NodeId)> = self
            .vnodes
            .values()
            .flat_map(|vnode| vnode.refused.keys().map(|&node| (vnode.class, node)))
            .filter(|(_, node)| !self.view.answers(*node))
            .collect();
        for (class, node) in silent {
            self.hear_others(class, node);
        }
    }

    /// A coordinator says what it has, and writes of its own that were refused here are not among it: it lost
    /// them. They may have come late, from a life that was over (seed 1284).
    pub(super) fn hear_others_for_the_forgetful(&mut self, class: Class, coordinator: NodeId) {
        let lost = self.vnodes.get(&class).is_some_and(|vnode| {
            let told = vnode.peers.get(&coordinator);
            let refused = vnode.refused.get(&coordinator);
            told.zip(refused)
                .is_some_and(|(told, refused)| !told.applied.covers(&refused.dots))
        });
        if lost {
            self.hear_others(class, coordinator);
        }
    }

    /// If writes of this coordinator were refused, all who answer are heard instead of them.
    pub(crate) fn hear_others(&mut self, class: Class, coordinator: NodeId) {
        let vnode = self.vnodes.get_mut(&class);
        if vnode.is_some_and(|vnode| vnode.refused.remove(&coordinator).is_some()) {
            self.wait_for_those(class, |view, node| view.answers(node));
        }
    }
}
