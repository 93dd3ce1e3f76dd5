//! Answering what is asked about actors that may be sealed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::{ActorId, Dot};
use quorate_protocol::peer::{ActorClock, SealAnswer, SealAsk, SealStage};
use quorate_ring::{Class, NodeId};

use super::ACTORS_MAX;
use crate::causality::Clock;
use crate::effects::Priority;
use crate::plant::Plant;
use crate::record::{decode_hint, keys};
use crate::shared::{Cx, Shared};
use crate::shelf::Arrival;
use crate::store::Family;

/// With more hints of a class than this they are handed over first.
const HINTS_MAX: u64 = 65_536;

impl Cx<'_> {
    /// A peer asks.
    pub(crate) fn answer_seal(&mut self, from: NodeId, ask: &SealAsk) {
        let sound =
            ask.actors.is_sorted_by(|one, next| one < next) && ask.actors.len() <= ACTORS_MAX;
        let sound = sound && (ask.fold == 0 || ask.actors.is_empty());
        if !sound || !self.s.is_member(from, ask.class) {
            return;
        }
        if ask.epoch != self.s.view.epoch(ask.class) {
            return; // of a round that has come to nothing, or that begins before this node knows why
        }
        let answer = self.seal_answer(ask);
        self.s.send_synced(from, answer, Priority::Background);
    }

    /// What this node has to say, which counts once this step is durable.
    pub(super) fn seal_answer(&mut self, ask: &SealAsk) -> SealAnswer {
        let actors: BTreeSet<ActorId> = ask.actors.iter().copied().collect();
        let found = match ask.stage {
            _ if ask.fold > 0 => self.may_fold(ask).then(Vec::new),
            SealStage::InUse => Some(Vec::new()),
            SealStage::Hints => self.dots_in_hints(ask.class, |actor| actors.contains(&actor)),
            SealStage::Promise => self.s.promise(ask.class, &actors),
        };
        let in_use = match ask.stage {
            SealStage::InUse => self.s.in_use(ask.class, &actors),
            SealStage::Hints | SealStage::Promise => Vec::new(),
        };
        SealAnswer {
            class: ask.class,
            number: ask.number,
            ready: found.is_some(),
            in_use,
            found: found.unwrap_or_default(),
        }
    }

    /// Dots of some actors in the hints of a class; `None` where they cannot be told.
    pub(super) fn dots_in_hints(
        &self,
        class: Class,
        is_asked: impl Fn(ActorId) -> bool,
    ) -> Option<Vec<ActorClock>> {
        let mut found = Clock::new();
        if self.s.breaks(Plant::SealedWithoutHints) {
            return Some(found.to_wire());
        }
        for target in self.s.hints.targets(class) {
            if self.s.hints.for_class(target, class) > HINTS_MAX {
                return None;
            }
            let mut readable = true;
            let range = keys::hint_class_range(target, class);
            let scanned = self.scan(Family::Hints, range, |key, record| {
                let Ok(hint) = decode_hint(key, record) else {
                    readable = false;
                    return ControlFlow::Break(());
                };
                let dots = hint.settles.iter().copied().chain(hint.object.dots());
                let asked = dots.filter(|dot| is_asked(dot.actor));
                asked.for_each(|dot| {
                    found.add(dot);
                });
                ControlFlow::Continue(())
            });
            if scanned.is_err() || !readable {
                return None;
            }
        }
        Some(found.to_wire())
    }
}

impl Shared {
    /// Which of these actors this node writes with.
    pub(super) fn in_use(&self, class: Class, actors: &BTreeSet<ActorId>) -> Vec<ActorId> {
        let of_vnode = self.vnodes.get(&class).and_then(|vnode| vnode.actor);
        let as_fallback = self.fallback_actors.get(&class).copied();
        let mut used: Vec<ActorId> = [of_vnode, as_fallback]
            .into_iter()
            .flatten()
            .map(|(actor, _)| actor)
            .filter(|actor| actors.contains(actor) && !self.is_former(*actor))
            .collect();
        used.sort_unstable();
        used
    }

    /// From now on unseen dots of these actors are taken by anti-entropy only; says which dots are here. `None` where
    /// that would not be all, or this node is no member any more.
    fn promise(&mut self, class: Class, actors: &BTreeSet<ActorId>) -> Option<Vec<ActorClock>> {
        let incomplete = self.breaks(Plant::SealedWhileIncomplete);
        let vnode = self.vnodes.get_mut(&class)?;
        if !self.writable || !(vnode.is_current() || incomplete) {
            return None;
        }
        let open = |actor: &&ActorId| !vnode.clock.is_complete(**actor);
        let fresh: BTreeSet<ActorId> = actors.iter().filter(open).copied().collect();
        let found = vnode.clock.only(|actor| actors.contains(&actor)).to_wire();
        if !vnode.promised.is_superset(&fresh) {
            vnode.promised.extend(fresh);
            self.store_vnode(class);
        }
        Some(found)
    }

    /// Refuses what a promise forbids: a copy that the network kept back, of a write that nobody may have.
    ///
    /// # Errors
    /// `Unavailable`: it may be taken again once the actor is sealed, or by anti-entropy.
    pub(crate) fn keep_promise(&self, class: Class, arrival: &Arrival) -> Result<(), WireError> {
        let Some(vnode) = self.vnodes.get(&class) else {
            return Ok(());
        };
        let none = vnode.promised.is_empty() && vnode.folding == 0;
        if none || self.breaks(Plant::PromiseBroken) {
            return Ok(());
        }
        let folding = |actor: ActorId| actor.generation() < u64::from(vnode.folding);
        let promised = |actor| vnode.promised.contains(&actor) || folding(actor);
        let unseen = |dot: &Dot| promised(dot.actor) && !vnode.clock.contains(*dot);
        match arrival.settles.iter().find(|dot| unseen(dot)) {
            None => Ok(()),
            Some(dot) => Err(WireError::new(
                ErrorCode::Unavailable,
                format!(
                    "{class} is finding out which writes the retired actor {} has left: {dot} is taken by anti-entropy only",
                    dot.actor
                ),
            )),
        }
    }
}
