//! Records against whatever a disk may return instead of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::causality::{Body, Clock, Content, Digest, Object, Version};
use quorate_core::record::{
    self, HintRecord, LogKind, LogRecord, RebuildStage, Rebuilding, RecordError, RecordKind,
    RequestRecord, SnapshotSource, VnodeRecord,
};
use quorate_protocol::versioned::MapVersion;
use quorate_protocol::{ActorId, Dot, RequestId, StorageId, VnodeId};
use quorate_ring::{BucketId, NodeId, RingVersion};

const PIECE: usize = 64 * 1024;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>(), Just(u64::MAX)]
}

fn dot() -> impl Strategy<Value = Dot> {
    (number(), number()).prop_map(|(actor, counter)| Dot::new(ActorId::new(actor), counter.max(1)))
}

fn request() -> impl Strategy<Value = RequestId> {
    (0..2u64, number()).prop_map(|(high, low)| RequestId::new(high, low))
}

fn bytes(length: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..length).prop_map(Bytes::from)
}

fn content() -> impl Strategy<Value = Content> {
    let meta = prop::collection::vec((".{0,5}", bytes(9)), 0..3);
    (bytes(90), ".{0,9}", meta).prop_map(|(value, content_type, meta)| Content {
        value,
        content_type,
        meta,
    })
}

fn body() -> impl Strategy<Value = (u64, Body)> {
    prop_oneof![
        4 => content().prop_map(|content| (content.value.len() as u64, Body::Whole(content))),
        1 => (number(), content(), any::<u32>()).prop_map(|(size, content, pieces)| {
            (size, Body::Chunked { content_type: content.content_type, meta: content.meta, pieces })
        }),
        1 => number().prop_map(|size| (size, Body::Absent)),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    let stamp = prop_oneof![any::<u64>(), any::<u64>().prop_map(|stamp| stamp << 16)];
    (
        dot(),
        stamp,
        prop_oneof![Just(0), number()],
        request(),
        body(),
    )
        .prop_map(|(dot, stamp, expires_ms, request, (size, body))| Version {
            dot,
            stamp,
            expires_ms,
            request,
            size,
            body,
        })
}

fn object() -> impl Strategy<Value = Object> {
    (
        prop::collection::vec(version(), 0..4),
        prop::collection::vec(dot(), 0..5),
    )
        .prop_map(|(mut versions, context)| {
            versions.sort_by_key(|version| version.dot);
            versions.dedup_by_key(|version| version.dot);
            Object {
                versions,
                context: context.into_iter().collect(),
            }
        })
}

fn hint() -> impl Strategy<Value = HintRecord> {
    let requests = prop::collection::vec((request(), dot()), 0..3);
    (
        object(),
        prop::collection::vec(dot(), 0..4),
        requests,
        number(),
    )
        .prop_map(|(object, settles, requests, ring)| HintRecord {
            object,
            settles,
            requests,
            born_ring: RingVersion::new(ring),
        })
}

fn log() -> impl Strategy<Value = LogRecord> {
    let kind = prop::sample::select(vec![LogKind::Put, LogKind::Delete, LogKind::Merged]);
    (
        number(),
        bytes(40),
        kind,
        prop::option::of(request()),
        number(),
    )
        .prop_map(|(bucket, key, kind, request, at_ms)| LogRecord {
            bucket: BucketId::new(bucket),
            key,
            kind,
            request,
            at_ms,
        })
}

fn rebuilding() -> impl Strategy<Value = Rebuilding> {
    let source = (number(), number(), prop::collection::vec(dot(), 0..9));
    let key = prop::option::of((number(), prop::collection::vec(any::<u8>(), 0..9)));
    let place = (
        source,
        key,
        prop::option::of(dot()),
        0..4,
        any::<(bool, bool)>(),
    );
    place.prop_map(|((node, objects, dots), key, dot, stage, (lost, united))| {
        let source = SnapshotSource {
            node: NodeId::new(node),
            storage: StorageId::new(!node),
            clock: clock(dots),
        };
        let after = key.map(|(bucket, key)| (BucketId::new(bucket), Bytes::from(key)));
        let stage = match stage {
            0 => RebuildStage::Sifting { after },
            1 => RebuildStage::Waiting,
            2 => RebuildStage::Objects { source, after },
            _ => RebuildStage::Log { source, after: dot },
        };
        Rebuilding {
            lost,
            united,
            objects,
            stage,
        }
    })
}

fn vnode() -> impl Strategy<Value = VnodeRecord> {
    let actors =
        prop::collection::btree_map(number().prop_map(ActorId::new), (number(), number()), 0..4);
    (
        number(),
        number(),
        prop::collection::vec(dot(), 0..30),
        prop::collection::vec(dot(), 0..30),
        actors,
        any::<bool>(),
        prop::option::of(rebuilding()),
        prop::collection::btree_set(number().prop_map(ActorId::new), 0..4),
    )
        .prop_map(
            |(vnode, ring, dots, settled, actors, damaged, rebuilding, promised)| VnodeRecord {
                vnode: VnodeId::new(vnode),
                storage: StorageId::new(!vnode),
                ring: RingVersion::new(ring),
                epoch: MapVersion::new(ring / 2),
                complete: (ring % 3 == 0).then(|| MapVersion::new(ring / 3)),
                voids: clock(dots.clone()).rest_of(promised.iter().copied()),
                promised,
                folding: 7,
                clock: clock(dots),
                settled: clock(settled),
                actors: actors
                    .into_iter()
                    .map(|(actor, (node, ring))| {
                        (actor, (NodeId::new(node), RingVersion::new(ring)))
                    })
                    .collect(),
                damaged,
                rebuilding,
            },
        )
}

fn clock(dots: Vec<Dot>) -> Clock {
    let mut clock = Clock::new();
    for dot in dots {
        clock.add(dot);
    }
    clock
}

fn seen() -> impl Strategy<Value = RequestRecord> {
    (dot(), number(), bytes(40), number()).prop_map(|(dot, bucket, key, at_ms)| RequestRecord {
        dot,
        bucket: BucketId::new(bucket),
        key,
        at_ms,
    })
}

fn digest() -> impl Strategy<Value = Digest> {
    (any::<[u8; 32]>(), any::<[u8; 16]>()).prop_map(|(sums, counts)| {
        let bytes = sums.into_iter().chain(counts);
        let bytes: Vec<u8> = bytes.collect();
        Digest::from_bytes(bytes.try_into().unwrap())
    })
}

fn swept() -> impl Strategy<Value = record::SweptRecord> {
    any::<(u16, u64)>().prop_map(|(shards, dropped)| record::SweptRecord {
        shards,
        dropped: MapVersion::new(dropped),
    })
}

/// Every reader's verdict on the same bytes.
fn read_all(key: &[u8], bytes: &[u8]) -> Vec<Result<(), RecordError>> {
    vec![
        record::decode_object(key, bytes).map(drop),
        record::decode_hint(key, bytes).map(drop),
        record::decode_log(key, bytes).map(drop),
        record::decode_vnode(key, bytes).map(drop),
        record::decode_request(key, bytes).map(drop),
        record::decode_digest(key, bytes).map(drop),
        record::decode_swept(key, bytes).map(drop),
    ]
}

/// A record of any kind.
fn any_record() -> impl Strategy<Value = (Vec<u8>, Bytes)> {
    let key = prop::collection::vec(any::<u8>(), 0..20);
    let key = || key.clone();
    prop_oneof![
        (key(), object()).prop_map(|(key, object)| {
            let (bytes, _) = record::encode_object(&key, &object);
            (key, bytes)
        }),
        (key(), hint()).prop_map(|(key, hint)| {
            let (bytes, _) = record::encode_hint(&key, &hint);
            (key, bytes)
        }),
        (key(), log()).prop_map(|(key, log)| {
            let bytes = record::encode_log(&key, &log);
            (key, bytes)
        }),
        (key(), vnode()).prop_map(|(key, vnode)| {
            let bytes = record::encode_vnode(&key, &vnode);
            (key, bytes)
        }),
        (key(), seen()).prop_map(|(key, seen)| {
            let bytes = record::encode_request(&key, &seen);
            (key, bytes)
        }),
        (key(), digest()).prop_map(|(key, digest)| {
            let bytes = record::encode_digest(&key, &digest);
            (key, bytes)
        }),
        (key(), swept()).prop_map(|(key, swept)| {
            let bytes = record::encode_swept(&key, swept);
            (key, bytes)
        }),
    ]
}

/// The bytes under a checksum that fits: what only a fault of the program can write.
fn forge(key: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&bytes[..4]);
    hasher.update(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hasher.finalize().to_be_bytes());
    bytes
}

proptest! {
    #[test]
    fn every_record_comes_back(object in object(), hint in hint(), log in log(), vnode in vnode(), seen in seen(), digest in digest(), swept in swept()) {
        let key = b"some key";
        prop_assert_eq!(record::decode_object(key, &record::encode_object(key, &object).0), Ok(object));
        prop_assert_eq!(record::decode_hint(key, &record::encode_hint(key, &hint).0), Ok(hint));
        prop_assert_eq!(record::decode_log(key, &record::encode_log(key, &log)), Ok(log));
        prop_assert_eq!(record::decode_vnode(key, &record::encode_vnode(key, &vnode)), Ok(vnode));
        prop_assert_eq!(record::decode_request(key, &record::encode_request(key, &seen)), Ok(seen));
        prop_assert_eq!(record::decode_digest(key, &record::encode_digest(key, &digest)), Ok(digest));
        prop_assert_eq!(record::decode_swept(key, &record::encode_swept(key, swept)), Ok(swept));
    }

    #[test]
    fn every_flipped_bit_is_damage((key, bytes) in any_record()) {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for verdict in read_all(&key, &flipped) {
                prop_assert!(matches!(verdict, Err(RecordError::Damaged(_))), "bit {} gave {:?}", bit, verdict);
            }
        }
    }

    #[test]
    fn every_truncation_is_damage((key, bytes) in any_record()) {
        for length in 0..bytes.len() {
            for verdict in read_all(&key, &bytes[..length]) {
                prop_assert!(matches!(verdict, Err(RecordError::Damaged(_))), "{} bytes gave {:?}", length, verdict);
            }
        }
    }

    #[test]
    fn a_record_under_another_key_is_damage((key, bytes) in any_record(), other in prop::collection::vec(any::<u8>(), 0..20)) {
        prop_assume!(other != key);
        for verdict in read_all(&other, &bytes) {
            prop_assert!(matches!(verdict, Err(RecordError::Damaged(_))), "{:?}", verdict);
        }
    }

    #[test]
    fn exactly_one_reader_takes_a_record((key, bytes) in any_record()) {
        let verdicts = read_all(&key, &bytes);
        prop_assert_eq!(verdicts.iter().filter(|verdict| verdict.is_ok()).count(), 1);
        let wrong = verdicts.iter().filter(|verdict| matches!(verdict, Err(RecordError::WrongKind { .. })));
        prop_assert_eq!(wrong.count(), verdicts.len() - 1);
    }

    #[test]
    fn random_bytes_are_refused(key in prop::collection::vec(any::<u8>(), 0..9), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read_all(&key, &bytes).iter().all(Result::is_err));
    }

    /// Behind a checksum that fits, too, a reader neither panics nor trusts a length, and what it
    /// takes is what a writer would have written.
    #[test]
    fn random_bodies_are_refused_or_in_the_only_form(
        kind in 1..=5u8, flags in 0..4u8, body in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..60),
    ) {
        let mut bytes = vec![1, kind, 0, flags, 0, 0, 0, 0];
        bytes.extend(body);
        let bytes = forge(b"", bytes);
        if let Ok(object) = record::decode_object(b"", &bytes) {
            prop_assert_eq!(record::encode_object(b"", &object).0, bytes.clone());
        }
        if let Ok(hint) = record::decode_hint(b"", &bytes) {
            prop_assert_eq!(record::encode_hint(b"", &hint).0, bytes.clone());
        }
        if let Ok(log) = record::decode_log(b"", &bytes) {
            prop_assert_eq!(record::encode_log(b"", &log), bytes.clone());
        }
        if let Ok(vnode) = record::decode_vnode(b"", &bytes) {
            prop_assert_eq!(record::encode_vnode(b"", &vnode), bytes.clone());
        }
        if let Ok(seen) = record::decode_request(b"", &bytes) {
            prop_assert_eq!(record::encode_request(b"", &seen), bytes);
        }
    }

    #[test]
    fn forged_changes_of_good_records_never_panic((key, bytes) in any_record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        read_all(&key, &forge(&key, bytes));
    }

    #[test]
    fn large_values_go_through_pieces(length in prop_oneof![Just(PIECE), Just(PIECE + 1), 0..4 * PIECE], seed in any::<u8>()) {
        let value: Bytes = (0..251).map(|byte| byte ^ seed).cycle().take(length).collect::<Vec<u8>>().into();
        let content = Content { value, content_type: "t".into(), meta: vec![("n".into(), "m".into())] };
        let (version, pieces) = stored(&content);
        prop_assert_eq!(pieces.len(), if length > PIECE { length.div_ceil(PIECE) } else { 0 });
        prop_assert!(pieces.iter().all(|piece| piece.len() <= PIECE + 8));
        prop_assert_eq!(record::assemble(&version, &pieces), Ok(content));
    }
}

/// A version as it comes back from storage, and the records of its pieces.
fn stored(content: &Content) -> (Version, Vec<Bytes>) {
    let version = Version {
        dot: Dot::new(ActorId::new(1), 1),
        stamp: 0,
        expires_ms: 0,
        request: RequestId::new(0, 0),
        size: content.value.len() as u64,
        body: Body::Whole(content.clone()),
    };
    let (bytes, pieces) = record::encode_object(
        b"k",
        &Object {
            versions: vec![version],
            ..Object::default()
        },
    );
    let version = record::decode_object(b"k", &bytes)
        .unwrap()
        .versions
        .remove(0);
    (
        version,
        pieces.into_iter().map(|(_, _, piece)| piece).collect(),
    )
}

#[test]
fn pieces_that_are_missing_swapped_damaged_or_anothers_are_refused() {
    let content = Content {
        value: vec![1; 2 * PIECE + 9].into(),
        ..Content::default()
    };
    let (version, pieces) = stored(&content);
    let [a, b, c] = [0, 1, 2].map(|at| pieces[at].clone());
    let damaged = |pieces: &[Bytes]| {
        matches!(
            record::assemble(&version, pieces),
            Err(RecordError::Damaged(_))
        )
    };
    assert_eq!(
        record::assemble(&version, &pieces[..2]),
        Err(RecordError::PiecesMissing {
            expected: 3,
            found: 2
        })
    );
    assert!(damaged(&[b.clone(), a.clone(), c.clone()]));
    assert!(damaged(&[a.clone(), b.clone(), c.slice(..c.len() - 1)]));
    let mut flipped = b.to_vec();
    flipped[700] ^= 1;
    assert!(damaged(&[a.clone(), flipped.into(), c.clone()]));
    let other = Version {
        dot: Dot::new(ActorId::new(2), 1),
        ..version.clone()
    };
    assert!(matches!(
        record::assemble(&other, &pieces),
        Err(RecordError::Damaged(_))
    ));
    let longer = Version {
        size: version.size + 1,
        ..version
    };
    assert!(matches!(
        record::assemble(&longer, &pieces),
        Err(RecordError::Damaged(_))
    ));
    let absent = Version {
        body: Body::Absent,
        ..longer
    };
    assert_eq!(record::assemble(&absent, &[]), Err(RecordError::NoBody));
}

#[test]
fn an_intact_record_of_a_newer_format_is_told_from_damage() {
    let (bytes, _) = record::encode_object(b"k", &Object::default());
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        record::decode_object(b"k", &forge(b"k", bytes)).unwrap_err()
    };
    assert_eq!(with(0, 7), RecordError::NewerFormat { found: 7, known: 6 });
    assert_eq!(with(0, 5), RecordError::OlderFormat { found: 5, known: 6 });
    assert!(matches!(with(0, 0), RecordError::Malformed(_)));
    let data_type = RecordKind::DataType as u8;
    assert_eq!(
        with(1, data_type),
        RecordError::WrongKind {
            expected: RecordKind::Object,
            found: 16
        }
    );
    assert_eq!(with(2, 1), RecordError::UnknownCodec(1));
    assert!(matches!(with(3, 0x80), RecordError::Malformed(_)));
}

#[test]
fn an_enormous_vnode_record_comes_back() {
    let dots = (0..500)
        .flat_map(|actor| (1..40).map(move |at| Dot::new(ActorId::new(actor), at * at)))
        .collect();
    let vnode = VnodeRecord {
        vnode: VnodeId::new(1),
        storage: StorageId::new(2),
        ring: RingVersion::FIRST,
        epoch: MapVersion::FIRST,
        complete: None,
        settled: clock(Vec::new()),
        clock: clock(dots),
        actors: BTreeMap::new(),
        promised: Default::default(),
        folding: 0,
        voids: clock(Vec::new()),
        damaged: false,
        rebuilding: None,
    };
    assert_eq!(
        record::decode_vnode(b"k", &record::encode_vnode(b"k", &vnode)),
        Ok(vnode)
    );
}
