//! Whether all replicas have the same, and if not, exactly which of them lack how much.
//!
//! The figures are differences of vnode clocks, which name every write that a replica has applied: they are
//! counts of writes, not estimates.
//!
//! # What "converged" says
//!
//! All nodes are asked twice, the second time when all first answers are there. If the first answers held no hint,
//! and the second ones show clocks that are equal in each class, then every write that any node had stored when the
//! question was asked is on all replicas of its class: it was in a clock then, or in a hint, and a hint that was gone
//! before it could be counted had been stored at its target.

mod spans;

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::{ClientReply, HintsHeld, ReplicaPage, ReplicaStanding, Replicas};
use quorate_ring::{Class, NodeId, RingVersion};
use tokio::task::JoinSet;

use self::spans::Spans;
use crate::client::{Client, unexpected};
use crate::dispatch::Route;
use crate::error::Error;

/// Where all replicas of a cluster stand, at one time.
#[derive(Debug)]
pub struct Convergence {
    /// The ring version under which the nodes answered; `None` if they differ, or nobody answered.
    pub ring: Option<RingVersion>,
    /// Nodes that did not say where their replicas stand, and why.
    pub silent: Vec<(NodeId, Error)>,
    /// Every class that some node has a vnode of, in order.
    pub classes: Vec<ClassStanding>,
    /// Hints kept, by the node that keeps them.
    pub hints: Vec<(NodeId, HintsHeld)>,
    /// Hints in flight, by the node that sends them.
    pub handoffs: BTreeMap<NodeId, u64>,
}

/// Where the replicas of one class stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStanding {
    /// The class.
    pub class: Class,
    /// Its replicas, in the order of their nodes.
    pub replicas: Vec<Standing>,
    /// Members of the class that did not show a replica of it.
    pub missing: Vec<NodeId>,
}

/// Where one replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its node.
    pub node: NodeId,
    /// Whether it answers as a current replica.
    pub current: bool,
    /// Whether it lost something, or is being filled again.
    pub damaged: bool,
    /// Dot-log entries held for peers.
    pub log_entries: u64,
    /// Writes that other replicas of the class have and it lacks.
    pub lacks: u64,
    /// How many of them each other replica has; without those that have none.
    pub held_by: Vec<(NodeId, u64)>,
}

impl Convergence {
    /// Whether every member answered, under one ring version, and all its replicas are whole, current and equal, and
    /// no hint is kept anywhere.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.ring.is_some()
            && self.silent.is_empty()
            && self.hints.is_empty()
            && self.handoffs.is_empty()
            && self.classes.iter().all(ClassStanding::is_converged)
    }

    /// Writes that replicas of a node lack, over all classes.
    #[must_use]
    pub fn lacks(&self, node: NodeId) -> u64 {
        let replicas = self.classes.iter().flat_map(|class| &class.replicas);
        let of_node = replicas.filter(|replica| replica.node == node);
        of_node
            .map(|replica| replica.lacks)
            .fold(0, u64::saturating_add)
    }
}

impl ClassStanding {
    /// Whether all members have a replica, and all of those are whole, current and equal.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.missing.is_empty() && self.replicas.iter().all(Standing::is_settled)
    }
}

impl Standing {
    /// Whether it is whole and current and lacks nothing.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.current && !self.damaged && self.lacks == 0
    }
}

/// What one node said in one round.
type Said = (NodeId, Result<Vec<ReplicaPage>, Error>);

impl Client {
    /// Where the replicas of one node stand: all pages of its answer.
    ///
    /// # Errors
    /// The node could not be asked, or does not know of all its replicas at the moment.
    pub async fn replicas(&self, node: NodeId) -> Result<Vec<ReplicaPage>, Error> {
        let mut pages: Vec<ReplicaPage> = Vec::new();
        loop {
            let after = pages.last().and_then(|page| page.next);
            let request = Replicas { after };
            let reply = self.ask(request.into(), Route::Node(node)).await?;
            let ClientReply::ReplicaPage(page) = reply else {
                return Err(unexpected(&reply));
            };
            // A node that went back would be asked for ever.
            let goes_on = page
                .next
                .is_some_and(|next| after.is_none_or(|after| next > after));
            pages.push(page);
            if !goes_on {
                return Ok(pages);
            }
        }
    }

    /// Where all replicas stand; see [`Convergence`]. A member that does not answer is named, within
    /// the profile's deadline.
    pub async fn convergence(&self) -> Convergence {
        let first = self.round().await;
        let second = self.round().await;
        let map = self.map();
        let members = |class: Class| map.ring.primaries(class).to_vec();
        judge(&first, second, members)
    }

    async fn round(&self) -> Vec<Said> {
        let mut asked = JoinSet::new();
        for member in self.map().members.iter().map(|member| member.id) {
            let client = self.clone();
            asked.spawn(async move { (member, client.replicas(member).await) });
        }
        let mut said = asked.join_all().await;
        said.sort_by_key(|(node, _)| *node);
        said
    }
}

/// Hints of both rounds, everything else of the second one.
fn judge(first: &[Said], second: Vec<Said>, members: impl Fn(Class) -> Vec<NodeId>) -> Convergence {
    let (mut silent, mut hints, mut handoffs) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut vnodes: BTreeMap<Class, Vec<(NodeId, ReplicaStanding)>> = BTreeMap::new();
    let mut rings = BTreeSet::new();
    let mut earlier: BTreeMap<NodeId, &[ReplicaPage]> = BTreeMap::new();
    for (node, pages) in first {
        if let Ok(pages) = pages {
            earlier.insert(*node, pages);
        }
    }
    for (node, pages) in second {
        let pages = match pages {
            Ok(pages) => pages,
            Err(error) => {
                silent.push((node, error));
                continue;
            }
        };
        let before = earlier.get(&node).copied().unwrap_or_default();
        for page in before.iter().chain(&pages) {
            rings.insert(page.ring);
            for held in &page.hints {
                hints.insert((node, held.class, held.target), *held);
            }
            if page.hints_in_flight > 0 {
                handoffs.insert(node, page.hints_in_flight);
            }
        }
        for standing in pages.into_iter().flat_map(|page| page.vnodes) {
            let class = vnodes.entry(standing.class).or_default();
            class.push((node, standing));
        }
    }
    // Who was silent the first time may have kept hints then.
    for (node, pages) in first {
        if let Err(error) = pages
            && !silent.iter().any(|(known, _)| known == node)
        {
            silent.push((*node, error.clone()));
        }
    }
    let classes = vnodes
        .into_iter()
        .map(|(class, replicas)| class_standing(class, &replicas, &members(class)));
    Convergence {
        classes: classes.collect(),
        ring: rings.first().copied().filter(|_| rings.len() == 1),
        silent,
        hints: hints
            .into_iter()
            .map(|((node, ..), held)| (node, held))
            .collect(),
        handoffs,
    }
}

fn class_standing(
    class: Class,
    replicas: &[(NodeId, ReplicaStanding)],
    members: &[NodeId],
) -> ClassStanding {
    let spans: Vec<(NodeId, Spans)> = replicas
        .iter()
        .map(|(node, standing)| (*node, Spans::of(&standing.applied)))
        .collect();
    let mut all = Spans::default();
    spans.iter().for_each(|(_, spans)| all.merge(spans));
    let standing =
        |((node, standing), (_, own)): (&(NodeId, ReplicaStanding), &(NodeId, Spans))| {
            let held_by = spans
                .iter()
                .map(|(peer, theirs)| (*peer, own.lacks(theirs)));
            Standing {
                node: *node,
                current: standing.current,
                damaged: standing.damaged,
                log_entries: standing.log_entries,
                lacks: own.lacks(&all),
                held_by: held_by.filter(|(_, writes)| *writes > 0).collect(),
            }
        };
    let shown: BTreeSet<NodeId> = replicas.iter().map(|(node, _)| *node).collect();
    ClassStanding {
        class,
        replicas: replicas.iter().zip(&spans).map(standing).collect(),
        missing: members
            .iter()
            .copied()
            .filter(|node| !shown.contains(node))
            .collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use quorate_protocol::peer::ActorClock;
    use quorate_protocol::{ActorId, VnodeId};
    use quorate_ring::PartitionId;

    use super::*;

    const CLASS: Class = Class {
        n: 3,
        partition: PartitionId::new(7),
    };

    fn node(number: u64) -> NodeId {
        NodeId::new(number)
    }

    /// What a node says that has applied so many writes of one actor.
    fn page(number: u64, writes: u64) -> ReplicaPage {
        let standing = ReplicaStanding {
            class: CLASS,
            vnode: VnodeId::new(number),
            applied: vec![ActorClock {
                actor: ActorId::new(1),
                base: writes,
                runs: Vec::new(),
            }],
            current: true,
            damaged: false,
            log_entries: 0,
        };
        ReplicaPage {
            node: node(number),
            ring: RingVersion::FIRST,
            vnodes: vec![standing],
            hints: Vec::new(),
            hints_in_flight: 0,
            next: None,
        }
    }

    fn round(pages: [ReplicaPage; 3]) -> Vec<Said> {
        pages
            .into_iter()
            .map(|page| (page.node, Ok(vec![page])))
            .collect()
    }

    fn equal() -> [ReplicaPage; 3] {
        [page(1, 5), page(2, 5), page(3, 5)]
    }

    fn judged(first: [ReplicaPage; 3], second: [ReplicaPage; 3]) -> Convergence {
        judge(&round(first), round(second), |_| {
            (1..=3).map(node).collect()
        })
    }

    #[test]
    fn equal_clocks_without_hints_are_converged() {
        assert!(judged(equal(), equal()).is_converged());
        // What was behind at first does not count: only the second answers are compared.
        assert!(judged([page(1, 2), page(2, 5), page(3, 5)], equal()).is_converged());
    }

    #[test]
    fn who_lacks_what_and_who_has_it_is_said_exactly() {
        let report = judged(equal(), [page(1, 5), page(2, 3), page(3, 9)]);
        assert!(!report.is_converged());
        assert_eq!(
            [1, 2, 3].map(|number| report.lacks(node(number))),
            [4, 6, 0]
        );
        let replicas = &report.classes[0].replicas;
        assert_eq!(replicas[0].held_by, [(node(3), 4)]);
        assert_eq!(replicas[1].held_by, [(node(1), 2), (node(3), 6)]);
        assert!(replicas[2].held_by.is_empty());
    }

    #[test]
    fn everything_that_is_open_keeps_a_cluster_from_being_converged() {
        let with = |change: fn(&mut ReplicaPage)| {
            let mut pages = equal();
            change(&mut pages[1]);
            pages
        };
        let hint = |page: &mut ReplicaPage| {
            page.hints.push(HintsHeld {
                class: CLASS,
                target: node(3),
                hints: 1,
            });
        };
        let open: [fn(&mut ReplicaPage); 5] = [
            hint,
            |page| page.hints_in_flight = 1,
            |page| page.vnodes[0].current = false,
            |page| page.vnodes[0].damaged = true,
            |page| page.vnodes.clear(),
        ];
        for change in open {
            assert!(!judged(equal(), with(change)).is_converged());
        }
        // Hints that were there at first may have become writes since.
        assert!(!judged(with(hint), equal()).is_converged());
        let other_ring = with(|page| page.ring = RingVersion::new(2));
        assert!(!judged(equal(), other_ring).is_converged());
    }

    #[test]
    fn a_silent_node_is_named_in_whichever_round_it_was_silent() {
        let refusal = || Err(Error::protocol("a test".to_owned()));
        let mut said = round(equal());
        said[2].1 = refusal();
        let report = judge(&said, round(equal()), |_| Vec::new());
        assert!(!report.is_converged());
        assert_eq!(report.silent[0].0, node(3));
        let report = judge(&round(equal()), said, |_| (1..=3).map(node).collect());
        assert_eq!(report.silent.len(), 1);
        assert_eq!(report.classes[0].missing, [node(3)]);
    }
}
