//! The first version of the cluster map as a file: what `quorate cluster create` writes and every node starts from.
//!
//! ```text
//!  0                     8          12
//!  +---------------------+----------+----------------------------
//!  | "QMAP" 0 0 0 format | checksum | the version, MessagePack
//!  +---------------------+----------+----------------------------
//! ```
//!
//! The checksum is the CRC-32 of everything after it, big endian.

use crate::codec::{self, DecodeError};
use crate::versioned::VersionedMap;

const MARK: [u8; 4] = *b"QMAP";
const FORMAT: u32 = 4;
const HEADER_BYTES: usize = 12;

/// Why bytes are no cluster map file of this version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapFileError {
    /// The first bytes are not ours, or too few.
    #[error("this is no cluster map file: it does not start with QMAP")]
    NotAMap,
    /// Written by a later version.
    #[error(
        "the cluster map file has format {0}, this build reads format {FORMAT}: use a newer build"
    )]
    Format(u32),
    /// The checksum differs from the content's.
    #[error(
        "the cluster map file is damaged (its checksum does not match): restore it from another node or a copy"
    )]
    Damaged,
    /// The content is no cluster map.
    #[error("the cluster map file cannot be read: {0}")]
    Content(#[from] DecodeError),
    /// The content contradicts itself.
    #[error("the cluster map file contradicts itself: {0}")]
    Contradiction(String),
}

/// The bytes of the file.
#[must_use]
pub fn encode(map: &VersionedMap) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    codec::encode(map, &mut out);
    let checksum = crc32fast::hash(&out[HEADER_BYTES..]);
    out[8..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    out
}

/// Reads the file's bytes and checks all of them, the map's own rules included.
///
/// # Errors
/// The bytes are not one whole, undamaged and consistent map of this format.
pub fn decode(bytes: &[u8]) -> Result<VersionedMap, MapFileError> {
    let (mark, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(MapFileError::NotAMap)?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or(MapFileError::NotAMap)?;
    if *mark != MARK {
        return Err(MapFileError::NotAMap);
    }
    match u32::from_be_bytes(*format) {
        FORMAT => {}
        other => return Err(MapFileError::Format(other)),
    }
    let (checksum, content) = rest.split_first_chunk::<4>().ok_or(MapFileError::Damaged)?;
    if u32::from_be_bytes(*checksum) != crc32fast::hash(content) {
        return Err(MapFileError::Damaged);
    }
    let map: VersionedMap = codec::decode(content)?;
    map.check().map_err(MapFileError::Contradiction)?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quorate_ring::{NodeId, PartitionCount, Placed, Ring, Weight, Zone};

    use super::*;
    use crate::ids::ClusterId;
    use crate::map::{ClusterMap, FORMAT_LEVEL, Member};

    fn map() -> VersionedMap {
        let id = NodeId::new(7);
        let placed = Placed {
            id,
            zone: Zone::default(),
            weight: Weight::default(),
        };
        let map = ClusterMap {
            cluster: ClusterId::new(1, 2),
            name: "test".to_owned(),
            format_level: FORMAT_LEVEL,
            members: vec![Member {
                id,
                name: "n1".to_owned(),
                peer_addresses: vec!["127.0.0.1:1".to_owned()],
                client_addresses: vec!["127.0.0.1:2".to_owned()],
                zone: Zone::default(),
                weight: Weight::default(),
            }],
            ring: Ring::first(PartitionCount::new(8).unwrap(), 3, &[placed]).unwrap(),
            buckets: Vec::new(),
        };
        VersionedMap::created(map, 1_700_000_000_000)
    }

    #[test]
    fn a_map_comes_back_from_its_file() {
        assert_eq!(decode(&encode(&map())), Ok(map()));
    }

    #[test]
    fn other_files_and_later_formats_are_named_as_such() {
        assert_eq!(decode(b""), Err(MapFileError::NotAMap));
        assert_eq!(decode(b"hello, world, hello"), Err(MapFileError::NotAMap));
        let mut later = encode(&map());
        later[7] = 5;
        assert_eq!(decode(&later), Err(MapFileError::Format(5)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = encode(&map());
        for at in 0..whole.len() {
            assert!(decode(&whole[..at]).is_err(), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert!(decode(&flipped).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn a_map_that_contradicts_itself_is_refused() {
        let mut wrong = map();
        wrong.map.members.clear();
        assert!(matches!(
            decode(&encode(&wrong)),
            Err(MapFileError::Contradiction(_))
        ));
    }
}
