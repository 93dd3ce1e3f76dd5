//! P4 and I3 at once: a read that starts after a write's ok returns it, or what replaced it knowingly,
//! and nothing that it replaced, whenever their answers must overlap:
//!
//! * strict quorums (no fallbacks on either side) with r + w > n, under any faults;
//! * the default quorums on plain keys, while at most one node is down and links work: then
//!   fallbacks change nothing.

use std::collections::BTreeSet;

use super::causal::Causal;
use super::{Evidence, Violation};
use crate::history::{Kind, Operation, WriteId};
use crate::sim::config::Profile;
use crate::sim::workload::is_plain;

/// Reads that were stale.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let operations = &evidence.history.operations;
    let reads = operations
        .iter()
        .filter(|read| read.is_ok() && !read.unsure && evidence.is_causal(read.key));
    reads
        .filter_map(|read| {
            let what = operations
                .iter()
                .filter(|write| must_meet(evidence, write, read))
                .find_map(|write| {
                    missed(causal, write, read).or_else(|| stale(causal, write, read))
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
fn must_meet(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
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
    let ordered = evidence.is_kept(write) && write.completed_us < read.invoked_us;
    let Some(n) = evidence.copies.get(&read.key.bucket) else {
        return false;
    };
    let overlap = u16::from(*r) + u16::from(*w) > u16::from(*n);
    let strict = !sloppy_write && !sloppy_read;
    let mild = match evidence.profile {
        Profile::Calm | Profile::OneDown => is_plain(read.key) && *n == 3,
        Profile::Storm => false,
    };
    write.key == read.key && ordered && overlap && (strict || mild)
}

fn missed(causal: &Causal<'_>, write: &Operation, read: &Operation) -> Option<String> {
    let id = write.write().filter(|_| !write.deletes())?;
    let shown: BTreeSet<WriteId> = read.shown.iter().map(|shown| shown.write).collect();
    let known = causal.accounts_for(id, read.key, &shown, read.completed_us);
    (!known).then(|| format!("stale, it misses {id}"))
}

fn stale(causal: &Causal<'_>, write: &Operation, read: &Operation) -> Option<String> {
    let id = write.write().filter(|_| !read.shown.is_empty())?;
    let replaced = causal.replaced_by(id);
    let mut shown = read.shown.iter().map(|shown| shown.write);
    let back = shown.find(|shown| replaced.contains(shown) && !causal.is_twin(*shown))?;
    Some(format!("stale, it shows {back}, which {id} replaced"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
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
}
