//! I2: no invention. Whatever is read was written before on that key, byte for byte, and what was
//! refused as certainly not done is never seen.

use super::causal::Causal;
use super::{Evidence, Violation};
use crate::history::{Key, Outcome, WriteId};

/// What was made up.
#[must_use]
pub fn judge(evidence: &Evidence<'_>, causal: &Causal<'_>) -> Vec<Violation> {
    let mut violations: Vec<Violation> = evidence
        .history
        .damaged
        .iter()
        .map(|(key, why)| Violation::of("I2", *key, why.clone()))
        .collect();
    let mut look = |key: Key, write: WriteId, at_us: u64| {
        if let Some(why) = invented(causal, key, write, at_us) {
            violations.push(Violation::of("I2", key, why));
        }
    };
    for operation in &evidence.history.operations {
        for shown in &operation.shown {
            look(operation.key, shown.write, operation.completed_us);
        }
    }
    for (key, shown) in &evidence.finals {
        for shown in shown {
            look(*key, shown.write, u64::MAX);
        }
    }
    violations
}

fn invented(causal: &Causal<'_>, key: Key, write: WriteId, at_us: u64) -> Option<String> {
    let Some(operation) = causal.operation(write) else {
        return Some(format!("{write} was never written"));
    };
    if operation.key != key {
        return Some(format!("{write} was written to {}", operation.key));
    }
    if operation.deletes() {
        return Some(format!("{write} is a delete and has a value"));
    }
    if operation.invoked_us > at_us {
        return Some(format!("{write} was seen before it was written"));
    }
    match operation.outcome {
        Outcome::Failed(code) => Some(format!(
            "{write} was refused with {} as not done, and is there",
            code.name()
        )),
        Outcome::Ok | Outcome::Unknown | Outcome::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, catches};
    use super::*;
    use quorate_protocol::error::ErrorCode;

    #[test]
    fn what_nobody_wrote_is_found() {
        let mut story = Story::default();
        story.put(1, None);
        story.read(&[1]);
        assert!(!catches(&story.judge(judge)));
        story.read(&[7]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn what_was_refused_must_not_be_seen() {
        let mut story = Story::default();
        story.put(1, None).outcome = Outcome::Failed(ErrorCode::Unavailable);
        assert!(!catches(&story.judge(judge)));
        story.ends_with(&[1]);
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn what_comes_before_its_write_and_what_is_damaged_is_found() {
        let mut story = Story::default();
        story.read(&[1]);
        story.put(1, None);
        assert!(catches(&story.judge(judge)));
        let mut story = Story::default();
        story.damage();
        assert!(catches(&story.judge(judge)));
    }
}
