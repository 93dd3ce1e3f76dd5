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
//! * A client's: a bucket to be made, to be given other defaults, or to be dropped.
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
mod refusal;
mod wish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_protocol::client::{ClientReply, DropBucket, PutBucket};
use quorate_protocol::peer::{MapNewest, PeerMessage};
use quorate_protocol::versioned::{MapName, MapVersion, VersionedMap};
use quorate_protocol::{RequestId, WireError};
use quorate_ring::{BucketId, NodeId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use self::wish::{Judged, What, Wish};
use crate::effects::{Now, Ticket};
use crate::register::{
    Outcome, Proposal, Refusal, Register, RegisterConfig, RegisterEffect, RegisterInput,
    RegisterMessage, StoredRegisterError, Version,
};

/// How long one try to have this node's storage named may take, milliseconds.
const NAMING_MS: u32 = 5_000;
/// Between two of them: at least this, and by chance up to twice as long, microseconds.
const NAMING_PAUSE_US: u64 = 1_000_000;

/// How long the answer to a client waits for members to learn of what he wanted, microseconds.
const SETTLE_US: u64 = 1_000_000;

/// What a client wants of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRequest {
    /// A bucket, or other defaults of one.
    Put(PutBucket),
    /// A bucket to be gone.
    Drop(DropBucket),
}

/// One event.
#[derive(Clone, Debug)]
pub enum KeeperInput {
    /// A client wants a change.
    Client {
        /// Given back with the reply.
        ticket: Ticket,
        /// What it wants.
        request: MapRequest,
        /// What is left of its deadline, milliseconds.
        deadline_ms: u32,
    },
    /// A peer's message; one that is not about the map is ignored.
    Peer {
        /// Who sent it: proven by its certificate.
        from: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// A peer's heartbeat names another version than the one here.
    Differs {
        /// The peer.
        peer: NodeId,
        /// What it has.
        newest: MapName,
    },
    /// A peer answers this node.
    PeerUp(NodeId),
    /// A peer does not answer this node.
    PeerDown(NodeId),
    /// The state of this number, and with it all earlier ones, is durable.
    Persisted(u64),
    /// Time has passed.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum KeeperEffect {
    /// Replace the stored state by `bytes`, atomically, fsync, then report the number.
    Persist {
        /// Counts the states of this life, from 1.
        number: u64,
        /// The whole state.
        bytes: Vec<u8>,
    },
    /// Send a message to a peer.
    Send {
        /// The peer.
        to: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// Answer a client.
    Reply {
        /// Whose request.
        ticket: Ticket,
        /// The answer.
        reply: ClientReply,
    },
    /// A version is durable here, and is the newest.
    Changed(Version),
    /// Two versions of one number were decided: a storage was set back, or there is a bug. The version
    /// that is here stays.
    Contradiction {
        /// The version here.
        here: MapName,
        /// The other one.
        there: MapName,
        /// Who has it.
        peer: NodeId,
    },
}

/// An answer that waits for other members to learn of a version.
#[derive(Clone, Debug)]
struct Settling {
    waiter: Ticket,
    wish: Wish,
    version: MapVersion,
    until_us: u64,
}

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
    /// Another version has come since wishes were looked at.
    changed: bool,
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
            changed: false,
            rng,
        })
    }

    /// Breaks a rule of the register's from now on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, plant: crate::plant::Plant) {
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
    }

    /// Takes one event and appends what follows from it.
    pub fn handle(&mut self, now: Now, input: KeeperInput, effects: &mut Vec<KeeperEffect>) {
        match input {
            KeeperInput::Client {
                ticket,
                request,
                deadline_ms,
            } => self.wish(now, ticket, request, deadline_ms, effects),
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
            KeeperInput::PeerUp(peer) => {
                self.up.insert(peer);
            }
            KeeperInput::PeerDown(peer) => {
                self.up.remove(&peer);
            }
            KeeperInput::Persisted(number) => {
                self.feed(now, RegisterInput::Persisted(number), effects);
            }
            KeeperInput::Tick => self.feed(now, RegisterInput::Tick, effects),
        }
        self.look_again(now, effects);
        self.ask_for_a_name(now, effects);
        self.answer_settled(now, effects);
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
        };
        effects.push(effect);
        None
    }

    fn wish(
        &mut self,
        now: Now,
        waiter: Ticket,
        request: MapRequest,
        deadline_ms: u32,
        effects: &mut Vec<KeeperEffect>,
    ) {
        let (what, request) = match request {
            MapRequest::Put(put) => (What::Put(put.name, put.props), put.request),
            MapRequest::Drop(gone) => (What::Drop(gone.name, gone.id), gone.request),
        };
        // Who waits is to hear of the end before he gives up.
        let patience_ms = u64::from(deadline_ms - deadline_ms / 8);
        let wish = Wish {
            what,
            waiter: Some(waiter),
            request,
            deadline_us: now.mono_us.saturating_add(patience_ms * 1000),
            proposed: false,
        };
        self.add(now, wish, effects);
    }

    fn add(&mut self, now: Now, wish: Wish, effects: &mut Vec<KeeperEffect>) {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.wishes.insert(ticket, wish);
        self.pursue(now, ticket, effects);
    }

    /// Takes one wish as far as it gets with the newest version.
    fn pursue(&mut self, now: Now, ticket: Ticket, effects: &mut Vec<KeeperEffect>) {
        let Some(wish) = self.wishes.get(&ticket).cloned() else {
            return;
        };
        match self.judge(&wish) {
            Judged::Settled(reply) => self.end(now, ticket, reply.map(|reply| *reply), effects),
            Judged::Next(what, draft) => {
                if let Some(refusal) = self.hopeless() {
                    return self.end(now, ticket, Some(refusal.into()), effects);
                }
                if let Some(wish) = self.wishes.get_mut(&ticket) {
                    wish.proposed = true;
                }
                let left_us = wish.deadline_us.saturating_sub(now.mono_us);
                let proposal = Proposal {
                    request: wish.request,
                    base: self.register.newest().name(),
                    what,
                    draft: *draft,
                };
                let input = RegisterInput::Propose {
                    ticket,
                    proposal: Box::new(proposal),
                    deadline_ms: u32::try_from(left_us / 1000).unwrap_or(u32::MAX),
                };
                self.feed(now, input, effects);
            }
        }
    }

    /// What the register says of a wish that was proposed.
    fn outcome(
        &mut self,
        now: Now,
        ticket: Ticket,
        outcome: Outcome,
        effects: &mut Vec<KeeperEffect>,
    ) {
        let Some(wish) = self.wishes.get_mut(&ticket) else {
            return;
        };
        let refusal = match outcome {
            Outcome::Made(made) => return self.granted(now, ticket, made),
            Outcome::Refused(refusal) => refusal,
        };
        match refusal {
            // Another version is there, or about to be: the wish is looked at again on top of it.
            Refusal::Stale { .. }
            | Refusal::Forgotten { .. }
            | Refusal::Behind { .. }
            | Refusal::NotFounded { .. } => wish.proposed = false,
            other @ (Refusal::Invalid(_)
            | Refusal::NotAMember(_)
            | Refusal::Busy(_)
            | Refusal::NoMajority { .. }
            | Refusal::InDoubt { .. }) => {
                let error = refusal::of_register(&self.register.newest().map().map, &other);
                self.end(now, ticket, Some(error.into()), effects);
            }
        }
    }

    /// A wish was granted: who waits for it is told when the members that answer know of it, so that he may go on at any
    /// of them, or after a moment.
    fn granted(&mut self, now: Now, ticket: Ticket, made: MapName) {
        let Some(wish) = self.wishes.remove(&ticket) else {
            return;
        };
        if let Some(waiter) = wish.waiter {
            self.settling.push(Settling {
                waiter,
                version: made.version,
                until_us: now.mono_us.saturating_add(SETTLE_US).min(wish.deadline_us),
                wish,
            });
        }
    }

    fn answer_settled(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        let knows = |peer: &NodeId, version| self.known_at.get(peer) >= Some(&version);
        let is_over = |settling: &Settling| {
            let known = self.up.iter().all(|peer| knows(peer, settling.version));
            known || settling.until_us <= now.mono_us
        };
        let (over, later) = std::mem::take(&mut self.settling)
            .into_iter()
            .partition(is_over);
        self.settling = later;
        let over: Vec<Settling> = over;
        effects.extend(over.into_iter().filter_map(|settling| {
            let (ticket, reply) = (settling.waiter, self.made(&settling.wish)?);
            Some(KeeperEffect::Reply { ticket, reply })
        }));
    }

    /// Who proposed a version wants to know who has it.
    fn tell_proposer(&self, version: &Version) -> Option<KeeperEffect> {
        let (to, newest) = (version.map().change.by, version.name());
        let is_peer = to != self.config.me && version.map().map.member(to).is_some();
        let message = MapNewest { newest }.into();
        is_peer.then_some(KeeperEffect::Send { to, message })
    }

    /// Looks at waiting wishes again when another version has come, and ends those whose time is over.
    fn look_again(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        let changed = std::mem::take(&mut self.changed);
        let waiting = self.wishes.iter().filter(|(_, wish)| !wish.proposed);
        let waiting: Vec<(Ticket, u64)> = waiting
            .map(|(&ticket, wish)| (ticket, wish.deadline_us))
            .collect();
        for (ticket, deadline_us) in waiting {
            if deadline_us <= now.mono_us {
                let error = self.too_late();
                self.end(now, ticket, Some(error.into()), effects);
            } else if changed {
                self.pursue(now, ticket, effects);
            }
        }
    }

    /// Ends a wish, and answers who waits for it.
    fn end(
        &mut self,
        now: Now,
        ticket: Ticket,
        reply: Option<ClientReply>,
        effects: &mut Vec<KeeperEffect>,
    ) {
        let Some(wish) = self.wishes.remove(&ticket) else {
            return;
        };
        match (wish.waiter, reply) {
            (Some(ticket), Some(reply)) => effects.push(KeeperEffect::Reply { ticket, reply }),
            (None, _) => {
                let more_us = self.rng.next_u64() % NAMING_PAUSE_US;
                self.name_at_us = now.mono_us.saturating_add(NAMING_PAUSE_US + more_us);
            }
            (Some(_), None) => {}
        }
    }

    /// Why nothing can be decided now, as far as this node sees.
    fn hopeless(&self) -> Option<WireError> {
        let version = self.register.newest().map();
        let silent = self.silent();
        let enough = if version.is_founded() {
            version.voters.len() / 2 + 1
        } else {
            version.voters.len()
        };
        let answer = version.voters.len() - silent.len();
        if answer >= enough {
            None
        } else if version.is_founded() {
            Some(refusal::no_majority(&version.map, &silent))
        } else {
            Some(refusal::not_founded(&version.map, &silent))
        }
    }

    /// A wish that waited for another version waited too long.
    fn too_late(&self) -> WireError {
        let version = self.register.newest().map();
        let status = self.register.status();
        let missing = status.attempt.map(|attempt| attempt.missing);
        let missing = missing.unwrap_or_else(|| self.silent());
        if version.is_founded() {
            refusal::no_majority(&version.map, &missing)
        } else {
            refusal::not_founded(&version.map, &missing)
        }
    }

    /// Whether the newest version names another storage of this node than the one that it has.
    fn wants_a_name(&self) -> bool {
        let map = self.register.newest().map();
        let named = map.voter(self.config.me).and_then(|voter| voter.storage);
        named.is_some_and(|named| named != self.config.storage)
    }

    fn asks_for_a_name(&self) -> bool {
        self.wishes.values().any(|wish| wish.what == What::Name)
    }

    fn ask_for_a_name(&mut self, now: Now, effects: &mut Vec<KeeperEffect>) {
        if !self.wants_a_name() || self.asks_for_a_name() || self.name_at_us > now.mono_us {
            return;
        }
        let wish = Wish {
            what: What::Name,
            waiter: None,
            request: RequestId::new(self.rng.next_u64(), self.rng.next_u64()),
            deadline_us: now.mono_us.saturating_add(u64::from(NAMING_MS) * 1000),
            proposed: false,
        };
        self.add(now, wish, effects);
    }

    /// An id that no bucket has.
    fn draw_id(&mut self) -> BucketId {
        loop {
            let id = BucketId::new(self.rng.next_u64());
            if self.register.newest().map().map.bucket(id).is_none() {
                return id;
            }
        }
    }
}
