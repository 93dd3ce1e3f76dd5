//! A newcomer becomes complete.
//!
//! It is filled by the same machines as a vnode whose disk is empty. But that it may speak for an absence here does
//! not make it one of the set that is read: before the class moves on, it must have what every old member had at a
//! time when that one took no writes of the stable epoch any more. A snapshot, or the clocks of a quorum, would miss a
//! write that was acknowledged by others just before.

use std::collections::BTreeMap;

use quorate_protocol::peer::VnodeClock;
use quorate_protocol::versioned::{ClassState, MapVersion};
use quorate_ring::{Class, NodeId};

use crate::causality::Clock;
use crate::effects::Note;
use crate::plant::Plant;
use crate::shared::Shared;
use crate::vnode::Vnode;

/// What a newcomer has heard.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    /// The epoch in which it joins: what was said in another one counts for nothing.
    pub(crate) epoch: MapVersion,
    /// Only answers to questions with a greater number were asked in this life and this epoch.
    after: u64,
    /// What each old member had.
    told: BTreeMap<NodeId, Clock>,
}

impl Shared {
    /// Whether a vnode is a newcomer that has not proven to be complete in the present epoch.
    pub(crate) fn look_whether_it_joins(&mut self, class: Class) {
        let me = self.view.me;
        let joins = self.view.record(class).is_some_and(|record| {
            let mut newcomers = record.newcomers();
            record.state == ClassState::JointOld && newcomers.any(|place| place.node == me)
        });
        let epoch = self.view.epoch(class);
        let after = self.new_op();
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        if !joins || vnode.complete == Some(epoch) {
            vnode.joining = None;
        } else if vnode
            .joining
            .as_ref()
            .is_none_or(|joining| joining.epoch != epoch)
        {
            vnode.joining = Some(Joining {
                epoch,
                after,
                told: BTreeMap::new(),
            });
        }
    }

    /// A vnode lost something: what it has proven before does not hold any more.
    pub(crate) fn join_anew(&mut self, class: Class) {
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.complete = None;
            vnode.claimed = None;
            vnode.joining = None;
        }
        self.look_whether_it_joins(class);
    }

    /// The old members that a newcomer has not heard yet.
    pub(crate) fn lacks_word_of(&self, vnode: &Vnode) -> Vec<NodeId> {
        let (Some(joining), Some(record)) = (&vnode.joining, self.view.record(vnode.class)) else {
            return Vec::new();
        };
        let old = record.old.iter().map(|place| place.node);
        old.filter(|&node| !record.is_dead(node) && !joining.told.contains_key(&node))
            .collect()
    }

    /// Whether any vnode is a newcomer that waits for words.
    pub(crate) fn anybody_joins(&self) -> bool {
        let mut vnodes = self.vnodes.values();
        vnodes.any(|vnode| !self.lacks_word_of(vnode).is_empty())
    }

    /// An old member says what it has, in answer to a question of this number.
    pub(crate) fn joining_hears(&mut self, from: NodeId, clock: &VnodeClock, number: u64) {
        let place = self.view.vnode_of(clock.class, from);
        let early = self.breaks(Plant::ClockOfBeforeTheFence);
        let late = self.breaks(Plant::AnswerOfAnEarlierLife);
        let Some(vnode) = self.vnodes.get_mut(&clock.class) else {
            return;
        };
        let Some(joining) = &mut vnode.joining else {
            return;
        };
        let of_now = clock.epoch == joining.epoch || early;
        let asked = number > joining.after || late;
        // Who is catching up itself may not know yet what was acknowledged.
        let sound = clock.current && !clock.departing && place == Some(clock.vnode);
        if let (true, true, true, Ok(applied)) =
            (of_now, asked, sound, Clock::from_wire(&clock.applied))
        {
            joining.told.insert(from, applied);
        }
    }

    /// Newcomers that have it all say so, once it is durable.
    pub(crate) fn claim_completeness(&mut self) {
        let classes = self.vnodes.values().filter(|vnode| self.has_it_all(vnode));
        for class in classes.map(|vnode| vnode.class).collect::<Vec<_>>() {
            let seq = self.sync_soon();
            if let Some(vnode) = self.vnodes.get_mut(&class)
                && let Some(joining) = vnode.joining.take()
            {
                vnode.complete = Some(joining.epoch);
                self.unsynced_claims.push_back((seq, class, joining.epoch));
            }
            self.note(Note::Joined);
            self.store_vnode(class);
        }
    }

    fn has_it_all(&self, vnode: &Vnode) -> bool {
        let Some(joining) = &vnode.joining else {
            return false;
        };
        let covered = joining.told.values().all(|told| vnode.durable.covers(told));
        vnode.is_current() && covered && self.lacks_word_of(vnode).is_empty()
    }
}
