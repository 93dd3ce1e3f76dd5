//! Listings of a partition's keys: never a key that nobody wrote, and every key whose write was
//! acknowledged before, by so many primaries that one of the listing's replicas has it, unless somebody
//! deletes the key. That a quiet cluster lists exactly the keys that have values is judged where a run ends.
//!
//! Source: keys that listings of other stores missed while replicas came back.

use super::causal::Causal;
use super::{Evidence, Violation, given_up};
use crate::history::{Kind, Operation, Outcome};

/// Listings that are wrong.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let history = evidence.history;
    let mut violations = Vec::new();
    for (&at, listed) in &history.listed {
        let Some(listing) = history.operations.get(at) else {
            continue;
        };
        let Kind::List { here, r } = &listing.kind else {
            continue;
        };
        let strange = listed.difference(here).copied();
        let unwritten = here.intersection(listed).copied();
        let unwritten = unwritten.filter(|&number| !may_be_there(evidence, listing, number));
        let named = || here.intersection(listed).copied();
        let expired = named().filter(|&number| has_expired(evidence, listing, number));
        let missing = here.difference(listed).copied();
        let missing =
            missing.filter(|&number| must_be_there((evidence, causal), listing, number, *r));
        let all = [
            (
                "names a key of another partition",
                strange.collect::<Vec<_>>(),
            ),
            ("names a key that was never written", unwritten.collect()),
            ("misses a key that was acknowledged", missing.collect()),
            (
                "names a key of which everything has expired",
                expired.collect(),
            ),
        ];
        for (what, numbers) in all {
            violations.extend(numbers.into_iter().map(|number| {
                let mut key = listing.key;
                key.number = number;
                Violation::of("listing", key, format!("{what}: {}", listing.line()))
            }));
        }
    }
    violations
}

fn of_key<'a>(
    evidence: &'a Evidence<'_>,
    listing: &Operation,
    number: u32,
) -> impl Iterator<Item = &'a Operation> {
    let bucket = listing.key.bucket;
    let operations = evidence.history.operations.iter();
    operations.filter(move |op| (op.key.bucket, op.key.number) == (bucket, number))
}

/// Whether somebody had begun to write the key by then.
fn may_be_there(evidence: &Evidence<'_>, listing: &Operation, number: u32) -> bool {
    of_key(evidence, listing, number).any(|op| {
        let put = op.write().is_some() && !op.deletes();
        let refused = matches!(op.outcome, Outcome::Failed(_));
        put && !refused && op.invoked_us <= listing.completed_us
    })
}

/// Whether somebody wrote the key, and all that was written by then had expired when the listing began.
fn has_expired(evidence: &Evidence<'_>, listing: &Operation, number: u32) -> bool {
    let done = |op: &&Operation| {
        let put = op.write().is_some() && !op.deletes();
        put && !matches!(op.outcome, Outcome::Failed(_)) && op.invoked_us <= listing.completed_us
    };
    let expiries = |op: &Operation| evidence.expiries.get(&op.write()?);
    let gone = |op: &Operation| {
        // What no node stored is not there either.
        expiries(op).is_none_or(|expiries| expiries.hidden_by_us < listing.invoked_us)
    };
    let puts = || of_key(evidence, listing, number).filter(done);
    puts().any(|op| expiries(op).is_some()) && puts().all(gone)
}

fn must_be_there(
    (evidence, causal): (&Evidence<'_>, &Causal<'_>),
    listing: &Operation,
    number: u32,
    r: u8,
) -> bool {
    let Some(&n) = evidence.copies.get(&listing.key.bucket) else {
        return false;
    };
    let expired = |op: &Operation| {
        op.write()
            .is_some_and(|write| causal.may_have_expired(write, listing.completed_us))
    };
    let deleted = of_key(evidence, listing, number)
        .any(|op| op.deletes() && op.invoked_us <= listing.completed_us || expired(op));
    let acknowledged = of_key(evidence, listing, number).any(|op| {
        let Kind::Write {
            w, sloppy: false, ..
        } = op.kind
        else {
            return false;
        };
        let meets = u16::from(w) + u16::from(r) > u16::from(n);
        let promised = evidence.was_promised(op) && !given_up::hides(evidence, op, listing);
        meets && promised && op.completed_us < listing.invoked_us
    });
    let mut key = listing.key;
    key.number = number;
    acknowledged && !deleted && !evidence.is_blind_to(key, listing)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KEY, Story, catches};
    use super::*;

    #[test]
    fn a_key_that_nobody_wrote_and_one_of_elsewhere_are_found() {
        let mut story = Story::default();
        story.list(&[KEY.number], &[]);
        assert!(!catches(&story.judge(judge)));
        story.list(&[KEY.number], &[KEY.number]);
        assert!(catches(&story.judge(judge)));
        let mut story = Story::default();
        story.put(1, None);
        story.list(&[KEY.number], &[KEY.number]);
        assert!(!catches(&story.judge(judge)));
        story.list(&[KEY.number], &[KEY.number, 999]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn an_acknowledged_key_is_listed_unless_it_may_be_deleted() {
        let mut story = Story::default();
        story.put(1, None);
        story.list(&[KEY.number], &[]);
        assert!(!catches(&story.judge(judge)), "fallbacks may hold it");
        story.sloppy = false;
        story.put(2, None);
        story.list(&[KEY.number], &[KEY.number]);
        assert!(!catches(&story.judge(judge)));
        story.list(&[KEY.number], &[]);
        assert!(catches(&story.judge(judge)));
        let mut story = Story::default();
        story.sloppy = false;
        story.put(1, None);
        story.delete(2, Some(&[1]));
        story.list(&[KEY.number], &[]);
        assert!(!catches(&story.judge(judge)));
    }
}
