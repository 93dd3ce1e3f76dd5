//! Replicas that say to have seen the same and hold something else.
//!
//! Two vnodes with equal clocks hold equal versions, so a peer's digest that differs from this vnode's under
//! an equal clock means that one of both is wrong. It must last for a while: what a read repaired may run
//! ahead of the clock for as long as the write that it came from is under way. Then both sides scrub, at
//! once and each by itself: whose objects are not what its digest says is damaged, and is rebuilt.
//!
//! If both are right by their own measure, nobody can tell who lost something. That is told loudly, and
//! as soon as all members have equal clocks each side takes over what the other holds and its contexts do
//! not cover (`united` in [`Rebuilding`]): rather a deleted value that shows again than a
//! value that is gone. The member with the smallest id begins; the others wait in their order, for who is being filled
//! fills nobody. Who has taken what there was to take from a peer does not begin again while both hold what they held
//! then: it is the peer's turn, and each new beginning would make it wait anew (seed 1067).

use quorate_protocol::ContentDigest;
use quorate_ring::{Class, NodeId};

use crate::effects::Note;
use crate::plant::Plant;
use crate::record::{RebuildStage, Rebuilding};
use crate::shared::Shared;
use crate::vnode::Vnode;

/// A difference must last so long, microseconds.
const LASTING_US: u64 = 2_000_000;
/// A member waits so much longer for each one with a smaller id, microseconds.
const AFTER_YOU_US: u64 = 10_000_000;
/// Where nothing has changed a member takes over once more after so long: the last time may have been cut short.
const TAKE_AGAIN_US: u64 = 600_000_000;

/// A difference between this vnode and a peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Differing {
    theirs: ContentDigest,
    since_us: u64,
    /// When this vnode was suspected because of it.
    noted_us: Option<u64>,
}

/// What was there when this vnode began to take over what a peer holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    theirs: ContentDigest,
    mine: ContentDigest,
    at_us: u64,
}

impl Vnode {
    /// What a peer says to hold, if it says to have seen just what this vnode has, and holds something else.
    fn difference(&self, peer: NodeId) -> Option<ContentDigest> {
        let told = self.peers.get(&peer).filter(|told| told.current)?;
        // What is going of dropped buckets goes here and there in its own time.
        if self.swept.is_none() || told.swept != self.swept {
            return None;
        }
        let differs =
            self.is_current() && told.digest != self.digest.to_wire() && told.applied == self.clock;
        differs.then_some(told.digest)
    }

    /// Whether every other member is known to have seen just what this vnode has.
    fn all_agree(&self, members: &[NodeId], me: NodeId) -> bool {
        let agrees = |member: &NodeId| {
            let told = self.peers.get(member);
            *member == me || told.is_some_and(|told| told.applied == self.clock)
        };
        members.iter().all(agrees)
    }
}

impl Shared {
    /// A peer has told its clock and digest.
    pub(crate) fn compare_digest(&mut self, from: NodeId, class: Class) {
        let now_us = self.now.mono_us;
        let Some(vnode) = self.vnodes.get(&class) else {
            return;
        };
        let Some(theirs) = vnode.difference(from) else {
            self.differing.remove(&(class, from));
            return;
        };
        let known = self.differing.get(&(class, from));
        if known.is_none_or(|known| known.theirs != theirs) {
            let fresh = Differing {
                theirs,
                since_us: now_us,
                noted_us: None,
            };
            self.differing.insert((class, from), fresh);
        }
    }

    /// Acts on differences that last.
    pub(super) fn judge_differences(&mut self) {
        let differing: Vec<(Class, NodeId)> = self.differing.keys().copied().collect();
        for (class, peer) in differing {
            self.judge_difference(class, peer);
        }
    }

    fn judge_difference(&mut self, class: Class, peer: NodeId) {
        let now_us = self.now.mono_us;
        let me = self.view.me;
        let members = self.members(class);
        let Some(vnode) = self.vnodes.get(&class) else {
            return;
        };
        if vnode.difference(peer).is_none() {
            self.differing.remove(&(class, peer));
            return;
        }
        let Some(known) = self.differing.get_mut(&(class, peer)) else {
            return;
        };
        if known.since_us + LASTING_US > now_us {
            return;
        }
        let Some(noted_us) = known.noted_us else {
            known.noted_us = Some(now_us);
            self.note(Note::DigestsDiffer);
            if !self.breaks(Plant::DifferenceIgnored) {
                self.suspect(class);
            }
            return;
        };
        let cleared = vnode.cleared_us.is_some_and(|at_us| at_us >= noted_us);
        let before = members.iter().filter(|member| **member < me).count() as u64;
        let patience_us = LASTING_US + before * AFTER_YOU_US;
        let ripe = cleared && noted_us + patience_us <= now_us;
        let (theirs, mine) = (known.theirs, vnode.digest.to_wire());
        let taken = self.taken.get(&(class, peer)).is_some_and(|taken| {
            (taken.theirs, taken.mine) == (theirs, mine) && now_us < taken.at_us + TAKE_AGAIN_US
        });
        if taken && !self.breaks(Plant::TakenAgain) {
            return;
        }
        if ripe && vnode.all_agree(&members, me) && self.view.is_reachable(peer) {
            self.unite(class, peer);
        }
    }

    /// Nobody can tell who lost something: this vnode takes over what the peer holds beside its own.
    fn unite(&mut self, class: Class, peer: NodeId) {
        if self.breaks(Plant::DifferenceIgnored) || !self.writable {
            return;
        }
        let Some(vnode) = self.vnodes.get_mut(&class) else {
            return;
        };
        if let Some(known) = self.differing.get(&(class, peer)) {
            let taken = Taken {
                theirs: known.theirs,
                mine: vnode.digest.to_wire(),
                at_us: self.now.mono_us,
            };
            self.taken.insert((class, peer), taken);
        }
        vnode.revision += 1;
        vnode.fill_from = Some(peer);
        vnode.rebuilding = Some(Rebuilding {
            lost: false,
            united: true,
            objects: 0,
            stage: RebuildStage::Waiting,
        });
        self.differing.retain(|(of, _), _| *of != class);
        self.note(Note::ReplicasDiffer);
        self.note(Note::Rebuilding);
        self.store_vnode(class);
    }
}
