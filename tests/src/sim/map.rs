//! The cluster map that a seed draws.

use quorate_protocol::ids::ClusterId;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::options::QuorumDefaults;
use quorate_ring::{BucketId, NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use super::dice::Dice;

/// The first bucket keeps siblings on three nodes, the second shows the last write, the others are
/// drawn.
pub(super) fn draw(dice: &mut Dice, nodes: u64) -> ClusterMap {
    let members: Vec<Member> = (1..=nodes).map(member).collect();
    let partitions = 1 << dice.between(2, 4);
    let most = if nodes >= 5 { 5 } else { 3.min(nodes) };
    let most_copies = u8::try_from(most).unwrap_or(5);
    let copies = most_copies.min(3);
    let ring = first_ring(partitions, most_copies, &members);
    let mut buckets = vec![
        bucket(1, "a-siblings", copies, BucketMode::Siblings),
        bucket(2, "b-lww", copies, BucketMode::Lww),
    ];
    if dice.chance(500) {
        let n = if dice.chance(400) {
            1
        } else {
            u8::try_from(dice.between(2.min(most), most)).unwrap_or(copies)
        };
        buckets.push(bucket(3, "c-other", n, BucketMode::Siblings));
    }
    ClusterMap {
        cluster: ClusterId::new(dice.bits(), dice.bits()),
        name: "simulated".to_owned(),
        format_level: FORMAT_LEVEL,
        members,
        ring,
        buckets,
    }
}

/// The first ring of these members. The simulator gives valid numbers.
pub(crate) fn first_ring(partitions: u32, copies: u8, members: &[Member]) -> Ring {
    let placed: Vec<Placed> = members
        .iter()
        .map(|member| Placed {
            id: member.id,
            zone: member.zone.clone(),
            weight: member.weight,
        })
        .collect();
    let partitions =
        PartitionCount::new(partitions).unwrap_or_else(|error| unreachable!("{error}"));
    Ring::first(partitions, copies, &placed).unwrap_or_else(|error| unreachable!("{error}"))
}

pub(crate) fn member(id: u64) -> Member {
    Member {
        id: NodeId::new(id),
        name: format!("n{id}"),
        peer_addresses: vec![format!("n{id}:1")],
        client_addresses: vec![format!("n{id}:2")],
        zone: Zone::default(),
        weight: Weight::default(),
    }
}

pub(crate) fn bucket(id: u64, name: &str, n: u8, mode: BucketMode) -> Bucket {
    Bucket {
        id: BucketId::new(id),
        name: name.to_owned(),
        revision: 1,
        props: BucketProps {
            n,
            mode,
            defaults: QuorumDefaults::default(),
        },
    }
}
