//! The bytes of every format, fixed. A file in `fixtures/` is never edited once a version was released.
//!
//! A test here that fails means: what lies on somebody's disk, or in somebody's token, would not be
//! read any more. If a layout has to change, give the new one the next number (`record::FORMAT`, or the
//! token's version), keep the reader of the old one, let the old fixtures prove that it still reads them, and
//! add new fixtures named after the new number. A missing fixture's test prints the file to add.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use bytes::Bytes;
use quorate_core::causality::{Body, Clock, Content, Digest, Object, Version};
use quorate_core::record::{
    self, AlivePeer, AliveRecord, HintRecord, LogKind, LogRecord, RebuildStage, Rebuilding,
    RequestRecord, SnapshotSource, SweptRecord, VnodeRecord, keys,
};
use quorate_core::token::{self, TokenKey};
use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::{ActorClock, AliveMark, ENDLESS};
use quorate_protocol::versioned::MapVersion;
use quorate_protocol::{ActorId, ClusterId, Dot, RequestId, StorageId, VnodeId};
use quorate_ring::{BucketId, Class, NodeId, PartitionId, RingVersion};

const CLASS: Class = Class {
    n: 3,
    partition: PartitionId::new(0x0117),
};
const BUCKET: BucketId = BucketId::new(0xb0b1_b2b3_b4b5_b6b7);
const KEY: &[u8] = b"colour/of/the sky";
const REQUEST: RequestId = RequestId::new(0xa0a1_a2a3_a4a5_a6a7, 9);
const TARGET: NodeId = NodeId::new(0x7071_7273_7475_7677);
/// 2026-01-01T00:00:00Z.
const WALL_MS: u64 = 1_767_225_600_000;

fn dot(actor: u64, counter: u64) -> Dot {
    Dot::new(ActorId::new(0x1011_1213_1415_1600 + actor), counter)
}

fn small() -> Object {
    let content = Content {
        value: Bytes::from_static(b"blue"),
        ..Content::default()
    };
    let version = Version {
        dot: dot(1, 1),
        stamp: WALL_MS << 16,
        expires_ms: 0,
        request: RequestId::new(0, 0),
        size: 4,
        body: Body::Whole(content),
    };
    Object {
        versions: vec![version],
        ..Object::default()
    }
}

fn full() -> Object {
    let meta = vec![
        ("author".to_owned(), Bytes::from_static(b"me")),
        ("mood".to_owned(), Bytes::new()),
    ];
    let content = Content {
        value: Bytes::from_static(b"grey"),
        content_type: "text/plain".to_owned(),
        meta: meta.clone(),
    };
    let rich = Version {
        dot: dot(1, 300),
        stamp: WALL_MS << 16 | 5,
        expires_ms: WALL_MS + 60_000,
        request: REQUEST,
        size: 4,
        body: Body::Whole(content),
    };
    let chunked = Body::Chunked {
        content_type: "image/png".to_owned(),
        meta,
        pieces: 3,
    };
    let pieces = Version {
        dot: dot(2, 7),
        expires_ms: 0,
        size: 150_000,
        body: chunked,
        ..rich.clone()
    };
    let absent = Version {
        dot: dot(3, 1),
        size: 12,
        body: Body::Absent,
        ..rich.clone()
    };
    Object {
        versions: vec![rich, pieces, absent],
        context: [dot(1, 299), dot(4, 70_000)].into_iter().collect(),
    }
}

fn hint() -> HintRecord {
    HintRecord {
        object: small(),
        settles: vec![dot(1, 1), dot(9, 130)],
        requests: vec![(REQUEST, dot(1, 1))],
        born_ring: RingVersion::new(1),
    }
}

fn vnode() -> VnodeRecord {
    let clock = [
        ActorClock {
            actor: dot(1, 1).actor,
            base: 300,
            runs: vec![(302, 1), (310, 1000)],
        },
        ActorClock {
            actor: dot(2, 1).actor,
            base: 0,
            runs: vec![(2, 6)],
        },
    ];
    VnodeRecord {
        vnode: VnodeId::new(0x2021_2223_2425_2627),
        storage: StorageId::new(0x3031_3233_3435_3637),
        ring: RingVersion::new(1),
        epoch: MapVersion::new(300),
        complete: None,
        clock: Clock::from_wire(&clock).unwrap(),
        settled: Clock::from_wire(&clock[..1]).unwrap(),
        actors: BTreeMap::from([(dot(1, 1).actor, (TARGET, RingVersion::new(1)))]),
        promised: BTreeSet::from([dot(4, 1).actor]),
        folding: 3,
        voids: Clock::from_wire(&[ActorClock {
            actor: dot(3, 1).actor,
            base: 0,
            runs: vec![(4, 2), (9, ENDLESS - 8)],
        }])
        .unwrap(),
        damaged: true,
        rebuilding: None,
    }
}

#[test]
fn a_small_object_has_the_bytes_of_format_5_and_costs_36_beside_key_and_value() {
    let storage_key = keys::object_key(CLASS, BUCKET, KEY);
    let (bytes, pieces) = record::encode_object(&storage_key, &small());
    assert!(pieces.is_empty());
    assert_eq!(storage_key.len() + bytes.len() - KEY.len() - 4, 11 + 8 + 17);
    check(
        "6-object-small",
        &storage_key,
        &bytes,
        &small(),
        record::decode_object,
    );
}

#[test]
fn a_full_object_has_the_bytes_of_format_5() {
    let storage_key = keys::object_key(CLASS, BUCKET, KEY);
    let (bytes, pieces) = record::encode_object(&storage_key, &full());
    assert!(pieces.is_empty(), "its large value lies in pieces already");
    check(
        "6-object-full",
        &storage_key,
        &bytes,
        &full(),
        record::decode_object,
    );
}

#[test]
fn a_deleted_object_has_the_bytes_of_format_5() {
    let object = Object {
        versions: Vec::new(),
        context: [dot(1, 1)].into_iter().collect(),
    };
    let storage_key = keys::object_key(CLASS, BUCKET, KEY);
    let (bytes, _) = record::encode_object(&storage_key, &object);
    check(
        "6-object-deleted",
        &storage_key,
        &bytes,
        &object,
        record::decode_object,
    );
}

#[test]
fn a_hint_has_the_bytes_of_format_5() {
    let storage_key = keys::hint_key(TARGET, CLASS, BUCKET, KEY);
    let (bytes, _) = record::encode_hint(&storage_key, &hint());
    check("6-hint", &storage_key, &bytes, &hint(), record::decode_hint);
}

#[test]
fn log_entries_have_the_bytes_of_format_5() {
    let entry = |kind, request| LogRecord {
        bucket: BUCKET,
        key: Bytes::from_static(KEY),
        kind,
        request,
        at_ms: WALL_MS,
    };
    let storage_key = keys::log_key(CLASS, dot(1, 300));
    let all = [
        ("6-log-put", entry(LogKind::Put, Some(REQUEST))),
        ("6-log-delete", entry(LogKind::Delete, Some(REQUEST))),
        ("6-log-merged", entry(LogKind::Merged, None)),
    ];
    for (name, entry) in all {
        check(
            name,
            &storage_key,
            &record::encode_log(&storage_key, &entry),
            &entry,
            record::decode_log,
        );
    }
}

#[test]
fn a_vnode_has_the_bytes_of_format_5() {
    let storage_key = keys::vnode_key(CLASS);
    check(
        "6-vnode",
        &storage_key,
        &record::encode_vnode(&storage_key, &vnode()),
        &vnode(),
        record::decode_vnode,
    );
}

#[test]
fn who_was_alive_has_the_bytes_of_format_5() {
    let mark = |shard| AliveMark {
        shard,
        life: LifeId::new(0x5051_5253_5455_5657),
        position: 300,
    };
    let peer = AlivePeer {
        up: true,
        excusable: false,
        last: 200,
        marks: vec![mark(0), mark(130)],
    };
    let away = AlivePeer {
        excusable: true,
        ..AlivePeer::default()
    };
    let record = AliveRecord {
        shards: 1,
        life: LifeId::new(0x4041_4243_4445_4647),
        position: 301,
        gap: Some(290),
        lives: vec![(LifeId::new(0x3031_3233_3435_3637), 289)],
        peers: BTreeMap::from([(TARGET, peer), (NodeId::new(7), away)]),
    };
    let settled = AliveRecord {
        gap: None,
        lives: Vec::new(),
        ..record.clone()
    };
    let storage_key = keys::alive_key(0x0102);
    for (name, record) in [("6-alive", record), ("6-alive-settled", settled)] {
        let bytes = record::encode_alive(&storage_key, &record);
        check(name, &storage_key, &bytes, &record, record::decode_alive);
    }
}

#[test]
fn a_digest_has_the_bytes_of_format_5() {
    let digest = Digest::of_object(BUCKET, KEY, &full());
    let storage_key = keys::digest_key(CLASS);
    let bytes = record::encode_digest(&storage_key, &digest);
    check(
        "6-digest",
        &storage_key,
        &bytes,
        &digest,
        record::decode_digest,
    );
}

#[test]
fn what_was_removed_of_dropped_buckets_has_the_bytes_of_format_5() {
    let swept = SweptRecord {
        shards: 3,
        dropped: MapVersion::new(1_000),
    };
    let storage_key = keys::swept_key(2);
    let bytes = record::encode_swept(&storage_key, swept);
    check(
        "6-swept",
        &storage_key,
        &bytes,
        &swept,
        record::decode_swept,
    );
}

#[test]
fn a_vnode_that_is_rebuilt_has_the_bytes_of_format_5() {
    let source = SnapshotSource {
        node: TARGET,
        storage: StorageId::new(0x4041_4243_4445_4647),
        clock: vnode().clock,
    };
    let key = (BUCKET, Bytes::from_static(KEY));
    let stages = [
        (
            "sifting",
            RebuildStage::Sifting {
                after: Some(key.clone()),
            },
        ),
        ("waiting", RebuildStage::Waiting),
        ("united", RebuildStage::Waiting),
        (
            "objects",
            RebuildStage::Objects {
                source: source.clone(),
                after: Some(key),
            },
        ),
        (
            "log",
            RebuildStage::Log {
                source,
                after: Some(dot(1, 300)),
            },
        ),
    ];
    let storage_key = keys::vnode_key(CLASS);
    for (name, stage) in stages {
        let rebuilding = Rebuilding {
            lost: name != "log" && name != "united",
            united: name == "united",
            objects: 300,
            stage,
        };
        let vnode = VnodeRecord {
            damaged: false,
            rebuilding: Some(rebuilding),
            ..vnode()
        };
        check(
            &format!("6-vnode-{name}"),
            &storage_key,
            &record::encode_vnode(&storage_key, &vnode),
            &vnode,
            record::decode_vnode,
        );
    }
}

#[test]
fn a_request_has_the_bytes_of_format_5() {
    let request = RequestRecord {
        dot: dot(1, 300),
        bucket: BUCKET,
        key: Bytes::from_static(KEY),
        at_ms: WALL_MS,
    };
    let storage_key = keys::request_key(CLASS, REQUEST);
    let bytes = record::encode_request(&storage_key, &request);
    check(
        "6-request",
        &storage_key,
        &bytes,
        &request,
        record::decode_request,
    );
}

#[test]
fn a_piece_has_the_bytes_of_format_5() {
    let value = Bytes::from(vec![7; 65_536 + 5]);
    let content = Content {
        value: value.clone(),
        ..Content::default()
    };
    let version = Version {
        size: value.len() as u64,
        body: Body::Whole(content),
        ..small().versions.remove(0)
    };
    let (_, pieces) = record::encode_object(
        b"",
        &Object {
            versions: vec![version],
            ..Object::default()
        },
    );
    let (dot, number, bytes) = pieces.last().unwrap();
    let storage_key = keys::chunk_key(keys::ChunkOwner::Hint(TARGET), CLASS, BUCKET, *dot, *number);
    compare("record-6-piece", &storage_key, bytes);
}

#[test]
fn an_expiry_is_noted_with_the_bytes_of_format_5() {
    let storage_key = keys::expiry_key(WALL_MS + 60_000, CLASS, BUCKET, KEY);
    compare("record-6-expiry", &storage_key, b"");
}

#[test]
fn a_token_has_the_bytes_of_version_1() {
    let (secret, cluster) = (TokenKey::new([42; 32]), ClusterId::new(1, 2));
    let seen = [dot(1, 300), dot(2, 7)].into_iter().collect();
    let token = token::seal(&secret, cluster, BUCKET, KEY, &seen);
    let fixture = compare("token-1", KEY, &token);
    assert_eq!(
        token::open(&secret, cluster, BUCKET, KEY, &fixture),
        Ok(seen)
    );
}

/// Both directions: today's writer makes these bytes, and today's reader reads them.
fn check<T, E>(
    name: &str,
    storage_key: &[u8],
    bytes: &[u8],
    expected: &T,
    decode: impl Fn(&[u8], &[u8]) -> Result<T, E>,
) where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    let fixture = compare(&format!("record-{name}"), storage_key, bytes);
    assert_eq!(decode(storage_key, &fixture).as_ref(), Ok(expected));
}

fn compare(name: &str, key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("{name}.hex"));
    let actual = format!("key\n{}bytes\n{}", hex(key), hex(bytes));
    let Ok(expected) = std::fs::read_to_string(&path) else {
        panic!(
            "no fixture tests/fixtures/{name}.hex; if the format is new, add the file:\n{actual}"
        );
    };
    assert_eq!(
        actual, expected,
        "{name}: the format changed under its number"
    );
    unhex(expected.split_once("bytes\n").unwrap().1)
}

/// 16 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| {
        line.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            + "\n"
    };
    bytes.chunks(16).map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
