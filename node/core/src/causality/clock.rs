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
///
/// Where it is known that nothing of any actor of the earlier generations is missing or can follow, they are *folded*: one
/// entry, under [`ActorId::FOLDED`] and with the number of these generations as its base, stands for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    actors: BTreeMap<ActorId, Runs>,
}

/// All that there may be of an actor.
static ALL: Runs = Runs::ALL;

impl Clock {
    /// The clock of a vnode that has applied nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The clock that knows all actors of this many generations, the first ones, to be at their end.
    #[must_use]
    pub fn of_folded(generations: u64) -> Self {
        let mut clock = Self::new();
        if generations > 0 {
            let runs = Runs::up_to(generations);
            clock.actors.insert(ActorId::FOLDED, runs);
        }
        clock
    }

    /// How many generations are folded: all actors up to this one are at their end, and nothing of them is missing.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.actors.get(&ActorId::FOLDED).map_or(0, Runs::base)
    }

    /// Whether an actor is among those that are folded.
    #[must_use]
    pub fn has_folded(&self, actor: ActorId) -> bool {
        let folded = self.folded();
        folded > 0 && actor != ActorId::FOLDED && actor.generation() <= folded
    }

    /// Actors of so many generations that something may be missing of.
    pub fn open_of(&self, generations: u64) -> impl Iterator<Item = ActorId> + '_ {
        let of_them = self
            .known()
            .take_while(move |(actor, _)| actor.generation() <= generations);
        let open = of_them.filter(|(_, runs)| !runs.is_complete());
        open.map(|(actor, _)| actor)
    }

    /// What is known of an actor; nothing of the entry for those that are folded.
    fn of(&self, actor: ActorId) -> Option<&Runs> {
        if self.has_folded(actor) {
            return Some(&ALL);
        }
        let runs = self.actors.get(&actor);
        runs.filter(|_| actor != ActorId::FOLDED)
    }

    /// The actors that have entries of their own, ascending.
    fn known(&self) -> impl Iterator<Item = (ActorId, &Runs)> {
        let actors = self.actors.iter().map(|(&actor, runs)| (actor, runs));
        actors.skip(usize::from(self.folded() > 0))
    }

    /// Whether the write was applied.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        self.of(dot.actor)
            .is_some_and(|runs| runs.contains(dot.counter))
    }

    /// Enters one write; true if it is new. A counter of 0 names no write, nor does [`ENDLESS`] or one beyond, and
    /// is never new; nor is any of nobody's.
    pub fn add(&mut self, dot: Dot) -> bool {
        (1..ENDLESS).contains(&dot.counter)
            && dot.actor != ActorId::FOLDED
            && !self.has_folded(dot.actor)
            && self.actors.entry(dot.actor).or_default().add(dot.counter)
    }

    /// The highest counter up to which all of the actor's writes were applied; 0 if the first is missing, and of an
    /// actor that is folded.
    #[must_use]
    pub fn base(&self, actor: ActorId) -> u64 {
        self.of(actor).map_or(0, Runs::base)
    }

    /// The highest counter applied of the actor, whatever is missing before it; 0 if none, or if the actor is folded.
    /// The end of a closed actor does not count.
    #[must_use]
    pub fn last(&self, actor: ActorId) -> u64 {
        let runs = self.of(actor);
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
        self.of(actor).is_some_and(|runs| runs.end().is_some())
    }

    /// Whether the actor is closed and none of its writes is missing.
    #[must_use]
    pub fn is_complete(&self, actor: ActorId) -> bool {
        self.of(actor).is_some_and(Runs::is_complete)
    }

    /// What these actors' dots here leave open, the end of each included.
    #[must_use]
    pub fn rest_of(&self, actors: impl IntoIterator<Item = ActorId>) -> Self {
        let rest = |actor| {
            let runs = self.of(actor);
            (actor, runs.map_or_else(|| Runs::EMPTY.rest(), Runs::rest))
        };
        let actors = actors.into_iter().filter(|&actor| actor != ActorId::FOLDED);
        Self {
            actors: actors.map(rest).collect(),
        }
    }

    /// The dots of some actors, of those that have entries of their own.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(ActorId) -> bool) -> Self {
        let actors = self.known().filter(|(actor, _)| wanted(*actor));
        Self {
            actors: actors.map(|(actor, runs)| (actor, runs.clone())).collect(),
        }
    }

    /// Without what only says that an actor is at its end, of so many generations.
    #[must_use]
    pub fn without_ends_of(&self, generations: u64) -> Self {
        self.only(|actor| {
            let only_end = |runs: &Runs| runs.base() == 0 && runs.later().is_empty();
            actor.generation() > generations || !self.of(actor).is_some_and(only_end)
        })
    }

    /// Its runs, the base of each actor first and its end last: actor, first counter, length; of actors that have
    /// entries of their own.
    pub fn runs(&self) -> impl Iterator<Item = (ActorId, u64, u64)> + '_ {
        let of_actor = |(actor, runs): (ActorId, &Runs)| {
            let runs: Vec<_> = runs
                .iter()
                .map(|run| (actor, run.first, length(run)))
                .collect();
            runs
        };
        self.known().flat_map(of_actor)
    }

    /// Enters all that `other` has.
    pub fn merge(&mut self, other: &Self) {
        let folded = self.folded().max(other.folded());
        for (actor, theirs) in &other.actors {
            if self.has_folded(*actor) || other.has_folded(*actor) {
                continue;
            }
            let own = self.actors.entry(*actor).or_default();
            if own != theirs {
                *own = own.union(theirs);
            }
        }
        if other.folded() > 0 {
            let stays = |actor: &ActorId| *actor == ActorId::FOLDED || actor.generation() > folded;
            self.actors.retain(|actor, _| stays(actor));
        }
    }

    /// The dots that both have: what several parts of a transfer may claim together.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let both = self.known().filter_map(|(actor, own)| {
            let both = own.intersection(other.of(actor)?);
            (both != Runs::default()).then_some((actor, both))
        });
        let folded = Self::of_folded(self.folded().min(other.folded()));
        let mut actors = folded.actors;
        actors.extend(both);
        let folded_here = other.known().filter(|(actor, _)| self.has_folded(*actor));
        actors.extend(folded_here.map(|(actor, theirs)| (actor, theirs.clone())));
        Self { actors }
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

    /// How many entries it has.
    #[must_use]
    pub fn len_actors(&self) -> usize {
        self.actors.len()
    }

    /// Whether nothing was applied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// The actors that have entries of their own, ascending.
    pub fn actors(&self) -> impl Iterator<Item = ActorId> + '_ {
        self.known().map(|(actor, _)| actor)
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
        let is_fold = actor == ActorId::FOLDED;
        let bad_fold = is_fold && (base > u64::from(u16::MAX) || runs != Runs::up_to(base));
        if bad_fold || self.has_folded(actor) {
            return Err(CausalityError::BadFold(actor));
        }
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
        let own = match actor {
            ActorId::FOLDED => self.actors.get(&actor),
            _ => self.of(actor),
        };
        let own = own.unwrap_or(&NOTHING);
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
