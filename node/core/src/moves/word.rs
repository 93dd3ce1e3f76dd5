//! What a replica says of its part in ring changes.

use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::Class;

use crate::replica::Replica;

/// A newcomer that has all that the old members had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Complete {
    /// The class.
    pub class: Class,
    /// The newcomer's vnode.
    pub vnode: VnodeId,
    /// The epoch in which that was proven.
    pub epoch: MapVersion,
}

/// What a replica, or a node, has done of what the map asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The version that it works under: nothing is answered under an earlier one any more.
    pub version: MapVersion,
    /// Newcomers that are durably complete.
    pub complete: Vec<Complete>,
    /// Copies without a place that are not deleted yet.
    pub departing: Vec<(Class, VnodeId)>,
}

impl Word {
    /// What two replicas of one node say together.
    pub fn merge(&mut self, other: Self) {
        self.version = self.version.min(other.version);
        self.complete.extend(other.complete);
        self.departing.extend(other.departing);
    }
}

impl Replica {
    /// What this replica has done of what the map asks for.
    #[must_use]
    pub fn word(&self) -> Word {
        let vnodes = self.shared.vnodes.values();
        let complete = vnodes.filter_map(|vnode| {
            let epoch = vnode.claimed.filter(|&epoch| epoch == vnode.epoch)?;
            Some(Complete {
                class: vnode.class,
                vnode: vnode.id,
                epoch,
            })
        });
        let departing = self.shared.departing.values();
        Word {
            version: self.shared.view.version.version,
            complete: complete.collect(),
            departing: departing.map(|vnode| (vnode.class, vnode.id)).collect(),
        }
    }
}
