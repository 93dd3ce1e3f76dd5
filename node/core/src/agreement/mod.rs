//! Which buckets there are, until consensus on the cluster map decides it: a bucket comes into
//! force, or changes its defaults, when every member durably agreed to it.
//!
//! # The protocol
//!
//! 1. A node that is asked for a bucket *keeps* its definition: durably, in the one place that each
//!    name has for its next revision. It asks every member to keep it too. Ids are drawn at random.
//! 2. A member votes yes once the definition is durable there. If its place is taken by another
//!    definition of the same revision, the **smaller** of the two (by id, then content) stays, and the vote names
//!    it. So what a place holds only ever gets smaller, and of two proposers at most one can
//!    get the yes of both. The one that loses takes over the smaller definition if that grants what its
//!    client asked for, and tells its client about the conflict if not.
//! 3. With the yes of all members, its own included, and the definition still in its own place, the
//!    proposer makes it *in force*: durably at home, then everywhere, then it answers its client.
//! 4. A bucket in force anywhere comes into force everywhere: members compare digests in their
//!    heartbeats and exchange their buckets; the higher revision wins.
//!
//! Why two definitions of one revision cannot both come into force: each of their proposers voted
//! yes to the other's before it committed its own (afterwards it would have said "in force"). The
//! places only get smaller, so each one's own would be smaller than the other's.
//!
//! A proposal that lacks a vote by its deadline is given up; what was kept stays kept, and a later
//! request for the same definition, at any node, completes it.
//!
//! A node that loses its stored state forgets what it voted for, and only then two definitions of one revision can
//! come into force. The smaller one stays, everywhere, and [`AgreementEffect::Contradiction`] says so.
//!
//! # Order of effects
//!
//! Whatever rests on a change of state leaves only after the driver reported that state as
//! [`AgreementInput::Persisted`]; this machine holds it back until then.

mod outbox;
mod peers;
mod proposal;
mod refusal;
mod request;
mod rules;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_protocol::client::{BucketStored, ClientReply, PutBucket};
use quorate_protocol::map::{Bucket, ClusterMap};
use quorate_protocol::peer::PeerMessage;
use quorate_ring::{BucketId, NodeId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use self::outbox::Outbox;
use self::proposal::{Proposal, Waiter};
use self::request::Wanted;
use self::rules::{Learned, Rules};
pub use self::stored::StoredError;
use crate::effects::{Now, Ticket};
use crate::plant::Plant;

/// One event.
#[derive(Clone, Debug)]
pub enum AgreementInput {
    /// A client asks for a bucket.
    Client {
        /// Given back with the reply.
        ticket: Ticket,
        /// What it asks for.
        request: PutBucket,
        /// What is left of its deadline, milliseconds.
        deadline_ms: u32,
    },
    /// A peer's message about buckets; any other message is ignored.
    Peer {
        /// Who sent it: proven by its certificate.
        from: NodeId,
        /// The message.
        message: PeerMessage,
    },
    /// A peer answers this node.
    PeerUp(NodeId),
    /// A peer does not answer this node.
    PeerDown(NodeId),
    /// A peer's digest of buckets differs from this node's.
    BucketsDiffer(NodeId),
    /// The state of this number, and with it all earlier ones, is durable.
    Persisted(u64),
    /// Time has passed.
    Tick,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum AgreementEffect {
    /// Replace the stored state by `bytes`, atomically and durably, then report the number.
    Persist {
        /// Counts the states of this life, from 1.
        number: u64,
        /// The whole state: at most a few hundred bytes for each bucket.
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
    /// The buckets in force changed.
    MapChanged(Arc<ClusterMap>),
    /// Two definitions of one revision were in force: a bug, or a state restored from a backup. The
    /// first one stays.
    Contradiction {
        /// Stays in force.
        kept: Bucket,
        /// Is in force no longer.
        dropped: Bucket,
    },
}

/// Why a node's part in the agreement cannot be opened.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AgreementError {
    /// This node is not in the map.
    #[error("node {0} is no member of the cluster map: start it with its own cluster's map")]
    NotAMember(NodeId),
    /// The stored state cannot be used.
    #[error("the stored buckets cannot be used: {0}")]
    Stored(#[from] StoredError),
}

/// One node's part in the agreement on buckets.
#[derive(Clone, Debug)]
pub struct Agreement {
    me: NodeId,
    /// What is durably in force.
    map: Arc<ClusterMap>,
    digest: u64,
    rules: Rules,
    outbox: Outbox,
    proposals: BTreeMap<String, Proposal>,
    up: BTreeSet<NodeId>,
    rng: ChaCha12Rng,
    planted: Option<Plant>,
}

impl Agreement {
    /// Starts from the map's buckets and what this node had stored; all peers count as down.
    ///
    /// # Errors
    /// This node is no member, or its stored state is damaged, of another cluster or of a later
    /// version.
    pub fn open(
        me: NodeId,
        map: ClusterMap,
        stored: Option<&[u8]>,
        seed: [u8; 32],
    ) -> Result<Self, AgreementError> {
        if map.member(me).is_none() {
            return Err(AgreementError::NotAMember(me));
        }
        let mut rules = match stored {
            Some(bytes) => stored::decode(map.cluster, bytes)?,
            None => Rules::default(),
        };
        for bucket in &map.buckets {
            rules.learn(bucket.clone());
        }
        let buckets = rules.in_force().cloned().collect();
        let map = ClusterMap { buckets, ..map };
        Ok(Self {
            me,
            digest: digest(&map.buckets),
            map: Arc::new(map),
            rules,
            outbox: Outbox::default(),
            proposals: BTreeMap::new(),
            up: BTreeSet::new(),
            rng: ChaCha12Rng::from_seed(seed),
            planted: None,
        })
    }

    /// Breaks a rule from now on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, plant: Plant) {
        self.planted = Some(plant);
    }

    /// Whether a rule is to be broken.
    fn breaks(&self, plant: Plant) -> bool {
        self.planted == Some(plant)
    }

    /// The cluster map with the buckets that are durably in force here.
    #[must_use]
    pub fn map(&self) -> Arc<ClusterMap> {
        Arc::clone(&self.map)
    }

    /// A digest of the buckets durably in force here, the same wherever they are the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// When the next tick is wanted, on the clock of [`Now::mono_us`]; `u64::MAX`: never.
    #[must_use]
    pub fn next_timer(&self) -> u64 {
        self.proposals
            .values()
            .map(Proposal::next_timer)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Takes one event and appends what follows from it.
    pub fn handle(&mut self, now: Now, input: AgreementInput, effects: &mut Vec<AgreementEffect>) {
        match input {
            AgreementInput::Client {
                ticket,
                request,
                deadline_ms,
            } => {
                let deadline_us = now.mono_us + u64::from(deadline_ms) * 1000;
                self.client(
                    now,
                    Waiter {
                        ticket,
                        deadline_us,
                    },
                    request,
                );
            }
            AgreementInput::Peer { from, message } => self.peer(from, message),
            AgreementInput::PeerUp(peer) => self.peer_up(peer),
            AgreementInput::PeerDown(peer) => self.peer_down(peer),
            AgreementInput::BucketsDiffer(peer) => self.send_buckets(peer),
            AgreementInput::Persisted(number) => self.outbox.persisted(number),
            AgreementInput::Tick => {}
        }
        self.advance(now);
        self.finish(effects);
    }

    fn client(&mut self, now: Now, waiter: Waiter, request: PutBucket) {
        match self.definition(request) {
            Ok(Wanted::InForce(bucket)) => self.reply_stored(&[waiter], bucket, false),
            Ok(Wanted::Next(bucket)) => self.propose(now, waiter, bucket),
            Err(error) => self.outbox.now(AgreementEffect::Reply {
                ticket: waiter.ticket,
                reply: error.into(),
            }),
        }
    }

    /// Starts a proposal of what this node keeps, or joins the one that runs.
    fn propose(&mut self, now: Now, waiter: Waiter, bucket: Bucket) {
        let name = bucket.name.clone();
        if let Some(running) = self.proposals.get_mut(&name) {
            if *running.bucket() == bucket {
                running.join(waiter);
                return;
            }
            // The revision before this one: in force here, and confirmations are a courtesy.
            let before = running.bucket().clone();
            let waiters = self.end(&name);
            self.reply_stored(&waiters, before, true);
        }
        let mut proposal = Proposal::new(self.rng.next_u64(), bucket, self.outbox.number(), now);
        proposal.join(waiter);
        self.ask(&proposal, self.peers());
        self.proposals.insert(name, proposal);
    }

    /// Takes every proposal as far as it gets: counts this node's own vote once it is durable, commits,
    /// asks again, gives up, answers.
    fn advance(&mut self, now: Now) {
        for name in self.proposals.keys().cloned().collect::<Vec<_>>() {
            self.reconcile(now, &name);
            self.commit_if_agreed(now, &name);
            self.answer_if_committed(now, &name);
            self.give_up_if_late(now, &name);
            self.ask_again_if_due(now, &name);
        }
    }

    /// A proposal follows what its name's place came to hold, or what came into force.
    fn reconcile(&mut self, now: Now, name: &str) {
        let Some(proposal) = self
            .proposals
            .get(name)
            .filter(|proposal| proposal.is_asking())
        else {
            return;
        };
        let settled = self.rules.named(name);
        let settled = settled.filter(|bucket| bucket.revision >= proposal.bucket().revision);
        if let Some(bucket) = settled.cloned() {
            let granted = bucket.props == proposal.bucket().props;
            let waiters = self.end(name);
            if granted {
                self.reply_stored(&waiters, bucket, false);
            } else {
                self.refuse(&waiters, &refusal::differs_in_force(&bucket));
            }
            return;
        }
        let Some(kept) = self
            .rules
            .kept(name)
            .filter(|kept| *kept != proposal.bucket())
            .cloned()
        else {
            return;
        };
        if kept.props == proposal.bucket().props {
            let (op, number) = (self.rng.next_u64(), self.outbox.number());
            if let Some(proposal) = self.proposals.get_mut(name) {
                proposal.switch(op, kept, number, now);
            }
            self.ask_missing(name);
        } else {
            let refusal = refusal::differs_pending(&kept, &proposal.bucket().props);
            let waiters = self.end(name);
            self.refuse(&waiters, &refusal);
        }
    }

    fn commit_if_agreed(&mut self, now: Now, name: &str) {
        let (members, me) = (self.members(), self.me);
        let durable = self.outbox.durable();
        let few = self.breaks(Plant::MajorityAgrees);
        let Some(proposal) = self.proposals.get_mut(name) else {
            return;
        };
        proposal.count_own_vote(me, durable);
        let agreed = proposal.is_agreed(&members) || (few && proposal.has_majority(&members));
        if !agreed || self.rules.kept(name) != Some(proposal.bucket()) {
            return;
        }
        let bucket = proposal.bucket().clone();
        proposal.commit(me, now);
        self.learn(bucket);
        self.ask_missing(name);
    }

    fn answer_if_committed(&mut self, now: Now, name: &str) {
        let members = self.members();
        let Some(proposal) = self.proposals.get(name) else {
            return;
        };
        if proposal.is_done(&members, now) {
            let bucket = proposal.bucket().clone();
            let waiters = self.end(name);
            self.reply_stored(&waiters, bucket, true);
        }
    }

    fn give_up_if_late(&mut self, now: Now, name: &str) {
        let members = self.members();
        let Some(proposal) = self.proposals.get_mut(name) else {
            return;
        };
        let late = proposal.take_late(now);
        if late.is_empty() {
            return;
        }
        let refusal = refusal::missing(&self.map, name, proposal.missing(&members));
        if proposal.is_abandoned() {
            self.end(name);
        }
        self.refuse(&late, &refusal);
    }

    fn ask_again_if_due(&mut self, now: Now, name: &str) {
        if self
            .proposals
            .get_mut(name)
            .is_some_and(|proposal| proposal.repeat_if_due(now))
        {
            self.ask_missing(name);
        }
    }

    /// Takes a definition that is in force somewhere.
    fn learn(&mut self, bucket: Bucket) {
        if self.breaks(Plant::OldRevisionTaken) {
            self.rules.forget(&bucket.name);
        }
        match self.rules.learn(bucket) {
            Learned::Nothing => {}
            Learned::News => self.outbox.changed(),
            Learned::Contradiction { kept, dropped } => {
                self.outbox.changed();
                self.outbox
                    .now(AgreementEffect::Contradiction { kept, dropped });
            }
        }
    }

    /// Ends a proposal; who waited for it is to be answered.
    fn end(&mut self, name: &str) -> Vec<Waiter> {
        self.proposals
            .remove(name)
            .map(Proposal::into_waiters)
            .unwrap_or_default()
    }

    fn reply_stored(&mut self, waiters: &[Waiter], bucket: Bucket, changed: bool) {
        for waiter in waiters {
            let bucket = bucket.clone();
            let reply = AgreementEffect::Reply {
                ticket: waiter.ticket,
                reply: BucketStored { bucket, changed }.into(),
            };
            if self.breaks(Plant::BucketToldEarly) {
                self.outbox.now(reply);
            } else {
                self.outbox.once_durable(reply);
            }
        }
    }

    /// Ends a call: asks for the state to be persisted if it changed, and lets out what may leave.
    fn finish(&mut self, effects: &mut Vec<AgreementEffect>) {
        if self.outbox.is_changed() {
            let buckets: Vec<Bucket> = self.rules.in_force().cloned().collect();
            if buckets != self.outbox.announced(&self.map).buckets {
                let map = ClusterMap {
                    buckets,
                    ..ClusterMap::clone(&self.map)
                };
                self.outbox.announce(Arc::new(map));
            }
            self.outbox
                .persist(stored::encode(self.map.cluster, &self.rules));
        }
        if let Some(map) = self.outbox.flush(effects) {
            self.digest = digest(&map.buckets);
            self.map = map;
        }
    }

    fn members(&self) -> BTreeSet<NodeId> {
        self.map.members.iter().map(|member| member.id).collect()
    }

    fn peers(&self) -> Vec<NodeId> {
        self.members()
            .into_iter()
            .filter(|&node| node != self.me)
            .collect()
    }

    /// An id that no bucket has, in force or kept.
    fn draw_id(&mut self) -> BucketId {
        loop {
            let id = BucketId::new(self.rng.next_u64());
            if !self.rules.uses(id) {
                return id;
            }
        }
    }
}

/// The first 8 bytes of BLAKE3 over the stored form of the buckets.
fn digest(buckets: &[Bucket]) -> u64 {
    let hash = blake3::hash(&stored::buckets(buckets));
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
