//! The stored cluster map: the version that the directory was made with, and what the register that decides
//! versions must remember, which includes the newest one.
//!
//! ```text
//!  0                     8          12
//!  +---------------------+----------+----------------------------
//!  | "QNOD" 0 0 0 format | checksum | MessagePack: [given, register]
//!  +---------------------+----------+----------------------------
//! ```
//!
//! The checksum is the CRC-32 of everything after it, big endian.

use std::io;
use std::path::Path;

use bytes::Bytes;
use quorate_core::register::{Register, StoredRegisterError, Version, VersionError};
use quorate_protocol::StorageId;
use quorate_protocol::codec::{self, DecodeError};
use quorate_protocol::versioned::VersionedMap;
use serde::{Deserialize, Serialize};

use super::atomic;

const MARK: [u8; 7] = *b"QNOD\0\0\0";
const FORMAT: u8 = 3;
const HEADER_BYTES: usize = 12;

/// What a node knows about its cluster before it speaks to anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapState {
    /// The version that the directory was made with.
    pub given: VersionedMap,
    /// What the register asked to remember; its own format. `None` until it first did.
    pub register: Option<Bytes>,
}

/// Why bytes are no such file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapStateError {
    /// They do not begin as one.
    #[error("this is no map file of a data directory")]
    Mark,
    /// Another build wrote it.
    #[error(
        "the map file has format {0}, this build reads format {FORMAT}: use the build that wrote it"
    )]
    Format(u8),
    /// The checksum does not match.
    #[error(
        "the file is damaged (its checksum does not match): restore it from a backup of this node"
    )]
    Damaged,
    /// The content is none.
    #[error("the file cannot be read: {0}")]
    Content(#[from] DecodeError),
    /// The version contradicts itself.
    #[error("the cluster map contradicts itself: {0}")]
    Contradiction(#[from] VersionError),
    /// The register's part cannot be used.
    #[error(transparent)]
    Register(#[from] StoredRegisterError),
}

impl MapState {
    /// The state of a node that knows nothing but the version it is given.
    #[must_use]
    pub const fn new(given: VersionedMap) -> Self {
        Self {
            given,
            register: None,
        }
    }

    /// The state of a node that is restored from a backup, under another storage id, and whether all
    /// other nodes are restored too: see [`Register::restored`].
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub fn restored(self, storage: StorageId, all: bool) -> Result<Self, MapStateError> {
        let given = Version::seal(self.given.clone())?;
        let register = Register::restored(&given, self.register.as_deref(), storage, all)?;
        Ok(Self {
            register: Some(register.into()),
            ..self
        })
    }

    /// Replaces the file at `path`; durable when it returns.
    ///
    /// # Errors
    /// The file system refused; the old file is still there.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        atomic::replace(path, &self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = MARK.to_vec();
        out.push(FORMAT);
        out.extend_from_slice(&[0; 4]);
        codec::encode(self, &mut out);
        let checksum = crc32fast::hash(&out[HEADER_BYTES..]);
        out[MARK.len() + 1..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        out
    }

    /// Reads the file's bytes and checks all of them.
    ///
    /// # Errors
    /// They are not one whole, undamaged and consistent state of this format.
    pub fn parse(bytes: &[u8]) -> Result<Self, MapStateError> {
        let (mark, rest) = bytes.split_first_chunk::<7>().ok_or(MapStateError::Mark)?;
        if *mark != MARK {
            return Err(MapStateError::Mark);
        }
        let (format, rest) = rest.split_first().ok_or(MapStateError::Mark)?;
        if *format != FORMAT {
            return Err(MapStateError::Format(*format));
        }
        let (checksum, content) = rest
            .split_first_chunk::<4>()
            .ok_or(MapStateError::Damaged)?;
        if u32::from_be_bytes(*checksum) != crc32fast::hash(content) {
            return Err(MapStateError::Damaged);
        }
        let state: Self = codec::decode(content)?;
        state.newest()?;
        Ok(state)
    }

    /// The newest version in it.
    ///
    /// # Errors
    /// What is stored contradicts itself, or is not of the cluster of the version that was given.
    pub fn newest(&self) -> Result<Version, MapStateError> {
        let given = Version::seal(self.given.clone())?;
        Ok(match &self.register {
            Some(stored) => Register::stored_newest(&given, stored)?,
            None => given,
        })
    }
}
