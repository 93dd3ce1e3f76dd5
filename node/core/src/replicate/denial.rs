//! Denials: a vnode says of a version that it has seen it, does not hold it, and nothing is left here that says why.
//!
//! # Two reasons for one sentence
//!
//! *It was superseded*, and what superseded it needs no context any more: rule 4 of [`crate::causality`] takes
//! the word, and an old hint or a replica that is behind shows no deleted value. Or *it was lost*: the record is
//! gone without a sign, the clock still has its dot, and until a scrub finds that out ([`crate::replicate::scrub`])
//! the vnode says the same in good faith. Who believes it hides a value that others hold; and who writes with
//! the context of such a read may name a later dot of the same actor, which covers the hidden version as well: then
//! it is gone everywhere.
//!
//! # What tells them apart
//!
//! Let e be the write that superseded version d at the denier. While e's effect is in a context there, the object says
//! so: that is no denial in the sense of this page ([`Vnode::denied`]), and no proof against it is possible. A context
//! is dropped only when every member durably has all dots that it covers, all versions beside it, and all logged deletes of
//! the key (`collect.rs`); and before it is dropped, what every member has is written down as *settled*
//! (`settled.rs`). So if the denial is true, e is in the denier's settled clock. Whoever has e in its clock has
//! applied it, with the context that superseded d, and whoever has seen both never takes d again. Hence:
//!
//! > A whole, current vnode that covers the denier's settled clock and **holds** d proves that nobody superseded d.
//!
//! Clock and object of the holder are of one moment, those of the denier of another one. In which order they were
//! looked at does not matter: a holder that had not yet applied e at its moment does not cover the
//! denier's clock and proves nothing, so a delete under way is never undone. A denier that kept the
//! log entry of a delete and lost the record with the context adds those dots to what must be covered
//! ([`Vnode::ground`]). And where the log was cut ([`super::cut`]), a context may go before every member has the delete that
//! it stood for: then all that was in the clock at that time must be covered, until it is settled.
//!
//! # Who cannot prove anything
//!
//! * A holder that is behind, damaged, or being filled: what it holds may have been superseded by what it lacks.
//!   One whose storage went back in time is not current before every peer has compared what is settled.
//! * A fallback: it has no clock, and its hint may be older than a delete.
//! * Nobody against a void dot: its write is agreed to be none, and copies of it are late by definition.
//!
//! Versions that expire go by each replica's own clock of the day. A denier may have dropped one by itself, and is
//! right from its own point of view. While the version's time has not come by the coordinator's clock, it is shown
//! for as long as somebody proves it, which is what its writer asked for; afterwards nobody asks for proofs.
//!
//! # What follows
//!
//! The coordinator asks for the proof only where a current replica holds a denied version (`coordinate/get_differ.rs`):
//! one round trip, nothing where replies agree. A version that is proven is shown, and read repair sends it to
//! the denier too. That one has seen it and does not take it; but it learns that it is
//! believed to be wrong, and is read through at once ([`crate::shared::Shared::doubt`]). Where it lost
//! something, it is rebuilt from those who have it. Where it is whole, digests decide (`scrub/differ.rs`).
//!
//! # Writes
//!
//! A coordinator that lost what it wrote itself gives a later dot of the same actor to the next write of the key, and the
//! context that it returns would cover both. The object that it ships has neither the earlier version nor a context that
//! covers it; whoever still holds that version beside it says so with the acknowledgement ([`Applied::overlooks`]). Then
//! the writer is given no context, and the coordinator is read through.
//!
//! # What is left
//!
//! A read that no holder answered (r = 1, or all other primaries away) has nobody to contradict the denier, nor has a write
//! that nobody else acknowledged before the answer (w = 1).

use bytes::Bytes;
use quorate_protocol::ids::Dot;
use quorate_protocol::peer::ActorClock;
use quorate_ring::{BucketId, Class};

use crate::causality::{Clock, Object, Version};
use crate::effects::Note;
use crate::shared::Shared;
use crate::shelf::Applied;
use crate::vnode::Vnode;

/// After a doubt others are not listened to for so long, microseconds: reads repeat them until the vnode is rebuilt.
const DOUBT_AGAIN_US: u64 = 10_000_000;

impl Vnode {
    /// Of dots that are in the clock, those that are not held, and neither context nor seal says why.
    pub(crate) fn denied(&self, object: &Object, seen: &[Dot]) -> Vec<Dot> {
        let bare = |dot: &&Dot| {
            !object.has(**dot) && !object.context.covers(**dot) && !self.is_void(**dot)
        };
        seen.iter().filter(bare).copied().collect()
    }

    /// What superseded a denied version is in this clock.
    pub(crate) fn ground(&self, bucket: BucketId, key: &Bytes) -> Clock {
        let mut ground = self.settled.clone();
        ground.merge(&self.cut);
        for delete in self.deletes_of(bucket, key) {
            ground.add(delete);
        }
        ground
    }

    /// Whether what it holds is proven to be superseded by nothing in this clock.
    pub(crate) fn proves(&self, ground: &[ActorClock]) -> bool {
        let covers = |ground: Clock| self.clock.covers(&ground);
        self.is_current() && Clock::from_wire(ground).is_ok_and(covers)
    }

    /// Whether it has seen this version, which it was just told is held by others, and cannot say why it does not hold it.
    pub(crate) fn is_at_a_loss(&self, local: &Object, version: &Version) -> bool {
        !version.expires() && !self.denied(local, &[version.dot]).is_empty()
    }
}

impl Applied {
    /// Whether an earlier write by the actor of this one stands beside it.
    pub(crate) fn overlooks(&self, dot: Dot) -> bool {
        let earlier = |other: &Dot| other.actor == dot.actor && other.counter < dot.counter;
        self.beside.iter().any(earlier)
    }
}

impl Shared {
    /// Somebody has proven a denial of this vnode wrong: it is read through.
    pub(crate) fn doubt(&mut self, class: Class) {
        let now_us = self.now.mono_us;
        let Some(vnode) = self.vnodes.get_mut(&class).filter(|vnode| vnode.is_whole()) else {
            return;
        };
        let heard = |at_us: u64| at_us + DOUBT_AGAIN_US > now_us;
        if vnode.doubted_us.is_some_and(heard) {
            return;
        }
        vnode.doubted_us = Some(now_us);
        self.note(Note::DenialDoubted);
        self.suspect(class);
    }
}
