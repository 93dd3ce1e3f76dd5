//! Rings as they travel: every encoding gives the same ring back, every damaged one is refused.

use proptest::prelude::*;
use quorate_ring::{
    COPIES_MAX, MEMBERS_MAX, NodeId, PartitionCount, Ring, RingDigest, RingError, RingParts,
    RingVersion, Weight,
};

use crate::common::{first_ring, member, members_in_zones, next_ring};

fn ring() -> Ring {
    next_ring(
        &first_ring(16, 3, &members_in_zones(5, 5)),
        &members_in_zones(6, 3),
    )
}

#[test]
fn a_ring_survives_every_encoding_with_its_digest() {
    let ring = ring();
    let json = serde_json::to_string(&ring).unwrap();
    let from_json: Ring = serde_json::from_str(&json).unwrap();
    let from_array: Ring = rmp_serde::from_slice(&rmp_serde::to_vec(&ring).unwrap()).unwrap();
    let from_map: Ring = rmp_serde::from_slice(&rmp_serde::to_vec_named(&ring).unwrap()).unwrap();
    for decoded in [from_json, from_array, from_map] {
        assert_eq!(decoded, ring);
        assert_eq!(decoded.digest(), ring.digest());
    }
    assert_eq!(Ring::from_parts(ring.to_parts()), Ok(ring));
}

#[test]
fn a_ring_of_sixteen_thousand_partitions_takes_three_bytes_for_a_place_at_most() {
    let ring = first_ring(16_384, 3, &members_in_zones(300, 3));
    let bytes = rmp_serde::to_vec(&ring).unwrap();
    assert!(bytes.len() < 3 * 3 * 16_384 + 300 * 32, "{}", bytes.len());
}

/// The reason for which a change to a valid content is refused.
fn refused(change: impl FnOnce(&mut RingParts)) -> RingError {
    let mut parts = ring().to_parts();
    change(&mut parts);
    Ring::from_parts(parts).expect_err("the content is damaged")
}

#[test]
fn damaged_content_is_refused_with_the_reason() {
    let zero = RingVersion::new(0);
    assert_eq!(
        refused(|parts| parts.version = zero),
        RingError::Version(zero)
    );
    assert_eq!(
        refused(|parts| parts.version = RingVersion::FIRST),
        RingError::Version(RingVersion::FIRST)
    );
    assert_eq!(
        refused(|parts| parts.parent = None),
        RingError::Version(RingVersion::new(2))
    );
    assert_eq!(refused(|parts| parts.copies = 0), RingError::Copies(0));
    assert_eq!(
        refused(|parts| parts.copies = COPIES_MAX + 1),
        RingError::Copies(8)
    );
    assert_eq!(
        refused(|parts| parts.copies = 2),
        RingError::PlaceCount {
            found: 48,
            expected: 32
        }
    );
    assert_eq!(
        refused(|parts| parts.members.clear()),
        RingError::MemberCount(0)
    );
    assert_eq!(
        refused(|parts| parts.members.swap(0, 1)),
        RingError::MemberOrder(NodeId::new(1))
    );
    assert_eq!(
        refused(|parts| parts.members[1].id = NodeId::new(1)),
        RingError::MemberOrder(NodeId::new(1))
    );
    assert_eq!(
        refused(|parts| parts.members[2].weight = Weight::DRAINED),
        RingError::Drained(NodeId::new(3))
    );
    assert_eq!(
        refused(|parts| parts.partitions = PartitionCount::MAX),
        RingError::PlaceCount {
            found: 48,
            expected: 3 * 65_536
        }
    );
    assert_eq!(
        refused(|parts| parts.places[7] = 6),
        RingError::NoSuchMember(6)
    );
    assert_eq!(
        refused(|parts| parts.places.splice(45..48, [0, 4, 0]).for_each(drop)),
        RingError::Repeated(NodeId::new(1))
    );
    let crowd = members_in_zones(MEMBERS_MAX as u64 + 1, 1);
    assert_eq!(
        refused(|parts| parts.members = crowd),
        RingError::MemberCount(MEMBERS_MAX + 1)
    );
}

#[test]
fn an_announced_length_out_of_bounds_is_refused_before_anything_is_read() {
    // MessagePack: six fields, of which the fifth is an array of 65,537 * 7 members.
    let mut bytes = vec![0x96, 0x01, 0xc0, 0x10, 0x03, 0xdd];
    bytes.extend_from_slice(&(65_537_u32 * 7).to_be_bytes());
    let error = rmp_serde::from_slice::<Ring>(&bytes)
        .unwrap_err()
        .to_string();
    assert!(error.contains("at most 4096 elements"), "{error}");
}

#[test]
fn more_elements_than_the_bounds_are_refused_where_no_length_is_announced() {
    let json = serde_json::to_string(&ring()).unwrap();
    let places = format!("\"places\":[{}0]", "0,".repeat(65_536 * 7));
    let start = json.find("\"places\"").unwrap();
    let error = serde_json::from_str::<Ring>(&format!("{}{places}}}", &json[..start])).unwrap_err();
    assert!(
        error.to_string().contains("at most 458752 elements"),
        "{error}"
    );
}

#[test]
fn errors_name_what_is_wrong() {
    let mut parts = ring().to_parts();
    parts.places[0] = parts.places[1];
    let json = serde_json::to_string(&parts).unwrap();
    let error = serde_json::from_str::<Ring>(&json).unwrap_err().to_string();
    assert!(error.contains("is twice in one list"), "{error}");
    assert!(serde_json::from_str::<Ring>(&json.replace("\"z1\"", "\"z1/\"")).is_err());
}

#[test]
fn a_digest_covers_everything_a_ring_says() {
    let ring = ring();
    let other = |change: fn(&mut RingParts)| {
        let mut parts = ring.to_parts();
        change(&mut parts);
        Ring::from_parts(parts).unwrap().digest()
    };
    let digests: [RingDigest; 6] = [
        other(|parts| parts.version = RingVersion::new(3)),
        other(|parts| parts.parent = Some(RingDigest::from_bytes([0; 16]))),
        other(|parts| parts.members[5].id = NodeId::new(99)),
        other(|parts| parts.members[0].weight = member(0, "", 99).weight),
        other(|parts| parts.members[0].zone = member(0, "elsewhere", 1).zone),
        other(|parts| parts.places.swap(0, 1)),
    ];
    assert!(digests.into_iter().all(|digest| digest != ring.digest()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_and_cut_bytes_are_refused_or_give_a_sound_ring(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = rmp_serde::to_vec(&ring()).unwrap();
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(ring) = rmp_serde::from_slice::<Ring>(&bytes) {
            crate::common::assert_well_formed(&ring);
            // A sound ring can be followed, whatever claim made it.
            if let Ok(next) = ring.next(&members_in_zones(4, 2)) {
                crate::common::assert_well_formed(&next);
                crate::common::assert_spread_over_zones(&next);
            }
        }
    }
}
