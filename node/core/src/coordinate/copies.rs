//! Copies of passed-on requests that the network made.
//!
//! A request that was refused as not done must not be carried out by a second copy of the same message, when
//! the situation has changed meanwhile: whoever passed it on has told its client (seeds 171, 1252, 17398). So each
//! passed-on request is heard once.

use std::collections::{BTreeSet, VecDeque};

use quorate_ring::NodeId;

use crate::vnode::VOID_US;

/// How many are remembered; beyond, the oldest are forgotten.
const KEPT_MAX: usize = 64 * 1024;

/// Requests that other nodes passed on lately, by the number that each gave to its own.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    heard: BTreeSet<(NodeId, u64)>,
    /// In the order in which they came, with the monotonic time, microseconds.
    order: VecDeque<(u64, NodeId, u64)>,
}

impl Copies {
    /// Whether a request is heard for the first time, as far as messages are late.
    pub(crate) fn is_first(&mut self, from: NodeId, op: u64, now_us: u64) -> bool {
        let late = |&mut (at_us, ..): &mut (u64, NodeId, u64)| at_us + VOID_US <= now_us;
        while let Some((_, node, op)) = self.order.pop_front_if(late) {
            self.heard.remove(&(node, op));
        }
        if !self.heard.insert((from, op)) {
            return false;
        }
        if self.order.len() >= KEPT_MAX
            && let Some((_, node, op)) = self.order.pop_front()
        {
            self.heard.remove(&(node, op));
        }
        self.order.push_back((now_us, from, op));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new(1);

    #[test]
    fn a_request_is_heard_once_from_each_node_until_no_copy_can_be_under_way() {
        let mut copies = Copies::default();
        assert!(copies.is_first(NODE, 7, 0));
        assert!(!copies.is_first(NODE, 7, VOID_US - 1));
        assert!(copies.is_first(NODE, 8, VOID_US - 1));
        assert!(copies.is_first(NodeId::new(2), 7, VOID_US - 1));
        assert!(copies.is_first(NODE, 7, VOID_US));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let mut copies = Copies::default();
        for op in 0..=KEPT_MAX as u64 {
            assert!(copies.is_first(NODE, op, 0));
        }
        assert_eq!(
            (copies.heard.len(), copies.order.len()),
            (KEPT_MAX, KEPT_MAX)
        );
        assert!(copies.is_first(NODE, 0, 0));
        assert!(!copies.is_first(NODE, KEPT_MAX as u64, 0));
    }
}
