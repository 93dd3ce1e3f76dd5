//! Orders from outside: read this through now, pause, go on.

use quorate_protocol::client::{RangeProgress, Scrub};
use quorate_ring::Class;

use crate::replica::Replica;
use crate::shared::Shared;

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOrdered {
    /// Vnodes that it concerns.
    pub vnodes: u32,
    /// Whether nothing is read but what is suspected or ordered.
    pub paused: bool,
    /// How far the repair of a range has come that the order names; `None` also where there are too many.
    pub repair: Option<RangeProgress>,
}

impl Replica {
    /// Takes an order. What is to be read through now goes as what is suspected does: before all else, and
    /// each vnode from its beginning. A vnode that lost something is none of it: it is being filled.
    /// How far the repair of a range has come is told where one is ordered.
    pub fn order_scrub(&mut self, order: Scrub) -> ScrubOrdered {
        let concerned = |class: &&Class| order.partition.is_none_or(|one| class.partition == one);
        let vnodes = self.shared.vnodes.keys();
        let classes: Vec<Class> = vnodes.filter(concerned).copied().collect();
        if order.now {
            classes.iter().for_each(|&class| self.shared.suspect(class));
        }
        if let Some(pause) = order.pause {
            self.scrub.paused = pause;
        }
        let repair = order
            .repair
            .and_then(|order| self.ranges.order(&self.shared, *order));
        ScrubOrdered {
            repair,
            vnodes: u32::try_from(classes.len()).unwrap_or(u32::MAX),
            paused: self.scrub.is_paused(&self.shared),
        }
    }
}

impl super::Scrub {
    pub(super) fn is_paused(&self, shared: &Shared) -> bool {
        self.paused || shared.timing.scrub_bytes_per_s == 0
    }

    /// A pass that nothing but the pace asked for ends with the order to pause.
    pub(super) fn hold_if_paused(&mut self, shared: &mut Shared) {
        if !self.is_paused(shared) || self.is_urgent(shared) {
            return;
        }
        if let Some(vnode) = self.current.and_then(|class| shared.vnodes.get_mut(&class)) {
            vnode.pass = None;
        }
        self.current = None;
    }
}
