//! What a replica says of itself: its vnodes, and what it owes to whom.

use std::collections::BTreeSet;
use std::ops::Bound;

use quorate_protocol::client::{HintsHeld, PeerStatus, ReplicaStanding, VnodeStatus};
use quorate_ring::Class;

use crate::replica::Replica;
use crate::replicate::scrub::Pass;
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

/// Where vnodes of one replica stand, and the hints that it keeps: a page of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicaStandings {
    /// Vnodes, ordered by class.
    pub vnodes: Vec<ReplicaStanding>,
    /// Hints, of the same span of classes.
    pub hints: Vec<HintsHeld>,
    /// Hints in flight right now, over all classes.
    pub hints_in_flight: u64,
    /// The last class of the page, if there are more.
    pub next: Option<Class>,
}

impl ReplicaStandings {
    /// Adds the page of another replica of the same node. What lies beyond the end of either page is left to
    /// the next one.
    pub fn merge(&mut self, other: Self) {
        self.vnodes.extend(other.vnodes);
        self.hints.extend(other.hints);
        self.hints_in_flight += other.hints_in_flight;
        self.next = [self.next, other.next].into_iter().flatten().min();
        if let Some(last) = self.next {
            self.vnodes.retain(|vnode| vnode.class <= last);
            self.hints.retain(|hints| hints.class <= last);
        }
        self.vnodes.sort_by_key(|vnode| vnode.class);
        self.hints.sort_by_key(|hints| (hints.class, hints.target));
    }
}

impl Replica {
    /// Where the vnodes of at most `classes_max` classes after this one stand, and the hints kept of them.
    #[must_use]
    pub fn standings(&self, after: Option<Class>, classes_max: usize) -> ReplicaStandings {
        let shared = &self.shared;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let vnodes = || shared.vnodes.range((from, Bound::Unbounded));
        let mut classes: BTreeSet<Class> = vnodes().map(|(&class, _)| class).collect();
        classes.extend(shared.hints.after(after).map(|(class, _, _)| class));
        let last = classes.iter().nth(classes_max.saturating_sub(1)).copied();
        let next = last.filter(|last| classes.last().is_some_and(|end| end > last));
        let fits = |class: Class| next.is_none_or(|last| class <= last);
        let standing = |vnode: &Vnode| ReplicaStanding {
            class: vnode.class,
            vnode: vnode.id,
            applied: vnode.clock.to_wire(),
            current: vnode.is_current(),
            damaged: !vnode.is_whole(),
            log_entries: vnode.log_entries,
        };
        let hints = shared
            .hints
            .after(after)
            .filter(|&(class, _, _)| fits(class));
        let mut page = ReplicaStandings {
            vnodes: vnodes()
                .filter(|&(&class, _)| fits(class))
                .map(|(_, vnode)| standing(vnode))
                .collect(),
            hints: hints
                .map(|(class, target, hints)| HintsHeld {
                    class,
                    target,
                    hints,
                })
                .collect(),
            hints_in_flight: shared
                .view
                .peers()
                .map(|node| self.handoff.in_flight(node))
                .sum(),
            next,
        };
        page.hints.sort_by_key(|hints| (hints.class, hints.target));
        page
    }

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
            log_bytes: vnode.log_bytes,
            damaged: vnode.damaged,
            holds: vnode.digest.extent(),
            rebuilding: vnode.rebuilding.as_ref().map(|state| state.objects),
            digest: vnode.digest.to_wire(),
            scrubbed_ms: vnode.scrubbed_ms,
            scrubbing: vnode.pass.as_ref().map(Pass::keys),
            bad_records: vnode.bad_records,
        }
    }
}
