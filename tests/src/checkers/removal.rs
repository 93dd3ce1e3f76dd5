//! What a forced removal excuses, and nothing beyond it (rule 13 of ring changes).
//!
//! * A read with r = 1 that nobody answered but a member that had been removed and had not heard of it, about a write that
//!   ended after the removal was decided.
//! * Any read, about a write of which at that time nobody had a copy but members that had been removed by force.
//!
//! Reads with r >= 2 are safe while at most one such member is in a set that is read; no more are removed at a time.

use quorate_protocol::ids::Dot;
use quorate_ring::NodeId;

use super::Evidence;
use crate::history::{Kind, Operation};

/// A time in which a member had been removed by force and did not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unaware {
    /// The member.
    pub node: NodeId,
    /// The removal was in force somewhere, microseconds.
    pub from_us: u64,
    /// The member heard of it; the end of time if it never did.
    pub until_us: u64,
}

/// A time in which only members held an acknowledged write that had been removed by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The write's dot.
    pub dot: Dot,
    /// From then on, microseconds.
    pub from_us: u64,
    /// Another node had it then; the end of time if none ever did.
    pub until_us: u64,
}

/// Whether a read may have missed a write because of a forced removal.
pub(super) fn excuses(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
    is_read_at_one_unaware(evidence, write, read) || is_missing(evidence, write, read)
}

fn is_read_at_one_unaware(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
    let (Kind::Get { r: 1, .. }, Some(only)) = (&read.kind, read.only) else {
        return false;
    };
    evidence.unaware.iter().any(|unaware| {
        unaware.node == only
            && unaware.from_us <= write.completed_us
            && unaware.from_us <= read.completed_us
            && read.invoked_us <= unaware.until_us
    })
}

fn is_missing(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
    let mut missing = evidence.missing.iter();
    missing.any(|missing| {
        write.dot == Some(missing.dot)
            && missing.from_us <= read.completed_us
            && read.invoked_us <= missing.until_us
    })
}

#[cfg(test)]
mod tests {
    use super::super::freshness::judge;
    use super::super::testing::{Story, catches, dot};
    use super::*;

    const REMOVED: NodeId = NodeId::new(4);

    fn story() -> Story {
        let mut story = Story::default();
        (story.w, story.r) = (3, 1);
        story.unaware = vec![Unaware {
            node: REMOVED,
            from_us: 2,
            until_us: 90,
        }];
        story
    }

    #[test]
    fn one_that_was_removed_and_does_not_know_it_may_answer_alone_without_a_later_write() {
        let mut story = story();
        story.put(1, None);
        story.read(&[]).only = Some(REMOVED);
        assert!(!catches(&story.judge(judge)));
        story.read(&[]).only = Some(NodeId::new(5));
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn it_must_show_what_was_written_before_its_removal_and_once_it_has_heard_of_it_everything() {
        for (from_us, until_us) in [(6, 90), (2, 9)] {
            let mut story = story();
            story.unaware[0] = Unaware {
                node: REMOVED,
                from_us,
                until_us,
            };
            story.put(1, None);
            story.read(&[]).only = Some(REMOVED);
            assert!(catches(&story.judge(judge)));
        }
    }

    #[test]
    fn two_answers_are_never_stale() {
        let mut story = story();
        story.r = 2;
        story.put(1, None);
        story.read(&[]).only = Some(REMOVED);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn what_only_the_removed_hold_may_be_missed_until_somebody_else_has_it() {
        let mut story = Story::default();
        story.put(1, None);
        story.read(&[]);
        let missing = |until_us| Missing {
            dot: dot(1),
            from_us: 2,
            until_us,
        };
        story.missing = vec![missing(12)];
        assert!(!catches(&story.judge(judge)));
        story.missing = vec![missing(8)];
        assert!(catches(&story.judge(judge)));
    }
}
