//! Storage keys: where a record lies. All numbers are big endian, so that keys order as their parts do
//! and everything of one class, bucket or target is one range.
//!
//! ```text
//! class          n u8, partition u16
//! object         class, bucket u64, key
//! hint           target node u64, class, bucket u64, key
//! log entry      class, actor u64, counter u64
//! vnode          class
//! digest         class, "digest" (among the vnodes)
//! who was alive  0xff, "alive", shard u16 (among the vnodes)
//! lost mark      0xff, "lost", class (among the vnodes)
//! swept          0xff, "swept", shard u16 (among the vnodes)
//! request        class, request id (16 bytes)
//! expiry         milliseconds since 1970 u64, class, bucket u64, key
//! piece          owner, class, bucket u64, actor u64, counter u64, piece u32
//!   owner        0 (the vnode), or 1 and the target node u64 (a hint)
//! ```
//!
//! A range is a pair (from, to) and holds what is at least `from` and less than `to`.

use quorate_protocol::{ActorId, Dot, RequestId};
use quorate_ring::{BucketId, Class, NodeId, PartitionId};

/// From, and up to but without.
pub type KeyRange = (Vec<u8>, Vec<u8>);

/// No class begins so, nor is any as long.
const ALIVE: &[u8] = b"\xffalive";
const LOST: &[u8] = b"\xfflost";
const SWEPT: &[u8] = b"\xffswept";
/// Behind a class: no vnode's key is longer than its class.
const DIGEST: &[u8] = b"digest";
const OWNER_VNODE: u8 = 0;
const OWNER_HINT: u8 = 1;

/// To whose record a piece of a large value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkOwner {
    /// The vnode's own object.
    Vnode,
    /// A hint for this node.
    Hint(NodeId),
}

/// Every key of every family.
#[must_use]
pub fn everything() -> KeyRange {
    // Of no family does a key begin with so many: nodes, times and actors are followed by a class.
    (Vec::new(), vec![u8::MAX; 9])
}

/// Where an object lies.
#[must_use]
pub fn object_key(class: Class, bucket: BucketId, key: &[u8]) -> Vec<u8> {
    join(&[&class_bytes(class), &bucket.get().to_be_bytes(), key])
}

/// All objects of one bucket in one class.
#[must_use]
pub fn object_range(class: Class, bucket: BucketId) -> KeyRange {
    below(object_key(class, bucket, &[]))
}

/// All objects of one bucket in one class whose keys begin so.
#[must_use]
pub fn object_prefix_range(class: Class, bucket: BucketId, prefix: &[u8]) -> KeyRange {
    below(object_key(class, bucket, prefix))
}

/// Everything of one class, in the families whose keys start with it: objects, log, requests.
#[must_use]
pub fn class_range(class: Class) -> KeyRange {
    below(class_bytes(class).to_vec())
}

/// The class of a key of a family that is sorted by class; `None` if it is none.
#[must_use]
pub fn parse_class(storage_key: &[u8]) -> Option<Class> {
    split_class(storage_key).map(|(class, _)| class)
}

/// The parts of an object's storage key; `None` if it is none.
#[must_use]
pub fn parse_object_key(storage_key: &[u8]) -> Option<(Class, BucketId, &[u8])> {
    let (class, rest) = split_class(storage_key)?;
    let (bucket, key) = split_u64(rest)?;
    Some((class, BucketId::new(bucket), key))
}

/// Where a hint lies.
#[must_use]
pub fn hint_key(target: NodeId, class: Class, bucket: BucketId, key: &[u8]) -> Vec<u8> {
    join(&[&target.get().to_be_bytes(), &object_key(class, bucket, key)])
}

/// All hints for one node.
#[must_use]
pub fn hint_range(target: NodeId) -> KeyRange {
    below(target.get().to_be_bytes().to_vec())
}

/// All hints for one node in one class.
#[must_use]
pub fn hint_class_range(target: NodeId, class: Class) -> KeyRange {
    below(join(&[&target.get().to_be_bytes(), &class_bytes(class)]))
}

/// All hints for one node in one class and bucket.
#[must_use]
pub fn hint_bucket_range(target: NodeId, class: Class, bucket: BucketId) -> KeyRange {
    below(hint_key(target, class, bucket, &[]))
}

/// The parts of a hint's storage key; `None` if it is none.
#[must_use]
pub fn parse_hint_key(storage_key: &[u8]) -> Option<(NodeId, Class, BucketId, &[u8])> {
    let (target, rest) = split_u64(storage_key)?;
    let (class, bucket, key) = parse_object_key(rest)?;
    Some((NodeId::new(target), class, bucket, key))
}

/// Where a dot's log entry lies.
#[must_use]
pub fn log_key(class: Class, dot: Dot) -> Vec<u8> {
    join(&[&class_bytes(class), &dot_bytes(dot)])
}

/// All log entries of one class, by actor and counter.
#[must_use]
pub fn log_range(class: Class) -> KeyRange {
    class_range(class)
}

/// The log entries of `length` dots of one actor from counter `first`.
#[must_use]
pub fn log_run_range(class: Class, actor: ActorId, first: u64, length: u64) -> KeyRange {
    let last = Dot::new(actor, first.saturating_add(length.saturating_sub(1)));
    let from = log_key(class, Dot::new(actor, first));
    if length == 0 {
        (from.clone(), from)
    } else {
        (from, below(log_key(class, last)).1)
    }
}

/// The log entries of all actors of so many generations, the first ones.
#[must_use]
pub fn log_generations_range(class: Class, generations: u64) -> KeyRange {
    let first = Dot::new(ActorId::FOLDED, 0);
    let next = u16::try_from(generations.saturating_add(1)).unwrap_or(u16::MAX);
    let end = Dot::new(ActorId::drawn(next, 0), 0);
    (log_key(class, first), log_key(class, end))
}

/// The parts of a log entry's storage key; `None` if it is none.
#[must_use]
pub fn parse_log_key(storage_key: &[u8]) -> Option<(Class, Dot)> {
    let (class, rest) = split_class(storage_key)?;
    let (dot, rest) = split_dot(rest)?;
    rest.is_empty().then_some((class, dot))
}

/// Where a request's outcome lies.
#[must_use]
pub fn request_key(class: Class, request: RequestId) -> Vec<u8> {
    join(&[&class_bytes(class), &request.to_bytes()])
}

/// All requests of one class.
#[must_use]
pub fn request_range(class: Class) -> KeyRange {
    class_range(class)
}

/// The parts of a request's storage key; `None` if it is none.
#[must_use]
pub fn parse_request_key(storage_key: &[u8]) -> Option<(Class, RequestId)> {
    let (class, rest) = split_class(storage_key)?;
    Some((class, RequestId::from_bytes(rest.try_into().ok()?)))
}

/// Where a vnode's record lies.
#[must_use]
pub fn vnode_key(class: Class) -> Vec<u8> {
    class_bytes(class).to_vec()
}

/// All vnodes of this node.
#[must_use]
pub fn vnodes_range() -> KeyRange {
    below(Vec::new())
}

/// The class of a vnode's storage key; `None` if it is none.
#[must_use]
pub fn parse_vnode_key(storage_key: &[u8]) -> Option<Class> {
    let (class, rest) = split_class(storage_key)?;
    rest.is_empty().then_some(class)
}

/// Where a vnode's digest lies.
#[must_use]
pub fn digest_key(class: Class) -> Vec<u8> {
    join(&[&class_bytes(class), DIGEST])
}

/// The class of a digest's storage key; `None` if it is none.
#[must_use]
pub fn parse_digest_key(storage_key: &[u8]) -> Option<Class> {
    let (class, rest) = split_class(storage_key)?;
    (rest == DIGEST).then_some(class)
}

/// Where a replica keeps who was alive when.
#[must_use]
pub fn alive_key(shard: u16) -> Vec<u8> {
    join(&[ALIVE, &shard.to_be_bytes()])
}

/// The records of who was alive when, of this shard and all later ones.
#[must_use]
pub fn alive_range_from(shard: u16) -> KeyRange {
    (alive_key(shard), below(ALIVE.to_vec()).1)
}

/// Where storage leaves word that it lost something of a class.
#[must_use]
pub fn lost_key(class: Class) -> Vec<u8> {
    join(&[LOST, &class_bytes(class)])
}

/// The class of which storage left such a word; `None` if the key is none of these.
#[must_use]
pub fn parse_lost_key(storage_key: &[u8]) -> Option<Class> {
    let (class, rest) = split_class(storage_key.strip_prefix(LOST)?)?;
    rest.is_empty().then_some(class)
}

/// Where a replica keeps what it has removed of dropped buckets.
#[must_use]
pub fn swept_key(shard: u16) -> Vec<u8> {
    join(&[SWEPT, &shard.to_be_bytes()])
}

/// The class with which a storage key starts, in the families whose keys do: objects, log, vnodes,
/// requests.
#[must_use]
pub fn class_of_key(storage_key: &[u8]) -> Option<Class> {
    split_class(storage_key).map(|(class, _)| class)
}

/// Where it is noted that an object has a version that expires at this time.
#[must_use]
pub fn expiry_key(expires_ms: u64, class: Class, bucket: BucketId, key: &[u8]) -> Vec<u8> {
    join(&[&expires_ms.to_be_bytes(), &object_key(class, bucket, key)])
}

/// All that is noted of times from this one on.
#[must_use]
pub fn expiry_range_from(expires_ms: u64) -> KeyRange {
    // Behind the last time and any class, whose first byte is a small number.
    (expires_ms.to_be_bytes().to_vec(), vec![u8::MAX; 12])
}

/// The parts of what is noted about an expiry: the time, and where the object lies; `None` if it is none.
#[must_use]
pub fn parse_expiry_key(storage_key: &[u8]) -> Option<(u64, Class, BucketId, &[u8])> {
    let (expires_ms, rest) = split_u64(storage_key)?;
    let (class, bucket, key) = parse_object_key(rest)?;
    Some((expires_ms, class, bucket, key))
}

/// Where a piece of a large value lies.
#[must_use]
pub fn chunk_key(
    owner: ChunkOwner,
    class: Class,
    bucket: BucketId,
    dot: Dot,
    piece: u32,
) -> Vec<u8> {
    join(&[
        &version_prefix(owner, class, bucket, dot),
        &piece.to_be_bytes(),
    ])
}

/// All pieces of one version's value.
#[must_use]
pub fn chunk_range(owner: ChunkOwner, class: Class, bucket: BucketId, dot: Dot) -> KeyRange {
    below(version_prefix(owner, class, bucket, dot))
}

/// All pieces of one owner in one class.
#[must_use]
pub fn chunk_class_range(owner: ChunkOwner, class: Class) -> KeyRange {
    below(join(&[&owner_bytes(owner), &class_bytes(class)]))
}

/// All pieces of one owner in one class and bucket.
#[must_use]
pub fn chunk_bucket_range(owner: ChunkOwner, class: Class, bucket: BucketId) -> KeyRange {
    let object = object_key(class, bucket, &[]);
    below(join(&[&owner_bytes(owner), &object]))
}

/// All pieces that belong to hints.
#[must_use]
pub fn hint_chunks_range() -> KeyRange {
    below(vec![OWNER_HINT])
}

/// The parts of a piece's storage key; `None` if it is none.
#[must_use]
pub fn parse_chunk_key(storage_key: &[u8]) -> Option<(ChunkOwner, Class, BucketId, Dot, u32)> {
    let (owner, rest) = split_owner(storage_key)?;
    let (class, bucket, rest) = parse_object_key(rest)?;
    let (dot, rest) = split_dot(rest)?;
    Some((
        owner,
        class,
        bucket,
        dot,
        u32::from_be_bytes(rest.try_into().ok()?),
    ))
}

fn version_prefix(owner: ChunkOwner, class: Class, bucket: BucketId, dot: Dot) -> Vec<u8> {
    join(&[
        &owner_bytes(owner),
        &class_bytes(class),
        &bucket.get().to_be_bytes(),
        &dot_bytes(dot),
    ])
}

fn owner_bytes(owner: ChunkOwner) -> Vec<u8> {
    match owner {
        ChunkOwner::Vnode => vec![OWNER_VNODE],
        ChunkOwner::Hint(target) => join(&[&[OWNER_HINT], &target.get().to_be_bytes()]),
    }
}

fn class_bytes(class: Class) -> [u8; 3] {
    let [high, low] = class.partition.get().to_be_bytes();
    [class.n, high, low]
}

fn dot_bytes(dot: Dot) -> Vec<u8> {
    join(&[&dot.actor.get().to_be_bytes(), &dot.counter.to_be_bytes()])
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// All keys that start with `prefix`.
fn below(prefix: Vec<u8>) -> KeyRange {
    let mut to = prefix.clone();
    while let Some(last) = to.pop() {
        if last < u8::MAX {
            to.push(last + 1);
            return (prefix, to);
        }
    }
    // Nothing but 0xff, or nothing at all: what may follow is a class, whose first byte is the
    // number of copies, a small number.
    to.clone_from(&prefix);
    to.push(u8::MAX);
    (prefix, to)
}

fn split_class(bytes: &[u8]) -> Option<(Class, &[u8])> {
    let ([n, high, low], rest) = bytes.split_first_chunk()?;
    Some((
        Class {
            n: *n,
            partition: PartitionId::new(u16::from_be_bytes([*high, *low])),
        },
        rest,
    ))
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn split_dot(bytes: &[u8]) -> Option<(Dot, &[u8])> {
    let (actor, rest) = split_u64(bytes)?;
    let (counter, rest) = split_u64(rest)?;
    Some((Dot::new(ActorId::new(actor), counter), rest))
}

fn split_owner(bytes: &[u8]) -> Option<(ChunkOwner, &[u8])> {
    match bytes.split_first()? {
        (&OWNER_VNODE, rest) => Some((ChunkOwner::Vnode, rest)),
        (&OWNER_HINT, rest) => {
            split_u64(rest).map(|(target, rest)| (ChunkOwner::Hint(NodeId::new(target)), rest))
        }
        _ => None,
    }
}
