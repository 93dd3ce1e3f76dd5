//! I5, context sanity: a write under a context that no node gave out for its key, be it cut short,
//! altered, made up or of another key, is refused and leaves nothing behind: it never supersedes what its
//! writer did not read.
//!
//! Source: sharp edge of any client-held context; a token of one key, used on another, deletes what
//! nobody read. That contexts which were given out stand for what came with them is judged by the
//! checkers of lost writes and false siblings.

use std::collections::BTreeSet;

use super::causal::Causal;
use super::{Evidence, Violation};
use crate::history::{Operation, WriteId};

/// Forged contexts that worked.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, _: &Causal<'_>) -> Vec<Violation> {
    let operations = &evidence.history.operations;
    let forged = evidence.history.forged.iter();
    let forged: Vec<&Operation> = forged.filter_map(|&at| operations.get(at)).collect();
    let writes: BTreeSet<WriteId> = forged.iter().filter_map(|op| op.write()).collect();
    let accepted = forged.iter().filter(|op| op.is_ok()).map(|op| {
        let what = format!("a forged context was accepted: {}", op.line());
        Violation::of("I5", op.key, what)
    });
    let read = operations.iter().filter_map(|op| {
        let seen = op
            .shown
            .iter()
            .find(|shown| writes.contains(&shown.write))?;
        let what = format!("{} came under a forged context and is read", seen.write);
        Some(Violation::of("I5", op.key, what))
    });
    let kept = evidence.finals.iter().filter_map(|(key, shown)| {
        let kept = shown.iter().find(|shown| writes.contains(&shown.write))?;
        let what = format!("{} came under a forged context and is kept", kept.write);
        Some(Violation::of("I5", *key, what))
    });
    accepted.chain(read).chain(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;
    use crate::history::Outcome;
    use quorate_protocol::error::ErrorCode;

    #[test]
    fn a_forged_context_must_be_refused() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, Some(&[])).outcome = Outcome::Failed(ErrorCode::BadContext);
        story.forge(1);
        assert!(!catches(&story.judge(judge)));
        story.delete(3, Some(&[]));
        story.forge(2);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_write_under_a_forged_context_must_leave_nothing() {
        let mut story = Story::default();
        story.put(1, Some(&[])).outcome = Outcome::Unknown;
        story.forge(0);
        assert!(!catches(&story.judge(judge)));
        story.read(&[1]);
        assert!(catches(&story.judge(judge)));
        let mut story = Story::default();
        story.put(1, Some(&[])).outcome = Outcome::Unknown;
        story.forge(0);
        story.ends_with(&[1]);
        assert!(catches(&story.judge(judge)));
    }
}
