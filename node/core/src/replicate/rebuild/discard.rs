//! A vnode that lost something forgets what it had seen: everything may depend on what is missing.

use quorate_protocol::ids::StorageId;
use quorate_ring::Class;

use crate::effects::Note;
use crate::plant::Plant;
use crate::record::{RebuildStage, Rebuilding, keys};
use crate::shared::{Cx, Shared};
use crate::store::Family;

impl Cx<'_> {
    /// Every damaged vnode that has peers begins to be rebuilt. The only member of a class has nobody
    /// to learn from: it keeps what it has and says that it is damaged.
    pub(super) fn discard_damaged(&mut self) {
        let damaged: Vec<Class> = self
            .s
            .vnodes
            .values()
            .filter(|vnode| vnode.damaged)
            .map(|vnode| vnode.class)
            .collect();
        for class in damaged {
            if self.s.members(class).len() > 1 {
                self.s.discard(class);
                self.s.set_rebuilding(class);
            }
        }
    }
}

impl Shared {
    /// What can be read of a vnode is to be told from what cannot. One without a place begins with that when it has one again.
    pub(crate) fn set_rebuilding(&mut self, class: Class) {
        self.note(Note::Rebuilding);
        if let Some(vnode) = self.held_mut(class) {
            vnode.damaged = false;
            vnode.rebuilding = Some(Rebuilding {
                lost: true,
                united: false,
                objects: 0,
                stage: RebuildStage::Sifting { after: None },
            });
        }
        self.reset_digest(class);
        self.store_vnode(class);
    }

    /// A vnode whose past counts for nothing, though nothing of it is damaged, begins to be filled.
    pub(crate) fn fill_anew(&mut self, class: Class) {
        self.discard(class);
        self.set_rebuilding(class);
    }

    /// Throws clock, log and request ids away and takes a new storage id: nothing that peers were told
    /// of this vnode counts any more. Every node that may know more is asked once more.
    pub(super) fn discard(&mut self, class: Class) {
        self.forget_content(class);
        self.join_anew(class);
        let seq = self.step_seq();
        self.alive.owe(seq);
        self.begin_to_wait(class);
    }

    /// The part of it that concerns a vnode alone, whether it has a place or not.
    pub(crate) fn forget_content(&mut self, class: Class) -> StorageId {
        let storage = StorageId::new(self.draw());
        let keep_clock = self.breaks(Plant::RebuildTrustsOldClock);
        self.clear(Family::Log, keys::log_range(class));
        self.clear(Family::Requests, keys::request_range(class));
        self.unsynced.retain(|&(_, of, _)| of != class);
        self.unsynced_clocks.retain(|&(_, of, _)| of != class);
        if let Some(vnode) = self.held_mut(class) {
            vnode.forget(storage, keep_clock);
        }
        storage
    }
}
