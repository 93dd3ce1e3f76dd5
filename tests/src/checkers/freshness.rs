//! P4 and I3 at once: a read that starts after a write's ok returns it, or what replaced it knowingly,
//! and nothing that it replaced.
//!
//! Judged is every pair of a write that ended ok and a later read that ended ok on one key of a bucket that
//! keeps siblings, with r + w > n,
//!
//! * under any faults, where neither side allowed fallbacks;
//! * with the default (sloppy) quorums as well, where links work and nobody stands still, so that only
//!   processes die (calm, one down, returning) and w >= 2.
//!
//! Left out are what a forced removal excuses (`removal`), what was lost with a majority (`given_up`), reads of a key of which a replica has lost its record without any sign and nobody could
//! find that out yet, reads that say of themselves that they may be stale (`maybe_stale`, `fallbacks_only`),
//! reads with `stale_ok`, and, with sloppy quorums:
//!
//! * writes with w = 1: the only holder's death hides them, which no quorum tolerates;
//! * in the first 200 ms after a write's ok, reads in whose course or since whose write two nodes were down
//!   together: copies beyond w may still be on their way when all w holders die;
//! * cuts, pauses and loss: both sides of a cut take writes, and a copy may miss a replica that counts as
//!   current. Then only strict quorums are judged.

use std::collections::{BTreeMap, BTreeSet};

use super::causal::Causal;
use super::{Evidence, Violation, given_up, removal};
use crate::history::{Key, Kind, Operation, WriteId};
use crate::sim::config::Profile;

/// By then every copy of a write has arrived where links work, microseconds.
const UNDER_WAY_US: u64 = 200_000;

/// Reads that were stale.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let operations = &evidence.history.operations;
    let mut writes: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
    for write in operations.iter().filter(|op| op.write().is_some()) {
        writes.entry(write.key).or_default().push(write);
    }
    let reads = operations
        .iter()
        .filter(|read| read.is_ok() && !read.unsure && evidence.is_causal(read.key))
        .filter(|read| !evidence.is_blind(read));
    reads
        .filter_map(|read| {
            let shown: BTreeSet<WriteId> = read.shown.iter().map(|shown| shown.write).collect();
            let what = writes
                .get(&read.key)?
                .iter()
                .filter(|write| must_meet(evidence, write, read))
                .find_map(|write| {
                    missed(causal, write, read, &shown).or_else(|| stale(causal, write, &shown))
                })?;
            Some(Violation::of(
                "P4",
                read.key,
                format!("{what}: {}", read.line()),
            ))
        })
        .collect()
}

/// Whether the read cannot have missed the write.
pub(super) fn must_meet(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
    let (
        Kind::Write {
            w,
            sloppy: sloppy_write,
            ..
        },
        Kind::Get {
            r,
            sloppy: sloppy_read,
            stale_ok: false,
            ..
        },
    ) = (&write.kind, &read.kind)
    else {
        return false;
    };
    if write.key != read.key || write.completed_us >= read.invoked_us {
        return false;
    }
    let Some(n) = evidence.copies.get(&read.key.bucket) else {
        return false;
    };
    if removal::excuses(evidence, write, read) || given_up::hides(evidence, write, read) {
        return false;
    }
    let overlap = u16::from(*r) + u16::from(*w) > u16::from(*n);
    let strict = !sloppy_write && !sloppy_read;
    overlap
        && evidence.was_promised(write)
        && (strict || (*w >= 2 && is_mild(evidence, write, read)))
}

/// Whether only processes died, and copies that were under way have arrived.
fn is_mild(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
    match evidence.profile {
        Profile::Calm | Profile::OneDown => true,
        Profile::Returning => {
            write.completed_us + UNDER_WAY_US <= read.invoked_us
                || !evidence.several_down(write.invoked_us, read.completed_us)
        }
        Profile::Storm => false,
    }
}

fn missed(
    causal: &Causal<'_>,
    write: &Operation,
    read: &Operation,
    shown: &BTreeSet<WriteId>,
) -> Option<String> {
    let id = write.write().filter(|_| !write.deletes())?;
    let known = causal.accounts_for(id, read.key, shown, read.completed_us);
    (!known).then(|| format!("stale, it misses {id}"))
}

fn stale(causal: &Causal<'_>, write: &Operation, shown: &BTreeSet<WriteId>) -> Option<String> {
    let id = write.write().filter(|_| !shown.is_empty())?;
    let replaced = causal.replaced_by(id);
    let mut shown = shown.iter();
    let back = shown.find(|shown| replaced.contains(shown) && !causal.is_twin(**shown))?;
    Some(format!("stale, it shows {back}, which {id} replaced"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{KEY, Story, catches};
    use super::super::{Blind, Outage};
    use super::*;

    #[test]
    fn a_read_after_the_ok_must_show_the_write() {
        let mut story = Story::default();
        story.put(1, None);
        story.read(&[1]);
        story.put(2, Some(&[1]));
        story.read(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[1]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_read_after_a_delete_must_not_show_what_it_deleted() {
        let mut story = Story::default();
        story.put(1, None);
        story.delete(2, Some(&[1]));
        story.read(&[]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[1]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn in_a_storm_only_strict_quorums_must_meet() {
        let mut story = Story::default();
        story.profile = Profile::Storm;
        story.put(1, None);
        story.read(&[]);
        assert!(!catches(&story.judge(judge)));
        story.sloppy = false;
        story.put(2, None);
        story.r = 1;
        story.read(&[]);
        assert!(!catches(&story.judge(judge)));
        story.r = 2;
        story.read(&[]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn one_answer_is_enough_where_all_stored_the_write() {
        let mut story = Story::default();
        (story.w, story.r) = (3, 1);
        story.put(1, None);
        story.read(&[]);
        assert!(catches(&story.judge(judge)));
        let mut story = Story::default();
        (story.w, story.r) = (1, 3);
        story.put(1, None);
        story.read(&[]);
        assert!(!catches(&story.judge(judge)));
    }

    #[test]
    fn who_lost_the_value_excuses_only_a_read_that_nobody_else_answered() {
        let mut story = Story::default();
        story.put(1, None);
        story.blind = vec![Blind {
            key: KEY,
            from_us: 0,
            until_us: 99,
        }];
        story.read(&[]).alone = true;
        assert!(!catches(&story.judge(judge)));
        story.read(&[]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn where_two_died_together_copies_under_way_are_given_time() {
        let mut story = Story::default();
        story.profile = Profile::Returning;
        let outage = |node| Outage {
            node,
            from_us: 2,
            until_us: 9,
        };
        story.outages = vec![outage(1)];
        story.put(1, None);
        story.read(&[]);
        assert!(catches(&story.judge(judge)));
        story.outages = vec![outage(1), outage(2)];
        assert!(!catches(&story.judge(judge)));
        story.read(&[]).invoked_us += UNDER_WAY_US;
        assert!(catches(&story.judge(judge)));
    }
}
