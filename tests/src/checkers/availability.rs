//! I15, availability: while no more than one node is down, writes that fallbacks may take end well; of a
//! thousand at most one does not.
//!
//! Judged in weathers where links work and lose nothing (calm, one node down). Left out are writes that ask for
//! more than such a cluster always has (certain primaries, durable copies, as many nodes as are left without one); tries that a client gave less
//! than a second, as finding out that a node is gone takes most of that; tries that reached no process; what
//! a client gave up early; and contexts that no server gave out, which are refused by name.
//!
//! Source: the promise of a sloppy quorum (Dynamo, section 4.6). That everything ends once the cluster is
//! healed is judged where the run ends, in `sim/run.rs`.

use super::causal::Causal;
use super::{Evidence, Violation};
use crate::history::{Kind, Operation};
use crate::sim::config::Profile;

/// Of so many writes one may fail.
const ONE_OF: usize = 1_000;

/// What clients could not write although nodes enough were there.
pub(super) fn judge(evidence: &Evidence<'_>, _: &Causal) -> Vec<Violation> {
    if !matches!(evidence.profile, Profile::Calm | Profile::OneDown) {
        return Vec::new();
    }
    let history = evidence.history;
    let patient = |(index, _): &(usize, &Operation)| {
        !history.hasty.contains(index) && !history.forged.contains(index)
    };
    let writes: Vec<&Operation> = history
        .operations
        .iter()
        .enumerate()
        .filter(patient)
        .map(|(_, operation)| operation)
        .filter(|operation| is_due(evidence, operation))
        .collect();
    let failed: Vec<&&Operation> = writes.iter().filter(|write| !write.is_ok()).collect();
    if failed.len() <= writes.len() / ONE_OF {
        return Vec::new();
    }
    let all = writes.len();
    let violation = |write: &&&Operation| {
        let what = format!(
            "one of {all} writes that nothing stood in the way of: {}",
            write.line()
        );
        Violation::of("I15", write.key, what)
    };
    failed.iter().take(3).map(violation).collect()
}

fn is_due(evidence: &Evidence<'_>, operation: &Operation) -> bool {
    let Kind::Write {
        w,
        pw: 0,
        dw: 0,
        sloppy: true,
        ..
    } = operation.kind
    else {
        return false;
    };
    let copies = evidence
        .copies
        .get(&operation.key.bucket)
        .copied()
        .unwrap_or(0);
    let until_us = operation.completed_us.max(operation.invoked_us);
    let fewest = evidence.fewest_members(operation.invoked_us, until_us);
    let down = usize::from(evidence.profile == Profile::OneDown);
    w <= copies
        && usize::from(w) <= fewest.saturating_sub(down)
        && !evidence.several_down(operation.invoked_us, until_us)
}

#[cfg(test)]
mod tests {
    use quorate_protocol::error::ErrorCode;

    use super::super::Outage;
    use super::super::testing::{Story, catches};
    use super::*;
    use crate::history::Outcome;

    fn failing() -> Story {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, None).outcome = Outcome::Failed(ErrorCode::QuorumNotMet);
        story
    }

    fn down(node: usize, from_us: u64, until_us: u64) -> Outage {
        Outage {
            node,
            from_us,
            until_us,
        }
    }

    #[test]
    fn a_write_that_fails_beside_one_dead_node_is_found() {
        let mut story = failing();
        story.outages = vec![down(1, 0, 20), down(2, 90, 100)];
        assert!(catches(&story.judge(judge)));
        story.profile = Profile::Calm;
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn more_than_one_dead_node_and_bad_links_excuse_it() {
        let mut story = failing();
        story.outages = vec![down(1, 0, 20), down(2, 12, 100)];
        assert!(!catches(&story.judge(judge)));
        story = failing();
        story.profile = Profile::Storm;
        assert!(!catches(&story.judge(judge)));
    }

    #[test]
    fn as_many_copies_as_the_cluster_has_nodes_are_not_demanded_beside_a_dead_one() {
        let mut story = failing();
        story.members = vec![(0, 5), (12, 2), (16, 3)];
        assert!(!catches(&story.judge(judge)));
        story.members = vec![(0, 5), (12, 3)];
        assert!(catches(&story.judge(judge)));
        story.members = vec![(0, 2), (1, 3)];
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn one_of_a_thousand_may_fail() {
        let mut story = failing();
        for id in 3..1_002 {
            story.put(id, None);
        }
        assert!(!catches(&story.judge(judge)));
        story.put(2_000, None).outcome = Outcome::Unknown;
        assert!(catches(&story.judge(judge)));
    }

    #[test]
    fn demands_beyond_a_sloppy_quorum_are_not_judged() {
        let mut story = Story::default();
        story.sloppy = false;
        story.put(1, None).outcome = Outcome::Unknown;
        assert!(!catches(&story.judge(judge)));
    }
}
