//! The durable state as bytes.
//!
//! ```text
//!  0                8          12             28
//!  +----------------+----------+--------------+-----------------+--------------
//!  | "QBKT"  format | checksum | cluster id   | buckets in force| buckets kept
//!  +----------------+----------+--------------+-----------------+--------------
//! ```
//!
//! The checksum is the CRC-32 of everything after it. A list is a varint count and its buckets,
//! strictly ascending by name. A bucket is its id (8 bytes), name (varint length, UTF-8), revision
//! (varint), n, mode (0 siblings, 1 lww), flags, and counts: r, w, then those of pr, pw and dw that the flags
//! announce, and at last, if they announce it, the time to live (varint, milliseconds). Flags:
//! 1 `notfound_ok`, 2 `basic_quorum`, 4 `sloppy`, 8 has pr, 16 has pw, 32 has dw, 64 has a time to live. A count is 0 for
//! `quorum`, 255 for `all`, or the number. Fixed numbers are big endian; `record` says what a varint is.

use quorate_protocol::ClusterId;
use quorate_protocol::limits::{BUCKETS_MAX, TTL_MS_MAX};
use quorate_protocol::map::{Bucket, BucketMode, BucketProps};
use quorate_protocol::options::{Count, QuorumDefaults};
use quorate_ring::BucketId;

use super::rules::Rules;
use crate::record::{Reader, RecordError, Writer};

const MARK: [u8; 4] = *b"QBKT";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 12;
/// Id, a name of one letter, revision, n, mode, flags, r and w.
const BUCKET_BYTES_MIN: usize = 16;

const NOTFOUND_OK: u8 = 1;
const BASIC_QUORUM: u8 = 2;
const SLOPPY: u8 = 4;
const HAS_PR: u8 = 8;
const HAS_PW: u8 = 16;
const HAS_DW: u8 = 32;
const HAS_TTL: u8 = 64;
const FLAGS: u8 = 127;

/// Why stored bytes are not this node's state.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoredError {
    /// Not ours, cut short or altered.
    #[error(
        "they are damaged ({0}): remove the file, and the node learns the buckets in force from its peers"
    )]
    Damaged(&'static str),
    /// Written by a later version.
    #[error("they have format {0}, this build reads format {FORMAT}: use a newer build")]
    Format(u32),
    /// Of another cluster.
    #[error("they belong to cluster {0}: give this node a data directory of its own")]
    OtherCluster(ClusterId),
}

/// The bytes of a state.
pub(super) fn encode(cluster: ClusterId, rules: &Rules) -> Vec<u8> {
    let mut writer = Writer::new(&cluster.to_bytes());
    write_list(&mut writer, rules.in_force());
    write_list(&mut writer, rules.all_kept());
    let content = writer.into_bytes();
    let mut out = Vec::with_capacity(HEADER_BYTES + content.len());
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&content).to_be_bytes());
    out.extend_from_slice(&content);
    out
}

/// The bytes of a list, for digests and comparisons.
pub(super) fn buckets(buckets: &[Bucket]) -> Vec<u8> {
    let mut writer = Writer::new(&[]);
    write_list(&mut writer, buckets.iter());
    writer.into_bytes()
}

/// Reads a state of this cluster.
pub(super) fn decode(cluster: ClusterId, bytes: &[u8]) -> Result<Rules, StoredError> {
    let mut header = Reader::new(bytes);
    if header.array()? != MARK {
        return Err(StoredError::Damaged("they do not start with QBKT"));
    }
    match u32::from_be_bytes(header.array()?) {
        FORMAT => {}
        other => return Err(StoredError::Format(other)),
    }
    let checksum = u32::from_be_bytes(header.array()?);
    let content = header.rest();
    if crc32fast::hash(content) != checksum {
        return Err(StoredError::Damaged("their checksum does not match"));
    }
    let mut reader = Reader::new(content);
    let written_for = ClusterId::from_bytes(reader.array()?);
    if written_for != cluster {
        return Err(StoredError::OtherCluster(written_for));
    }
    let rules = Rules::from_lists(read_list(&mut reader)?, read_list(&mut reader)?);
    reader.end()?;
    Ok(rules)
}

fn write_list<'a>(writer: &mut Writer, buckets: impl ExactSizeIterator<Item = &'a Bucket>) {
    writer.length(buckets.len());
    buckets.for_each(|bucket| write_bucket(writer, bucket));
}

fn read_list(reader: &mut Reader<'_>) -> Result<Vec<Bucket>, StoredError> {
    let count = reader.count(BUCKET_BYTES_MIN)?;
    if count > BUCKETS_MAX {
        return Err(StoredError::Damaged(
            "they have more buckets than there can be",
        ));
    }
    let buckets: Vec<Bucket> = (0..count)
        .map(|_| read_bucket(reader))
        .collect::<Result<_, _>>()?;
    if buckets.is_sorted_by(|a, b| a.name < b.name) {
        Ok(buckets)
    } else {
        Err(StoredError::Damaged("their buckets are out of order"))
    }
}

fn write_bucket(writer: &mut Writer, bucket: &Bucket) {
    let BucketProps { n, mode, defaults } = &bucket.props;
    writer.u64(bucket.id.get());
    writer.bytes(bucket.name.as_bytes());
    writer.varint(bucket.revision);
    writer.u8(*n);
    writer.u8(match mode {
        BucketMode::Siblings => 0,
        BucketMode::Lww => 1,
    });
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    writer.u8(flag(defaults.notfound_ok, NOTFOUND_OK)
        | flag(defaults.basic_quorum, BASIC_QUORUM)
        | flag(defaults.sloppy, SLOPPY)
        | flag(defaults.pr.is_some(), HAS_PR)
        | flag(defaults.pw.is_some(), HAS_PW)
        | flag(defaults.dw.is_some(), HAS_DW)
        | flag(defaults.ttl_ms > 0, HAS_TTL));
    let counts = [
        Some(defaults.r),
        Some(defaults.w),
        defaults.pr,
        defaults.pw,
        defaults.dw,
    ];
    counts
        .into_iter()
        .flatten()
        .for_each(|count| write_count(writer, count));
    if defaults.ttl_ms > 0 {
        writer.varint(defaults.ttl_ms);
    }
}

fn read_bucket(reader: &mut Reader<'_>) -> Result<Bucket, StoredError> {
    let id = BucketId::new(reader.u64()?);
    let name = reader.text()?;
    let revision = reader.varint()?;
    let n = reader.u8()?;
    let mode = match reader.u8()? {
        0 => BucketMode::Siblings,
        1 => BucketMode::Lww,
        _ => {
            return Err(StoredError::Damaged(
                "they name a bucket mode that does not exist",
            ));
        }
    };
    let flags = reader.u8()?;
    if flags & !FLAGS != 0 {
        return Err(StoredError::Damaged("they have flags that do not exist"));
    }
    let has = |flag: u8| flags & flag != 0;
    let (r, w) = (read_count(reader)?, read_count(reader)?);
    let mut optional = |flag: u8| has(flag).then(|| read_count(reader)).transpose();
    let (pr, pw, dw) = (optional(HAS_PR)?, optional(HAS_PW)?, optional(HAS_DW)?);
    let ttl_ms = if has(HAS_TTL) { reader.varint()? } else { 0 };
    if has(HAS_TTL) && !(1..=TTL_MS_MAX).contains(&ttl_ms) {
        return Err(StoredError::Damaged(
            "they have a time to live that cannot be",
        ));
    }
    let defaults = QuorumDefaults {
        r,
        w,
        pr,
        pw,
        dw,
        ttl_ms,
        notfound_ok: has(NOTFOUND_OK),
        basic_quorum: has(BASIC_QUORUM),
        sloppy: has(SLOPPY),
    };
    Ok(Bucket {
        id,
        name,
        revision,
        props: BucketProps { n, mode, defaults },
    })
}

fn write_count(writer: &mut Writer, count: Count) {
    writer.u8(match count {
        Count::Quorum => 0,
        Count::All => u8::MAX,
        Count::Exactly(number) => number,
    });
}

fn read_count(reader: &mut Reader<'_>) -> Result<Count, StoredError> {
    Ok(match reader.u8()? {
        0 => Count::Quorum,
        u8::MAX => Count::All,
        number => Count::Exactly(number),
    })
}

impl From<RecordError> for StoredError {
    fn from(_: RecordError) -> Self {
        Self::Damaged("a field is cut short or cannot be")
    }
}
