//! What a replica says of its part in ring changes.

use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::Class;

use crate::effects::Effect;
use crate::replica::Replica;
use crate::shared::Shared;

/// A newcomer that has all that the old members had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Complete {
    /// The class.
    pub class: Class,
    /// The newcomer's vnode.
    pub vnode: VnodeId,
    /// The epoch in which that was proven.
    pub epoch: MapVersion,
}

/// What a replica, or a node, has done of what the map asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The version that it works under: nothing is answered under an earlier one any more.
    pub version: MapVersion,
    /// Newcomers that are durably complete.
    pub complete: Vec<Complete>,
    /// Copies without a place that are not deleted yet.
    pub departing: Vec<(Class, VnodeId)>,
}

impl Word {
    /// What two replicas of one node say together.
    pub fn merge(&mut self, other: Self) {
        self.version = self.version.min(other.version);
        self.complete.extend(other.complete);
        self.departing.extend(other.departing);
    }
}

/// The word of one replica, as its node hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it has done.
    pub word: Word,
    /// Whether it keeps hints for others, or anything of dropped buckets may be left.
    pub hinting: bool,
    /// The generation of actors that should begin, since many of the present one are retired; 0: none.
    pub generation: u16,
}

impl Replica {
    /// What this replica has done of what the map asks for.
    #[must_use]
    pub fn word(&self) -> Word {
        self.shared.word()
    }
}

impl Shared {
    /// Tells the node what has been done, where that is something else than it was told last.
    pub(crate) fn say_word(&mut self) {
        let said = Said {
            word: self.word(),
            hinting: !self.hints.is_empty() || self.swept().is_none(),
            generation: self.wanted_generation,
        };
        if self.said.as_ref() != Some(&said) {
            self.said = Some(said.clone());
            self.perform(Effect::Word(said));
        }
    }

    fn word(&self) -> Word {
        let vnodes = self.vnodes.values();
        let complete = vnodes.filter_map(|vnode| {
            let epoch = vnode.claimed.filter(|&epoch| epoch == vnode.epoch)?;
            Some(Complete {
                class: vnode.class,
                vnode: vnode.id,
                epoch,
            })
        });
        let departing = self.departing.values();
        Word {
            version: self.view.version.version,
            complete: complete.collect(),
            departing: departing.map(|vnode| (vnode.class, vnode.id)).collect(),
        }
    }
}
