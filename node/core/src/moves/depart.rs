//! A vnode without a place departs: it answers no request and takes nothing in, but members of its class take from
//! it what they lack, and it is deleted when each of them durably has all that it has.
//!
//! It tells them its clock, about once a second, as members tell each other theirs; they ask for what is missing as
//! they ask each other (`anti_entropy.rs`), by pages where no log has it any more. They tell it their clocks in turn. Only
//! what a member says in the present epoch counts, of the vnode that the map gives it.
//! What its clock says nothing of it pushes (`hand_over.rs`).

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::StorageId;
use quorate_protocol::peer::{HintsAck, VnodeClock};
use quorate_ring::{Class, NodeId};

use super::hand_over::{self, Pushes};
use crate::effects::Note;
use crate::plant::Plant;
use crate::shared::{Cx, Shared};
use crate::vnode::Vnode;

/// The copies that depart.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    told_us: u64,
    pushes: Pushes,
}

impl Departures {
    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        if cx.s.departing.is_empty() || self.told_us + cx.s.timing.clocks_us > cx.s.now.mono_us {
            return;
        }
        self.told_us = cx.s.now.mono_us;
        if cx.s.writable {
            let covered = self.covered(cx);
            cx.s.delete_departed(covered);
        }
        tell(cx);
    }

    /// A member answers what was pushed to it.
    pub(crate) fn on_ack(&mut self, cx: &mut Cx<'_>, from: NodeId, ack: &HintsAck) {
        hand_over::on_ack(&mut self.pushes, cx, from, ack);
    }

    /// Copies that have nothing any more which a member lacks.
    fn covered(&mut self, cx: &mut Cx<'_>) -> Vec<Class> {
        let departing = &cx.s.departing;
        self.pushes.retain(|class, _| departing.contains_key(class));
        let untrue = departing.values().filter(|vnode| !vnode.is_true());
        let untrue: BTreeSet<Class> = untrue.map(|vnode| vnode.class).collect();
        let mut pushed = BTreeSet::new();
        for &class in &untrue {
            if hand_over::push(&mut self.pushes, cx, class) {
                pushed.insert(class);
            }
        }
        let careless = cx.s.breaks(Plant::DeletedUncovered);
        let told_all =
            |class: Class| careless || !untrue.contains(&class) || pushed.contains(&class);
        let departing = cx.s.departing.values();
        let covered = departing.filter(|vnode| told_all(vnode.class) && cx.s.is_covered(vnode));
        covered.map(|vnode| vnode.class).collect()
    }
}

/// Tells all members what the departing copies have.
fn tell(cx: &mut Cx<'_>) {
    let life = cx.s.alive.life();
    let mut frames: BTreeMap<NodeId, Vec<VnodeClock>> = BTreeMap::new();
    for vnode in cx.s.departing.values() {
        for member in cx.s.view.counted(vnode.class) {
            if cx.s.view.is_reachable(member) {
                let clock = vnode.to_wire_departing(member, life);
                frames.entry(member).or_default().push(clock);
            }
        }
    }
    cx.s.send_clocks(frames);
}

impl Shared {
    /// A vnode has lost its place.
    pub(super) fn depart(&mut self, mut vnode: Vnode) {
        self.note(Note::Departing);
        let class = vnode.class;
        vnode.waits.clear();
        vnode.waits_for_all = false;
        vnode.refused.clear();
        vnode.peers.clear();
        vnode.joining = None;
        vnode.actor = None;
        vnode.opened = None;
        vnode.pass = None;
        vnode.revision += 1;
        self.strange_actors.remove(&class);
        self.suspected.remove(&class);
        self.differing.retain(|(of, _), _| *of != class);
        self.taken.retain(|(of, _), _| *of != class);
        self.departing.insert(class, vnode);
    }

    /// A vnode of this node, with a place or without.
    pub(crate) fn held(&self, class: Class) -> Option<&Vnode> {
        self.vnodes
            .get(&class)
            .or_else(|| self.departing.get(&class))
    }

    /// The same, to be changed.
    pub(crate) fn held_mut(&mut self, class: Class) -> Option<&mut Vnode> {
        self.vnodes
            .get_mut(&class)
            .or_else(|| self.departing.get_mut(&class))
    }

    /// Whether a departing copy has nothing that any member lacks.
    fn is_covered(&self, vnode: &Vnode) -> bool {
        let class = vnode.class;
        if self.breaks(Plant::DeletedUncovered) {
            return true;
        }
        let (epoch, members) = (self.view.epoch(class), self.view.counted(class));
        let has_all = |&member: &NodeId| {
            let word = vnode.peers.get(&member);
            word.is_some_and(|word| {
                let clock = if self.breaks(Plant::CoveredUnsynced) {
                    &word.applied
                } else {
                    &word.durable
                };
                word.epoch == epoch
                    && Some(word.vnode) == self.view.vnode_of(class, member)
                    && clock.covers(&vnode.clock)
            })
        };
        let mine = self.hints.for_class(self.view.me, class) == 0;
        mine && !members.is_empty() && members.iter().all(has_all)
    }

    /// A departing copy that lost something says no more what it has seen, under a new storage id. Says which, if it had lost
    /// anything.
    pub(super) fn take_back_what_it_said(&mut self, class: Class) -> Option<StorageId> {
        self.departing.get(&class).filter(|vnode| vnode.damaged)?;
        let storage = self.forget_content(class);
        self.set_rebuilding(class);
        Some(storage)
    }

    fn delete_departed(&mut self, covered: Vec<Class>) {
        for class in covered {
            self.departing.remove(&class);
            self.note(Note::Departed);
            self.wipe(class);
            self.unsynced.retain(|&(_, of, _)| of != class);
            self.unsynced_clocks.retain(|&(_, of, _)| of != class);
            self.unsynced_settled.retain(|&(_, of, _)| of != class);
        }
    }
}
