//! Whether this node is a member of its cluster: who is none serves nobody.
//!
//! The newest version that the node knows may say so: it was removed, or is to join and was not taken in yet. Or it was
//! away when it was removed, believes to be a member, and learns it by being refused at the others' doors: by a version
//! after its own. Then nothing of what it knows can be trusted, for others have its places. It stays and knocks, slowly:
//! whoever takes it in tells it the newest version.

use std::collections::BTreeMap;

use quorate_protocol::client::{PlanWarning, RingPlan};
use quorate_protocol::versioned::{MapVersion, StagedChange, VersionedMap};
use quorate_ring::NodeId;

/// A node that knocked longer ago than this is not there any more, microseconds.
const KNOCK_US: u64 = 30_000_000;
/// Nodes at the door that are remembered.
const KNOCKS_MAX: usize = 64;

/// What is known of who is let in where.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// The latest version by which this node was refused, and by whom.
    refused: Option<(MapVersion, NodeId)>,
    /// This process has seen the node as a member.
    was_member: bool,
    /// Nodes that were turned away here, and when last, microseconds.
    knocked: BTreeMap<NodeId, u64>,
}

impl Door {
    /// A peer refuses this node by that version.
    pub(super) fn refused_by(&mut self, peer: NodeId, version: MapVersion) {
        if self.refused.is_none_or(|(known, _)| known < version) {
            self.refused = Some((version, peer));
        }
    }

    /// A node that is no member was turned away here. Whether it did not knock before.
    pub(super) fn turned_away(&mut self, node: NodeId, now_us: u64) -> bool {
        self.knocked
            .retain(|_, at_us| now_us.saturating_sub(*at_us) < KNOCK_US);
        if self.knocked.len() < KNOCKS_MAX || self.knocked.contains_key(&node) {
            self.knocked.insert(node, now_us).is_none()
        } else {
            false
        }
    }

    /// Why this node serves nobody, if so.
    pub(super) fn closed(&mut self, me: NodeId, version: &VersionedMap) -> Option<String> {
        let newest = version.version;
        let is_member = version.map.member(me).is_some();
        self.was_member |= is_member;
        match self.refused {
            _ if version.expelled.binary_search(&me).is_ok() => Some(format!(
                "this node was removed from the cluster by force and what it held was given up (version {newest} of the \
                 cluster map): it serves nobody and can never come back. Stop it, and delete its data"
            )),
            Some((by, peer)) if by.lineage() > newest.lineage() && is_member => Some(format!(
                "the cluster was RECOVERED WITHOUT THIS NODE, which was called gone for good: node {peer} refuses it by version \
                 {by} of the cluster map, and the newest known here is {newest}. It serves nobody and can never come back. \
                 Stop it and keep its data as long as somebody may want to look at it; a new node can take its place with \
                 `quorate cluster join`"
            )),
            Some((by, peer)) if by > newest && is_member => Some(format!(
                "this node is no member of the cluster any more: node {peer} refuses it by version {by} of the cluster map, \
                 and the newest known here is {newest}. It serves nobody. Stop it; a new node can take its place \
                 with `quorate cluster join`"
            )),
            _ if !is_member && self.was_member => Some(format!(
                "this node has handed over all it held and is no member of the cluster any more (version {newest} of the \
                 cluster map): it serves nobody. Stop it, and delete its data"
            )),
            _ if !is_member => Some(format!(
                "waiting to be taken in: this node is no member of the cluster (version {newest} of the cluster map) and \
                 serves nobody. If it is to join, commit what is staged: `quorate cluster plan` shows it. If it was \
                 removed, stop it and delete its data"
            )),
            Some(_) | None => None,
        }
    }

    /// Adds to a plan which newcomers were not heard at this door.
    pub(super) fn warn(&self, plan: &mut RingPlan, staged: &[StagedChange], now_us: u64) {
        let newcomers = staged.iter().filter_map(StagedChange::newcomer);
        let is_here = |node: &NodeId| {
            let at_us = self.knocked.get(node);
            at_us.is_some_and(|at_us| now_us.saturating_sub(*at_us) < KNOCK_US)
        };
        let absent = newcomers.filter(|member| !is_here(&member.id));
        plan.warnings.extend(absent.map(|member| PlanWarning {
            text: format!(
                "{} ({}) has not been heard at the members' doors: what moves to it waits until it runs",
                member.name, member.id
            ),
            needs_force: false,
        }));
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::ClusterId;
    use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
    use quorate_ring::{PartitionCount, Placed, Ring, RingDigest, Weight, Zone};

    use super::*;

    const ME: NodeId = NodeId::new(7);
    const OTHER: NodeId = NodeId::new(8);

    fn member(id: NodeId) -> Member {
        Member {
            id,
            name: format!("n{}", id.get()),
            peer_addresses: vec!["127.0.0.1:1".to_owned()],
            client_addresses: vec!["127.0.0.1:2".to_owned()],
            zone: Zone::default(),
            weight: Weight::default(),
        }
    }

    /// The first version of a cluster of these.
    fn version(ids: &[NodeId]) -> VersionedMap {
        let members: Vec<Member> = ids.iter().copied().map(member).collect();
        let placed: Vec<Placed> = members.iter().map(Member::placed).collect();
        let partitions = PartitionCount::new(8).expect("a power of two");
        let ring = Ring::first(partitions, 3, &placed).expect("members of weight 100");
        let map = ClusterMap {
            cluster: ClusterId::new(1, 2),
            name: "test".to_owned(),
            format_level: FORMAT_LEVEL,
            members,
            ring,
            buckets: Vec::new(),
        };
        VersionedMap::created(map, 5)
    }

    #[test]
    fn only_a_member_that_nobody_refuses_by_a_later_version_serves() {
        let (with, without) = (version(&[ME, OTHER]), version(&[OTHER]));
        let mut door = Door::default();
        assert_eq!(door.closed(ME, &with), None);
        let gone = door.closed(ME, &without).unwrap_or_default();
        assert!(gone.contains("handed over all it held"), "{gone}");
        let waits = Door::default().closed(ME, &without).unwrap_or_default();
        assert!(waits.starts_with("waiting to be taken in"), "{waits}");
        door.refused_by(OTHER, MapVersion::FIRST);
        assert_eq!(door.closed(ME, &with), None, "that one is behind");
        door.refused_by(OTHER, MapVersion::new(4));
        let removed = door.closed(ME, &with).unwrap_or_default();
        assert!(removed.contains("no member of the cluster any more"));
        door.refused_by(OTHER, MapVersion::new(5).in_next_lineage());
        let given_up = door.closed(ME, &with).unwrap_or_default();
        assert!(
            given_up.contains("RECOVERED WITHOUT THIS NODE"),
            "{given_up}"
        );
        assert!(given_up.contains("version 1.5 of"), "{given_up}");
        let mut door = Door::default();
        door.refused_by(OTHER, MapVersion::new(4));
        let mut later = with;
        later.version = MapVersion::new(4);
        assert_eq!(door.closed(ME, &later), None);
        later.expelled = vec![ME];
        let expelled = door.closed(ME, &later).unwrap_or_default();
        assert!(expelled.contains("never come back"), "{expelled}");
    }

    #[test]
    fn a_plan_names_the_newcomers_that_did_not_knock_here_lately() {
        let mut door = Door::default();
        let staged = [StagedChange::join(member(ME))];
        let warnings = |door: &Door, now_us| {
            let mut plan = RingPlan {
                version: MapVersion::FIRST,
                digest: RingDigest::from_bytes([0; 16]),
                changes: Vec::new(),
                nodes: Vec::new(),
                warnings: Vec::new(),
                losses: Vec::new(),
            };
            door.warn(&mut plan, &staged, now_us);
            plan.warnings.len()
        };
        assert_eq!(warnings(&door, 5), 1);
        assert!(door.turned_away(ME, 5));
        assert!(!door.turned_away(ME, 5));
        assert_eq!(warnings(&door, 6), 0);
        assert_eq!(warnings(&door, 5 + KNOCK_US), 1);
    }
}
