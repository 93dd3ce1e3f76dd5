//! I8, buckets that show the last write: the largest (time stamp, dot) wins, and a delete removes what it saw
//! and nothing else.
//!
//! White box in one respect: the stamp of each write is taken from what nodes stored; which writes there are
//! and what they had seen, the history says. Judged are, on keys of such buckets:
//!
//! * **the end**: of the puts that ended ok and that nobody who knew them wrote over or deleted, the
//!   largest has won, or a still larger put whose outcome is unknown or that was written over;
//! * **every read that must meet a write** (see `freshness`): what it shows is no smaller than that write, unless
//!   the write was written over or deleted knowingly;
//! * **the order**: a put that begins after another one ended ok has the larger stamp, once the time between
//!   them is longer than clocks differed in the run, and 2 ms;
//! * **one version**: an answer shows no more than one.
//!
//! Stamps are judged in runs whose clocks never differ by more than replicas believe each other, a second.
//! Left out are puts that a delete without a context may have wiped: what such a delete read, clients cannot
//! know; puts that are smaller than one which a later writer saw: an answer shows the largest, and its context
//! speaks for all that stood beside it; and requests carried out twice, whose second time is a later write.
//! Sources: Garage issue 543 and commit c82d91c6, where puts and deletes were ordered by local clocks.

use std::collections::BTreeSet;

use quorate_protocol::ids::Dot;
use quorate_protocol::limits::CLOCK_AHEAD_MS_MAX;

use super::causal::Causal;
use super::freshness::must_meet;
use super::{Evidence, Violation};
use crate::sim::history::{Key, Operation, Outcome, Shown, WriteId};

/// What decides between two puts.
type Rank = (u64, Dot);

/// What stamps are finer than, and what a request needs at least to its coordinator, milliseconds.
const GRAIN_MS: u64 = 2;

/// Winners that should not have won.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let by_key = evidence.operations_by_key();
    let by_stamp = by_key.iter().filter(|(key, _)| !evidence.is_causal(**key));
    by_stamp
        .flat_map(|(&key, operations)| {
            let judge = Judge {
                evidence,
                causal,
                key,
                operations,
            };
            let stamps_count = evidence.skew_ms <= CLOCK_AHEAD_MS_MAX;
            let by_stamps =
                stamps_count.then(|| [judge.the_end(), judge.the_order(), judge.reads()]);
            let found = by_stamps.into_iter().flatten().flatten();
            found.chain(judge.answers()).collect::<Vec<_>>()
        })
        .map(|(key, what)| Violation::of("I8", key, what))
        .collect()
}

struct Judge<'a> {
    evidence: &'a Evidence<'a>,
    causal: &'a Causal<'a>,
    key: Key,
    operations: &'a [&'a Operation],
}

type Found = Option<(Key, String)>;

impl Judge<'_> {
    fn rank(&self, dot: Dot) -> Option<Rank> {
        self.evidence.stamps.get(&dot).map(|&stamp| (stamp, dot))
    }

    /// Puts that ended ok and must be known, with their ranks. Twins have more than one.
    fn puts(&self) -> impl Iterator<Item = (&Operation, WriteId, Rank)> {
        self.operations.iter().filter_map(|put| {
            let write = put.write().filter(|_| !put.deletes())?;
            let alone = self.evidence.is_kept(put) && !self.causal.is_twin(write);
            let rank = put.dot.and_then(|dot| self.rank(dot))?;
            alone.then_some((*put, write, rank))
        })
    }

    /// Whether somebody who had seen a put, or a larger one that may have hidden it, wrote over it or
    /// deleted it before a time, or may have.
    fn is_covered(&self, put: &Operation, (write, rank): (WriteId, Rank), at_us: u64) -> bool {
        let hides = |seen: &WriteId| {
            let larger = |dot: &Dot| self.rank(*dot).is_some_and(|seen| seen >= rank);
            *seen == write || self.causal.dots(*seen).any(larger)
        };
        // A larger put that its coordinator carried out over this one, and that is gone since.
        let expired = |other: &&Operation| {
            let other = other
                .write()
                .filter(|other| self.causal.may_have_expired(*other, at_us));
            let unknown = |other| self.causal.dots(other).next().is_none();
            other.is_some_and(|other| unknown(other) || hides(&other))
        };
        if self.operations.iter().any(expired) {
            return true;
        }
        let nothing = BTreeSet::new();
        let wiped = |at_us| self.causal.accounts_for(write, self.key, &nothing, at_us);
        wiped(at_us)
            || self.operations.iter().any(|other| {
                let in_time = other.invoked_us <= at_us && put.invoked_us < other.invoked_us;
                let done = !matches!(other.outcome, Outcome::Failed(_));
                let over = other.write().filter(|_| in_time && done);
                over.is_some_and(|over| self.causal.replaced_by(over).iter().any(hides))
            })
    }

    fn largest<'s>(&self, shown: impl IntoIterator<Item = &'s Shown>) -> Option<Rank> {
        shown.into_iter().filter_map(|s| self.rank(s.dot)).max()
    }

    fn the_end(&self) -> Found {
        let (put, _, must) = self
            .puts()
            .filter(|(put, write, rank)| !self.is_covered(put, (*write, *rank), u64::MAX))
            .max_by_key(|(_, _, rank)| *rank)?;
        let end = self.evidence.final_of(self.key);
        let wrong = self.largest(&end).is_none_or(|winner| winner < must);
        wrong.then(|| {
            let what = format!(
                "the largest of all is not what the end shows, {end:?}: {}",
                put.line()
            );
            (self.key, what)
        })
    }

    fn the_order(&self) -> Found {
        let apart_us = (self.evidence.skew_ms + GRAIN_MS) * 1000;
        let mut puts: Vec<(&Operation, WriteId, Rank)> = self.puts().collect();
        puts.sort_by_key(|(put, ..)| put.completed_us);
        // For each put, the largest of all that ended early enough before it began.
        let largest_before = |later: &Operation| {
            let ended = puts
                .iter()
                .take_while(|(put, ..)| put.completed_us + apart_us < later.invoked_us);
            ended.max_by_key(|(_, _, rank)| *rank)
        };
        puts.iter().find_map(|(later, _, rank)| {
            let (earlier, _, larger) = largest_before(later)?;
            (larger > rank).then(|| {
                let what = format!(
                    "it began after {} had ended, and has the smaller stamp: {}",
                    earlier.line().trim(),
                    later.line()
                );
                (self.key, what)
            })
        })
    }

    fn reads(&self) -> Found {
        let puts: Vec<(&Operation, WriteId, Rank)> = self.puts().collect();
        let sure = |read: &&&Operation| read.is_ok() && !read.unsure && read.write().is_none();
        self.operations.iter().filter(sure).find_map(|read| {
            let shown = self.largest(&read.shown);
            let missed = puts.iter().find(|(put, write, rank)| {
                shown.is_none_or(|shown| shown < *rank)
                    && must_meet(self.evidence, put, read)
                    && !self.is_covered(put, (*write, *rank), read.completed_us)
            })?;
            let (_, write, _) = missed;
            Some((
                self.key,
                format!("stale, it misses {write}: {}", read.line()),
            ))
        })
    }

    fn answers(&self) -> Found {
        let many = |read: &&&Operation| read.shown.len() > 1;
        let read = self.operations.iter().find(many)?;
        Some((self.key, format!("more than one version: {}", read.line())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;

    fn story() -> Story {
        let mut story = Story::default();
        story.by_stamp = true;
        story
    }

    #[test]
    fn the_largest_stamp_wins_in_the_end() {
        let mut story = story();
        story.stamps = vec![(1, 20), (2, 30)];
        story.put(1, None);
        story.put(2, None);
        story.ends_with(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[1]);
        assert!(catches(&story.judge(judge)));
        story.ends_with(&[]);
        assert!(catches(&story.judge(judge)));
        story.ends_with(&[1, 2]);
        assert!(!catches(&story.judge(judge)));
    }

    #[test]
    fn what_was_written_over_knowingly_need_not_win_and_what_is_unknown_may() {
        let mut story = story();
        story.stamps = vec![(1, 30), (2, 20), (3, 40)];
        story.put(1, None);
        story.put(2, Some(&[1]));
        story.put(3, None).outcome = Outcome::Unknown;
        story.ends_with(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[2, 3]);
        assert!(!catches(&story.judge(judge)));
    }

    #[test]
    fn a_delete_removes_what_it_saw_and_nothing_else() {
        let mut story = story();
        story.stamps = vec![(1, 20), (2, 30)];
        story.put(1, None);
        story.put(2, None);
        story.delete(3, Some(&[1]));
        story.ends_with(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_put_that_begins_later_has_the_larger_stamp_unless_clocks_differ_by_more() {
        let mut story = story();
        story.stamps = vec![(1, 30), (2, 20)];
        story.put(1, None);
        story.ends_with(&[1, 2]);
        story.put(2, None).invoked_us = 1_000_000;
        assert!(catches(&story.judge(judge)));
        story.skew_ms = CLOCK_AHEAD_MS_MAX;
        assert!(!catches(&story.judge(judge)));
    }

    #[test]
    fn a_read_shows_one_version_and_none_older_than_what_it_must_meet() {
        let mut story = story();
        story.stamps = vec![(1, 20), (2, 30)];
        story.ends_with(&[2]);
        story.put(1, None);
        story.put(2, None);
        story.read(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[1, 2]);
        assert!(catches(&story.judge(judge)));
        let mut story = self::story();
        story.stamps = vec![(1, 20), (2, 30)];
        story.ends_with(&[2]);
        story.put(1, None);
        story.put(2, None);
        story.read(&[1]);
        assert!(catches(&story.judge(judge)));
    }
}
