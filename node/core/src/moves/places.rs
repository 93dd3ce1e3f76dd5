//! Vnodes follow the map.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_ring::{Class, PartitionId};

use crate::effects::Note;
use crate::open::has_past;
use crate::plant::Plant;
use crate::shared::Shared;
use crate::store::Store;
use crate::view::View;
use crate::vnode::Vnode;

/// Classes of which a replica has a vnode that it had not.
#[derive(Debug, Default)]
pub(crate) struct Gained {
    /// Storage may hold something of these.
    pub(crate) fresh: Vec<Class>,
    /// These had ended before: what storage held of them goes with this step.
    pub(crate) anew: Vec<Class>,
}

impl Shared {
    /// The map has changed: some vnodes are new, some have lost their place, some are others than they were.
    pub(crate) fn take_places(&mut self, store: &dyn Store) {
        self.end_classes();
        let gained = self.gain_places();
        self.follow_map();
        for class in gained.fresh {
            self.look_for_its_past(class, store);
        }
        for class in gained.anew {
            self.begin_to_wait(class);
        }
        self.look_for_drops();
    }

    /// Makes vnodes for the places of which this node has none. Returns them.
    pub(crate) fn gain_places(&mut self) -> Gained {
        let mut gained = Gained::default();
        for (class, id) in self.places_here() {
            if self.vnodes.contains_key(&class) {
                continue;
            }
            let anew = self.begin_class_anew(class);
            let mut vnode = self.departing.remove(&class).unwrap_or_else(|| {
                let record = self.fresh_record(id);
                Vnode::new(class, record)
            });
            vnode.swept = self.swept();
            self.vnodes.insert(class, vnode);
            self.store_vnode(class);
            if anew {
                gained.anew.push(class);
            } else {
                gained.fresh.push(class);
            }
        }
        gained
    }

    /// Brings vnodes in line with the map.
    pub(crate) fn follow_map(&mut self) {
        for class in self.vnodes.keys().copied().collect::<Vec<_>>() {
            self.follow(class);
        }
        for class in self.vnodes.keys().copied().collect::<Vec<_>>() {
            self.take_epoch(class);
            self.forget_who_left(class);
        }
    }

    /// The places that the map gives to this replica.
    fn places_here(&self) -> Vec<(Class, VnodeId)> {
        self.places_in(&self.view)
    }

    fn places_in(&self, view: &View) -> Vec<(Class, VnodeId)> {
        let map = view.map();
        let copies: BTreeSet<u8> = view.version.uses.iter().map(|one| one.n).collect();
        let last = u16::try_from(map.ring.partitions().get().saturating_sub(1)).unwrap_or(u16::MAX);
        let partitions = (0..=last).map(PartitionId::new);
        let classes =
            partitions.flat_map(|partition| copies.iter().map(move |&n| Class { n, partition }));
        let owned = classes.filter(|class| self.owns(class.partition));
        owned
            .filter_map(|class| Some((class, view.vnode_of(class, view.me)?)))
            .collect()
    }

    /// A vnode goes on, or has no place any more.
    fn follow(&mut self, class: Class) {
        let Some(vnode) = self.vnodes.get(&class) else {
            return;
        };
        // What this map does not know yet has no place by it, and is kept for the version that gives it one.
        let unknown =
            self.view.version.used_since(class.n).is_none() && self.view.is_later(vnode.id);
        let place = self.view.vnode_of(class, self.view.me);
        match place.filter(|_| !unknown) {
            Some(id) if id == vnode.id || self.breaks(Plant::OldVnodeRegained) => {}
            Some(id) => self.regain(class, id),
            None => {
                if let Some(vnode) = self.vnodes.remove(&class) {
                    self.depart(vnode);
                }
            }
        }
    }

    /// A vnode that is new to a running replica waits for everybody. It is none if it has left something: its bucket was
    /// unknown here for a while, and its own record is gone.
    fn look_for_its_past(&mut self, class: Class, store: &dyn Store) {
        self.begin_to_wait(class);
        let fresh = self
            .vnodes
            .get(&class)
            .is_some_and(|vnode| vnode.is_whole() && vnode.clock.is_empty());
        // Storage could say just before the map was taken up.
        if fresh && has_past(store, class).unwrap_or(true) {
            self.mark_damaged(class);
        }
    }

    /// Whether storage can say what it holds of the vnodes that a map would give this replica. One that cannot be read now
    /// may be read soon: until then the replica works under the map it has.
    pub(crate) fn can_take(&self, map: &Arc<VersionedMap>, store: &dyn Store) -> bool {
        let mut view = self.view.clone();
        view.take(Arc::clone(map));
        let places = self.places_in(&view).into_iter();
        let classes = places.map(|(class, _)| class);
        let mut gained = classes.filter(|class| self.held(*class).is_none());
        gained.all(|class| has_past(store, class).is_ok())
    }

    /// This node has a place again whose copy it has not given up yet. What was settled meanwhile is not known
    /// here, so the copy is mere information: it is filled like one that lost something.
    fn regain(&mut self, class: Class, id: VnodeId) {
        self.note(Note::Regained);
        if let Some(vnode) = self.vnodes.get_mut(&class) {
            vnode.id = id;
            vnode.epoch = MapVersion::new(0);
            vnode.peers.clear();
            vnode.heard += 1;
        }
        self.fill_anew(class);
    }

    /// The class may have moved on since this vnode last looked.
    fn take_epoch(&mut self, class: Class) {
        let now = self.view.epoch(class);
        let before = self.view.record(class).map(|record| record.before);
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let known = std::mem::replace(&mut vnode.epoch, now);
        if known == now {
            return self.look_whether_it_joins(class);
        }
        vnode.revision += 1;
        let fresh = known == MapVersion::new(0);
        let missed = !fresh && before != Some(known);
        let waits = !fresh && vnode.waits_for_all;
        self.store_vnode(class);
        self.look_whether_it_joins(class);
        if missed {
            self.note(Note::EpochsMissed);
            self.begin_to_wait(class);
        } else if waits && !self.breaks(Plant::EarlierEpochHeard) {
            self.wait_for_all(class);
        }
    }

    /// Words of vnodes that are none any more count no longer, and nobody waits for who is gone.
    fn forget_who_left(&mut self, class: Class) {
        let view = &self.view;
        let careless = self.breaks(Plant::GivenUpWaitedFor);
        let unheard = self.breaks(Plant::DepartingUnheard);
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        let place = |node| view.vnode_of(class, node);
        let departs = |node, id| {
            let record = view.record(class);
            record.is_some_and(|record| {
                record
                    .departing
                    .iter()
                    .any(|left| left.node == node && left.vnode == id)
            })
        };
        vnode.peers.retain(|&node, word| {
            if word.departing {
                departs(node, word.vnode)
            } else {
                place(node) == Some(word.vnode)
            }
        });
        let known = &vnode.peers;
        vnode.waits.retain(|&node, wait| {
            if !known.contains_key(&node) {
                wait.cover = None; // another vnode has not what the one before had
            }
            wait.is_peer = view.is_member(class, node) || (!unheard && view.departs(class, node));
            let may_know = view.may_be_asked(node) || careless && view.map().member(node).is_some();
            may_know && !view.is_dead(class, node)
        });
        vnode
            .refused
            .retain(|&node, _| view.map().member(node).is_some());
        vnode.heard += 1;
    }
}
