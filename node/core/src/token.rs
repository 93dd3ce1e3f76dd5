//! The context token: what a client has seen of a key, sealed so that it can be handed back and not made up.
//!
//! ```text
//! byte 0        version: 1
//! byte 1        key id: which secret sealed it (one so far: 0)
//! payload       entries until the checksum, ascending by actor: actor u64 big endian, counter LEB128
//! last 16       checksum: the first half of the keyed BLAKE3 hash of cluster id (16 bytes), bucket id
//!               u64, length of the key u64, key, version, key id, payload
//! ```
//!
//! The secret is the cluster's; the checksum binds the token to cluster, bucket and key. A token of
//! one key, used on another, would delete what nobody read.

use bytes::Bytes;
use quorate_protocol::limits::CONTEXT_BYTES_MAX;
use quorate_protocol::{ClusterId, Dot};
use quorate_ring::BucketId;

use crate::causality::VersionVector;
use crate::record::{Reader, Writer};

const VERSION: u8 = 1;
const KEY_ID: u8 = 0;
const HEAD_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 16;
const PURPOSE: &str = "Quorate context token, version 1";

/// The secret that seals a cluster's tokens.
#[derive(Clone)]
pub struct TokenKey([u8; blake3::KEY_LEN]);

impl TokenKey {
    /// Derives the sealing key from 32 secret bytes that all nodes of the cluster share.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(blake3::derive_key(PURPOSE, &secret))
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(secret)")
    }
}

/// Why a token was not taken. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than any token of ours that a client may send.
    #[error("context token of {found} bytes; at most {CONTEXT_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length, bytes.
        found: usize,
    },
    /// Too short to be one.
    #[error(
        "context token of {found} bytes was cut off: the shortest has {min}; send the token as it was given"
    )]
    Truncated {
        /// Its length, bytes.
        found: usize,
        /// The shortest token's length, bytes.
        min: usize,
    },
    /// Of another version of the format.
    #[error(
        "context token of version {found}, known is {VERSION}: read the key again to get a new one"
    )]
    Version {
        /// Its version.
        found: u8,
    },
    /// Sealed with a secret that is not in use.
    #[error(
        "context token sealed with key {found}, which is not in use: read the key again to get a new one"
    )]
    UnknownKey {
        /// Its key id.
        found: u8,
    },
    /// The checksum does not fit.
    #[error(
        "context token of another key, bucket or cluster, or damaged: read this key and send its own token"
    )]
    WrongChecksum,
    /// Sealed by this cluster and not a version vector: a fault of the program.
    #[error("context token with a malformed payload under a correct checksum: read the key again")]
    Malformed,
}

/// The token that says a client has seen `seen` of this key.
#[must_use]
pub fn seal(
    secret: &TokenKey,
    cluster: ClusterId,
    bucket: BucketId,
    key: &[u8],
    seen: &VersionVector,
) -> Bytes {
    let mut token = Writer::new(&[VERSION, KEY_ID]);
    for (actor, counter) in seen.iter() {
        token.dot(Dot::new(actor, counter));
    }
    let mut token = token.into_bytes();
    let sum = checksum(secret, cluster, bucket, key, &token);
    token.extend_from_slice(&sum);
    Bytes::from(token)
}

/// What the client that sends this token has seen of this key.
///
/// # Errors
/// The token is too long, cut off, of another version or secret, of another key, bucket or cluster,
/// or altered in any bit.
pub fn open(
    secret: &TokenKey,
    cluster: ClusterId,
    bucket: BucketId,
    key: &[u8],
    token: &[u8],
) -> Result<VersionVector, TokenError> {
    if token.len() > CONTEXT_BYTES_MAX {
        return Err(TokenError::TooLong { found: token.len() });
    }
    let truncated = TokenError::Truncated {
        found: token.len(),
        min: HEAD_BYTES + CHECKSUM_BYTES,
    };
    let (sealed, sum) = token
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(truncated.clone())?;
    let ([version, key_id], payload) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(truncated)?;
    if *version != VERSION {
        return Err(TokenError::Version { found: *version });
    }
    if *key_id != KEY_ID {
        return Err(TokenError::UnknownKey { found: *key_id });
    }
    if !same(*sum, checksum(secret, cluster, bucket, key, sealed)) {
        return Err(TokenError::WrongChecksum);
    }
    read(payload).ok_or(TokenError::Malformed)
}

fn read(payload: &[u8]) -> Option<VersionVector> {
    let mut reader = Reader::new(payload);
    let mut seen = VersionVector::new();
    while !reader.is_empty() {
        let dot = reader.dot().ok()?;
        seen.push(dot.actor, dot.counter).ok()?;
    }
    Some(seen)
}

fn checksum(
    secret: &TokenKey,
    cluster: ClusterId,
    bucket: BucketId,
    key: &[u8],
    sealed: &[u8],
) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(&secret.0);
    hasher.update(&cluster.to_bytes());
    hasher.update(&bucket.get().to_be_bytes());
    // The length keeps bytes from moving between the key and what follows it.
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(sealed);
    let mut sum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// Compares in a time that does not depend on where the first difference is, as [`blake3::Hash`] does.
fn same(left: [u8; CHECKSUM_BYTES], right: [u8; CHECKSUM_BYTES]) -> bool {
    let widen = |half: [u8; CHECKSUM_BYTES]| {
        let mut whole = [0; blake3::OUT_LEN];
        whole[..CHECKSUM_BYTES].copy_from_slice(&half);
        blake3::Hash::from_bytes(whole)
    };
    widen(left) == widen(right)
}
