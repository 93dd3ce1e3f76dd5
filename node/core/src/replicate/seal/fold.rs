//! Folding: one entry of the clock stands for all actors of the generations that are over.
//!
//! An actor carries the generation in which it was drawn, and the cluster map names the present one. Where so many actors
//! of it are retired and known to the last write that their entries are worth a version of the map, the next generation
//! begins. From then on nobody draws an actor of the one before, nor writes with one. A node that has not heard of the
//! new version yet still may, so the members of each class agree in the three stages of sealing, by generation instead
//! of by actor:
//!
//! 1. *In use.* Every node says that it has the version of the map by which the generation is over. That is durable.
//! 2. *Hints.* Every node says that no hint which it keeps names an actor of it.
//! 3. *Promise.* Every member, complete and current, finds all its actors of it sealed and nothing of them missing, and no
//!    entry of theirs in its log, so that each member has all their writes durably. It promises to take whatever
//!    else comes of that generation by anti-entropy only: there is nothing more.
//!
//! So of an actor of these generations everything is known, also of one that nobody has heard of: nobody has anything of
//! it. A late copy reads as seen and superseded. Only a coordinator that does not know that its generation is over could
//! still send a write that is news. It is refused, rather than acknowledged and left out.
//!
//! A member that is told of the fold and has not promised came later, or has lost something since. What it lacks cannot
//! be asked for by dots any more, nor be seen in its clock: it may not have heard of the actor. It is filled by ranges.

use std::ops::ControlFlow;

use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::{ActorId, Dot};
use quorate_protocol::peer::{SealAsk, SealStage};
use quorate_ring::Class;

use super::Sealing;
use crate::causality::Clock;
use crate::effects::Note;
use crate::plant::Plant;
use crate::record::keys;
use crate::shared::{Cx, Shared};
use crate::shelf::Place;
use crate::store::Family;

impl Sealing {
    /// Whether a class can be folded up to the present generation, as far as this node knows.
    pub(super) fn may_fold(&self, shared: &Shared, class: Class) -> bool {
        let over = shared.generations_over();
        self.asks_for(shared, class).is_some_and(|vnode| {
            let any = vnode.clock.actors().next();
            any.is_some_and(|first| first.generation() <= over)
                && vnode.clock.open_of(over).next().is_none()
        })
    }

    /// The generation that should begin, because of a class that this node asks for; 0: none.
    pub(super) fn wanted_generation(&self, shared: &Shared) -> u16 {
        let most = shared.timing.fold_actors;
        let present = shared.view.version.generation;
        let is_ripe = |class: &Class| {
            self.asks_for(shared, *class).is_some_and(|vnode| {
                let clock = &vnode.clock;
                clock
                    .actors()
                    .filter(|&actor| clock.is_complete(actor))
                    .count()
                    >= most
                    && clock
                        .actors()
                        .all(|actor| actor.generation() >= u64::from(present))
            })
        };
        let ripe = shared.vnodes.keys().any(is_ripe);
        if ripe { present.saturating_add(1) } else { 0 }
    }
}

impl Cx<'_> {
    /// Whether nothing here is in the way of a fold, as far as this stage asks. What is said counts once this step is
    /// durable.
    pub(super) fn may_fold(&mut self, ask: &SealAsk) -> bool {
        let over = u64::from(ask.fold) - 1;
        match ask.stage {
            SealStage::InUse => self.s.view.version.generation >= ask.fold,
            SealStage::Hints => {
                let found = self.dots_in_hints(ask.class, |actor| actor.generation() <= over);
                found.is_some_and(|found| found.is_empty())
            }
            SealStage::Promise => {
                self.has_nothing_open(ask.class, over) && self.s.promise_fold(ask)
            }
        }
    }

    /// Whether nothing is missing of the actors of so many generations, and nothing is left in the log of them.
    fn has_nothing_open(&self, class: Class, over: u64) -> bool {
        let Some(vnode) = self.s.vnodes.get(&class).filter(|vnode| vnode.is_current()) else {
            return false;
        };
        if self.s.breaks(Plant::FoldedWhileOpen) {
            return true;
        }
        let mut logged = false;
        let scanned = self.scan(
            Family::Log,
            keys::log_generations_range(class, over),
            |_, _| {
                logged = true;
                ControlFlow::Break(())
            },
        );
        vnode.clock.open_of(over).next().is_none() && scanned.is_ok() && !logged
    }

    /// All have promised.
    pub(super) fn fold_agreed(&mut self, class: Class, fold: u16) {
        self.s.note(Note::Folded);
        self.s.fold(class, u64::from(fold) - 1);
        self.s.tell_voids(class);
    }

    /// Refuses a write of an actor that is folded, unless it is known to be here: whether it ever was cannot be told.
    ///
    /// # Errors
    /// `Unavailable`: its coordinator has to take the newer version of the map first.
    pub(crate) fn refuse_folded(&self, place: &Place, dot: Dot) -> Result<(), WireError> {
        let vnode = self.s.vnodes.get(&place.class);
        let folded = vnode.is_some_and(|vnode| vnode.clock.has_folded(dot.actor));
        if !folded || self.load(place).is_ok_and(|object| object.has(dot)) {
            return Ok(());
        }
        Err(WireError::new(
            ErrorCode::Unavailable,
            format!(
                "the generation of actor {} is over in {}: its node does not know the newest cluster map yet",
                dot.actor, place.class
            ),
        ))
    }
}

impl Shared {
    /// How many generations of actors nobody writes with any more who knows this version of the map.
    fn generations_over(&self) -> u64 {
        u64::from(self.view.version.generation) - 1
    }

    /// Whether an actor is of a generation that is over.
    pub(super) fn is_former(&self, actor: ActorId) -> bool {
        actor.generation() <= self.generations_over()
    }

    fn promise_fold(&mut self, ask: &SealAsk) -> bool {
        let writable = self.writable;
        let Some(vnode) = self.vnodes.get_mut(&ask.class).filter(|_| writable) else {
            return false;
        };
        if vnode.folding < ask.fold {
            vnode.folding = ask.fold;
            self.store_vnode(ask.class);
        }
        true
    }

    /// Lets one entry of the vnode's clock stand for all actors of so many generations.
    pub(super) fn fold(&mut self, class: Class, generations: u64) {
        let seq = self.step_seq();
        let blind = self.breaks(Plant::FoldTakenBlindly);
        let known = generations <= self.generations_over();
        let vnode = self
            .vnodes
            .get_mut(&class)
            .filter(|vnode| vnode.is_whole() && known);
        let Some(vnode) = vnode.filter(|vnode| vnode.clock.folded() < generations) else {
            return;
        };
        let promised = u64::from(vnode.folding) > generations;
        let closed = vnode.clock.open_of(generations).next().is_none();
        if !(promised && closed || blind) {
            return self.begin_snapshot(class);
        }
        let folded = Clock::of_folded(generations);
        vnode.clock.merge(&folded);
        vnode.forget_folded();
        self.folded = self.folded.max(generations);
        vnode.revision += 1;
        self.unsynced_clocks.push_back((seq, class, folded));
        self.store_vnode(class);
    }
}
