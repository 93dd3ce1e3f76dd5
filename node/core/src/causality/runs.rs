//! A set of counters as few intervals: what a clock knows of one actor.

use quorate_protocol::peer::ENDLESS;

/// An interval of counters, both ends included, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Counters from 1: all up to `base`, and later runs that are ascending and touch neither the base
/// nor each other. So equal sets have equal forms.
///
/// A closed actor has an *end*: a last run, of everything from some counter on up to [`ENDLESS`]. It is kept
/// apart from the others also where it touches them, so that the last write that there was is still known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    base: u64,
    later: Vec<Run>,
    end: Option<u64>,
}

impl Runs {
    pub(super) const EMPTY: Self = Self {
        base: 0,
        later: Vec::new(),
        end: None,
    };

    /// Every counter, of an actor of which it is not known any more which was the last.
    pub(super) const ALL: Self = Self {
        base: 0,
        later: Vec::new(),
        end: Some(1),
    };

    /// All counters up to this one.
    pub(super) const fn up_to(base: u64) -> Self {
        Self {
            base,
            later: Vec::new(),
            end: None,
        }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn later(&self) -> &[Run] {
        &self.later
    }

    /// The first counter of the end, if the actor is closed.
    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    /// Whether nothing is missing and nothing can follow.
    pub(super) fn is_complete(&self) -> bool {
        self.later.is_empty() && self.end == Some(self.base + 1)
    }

    pub(super) fn contains(&self, counter: u64) -> bool {
        let after = self.later.partition_point(|run| run.first <= counter);
        (1..=self.base).contains(&counter)
            || (after > 0 && self.later[after - 1].last >= counter)
            || self.end.is_some_and(|first| first <= counter)
    }

    /// What is not in it, the end included: with both together the actor is closed and complete.
    pub(super) fn rest(&self) -> Self {
        let mut rest = Self::EMPTY;
        let mut next = 1;
        for run in self.iter() {
            if next < run.first {
                rest.append(Run {
                    first: next,
                    last: run.first - 1,
                });
            }
            next = run.last.saturating_add(1);
        }
        let first = self.end.unwrap_or(next);
        rest.append(Run {
            first,
            last: ENDLESS,
        });
        rest
    }

    /// Adds one counter; false if it was there or is 0.
    pub(super) fn add(&mut self, counter: u64) -> bool {
        if counter == 0 || self.contains(counter) {
            return false;
        }
        if counter - 1 == self.base {
            self.base = counter;
            self.absorb();
        } else {
            self.add_later(counter);
        }
        true
    }

    /// Appends a run to a set under construction: it must not start before the last one's start.
    pub(super) fn append(&mut self, run: Run) {
        if self.end.is_some() {
            return; // the end has all that may follow
        }
        if run.last >= ENDLESS {
            return self.close(run.first);
        }
        match self.later.last_mut() {
            Some(last) if run.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(run.last)
            }
            None if run.first <= self.base.saturating_add(1) => self.base = self.base.max(run.last),
            Some(_) | None => self.later.push(run),
        }
    }

    /// Everything from a counter on belongs to it: what reaches into that is cut off.
    fn close(&mut self, first: u64) {
        self.base = self.base.min(first - 1);
        self.later.retain(|run| run.first < first);
        if let Some(last) = self.later.last_mut() {
            last.last = last.last.min(first - 1);
        }
        self.end = Some(first);
    }

    /// All intervals: the base first, the end last.
    pub(super) fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        let base = (self.base > 0).then_some(Run {
            first: 1,
            last: self.base,
        });
        let end = self.end.map(|first| Run {
            first,
            last: ENDLESS,
        });
        base.into_iter()
            .chain(self.later.iter().copied())
            .chain(end)
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut union = Self::default();
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let from_left = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.first <= b.first,
                (Some(_), None) => true,
                (None, _) => false,
            };
            let Some(run) = (if from_left { left.next() } else { right.next() }) else {
                return union;
            };
            union.append(run);
        }
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        let (mut left, mut right) = (self.iter().peekable(), other.iter().peekable());
        while let (Some(&a), Some(&b)) = (left.peek(), right.peek()) {
            let run = Run {
                first: a.first.max(b.first),
                last: a.last.min(b.last),
            };
            if run.first <= run.last {
                both.append(run);
            }
            if a.last <= b.last {
                left.next();
            } else {
                right.next();
            }
        }
        both
    }

    /// The intervals of `other` that are not in `self`, in order.
    pub(super) fn missing_from<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Run> + 'a {
        let mut own = self.iter().peekable();
        let mut theirs = other.iter();
        let mut rest = theirs.next();
        std::iter::from_fn(move || {
            loop {
                let run = rest?;
                while own.peek().is_some_and(|own| own.last < run.first) {
                    own.next();
                }
                match own.peek().copied() {
                    Some(own) if own.first <= run.first => {
                        rest = after(run, own.last).or_else(|| theirs.next())
                    }
                    Some(own) if own.first <= run.last => {
                        rest = Some(Run {
                            first: own.first,
                            last: run.last,
                        });
                        return Some(Run {
                            first: run.first,
                            last: own.first - 1,
                        });
                    }
                    Some(_) | None => {
                        rest = theirs.next();
                        return Some(run);
                    }
                }
            }
        })
    }

    /// Takes the first later run into the base if they touch now.
    fn absorb(&mut self) {
        if self
            .later
            .first()
            .is_some_and(|run| run.first - 1 == self.base)
        {
            self.base = self.later.remove(0).last;
        }
    }

    /// Adds a counter that is new and touches no base.
    fn add_later(&mut self, counter: u64) {
        let at = self.later.partition_point(|run| run.first < counter);
        let grows_left = at > 0 && self.later[at - 1].last == counter - 1;
        let grows_right = self
            .later
            .get(at)
            .is_some_and(|run| run.first - 1 == counter);
        match (grows_left, grows_right) {
            (true, true) => self.later[at - 1].last = self.later.remove(at).last,
            (true, false) => self.later[at - 1].last = counter,
            (false, true) => self.later[at].first = counter,
            (false, false) => self.later.insert(
                at,
                Run {
                    first: counter,
                    last: counter,
                },
            ),
        }
    }
}

/// What of `run` lies after `last`.
fn after(run: Run, last: u64) -> Option<Run> {
    (last < run.last).then(|| Run {
        first: last + 1,
        last: run.last,
    })
}
