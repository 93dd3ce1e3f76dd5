//! I3: no resurrection. What an acknowledged write or delete replaced is not there in the end,
//! whatever hint, replica or message turned up late.
//!
//! A request that was carried out twice is left out: its second time is a later write. Source: Riak's
//! `kv679_tombstone` and Cassandra's `gc_grace`.

use super::causal::Causal;
use super::{Evidence, Violation};

/// What came back.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for operation in &evidence.history.operations {
        let Some(write) = operation.write().filter(|_| evidence.is_kept(operation)) else {
            continue;
        };
        let replaced = causal.replaced_by(write);
        for shown in evidence.final_of(operation.key) {
            if replaced.contains(&shown.write) && !causal.is_twin(shown.write) {
                let what = format!(
                    "{} ({}) is there in the end, replaced by {}",
                    shown.write,
                    shown.dot,
                    operation.line()
                );
                violations.push(Violation::of("I3", operation.key, what));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;
    use crate::history::Outcome;

    #[test]
    fn what_was_deleted_must_not_be_there() {
        let mut story = Story::default();
        story.put(1, None);
        story.delete(2, Some(&[1]));
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[1]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn what_was_replaced_long_ago_must_not_be_there() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, Some(&[1])).outcome = Outcome::Unknown;
        story.put(3, Some(&[2]));
        story.ends_with(&[1, 3]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_second_time_of_the_same_request_is_a_later_write() {
        let mut story = Story::default();
        story.put(1, None);
        story.read_as(&[(1, 50)]);
        story.delete(2, Some(&[1]));
        story.ends_with(&[1]);
        assert!(!catches(&story.judge(judge)));
    }
}
