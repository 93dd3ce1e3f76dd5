//! What a replica says of itself: its vnodes, and what it owes to whom.

use quorate_protocol::client::{PeerStatus, VnodeStatus};

use crate::replica::Replica;
use crate::vnode::Vnode;

/// One replica's part of a node's status report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaStatus {
    /// One line for each other member; `reachable` by this replica's view, `silent_ms` 0.
    pub peers: Vec<PeerStatus>,
    /// One line for each vnode.
    pub vnodes: Vec<VnodeStatus>,
    /// Requests under way.
    pub requests: u64,
}

impl Replica {
    /// What this replica has to say now.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus {
            peers: self
                .shared
                .view
                .peers()
                .map(|node| self.peer_status(node))
                .collect(),
            vnodes: self
                .shared
                .vnodes
                .values()
                .map(|vnode| self.vnode_status(vnode))
                .collect(),
            requests: self.requests_in_flight() as u64,
        }
    }

    fn peer_status(&self, node: quorate_ring::NodeId) -> PeerStatus {
        let shared = &self.shared;
        let known = || {
            shared
                .vnodes
                .values()
                .filter_map(|vnode| vnode.peers.get(&node).map(|peer| (vnode, peer)))
        };
        PeerStatus {
            node,
            reachable: shared.view.answers(node),
            silent_ms: 0,
            hints: shared.hints.for_target(node),
            hints_delivered: shared.hints.delivered(node),
            hints_in_flight: self.handoff.in_flight(node),
            lag: known()
                .map(|(vnode, peer)| vnode.clock.count_missing_from(&peer.applied))
                .fold(0, u64::saturating_add),
            lead: known()
                .map(|(vnode, peer)| peer.applied.count_missing_from(&vnode.clock))
                .fold(0, u64::saturating_add),
        }
    }

    fn vnode_status(&self, vnode: &Vnode) -> VnodeStatus {
        VnodeStatus {
            class: vnode.class,
            vnode: vnode.id,
            current: vnode.is_current(),
            waits_for: self.shared.awaited(vnode),
            lag: vnode.lag(),
            log_entries: vnode.log_entries,
            damaged: vnode.damaged,
            rebuilding: vnode.rebuilding.as_ref().map(|state| state.objects),
        }
    }
}
