//! Why something that claims to be a context, a clock or an object is none.

use quorate_protocol::{ActorId, Dot};

/// What was wrong with a value that came from outside. Nothing was changed by it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CausalityError {
    /// A counter of 0: counters start at 1.
    #[error("counter 0 of actor {0}: writes are counted from 1")]
    ZeroCounter(ActorId),
    /// A counter that only the end of a closed actor has.
    #[error("{0} names no write: no actor writes so often")]
    EndlessCounter(Dot),
    /// A write of the actor that is none.
    #[error("{0} is nobody's write: actor 0 stands for those that are folded")]
    NobodysDot(Dot),
    /// Actors out of order or named twice.
    #[error("actor {0} stands out of order or twice: the sender's encoding is wrong")]
    ActorOrder(ActorId),
    /// More actors than any real value has.
    #[error("{found} actors where at most {max} can be: refused unread")]
    TooManyActors {
        /// How many came.
        found: usize,
        /// How many may come.
        max: usize,
    },
    /// A run of a clock that is empty, overflows, or touches what stands before it.
    #[error(
        "run of {length} writes from {first} of actor {actor} is empty, too long, or touches the one before it"
    )]
    BadRun {
        /// The actor.
        actor: ActorId,
        /// The run's first counter.
        first: u64,
        /// Its length.
        length: u64,
    },
    /// The entry of folded actors is none, or another stands beside it for one of them.
    #[error(
        "the entry of actor {0} contradicts what the clock says of all actors of earlier generations"
    )]
    BadFold(ActorId),
    /// An actor of whom the clock says nothing.
    #[error("a clock names actor {0} without one write of it")]
    EmptyActor(ActorId),
    /// More runs than any real clock has.
    #[error("a clock of more than {max} runs: refused")]
    TooManyRuns {
        /// How many may come.
        max: usize,
    },
    /// Versions out of order or twice the same.
    #[error("version {0} stands out of order or twice: the sender's encoding is wrong")]
    VersionOrder(Dot),
    /// More versions than any real object has.
    #[error("{found} siblings where at most {max} can be: refused unread")]
    TooManySiblings {
        /// How many came.
        found: usize,
        /// How many may come.
        max: usize,
    },
    /// A context that declares superseded what stands beside it.
    #[error("version {0} is covered by its own object's context: the object contradicts itself")]
    CoveredVersion(Dot),
    /// A version whose stated size is not its value's length.
    #[error("version {dot} says {stated} bytes and carries {found}")]
    SizeMismatch {
        /// The version.
        dot: Dot,
        /// The stated size.
        stated: u64,
        /// The length of what came.
        found: u64,
    },
    /// A value, content type or metadata over its limit.
    #[error("{what} of version {dot} has {found} bytes; at most {max} are allowed")]
    TooLarge {
        /// The version.
        dot: Dot,
        /// Value, content type or metadata.
        what: &'static str,
        /// Bytes that came.
        found: u64,
        /// Bytes that may come.
        max: u64,
    },
}
