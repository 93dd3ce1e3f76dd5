//! A run: nodes, a network that loses and reorders, clients, and an oracle for the map.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_core::effects::{Effect, Input, Now, Ticket};
use quorate_core::moves::Word;
use quorate_core::register::Version;
use quorate_core::{Family, Note, Plant, Timing};
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;

use crate::clients::Asked;
use crate::dice::Dice;
use crate::history::History;
use crate::map::founded;
use crate::node::Node;
use crate::oracle;
use crate::wrong::Wrong;

/// No message is delayed by more, microseconds.
const DELAY_US: u64 = 4_000_000;

/// What a run is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) nodes: u64,
    /// Nodes that are no members at first.
    pub(crate) spares: u64,
    pub(crate) keys: u8,
    pub(crate) steps: usize,
    /// In percent of messages.
    pub(crate) loss: usize,
    /// Whether all nodes may lose what they had not fsynced, and writes wait for two fsyncs; otherwise only one may.
    pub(crate) power: bool,
    pub(crate) crashes: bool,
    /// Whether quorums are strict: then no read may be stale. Otherwise fallbacks count, and only what is there in the
    /// end is judged.
    pub(crate) strict: bool,
    /// Whether clocks are told rarely.
    pub(crate) slow: bool,
    /// Whether the class moves at all.
    pub(crate) moves: bool,
}

impl Weather {
    /// Where clocks are told rarely, replicas stay different for long.
    fn timing(self) -> Timing {
        let sound = Timing::default();
        Timing {
            clocks_us: if self.slow {
                15_000_000
            } else {
                sound.clocks_us
            },
            ..sound
        }
    }
}

/// A message under way.
struct Flying {
    from: NodeId,
    to: NodeId,
    message: PeerMessage,
    sent_us: u64,
}

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) wrong: Option<Wrong>,
    /// A rule that replicas break beside that, which also keeps what the other one does.
    pub(crate) besides: Option<Plant>,
    pub(crate) now: Now,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    flying: Vec<Flying>,
    cut: Option<(NodeId, NodeId)>,
    pub(crate) version: Arc<VersionedMap>,
    /// Versions are made by the rules of `quorate_core::moves`, of the newest one here, and not by the oracle.
    pub(crate) register: Option<Version>,
    pub(crate) asked: BTreeMap<Ticket, Asked>,
    pub(crate) tickets: u64,
    pub(crate) clock: u64,
    lives: u64,
    pub(crate) history: History,
    /// The only one that may lose what it had not fsynced.
    loser: NodeId,
    pub(crate) notes: BTreeMap<Note, u64>,
    pub(crate) wrongs: Vec<String>,
    /// All faults are over, and everything has come to rest.
    pub(crate) at_rest: bool,
    pub(crate) answered: u64,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, wrong: Option<Wrong>) -> Self {
        let mut dice = Dice::new(seed);
        let version = founded(weather.nodes).shared();
        let all = weather.nodes + weather.spares;
        let ids: Vec<NodeId> = (1..=all).map(NodeId::new).collect();
        let nodes = ids
            .iter()
            .map(|&id| (id, Node::new(id, Arc::clone(&version))));
        let mut world = Self {
            loser: dice.pick(&ids).unwrap(),
            dice,
            weather,
            wrong,
            besides: None,
            now: Now {
                mono_us: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            nodes: nodes.collect(),
            flying: Vec::new(),
            cut: None,
            version,
            register: None,
            asked: BTreeMap::new(),
            tickets: 0,
            clock: 0,
            lives: seed << 20,
            history: History::default(),
            notes: BTreeMap::new(),
            wrongs: Vec::new(),
            at_rest: false,
            answered: 0,
        };
        ids.into_iter().for_each(|id| world.start(id));
        world.calm(3_000);
        world
    }

    pub(crate) fn running(&self) -> Vec<NodeId> {
        let up = self.nodes.values().filter(|node| node.replica.is_some());
        up.map(|node| node.id).collect()
    }

    pub(crate) fn words(&self) -> BTreeMap<NodeId, Word> {
        let said = |node: &Node| Some((node.id, node.word.clone()?));
        self.nodes.values().filter_map(said).collect()
    }

    pub(crate) fn start(&mut self, id: NodeId) {
        self.start_unseen_by(id, id);
    }

    /// A node starts, and one of the others has not found it out yet.
    pub(crate) fn start_unseen_by(&mut self, id: NodeId, unseen_by: NodeId) {
        self.lives += 1;
        let (seed, now, wrong) = (self.lives, self.now, self.wrong);
        let node = self.nodes.get_mut(&id).unwrap();
        if node.replica.is_some() {
            return;
        }
        node.open(seed, now, self.weather.timing(), wrong, self.besides);
        for other in self.running() {
            if other != id && !self.is_cut(id, other) {
                // Who is no member by one's map is nobody's peer.
                let knows =
                    |node: &NodeId, peer| self.nodes[node].version.map.member(peer).is_some();
                let (known, knows) = (knows(&other, id), knows(&id, other));
                if other != unseen_by && known {
                    self.give(other, Input::PeerUp(id));
                }
                if knows {
                    self.give(id, Input::PeerUp(other));
                }
            }
        }
    }

    pub(crate) fn die(&mut self, id: NodeId, power_cut: bool) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.die(power_cut, &mut self.dice);
        for other in self.running() {
            self.give(other, Input::PeerDown(id));
        }
    }

    fn is_cut(&self, one: NodeId, other: NodeId) -> bool {
        self.cut == Some((one, other)) || self.cut == Some((other, one))
    }

    pub(crate) fn heal(&mut self) {
        if let Some((one, other)) = self.cut.take() {
            self.give(one, Input::PeerUp(other));
            self.give(other, Input::PeerUp(one));
        }
    }

    pub(crate) fn give(&mut self, to: NodeId, input: Input) {
        let now = self.now;
        let effects = self.nodes.get_mut(&to).unwrap().give(now, input);
        self.perform(to, effects);
    }

    pub(crate) fn sync(&mut self, id: NodeId) {
        let now = self.now;
        let effects = self.nodes.get_mut(&id).unwrap().sync(now);
        self.perform(id, effects);
    }

    fn perform(&mut self, from: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message, .. } => {
                    let sent_us = self.now.mono_us;
                    self.flying.push(Flying {
                        from,
                        to,
                        message,
                        sent_us,
                    });
                }
                Effect::Reply { ticket, reply } => self.replied(from, ticket, reply),
                Effect::Word(_) | Effect::Transfer(_) => {}
                Effect::Note(note) => *self.notes.entry(note).or_default() += 1,
            }
        }
    }

    /// Delivers what is allowed to arrive, and what follows from it; the rest stays under way.
    pub(crate) fn deliver(&mut self, allowed: &dyn Fn(NodeId, NodeId, &str) -> bool) {
        let passes = |flying: &Flying| allowed(flying.from, flying.to, flying.message.name());
        while let Some(at) = self.flying.iter().position(passes) {
            let flying = self.flying.remove(at);
            let input = Input::Peer {
                from: flying.from,
                message: flying.message,
                deadline_ms: 0,
            };
            self.give(flying.to, input);
        }
    }

    /// What is under way and fits is lost.
    pub(crate) fn lose(&mut self, lost: &dyn Fn(NodeId, NodeId, &str) -> bool) {
        let kept = |flying: &Flying| !lost(flying.from, flying.to, flying.message.name());
        self.flying.retain(kept);
    }

    pub(crate) fn deliver_one(&mut self, lossy: bool) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.dice.below(self.flying.len());
        let flying = self.flying.swap_remove(at);
        let late = flying.sent_us + DELAY_US < self.now.mono_us;
        let lost = lossy && self.dice.chance(self.weather.loss);
        if self.is_cut(flying.from, flying.to) || lost || late {
            return;
        }
        if lossy && self.dice.chance(2) {
            self.flying.push(Flying {
                message: flying.message.clone(),
                ..flying
            });
        }
        let input = Input::Peer {
            from: flying.from,
            message: flying.message,
            deadline_ms: 0,
        };
        self.give(flying.to, input);
    }

    /// Time passes; who has something to fsync does so now or later.
    pub(crate) fn pass(&mut self, ms: u64, calm: bool) {
        self.now.mono_us += ms * 1000;
        self.now.wall_ms += ms;
        for id in self.running() {
            self.give(id, Input::Tick);
            if calm || self.dice.chance(30) {
                self.sync(id);
            }
        }
    }

    /// Time passes, and nobody fsyncs anything.
    pub(crate) fn pass_unsynced(&mut self, ms: u64) {
        self.now.mono_us += ms * 1000;
        self.now.wall_ms += ms;
        self.running()
            .into_iter()
            .for_each(|id| self.give(id, Input::Tick));
    }

    /// Without faults, everything that is sent arrives.
    pub(crate) fn calm(&mut self, ms: u64) {
        for _ in 0..ms / 50 {
            for _ in 0..20 {
                let count = self.flying.len();
                if count == 0 {
                    break;
                }
                (0..count).for_each(|_| self.deliver_one(false));
                for id in self.running() {
                    if self.nodes[&id].wants_sync {
                        self.sync(id);
                    }
                }
            }
            self.pass(50, true);
        }
    }

    pub(crate) fn adopt(&mut self, id: NodeId) {
        let (now, wrong, version) = (self.now, self.wrong, Arc::clone(&self.version));
        let node = self.nodes.get_mut(&id).unwrap();
        if node.replica.is_some() && node.version.version < version.version {
            let before = Arc::clone(&node.version);
            let effects = node.adopt(now, version, wrong);
            self.perform(id, effects);
            self.meet_newcomers(id, &before);
        }
    }

    /// A node reaches those whom a version has made members.
    fn meet_newcomers(&mut self, id: NodeId, before: &VersionedMap) {
        for other in self.running() {
            let came = before.map.member(other).is_none();
            if came && self.version.map.member(other).is_some() && !self.is_cut(id, other) {
                self.give(id, Input::PeerUp(other));
            }
        }
    }

    pub(crate) fn decide(&mut self, next: Option<Arc<VersionedMap>>) {
        if let Some(next) = next {
            self.version = next;
        }
    }

    /// The next step of what goes on, if there can be one.
    pub(crate) fn go_on(&mut self) {
        if self.register.is_some() {
            return self.go_on_by_the_rules();
        }
        let next = oracle::go_on(&self.version, &self.words(), self.wrong);
        self.decide(next);
    }

    /// The whole run, up to its last fault.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.weather.steps {
            self.step();
            if !self.wrongs.is_empty() {
                return;
            }
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..50 => (0..=self.dice.below(8)).for_each(|_| self.deliver_one(true)),
            50..60 => {
                let ms = 10 + self.dice.below(90) as u64;
                self.pass(ms, false);
            }
            60..65 => self.sync_somebody(),
            65..76 => self.ask_something(),
            76..90 => {
                let running = self.running();
                if let Some(id) = self.dice.pick(&running) {
                    self.adopt(id);
                }
            }
            90..95 => {
                self.go_on();
            }
            95 if self.weather.moves => {
                let (words, running) = (self.words(), self.running());
                let next =
                    oracle::whim(&self.version, &words, &running, &mut self.dice, self.wrong);
                self.decide(next);
            }
            96..98 => self.crash_or_start(),
            _ => self.cut_or_heal(),
        }
    }

    fn sync_somebody(&mut self) {
        let dirty: Vec<NodeId> = self
            .nodes
            .values()
            .filter(|node| node.is_dirty())
            .map(|node| node.id)
            .collect();
        if let Some(id) = self.dice.pick(&dirty) {
            self.sync(id);
        }
    }

    fn crash_or_start(&mut self) {
        if !self.weather.crashes {
            return;
        }
        let running = self.running();
        let down: Vec<NodeId> = self
            .nodes
            .keys()
            .copied()
            .filter(|id| !running.contains(id))
            .collect();
        match self.dice.pick(&down) {
            Some(id) => self.start(id),
            None => {
                let id = self.dice.pick(&running).unwrap();
                let power_cut = (self.weather.power || id == self.loser) && self.dice.chance(60);
                self.die(id, power_cut);
            }
        }
    }

    fn cut_or_heal(&mut self) {
        if self.cut.is_some() {
            return self.heal();
        }
        let running = self.running();
        let (Some(one), Some(other)) = (self.dice.pick(&running), self.dice.pick(&running)) else {
            return;
        };
        if one != other {
            self.cut = Some((one, other));
            if self.dice.chance(60) {
                self.give(one, Input::PeerDown(other));
                self.give(other, Input::PeerDown(one));
            }
        }
    }

    /// Whether a node keeps hints for anybody.
    pub(crate) fn keeps_hints(&self, id: NodeId) -> bool {
        !self.nodes[&id].records(Family::Hints).is_empty()
    }
}
