//! What one key's writers had seen: for each actor, all its writes of the key up to a counter.

use quorate_protocol::{ActorId, Dot};
use smallvec::SmallVec;

use super::error::CausalityError;

/// Most actors in one context that is read from outside. Real ones have as many as there are lives
/// of vnodes that wrote the key since its context was last dropped; a token holds a few hundred.
pub const CONTEXT_ACTORS_MAX: usize = 16_384;

/// A version vector: actors in ascending order, each with a counter of at least 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector {
    /// Two entries fit without an allocation: most contexts have none or one.
    entries: SmallVec<[(ActorId, u64); 2]>,
}

impl VersionVector {
    /// The vector that covers nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The highest counter covered of `actor`; 0 if none is.
    #[must_use]
    pub fn get(&self, actor: ActorId) -> u64 {
        self.find(actor).map_or(0, |at| self.entries[at].1)
    }

    /// Whether the write is among those covered.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        dot.counter > 0 && dot.counter <= self.get(dot.actor)
    }

    /// Covers `dot` and every earlier write of its actor. A counter of 0 names no write and
    /// changes nothing.
    pub fn insert(&mut self, dot: Dot) {
        if dot.counter == 0 {
            return;
        }
        match self.find(dot.actor) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(dot.counter),
            Err(at) => self.entries.insert(at, (dot.actor, dot.counter)),
        }
    }

    /// Covers what `other` covers, too.
    pub fn join(&mut self, other: &Self) {
        for (actor, counter) in other.iter() {
            self.insert(Dot::new(actor, counter));
        }
    }

    /// Whether every write that `other` covers is covered here.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|(actor, counter)| self.get(actor) >= counter)
    }

    /// The entries in ascending order of actors.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ActorId, u64)> + '_ {
        self.entries.iter().copied()
    }

    /// How many actors it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it covers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> Vec<(ActorId, u64)> {
        self.entries.to_vec()
    }

    /// Reads what travelled.
    ///
    /// # Errors
    /// Actors not strictly ascending, a counter of 0, or more than [`CONTEXT_ACTORS_MAX`] actors.
    pub fn from_wire(entries: &[(ActorId, u64)]) -> Result<Self, CausalityError> {
        if entries.len() > CONTEXT_ACTORS_MAX {
            return Err(CausalityError::TooManyActors {
                found: entries.len(),
                max: CONTEXT_ACTORS_MAX,
            });
        }
        let mut vector = Self::new();
        for &(actor, counter) in entries {
            vector.push(actor, counter)?;
        }
        Ok(vector)
    }

    /// Appends an entry, which must follow the last one in order.
    pub(crate) fn push(&mut self, actor: ActorId, counter: u64) -> Result<(), CausalityError> {
        if counter == 0 {
            return Err(CausalityError::ZeroCounter(actor));
        }
        if self.entries.last().is_some_and(|&(last, _)| last >= actor) {
            return Err(CausalityError::ActorOrder(actor));
        }
        self.entries.push((actor, counter));
        Ok(())
    }

    fn find(&self, actor: ActorId) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&actor, |&(other, _)| other)
    }
}

impl FromIterator<Dot> for VersionVector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::new();
        for dot in dots {
            vector.insert(dot);
        }
        vector
    }
}
