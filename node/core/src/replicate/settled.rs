//! Storage that went back in time: how a vnode on an old copy of its disk finds that out, whoever else
//! restarted meanwhile.
//!
//! # The danger
//!
//! A context is dropped once every member has confirmed that it durably has all that the context stands for. If a
//! member's disk is then replaced by an older copy, objects without that context may reach it (a hint that
//! somebody still kept is enough), and bring it later dots without what those had superseded. Its clock is full
//! again, and an overwritten value stays beside the new one for ever.
//!
//! # The rules
//!
//! 1. *Settled* is what every member had confirmed, by one member's knowledge. It is fsynced in that member's
//!    vnode record **before** a context or a log entry is dropped because of it. It only grows, and survives
//!    all that the vnode itself may lose.
//! 2. A vnode keeps the clock with which its life began, as it was before anything arrived, and until
//!    a peer has answered its question in this life it confirms no more than that to this peer.
//! 3. An answer says what is settled. By rule 2 no dot is in it because it came in this life, so
//!    a disk that kept what it had confirmed covers it. One that does not has gone back in time: the vnode
//!    is damaged, and rebuilt. If it began with nothing at all it merely lacks everything.
//! 4. From its answer on, a peer counts on no word of an earlier life of the asker: else it might settle
//!    afterwards, by memory, what the asker no longer has.
//!
//! A question is repeated until every peer within reach has answered it. One of an ended life may arrive after those
//! of the next. So a life that goes on telling its clocks, for longer than messages are late, is the present
//! one, whoever asked last.

use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::ActorClock;
use quorate_ring::{Class, NodeId};

use crate::causality::Clock;
use crate::effects::Note;
use crate::plant::Plant;
use crate::shared::Shared;
use crate::vnode::{VOID_US, Vnode};

/// The life in which a peer asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    life: LifeId,
    /// Another life that tells its clocks since then, and since when, microseconds.
    other: Option<(LifeId, u64)>,
}

impl Asker {
    /// Whether it asked in this life.
    pub(crate) fn is(&self, life: LifeId) -> bool {
        self.life == life
    }
}

impl Vnode {
    /// What it had when this life began is known: nothing has arrived yet.
    pub(crate) fn begin_life(&mut self) {
        self.opened = Some(self.durable.clone());
        self.settled_durable = self.settled.clone();
    }

    /// What a peer may be told to be durable here (rule 2). One that departs asks for nothing else, and settles nothing.
    pub(crate) fn durable_for(&self, peer: NodeId) -> &Clock {
        let departs = self.tells_one_that_departs(peer);
        match &self.opened {
            Some(opened) if !self.compared.contains(&peer) && !departs => opened,
            Some(_) | None => &self.durable,
        }
    }

    /// Whether a peer is known to have a copy that departs.
    pub(crate) fn tells_one_that_departs(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|word| word.departing)
    }

    /// A peer asks in a life of its own: its words of others are not counted on (rule 4).
    pub(crate) fn asked_by(&mut self, peer: NodeId, life: LifeId) {
        let known = self.askers.get(&peer);
        if known.is_none_or(|known| !known.is(life)) {
            self.askers.insert(peer, Asker { life, other: None });
            self.heard += 1;
        }
    }

    /// A peer tells its clock in some life, which shows in time whether who asked last was an ended one.
    pub(crate) fn heed(&mut self, peer: NodeId, life: LifeId, now_us: u64) {
        let Some(asker) = self.askers.get_mut(&peer) else {
            return;
        };
        asker.other = match asker.other {
            _ if asker.life == life => None,
            Some((other, since_us)) if other == life => {
                if since_us + VOID_US <= now_us {
                    asker.life = life;
                }
                Some((other, since_us))
            }
            Some(_) | None => Some((life, now_us)),
        };
    }

    /// Compares what a peer says is settled with what this life began with, once (rule 3). Returns whether storage has
    /// gone back in time.
    fn went_back(&mut self, peer: NodeId, settled: &Clock) -> bool {
        if !self.compared.insert(peer) {
            return false;
        }
        self.revision += 1;
        let Some(opened) = self.opened.as_ref().filter(|_| !self.damaged) else {
            return false; // all that it had counts for nothing anyway
        };
        match &self.rebuilding {
            None => !opened.covers(settled),
            // Filled from a clock that had all that was settled before.
            Some(state) => match state.source() {
                Some(source) => {
                    let mut had = source.clock.clone();
                    had.merge(opened);
                    !had.covers(settled)
                }
                None => !state.lost && !opened.covers(settled),
            },
        }
    }
}

/// What may be dropped now.
#[derive(Debug)]
pub(crate) struct Usable {
    /// What every member has durably, as far as it stands in this vnode's fsynced record.
    pub(crate) clock: Clock,
    /// Whether that is all that every member has.
    pub(crate) is_all: bool,
}

impl Shared {
    /// Writes down what every member has durably now, and says how much of it is down for good (rule 1).
    pub(crate) fn settle(&mut self, class: Class, common: Clock) -> Usable {
        let seq = self.step_seq();
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return Usable {
                clock: Clock::new(),
                is_all: true,
            };
        };
        if vnode.settled_durable.covers(&common) {
            return Usable {
                clock: common,
                is_all: true,
            };
        }
        let usable = Usable {
            clock: common.intersect(&vnode.settled_durable),
            is_all: false,
        };
        if !vnode.settled.covers(&common) {
            vnode.settled.merge(&common);
            if vnode.settled.covers(&vnode.cut) {
                vnode.cut = Clock::new();
            }
            let settled = vnode.settled.clone();
            self.unsynced_settled.push_back((seq, class, settled));
            self.store_vnode(class);
        }
        usable
    }

    /// A peer's answer says what is settled.
    pub(crate) fn compare_settled(&mut self, from: NodeId, class: Class, settled: &[ActorClock]) {
        if !self.is_member(from, class) {
            return;
        }
        let Ok(settled) = Clock::from_wire(settled) else {
            return; // a malformed clock says nothing: the question is repeated
        };
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        if !vnode.went_back(from, &settled) || self.planted.contains(&Plant::OldStorageTrusted) {
            return;
        }
        // A newcomer that began with nothing never had what was settled before its time. One that had something may be on an
        // old copy too, and a fill would end as soon as its clock lacks nothing (seed 967).
        let empty = vnode.opened.as_ref().is_some_and(Clock::is_empty);
        self.note(Note::OldStorageFound);
        if empty {
            self.begin_snapshot(class);
        } else {
            self.mark_damaged(class);
        }
    }

    /// Whether a peer has not said yet, in this life, what is settled for a class that it shares.
    pub(crate) fn is_uncompared(&self, vnode: &Vnode, peer: NodeId) -> bool {
        !vnode.compared.contains(&peer) && self.is_member(peer, vnode.class)
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::ids::{StorageId, VnodeId};
    use quorate_protocol::versioned::MapVersion;
    use quorate_ring::{PartitionId, RingVersion};

    use super::*;
    use crate::record::VnodeRecord;

    const PEER: NodeId = NodeId::new(2);

    fn vnode() -> Vnode {
        let class = Class {
            n: 3,
            partition: PartitionId::new(1),
        };
        let record = VnodeRecord {
            vnode: VnodeId::new(1),
            storage: StorageId::new(1),
            ring: RingVersion::new(1),
            epoch: MapVersion::new(0),
            complete: None,
            clock: Clock::new(),
            settled: Clock::new(),
            actors: Default::default(),
            promised: Default::default(),
            folding: 0,
            voids: Clock::new(),
            damaged: false,
            rebuilding: None,
        };
        Vnode::new(class, record)
    }

    fn counts_on(vnode: &Vnode, life: u64) -> bool {
        vnode.askers[&PEER].is(LifeId::new(life))
    }

    #[test]
    fn a_late_question_of_an_ended_life_does_not_silence_the_present_one_for_ever() {
        let mut vnode = vnode();
        vnode.asked_by(PEER, LifeId::new(8));
        vnode.asked_by(PEER, LifeId::new(7));
        for (at_us, counts) in [(0, false), (VOID_US / 2, false), (VOID_US, true)] {
            vnode.heed(PEER, LifeId::new(8), at_us);
            assert_eq!(counts_on(&vnode, 8), counts, "{at_us}");
        }
    }

    #[test]
    fn late_words_of_an_ended_life_do_not_count_beside_those_of_the_present_one() {
        let mut vnode = vnode();
        vnode.asked_by(PEER, LifeId::new(8));
        for at_us in (0..5).map(|step| step * VOID_US) {
            vnode.heed(PEER, LifeId::new(7), at_us);
            vnode.heed(PEER, LifeId::new(8), at_us + 1);
            assert!(counts_on(&vnode, 8));
        }
        vnode.heed(PEER, LifeId::new(7), 5 * VOID_US);
        vnode.heed(PEER, LifeId::new(7), 5 * VOID_US);
        assert!(counts_on(&vnode, 8));
    }
}
