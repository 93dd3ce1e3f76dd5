//! A small cluster for tests of single parts.

use quorate_protocol::map::{ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::peer::Ballot;
use quorate_protocol::versioned::{MapChange, VersionedMap, Voter};
use quorate_protocol::{ClusterId, RequestId, StorageId};
use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use super::version::Version;

pub(super) fn ballot(round: u64, node: u64) -> Ballot {
    Ballot {
        round,
        proposer: (node, 1),
    }
}

/// The first version of a cluster of three, whose storages are known; that of node i is i.
pub(super) fn first() -> Version {
    let numbers = 1..=3_u64;
    let member = |number| Member {
        id: NodeId::new(number),
        name: format!("n{number}"),
        peer_addresses: Vec::new(),
        client_addresses: Vec::new(),
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let placed = |number| Placed {
        id: NodeId::new(number),
        zone: Zone::default(),
        weight: Weight::default(),
    };
    let placed: Vec<Placed> = numbers.clone().map(placed).collect();
    let partitions = PartitionCount::new(8).unwrap_or_else(|error| panic!("{error}"));
    let ring = Ring::first(partitions, 3, &placed).unwrap_or_else(|error| panic!("{error}"));
    let map = ClusterMap {
        cluster: ClusterId::new(7, 7),
        name: "test".to_owned(),
        format_level: FORMAT_LEVEL,
        members: numbers.clone().map(member).collect(),
        ring,
        buckets: Vec::new(),
    };
    let voter = |number| Voter {
        node: NodeId::new(number),
        storage: Some(StorageId::new(number)),
    };
    let first = VersionedMap {
        voters: numbers.map(voter).collect(),
        ..VersionedMap::first(map, change("created"))
    };
    Version::seal(first).unwrap_or_else(|error| panic!("{error}"))
}

/// A version after the first.
pub(super) fn version(what: &str) -> Version {
    let child = first().child(change(what), first().draft());
    child.unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn change(what: &str) -> MapChange {
    MapChange {
        request: RequestId::new(0, u64::from(what.as_bytes()[0])),
        by: NodeId::new(1),
        wall_ms: 0,
        what: what.to_owned(),
    }
}
