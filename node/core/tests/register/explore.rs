//! Every order there is, of a small configuration: three voters, two of which want different next
//! versions, and a third that completes what it has accepted.
//!
//! The machines are the real ones. Messages are a set that only grows, and any of them may arrive at any
//! time, again and again or never: that covers loss, repetition and reordering. What a node has to write and to
//! ask itself is done before anything else happens there, or it crashes before that, with its messages to
//! others sent; it may crash at any other time too, or lose its disk. Who has crashed wants something else than before. Time
//! does not pass: whoever was overtaken tries again at once, and patience ends as often as the bounds allow.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use quorate_core::register::{
    Pace, Proposal, Register, RegisterConfig, RegisterEffect, RegisterInput, RegisterMessage,
    Version,
};
use quorate_core::{Now, Plant, Ticket};
use quorate_protocol::peer::Ballot;
use quorate_protocol::versioned::MapName;
use quorate_protocol::{RequestId, StorageId};
use quorate_ring::NodeId;

use crate::facts::decides;
use crate::world::{first, id, storage};

/// More states than this are not looked at; a search that stops there has not covered its bounds.
const STATES_MAX: usize = 2_000_000;

/// How much may go wrong on one way through the space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Attempts, the first two included.
    pub(crate) attempts: usize,
    /// Crashes.
    pub(crate) crashes: u8,
    /// Lost disks.
    pub(crate) wipes: u8,
    /// Voters that lose patience with a version they accepted.
    pub(crate) impatient: u8,
}

/// Nothing goes wrong.
pub(crate) const NOTHING: Bounds = Bounds {
    attempts: 2,
    crashes: 0,
    wipes: 0,
    impatient: 0,
};

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// Ways that would have needed more attempts.
    pub(crate) cut: usize,
    /// States in which some version was decided.
    pub(crate) decided: usize,
    /// What was wrong in the first state in which something was.
    pub(crate) wrong: Option<String>,
}

/// A message that was sent, and what it means to the judge.
#[derive(Clone, PartialEq, Eq)]
struct Sent {
    from: NodeId,
    to: NodeId,
    storage: StorageId,
    message: RegisterMessage,
}

#[derive(Clone)]
struct Node {
    register: Register,
    disk: Option<Vec<u8>>,
    generation: u64,
    lives: u8,
    /// Of the register and the disk.
    hash: u64,
}

#[derive(Clone)]
struct State {
    nodes: [Node; 3],
    /// Numbers of messages that may still arrive and change something.
    sent: BTreeSet<usize>,
    /// Numbers of offers and acceptances, which is what decides.
    said: BTreeSet<usize>,
    ballots: BTreeSet<Ballot>,
    left: Bounds,
}

struct Search {
    first: Version,
    /// All messages that were ever sent on any way.
    messages: Vec<Sent>,
    seen: BTreeSet<u64>,
    open: Vec<State>,
    found: Found,
    plant: Option<Plant>,
}

/// Goes through all states that can be reached within the bounds, until something is wrong.
pub(crate) fn explore(bounds: Bounds, plant: Option<Plant>) -> Found {
    let mut search = Search {
        first: first(3, true),
        messages: Vec::new(),
        seen: BTreeSet::new(),
        open: Vec::new(),
        found: Found::default(),
        plant,
    };
    search.begin(bounds);
    while let Some(state) = search.open.pop() {
        search.expand(&state);
        if search.found.wrong.is_some() || search.seen.len() > STATES_MAX {
            break;
        }
    }
    search.found.states = search.seen.len();
    search.found
}

impl Search {
    fn begin(&mut self, left: Bounds) {
        let nodes = [1, 2, 3].map(|number| self.open_node(id(number), None, 0, 1));
        let mut state = State {
            nodes,
            sent: BTreeSet::new(),
            said: BTreeSet::new(),
            ballots: BTreeSet::new(),
            left,
        };
        for at in 0..2 {
            let wish = self.wish(at, 1);
            self.take(&mut state, at, wish);
        }
        self.reached(state);
    }

    fn open_node(&self, node: NodeId, disk: Option<Vec<u8>>, generation: u64, lives: u8) -> Node {
        let config = RegisterConfig {
            me: node,
            storage: storage(node, generation),
            pace: Pace {
                resend_us: u64::MAX,
                back_off_us: 0,
                longest_us: 2,
            },
        };
        let mut seed = [lives; 32];
        seed[..8].copy_from_slice(&node.get().to_be_bytes());
        let opened = Register::open(config, self.first.clone(), disk.as_deref(), seed);
        #[cfg_attr(not(feature = "planted"), expect(unused_mut))]
        let mut register = opened.unwrap();
        #[cfg(feature = "planted")]
        if let Some(plant) = self.plant {
            register.plant(plant);
        }
        #[cfg(not(feature = "planted"))]
        assert_eq!(self.plant, None);
        let mut node = Node {
            register,
            disk,
            generation,
            lives,
            hash: 0,
        };
        node.rehash();
        node
    }

    /// What the first two nodes want, something else in each life.
    fn wish(&self, at: usize, life: u8) -> RegisterInput {
        let request = RequestId::new(at as u64, u64::from(life));
        let mut draft = self.first.draft();
        draft.map.name = request.to_string();
        let proposal = Proposal {
            request,
            base: self.first.name(),
            what: "named".to_owned(),
            draft,
        };
        RegisterInput::Propose {
            ticket: Ticket(0),
            proposal: Box::new(proposal),
            deadline_ms: u32::MAX,
        }
    }

    fn expand(&mut self, state: &State) {
        for &number in &state.sent {
            let Sent {
                from, to, message, ..
            } = self.messages[number].clone();
            let at = position(to);
            self.event(state, at, RegisterInput::Peer { from, message }, 0);
        }
        for at in 0..3 {
            if state.left.crashes > 0 {
                self.crash(state.clone(), at);
            }
            if state.left.wipes > 0 {
                self.wipe(state.clone(), at);
            }
            if state.left.impatient > 0 && state.nodes[at].register.next_timer() == 1 {
                let mut state = state.clone();
                state.left.impatient -= 1;
                self.event(&state, at, RegisterInput::Tick, 1);
            }
        }
    }

    /// An event, with all that follows from it at its node, and with a crash before that.
    fn event(&mut self, state: &State, at: usize, input: RegisterInput, mono_us: u64) {
        self.found.steps += 1;
        let mut next = state.clone();
        let mut effects = Vec::new();
        let now = Now {
            mono_us,
            wall_ms: 0,
        };
        next.nodes[at]
            .register
            .handle(now, input.clone(), &mut effects);
        if state.left.crashes > 0 && effects.iter().any(|effect| ends_at_home(effect, at)) {
            let mut torn = state.clone();
            for effect in effects.clone() {
                if let RegisterEffect::Send { to, message } = effect {
                    self.send(&mut torn, at, to, message);
                }
            }
            self.crash(torn, at);
        }
        self.perform(&mut next, at, effects);
        self.reached(next);
    }

    /// An event whose state is written.
    fn take(&mut self, state: &mut State, at: usize, input: RegisterInput) {
        let mut effects = Vec::new();
        let now = Now::default();
        state.nodes[at].register.handle(now, input, &mut effects);
        self.perform(state, at, effects);
    }

    fn perform(&mut self, state: &mut State, at: usize, effects: Vec<RegisterEffect>) {
        for effect in effects {
            match effect {
                RegisterEffect::Persist { number, bytes } => {
                    state.nodes[at].disk = Some(bytes);
                    self.take(state, at, RegisterInput::Persisted(number));
                }
                RegisterEffect::Send { to, message } if position(to) == at => {
                    self.send(state, at, to, message.clone());
                    let from = to;
                    self.take(state, at, RegisterInput::Peer { from, message });
                }
                RegisterEffect::Send { to, message } => self.send(state, at, to, message),
                RegisterEffect::Contradiction { here, there, .. } => {
                    self.wrong(format!("{here} contradicts {there}"));
                }
                RegisterEffect::Outcome { .. }
                | RegisterEffect::GivenUp { .. }
                | RegisterEffect::Changed(_) => {}
            }
        }
        state.nodes[at].rehash();
    }

    fn send(&mut self, state: &mut State, at: usize, to: NodeId, message: RegisterMessage) {
        if is_news(&message) {
            return;
        }
        let from = id(at as u64 + 1);
        let sent = Sent {
            from,
            to,
            storage: storage(from, state.nodes[at].generation),
            message,
        };
        let known = self.messages.iter().position(|known| *known == sent);
        let number = known.unwrap_or_else(|| {
            self.messages.push(sent);
            self.messages.len() - 1
        });
        match &self.messages[number].message {
            RegisterMessage::Prepare(message) => {
                state.ballots.insert(message.ballot);
            }
            RegisterMessage::Accept(_) | RegisterMessage::Accepted(_) => {
                state.said.insert(number);
            }
            RegisterMessage::Promise(_)
            | RegisterMessage::Refused(_)
            | RegisterMessage::Newest(_)
            | RegisterMessage::Ask(_)
            | RegisterMessage::Forsake(_)
            | RegisterMessage::Forsaken(_)
            | RegisterMessage::Recover(_)
            | RegisterMessage::Recovered(_)
            | RegisterMessage::NotForsaken(_)
            | RegisterMessage::Decided(_) => {}
        }
        if from != to {
            state.sent.insert(number);
        }
    }

    fn crash(&mut self, mut state: State, at: usize) {
        state.left.crashes -= 1;
        let disk = state.nodes[at].disk.clone();
        let generation = state.nodes[at].generation;
        self.restart(state, at, disk, generation);
    }

    fn wipe(&mut self, mut state: State, at: usize) {
        state.left.wipes -= 1;
        let generation = state.nodes[at].generation + 1;
        self.restart(state, at, None, generation);
    }

    fn restart(&mut self, mut state: State, at: usize, disk: Option<Vec<u8>>, generation: u64) {
        self.found.steps += 1;
        let lives = state.nodes[at].lives + 1;
        state.nodes[at] = self.open_node(id(at as u64 + 1), disk, generation, lives);
        if at < 2 {
            let wish = self.wish(at, lives);
            self.take(&mut state, at, wish);
        }
        self.reached(state);
    }

    /// A state, to be judged and, if it is new and within the bounds, to be gone on from.
    fn reached(&mut self, mut state: State) {
        self.forget(&mut state);
        if state.ballots.len() > state.left.attempts {
            self.found.cut += 1;
        } else if self.seen.insert(state.hash()) {
            self.judge(&state);
            self.open.push(state);
        }
    }

    /// Forgets answers that their proposer would not look at any more.
    fn forget(&self, state: &mut State) {
        let nodes = &state.nodes;
        state.sent.retain(|&number| {
            let Sent { to, message, .. } = &self.messages[number];
            let attempt = nodes[position(*to)].register.status().attempt;
            let at = |ballot: Ballot, phase: Option<bool>| {
                attempt.as_ref().is_some_and(|attempt| {
                    let in_phase = phase.is_none_or(|offers| offers == attempt.offer.is_some());
                    attempt.round == ballot.round && in_phase
                })
            };
            match message {
                RegisterMessage::Promise(message) => at(message.ballot, Some(false)),
                RegisterMessage::Accepted(message) => at(message.ballot, Some(true)),
                RegisterMessage::Refused(message) => at(message.ballot, None),
                RegisterMessage::Prepare(_) | RegisterMessage::Accept(_) => true,
                RegisterMessage::Newest(_)
                | RegisterMessage::Ask(_)
                | RegisterMessage::Forsake(_)
                | RegisterMessage::Forsaken(_)
                | RegisterMessage::Recover(_)
                | RegisterMessage::Recovered(_)
                | RegisterMessage::NotForsaken(_)
                | RegisterMessage::Decided(_) => false,
            }
        });
    }

    fn judge(&mut self, state: &State) {
        let mut names: BTreeSet<MapName> = self.decided(state);
        self.found.decided += usize::from(!names.is_empty());
        for node in &state.nodes {
            let newest = node.register.newest().name();
            if newest != self.first.name() && names.insert(newest) {
                self.wrong(format!("{newest} is adopted and was not decided"));
            }
        }
        if names.len() > 1 {
            self.wrong(format!("decided: {names:?}"));
        }
    }

    /// Versions that the messages prove to be decided.
    fn decided(&self, state: &State) -> BTreeSet<MapName> {
        let sent = || state.said.iter().map(|&number| &self.messages[number]);
        let accepted_in = |ballot: Ballot| -> BTreeSet<(NodeId, StorageId)> {
            let yes = sent().filter(|sent| {
                matches!(&sent.message, RegisterMessage::Accepted(message) if message.ballot == ballot)
            });
            yes.map(|sent| (sent.from, sent.storage)).collect()
        };
        let mut decided = BTreeSet::new();
        for sent in sent() {
            if let RegisterMessage::Accept(message) = &sent.message
                && decides(self.first.map(), &accepted_in(message.ballot))
            {
                decided.insert(Version::parse(&message.map).unwrap().name());
            }
        }
        decided
    }

    fn wrong(&mut self, what: String) {
        self.found.wrong.get_or_insert(what);
    }
}

impl Node {
    /// What a register will do is told by all its fields: its random numbers are not drawn here.
    fn rehash(&mut self) {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.register).hash(&mut hasher);
        self.disk.hash(&mut hasher);
        (self.generation, self.lives).hash(&mut hasher);
        self.hash = hasher.finish();
    }
}

impl State {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for node in &self.nodes {
            node.hash.hash(&mut hasher);
        }
        (&self.sent, &self.said, &self.ballots).hash(&mut hasher);
        (self.left.crashes, self.left.wipes, self.left.impatient).hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether it tells what was decided. Such messages are all lost here: who hears of a decision is out of the
/// race, and this search is about the race.
fn is_news(message: &RegisterMessage) -> bool {
    match message {
        RegisterMessage::Newest(_) | RegisterMessage::Ask(_) | RegisterMessage::Decided(_) => true,
        RegisterMessage::Prepare(_)
        | RegisterMessage::Promise(_)
        | RegisterMessage::Accept(_)
        | RegisterMessage::Accepted(_)
        | RegisterMessage::Forsake(_)
        | RegisterMessage::Forsaken(_)
        | RegisterMessage::Recover(_)
        | RegisterMessage::Recovered(_)
        | RegisterMessage::NotForsaken(_)
        | RegisterMessage::Refused(_) => false,
    }
}

/// Whether something is still to happen at the node itself: a state to be written, a question to itself.
fn ends_at_home(effect: &RegisterEffect, at: usize) -> bool {
    match effect {
        RegisterEffect::Persist { .. } => true,
        RegisterEffect::Send { to, .. } => position(*to) == at,
        RegisterEffect::Outcome { .. }
        | RegisterEffect::Changed(_)
        | RegisterEffect::GivenUp { .. }
        | RegisterEffect::Contradiction { .. } => false,
    }
}

fn position(node: NodeId) -> usize {
    usize::try_from(node.get()).unwrap() - 1
}

fn clean(bounds: Bounds) {
    let found = explore(bounds, None);
    println!("{bounds:?}: {found:?}");
    assert_eq!(found.wrong, None);
    assert!(found.states < STATES_MAX, "{bounds:?} are not covered");
    assert!(found.decided > 0 && found.cut > 0, "{found:?}");
}

#[test]
fn no_order_of_three_attempts_decides_two_versions() {
    clean(Bounds {
        attempts: 3,
        ..NOTHING
    });
}

#[test]
fn no_order_of_two_attempts_with_crashes_and_a_lost_disk_decides_two_versions() {
    clean(Bounds {
        attempts: 2,
        crashes: 2,
        wipes: 1,
        impatient: 1,
    });
}

/// A larger search on demand: `QUORATE_REGISTER_BOUNDS=3,0,1,0` for attempts, crashes, lost disks and
/// impatient voters. Without it the smallest there is.
#[test]
fn no_order_within_bounds_of_ones_own_decides_two_versions() {
    let given = std::env::var("QUORATE_REGISTER_BOUNDS").unwrap_or_else(|_| "2,0,1,0".to_owned());
    let numbers: Vec<u8> = given
        .split(',')
        .map(|number| number.parse().unwrap())
        .collect();
    let &[attempts, crashes, wipes, impatient] = &numbers[..] else {
        panic!("four numbers: attempts, crashes, lost disks, impatient voters");
    };
    clean(Bounds {
        attempts: attempts.into(),
        crashes,
        wipes,
        impatient,
    });
}
