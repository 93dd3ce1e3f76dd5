//! What a seal does to a vnode, and how the other members learn of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::ids::{ActorId, Dot};
use quorate_protocol::peer::Seal;
use quorate_ring::{Class, NodeId};

use crate::causality::{Clock, VersionVector};
use crate::effects::{Note, Priority};
use crate::record::{decode_log, keys};
use crate::shared::{Cx, Shared};
use crate::shelf::{Arrival, Place};
use crate::store::{Family, StoreError};
use crate::vnode::{PeerVnode, Vnode};

/// Versions with void dots that are removed at once. More of them are no late copies, but a vnode that is not what
/// it seemed.
const LATE_MAX: usize = 1024;

/// Actors of a class known from contexts alone that are remembered: the others are met again.
const STRANGE_MAX: usize = 256;

impl Cx<'_> {
    /// A member tells which dots are void.
    pub(crate) fn take_seal(&mut self, from: NodeId, seal: &Seal) {
        if !self.s.is_member(from, seal.class) || !self.s.writable {
            return;
        }
        if let Ok(voids) = Clock::from_wire(&seal.voids) {
            self.apply_seal(seal.class, &voids);
            self.s.fold(seal.class, voids.folded());
            self.s.settle_all();
        }
    }

    /// Enters void dots into the vnode's clock, in one batch with what goes because of them.
    pub(super) fn apply_seal(&mut self, class: Class, voids: &Clock) {
        let Some(vnode) = self.s.vnodes.get(&class).filter(|vnode| vnode.is_whole()) else {
            return; // its source tells it
        };
        let voids =
            voids.only(|actor| !self.s.writes_with(vnode, actor) && !vnode.clock.has_folded(actor));
        if vnode.clock.covers(&voids) {
            return self.s.release(class, &voids);
        }
        let late = self.late_copies(class, &vnode.clock.intersect(&voids));
        let Ok(late) = self.watch(class, late) else {
            return; // told again
        };
        if late.len() > LATE_MAX {
            return self.s.mark_damaged(class);
        }
        let any = !late.is_empty();
        for (place, dot) in late {
            let removed = self.remove_void(&place, dot);
            if self.watch(class, removed).is_err() {
                return;
            }
        }
        self.s.enter_voids(class, voids);
        if any {
            // What those writes had replaced here is still at the others.
            self.s.mark_damaged(class);
        }
    }

    /// Writes with these dots that are here.
    fn late_copies(&self, class: Class, dots: &Clock) -> Result<Vec<(Place, Dot)>, StoreError> {
        let mut late = Vec::new();
        for (actor, first, length) in dots.runs() {
            let range = keys::log_run_range(class, actor, first, length);
            self.scan(Family::Log, range, |key, record| {
                let entry = decode_log(key, &Bytes::copy_from_slice(record));
                if let (Some((_, dot)), Ok(entry)) = (keys::parse_log_key(key), entry) {
                    let (bucket, key) = (entry.bucket, entry.key);
                    late.push((Place { class, bucket, key }, dot));
                }
                if late.len() > LATE_MAX {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        }
        Ok(late)
    }

    /// Removes the version of a void dot, its log entry, and the context of the key, in which stands what
    /// the write had replaced.
    fn remove_void(&mut self, place: &Place, dot: Dot) -> Result<(), StoreError> {
        let old = self.load(place)?;
        let mut new = old.clone();
        new.versions.retain(|version| version.dot != dot);
        new.context = VersionVector::new();
        if new != old {
            self.s.store_object(place, &old, &new);
        }
        self.s.note(Note::LateCopyRemoved);
        self.s.drop_log_entry(place, dot);
        Ok(())
    }
}

impl Arrival {
    /// Leaves void dots out: a copy that comes late is no write any more. Returns whether there was one.
    pub(crate) fn leave_voids_out(&mut self, vnode: &Vnode) -> bool {
        let void = |dot: Dot| vnode.is_void(dot);
        let any = self.settles.iter().any(|&dot| void(dot));
        if any {
            self.settles.retain(|&dot| !void(dot));
            self.object.versions.retain(|version| !void(version.dot));
            self.requests.retain(|&(_, dot)| !void(dot));
        }
        any
    }

    /// Whether it settles anything that the vnode has not applied.
    pub(crate) fn has_news(&self, vnode: &Vnode) -> bool {
        self.settles.iter().any(|&dot| !vnode.clock.contains(dot))
    }
}

impl Vnode {
    /// Ends promises about actors of which this says so, by the vnode's clock. Returns whether there was one.
    fn release(&mut self, over: impl Fn(&Clock, ActorId) -> bool) -> bool {
        let before = self.promised.len();
        self.promised.retain(|actor| !over(&self.clock, *actor));
        self.promised.len() < before
    }

    /// Whether a dot is known to be void.
    pub(crate) fn is_void(&self, dot: Dot) -> bool {
        self.voids.contains(dot)
    }
}

impl Shared {
    fn enter_voids(&mut self, class: Class, voids: Clock) {
        let seq = self.step_seq();
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        vnode.clock.merge(&voids);
        vnode.voids.merge(&voids);
        vnode.revision += 1;
        vnode.release(|_, actor| voids.is_closed(actor));
        self.unsynced_clocks.push_back((seq, class, voids));
        self.store_vnode(class);
    }

    /// What was promised of these actors is kept: what is not void may come by any way.
    fn release(&mut self, class: Class, voids: &Clock) {
        let vnode = self.vnodes.get_mut(&class);
        if vnode.is_some_and(|vnode| vnode.release(|_, actor| voids.is_closed(actor))) {
            self.store_vnode(class);
        }
    }

    /// Ends promises about actors of which nothing unseen is left: a question that came late may have drawn one.
    pub(super) fn release_complete(&mut self) {
        let released = self
            .vnodes
            .values_mut()
            .filter_map(|vnode| vnode.release(Clock::is_complete).then_some(vnode.class));
        let changed: Vec<Class> = released.collect();
        changed
            .into_iter()
            .for_each(|class| self.store_vnode(class));
    }

    /// Tells the other members what is void, once that is durable here.
    pub(super) fn tell_voids(&mut self, class: Class) {
        for member in self.members(class) {
            if member != self.view.me {
                self.tell_voids_to(member, class);
            }
        }
    }

    /// Tells one of them.
    pub(crate) fn tell_voids_to(&mut self, member: NodeId, class: Class) {
        let told = |vnode: &Vnode| {
            let mut voids = vnode.voids.clone();
            voids.merge(&Clock::of_folded(vnode.clock.folded()));
            let voids = voids.to_wire();
            Seal { class, voids }
        };
        if let Some(seal) = self.vnodes.get(&class).map(told)
            && !seal.voids.is_empty()
        {
            self.send_synced(member, seal, Priority::Background);
        }
    }

    /// Tells members that lack something of what is void or folded here. What nobody lacks is noted, by what is known.
    pub(super) fn spread_voids(&mut self, told: &mut BTreeMap<Class, (u64, u64)>) {
        let mut lacking: Vec<(NodeId, Class)> = Vec::new();
        let any = |vnode: &&Vnode| !vnode.voids.is_empty() || vnode.clock.folded() > 0;
        for vnode in self.vnodes.values().filter(any) {
            if told.get(&vnode.class) == Some(&vnode.knowledge()) {
                continue;
            }
            let lacks = |peer: &PeerVnode| {
                !peer.applied.covers(&vnode.voids) || peer.applied.folded() < vnode.clock.folded()
            };
            let peers = vnode.peers.iter().filter(|(_, peer)| lacks(peer));
            let before = lacking.len();
            lacking.extend(peers.map(|(&node, _)| (node, vnode.class)));
            if lacking.len() == before {
                told.insert(vnode.class, vnode.knowledge());
            }
        }
        for (node, class) in lacking {
            if self.view.is_reachable(node) {
                self.tell_voids_to(node, class);
            }
        }
    }
}

impl Shared {
    /// A context names writes that are not all here. Its actor may be one of which nobody has any.
    pub(crate) fn note_strangers(&mut self, class: Class, context: &VersionVector) {
        let Some(vnode) = self.vnodes.get(&class) else {
            return;
        };
        let strange = context
            .iter()
            .filter(|&(actor, _)| vnode.clock.last(actor) == 0 && !vnode.clock.is_closed(actor));
        for (actor, _) in strange {
            let noted = self.strange_actors.entry(class).or_default();
            if noted.len() < STRANGE_MAX {
                noted.insert(actor);
            }
        }
    }
}
