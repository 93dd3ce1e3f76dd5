//! What a replica knows of the cluster: the map, and who answers this node.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate_protocol::ids::VnodeId;
use quorate_protocol::map::{Bucket, ClusterMap};
use quorate_protocol::versioned::{ClassRecord, ClassState, MapVersion, Place, VersionedMap};
use quorate_ring::{BucketId, Class, NodeId};

/// How many fallbacks a request considers beside its n primaries.
pub const FALLBACKS_CONSIDERED: usize = 3;

/// The cluster as one node sees it.
#[derive(Clone, Debug)]
pub struct View {
    /// This node.
    pub me: NodeId,
    /// The version of the map that is in force here.
    pub version: Arc<VersionedMap>,
    reachable: BTreeSet<NodeId>,
    /// Not heard of since the start or since they became members, and not given up yet: taken for reachable, since a
    /// node that took everybody for dead would write to fallbacks, and believe them, beside living primaries.
    presumed: BTreeSet<NodeId>,
}

impl View {
    /// A view in which nobody has answered yet, and everybody is presumed to.
    #[must_use]
    pub fn new(me: NodeId, version: Arc<VersionedMap>) -> Self {
        let members = version.map.members.iter().map(|member| member.id);
        Self {
            me,
            presumed: members.filter(|&node| node != me).collect(),
            version,
            reachable: BTreeSet::from([me]),
        }
    }

    /// The map has changed. Nodes that are no members any more are not reached; new ones are presumed to answer, and
    /// where this node is the new one, all are: until now there was no link to them. Returns whether there are such.
    pub fn take(&mut self, version: Arc<VersionedMap>) -> bool {
        let before = std::mem::replace(&mut self.version, version);
        let (map, me) = (&self.version.map, self.me);
        let known = |node: &NodeId| *node == me || map.member(*node).is_some();
        self.reachable.retain(known);
        self.presumed.retain(known);
        let stranger = before.map.member(me).is_none();
        let met = |node: &NodeId| !stranger && before.map.member(*node).is_some();
        let members = map.members.iter().map(|member| member.id);
        let unmet = members.filter(|node| !self.reachable.contains(node) && !met(node));
        let presumed = self.presumed.len();
        self.presumed.extend(unmet);
        self.presumed.len() > presumed
    }

    /// Members, ring and buckets.
    #[must_use]
    pub fn map(&self) -> &ClusterMap {
        &self.version.map
    }

    /// Notes that a peer answers, or not. Returns whether that is news.
    pub fn set_reachable(&mut self, node: NodeId, reachable: bool) -> bool {
        let presumed = self.presumed.remove(&node);
        if reachable {
            self.reachable.insert(node)
        } else {
            node != self.me && (self.reachable.remove(&node) || presumed)
        }
    }

    /// Peers that have neither answered nor been given up since the start.
    #[must_use]
    pub fn presumed(&self) -> Vec<NodeId> {
        self.presumed.iter().copied().collect()
    }

    /// Whether a node answers this one, or is presumed to; this node itself always does.
    #[must_use]
    pub fn is_reachable(&self, node: NodeId) -> bool {
        self.reachable.contains(&node) || self.presumed.contains(&node)
    }

    /// Whether a node is known to answer this one.
    #[must_use]
    pub fn answers(&self, node: NodeId) -> bool {
        self.reachable.contains(&node)
    }

    /// All other members.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.map()
            .members
            .iter()
            .map(|member| member.id)
            .filter(|&id| id != self.me)
    }

    /// The bucket of that id.
    #[must_use]
    pub fn bucket(&self, id: BucketId) -> Option<&Bucket> {
        self.map().bucket(id)
    }

    /// The class of a key of this bucket.
    #[must_use]
    pub fn class_of(&self, bucket: &Bucket, key: &[u8]) -> Class {
        Class {
            n: bucket.props.n,
            partition: self.map().ring.partition_of(bucket.id, key),
        }
    }

    /// What the map says of a class apart from the ring; `None` where the ring says it all.
    #[must_use]
    pub fn record(&self, class: Class) -> Option<&ClassRecord> {
        let records = &self.version.records;
        let at = records.binary_search_by_key(&class, |record| record.class);
        at.ok().and_then(|at| records.get(at))
    }

    /// The version that changed last where a class stands. Who works under another one is refused.
    #[must_use]
    pub fn epoch(&self, class: Class) -> MapVersion {
        let first = || self.version.used_since(class.n);
        let recorded = self.record(class).map(|record| record.epoch);
        recorded.or_else(first).unwrap_or(MapVersion::FIRST)
    }

    /// Whether a bucket was dropped: nothing is kept of it any more, and nothing taken.
    #[must_use]
    pub fn has_dropped(&self, bucket: BucketId) -> bool {
        self.version.has_dropped(bucket)
    }

    /// Whether a vnode is of classes that went with the last bucket that had keys in them, and is not merely of classes
    /// that only later versions know.
    #[must_use]
    pub fn has_ended(&self, class: Class, vnode: VnodeId) -> bool {
        let unused = self.version.used_since(class.n).is_none();
        (unused && !self.is_later(vnode)) || vnode < self.version.first_vnode(class.n)
    }

    /// Whether a later version than this one made a vnode: the node has lost its map and begun again with an old one.
    #[must_use]
    pub fn is_later(&self, vnode: VnodeId) -> bool {
        vnode.get() > self.version.version.get()
    }

    /// The nodes whose replicas of a class are read, in order.
    #[must_use]
    pub fn readers(&self, class: Class) -> Vec<NodeId> {
        match self.record(class) {
            None => self.map().ring.primaries(class).to_vec(),
            Some(record) => record.read_set().iter().map(|place| place.node).collect(),
        }
    }

    /// The nodes that have a replica of a class, or are about to: those that are written.
    #[must_use]
    pub fn members(&self, class: Class) -> Vec<NodeId> {
        match self.record(class) {
            None => self.map().ring.primaries(class).to_vec(),
            Some(record) => record.places().iter().map(|place| place.node).collect(),
        }
    }

    /// The members of a class that are waited for: all but those that are called dead.
    #[must_use]
    pub fn counted(&self, class: Class) -> Vec<NodeId> {
        let mut members = self.members(class);
        members.retain(|&node| !self.is_dead(class, node));
        members
    }

    /// Whether a node is a member of a class.
    #[must_use]
    pub fn is_member(&self, class: Class, node: NodeId) -> bool {
        match self.record(class) {
            None => self.map().ring.primaries(class).contains(&node),
            Some(record) => record.place_of(node).is_some(),
        }
    }

    /// Whether a copy of a node departs from a class, as far as the map says.
    #[must_use]
    pub fn departs(&self, class: Class, node: NodeId) -> bool {
        let departing = self
            .record(class)
            .into_iter()
            .flat_map(|record| &record.departing);
        departing.into_iter().any(|place| place.node == node) && !self.is_member(class, node)
    }

    /// Whether nobody waits for a member of a class.
    #[must_use]
    pub fn is_dead(&self, class: Class, node: NodeId) -> bool {
        self.record(class)
            .is_some_and(|record| record.is_dead(node))
    }

    /// Whether a node may know what a vnode here lacks: a member that nobody has given up. What only those know who were given up
    /// is lost, and they stay members until no class waits for them: who waited for them in turn would wait for ever.
    #[must_use]
    pub fn may_be_asked(&self, node: NodeId) -> bool {
        self.version.admits(node)
    }

    /// Whether a member of a class can be asked.
    #[must_use]
    pub fn reaches(&self, class: Class, node: NodeId) -> bool {
        self.is_reachable(node) && !self.is_dead(class, node)
    }

    /// The vnode that a node has of a class by the map.
    #[must_use]
    pub fn vnode_of(&self, class: Class, node: NodeId) -> Option<VnodeId> {
        match self.record(class) {
            None => {
                let primaries = self.map().ring.primaries(class);
                let first = self.version.first_vnode(class.n);
                primaries.contains(&node).then_some(first)
            }
            Some(record) => record.place_of(node).map(|place| place.vnode),
        }
    }

    /// In which of the sets that are written a member counts: the first bit stands for the one that is there, the
    /// second for the one to be.
    #[must_use]
    pub fn sets_of(&self, class: Class, node: NodeId) -> u8 {
        let Some(record) = self
            .record(class)
            .filter(|record| record.state != ClassState::Stable)
        else {
            return 1;
        };
        let holds = |set: &[Place]| u8::from(set.iter().any(|place| place.node == node));
        holds(&record.old) | holds(&record.new) << 1
    }

    /// How many sets a write of a class has to reach, each with its own quorum.
    #[must_use]
    pub fn write_sets(&self, class: Class) -> u8 {
        let moves = |record: &ClassRecord| record.state != ClassState::Stable;
        1 + u8::from(self.record(class).is_some_and(moves))
    }

    /// Whether a class stands still: one set, and no copy elsewhere that may know more.
    #[must_use]
    pub fn is_settled(&self, class: Class) -> bool {
        self.record(class)
            .is_none_or(|record| record.state == ClassState::Stable && record.departing.is_empty())
    }

    /// The fallbacks that a request of this class considers, in order.
    #[must_use]
    pub fn fallbacks(&self, class: Class) -> Vec<NodeId> {
        let ring = &self.map().ring;
        let (primaries, others) = (ring.primaries(class), ring.fallbacks(class));
        // A class that moves is not placed as the ring says.
        let order = primaries.iter().copied().chain(others);
        order
            .filter(|&node| !self.is_member(class, node))
            .take(FALLBACKS_CONSIDERED)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::ClusterId;
    use quorate_protocol::map::{FORMAT_LEVEL, Member};
    use quorate_ring::{PartitionCount, Placed, Ring, Weight, Zone};

    use super::*;

    fn version(ids: &[u64]) -> Arc<VersionedMap> {
        let member = |&id: &u64| Member {
            id: NodeId::new(id),
            name: format!("n{id}"),
            peer_addresses: Vec::new(),
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
        Arc::new(VersionedMap::created(map, 0))
    }

    /// A node that has given up all whom it did not hear, and heard these.
    fn view(me: u64, members: &[u64], heard: &[u64]) -> View {
        let mut view = View::new(NodeId::new(me), version(members));
        for node in view.presumed() {
            view.set_reachable(node, heard.contains(&node.get()));
        }
        view
    }

    #[test]
    fn a_member_that_comes_is_presumed_to_answer() {
        let mut view = view(1, &[1, 2, 3], &[2]);
        assert!(view.take(version(&[1, 2, 3, 4])));
        let reached = [1, 2, 3, 4].map(|node| view.is_reachable(NodeId::new(node)));
        assert_eq!(reached, [true, true, false, true]);
        assert!(!view.take(version(&[1, 2, 3])));
        assert_eq!(view.presumed(), []);
    }

    #[test]
    fn who_becomes_a_member_presumes_that_all_answer_that_had_no_link_to_it() {
        let mut view = view(4, &[1, 2, 3], &[2]);
        assert!(view.take(version(&[1, 2, 3, 4])));
        let presumed: Vec<u64> = view.presumed().iter().map(|node| node.get()).collect();
        assert_eq!(presumed, [1, 3]);
        assert!(!view.presumed().contains(&NodeId::new(4)));
    }
}
