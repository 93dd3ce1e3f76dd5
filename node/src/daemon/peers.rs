//! Whom the node keeps links with: the members of the newest map, and for a moment those who were.
//!
//! Who has just become no member may not know of it yet: it asks for the version that says so, over the link that it
//! has. After that it is turned away at the door.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;
use tokio::time::Instant;

/// How long who is no member any more may ask for the version by which it is none.
const FAREWELL: Duration = Duration::from_secs(5);

/// The peers and where they listen.
#[derive(Debug, Default)]
pub(super) struct Peers {
    members: BTreeMap<NodeId, Vec<String>>,
    leaving: BTreeMap<NodeId, (Vec<String>, Instant)>,
}

impl Peers {
    /// Another map is in force.
    pub(super) fn follow(&mut self, version: &VersionedMap, now: Instant) {
        // Who was given up never comes back, not even while classes still name it.
        let members = version.map.members.iter();
        let members = members.filter(|member| version.admits(member.id));
        let members = members.map(|member| (member.id, member.peer_addresses.clone()));
        let before = std::mem::replace(&mut self.members, members.collect());
        self.leaving
            .retain(|node, _| !self.members.contains_key(node));
        let gone = before.into_iter();
        let gone = gone.filter(|(node, _)| !self.members.contains_key(node));
        self.leaving
            .extend(gone.map(|(node, addresses)| (node, (addresses, now + FAREWELL))));
    }

    /// Whether a node is a member.
    pub(super) fn has_member(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// Forgets those whose time is over; whether there were any.
    pub(super) fn forget(&mut self, now: Instant) -> bool {
        let before = self.leaving.len();
        self.leaving.retain(|_, (_, until)| *until > now);
        self.leaving.len() < before
    }

    /// All of them but `me`, with the addresses by which they are reached: the map's, or `configured` where it
    /// has one.
    pub(super) fn reached(
        &self,
        me: NodeId,
        configured: &BTreeMap<NodeId, String>,
    ) -> Vec<(NodeId, Vec<String>)> {
        let leaving = self.leaving.iter();
        let leaving = leaving.map(|(node, (addresses, _))| (node, addresses));
        let all = self.members.iter().chain(leaving);
        all.filter(|(node, _)| **node != me)
            .map(|(node, addresses)| match configured.get(node) {
                Some(address) => (*node, vec![address.clone()]),
                None => (*node, addresses.clone()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::ClusterId;
    use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
    use quorate_ring::{PartitionCount, Placed, Ring, Weight, Zone};

    use super::*;

    fn version(ids: &[u64]) -> VersionedMap {
        let member = |&id: &u64| Member {
            id: NodeId::new(id),
            name: format!("n{id}"),
            peer_addresses: vec![format!("127.0.0.1:{id}")],
            client_addresses: Vec::new(),
            zone: Zone::default(),
            weight: Weight::default(),
        };
        let members: Vec<Member> = ids.iter().map(member).collect();
        let placed: Vec<Placed> = members.iter().map(Member::placed).collect();
        let partitions = PartitionCount::new(8).expect("a power of two");
        let map = ClusterMap {
            cluster: ClusterId::new(1, 2),
            name: "test".to_owned(),
            format_level: FORMAT_LEVEL,
            members,
            ring: Ring::first(partitions, 3, &placed).expect("members of weight 100"),
            buckets: Vec::new(),
        };
        VersionedMap::created(map, 0)
    }

    fn nodes(peers: &Peers) -> Vec<u64> {
        let reached = peers.reached(NodeId::new(1), &BTreeMap::new());
        let mut nodes: Vec<u64> = reached.iter().map(|(node, _)| node.get()).collect();
        nodes.sort_unstable();
        nodes
    }

    #[test]
    fn who_is_no_member_any_more_keeps_its_link_for_a_moment() {
        let (mut peers, now) = (Peers::default(), Instant::now());
        peers.follow(&version(&[1, 2, 3]), now);
        assert_eq!(nodes(&peers), [2, 3]);
        peers.follow(&version(&[1, 3, 4]), now);
        assert_eq!(nodes(&peers), [2, 3, 4]);
        assert!(!peers.forget(now));
        assert!(peers.forget(now + FAREWELL));
        assert_eq!(nodes(&peers), [3, 4]);
        peers.follow(&version(&[1, 3]), now);
        peers.follow(&version(&[1, 3, 4]), now);
        assert_eq!(nodes(&peers), [3, 4], "it is a member again");
    }

    #[test]
    fn a_configured_address_goes_before_the_map() {
        let mut peers = Peers::default();
        peers.follow(&version(&[1, 2, 3]), Instant::now());
        let configured = BTreeMap::from([(NodeId::new(3), "relay:1".to_owned())]);
        let reached = peers.reached(NodeId::new(1), &configured);
        let expected = [(2, "127.0.0.1:2"), (3, "relay:1")];
        let expected =
            expected.map(|(node, address)| (NodeId::new(node), vec![address.to_owned()]));
        assert_eq!(reached, expected);
    }
}
