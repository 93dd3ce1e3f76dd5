//! I7: a session's reads know its own acknowledged writes and everything that its earlier reads showed.

use std::collections::{BTreeMap, BTreeSet};

use super::causal::Causal;
use super::{Evidence, Violation, given_up};
use crate::history::{Key, Kind, Operation, WriteId};

/// Guarantees that a session was not given.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let mut known: BTreeMap<(u32, Key), BTreeSet<WriteId>> = BTreeMap::new();
    let mut violations = Vec::new();
    let causal_only = |operation: &&Operation| evidence.is_causal(operation.key);
    for operation in evidence.history.operations.iter().filter(causal_only) {
        if !operation.is_ok() {
            continue;
        }
        let known = known.entry((operation.client, operation.key)).or_default();
        let shown: BTreeSet<WriteId> = operation.shown.iter().map(|shown| shown.write).collect();
        if under_session(operation) && !evidence.is_blind(operation) {
            let forgotten = known.iter().find(|write| {
                let lost = given_up::hides_all((evidence, causal), **write, operation);
                !lost
                    && !causal.accounts_for(**write, operation.key, &shown, operation.completed_us)
            });
            if let Some(write) = forgotten {
                let what = format!("the session knew {write}: {}", operation.line());
                violations.push(Violation::of("I7", operation.key, what));
            }
        }
        known.extend(&shown);
        known.extend(operation.write().filter(|_| !operation.deletes()));
    }
    violations
}

const fn under_session(operation: &Operation) -> bool {
    matches!(
        operation.kind,
        Kind::Get {
            session: true,
            stale_ok: false,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;

    #[test]
    fn a_session_reads_its_own_writes() {
        let mut story = Story::default();
        story.session = true;
        story.put(1, None);
        story.read(&[1]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn a_session_never_goes_back() {
        let mut story = Story::default();
        story.session = true;
        story.client = 1;
        story.put(1, None);
        story.put(2, Some(&[1]));
        story.client = 2;
        story.read(&[2]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[1]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn without_a_session_nothing_is_promised() {
        let mut story = Story::default();
        story.put(1, None);
        story.read(&[]);
        assert!(!catches(&story.judge(judge)));
    }
}
