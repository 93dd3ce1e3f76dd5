//! The stored cluster map with what the agreement on it must remember.
//!
//! ```text
//!  0                     8          12
//!  +---------------------+----------+----------------------------
//!  | "QNOD" 0 0 0 format | checksum | MessagePack: [map, agreement]
//!  +---------------------+----------+----------------------------
//! ```
//!
//! The checksum is the CRC-32 of everything after it, big endian.

use std::io;
use std::path::Path;

use bytes::Bytes;
use quorate_protocol::codec::{self, DecodeError};
use quorate_protocol::map::ClusterMap;
use serde::{Deserialize, Serialize};

use super::atomic;

const MARK: [u8; 8] = *b"QNOD\0\0\0\x01";
const HEADER_BYTES: usize = 12;

/// What a node knows about its cluster before it speaks to anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapState {
    /// The map the directory was made with.
    pub map: ClusterMap,
    /// What the agreement machine asked to remember; its own format.
    pub agreement: Option<Bytes>,
}

/// Why bytes are no such file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapStateError {
    /// They do not begin as one of this format.
    #[error("this is no map file of this format")]
    Mark,
    /// The checksum does not match.
    #[error(
        "the file is damaged (its checksum does not match): restore it from a backup of this node"
    )]
    Damaged,
    /// The content is none.
    #[error("the file cannot be read: {0}")]
    Content(#[from] DecodeError),
    /// The map contradicts itself.
    #[error("the cluster map contradicts itself: {0}")]
    Contradiction(String),
}

impl MapState {
    /// Replaces the file at `path`; durable when it returns.
    ///
    /// # Errors
    /// The file system refused; the old file is still there.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        atomic::replace(path, &self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = MARK.to_vec();
        out.extend_from_slice(&[0; 4]);
        codec::encode(self, &mut out);
        let checksum = crc32fast::hash(&out[HEADER_BYTES..]);
        out[MARK.len()..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        out
    }

    /// Reads the file's bytes and checks all of them.
    ///
    /// # Errors
    /// They are not one whole, undamaged and consistent state of this format.
    pub fn parse(bytes: &[u8]) -> Result<Self, MapStateError> {
        let (mark, rest) = bytes.split_first_chunk::<8>().ok_or(MapStateError::Mark)?;
        if *mark != MARK {
            return Err(MapStateError::Mark);
        }
        let (checksum, content) = rest
            .split_first_chunk::<4>()
            .ok_or(MapStateError::Damaged)?;
        if u32::from_be_bytes(*checksum) != crc32fast::hash(content) {
            return Err(MapStateError::Damaged);
        }
        let state: Self = codec::decode(content)?;
        state.map.check().map_err(MapStateError::Contradiction)?;
        Ok(state)
    }
}
