//! A session as text.
//!
//! `qs1.` and base64 of: the cluster's id (16 bytes), a MessagePack array of exact writes and one
//! of bounds, each entry `[n, partition, actor, counter]`, and the CRC-32 of all before it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quorate_protocol::codec;
use quorate_protocol::limits::SESSION_DOTS_MAX;
use quorate_protocol::{ActorId, ClusterId, Dot};
use quorate_ring::{Class, PartitionId};

use super::seen::Seen;
use crate::error::Error;

const VERSION: &str = "qs1.";
/// Longest text that is read: some ten thousand entries.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

type Entry = (u8, u16, u64, u64);

/// The text of a session.
pub(super) fn encode(cluster: ClusterId, seen: &Seen) -> String {
    let exact: Vec<Entry> = seen
        .exact()
        .map(|(class, dot)| entry(class, dot.actor, dot.counter))
        .collect();
    let bounds: Vec<Entry> = seen
        .bounds()
        .map(|(class, actor, counter)| entry(class, actor, counter))
        .collect();
    let mut bytes = cluster.to_bytes().to_vec();
    codec::encode(&(exact, bounds), &mut bytes);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Reads a text back.
pub(super) fn decode(cluster: ClusterId, text: &str) -> Result<Seen, Error> {
    let damaged =
        || Error::fix("the session token is damaged: use the text that was exported, unchanged");
    let text = text.trim();
    let Some(text) = text.strip_prefix(VERSION) else {
        return Err(Error::fix(format!(
            "this is no session token of this version: it begins with {VERSION}"
        )));
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(damaged());
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| damaged())?;
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err(damaged());
    }
    let (of, entries) = content.split_first_chunk::<16>().ok_or_else(damaged)?;
    let of = ClusterId::from_bytes(*of);
    if of != cluster {
        return Err(Error::fix(format!(
            "the session token belongs to cluster {of}, this is cluster {cluster}"
        )));
    }
    let (exact, bounds): (Vec<Entry>, Vec<Entry>) =
        codec::decode(entries).map_err(|_| damaged())?;
    if exact.len() > SESSION_DOTS_MAX {
        return Err(damaged());
    }
    let mut seen = Seen::default();
    for (n, partition, actor, counter) in bounds {
        seen.add_up_to(class(n, partition), ActorId::new(actor), counter);
    }
    for (n, partition, actor, counter) in exact {
        seen.add(
            class(n, partition),
            &[Dot::new(ActorId::new(actor), counter)],
        );
    }
    Ok(seen)
}

const fn entry(class: Class, actor: ActorId, counter: u64) -> Entry {
    (class.n, class.partition.get(), actor.get(), counter)
}

const fn class(n: u8, partition: u16) -> Class {
    Class {
        n,
        partition: PartitionId::new(partition),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const CLUSTER: ClusterId = ClusterId::new(1, 2);

    fn some() -> Seen {
        let mut seen = Seen::default();
        seen.add(
            class(3, 7),
            &[
                Dot::new(ActorId::new(u64::MAX), 1),
                Dot::new(ActorId::new(5), 9),
            ],
        );
        seen.add_up_to(class(2, 63), ActorId::new(8), 1000);
        seen
    }

    #[test]
    fn a_session_survives_its_text() {
        assert_eq!(decode(CLUSTER, &encode(CLUSTER, &some())).unwrap(), some());
        assert_eq!(
            decode(CLUSTER, &encode(CLUSTER, &Seen::default())).unwrap(),
            Seen::default()
        );
    }

    #[test]
    fn the_format_is_frozen() {
        assert_eq!(
            encode(CLUSTER, &some()),
            "qs1.AAAAAAAAAAEAAAAAAAAAApKSlAMHz___________AZQDBwUJkZQCPwjNA-hpDm9F"
        );
    }

    #[test]
    fn tokens_of_other_clusters_versions_and_hands_are_refused() {
        let text = encode(CLUSTER, &some());
        let refused = |text: &str| decode(CLUSTER, text).unwrap_err().to_string();
        assert!(
            decode(ClusterId::new(1, 3), &text)
                .unwrap_err()
                .to_string()
                .contains("belongs to cluster")
        );
        assert!(refused("").contains("begins with qs1."));
        assert!(refused(&text.replace("qs1.", "qs2.")).contains("begins with qs1."));
        assert!(refused(&text[..text.len() - 1]).contains("damaged"));
        assert!(refused(&text.replacen("AAEA", "AAEB", 1)).contains("damaged"));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_grows_memory(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(CLUSTER, &text).is_err());
            let mut bytes = bytes;
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            let _ = decode(CLUSTER, &format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(bytes)));
        }
    }
}
