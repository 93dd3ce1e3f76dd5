//! What the nodes of a cluster have used, by their own counters and the system's.

use std::time::Duration;

use quorate_tests::process::{Cluster, Index, Trouble};

use crate::cpu::cpu;

/// What one process has used since it was started, or more of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of frames sent to peers.
    pub sent: u64,
    /// Bytes of frames received from peers.
    pub received: u64,
    /// Hints stored for nodes that were away.
    pub hints_stored: u64,
    /// Hints delivered.
    pub hints_delivered: u64,
    /// Objects fetched by anti-entropy.
    pub fetched: u64,
    /// Vnodes that began to be filled again from a snapshot.
    pub rebuilt: u64,
    /// User and system time, in steps of 10 ms for each process.
    pub cpu: Duration,
}

impl Usage {
    fn join(self, other: Self, count: fn(u64, u64) -> u64) -> Self {
        Self {
            sent: count(self.sent, other.sent),
            received: count(self.received, other.received),
            hints_stored: count(self.hints_stored, other.hints_stored),
            hints_delivered: count(self.hints_delivered, other.hints_delivered),
            fetched: count(self.fetched, other.fetched),
            rebuilt: count(self.rebuilt, other.rebuilt),
            cpu: self.cpu,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            ..self.join(other, u64::saturating_add)
        }
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            ..self.join(before, u64::saturating_sub)
        }
    }
}

/// Of each node, in order; nothing for one that does not run.
#[derive(Clone, Debug)]
pub struct Usages(Vec<Usage>);

impl Usages {
    /// Asks all nodes that run.
    ///
    /// # Errors
    /// One cannot be asked.
    pub async fn look(cluster: &mut Cluster) -> Result<Self, Trouble> {
        let mut all = Vec::new();
        for node in cluster.all() {
            all.push(match cluster.node(node).pid() {
                Some(pid) => Usage {
                    cpu: cpu(pid)?,
                    ..counted(cluster, node).await?
                },
                None => Usage::default(),
            });
        }
        Ok(Self(all))
    }

    /// What all nodes together have used since `before`. A node that was started in between has begun
    /// from nothing, and has to be down in `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Usage {
        let each = self.0.iter().zip(&before.0);
        each.map(|(now, before)| now.since(*before))
            .fold(Usage::default(), Usage::plus)
    }

    /// One node's.
    #[must_use]
    pub fn of(&self, node: Index) -> Usage {
        self.0.get(node).copied().unwrap_or_default()
    }
}

async fn counted(cluster: &Cluster, node: Index) -> Result<Usage, Trouble> {
    let counters = cluster.status(node).await?.counters;
    let counter = |name: &str| {
        let found = counters.iter().find(|(known, _)| known == name);
        found
            .map(|(_, count)| *count)
            .ok_or_else(|| Trouble::Made(format!("the nodes do not count {name}")))
    };
    Ok(Usage {
        sent: counter("peer_bytes_sent")?,
        received: counter("peer_bytes_received")?,
        hints_stored: counter("hints_stored")?,
        hints_delivered: counter("hints_delivered")?,
        fetched: counter("anti_entropy_fetched")?,
        rebuilt: counter("rebuilds_begun")?,
        cpu: Duration::ZERO,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_was_started_in_between_counts_from_nothing() {
        let usage = |sent| Usage {
            sent,
            cpu: Duration::from_millis(sent),
            ..Usage::default()
        };
        let before = Usages(vec![usage(100), usage(0)]);
        let after = Usages(vec![usage(130), usage(20)]);
        assert_eq!(after.since(&before), usage(50));
        assert_eq!(after.of(1), usage(20));
    }
}
