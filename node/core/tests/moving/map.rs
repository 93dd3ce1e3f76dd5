//! The map that a run begins with: one partition, one bucket.

use quorate_core::register::Version;
use quorate_protocol::ClusterId;
use quorate_protocol::ids::StorageId;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::QuorumDefaults;
use quorate_protocol::versioned::{VersionedMap, Voter};
use quorate_ring::{BucketId, NodeId, PartitionCount, Placed, Ring};

pub(crate) const BUCKET: BucketId = BucketId::new(1);

/// A node as a member.
pub(crate) fn member(number: u64) -> Member {
    Member {
        id: NodeId::new(number),
        name: format!("n{number}"),
        peer_addresses: vec![format!("127.0.0.1:{}", 7000 + number)],
        client_addresses: vec![format!("127.0.0.1:{}", 8000 + number)],
        zone: Default::default(),
        weight: Default::default(),
    }
}

/// The storage in which a node keeps its votes.
pub(crate) fn storage(node: NodeId) -> StorageId {
    StorageId::new(node.get() + 1000)
}

/// The version that all begin with: of so many members, whose storages are named.
pub(crate) fn founded(count: u64) -> Version {
    let first = VersionedMap::created(map(count), 0);
    let named = |voter: &Voter| Voter {
        node: voter.node,
        storage: Some(storage(voter.node)),
    };
    let voters = first.voters.iter().map(named).collect();
    Version::seal(VersionedMap { voters, ..first }).unwrap()
}

fn map(count: u64) -> ClusterMap {
    let members: Vec<Member> = (1..=count).map(member).collect();
    let placed = |member: &Member| Placed {
        id: member.id,
        zone: member.zone.clone(),
        weight: member.weight,
    };
    let placed: Vec<Placed> = members.iter().map(placed).collect();
    ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "moving".to_owned(),
        format_level: FORMAT_LEVEL,
        members,
        ring: Ring::first(PartitionCount::new(1).unwrap(), 3, &placed).unwrap(),
        buckets: vec![Bucket {
            id: BUCKET,
            name: "default".to_owned(),
            revision: 1,
            props: BucketProps {
                n: 3,
                mode: BucketMode::Siblings,
                defaults: QuorumDefaults::default(),
            },
        }],
    }
}
