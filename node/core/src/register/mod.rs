//! The next version of the cluster map, decided without a leader.
//!
//! Each version of the map names its *voters*. The version after it is what a majority of exactly these
//! accepted in one attempt: single-decree Paxos, as CASPaxos uses it (Rystsov, "CASPaxos: Replicated State
//! Machines without logs", 2018; Lamport, "Paxos Made Simple", 2001). Any member may propose, none leads, and
//! nothing is kept but the newest version and a voter's word on the next one.
//!
//! # Where this differs from CASPaxos
//!
//! CASPaxos has one register that is overwritten, and changes its members by growing and shrinking
//! quorums in steps. Here **every version is a register of its own**, written once:
//! its voters are fixed by the version before it, which everybody who takes part has. So the quorums of two
//! member sets never need to meet, any change of members is one version, and the versions form a chain by their
//! parents' digests. Further, a change is a *whole next version*, not a function: one that was computed
//! from an older version is refused by name ([`Refusal::Stale`]), nothing is merged silently.
//!
//! # The protocol
//!
//! 1. A proposer takes a [`Ballot`](quorate_protocol::peer::Ballot) above all it has heard of and asks the newest version's voters to
//!    *promise* to take part in no earlier attempt. A promise brings what the voter accepted last.
//! 2. With a majority of promises it asks them to *accept*: the version of the latest attempt among the
//!    promises; only if there is none, its own.
//! 3. With a majority of acceptances the version is *decided*. The proposer adopts it and tells the members, old and
//!    new, its name; who accepted that version adopts it, others ask for it.
//! 4. Who makes an attempt by himself, and nobody waits for it here, gives way to a later one of another node. Who was refused for a later attempt waits for a random time before the next, the longer the more often.
//!    A voter that accepted a version and does not hear what became of it makes an attempt of its own.
//!
//! A voter answers questions about the version after *its newest* only: who asks about an older one is
//! sent the newest; asked about a later one, it asks for that first.
//!
//! # Why one version has one content
//!
//! By induction over versions: version v has one content, so the voters for v + 1 are one list, of
//! (node, storage) pairs. Each pair's promises and acceptances are durable before they are told (see below), so a
//! pair behaves like one acceptor that may stop for ever. No two attempts share a ballot, for a ballot has 64 random bits
//! that its proposer draws whenever it starts: no disk, however set back, makes it repeat one. Then the argument is
//! Paxos': let c be the first attempt after b in which another version than the one decided in b is offered.
//! Its majority of promises has a pair in common with the majority that accepted in b; that pair promised c after
//! accepting in b (it would have refused b otherwise), so it reported an attempt from b up to c, and the
//! latest attempt reported offered, by choice of c, the version decided in b.
//!
//! # A wiped node does not vote
//!
//! A voter is a node **with its storage**. Who has lost the storage has a new id, which no version names: it
//! does not answer questions, and a proposer would not count its answer. It learns the newest version and goes on as a member
//! without a vote; the others may name its new storage in a next version. There it votes from the version
//! after that on, about which its old storage was never asked, for it was no voter any more. Its old
//! promises that are still under way are as good as ever: they were durable when they were sent, and their storage
//! will never say anything else. If a majority of the pairs are gone (2 of 3 wiped) nothing more is decided, since
//! what they accepted may be decided: only an operator can say what is to be given up.
//!
//! **The first version** is made before the nodes have storages. Its voters are nodes with *any* storage, and the version
//! after it, which is made by itself and does nothing but name the storages (*founding*), needs the promise and
//! the acceptance of **every** voter. That is safe against wiped nodes while one is not: say all accepted in attempt b,
//! each with the storage that it had then, and c is the first later attempt that offers something else. All promised c. A node
//! that was not wiped between its two answers accepted in b first and then promised c, as above, so it
//! reported the version of b. Only if every single node lost its storage in between does nobody remember; then
//! nothing is left that could contradict, but for members that came later: to start all nodes of the first version
//! anew from its file is to make the cluster a second time. Until the founding the map cannot change. A storage that founding names and
//! that is gone by then is a wiped voter like any other.
//!
//! **A cluster that is restored as a whole** has lost every storage that voted. Each node's restore says so in its
//! state, and from then on the newest version counts there as the first one does: its voters are nodes with any storage, and the
//! next version, which names them, needs every one of them. Restored from backups of different moments they meet at the newest
//! version that any of them has, since who has an older one is sent that. Should a node be restored so while the others run on, nothing
//! happens: they don't count it, and it decides nothing without all of them. Until a version names its storage, a node
//! stays so over restarts.
//!
//! What this cannot see: a storage set back to an earlier state under the same id. The node's restore draws a
//! new id for that reason; a copy of the files by hand does not, and must not be started.
//!
//! # When a majority is gone for good
//!
//! Nothing can be decided any more, until an operator names the members that are gone and has the cluster *recovered* by all
//! others. The first version of the next lineage (see [`MapVersion`](quorate_protocol::versioned::MapVersion)) is decided by a
//! register of its own:
//!
//! 1. Every member that the order does not call gone is asked to *forsake* the lineage: to vote on nothing in it, to learn
//!    of nothing decided in it, and to take part in no earlier attempt to recover. Its answer brings the newest version that
//!    it has, what it accepted after that, and what it accepted in an earlier attempt to recover.
//! 2. With the answers of **all** of them they are asked to accept a version: that of the latest attempt to recover, if any of
//!    them accepted one; else the one that follows from the newest they know, or from what one of them accepted after it,
//!    without the members that are gone.
//! 3. When all have accepted it is decided.
//!
//! Why it has one content: two attempts whose orders call different members gone have a member in common, unless all of each
//! are called gone by the other. That pair of node and storage promised the later one after it accepted in the earlier, or
//! refused the earlier; so, as in any register, the later attempt offers what the earlier may have decided. Where no member
//! is common, two versions of one number come to be, and whoever meets the other side reports a contradiction: every
//! version names the recoveries that it comes from.
//!
//! Why nothing is lost that was decided with one who is left: he accepted it before he forsook the lineage, and says so; if
//! several accepted something, the latest attempt's is what was decided if anything was. What the gone decided among
//! themselves and told nobody is lost.
//!
//! # Catching up
//!
//! A node that missed versions adopts the newest directly, on the word of any node of its
//! cluster: a node says "decided" only of a version that it has durably adopted as decided, and members are
//! trusted not to lie (their certificates say who they are; a forged version is beyond what this protects against).
//! What can be checked is: the cluster, the version's own rules, and that the log of versions in it names the version that is
//! here with the digest that it has here. If not, [`RegisterEffect::Contradiction`] says so and the version here stays.
//!
//! # Retries
//!
//! A proposal carries a request id, which its version keeps and later ones remember
//! ([`PAST_VERSIONS_MAX`](quorate_protocol::limits::PAST_VERSIONS_MAX) of them). Whoever asks again, at any node, learns that it was made, or is
//! refused as stale, or joins its completion. An id is never made twice: the version that is the base of a
//! second try remembers the first.
//!
//! # What is left to the caller
//!
//! * A version whose voters have no majority that runs is the last one: whoever makes versions leaves no such. As long
//!   as it is not adopted by a majority of its own voters, those of the version before keep their storages, leaving
//!   or not.
//! * Who votes is free: all members, or a few in different zones. Each attempt costs two messages and two answers for each
//!   voter, with the whole map in one of them, whatever the map says.
//! * Heartbeats carry [`MapName`]s both ways, and come in as `MapNewest`: so who missed everything hears of it.
//! * A wiped voter's new storage is named by a version that somebody asks for; the register does nothing by itself
//!   but found the cluster and complete what was accepted.
//!
//! # Order of effects
//!
//! Whatever rests on a change of state leaves only after the driver reported that state as
//! [`RegisterInput::Persisted`]; this machine holds it back until then. No clock decides anything: times say when to try again.

mod acceptor;
mod drive;
mod effects;
mod forsake;
mod lead;
mod learn;
mod outbox;
mod pledge;
mod propose;
mod recover;
mod refusal;
mod round;
mod status;
mod stored;
#[cfg(test)]
mod testing;
mod version;
mod vote;
mod votes;
mod waiting;
mod wire;

use std::collections::BTreeMap;

use quorate_protocol::StorageId;
use quorate_protocol::ids::LifeId;
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use self::acceptor::Acceptor;
pub use self::effects::{Outcome, Proposal, RegisterEffect, RegisterInput, RegisterMessage};
use self::outbox::Outbox;
use self::pledge::Pledge;
use self::recover::Recovering;
pub use self::refusal::Refusal;
use self::round::Round;
pub use self::status::{Attempt, RegisterStatus};
use self::stored::Stored;
pub use self::stored::StoredRegisterError;
pub use self::version::{Draft, Version, VersionError};
use self::waiting::Waiting;
use crate::effects::Now;
use crate::plant::Plant;

/// Whose register it is, and how patient.
#[derive(Clone, Copy, Debug)]
pub struct RegisterConfig {
    /// The node.
    pub me: NodeId,
    /// The storage in which its state is kept.
    pub storage: StorageId,
    /// When things are tried again.
    pub pace: Pace,
}

/// When things are tried again. Nothing but speed depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Voters that are silent for so long are asked again; doubles each time, microseconds.
    pub resend_us: u64,
    /// A proposer that was overtaken waits at most this long; doubles each time, microseconds.
    pub back_off_us: u64,
    /// Neither grows beyond this, microseconds.
    pub longest_us: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            resend_us: 300_000,
            back_off_us: 100_000,
            longest_us: 5_000_000,
        }
    }
}

/// One node's part in deciding versions.
#[derive(Clone, Debug)]
pub struct Register {
    config: RegisterConfig,
    /// Drawn for this life: part of every ballot.
    life: LifeId,
    /// The newest version known to be decided, on disk or on its way there.
    known: Version,
    /// The newest one on disk.
    durable: Version,
    /// The storages that `known` names are given up.
    anew: bool,
    /// This voter's word on the version after `known`.
    acceptor: Acceptor,
    /// That the lineage of `known` is given up.
    pledge: Option<Pledge>,
    /// This node's attempt to recover the cluster.
    recovering: Option<Recovering>,
    outbox: Outbox,
    waiting: Waiting,
    round: Option<Round>,
    /// The highest round that anybody was heard of.
    seen_round: u64,
    /// When the next attempt begins.
    wake_us: Option<u64>,
    /// Attempts at the next version that were overtaken.
    overtaken: u32,
    /// What was last reported to contradict the version here, by peer.
    contradicted: BTreeMap<NodeId, MapName>,
    rng: ChaCha12Rng,
    planted: Option<Plant>,
}

impl Register {
    /// Opens a register. `given` is a decided version that this node was given with its data directory: the
    /// first one, or the newest at the time it joined.
    ///
    /// # Errors
    /// The stored state is damaged, of another cluster, of a later build, or contradicts `given`.
    pub fn open(
        config: RegisterConfig,
        given: Version,
        stored: Option<&[u8]>,
        seed: [u8; 32],
    ) -> Result<Self, StoredRegisterError> {
        let stored = stored
            .map(|bytes| stored::decode(given.map().map.cluster, bytes))
            .transpose()?;
        let mut words = Words::default();
        let mut newest = given;
        if let Some(stored) = stored {
            check_fits(stored.newest.name(), newest.name())?;
            if stored.newest.name().version < newest.name().version {
                return Ok(Self::begin_with(config, newest, words, seed));
            }
            newest = stored.newest;
            // Votes of another storage were not this voter's.
            if stored.storage == config.storage {
                words = Words {
                    acceptor: stored.acceptor,
                    anew: stored.anew,
                    pledge: stored.pledge,
                };
            }
        }
        Ok(Self::begin_with(config, newest, words, seed))
    }

    /// The newest version in a stored state, or the one given if that is newer.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn stored_newest(given: &Version, stored: &[u8]) -> Result<Version, StoredRegisterError> {
        let stored = stored::decode(given.map().map.cluster, stored)?;
        check_fits(stored.newest.name(), given.name())?;
        let older = stored.newest.name().version < given.name().version;
        Ok(if older { given.clone() } else { stored.newest })
    }

    /// The state of a node that is restored from a backup: the newest version of then, no votes, and another
    /// storage. If all nodes of the cluster are restored (`all`), the storages that voted are given up, and the cluster is
    /// founded anew on the newest version that any of them has: see the module's documentation.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn restored(
        given: &Version,
        stored: Option<&[u8]>,
        storage: StorageId,
        all: bool,
    ) -> Result<Vec<u8>, StoredRegisterError> {
        let newest = match stored {
            Some(stored) => Self::stored_newest(given, stored)?,
            None => given.clone(),
        };
        Ok(stored::encode(&Stored {
            storage,
            anew: all,
            newest,
            acceptor: Acceptor::default(),
            pledge: None,
        }))
    }

    fn begin_with(config: RegisterConfig, newest: Version, words: Words, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        Self {
            life: LifeId::new(rng.next_u64()),
            seen_round: 0,
            durable: newest.clone(),
            known: newest,
            anew: words.anew,
            acceptor: words.acceptor,
            pledge: words.pledge,
            recovering: None,
            config,
            outbox: Outbox::default(),
            waiting: Waiting::default(),
            round: None,
            wake_us: None,
            overtaken: 0,
            contradicted: BTreeMap::new(),
            rng,
            planted: None,
        }
    }

    /// Breaks a rule from now on.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, plant: Plant) {
        self.planted = Some(plant);
    }

    /// Whether a rule is to be broken.
    pub(crate) fn breaks(&self, plant: Plant) -> bool {
        self.planted == Some(plant)
    }

    /// The newest version that is durably adopted here.
    #[must_use]
    pub fn newest(&self) -> &Version {
        &self.durable
    }

    /// When the next tick is wanted, on the clock of [`Now::mono_us`]; `u64::MAX`: never.
    #[must_use]
    pub fn next_timer(&self) -> u64 {
        let attempt = match &self.round {
            Some(round) => round.resend_at_us,
            // Just opened, and something is left from the life before: the first tick plans for it.
            None if self.wake_us.is_none() && self.has_reason() => 0,
            None => self.wake_us.unwrap_or(u64::MAX),
        };
        attempt
            .min(self.waiting.next_deadline_us())
            .min(self.recovery_timer())
    }

    /// Takes one event and appends what follows from it.
    pub fn handle(&mut self, now: Now, input: RegisterInput, effects: &mut Vec<RegisterEffect>) {
        match input {
            RegisterInput::Propose {
                ticket,
                proposal,
                deadline_ms,
            } => self.propose(now, ticket, *proposal, deadline_ms),
            RegisterInput::Recover {
                ticket,
                request,
                gone,
                deadline_ms,
            } => self.recover(now, ticket, (request, gone), deadline_ms),
            RegisterInput::Peer { from, message } => self.message(now, from, message),
            RegisterInput::Persisted(number) => self.outbox.persisted(number),
            RegisterInput::Tick => {}
        }
        self.give_up_late(now);
        self.drive(now);
        self.drive_recovery(now);
        self.release(effects);
    }

    fn message(&mut self, now: Now, from: NodeId, message: RegisterMessage) {
        match message {
            RegisterMessage::Prepare(message) => self.prepare(now, from, message),
            RegisterMessage::Promise(message) => self.promised(now, from, message),
            RegisterMessage::Accept(message) => self.accept(now, from, message),
            RegisterMessage::Accepted(message) => self.accepted(from, message),
            RegisterMessage::Refused(message) => self.refused(now, from, message),
            RegisterMessage::Newest(message) => self.newest_of(from, message),
            RegisterMessage::Ask(message) => self.asked(from, message),
            RegisterMessage::Decided(message) => self.decided(from, &message),
            RegisterMessage::Forsake(message) => self.forsake(from, message),
            RegisterMessage::Forsaken(message) => self.forsaken(now, from, &message),
            RegisterMessage::Recover(message) => self.accept_recovered(from, &message),
            RegisterMessage::Recovered(message) => self.recovery_accepted(from, message),
            RegisterMessage::NotForsaken(message) => self.not_forsaken_by(now, from, message),
        }
    }

    /// Gives out the state if it changed, and what may leave.
    fn release(&mut self, effects: &mut Vec<RegisterEffect>) {
        if let Some(number) = self.outbox.take_number() {
            let bytes = stored::encode(&Stored {
                storage: self.config.storage,
                anew: self.anew,
                newest: self.known.clone(),
                acceptor: self.acceptor.clone(),
                pledge: self.pledge.clone(),
            });
            effects.push(RegisterEffect::Persist { number, bytes });
        }
        for effect in self.outbox.flush() {
            if let RegisterEffect::Changed(version) = &effect {
                self.durable = version.clone();
            }
            effects.push(effect);
        }
    }

    /// Sends at once.
    fn send(&mut self, to: NodeId, message: RegisterMessage) {
        self.outbox.now(RegisterEffect::Send { to, message });
    }

    /// Sends once the state as it is now is durable.
    fn send_once_durable(&mut self, to: NodeId, message: RegisterMessage) {
        let effect = RegisterEffect::Send { to, message };
        if self.breaks(Plant::VoteBeforeFsync) {
            self.outbox.now(effect);
        } else {
            self.outbox.once_durable(effect);
        }
    }
}

/// What a node has said, and must stand by.
#[derive(Default)]
struct Words {
    acceptor: Acceptor,
    anew: bool,
    pledge: Option<Pledge>,
}

/// One number, one content.
fn check_fits(stored: MapName, given: MapName) -> Result<(), StoredRegisterError> {
    if stored.version == given.version && stored != given {
        Err(StoredRegisterError::OtherMap { stored, given })
    } else {
        Ok(())
    }
}
