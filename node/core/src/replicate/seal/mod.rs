//! Sealing: gaps that retired actors left are closed, by agreement and never by time.
//!
//! # The problem
//!
//! An actor is one life of one vnode. Its last dots may have died with it, and then nobody ever gets them: clocks keep
//! a gap, contexts that name a later dot of the actor are never dropped, and neither are the log entries
//! behind the gap. A gap may not simply be closed either: a late copy of the write may still arrive somewhere,
//! and of two vnodes with equal clocks one would have it and the other take it for superseded.
//!
//! # The rules
//!
//! One member of the class, the one with the lowest id, asks in three stages, each after everybody has answered the
//! one before:
//!
//! 1. *In use.* Every node says which of the actors it still writes with. The others are retired for good: an actor is
//!    64 random bits, drawn anew. Whatever they wrote and a client was told of is stored by now, wherever it was to be.
//! 2. *Hints.* Every node says which of their dots are in hints that it keeps. What is handed over
//!    later is at a member before stage 3.
//! 3. *Promise.* Every member, complete and current, promises durably to take unseen dots of these actors by
//!    anti-entropy only, and says which it has. Anti-entropy passes on what is durable at the sender, so that
//!    whoever sent something says so, too.
//!
//! Dots in no answer are *void*: no write has them, and none that arrives late is taken. They enter the asker's clock, and so
//! does the *end* of each actor: all counters beyond its last write. Void dots read as "seen and superseded"
//! like those of any delete, except that a session which has seen one is not told that it is known. Members keep
//! them and tell them to those who lack them, which shows in the clocks.
//!
//! What arrives late with void dots is left out, and so is all that it says of other writes: nobody's copy has
//! that. Where it brings other news as well it is refused, but for a hint, of which nobody may have another
//! copy: that is taken without the void dots. A member that holds a void dot all the same (it was rebuilt, and a copy came late) removes that version and
//! is filled again: it was nobody's acknowledged write.
//!
//! # Folding
//!
//! Of a sealed actor remains an entry in clocks, a few bytes for each life of a vnode and for each time that a fallback
//! has handed over. See [`fold`] for how these go.
//!
//! What a stage finds in somebody's way (a vnode that is not current, a node that does not
//! answer) ends the round, and it is tried again: until then a gap costs bytes and nothing else.

mod answer;
mod apply;
mod fold;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::ActorId;
use quorate_protocol::peer::{SealAnswer, SealAsk, SealStage};
use quorate_ring::{Class, NodeId};

use crate::causality::Clock;
use crate::effects::{Note, Priority};
use crate::plant::Plant;
use crate::replica::Replica;
use crate::shared::{Cx, Shared};
use crate::vnode::Vnode;

/// Actors in one round; the others come in the next.
const ACTORS_MAX: usize = 64;

/// For how long nobody is asked again about an actor that a member writes with, microseconds. It ends with that
/// member's life, which is noticed at once, or when the vnode is filled again.
const IN_USE_US: u64 = 30_000_000;

/// The same for one of a fallback, which ends whenever a hint was handed over.
const IN_USE_BY_FALLBACK_US: u64 = 5_000_000;

/// How long a class rests after a round that somebody was in the way of, and after one that succeeded while
/// writes of its actors were still under way here, microseconds.
const REST_US: u64 = 5_000_000;

/// What is asked of all nodes about actors of one class.
#[derive(Debug)]
struct Round {
    class: Class,
    number: u64,
    stage: SealStage,
    actors: BTreeSet<ActorId>,
    /// Instead of these, all actors before this generation; or 0.
    fold: u16,
    waits: BTreeSet<NodeId>,
    /// What they have of the actors' dots.
    found: Clock,
    asked_us: u64,
}

/// Sealing of one replica's classes.
#[derive(Debug, Default)]
pub(crate) struct Sealing {
    round: Option<Round>,
    /// Actors that a node writes with, as far as it is known, and until when that is believed.
    in_use: BTreeMap<(Class, ActorId), (NodeId, u64)>,
    /// Classes that are left alone until then.
    rests: BTreeMap<Class, u64>,
    /// Classes of which every peer knows what is void, by what was known of the peers then.
    told: BTreeMap<Class, (u64, u64)>,
    /// The class looked at last: the others come before it.
    last: Option<Class>,
    looked_us: u64,
}

impl Sealing {
    /// A node is back, or gone: what it writes with may have changed, and what it was asked may be lost.
    pub(crate) fn on_peer_change(&mut self, node: NodeId) {
        self.round = None;
        self.rests.clear();
        self.in_use.retain(|_, (by, _)| *by != node);
    }

    pub(crate) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        if let Some(round) = &self.round {
            if round.asked_us + cx.s.timing.resend_us > now_us {
                return;
            }
            self.give_up(now_us);
        }
        if self.looked_us + cx.s.timing.clocks_us <= now_us && cx.s.writable {
            self.looked_us = now_us;
            cx.s.release_complete();
            cx.s.spread_voids(&mut self.told);
            cx.s.wanted_generation = self.wanted_generation(cx.s);
            self.next_round(cx);
        }
    }

    fn give_up(&mut self, now_us: u64) {
        if let Some(round) = self.round.take() {
            self.rests.insert(round.class, now_us + REST_US);
        }
    }

    /// Begins with the next class that has something to seal, if there is one.
    fn next_round(&mut self, cx: &mut Cx<'_>) {
        let now_us = cx.s.now.mono_us;
        self.rests.retain(|_, until_us| *until_us > now_us);
        self.in_use.retain(|_, (_, until_us)| *until_us > now_us);
        if !cx.s.view.peers().all(|node| cx.s.view.answers(node)) {
            return;
        }
        let classes: Vec<Class> = cx.s.vnodes.keys().copied().collect();
        let first = classes.partition_point(|class| self.last.is_some_and(|last| *class <= last));
        let mut classes = classes[first..].iter().chain(&classes[..first]);
        let mut classes_again = classes.clone();
        let found = classes.find_map(|&class| {
            let actors = self.candidates(cx.s, class);
            (!actors.is_empty()).then_some((class, actors))
        });
        let fold = cx.s.view.version.generation;
        let found = match found {
            Some((class, actors)) => Some((class, actors, 0)),
            None => {
                let class = classes_again.find(|&&class| self.may_fold(cx.s, class));
                class.map(|&class| (class, BTreeSet::new(), fold))
            }
        };
        if let Some((class, actors, fold)) = found {
            self.last = Some(class);
            self.round = Some(Round {
                class,
                number: 0,
                stage: SealStage::InUse,
                actors,
                fold,
                waits: BTreeSet::new(),
                found: Clock::new(),
                asked_us: now_us,
            });
            self.ask(cx);
        }
    }

    /// The vnode of a class, if it is this node that has to ask about the class, and can.
    fn asks_for<'a>(&self, shared: &'a Shared, class: Class) -> Option<&'a Vnode> {
        let asks = shared.view.counted(class).iter().min() == Some(&shared.view.me)
            && (shared.view.is_settled(class) || shared.breaks(Plant::SealedWhileDeparting));
        let vnode = shared.vnodes.get(&class)?;
        (asks && vnode.is_current() && !self.rests.contains_key(&class)).then_some(vnode)
    }

    /// Actors of a class that may be retired and are not sealed, if it is this node that has to ask.
    fn candidates(&self, shared: &Shared, class: Class) -> BTreeSet<ActorId> {
        let Some(vnode) = self.asks_for(shared, class) else {
            return BTreeSet::new();
        };
        let open = |actor: &ActorId| {
            !vnode.clock.is_complete(*actor)
                && !self.in_use.contains_key(&(class, *actor))
                && !shared.writes_with(vnode, *actor)
        };
        let strange = shared.strange_actors.get(&class).into_iter().flatten();
        let actors = vnode.clock.actors().chain(strange.copied());
        actors.filter(open).take(ACTORS_MAX).collect()
    }

    /// Puts the question of the present stage to everybody whom it concerns.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        let Some(round) = &mut self.round else {
            return;
        };
        round.number = cx.s.new_op();
        round.asked_us = cx.s.now.mono_us;
        let me = cx.s.view.me;
        round.waits = match round.stage {
            SealStage::InUse | SealStage::Hints => cx.s.view.peers().chain([me]).collect(),
            SealStage::Promise => cx.s.view.counted(round.class).into_iter().collect(),
        };
        let ask = SealAsk {
            class: round.class,
            epoch: cx.s.view.epoch(round.class),
            number: round.number,
            stage: round.stage,
            actors: round.actors.iter().copied().collect(),
            fold: round.fold,
        };
        for node in round.waits.clone() {
            if node != me {
                cx.s.send(node, ask.clone(), 0, Priority::Background);
            }
        }
        // What this node says is durable before anybody learns what follows from it: batches are
        // written in order, and a seal is told once it is fsynced.
        let own = cx.seal_answer(&ask);
        self.on_answer(cx, me, own);
    }

    /// A node answers.
    pub(crate) fn on_answer(&mut self, cx: &mut Cx<'_>, from: NodeId, answer: SealAnswer) {
        let now_us = cx.s.now.mono_us;
        let Some(round) = &mut self.round else {
            return;
        };
        if (round.class, round.number) != (answer.class, answer.number) {
            return; // late
        }
        let found = Clock::from_wire(&answer.found);
        let (true, Ok(found)) = (answer.ready, found) else {
            return self.give_up(now_us);
        };
        if !round.waits.remove(&from) {
            return;
        }
        round
            .found
            .merge(&found.only(|actor| round.actors.contains(&actor)));
        let believed_us = if cx.s.is_member(from, round.class) {
            IN_USE_US
        } else {
            IN_USE_BY_FALLBACK_US
        };
        for actor in answer.in_use {
            if round.actors.contains(&actor) && !cx.s.breaks(Plant::SealedInUse) {
                round.actors.remove(&actor);
                self.in_use
                    .insert((round.class, actor), (from, now_us + believed_us));
            }
        }
        if round.waits.is_empty() {
            self.advance(cx);
        }
    }

    /// Everybody has answered.
    fn advance(&mut self, cx: &mut Cx<'_>) {
        let Some(round) = &mut self.round else {
            return;
        };
        let next = match round.stage {
            SealStage::InUse => Some(SealStage::Hints),
            SealStage::Hints => Some(SealStage::Promise),
            SealStage::Promise => None,
        };
        match next {
            Some(_) if round.actors.is_empty() && round.fold == 0 => {
                self.round = None;
                self.next_round(cx);
            }
            Some(stage) => {
                round.stage = stage;
                self.ask(cx);
            }
            None => self.seal(cx),
        }
    }

    /// All that the actors left is known: the rest is void.
    fn seal(&mut self, cx: &mut Cx<'_>) {
        let Some(round) = self.round.take() else {
            return;
        };
        if round.fold > 0 {
            cx.fold_agreed(round.class, round.fold);
            return self.next_round(cx);
        }
        let voids = round.found.rest_of(round.actors.iter().copied());
        cx.s.note(Note::Sealed);
        cx.apply_seal(round.class, &voids);
        cx.s.tell_voids(round.class);
        if let Some(strange) = cx.s.strange_actors.get_mut(&round.class) {
            strange.retain(|actor| !round.actors.contains(actor));
        }
        let open = |vnode: &Vnode| {
            round
                .actors
                .iter()
                .any(|&actor| !vnode.clock.is_complete(actor))
        };
        if cx.s.vnodes.get(&round.class).is_some_and(open) {
            let until_us = cx.s.now.mono_us + REST_US;
            self.rests.insert(round.class, until_us);
        }
        self.next_round(cx);
    }
}

impl Replica {
    /// Whether writes that this replica coordinates in a class get dots of this actor.
    #[must_use]
    pub fn writes_with(&self, class: Class, actor: ActorId) -> bool {
        let in_use = self.shared.in_use(class, &BTreeSet::from([actor]));
        !in_use.is_empty()
    }
}

impl Shared {
    /// Whether this node writes with an actor.
    fn writes_with(&self, vnode: &Vnode, actor: ActorId) -> bool {
        let is = |given: &(ActorId, u64)| given.0 == actor && !self.is_former(actor);
        vnode.actor.as_ref().is_some_and(is)
            || self.fallback_actors.get(&vnode.class).is_some_and(is)
    }
}
