//! Sealing: the members of a class agree which writes an actor that writes no more has left, so that those
//! which nobody has are waited for no longer; and folding: that of all actors of earlier generations nothing is open.

use quorate_ring::Class;
use serde::{Deserialize, Serialize};

use super::ActorClock;
use crate::ids::ActorId;
use crate::versioned::MapVersion;

/// What is asked about some actors, in this order. Each question is put only after everybody has answered the
/// one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum SealStage {
    /// Which of them do you still write with? Asked of all nodes.
    InUse,
    /// Which of their dots are in hints that you keep? Asked of all nodes.
    Hints,
    /// Which of their dots has your vnode? It takes others only by anti-entropy from now on. Asked of the members.
    Promise,
}

impl TryFrom<u8> for SealStage {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::InUse),
            1 => Ok(Self::Hints),
            2 => Ok(Self::Promise),
            _ => Err("no stage of sealing"),
        }
    }
}

impl From<SealStage> for u8 {
    fn from(stage: SealStage) -> Self {
        match stage {
            SealStage::InUse => 0,
            SealStage::Hints => 1,
            SealStage::Promise => 2,
        }
    }
}

/// A question about actors that may be sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealAsk {
    /// The class.
    pub class: Class,
    /// The epoch of the class in which the round began: under another one nobody takes part.
    pub epoch: MapVersion,
    /// The asker's number for this question.
    pub number: u64,
    /// What is asked.
    pub stage: SealStage,
    /// The actors, ascending.
    pub actors: Vec<ActorId>,
    /// 0, or instead of some actors it is all of the generations before this one that are asked about: whether anybody
    /// may still write with one, whether hints name any, and last which of them the vnode does not know all of.
    pub fold: u16,
}

/// The answer to [`SealAsk`]. What it says is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealAnswer {
    /// The class.
    pub class: Class,
    /// From the question.
    pub number: u64,
    /// Whether the question can be answered now; if not, the rest says nothing.
    pub ready: bool,
    /// Actors asked about that the node writes with.
    pub in_use: Vec<ActorId>,
    /// Dots of the actors asked about that the node has.
    pub found: Vec<ActorClock>,
}

/// Actors are sealed: of these dots no write exists, and none will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The class.
    pub class: Class,
    /// The dots; the last run of each actor reaches [`ENDLESS`](super::ENDLESS).
    pub voids: Vec<ActorClock>,
}
