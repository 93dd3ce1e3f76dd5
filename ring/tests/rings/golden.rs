//! Frozen values. Before a value is adapted: find out what changed, and for whom.

use quorate_ring::{
    BucketId, Class, PartitionCount, PartitionId, Placed, Ring, RingDigest, RingParts, RingVersion,
    Weight, placement_hash,
};

use crate::common::{first_ring, member, next_ring};

/// Another hash would put every key of every cluster somewhere else. The values are those of the
/// reference implementation of XXH3.
#[test]
fn the_placement_hash_of_known_keys_is_what_it_always_was() {
    let long = vec![0xa5; 1000];
    let vectors: [(u64, &[u8], u64); 6] = [
        (0, b"", 0x2d06_8005_38d3_94c2),
        (1, b"", 0x4dc5_b0cc_826f_6703),
        (1, b"a", 0xd2f6_d099_6f37_a720),
        (1, b"user:1001", 0x0154_28b7_507d_175b),
        (0x0123_4567_89ab_cdef, b"user:1001", 0xba7a_00d3_c998_6e2d),
        (7, &long, 0x2e47_9401_f5ea_8a6f),
    ];
    let hash = |(bucket, key, _): (u64, &[u8], u64)| placement_hash(BucketId::new(bucket), key);
    assert_eq!(vectors.map(hash), vectors.map(|(_, _, hash)| hash));
}

fn members() -> Vec<Placed> {
    [
        (0x11, "eu/par/1", 100),
        (0x22, "eu/par/2", 100),
        (0x33, "eu/fra", 200),
        (0x44, "us", 100),
        (0x55, "", 50),
    ]
    .map(|(id, zone, weight)| member(id, zone, weight))
    .to_vec()
}

/// With another digest, no ring would be the child of the ring it was made from.
#[test]
fn the_digest_of_a_known_ring_is_what_it_always_was() {
    let ring = Ring::from_parts(RingParts {
        version: RingVersion::new(2),
        parent: Some(RingDigest::from_bytes(*b"0123456789abcdef")),
        partitions: PartitionCount::new(4).unwrap(),
        copies: 3,
        members: members(),
        places: vec![0, 3, 4, 4, 3, 2, 1, 4, 3, 3, 4, 0],
    });
    assert_eq!(
        ring.unwrap().digest().to_string(),
        "d270afc431124364d06cf9e7b59b34bd"
    );
}

/// Every node that computes a ring must get the same one. A node of another build may get another
/// only if a format level keeps the two from computing it side by side.
#[test]
fn the_claim_of_known_members_is_what_it_always_was() {
    let members = members();
    let first = first_ring(64, 3, &members[..4]);
    let mut changed = members.clone();
    changed[0].weight = Weight::DRAINED;
    changed[3].weight = Weight::MAX;
    let (next, drained) = (next_ring(&first, &members), next_ring(&first, &changed));
    assert_eq!(
        [first, next, drained].map(|ring| ring.digest().to_string()),
        [
            "497243a6bd035bc9512da22cf8b4c89f",
            "0125766a5cee5928634f22e902566cf1",
            "ea478d7ae71f6a685a7e68e7cb8cbc46"
        ]
    );
}

/// Another claim is no harm while one node computes a ring and the others are told, as long as no
/// change of members moves more than it should. Another order of fallbacks makes nodes of different
/// builds look for hints in different places.
#[test]
fn the_preference_lists_of_known_rings_are_what_they_always_were() {
    let members = members();
    let ring = first_ring(64, 3, &members[..4]).next(&members).unwrap();
    let list = |partition| {
        let class = Class {
            n: 2,
            partition: PartitionId::new(partition),
        };
        let list = ring.preference_list(class);
        let ids: Vec<String> = list
            .iter()
            .map(|(node, _)| format!("{:x}", node.get()))
            .collect();
        ids.join(" ")
    };
    assert_eq!(
        [0, 31, 63].map(list),
        ["55 33 44 22 11", "44 11 55 33 22", "22 44 55 33 11"]
    );
}
