//! I4: no false siblings. No member of an answer was replaced by another one, and no write is shown
//! twice. An answer that says it may be stale is left out.
//!
//! Source: Riak's sibling explosion, where interleaved writers made every write look concurrent.

use std::collections::BTreeSet;

use super::causal::Causal;
use super::{Evidence, Violation};
use crate::history::{Operation, WriteId};

/// Siblings that are none.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let operations = evidence.history.operations.iter();
    operations
        .filter(|operation| !operation.unsure)
        .filter_map(|operation| {
            let what = false_sibling(operation, causal)?;
            let what = format!("{what}: {}", operation.line());
            Some(Violation::of("I4", operation.key, what))
        })
        .collect()
}

fn false_sibling(operation: &Operation, causal: &Causal<'_>) -> Option<String> {
    let shown: BTreeSet<WriteId> = operation.shown.iter().map(|shown| shown.write).collect();
    if shown.len() < operation.shown.len() {
        return Some("one write is shown twice".to_owned());
    }
    if shown.len() < 2 {
        return None;
    }
    shown.iter().find_map(|&one| {
        let replaced = causal.replaced_by(one);
        let stale = shown
            .iter()
            .find(|other| replaced.contains(other) && !causal.is_twin(**other))?;
        Some(format!("{stale} was replaced by {one}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;

    #[test]
    fn a_sibling_that_another_one_replaced_is_false() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, None);
        story.put(3, Some(&[1]));
        story.read(&[2, 3]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[1, 3]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn one_write_is_one_sibling() {
        let mut story = Story::default();
        story.put(1, None);
        story.read_as(&[(1, 1), (1, 2)]);
        assert!(catches(&story.judge(judge)));
    }
}
