//! Which nodes one request has tried since it last began at the head of its order.

use std::time::Duration;

use quorate_ring::NodeId;

use super::retry::{Failure, backoff};
use crate::error::Error;

/// One pass over the nodes that may answer. Further passes dial also nodes that failed just now.
#[derive(Debug, Default)]
pub(super) struct Round {
    number: u32,
    tried: Vec<NodeId>,
    /// Why nodes could not be reached, the latest reason of each.
    problems: Vec<(NodeId, String)>,
}

impl Round {
    /// The first node of `order` that this pass did not try yet.
    pub(super) fn next(&mut self, order: &[NodeId]) -> Option<NodeId> {
        let node = order
            .iter()
            .copied()
            .find(|node| !self.tried.contains(node))?;
        self.tried.push(node);
        Some(node)
    }

    /// Whether a usable node is left to this pass.
    pub(super) fn has_more(&self, order: &[NodeId], usable: impl Fn(NodeId) -> bool) -> bool {
        order
            .iter()
            .any(|&node| !self.tried.contains(&node) && usable(node))
    }

    /// Whether nodes are to be dialled that failed just now.
    pub(super) const fn is_forced(&self) -> bool {
        self.number > 0
    }

    /// Notes why a node could not be reached.
    pub(super) fn failed(&mut self, node: NodeId, failure: &Failure) {
        if let Failure::Unreached(why) | Failure::Lost(why) = failure {
            self.problems.retain(|(known, _)| *known != node);
            self.problems.push((node, why.clone()));
        }
    }

    /// Begins the next pass, and says how long to pause before it.
    pub(super) fn start_again(&mut self, random: u64) -> Duration {
        self.number += 1;
        self.tried.clear();
        backoff(self.number, random)
    }

    /// The error that says why nobody could be asked.
    pub(super) fn end(&self, name: impl Fn(NodeId) -> String) -> Error {
        let reasons: Vec<String> = self
            .problems
            .iter()
            .map(|(node, why)| format!("{}: {why}", name(*node)))
            .collect();
        let reasons = if reasons.is_empty() {
            "the deadline is too short".to_owned()
        } else {
            reasons.join("; ")
        };
        Error::unavailable(format!(
            "no node could be asked within the deadline ({reasons})"
        ))
        .naming(self.problems.iter().map(|(node, _)| *node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];

    #[test]
    fn a_pass_tries_each_node_once_and_the_next_one_begins_anew() {
        let mut round = Round::default();
        let pass: Vec<_> = std::iter::from_fn(|| round.next(&ORDER)).collect();
        assert_eq!(pass, ORDER);
        assert!(!round.is_forced());
        round.start_again(0);
        assert!(round.is_forced());
        assert_eq!(round.next(&ORDER), Some(ORDER[0]));
    }

    #[test]
    fn waiting_is_for_those_who_have_nobody_else_to_ask() {
        let mut round = Round::default();
        round.next(&ORDER);
        assert!(round.has_more(&ORDER, |_| true));
        assert!(!round.has_more(&ORDER, |node| node == ORDER[0]));
    }

    #[test]
    fn the_end_names_every_node_with_its_latest_reason() {
        let mut round = Round::default();
        round.failed(ORDER[0], &Failure::Unreached("off".to_owned()));
        round.failed(ORDER[1], &Failure::Unreached("away".to_owned()));
        round.failed(ORDER[0], &Failure::Unreached("gone".to_owned()));
        let error = round.end(|node| format!("n{}", node.get()));
        assert!(
            error.to_string().ends_with("(n2: away; n1: gone)"),
            "{error}"
        );
        assert_eq!(error.nodes(), [ORDER[1], ORDER[0]]);
    }
}
