//! Coming back: what others testify, and whom it excuses.

use std::collections::BTreeSet;

use quorate_protocol::peer::Testimony;
use quorate_ring::NodeId;

use super::AliveLog;
use crate::record::AlivePeer;

impl AliveLog {
    /// Takes what a peer has seen since this replica's mark of it.
    pub(crate) fn take(&mut self, from: NodeId, testimony: Testimony) {
        self.learn(from, testimony.now);
        if self.settled || !self.record.peers.contains_key(&from) {
            return;
        }
        if testimony.exact {
            self.exact.insert(from);
        }
        self.witnessed |= testimony.exact && testimony.complete;
        for node in testimony.seen {
            let away = self.record.peers.get(&node).map(|peer| !peer.up);
            if away.is_some() && self.seen.insert(node) && away == Some(true) {
                self.went(node); // hearsay: who asks this replica is told of it, too
            }
        }
        if self.witnessed || self.exact.len() + 1 >= self.record.peers.len() {
            self.close_gap();
        }
    }

    /// All that are not excused count as seen during this replica's own absence.
    fn close_gap(&mut self) {
        let Some(gap) = self.record.gap.take() else {
            return;
        };
        let excused = self.excused();
        let missed = self.record.peers.iter_mut();
        for (_, peer) in missed.filter(|(node, _)| !excused.contains(node)) {
            peer.last = peer.last.max(gap);
        }
        self.changed = true;
    }

    /// Whether some excusable peer is not excused yet: further testimonies may help.
    pub(crate) fn lacks_witness(&self) -> bool {
        let open =
            |(node, peer): (&NodeId, &AlivePeer)| peer.excusable && !self.seen.contains(node);
        !self.settled && !self.witnessed && self.record.peers.iter().any(open)
    }

    /// Peers that nobody needs to wait for, if nobody else is left to wait for.
    pub(crate) fn excused(&self) -> BTreeSet<NodeId> {
        let alone = |node: &NodeId| {
            let others = self.record.peers.keys().filter(|other| *other != node);
            let mut others = others;
            others.all(|other| self.exact.contains(other))
        };
        let peers = self.record.peers.iter();
        peers
            .filter(|(node, peer)| {
                peer.excusable && !self.seen.contains(node) && (self.witnessed || alone(node))
            })
            .map(|(&node, _)| node)
            .collect()
    }

    /// Something was lost here: everybody must be heard, whoever was away since when.
    pub(crate) fn excuse_nobody(&mut self) {
        self.settled = false;
        for peer in self.record.peers.values_mut() {
            self.changed |= std::mem::take(&mut peer.excusable);
        }
    }

    /// Whether nobody is waited for.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Says whether anybody is waited for.
    pub(crate) fn set_settled(&mut self, settled: bool) {
        if settled && !self.settled {
            self.close_gap();
            self.seen.clear();
            self.exact.clear();
            self.witnessed = false;
        }
        self.settled = settled;
    }
}
