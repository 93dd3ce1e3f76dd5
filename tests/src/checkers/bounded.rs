//! I14, nothing grows without bound: a quiet cluster has let go of all that it had taken on.
//!
//! White box: once every client has its last answer, no node has a request under way, owes anybody an answer, or
//! has more input waiting than what peers tell each other in passing. Hints, logs, stray pieces and deleted keys are judged with convergence (I6).
//!
//! Source: the usual way to find leaks, memory back at its base after load; riak_kv issues 311, 1336 and 1777
//! are cases on disk.

use quorate_ring::NodeId;

use super::Violation;

/// Inputs that may have arrived just now: heartbeats, clocks and the like from a few peers.
const INPUTS_MAX: usize = 32;

/// What one node still has in memory for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The node.
    pub node: NodeId,
    /// Requests that its replicas coordinate.
    pub requests: u64,
    /// Clients that wait for an answer.
    pub tickets: usize,
    /// Inputs that nobody has worked off.
    pub inputs: usize,
}

/// What was not let go of.
#[must_use]
pub fn judge(loads: &[Load]) -> Vec<Violation> {
    let kept = loads
        .iter()
        .filter(|load| load.requests > 0 || load.tickets > 0 || load.inputs > INPUTS_MAX);
    kept.map(|load| {
        let Load {
            node,
            requests,
            tickets,
            inputs,
        } = load;
        let what = format!(
            "the quiet node {node} still has {requests} requests under way, {tickets} clients waiting and {inputs} inputs"
        );
        Violation::general("I14", what)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_quiet_node_keeps_is_found() {
        let idle = Load {
            node: NodeId::new(1),
            requests: 0,
            tickets: 0,
            inputs: 0,
        };
        let heartbeat = Load { inputs: 1, ..idle };
        assert!(judge(&[idle, heartbeat]).is_empty());
        let kept = [
            Load {
                requests: 1,
                ..idle
            },
            Load { tickets: 1, ..idle },
            Load {
                inputs: INPUTS_MAX + 1,
                ..idle
            },
        ];
        for load in kept {
            assert_eq!(judge(&[idle, load]).len(), 1);
        }
    }
}
