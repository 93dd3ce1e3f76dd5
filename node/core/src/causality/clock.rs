//! What one vnode has applied, exactly: the writes of each actor as a base and later runs.

use std::collections::BTreeMap;

use quorate_protocol::peer::{ActorClock, ENDLESS, writes_in};
use quorate_protocol::{ActorId, Dot};

use super::VersionVector;
use super::error::CausalityError;
use super::runs::{Run, Runs};

/// Most actors in a clock that is read from outside: far beyond any number of unfolded vnode lives.
pub const CLOCK_ACTORS_MAX: usize = 65_536;
/// Most later runs in a clock that is read from outside, over all its actors.
pub const CLOCK_RUNS_MAX: usize = 1 << 20;

/// A set of dots. No actor is kept without at least one dot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    actors: BTreeMap<ActorId, Runs>,
}

impl Clock {
    /// The clock of a vnode that has applied nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the write was applied.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        self.actors
            .get(&dot.actor)
            .is_some_and(|runs| runs.contains(dot.counter))
    }

    /// Enters one write; true if it is new. A counter of 0 names no write, nor does [`ENDLESS`] or one beyond, and
    /// is never new.
    pub fn add(&mut self, dot: Dot) -> bool {
        (1..ENDLESS).contains(&dot.counter)
            && self.actors.entry(dot.actor).or_default().add(dot.counter)
    }

    /// The highest counter up to which all of the actor's writes were applied; 0 if the first is missing.
    #[must_use]
    pub fn base(&self, actor: ActorId) -> u64 {
        self.actors.get(&actor).map_or(0, Runs::base)
    }

    /// The highest counter applied of the actor, whatever is missing before it; 0 if none. The end of a closed
    /// actor does not count.
    #[must_use]
    pub fn last(&self, actor: ActorId) -> u64 {
        let runs = self.actors.get(&actor);
        runs.map_or(0, |runs| {
            runs.later().last().map_or(runs.base(), |run| run.last)
        })
    }

    /// Whether all of the actor's writes up to `counter` were applied, or are known never to come.
    #[must_use]
    pub fn known_up_to(&self, actor: ActorId, counter: u64) -> bool {
        self.base(actor) >= counter || self.is_complete(actor)
    }

    /// Whether the actor is closed: it is known which was its last write.
    #[must_use]
    pub fn is_closed(&self, actor: ActorId) -> bool {
        let runs = self.actors.get(&actor);
        runs.is_some_and(|runs| runs.end().is_some())
    }

    /// Whether the actor is closed and none of its writes is missing.
    #[must_use]
    pub fn is_complete(&self, actor: ActorId) -> bool {
        self.actors.get(&actor).is_some_and(Runs::is_complete)
    }

    /// What these actors' dots here leave open, the end of each included.
    #[must_use]
    pub fn rest_of(&self, actors: impl IntoIterator<Item = ActorId>) -> Self {
        let rest = |actor| {
            let runs = self.actors.get(&actor);
            (actor, runs.map_or_else(|| Runs::EMPTY.rest(), Runs::rest))
        };
        Self {
            actors: actors.into_iter().map(rest).collect(),
        }
    }

    /// The dots of some actors.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(ActorId) -> bool) -> Self {
        let actors = self.actors.iter().filter(|(actor, _)| wanted(**actor));
        Self {
            actors: actors.map(|(&actor, runs)| (actor, runs.clone())).collect(),
        }
    }

    /// Its runs, the base of each actor first and its end last: actor, first counter, length.
    pub fn runs(&self) -> impl Iterator<Item = (ActorId, u64, u64)> + '_ {
        let of_actor = |(actor, runs): (&ActorId, &Runs)| {
            let actor = *actor;
            let runs: Vec<_> = runs
                .iter()
                .map(|run| (actor, run.first, length(run)))
                .collect();
            runs
        };
        self.actors.iter().flat_map(of_actor)
    }

    /// Enters all that `other` has.
    pub fn merge(&mut self, other: &Self) {
        for (actor, theirs) in &other.actors {
            let own = self.actors.entry(*actor).or_default();
            if own != theirs {
                *own = own.union(theirs);
            }
        }
    }

    /// The dots that both have: what several parts of a transfer may claim together.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let both = self.actors.iter().filter_map(|(actor, own)| {
            let both = own.intersection(other.actors.get(actor)?);
            (both != Runs::default()).then_some((*actor, both))
        });
        Self {
            actors: both.collect(),
        }
    }

    /// Whether every dot of `other` is here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.missing_from(other).next().is_none()
    }

    /// Whether every write that the context covers was applied here, gaps excluded.
    #[must_use]
    pub fn covers_context(&self, context: &VersionVector) -> bool {
        context
            .iter()
            .all(|(actor, counter)| self.known_up_to(actor, counter))
    }

    /// The runs of writes in `other` and not here: actor, first counter, length; in ascending order.
    pub fn missing_from<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (ActorId, u64, u64)> + 'a {
        other
            .actors
            .iter()
            .flat_map(move |(actor, theirs)| self.missing_of(*actor, theirs))
    }

    /// How many writes are in `other` and not here. The end of an actor that is closed there counts as one.
    #[must_use]
    pub fn count_missing_from(&self, other: &Self) -> u64 {
        let runs = self.missing_from(other);
        runs.fold(0, |sum, (_, first, length)| {
            sum.saturating_add(writes_in(first, length))
        })
    }

    /// How many actors it names.
    #[must_use]
    pub fn len_actors(&self) -> usize {
        self.actors.len()
    }

    /// Whether nothing was applied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// The actors, ascending.
    pub fn actors(&self) -> impl ExactSizeIterator<Item = ActorId> + '_ {
        self.actors.keys().copied()
    }

    /// As it travels: actors ascending, runs as first counter and length.
    #[must_use]
    pub fn to_wire(&self) -> Vec<ActorClock> {
        let entry = |(actor, runs): (&ActorId, &Runs)| ActorClock {
            actor: *actor,
            base: runs.base(),
            runs: runs
                .iter()
                .skip(usize::from(runs.base() > 0))
                .map(|run| (run.first, length(run)))
                .collect(),
        };
        self.actors.iter().map(entry).collect()
    }

    /// Reads what travelled.
    ///
    /// # Errors
    /// Actors not strictly ascending, an actor without a write, runs that are empty, reach beyond [`ENDLESS`], or
    /// touch each other or the base (an end may), or more than [`CLOCK_ACTORS_MAX`] actors or [`CLOCK_RUNS_MAX`] runs.
    pub fn from_wire(entries: &[ActorClock]) -> Result<Self, CausalityError> {
        if entries.len() > CLOCK_ACTORS_MAX {
            return Err(CausalityError::TooManyActors {
                found: entries.len(),
                max: CLOCK_ACTORS_MAX,
            });
        }
        if entries.iter().map(|entry| entry.runs.len()).sum::<usize>() > CLOCK_RUNS_MAX {
            return Err(CausalityError::TooManyRuns {
                max: CLOCK_RUNS_MAX,
            });
        }
        let mut clock = Self::new();
        for entry in entries {
            clock.push(entry.actor, entry.base, entry.runs.iter().copied())?;
        }
        Ok(clock)
    }

    /// Appends an actor, which must follow the last one in order.
    pub(crate) fn push(
        &mut self,
        actor: ActorId,
        base: u64,
        later: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), CausalityError> {
        if self
            .actors
            .last_key_value()
            .is_some_and(|(last, _)| *last >= actor)
        {
            return Err(CausalityError::ActorOrder(actor));
        }
        let runs = read_runs(actor, base, later)?;
        if runs == Runs::default() {
            return Err(CausalityError::EmptyActor(actor));
        }
        self.actors.insert(actor, runs);
        Ok(())
    }

    fn missing_of<'a>(
        &'a self,
        actor: ActorId,
        theirs: &'a Runs,
    ) -> impl Iterator<Item = (ActorId, u64, u64)> + 'a {
        static NOTHING: Runs = Runs::EMPTY;
        let own = self.actors.get(&actor).unwrap_or(&NOTHING);
        own.missing_from(theirs)
            .map(move |run| (actor, run.first, length(run)))
    }
}

/// Counters start at 1, so the length of a run always fits.
fn length(run: Run) -> u64 {
    run.last - run.first + 1
}

fn read_runs(
    actor: ActorId,
    base: u64,
    later: impl Iterator<Item = (u64, u64)>,
) -> Result<Runs, CausalityError> {
    let mut runs = Runs::EMPTY;
    let mut end = base;
    if base >= ENDLESS {
        return Err(CausalityError::BadRun {
            actor,
            first: 1,
            length: base,
        });
    }
    if base > 0 {
        runs.append(Run {
            first: 1,
            last: base,
        });
    }
    for (first, length) in later {
        let bad = CausalityError::BadRun {
            actor,
            first,
            length,
        };
        let last = length
            .checked_sub(1)
            .and_then(|more| first.checked_add(more));
        let Some(last) = last.filter(|&last| last <= ENDLESS) else {
            return Err(bad);
        };
        let apart = |before: u64| before > end || (before == end && last == ENDLESS);
        if end == ENDLESS || !first.checked_sub(1).is_some_and(apart) {
            return Err(bad);
        }
        runs.append(Run { first, last });
        end = last;
    }
    Ok(runs)
}
