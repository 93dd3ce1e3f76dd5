//! The naive oracle: a small world of vnodes that exchange objects, beside whole histories kept as
//! sets of events. Nothing here is clever: what a place knows is the set of all writes that reached
//! it, and a version lives there if nothing it knows has seen it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_core::causality::{
    Body, Clock, Content, Object, ReplyView, Version, VersionVector, differing, merge_hints,
    merge_replies,
};
use quorate_protocol::{Dot, RequestId};

mod op;
mod vnode;

pub(crate) use op::{Op, op};
use vnode::Issuer;
pub(crate) use vnode::Vnode;

pub(crate) const VNODES: usize = 3;
pub(crate) const KEYS: usize = 2;

/// Chooses the last of anything.
pub(crate) const LAST: usize = 0;

pub(crate) type Key = usize;
pub(crate) type Dots = BTreeSet<Dot>;

/// One write as it happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key: Key,
    pub(crate) put: bool,
    /// The writes that its writer had seen.
    pub(crate) seen: Dots,
}

/// An object on its way, or in a hint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ship {
    pub(crate) key: Key,
    pub(crate) object: Object,
    pub(crate) settles: Vec<Dot>,
    /// Every write that is behind it.
    pub(crate) known: Dots,
}

/// What a client remembers of a read.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) key: Key,
    pub(crate) seen: VersionVector,
    pub(crate) exact: Dots,
}

pub(crate) struct World {
    pub(crate) vnodes: Vec<Vnode>,
    pub(crate) durable: Vec<Vnode>,
    hints: BTreeMap<(usize, Key), (Issuer, Ship)>,
    pub(crate) ships: Vec<Ship>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) events: BTreeMap<Dot, Event>,
    actors: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut actors = 0;
        let mut vnode = || Vnode {
            issuer: Issuer::next(&mut actors),
            clock: Clock::new(),
            log: BTreeMap::new(),
            objects: Default::default(),
            known: Default::default(),
        };
        let vnodes: Vec<Vnode> = (0..VNODES).map(|_| vnode()).collect();
        Self {
            durable: vnodes.clone(),
            vnodes,
            hints: BTreeMap::new(),
            ships: Vec::new(),
            tokens: Vec::new(),
            events: BTreeMap::new(),
            actors,
        }
    }

    pub(crate) fn step(&mut self, op: &Op) {
        match *op {
            Op::Read { vnode, key } => self.read(vnode, key),
            Op::Write {
                vnode,
                key,
                token,
                put,
            } => self.write(vnode, key, token, put),
            Op::FallbackWrite {
                target,
                key,
                token,
                put,
            } => self.fallback_write(target, key, token, put),
            Op::Deliver { ship, vnode } => {
                if let Some(ship) = choose(&self.ships, ship) {
                    self.vnodes[vnode].receive(&ship);
                }
            }
            Op::KeepHint { ship, target } => {
                if let Some(ship) = choose(&self.ships, ship) {
                    self.keep_hint(ship, target);
                }
            }
            Op::Handoff { target, key } => self.hand_off(target, key),
            Op::AntiEntropy { asker, answerer } => self.anti_entropy(asker, answerer),
            Op::Repair { first, second, key } => self.repair(first, second, key),
            Op::Sync { vnode } => self.durable[vnode] = self.vnodes[vnode].clone(),
            Op::Crash { vnode } => self.crash(vnode),
            Op::Collect { vnode } => self.collect(vnode),
            Op::Quiet { vnode } => {
                self.exchange();
                self.durable = self.vnodes.clone();
                self.collect(vnode);
            }
        }
    }

    /// Delivers everything and lets everybody ask everybody, until nothing is missing.
    pub(crate) fn heal(&mut self) {
        for ship in self.ships.clone() {
            self.vnodes
                .iter_mut()
                .for_each(|vnode| vnode.receive(&ship));
        }
        for (target, key) in self.hints.keys().copied().collect::<Vec<_>>() {
            self.hand_off(target, key);
        }
        self.exchange();
    }

    /// Every write of the key that is behind anything that still exists.
    pub(crate) fn known_anywhere(&self, key: Key) -> Dots {
        let ships = self
            .ships
            .iter()
            .chain(self.hints.values().map(|(_, ship)| ship));
        let behind_ships = ships
            .filter(|ship| ship.key == key)
            .flat_map(|ship| &ship.known);
        behind_ships
            .chain(self.vnodes.iter().flat_map(|vnode| &vnode.known[key]))
            .copied()
            .collect()
    }

    /// The versions of which nothing in `known` has seen.
    pub(crate) fn live(&self, known: &Dots) -> Vec<Dot> {
        let seen: Dots = known
            .iter()
            .flat_map(|dot| &self.events[dot].seen)
            .copied()
            .collect();
        known
            .iter()
            .filter(|dot| self.events[dot].put && !seen.contains(dot))
            .copied()
            .collect()
    }

    /// What all the writes in `known` had seen, as a context.
    pub(crate) fn context(&self, known: &Dots) -> VersionVector {
        known
            .iter()
            .flat_map(|dot| &self.events[dot].seen)
            .copied()
            .collect()
    }

    /// What fallbacks keep of the key, whoever it is for.
    pub(crate) fn hints(&self, key: Key) -> impl Iterator<Item = &Ship> {
        self.hints
            .iter()
            .filter(move |((_, other), _)| *other == key)
            .map(|(_, (_, hint))| hint)
    }

    fn read(&mut self, vnode: usize, key: Key) {
        let at = &self.vnodes[vnode];
        self.tokens.push(Token {
            key,
            seen: at.objects[key].read_context(),
            exact: self.puts(&at.known[key]),
        });
    }

    /// What a writer with this token has seen, as context and as the set that the context stands for.
    fn seen(&self, key: Key, token: Option<usize>) -> (VersionVector, Dots) {
        let tokens: Vec<Token> = self
            .tokens
            .iter()
            .filter(|token| token.key == key)
            .cloned()
            .collect();
        let seen = token
            .and_then(|at| choose(&tokens, at))
            .map_or_else(VersionVector::new, |token| token.seen);
        let covered = self
            .events
            .iter()
            .filter(|(dot, event)| event.put && event.key == key && seen.covers(**dot));
        let exact = covered.map(|(dot, _)| *dot).collect();
        (seen, exact)
    }

    pub(crate) fn write(&mut self, vnode: usize, key: Key, token: Option<usize>, put: bool) {
        let (seen, exact) = self.seen(key, token);
        let at = &mut self.vnodes[vnode];
        let dot = at.issuer.mint();
        let mut settles = at.objects[key].write(&seen, put.then(|| version(dot)));
        settles.push(dot);
        at.known[key].extend(exact.iter().chain([&dot]));
        at.settle(key, &settles);
        let ship = Ship {
            key,
            object: at.objects[key].clone(),
            settles,
            known: at.known[key].clone(),
        };
        self.written(dot, put, exact, ship);
    }

    fn fallback_write(&mut self, target: usize, key: Key, token: Option<usize>, put: bool) {
        let (seen, exact) = self.seen(key, token);
        let (issuer, hint) = self.hint(target, key);
        let dot = issuer.mint();
        let displaced = hint.object.write(&seen, put.then(|| version(dot)));
        hint.settles.extend(displaced.into_iter().chain([dot]));
        hint.known.extend(exact.iter().chain([&dot]));
        let ship = hint.clone();
        self.written(dot, put, exact, ship);
    }

    /// Ships a write, and lets its writer go on from it if nothing unseen stands beside it.
    fn written(&mut self, dot: Dot, put: bool, seen: Dots, ship: Ship) {
        let key = ship.key;
        self.events.insert(dot, Event { key, put, seen });
        if ship.object.dots().all(|other| other == dot) {
            let exact = self.puts(&ship.known);
            self.tokens.push(Token {
                key,
                seen: ship.object.read_context(),
                exact,
            });
        }
        self.ships.push(ship);
    }

    fn puts(&self, known: &Dots) -> Dots {
        let puts = known.iter().filter(|dot| self.events[dot].put);
        puts.copied().collect()
    }

    fn keep_hint(&mut self, ship: Ship, target: usize) {
        let (_, hint) = self.hint(target, ship.key);
        hint.object = merge_hints(&hint.object, &hint.settles, &ship.object, &ship.settles).object;
        hint.settles.extend(ship.settles);
        hint.known.extend(ship.known);
    }

    /// The hint for this target and key; a new one comes with an actor of its own.
    fn hint(&mut self, target: usize, key: Key) -> &mut (Issuer, Ship) {
        let actors = &mut self.actors;
        let fresh = || {
            (
                Issuer::next(actors),
                Ship {
                    key,
                    ..Ship::default()
                },
            )
        };
        self.hints.entry((target, key)).or_insert_with(fresh)
    }

    fn hand_off(&mut self, target: usize, key: Key) {
        if let Some((_, hint)) = self.hints.remove(&(target, key)) {
            self.vnodes[target].receive(&hint);
            self.durable[target] = self.vnodes[target].clone();
        }
    }

    /// Everybody asks everybody, twice, so that news from the last reach the first.
    fn exchange(&mut self) {
        let pairs = (0..VNODES).flat_map(|asker| (0..VNODES).map(move |other| (asker, other)));
        for (asker, answerer) in pairs.clone().chain(pairs) {
            self.anti_entropy(asker, answerer);
        }
    }

    fn anti_entropy(&mut self, asker: usize, answerer: usize) {
        for ship in self.vnodes[answerer].answer(&self.vnodes[asker].clock.clone()) {
            self.vnodes[asker].receive(&ship);
        }
    }

    fn repair(&mut self, first: usize, second: usize, key: Key) {
        let replies = [&self.vnodes[first], &self.vnodes[second]];
        let asked = differing(&replies.map(|vnode| ReplyView {
            object: &vnode.objects[key],
            seen: &[],
        }));
        let seen = replies.map(|vnode| {
            asked
                .iter()
                .filter(|dot| vnode.clock.contains(**dot))
                .copied()
                .collect::<Vec<_>>()
        });
        let views = [0, 1].map(|at| ReplyView {
            object: &replies[at].objects[key],
            seen: &seen[at],
        });
        let object = merge_replies(&views);
        let settles = replies
            .iter()
            .flat_map(|vnode| vnode.objects[key].dots())
            .collect();
        let known = replies
            .iter()
            .flat_map(|vnode| &vnode.known[key])
            .copied()
            .collect();
        self.vnodes[first].receive(&Ship {
            key,
            object,
            settles,
            known,
        });
    }

    fn crash(&mut self, vnode: usize) {
        self.vnodes[vnode] = self.durable[vnode].clone();
        self.vnodes[vnode].issuer = Issuer::next(&mut self.actors);
        self.durable[vnode] = self.vnodes[vnode].clone();
    }

    fn collect(&mut self, vnode: usize) {
        let clocks: Vec<Clock> = self
            .durable
            .iter()
            .map(|durable| durable.clock.clone())
            .collect();
        let at = &mut self.vnodes[vnode];
        at.log
            .retain(|dot, _| !clocks.iter().all(|clock| clock.contains(*dot)));
        for (key, object) in at.objects.iter_mut().enumerate() {
            let logged = at.log.values().any(|logged| *logged == key);
            if !logged
                && clocks
                    .iter()
                    .all(|clock| object.context_needless_for(clock))
            {
                object.context = VersionVector::new();
            }
        }
    }
}

fn choose<T: Clone>(from: &[T], at: usize) -> Option<T> {
    // Late ones are likelier to matter.
    from.len()
        .checked_sub(1 + at % from.len().max(1))
        .map(|at| from[at].clone())
}

pub(crate) fn version(dot: Dot) -> Version {
    let value = Bytes::from(dot.to_string());
    Version {
        dot,
        stamp: dot.counter,
        expires_ms: 0,
        request: RequestId::new(dot.actor.get(), dot.counter),
        size: value.len() as u64,
        body: Body::Whole(Content {
            value,
            ..Content::default()
        }),
    }
}
