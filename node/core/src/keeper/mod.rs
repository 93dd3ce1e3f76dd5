//! The cluster map at one node: the register that decides its versions, and everybody who wants one.
//!
//! The [`Register`] decides between whole versions and knows nothing of what is in them. This machine makes versions
//! of wishes: it computes what a wish changes in the newest version, proposes that, and does so again on
//! top of whatever won instead, until the wish is granted, is against the rules of the map as it is then, or its time is
//! over. A wish keeps one request id, so that it becomes at most one version, whichever node
//! is asked and however often.
//!
//! # Whose wishes
//!
//! * A client's: a bucket to be made, or to be given other defaults.
//! * An operator's: changes of the members staged, committed, cleared, cancelled, see [`crate::moves`].
//! * The node's own: **the next step** of a ring change that is under way, as soon as the words of the members allow one
//!   (`words`, `going_on`).
//! * The node's own: **a storage to be named**. A member whose storage is not the one that the newest version
//!   names for it (its disk was lost, or restored from a backup) does not vote; it asks the others to name the storage that it has.
//!   That is safe whatever it has forgotten: it only proposes, which needs no memory, and those who decide are
//!   the voters of the version before, its lost storage among them. From the version that names it on the new storage
//!   votes, about versions that the old one was never asked about.
//!
//! # When a wish is refused
//!
//! At once where the members that answer this node are no majority of the voters: a refusal that names the silent ones and
//! may be repeated is worth more than a deadline that passes. Otherwise before the deadline of whoever waits, so that the
//! word on who is missing reaches him. What may have been accepted by somebody is *in doubt*; the same request asked
//! again, anywhere, tells.

mod buckets;
mod effects;
mod generation;
mod going_on;
mod naming;
mod pursue;
mod refusal;
mod ring;
mod settle;
mod telling;
mod wish;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_protocol::peer::{Ballot, MapForsake, MapNewest, MapNotForsaken, MapWord, PeerMessage};
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_ring::NodeId;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub use self::effects::{KeeperEffect, KeeperInput, MapRequest};
use self::settle::Settling;
use self::wish::Wish;
use self::words::Words;
use crate::effects::{Now, Ticket};
use crate::plant::Plant;
use crate::register::{
    Register, RegisterConfig, RegisterEffect, RegisterInput, RegisterMessage, StoredRegisterError,
    Version,
};

/// The map at one node.
#[derive(Clone, Debug)]
pub struct Keeper {
    config: RegisterConfig,
    register: Register,
    /// Under the tickets that the register knows.
    wishes: BTreeMap<Ticket, Wish>,
    last_ticket: u64,
    /// Peers that answer.
    up: BTreeSet<NodeId>,
    /// What peers are known to have.
    known_at: BTreeMap<NodeId, MapVersion>,
    /// Clients whose wish is granted, and who are told once the members that answer know of it.
    settling: Vec<Settling>,
    /// Not before that is this node's storage asked to be named again, microseconds.
    name_at_us: u64,
    generation_at_us: u64,
    /// What members have done of what the map asks for.
    words: Words,
    /// When is looked whether there is a next version to propose, microseconds.
    go_on_at_us: Option<u64>,
    /// Another version has come since wishes were looked at.
    changed: bool,
    /// A rule that is broken on purpose; see [`crate::plant`].
    planted: Option<Plant>,
    rng: ChaCha12Rng,
}

impl Keeper {
    /// Opens the map of a node; all peers count as silent. `given` and `stored` are as in [`Register::open`].
    ///
    /// # Errors
    /// As [`Register::open`].
    pub fn open(
        config: RegisterConfig,
        given: Version,
        stored: Option<&[u8]>,
        seed: [u8; 32],
    ) -> Result<Self, StoredRegisterError> {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut register_seed = [0; 32];
        rng.fill_bytes(&mut register_seed);
        Ok(Self {
            config,
            register: Register::open(config, given, stored, register_seed)?,
            wishes: BTreeMap::new(),
            last_ticket: 0,
            up: BTreeSet::new(),
            known_at: BTreeMap::new(),
            settling: Vec::new(),
            name_at_us: 0,
            generation_at_us: 0,
            words: Words::default(),
            go_on_at_us: None,
            changed: false,
            planted: None,
            rng,
        })
    }

    /// Breaks a rule of the register's, or of its own, from now on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, plant: Plant) {
        self.planted = Some(plant);
        self.register.plant(plant);
    }

    /// The register.
    #[must_use]
    pub const fn register(&self) -> &Register {
        &self.register
    }

    /// The newest version that is durable here.
    #[must_use]
    pub fn map(&self) -> Arc<VersionedMap> {
        self.register.newest().shared()
    }

    /// Voters that do not answer this node. One that answers and has lost its storage has no say either; that it
    /// did shows only when it is asked.
    #[must_use]
    pub fn silent(&self) -> Vec<NodeId> {
        let voters = &self.register.newest().map().voters;
        let here = |node: &NodeId| *node == self.config.me || self.up.contains(node);
        let nodes = voters.iter().map(|voter| voter.node);
        nodes.filter(|node| !here(node)).collect()
    }

    /// When the next tick is wanted, on the clock of [`Now::mono_us`]; `u64::MAX`: never.
    #[must_use]
    pub fn next_timer(&self) -> u64 {
        let wishes = self.wishes.values().filter(|wish| !wish.proposed);
        let wishes = wishes.map(|wish| wish.deadline_us).min();
        let naming = if self.wants_a_name() && !self.asks_for_a_name() {
            self.name_at_us
        } else {
            u64::MAX
        };
        let settling = self.settling.iter().map(|settling| settling.until_us).min();
        self.register
            .next_timer()
            .min(naming)
            .min(wishes.unwrap_or(u64::MAX))
            .min(settling.unwrap_or(u64::MAX))
            .min(self.words.next_timer().unwrap_or(u64::MAX))
            .min(self.next_going_on())
            .min(self.next_generation())
    }

    /// Takes one event and appends what follows from it.
    pub fn handle(&mut self, now: Now, input: KeeperInput, effects: &mut Vec<KeeperEffect>) {
        match input {
            KeeperInput::Client {
                ticket,
                request,
                deadline_ms,
            } => self.wish(now, ticket, request, deadline_ms, effects),
            KeeperInput::Peer {
                from,
                message: PeerMessage::MapWord(word),
            } => self.hear(now, from, word),
            KeeperInput::Peer {
                from,
                message: PeerMessage::MapForsake(asked),
            } if asked.gone.iter().any(|&node| self.seems_alive(node)) => {
                effects.push(self.tells_who_lives(from, asked));
            }
            KeeperInput::Peer { from, message } => {
                if let PeerMessage::MapNewest(MapNewest { newest }) = &message {
                    self.known_at.insert(from, newest.version);
                }
                if let Ok(message) = RegisterMessage::from_peer(message) {
                    self.feed(now, RegisterInput::Peer { from, message }, effects);
                }
            }
            KeeperInput::Differs { peer, newest } => {
                self.known_at.insert(peer, newest.version);
                let message = RegisterMessage::Newest(MapNewest { newest });
                let input = RegisterInput::Peer {
                    from: peer,
                    message,
                };
                self.feed(now, input, effects);
            }
            KeeperInput::Word {
                shard,
                shards,
                said,
            } => {
                self.words.say(shard, shards, said);
                self.has_news(now);
            }
            KeeperInput::PeerUp(peer) => {
                self.up.insert(peer);
                self.words.doubt_storage(peer);
                self.has_news(now);
            }
            KeeperInput::PeerDown(peer) => {
                self.up.remove(&peer);
                self.words.doubt_storage(peer);
                self.has_news(now);
            }
            KeeperInput::Persisted(number) => {
                self.feed(now, RegisterInput::Persisted(number), effects);
            }
            KeeperInput::Tick => self.feed(now, RegisterInput::Tick, effects),
        }
        if self.changed {
            self.words.follow(self.register.newest().map());
            self.has_news(now);
        }
        self.look_again(now, effects);
        self.ask_for_a_name(now, effects);
        self.ask_for_a_generation(now, effects);
        self.tell_word(now, effects);
        self.go_on(now, effects);
        self.answer_settled(now, effects);
    }

    fn seems_alive(&self, node: NodeId) -> bool {
        self.up.contains(&node) || self.planted == Some(Plant::VetoOfThePast)
    }

    /// Nothing is given up for nodes that answer this one.
    fn tells_who_lives(&self, to: NodeId, asked: MapForsake) -> KeeperEffect {
        let gone = asked.gone.iter();
        let alive = gone.filter(|&&node| self.seems_alive(node));
        let message = MapNotForsaken {
            lineage: asked.lineage,
            ballot: asked.ballot,
            promised: Ballot::default(),
            alive: alive.copied().collect(),
        };
        let message = message.into();
        KeeperEffect::Send { to, message }
    }

    /// A member says what it has done.
    fn hear(&mut self, now: Now, from: NodeId, word: MapWord) {
        let is_member = self.register.newest().map().map.member(from).is_some();
        if is_member && self.words.hear(from, word) {
            self.plan_to_go_on(now);
        }
    }

    /// What is to be told, or to be done next, may be something else now.
    fn has_news(&mut self, now: Now) {
        if self.is_under_way() {
            self.plan_to_tell(now);
            self.plan_to_go_on(now);
        }
    }

    /// Hands the register something. What it sends to its own node comes back to it at once.
    fn feed(&mut self, now: Now, input: RegisterInput, effects: &mut Vec<KeeperEffect>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Vec::new();
            self.register.handle(now, input, &mut out);
            for effect in out {
                inputs.extend(self.pass_on(now, effect, effects));
            }
        }
    }

    /// Performs an effect of the register; a message to this node itself is given back.
    fn pass_on(
        &mut self,
        now: Now,
        effect: RegisterEffect,
        effects: &mut Vec<KeeperEffect>,
    ) -> Option<RegisterInput> {
        let from = self.config.me;
        let effect = match effect {
            RegisterEffect::Send { to, message } if to == from => {
                return Some(RegisterInput::Peer { from, message });
            }
            RegisterEffect::Send { to, message } => KeeperEffect::Send {
                to,
                message: message.into(),
            },
            RegisterEffect::Persist { number, bytes } => KeeperEffect::Persist { number, bytes },
            RegisterEffect::Outcome { ticket, outcome } => {
                self.outcome(now, ticket, outcome, effects);
                return None;
            }
            RegisterEffect::Changed(version) => {
                self.changed = true;
                let told = self.tell_proposer(&version);
                effects.push(KeeperEffect::Changed(version));
                effects.extend(told);
                return None;
            }
            RegisterEffect::Contradiction { here, there, peer } => {
                KeeperEffect::Contradiction { here, there, peer }
            }
            RegisterEffect::GivenUp { by, peer } => KeeperEffect::GivenUp { by, peer },
        };
        effects.push(effect);
        None
    }
}
