//! Clusters made up for unit tests.

#![allow(clippy::unwrap_used)]

use quorate_protocol::ClusterId;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_ring::{BucketId, NodeId, PartitionCount, Placed, Ring};

/// A map of so many members, 64 partitions and 3 copies, with one bucket named `default`.
pub(crate) fn map(members: u64) -> ClusterMap {
    let placed: Vec<Placed> = (1..=members)
        .map(|id| Placed {
            id: NodeId::new(id),
            zone: Default::default(),
            weight: Default::default(),
        })
        .collect();
    ClusterMap {
        cluster: ClusterId::new(1, 2),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: placed.iter().map(member).collect(),
        ring: Ring::first(PartitionCount::new(64).unwrap(), 3, &placed).unwrap(),
        buckets: vec![Bucket {
            id: BucketId::new(1),
            name: "default".to_owned(),
            revision: 1,
            props: BucketProps {
                n: 3,
                mode: BucketMode::Siblings,
                defaults: Default::default(),
            },
        }],
    }
}

fn member(placed: &Placed) -> Member {
    Member {
        id: placed.id,
        name: format!("n{}", placed.id.get()),
        peer_addresses: vec!["127.0.0.1:1".to_owned()],
        client_addresses: vec!["127.0.0.1:2".to_owned()],
        zone: placed.zone.clone(),
        weight: placed.weight,
    }
}
