//! How much a plan moves, and how long that takes at least.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{NODES_MAX, Plan};
use crate::bounded::at_most;
use crate::ids::{Class, NodeId};

/// How fast every node may transfer, in bytes a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rates {
    /// What a node sends.
    pub send: NonZeroU64,
    /// What a node receives.
    pub receive: NonZeroU64,
}

/// How much is moved, and how long that takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// What is moved in all, in bytes.
    pub bytes: u64,
    /// What each node sends and receives, by its id; only nodes that do.
    #[serde(deserialize_with = "at_most::<_, _, NODES_MAX>")]
    pub nodes: Vec<Traffic>,
    /// How long the node with the most to do takes at full rate, rounded up to a millisecond: no
    /// schedule is faster, and one that keeps that node busy throughout is as fast.
    pub time: Duration,
}

/// What one node sends and receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// The node.
    pub node: NodeId,
    /// What it sends, in bytes.
    pub sends: u64,
    /// What it receives, in bytes.
    pub receives: u64,
}

impl Plan {
    /// Estimates this plan if one copy of each class has the size that `bytes_of` says.
    ///
    /// Moves that have no source move nothing. Sums stop at the largest number there is.
    pub fn estimate(&self, bytes_of: impl Fn(Class) -> u64, rates: Rates) -> Estimate {
        let mut nodes: BTreeMap<NodeId, Traffic> = BTreeMap::new();
        let mut bytes = 0_u64;
        for (n, class) in self.classes.iter().flat_map(|classes| {
            let n = classes.n;
            classes.moves.iter().map(move |class| (n, class))
        }) {
            let partition = class.partition;
            let size = bytes_of(Class { n, partition });
            for (to, from) in class
                .gains
                .iter()
                .filter_map(|gain| Some((gain.node, gain.from?)))
            {
                bytes = bytes.saturating_add(size);
                let sends = &mut traffic(&mut nodes, from).sends;
                *sends = sends.saturating_add(size);
                let receives = &mut traffic(&mut nodes, to).receives;
                *receives = receives.saturating_add(size);
            }
        }
        let nodes: Vec<Traffic> = nodes.into_values().collect();
        let longest = nodes.iter().map(|traffic| traffic.time(rates)).max();
        Estimate {
            bytes,
            nodes,
            time: longest.unwrap_or_default(),
        }
    }
}

fn traffic(nodes: &mut BTreeMap<NodeId, Traffic>, node: NodeId) -> &mut Traffic {
    let nothing = Traffic {
        node,
        sends: 0,
        receives: 0,
    };
    nodes.entry(node).or_insert(nothing)
}

impl Traffic {
    /// How long it takes at full rate; a node sends and receives at once.
    fn time(&self, rates: Rates) -> Duration {
        let time = |bytes: u64, rate: NonZeroU64| {
            let millis = (u128::from(bytes) * 1000).div_ceil(u128::from(rate.get()));
            Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
        };
        time(self.sends, rates.send).max(time(self.receives, rates.receive))
    }
}
