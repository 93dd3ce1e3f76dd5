//! What a majority excuses that is lost for good and given up, and nothing beyond it.
//!
//! * A write is lost with those who are gone while nobody else holds its dot, or what replaced it there. If none of those who
//!   are left ever gets it, it need not be there in the end; a read that ends after it was lost may miss it.
//! * What it had replaced may be there again then: nobody who is left knows that it was. That holds for deletes as for puts. What a
//!   write replaced that somebody else holds stays away: that one's context says so.
//! * A write with a holder that is left is kept, whoever else is gone. So is one of which no holder was ever seen: then the loss of
//!   a majority explains nothing.
//!
//! White box: holders are taken from batches (`sim/copies.rs`). Who is gone comes back with its old disk and is turned away, so
//! that its copies never count again.

use quorate_protocol::ids::Dot;

use super::Evidence;
use super::causal::Causal;
use crate::history::{Operation, WriteId};

/// A time in which nobody held a write's dot but members that are gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The write's dot.
    pub dot: Dot,
    /// From then on, microseconds.
    pub from_us: u64,
    /// One who is left had it then; the end of time if none ever did.
    pub until_us: u64,
}

fn meets(evidence: &Evidence<'_>, dot: Dot, (from_us, until_us): (u64, u64)) -> bool {
    let of_it = evidence.lost.iter().filter(|lost| lost.dot == dot);
    let mut times = of_it.map(|lost| (lost.from_us, lost.until_us));
    times.any(|(lost_us, found_us)| lost_us <= until_us && from_us <= found_us)
}

/// Whether a write is lost in the end.
pub(super) fn is_lost(evidence: &Evidence<'_>, write: &Operation) -> bool {
    let end = (u64::MAX, u64::MAX);
    write.dot.is_some_and(|dot| meets(evidence, dot, end))
}

/// Whether a read may have missed a write because nobody held it who is left.
pub(super) fn hides(evidence: &Evidence<'_>, write: &Operation, read: &Operation) -> bool {
    let time = (read.invoked_us, read.completed_us);
    write.dot.is_some_and(|dot| meets(evidence, dot, time))
}

/// The same where all that is known of the write are the dots under which it was stored or shown: all of them are lost.
pub(super) fn hides_all(
    (evidence, causal): (&Evidence<'_>, &Causal<'_>),
    write: WriteId,
    read: &Operation,
) -> bool {
    let time = (read.invoked_us, read.completed_us);
    let mut dots = causal.dots(write).peekable();
    dots.peek().is_some() && dots.all(|&dot| meets(evidence, dot, time))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches, dot};
    use super::super::{freshness, lost_writes, resurrection, sessions};
    use super::*;

    fn lost(number: u64, from_us: u64, until_us: u64) -> Lost {
        Lost {
            dot: dot(number),
            from_us,
            until_us,
        }
    }

    #[test]
    fn what_only_those_held_who_are_gone_may_be_lost_and_nothing_else() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, None);
        story.lost = vec![lost(1, 30, u64::MAX)];
        story.ends_with(&[2]);
        assert!(!catches(&story.judge(lost_writes::judge)));
        story.ends_with(&[1]);
        assert!(catches(&story.judge(lost_writes::judge)));
    }

    #[test]
    fn what_one_who_is_left_got_later_is_kept() {
        let mut story = Story::default();
        story.put(1, None);
        story.lost = vec![lost(1, 30, 40)];
        assert!(catches(&story.judge(lost_writes::judge)));
    }

    #[test]
    fn what_a_lost_delete_deleted_may_be_there_and_what_a_kept_one_did_may_not() {
        let mut story = Story::default();
        story.put(1, None);
        story.delete(2, Some(&[1]));
        story.ends_with(&[1]);
        assert!(catches(&story.judge(resurrection::judge)));
        story.lost = vec![lost(2, 30, u64::MAX)];
        assert!(!catches(&story.judge(resurrection::judge)));
        story.put(3, Some(&[1]));
        assert!(catches(&story.judge(resurrection::judge)));
    }

    #[test]
    fn a_read_may_miss_it_once_it_is_lost_and_not_before() {
        let mut story = Story::default();
        story.sloppy = false;
        story.put(1, None);
        story.read(&[]);
        story.lost = vec![lost(1, 16, u64::MAX)];
        assert!(catches(&story.judge(freshness::judge)));
        story.lost = vec![lost(1, 15, u64::MAX)];
        assert!(!catches(&story.judge(freshness::judge)));
        story.lost = vec![lost(1, 6, 9)];
        assert!(catches(&story.judge(freshness::judge)));
    }

    #[test]
    fn a_session_may_lose_what_is_lost() {
        let mut story = Story::default();
        story.session = true;
        story.put(1, None);
        story.put(2, None);
        story.read(&[2]);
        assert!(catches(&story.judge(sessions::judge)));
        story.lost = vec![lost(1, 6, u64::MAX)];
        assert!(!catches(&story.judge(sessions::judge)));
        story.read(&[]);
        assert!(catches(&story.judge(sessions::judge)));
    }
}
