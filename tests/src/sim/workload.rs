//! What clients do: which key, which operation, under which options.

use quorate_protocol::client::{Content, Delete, Get, Keys, Put, SessionNeed};
use quorate_protocol::ids::RequestId;
use quorate_protocol::limits::KEYS_PAGE_MAX;
use quorate_protocol::map::{Bucket, ClusterMap};
use quorate_protocol::options::{Count, ReadOptions, WriteOptions};

use bytes::Bytes;

use super::asking::is_made;
use super::dice::Dice;
use super::history::{Key, Kind, WriteId, value_of};

/// What a client wants to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Read.
    Read,
    /// Read, then write over what was read.
    ReadThenPut,
    /// Read, then delete what was read.
    ReadThenDelete,
    /// Write with whatever context is left of earlier operations.
    PutOver,
    /// Delete with whatever context is left of earlier operations.
    DeleteOver,
    /// Write without a context.
    PutBlind,
    /// Delete without a context.
    DeleteBlind,
    /// Write under a context that no node gave out for this key.
    PutForged,
    /// Delete under a context that no node gave out for this key.
    DeleteForged,
    /// List the keys of the key's partition.
    List,
}

impl Wish {
    /// Its name among the counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadThenPut => "read, then put",
            Self::ReadThenDelete => "read, then delete",
            Self::PutOver => "put over what was read before",
            Self::DeleteOver => "delete what was read before",
            Self::PutBlind => "blind put",
            Self::DeleteBlind => "blind delete",
            Self::PutForged => "put under a forged context",
            Self::DeleteForged => "delete under a forged context",
            Self::List => "list",
        }
    }
}

/// A context that no node gave out for this key: cut short, with a bit flipped, of another key, or made
/// up. `own` and `foreign` are contexts of this key and of another one, if there are any.
pub fn forged(dice: &mut Dice, own: Option<&Bytes>, foreign: Option<&Bytes>) -> Bytes {
    let own = own.filter(|token| token.len() > 1);
    match (dice.below(4), own, foreign) {
        (0, Some(token), _) => token.slice(..1 + dice.index(token.len() - 1)),
        (1, Some(token), _) => {
            let mut bytes = token.to_vec();
            let at = dice.index(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            bytes.into()
        }
        (2, _, Some(token)) if !token.is_empty() => token.clone(),
        (_, _, _) => {
            let length = dice.between(1, 60);
            (0..length)
                .map(|_| u8::try_from(dice.below(256)).unwrap_or(0))
                .collect()
        }
    }
}

/// Keys whose writes ask for a quorum or for all, and know what they replace, and whose reads ask for one
/// answer, a quorum or all: reads with r + w > n must be fresh while only processes die.
#[must_use]
pub const fn is_plain(key: Key) -> bool {
    key.number % 3 == 1
}

/// Keys that are also deleted without a context; what such a delete replaced, clients cannot know.
#[must_use]
pub const fn may_be_wiped(key: Key) -> bool {
    !is_plain(key) && key.number.is_multiple_of(5)
}

/// Where the next key lives: mostly in the first bucket; one in five in one that the run made, once there is one.
pub fn bucket<'a>(dice: &mut Dice, map: &'a ClusterMap) -> Option<&'a Bucket> {
    let made = map.buckets.iter().position(is_made);
    match (dice.below(10), made) {
        (0..7, _) => map.buckets.first(),
        (7, _) => map.buckets.get(1),
        (_, Some(first)) => dice.pick(&map.buckets[first..]),
        (_, None) => map.buckets.last(),
    }
}

/// The next wish for a key.
pub fn wish(dice: &mut Dice, key: Key) -> Wish {
    match dice.below(100) {
        0..35 => Wish::Read,
        35..65 => Wish::ReadThenPut,
        65..73 => Wish::ReadThenDelete,
        73..83 => Wish::PutOver,
        83..86 => Wish::DeleteOver,
        86..94 => Wish::PutBlind,
        94 => Wish::PutForged,
        95 if dice.chance(500) => Wish::DeleteForged,
        95..97 => Wish::List,
        _ if may_be_wiped(key) => Wish::DeleteBlind,
        _ => Wish::Read,
    }
}

fn count(dice: &mut Dice, n: u8) -> Count {
    match dice.below(4) {
        0 => Count::Quorum,
        1 => Count::All,
        _ => Count::Exactly(u8::try_from(dice.between(1, u64::from(n))).unwrap_or(1)),
    }
}

/// The bucket's default, or now and then one of these.
fn either(dice: &mut Dice, others: [Count; 2]) -> Option<Count> {
    dice.chance(500).then(|| others[dice.index(2)])
}

fn optional(dice: &mut Dice, permille: u32, n: u8) -> Option<Count> {
    dice.chance(permille).then(|| count(dice, n))
}

/// Options of a read; so many of a thousand want no fallbacks.
pub fn read_options(dice: &mut Dice, key: Key, bucket: &Bucket, strict: u32) -> ReadOptions {
    let options = drawn_read(dice, key, bucket.props.n, strict);
    if is_made(bucket) {
        spelled_read(options)
    } else {
        options
    }
}

/// Names what a bucket's defaults would decide: those of buckets that runs make change under way.
fn spelled_read(options: ReadOptions) -> ReadOptions {
    ReadOptions {
        r: options.r.or(Some(Count::Quorum)),
        notfound_ok: options.notfound_ok.or(Some(true)),
        basic_quorum: options.basic_quorum.or(Some(false)),
        sloppy: options.sloppy.or(Some(true)),
        ..options
    }
}

fn drawn_read(dice: &mut Dice, key: Key, n: u8, strict: u32) -> ReadOptions {
    if is_plain(key) {
        return ReadOptions {
            r: either(dice, [Count::Exactly(1), Count::All]),
            ..ReadOptions::default()
        };
    }
    ReadOptions {
        r: optional(dice, 600, n),
        pr: optional(dice, 100, n),
        notfound_ok: dice.chance(200).then_some(false),
        basic_quorum: dice.chance(200).then_some(true),
        sloppy: dice.chance(strict).then_some(false),
        stale_ok: dice.chance(50),
        explain: dice.chance(50),
        head: false,
    }
}

/// Options of a write; so many of a thousand want no fallbacks. Durable acknowledgements are at most as many as all.
pub fn write_options(dice: &mut Dice, key: Key, bucket: &Bucket, strict: u32) -> WriteOptions {
    let options = drawn_write(dice, key, bucket.props.n, strict);
    if is_made(bucket) {
        spelled_write(options)
    } else {
        options
    }
}

/// As [`spelled_read`].
fn spelled_write(options: WriteOptions) -> WriteOptions {
    WriteOptions {
        w: options.w.or(Some(Count::Quorum)),
        sloppy: options.sloppy.or(Some(true)),
        ..options
    }
}

fn drawn_write(dice: &mut Dice, key: Key, n: u8, strict: u32) -> WriteOptions {
    if is_plain(key) {
        return WriteOptions {
            w: either(dice, [Count::All, Count::Quorum]),
            ..WriteOptions::default()
        };
    }
    let w = optional(dice, 600, n);
    WriteOptions {
        w,
        pw: optional(dice, 100, n),
        dw: dice.chance(150).then_some(w.unwrap_or(Count::Quorum)),
        sloppy: dice.chance(strict).then_some(false),
        if_none_match: false,
        explain: dice.chance(50),
    }
}

/// Bytes of a value: mostly few, now and then so many that it is stored in pieces.
pub fn size(dice: &mut Dice) -> usize {
    let size = if dice.chance(10) {
        dice.between(60_000, 150_000)
    } else {
        dice.between(8, 300)
    };
    usize::try_from(size).unwrap_or(8)
}

fn resolved(option: Option<Count>, default: Count, n: u8) -> u8 {
    option.unwrap_or(default).resolve("count", n).unwrap_or(0)
}

/// A read as the history remembers it.
#[must_use]
pub fn read_kind(get: &Get, bucket: &Bucket) -> Kind {
    let (n, defaults) = (bucket.props.n, &bucket.props.defaults);
    let r = resolved(get.options.r, defaults.r, n);
    let basic = get.options.basic_quorum.unwrap_or(defaults.basic_quorum);
    Kind::Get {
        r: if basic { r.min(n / 2 + 1) } else { r },
        sloppy: get.options.sloppy.unwrap_or(defaults.sloppy),
        stale_ok: get.options.stale_ok,
        session: get.session.is_some(),
    }
}

/// A write as the history remembers it.
#[must_use]
pub fn write_kind(
    id: WriteId,
    delete: bool,
    seen: Option<std::collections::BTreeSet<WriteId>>,
    options: &WriteOptions,
    bucket: &Bucket,
) -> Kind {
    let (n, defaults) = (bucket.props.n, &bucket.props.defaults);
    Kind::Write {
        id,
        delete,
        seen,
        w: resolved(options.w, defaults.w, n),
        pw: options.pw.map_or(0, |pw| pw.resolve("pw", n).unwrap_or(0)),
        dw: options.dw.map_or(0, |dw| dw.resolve("dw", n).unwrap_or(0)),
        sloppy: options.sloppy.unwrap_or(defaults.sloppy),
    }
}

/// A listing of a key's partition, and as the history remembers it, of so many keys.
#[must_use]
pub fn list(map: &ClusterMap, bucket: &Bucket, key: Key, keys: u32) -> (Kind, Keys) {
    let place = |number| {
        map.ring
            .partition_of(bucket.id, &Key { number, ..key }.bytes())
    };
    let partition = place(key.number);
    let here = (0..keys).filter(|&number| place(number) == partition);
    let kind = Kind::List {
        here: here.collect(),
        // No bucket's defaults ask for less.
        r: resolved(None, Count::Quorum, bucket.props.n),
    };
    let request = Keys {
        bucket: bucket.id,
        partition,
        after: None,
        limit: u32::try_from(KEYS_PAGE_MAX).unwrap_or(u32::MAX),
    };
    (kind, request)
}

/// A read.
#[must_use]
pub fn get(key: Key, options: ReadOptions, session: Option<SessionNeed>) -> Get {
    Get {
        bucket: key.bucket,
        key: key.bytes(),
        options,
        session,
    }
}

/// The time to live that a put names, milliseconds: for so many of a thousand a short one, now and then
/// one that outlives the run; sometimes `never`. Once all is healed, none is long.
pub fn ttl_ms(dice: &mut Dice, permille: u32, healed: bool) -> Option<u64> {
    if !dice.chance(permille) {
        return dice.chance(100).then_some(0);
    }
    Some(match dice.below(20) {
        0 => 1,
        1..4 => dice.between(1, 1_000),
        _ if healed => dice.between(1, 2_000),
        4..14 => dice.between(1_000, 8_000),
        14..19 => dice.between(8_000, 20_000),
        _ => A_DAY_MS,
    })
}

/// Longer than any run.
const A_DAY_MS: u64 = 86_400_000;

/// A put of the value that belongs to a write.
#[must_use]
pub fn put(
    key: Key,
    id: WriteId,
    size: usize,
    context: Option<Bytes>,
    options: WriteOptions,
) -> Put {
    Put {
        bucket: key.bucket,
        key: key.bytes(),
        content: Content {
            value: value_of(id, size),
            ..Content::default()
        },
        context,
        options,
        request: request_of(id),
        retry: false,
        ttl_ms: None,
    }
}

/// A delete.
#[must_use]
pub fn delete(key: Key, id: WriteId, context: Option<Bytes>, options: WriteOptions) -> Delete {
    Delete {
        bucket: key.bucket,
        key: key.bytes(),
        context,
        options,
        request: request_of(id),
        retry: false,
    }
}

/// The request id of a write: the same over all its tries.
#[must_use]
pub const fn request_of(id: WriteId) -> RequestId {
    RequestId::new(0x5155_4f52_4154_4553, id.0)
}
