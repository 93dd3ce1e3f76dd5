//! What is read back from disks and from clients' hands: map files, context tokens, records, storage keys.
//!
//! Records and map files carry checksums, which random damage never meets. So most inputs are sealed
//! anew before they are read: what stands behind a right checksum may be wrong all the same.

use std::collections::BTreeSet;

use quorate_core::causality::{Clock, Digest, Object, VersionVector};
use quorate_core::record::{
    self, AlivePeer, AliveRecord, HintRecord, LogKind, LogRecord, RebuildStage, Rebuilding,
    RecordError, RequestRecord, SnapshotSource, VnodeRecord, keys,
};
use quorate_core::token::{self, TokenKey};
use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::{ActorClock, PeerObject};
use quorate_protocol::versioned::{MapVersion, VersionedMap};
use quorate_protocol::{ActorId, ClusterId, map_file};
use quorate_ring::{BucketId, Class, PartitionId, RingVersion};

use super::draw::{Draw, Pool};
use super::source::Source;
use super::{Tally, Target, canonical, messages, must, wire};

macro_rules! record_target {
    ($(#[$doc:meta])* $constant:ident, $name:literal, $draw:ident, $decode:path, $encode:expr) => {
        $(#[$doc])*
        pub(super) const $constant: Target = Target {
            name: $name,
            about: concat!("stored ", $name, " records under right and wrong checksums"),
            draw: $draw,
            check: |input| check_record(input, |key, bytes| {
                $decode(key, bytes).map(|value| ($encode)(key, &value))
            }),
            weight: 1,
        };
    };
}

record_target!(
    /// A key's versions at a vnode.
    OBJECT, "object", draw_object, record::decode_object, |key: &[u8], object: &Object| {
        record::encode_object(key, object).0.to_vec()
    }
);
record_target!(
    /// A key's versions kept for an absent primary.
    HINT, "hint", draw_hint, record::decode_hint, |key: &[u8], hint: &HintRecord| {
        record::encode_hint(key, hint).0.to_vec()
    }
);
record_target!(
    /// An entry of the dot log.
    LOG, "log", draw_log, record::decode_log, |key: &[u8], entry: &LogRecord| {
        record::encode_log(key, entry).to_vec()
    }
);
record_target!(
    /// A vnode's identity and clock.
    VNODE, "vnode", draw_vnode, record::decode_vnode, |key: &[u8], vnode: &VnodeRecord| {
        record::encode_vnode(key, vnode).to_vec()
    }
);
record_target!(
    /// A request's outcome.
    REQUEST, "request", draw_request, record::decode_request, |key: &[u8], request: &RequestRecord| {
        record::encode_request(key, request).to_vec()
    }
);

record_target!(
    /// Who was alive when.
    ALIVE, "alive", draw_alive, record::decode_alive, |key: &[u8], alive: &AliveRecord| {
        record::encode_alive(key, alive).to_vec()
    }
);

record_target!(
    /// A vnode's digest.
    DIGEST, "digest", draw_digest, record::decode_digest, |key: &[u8], digest: &Digest| {
        record::encode_digest(key, digest).to_vec()
    }
);

/// The cluster map as a file.
pub(super) const MAP: Target = Target {
    name: "map",
    about: "cluster map files under right and wrong checksums",
    draw: draw_map,
    check: check_map,
    weight: 1,
};
/// What clients hand back to prove what they saw.
pub(super) const TOKEN: Target = Target {
    name: "token",
    about: "context tokens: of another key, damaged, made up",
    draw: draw_token,
    check: check_token,
    weight: 1,
};
/// Where records lie.
pub(super) const KEY: Target = Target {
    name: "key",
    about: "storage keys of every family",
    draw: draw_key,
    check: check_key,
    weight: 1,
};

const RECORD_HEADER_BYTES: usize = 8;

/// A byte whose lowest bit says whether the checksum is put right, one that tells how long the storage key
/// is, the key, the record.
fn check_record(
    input: &[u8],
    again: impl Fn(&[u8], &[u8]) -> Result<Vec<u8>, RecordError>,
) -> Result<Tally, String> {
    let Some(([flags, length], rest)) = input.split_first_chunk() else {
        return Ok(Tally::REFUSED);
    };
    let (key, record) = rest.split_at(usize::from(*length).min(rest.len()));
    let mut record = record.to_vec();
    if flags & 1 == 0 {
        seal(key, &mut record);
    }
    canonical("a record", again(key, &record), &record)
}

/// Puts a record's checksum right; bytes too short for one stay as they are.
pub(super) fn seal(key: &[u8], record: &mut [u8]) {
    if record.len() < RECORD_HEADER_BYTES {
        return;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&record[..4]);
    hasher.update(&record[RECORD_HEADER_BYTES..]);
    record[4..RECORD_HEADER_BYTES].copy_from_slice(&hasher.finalize().to_be_bytes());
}

fn stored(
    source: &mut Source<'_>,
    encode: impl FnOnce(&mut Draw<'_, '_>, &[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let (length, pool) = (source.index(20), Pool::default());
    let key = source.fill(length);
    let record = encode(&mut Draw::new(source, &pool), &key);
    let flags = u8::from(source.one_in(8));
    let length = u8::try_from(key.len()).unwrap_or(0);
    [&[flags, length], key.as_slice(), &record].concat()
}

/// An object as chance makes it: what breaks a rule of objects is left out.
pub(super) fn object(draw: &mut Draw<'_, '_>) -> Object {
    let mut peer: PeerObject = draw.some();
    for version in &mut peer.versions {
        if let Some(body) = &version.body {
            version.size = body.value.len() as u64;
        }
    }
    peer.versions.sort_by_key(|version| version.dot);
    peer.versions.dedup_by_key(|version| version.dot);
    peer.context.sort_unstable();
    peer.context.dedup_by_key(|entry| entry.0);
    Object::from_peer(peer).unwrap_or_default()
}

fn draw_object(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        record::encode_object(key, &object(draw)).0.to_vec()
    })
}

fn draw_hint(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        let hint = HintRecord {
            object: object(draw),
            settles: draw.some(),
            requests: draw.some(),
            born_ring: RingVersion::new(draw.source.below(300)),
        };
        record::encode_hint(key, &hint).0.to_vec()
    })
}

fn draw_log(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        let entry = LogRecord {
            bucket: BucketId::new(draw.source.bits()),
            key: draw.some(),
            kind: draw
                .source
                .pick([LogKind::Put, LogKind::Delete, LogKind::Merged]),
            request: draw.some(),
            at_ms: draw.source.bits(),
        };
        record::encode_log(key, &entry).to_vec()
    })
}

/// A clock as chance makes it: empty where it breaks a rule of clocks.
pub(super) fn clock(draw: &mut Draw<'_, '_>) -> Clock {
    let mut entries: Vec<ActorClock> = draw.some();
    entries.sort_by_key(|entry| entry.actor);
    entries.dedup_by_key(|entry| entry.actor);
    Clock::from_wire(&entries).unwrap_or_default()
}

fn draw_rebuilding(draw: &mut Draw<'_, '_>) -> Option<Rebuilding> {
    let source = SnapshotSource {
        node: quorate_ring::NodeId::new(draw.source.bits()),
        storage: quorate_protocol::StorageId::new(draw.source.bits()),
        clock: clock(draw),
    };
    let after: Vec<(BucketId, bytes::Bytes)> = draw.some();
    let after = after.into_iter().next();
    let dots: Vec<quorate_protocol::Dot> = draw.some();
    let stage = match draw.source.below(5) {
        0 => return None,
        1 => RebuildStage::Sifting { after },
        2 => RebuildStage::Waiting,
        3 => RebuildStage::Objects { source, after },
        _ => RebuildStage::Log {
            source,
            after: dots.into_iter().find(|dot| dot.counter > 0),
        },
    };
    Some(Rebuilding {
        lost: draw.source.below(2) == 1,
        united: draw.source.below(2) == 1,
        objects: draw.source.below(300),
        stage,
    })
}

fn draw_vnode(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        let actors: Vec<_> = draw.some();
        let promised: BTreeSet<ActorId> = draw.some::<Vec<ActorId>>().into_iter().collect();
        let vnode = VnodeRecord {
            vnode: quorate_protocol::VnodeId::new(draw.source.bits()),
            storage: quorate_protocol::StorageId::new(draw.source.bits()),
            ring: RingVersion::new(draw.source.below(300)),
            epoch: MapVersion::new(draw.source.below(300)),
            complete: (draw.source.below(2) == 1).then(|| MapVersion::new(draw.source.below(300))),
            clock: clock(draw),
            settled: clock(draw),
            actors: actors
                .into_iter()
                .map(|(actor, node, ring)| (actor, (node, ring)))
                .collect(),
            voids: clock(draw).rest_of(promised.iter().copied()),
            promised,
            folding: u16::from(draw.source.below(2) == 1),
            damaged: draw.source.below(2) == 1,
            rebuilding: draw_rebuilding(draw),
        };
        record::encode_vnode(key, &vnode).to_vec()
    })
}

fn draw_alive(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        let nodes: Vec<_> = draw.some();
        let peer = |node| {
            let mut marks: Vec<_> = draw.some();
            marks.sort_unstable();
            let peer = AlivePeer {
                up: draw.source.below(2) == 1,
                excusable: draw.source.below(2) == 1,
                last: draw.source.below(300),
                marks,
            };
            (node, peer)
        };
        let peers = nodes.into_iter().map(peer).collect();
        let alive = AliveRecord {
            shards: draw.some(),
            life: LifeId::new(draw.source.bits()),
            position: draw.source.bits(),
            gap: draw.some(),
            lives: draw.some(),
            peers,
        };
        record::encode_alive(key, &alive).to_vec()
    })
}

fn draw_digest(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        let digest = Digest::from_bytes(std::array::from_fn(|_| draw.source.byte()));
        record::encode_digest(key, &digest).to_vec()
    })
}

fn draw_request(source: &mut Source<'_>) -> Vec<u8> {
    stored(source, |draw, key| {
        let request = RequestRecord {
            dot: draw
                .value()
                .unwrap_or(quorate_protocol::Dot::new(ActorId::new(1), 1)),
            bucket: BucketId::new(draw.source.bits()),
            key: draw.some(),
            at_ms: draw.source.bits(),
        };
        record::encode_request(key, &request).to_vec()
    })
}

const MAP_HEADER_BYTES: usize = 12;

fn draw_map(source: &mut Source<'_>) -> Vec<u8> {
    let (reseal, pool) = (u8::from(source.one_in(8)), Pool::default());
    let mut draw = Draw::new(source, &pool);
    let map = (0..50).find_map(|_| {
        let mut map = messages::map(&mut draw)?;
        // Buckets out of chance are never valid together; now and then they are the point.
        map.buckets.truncate(draw.source.index(2));
        Some(map)
    });
    let file = map
        .map(|map| map_file::encode(&VersionedMap::created(map, 1)))
        .unwrap_or_default();
    [&[reseal], file.as_slice()].concat()
}

fn check_map(input: &[u8]) -> Result<Tally, String> {
    let Some((flags, file)) = input.split_first() else {
        return Ok(Tally::REFUSED);
    };
    let mut file = file.to_vec();
    if flags & 1 == 0 && file.len() >= MAP_HEADER_BYTES {
        let sum = crc32fast::hash(&file[MAP_HEADER_BYTES..]);
        file[8..MAP_HEADER_BYTES].copy_from_slice(&sum.to_be_bytes());
    }
    let decoded = map_file::decode(&file);
    if let Ok(map) = &decoded {
        wire::look_up(&map.map);
    }
    canonical(
        "a map file",
        decoded.map(|map| map_file::encode(&map)),
        &file,
    )
}

const CLUSTER: ClusterId = ClusterId::new(7, 8);
const BUCKETS: [BucketId; 2] = [BucketId::new(1), BucketId::new(2)];
const KEYS: [&[u8]; 4] = [b"k", b"key", b"", b"another"];

/// A byte that says of which bucket and key, then the token.
fn draw_token(source: &mut Source<'_>) -> Vec<u8> {
    let (of, pool) = (source.byte(), Pool::default());
    let mut draw = Draw::new(source, &pool);
    let dots: Vec<_> = draw.some();
    let seen: VersionVector = dots.into_iter().collect();
    let (bucket, key) = token_of(of);
    let token = token::seal(&TokenKey::new([3; 32]), CLUSTER, bucket, key, &seen);
    [&[of], token.as_ref()].concat()
}

fn token_of(of: u8) -> (BucketId, &'static [u8]) {
    (
        BUCKETS[usize::from(of & 1)],
        KEYS[usize::from(of >> 1) % KEYS.len()],
    )
}

/// A token opens for its own key and for no other, and only as it was sealed.
fn check_token(input: &[u8]) -> Result<Tally, String> {
    let Some((&of, token)) = input.split_first() else {
        return Ok(Tally::REFUSED);
    };
    let secret = TokenKey::new([3; 32]);
    let (bucket, key) = token_of(of);
    let opened = token::open(&secret, CLUSTER, bucket, key, token);
    if opened.is_ok() {
        let elsewhere = [
            token::open(&TokenKey::new([4; 32]), CLUSTER, bucket, key, token),
            token::open(&secret, ClusterId::new(7, 9), bucket, key, token),
            token::open(&secret, CLUSTER, token_of(of ^ 1).0, key, token),
            token::open(&secret, CLUSTER, bucket, token_of(of ^ 2).1, token),
        ];
        must(
            elsewhere.iter().all(Result::is_err),
            "a token opens for a key that it was not given for",
        )?;
    }
    let again = opened.map(|seen| token::seal(&secret, CLUSTER, bucket, key, &seen).to_vec());
    canonical("a token", again, token)
}

/// How many kinds of storage keys there are, and the one that random bytes would hardly ever meet.
const KEY_KINDS: u8 = 8;
const DIGEST_KEYS: u8 = 6;

fn draw_key(source: &mut Source<'_>) -> Vec<u8> {
    let length = source.pick([0, 3, 11, 19, 20, 30, 36, 40]) + source.index(3);
    let kind = source.byte();
    let mut key = source.fill(length);
    if let Some(first) = key.first_mut() {
        *first = source.pick([0, 1, 2, 3, u8::MAX]);
    }
    if kind % KEY_KINDS == DIGEST_KEYS && source.below(4) > 0 {
        let class = Class {
            n: source.byte().max(1),
            partition: PartitionId::new(u16::from_be_bytes([source.byte(), source.byte()])),
        };
        key = keys::digest_key(class);
    }
    [&[kind], key.as_slice()].concat()
}

/// A byte that says which family's, then the key.
fn check_key(input: &[u8]) -> Result<Tally, String> {
    let Some((kind, key)) = input.split_first() else {
        return Ok(Tally::REFUSED);
    };
    let again = match kind % KEY_KINDS {
        0 => keys::parse_object_key(key)
            .map(|(class, bucket, key)| keys::object_key(class, bucket, key)),
        1 => keys::parse_hint_key(key)
            .map(|(target, class, bucket, key)| keys::hint_key(target, class, bucket, key)),
        2 => keys::parse_log_key(key).map(|(class, dot)| keys::log_key(class, dot)),
        3 => keys::parse_request_key(key).map(|(class, request)| keys::request_key(class, request)),
        4 => keys::parse_vnode_key(key).map(keys::vnode_key),
        5 => keys::parse_expiry_key(key)
            .map(|(at, class, bucket, key)| keys::expiry_key(at, class, bucket, key)),
        DIGEST_KEYS => keys::parse_digest_key(key).map(keys::digest_key),
        _ => keys::parse_chunk_key(key).map(|(owner, class, bucket, dot, piece)| {
            keys::chunk_key(owner, class, bucket, dot, piece)
        }),
    };
    canonical("a storage key", again.ok_or(()), key)
}
