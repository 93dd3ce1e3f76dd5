//! Deaths at single messages of a change of the ring: the sender's, the receiver's, or that of somebody who has nothing to
//! do with it, right before or right after the k-th message of a kind that carries a move has arrived. Random deaths rarely
//! hit such a moment; here the seeds sweep over kinds, ends and k.

use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;

use super::config::{Config, Profile};
use super::counters::Counter;
use super::dice::Dice;
use super::world::World;

/// In so many of a thousand runs in which members come and go.
const SNIPING: u32 = 600;
/// What carries a move: words, rounds of the register, clocks, pages, hints handed over.
pub const KINDS: [&str; 14] = [
    "MapWord",
    "MapPrepare",
    "MapPromise",
    "MapAccept",
    "MapAccepted",
    "MapDecided",
    "MapNewest",
    "Clocks",
    "CatchUpAsk",
    "CatchUpAnswer",
    "SnapshotAsk",
    "SnapshotPage",
    "Hints",
    "HintsAck",
];

/// Whose process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// That of the node that sent the message.
    Sender,
    /// That of the node that it reaches.
    Receiver,
    /// That of another member.
    Bystander,
}

/// One death to come.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// The kind of message.
    pub kind: &'static str,
    /// Whose process dies.
    pub who: Who,
    /// Before the message is taken, or after.
    pub before: bool,
    /// So many messages of the kind pass first, while something moves.
    pub pass: u64,
    /// It starts again after this time, microseconds.
    pub down_us: u64,
}

/// The deaths to come, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Snipers {
    pub(super) shots: Vec<Shot>,
    /// Whether a change of the ring is under way.
    pub(super) is_moving: bool,
}

/// What a message that arrives is the occasion of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Aim {
    pub(super) before: Option<(usize, u64)>,
    pub(super) after: Option<(usize, u64)>,
}

impl Snipers {
    pub(super) fn new(config: &Config) -> Self {
        let mut dice = Dice::new(config.seed, "deaths at messages");
        let wild = config.profile != Profile::Calm && config.turnover.every_us > 0;
        if !wild || !dice.chance(SNIPING) {
            return Self::default();
        }
        let shots = (0..dice.between(1, 8)).map(|_| Shot {
            kind: KINDS[dice.index(KINDS.len())],
            who: [Who::Sender, Who::Receiver, Who::Bystander][dice.index(3)],
            before: dice.chance(500),
            pass: dice.exponential(5),
            down_us: dice.between(1_000, 3_000_000),
        });
        Self {
            shots: shots.collect(),
            is_moving: false,
        }
    }

    /// The death that this message is the moment for, if it is.
    fn due(&mut self, message: &PeerMessage) -> Option<Shot> {
        let shot = self.shots.last_mut().filter(|_| self.is_moving)?;
        if message.name() != shot.kind {
            return None;
        }
        if shot.pass > 0 {
            shot.pass -= 1;
            return None;
        }
        self.shots.pop()
    }
}

impl World<'_> {
    /// Who dies at this message, before or after it is taken, and for how long, microseconds.
    pub(super) fn take_aim(&mut self, from: NodeId, to: usize, message: &PeerMessage) -> Aim {
        let Some(shot) = self.snipers.due(message).filter(|_| !self.healed) else {
            return Aim::default();
        };
        let sender = self.place_of(from);
        let target = match shot.who {
            Who::Sender => sender,
            Who::Receiver => Some(to),
            Who::Bystander => {
                let others = self.members().into_iter();
                let others: Vec<usize> = others
                    .filter(|&node| node != to && Some(node) != sender)
                    .collect();
                self.turnover.pick(&others)
            }
        };
        let may = |node: &usize| self.faults.may_go_down(&self.nodes, *node);
        let Some(target) = target.filter(may) else {
            return Aim::default();
        };
        self.trace.say(self.at_us, || {
            let id = self.nodes[target].id;
            format!("{id} dies at a {}, {:?}", shot.kind, shot.who)
        });
        let what = "somebody dies at a message of a move";
        self.counters.count(Counter::Turn(what));
        let death = Some((target, shot.down_us));
        if shot.before {
            Aim {
                before: death,
                after: None,
            }
        } else {
            Aim {
                before: None,
                after: death,
            }
        }
    }
}
