//! Bearing witness: whom this replica saw, and since when others may ask.

use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::{Alive, AliveMark, Testimony};
use quorate_ring::NodeId;

use super::AliveLog;
use crate::record::AlivePeer;

/// Replicas of one node whose marks are kept.
const SHARDS_MAX: u16 = 1024;

impl AliveLog {
    /// This life of this replica.
    pub(crate) const fn life(&self) -> LifeId {
        self.record.life
    }

    /// Where this replica is.
    pub(crate) fn now(&self) -> Alive {
        Alive {
            shards: self.record.shards,
            mark: AliveMark {
                shard: self.shard,
                life: self.record.life,
                position: self.record.position,
            },
        }
    }

    /// Where a peer's replicas were when this one last knew all that it had to.
    pub(crate) fn marks(&self, node: NodeId) -> Vec<AliveMark> {
        let peer = self.record.peers.get(&node);
        peer.map(|peer| peer.marks.clone()).unwrap_or_default()
    }

    /// Where a replica of a peer is.
    pub(crate) fn learn(&mut self, from: NodeId, told: Alive) {
        let mark = told.mark;
        if !self.record.peers.contains_key(&from) || mark.shard >= told.shards.min(SHARDS_MAX) {
            return;
        }
        let marks = self.told.entry(from).or_default();
        marks.retain(|&shard, _| shard < told.shards);
        let known = marks.entry(mark.shard).or_insert(mark);
        // Within a life the furthest counts; of two lives the one that was told last. If that was
        // the older one, it was late: the span that it begins is longer than need be.
        if known.life != mark.life || known.position < mark.position {
            *known = mark;
        }
    }

    /// Whom this replica has seen since marks that the asker has of it.
    pub(crate) fn testify(&self, marks: &[AliveMark]) -> Testimony {
        let since = marks.iter().filter_map(|mark| self.position_of(mark)).max();
        let covered = |since: u64| self.record.gap.is_none_or(|gap| since >= gap);
        let begin = since.unwrap_or(0);
        let seen = |peer: &AlivePeer| peer.up || peer.last > begin;
        let peers = self.record.peers.iter();
        Testimony {
            now: self.now(),
            exact: since.is_some(),
            complete: since.is_some_and(covered),
            seen: peers
                .filter(|(_, peer)| seen(peer))
                .map(|(&node, _)| node)
                .collect(),
        }
    }

    fn position_of(&self, mark: &AliveMark) -> Option<u64> {
        if mark.life == self.record.life {
            return (mark.position <= self.record.position).then_some(mark.position);
        }
        let mut lives = self.record.lives.iter();
        let ended = lives.find(|(life, _)| *life == mark.life);
        ended.map(|&(_, end)| mark.position.min(end))
    }
}
