//! I11 for requests: a put that is sent again gets no second dot while somebody who can be asked remembers
//! the first one.
//!
//! White box: it looks at every dot that a primary gives out, and at what the other nodes' disks say of the
//! request at that moment. Judged in weathers where links work, lose nothing and are quick (calm and
//! returning). Left out are nodes that have not run for 3 s, which others may not know to be back; what is
//! remembered for less than 200 ms, for the question may have come before it; dots of fallbacks; and
//! deletes, which may read for long between the question and the dot.
//!
//! Sources: riak_core issues 1046 and 1754, where a put was coordinated twice.

use quorate_core::record::{LogKind, decode_log, decode_request, keys};
use quorate_core::{Family, Write};
use quorate_protocol::ids::{Dot, RequestId};
use quorate_ring::Class;

/// After so much time up a node is known to be up, microseconds.
const KNOWN_US: u64 = 3_000_000;
/// What is known for so long was known when it was asked for, milliseconds.
const OLD_MS: u64 = 200;

/// A dot that was just given out for a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The class.
    pub class: Class,
    /// The put.
    pub request: RequestId,
    /// The dot.
    pub dot: Dot,
}

impl Minted {
    /// Under which key nodes remember the put.
    #[must_use]
    pub fn request_key(&self) -> Vec<u8> {
        keys::request_key(self.class, self.request)
    }
}

/// The dots that a batch gives out for puts.
pub fn minted(writes: &[Write]) -> impl Iterator<Item = Minted> {
    writes.iter().filter_map(|write| {
        let Write::Put {
            family: Family::Log,
            key,
            value,
        } = write
        else {
            return None;
        };
        let (class, dot) = keys::parse_log_key(key)?;
        let entry = decode_log(key, value).ok()?;
        let request = entry.request.filter(|_| entry.kind == LogKind::Put)?;
        Some(Minted {
            class,
            request,
            dot,
        })
    })
}

/// One node when a dot is given out.
#[derive(Clone, Copy, Debug)]
pub struct Witness<'a> {
    /// Its place.
    pub node: usize,
    /// It has run for so long, microseconds.
    pub up_us: u64,
    /// What it has stored of the request.
    pub record: Option<&'a [u8]>,
}

/// What is wrong with a dot that a node gave out, which had run for `up_us`.
#[must_use]
pub fn judge(
    minted: &Minted,
    up_us: u64,
    wall_ms: u64,
    witnesses: &[Witness<'_>],
) -> Option<String> {
    let storage_key = minted.request_key();
    let remembers = |witness: &Witness<'_>| {
        let known = decode_request(&storage_key, witness.record?).ok()?;
        let old = known.at_ms + OLD_MS <= wall_ms && known.dot != minted.dot;
        (old && witness.up_us >= KNOWN_US).then_some((witness.node, known.dot))
    };
    let (node, dot) = witnesses
        .iter()
        .find_map(remembers)
        .filter(|_| up_us >= KNOWN_US)?;
    Some(format!(
        "the request {} was carried out again as {}, although node {node} was there and knew it as {dot}",
        minted.request, minted.dot
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use quorate_core::record::{RequestRecord, encode_request};
    use quorate_protocol::ids::ActorId;
    use quorate_ring::{BucketId, PartitionId};

    fn put(counter: u64) -> Minted {
        Minted {
            class: Class {
                n: 3,
                partition: PartitionId::new(1),
            },
            request: RequestId::new(1, 7),
            dot: Dot::new(ActorId::new(1), counter),
        }
    }

    fn remembered(counter: u64, at_ms: u64) -> Bytes {
        let record = RequestRecord {
            dot: put(counter).dot,
            bucket: BucketId::new(1),
            key: Bytes::from_static(b"k1"),
            at_ms,
        };
        encode_request(&put(counter).request_key(), &record)
    }

    fn found(up_us: u64, witness_up_us: u64, record: &[u8]) -> bool {
        let witness = Witness {
            node: 4,
            up_us: witness_up_us,
            record: Some(record),
        };
        judge(&put(2), up_us, 10_000, &[witness]).is_some()
    }

    #[test]
    fn a_second_dot_is_wrong_where_the_first_was_known() {
        assert!(found(KNOWN_US, KNOWN_US, &remembered(1, 9_000)));
        assert!(!found(KNOWN_US, KNOWN_US, &remembered(2, 9_000)));
    }

    #[test]
    fn who_is_not_back_for_long_and_what_is_not_known_for_long_is_left_out() {
        assert!(!found(KNOWN_US - 1, KNOWN_US, &remembered(1, 9_000)));
        assert!(!found(KNOWN_US, KNOWN_US - 1, &remembered(1, 9_000)));
        assert!(!found(KNOWN_US, KNOWN_US, &remembered(1, 9_900)));
        let nobody = Witness {
            node: 4,
            up_us: KNOWN_US,
            record: None,
        };
        assert!(judge(&put(2), KNOWN_US, 10_000, &[nobody]).is_none());
    }
}
