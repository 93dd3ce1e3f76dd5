//! I1: no acknowledged write is lost unless a later one replaced it knowingly. After healing, every
//! write w that ended ok is in `cl(F(k))` or in the closure of k's deletes.
//!
//! Where power went off, this holds for writes that asked for two copies or a durable one: the fault
//! schedule never takes two holders of one write. Source: P1, and riak_kv issue 679.

use super::causal::Causal;
use super::{Evidence, Violation};
use crate::history::{Operation, WriteId};

/// What is lost.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let lost = |operation: &&Operation| {
        let Some(write) = promised(operation, evidence) else {
            return false;
        };
        let found = evidence.final_of(operation.key);
        let found = found.iter().map(|shown| shown.write).collect();
        !causal.accounts_for(write, operation.key, &found, u64::MAX)
    };
    let operations = evidence.history.operations.iter();
    operations
        .filter(|operation| evidence.is_causal(operation.key))
        .filter(lost)
        .map(|operation| {
            let what = format!(
                "acknowledged and then lost, the end shows {:?}: {}",
                evidence.final_of(operation.key),
                operation.line()
            );
            Violation::of("I1", operation.key, what)
        })
        .collect()
}

/// The write, if it must have survived. A delete leaves nothing to be found.
fn promised(operation: &Operation, evidence: &Evidence<'_>) -> Option<WriteId> {
    let write = operation.write().filter(|_| !operation.deletes())?;
    evidence.is_kept(operation).then_some(write)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;
    use crate::history::Outcome;

    #[test]
    fn a_write_that_is_gone_without_a_successor_is_lost() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, None);
        story.ends_with(&[1, 2]);
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[2]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_write_that_was_replaced_or_deleted_is_not_lost() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, Some(&[1]));
        story.ends_with(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.delete(3, Some(&[2]));
        story.ends_with(&[]);
        assert!(!catches(&story.judge(judge)));
    }

    #[test]
    fn a_delete_of_something_else_excuses_nothing() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, None);
        story.delete(3, Some(&[2]));
        story.ends_with(&[]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn an_unknown_outcome_and_a_single_unsynced_copy_promise_nothing() {
        let mut story = Story::default();
        story.put(1, None).outcome = Outcome::Unknown;
        assert!(!catches(&story.judge(judge)));
        (story.w, story.power_lost) = (1, true);
        story.put(2, None);
        assert!(!catches(&story.judge(judge)));
        story.w = 2;
        story.put(3, None);
        assert!(catches(&story.judge(judge)));
    }
}
