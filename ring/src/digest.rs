//! The fingerprint of a ring, the same whatever encoding the ring travelled in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::ids::{NodeId, ParseIdError};
use crate::ring::Content;

/// 128 bits of XXH3 over the content of a ring, shown as 32 hexadecimal digits.
///
/// Tells apart rings that differ by accident. It is no protection against someone who builds two
/// rings with one digest on purpose: rings are taken from authenticated members only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RingDigest([u64; 2]);

impl RingDigest {
    /// The digest with these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_u128(u128::from_be_bytes(bytes))
    }

    /// Its 16 bytes, in the order in which they are shown.
    pub const fn to_bytes(self) -> [u8; 16] {
        (((self.0[0] as u128) << 64) | self.0[1] as u128).to_be_bytes()
    }

    const fn from_u128(digest: u128) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = digest.to_be_bytes();
        Self([
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u64::from_be_bytes(rest),
        ])
    }
}

impl fmt::Display for RingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}{:016x}", self.0[0], self.0[1]))
    }
}

impl FromStr for RingDigest {
    type Err = ParseIdError;

    /// # Errors
    /// If the text is not 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_at_checked(16).ok_or(ParseIdError)?;
        Ok(Self([
            high.parse::<NodeId>()?.get(),
            low.parse::<NodeId>()?.get(),
        ]))
    }
}

/// The digest of a ring.
///
/// Hashed is a byte string of its own that no encoding shares, so that a new wire or disk format
/// leaves digests as they are. Numbers are big endian; every part of variable length is preceded by
/// its length, so that no two contents give the same bytes.
pub(crate) fn digest(content: &Content) -> RingDigest {
    let mut bytes = Vec::with_capacity(64 + content.members.len() * 32 + content.places.len() * 8);
    bytes.extend_from_slice(b"quorate ring 1\n");
    bytes.extend_from_slice(&content.version.get().to_be_bytes());
    bytes.push(u8::from(content.parent.is_some()));
    bytes.extend_from_slice(&content.parent.map_or([0; 16], RingDigest::to_bytes));
    bytes.extend_from_slice(&content.partitions.get().to_be_bytes());
    bytes.push(content.copies);
    bytes.extend_from_slice(&(content.members.len() as u64).to_be_bytes());
    for member in &content.members {
        bytes.extend_from_slice(&member.id.get().to_be_bytes());
        bytes.extend_from_slice(&member.weight.get().to_be_bytes());
        bytes.extend_from_slice(&(member.zone.as_str().len() as u64).to_be_bytes());
        bytes.extend_from_slice(member.zone.as_str().as_bytes());
    }
    for place in &content.places {
        bytes.extend_from_slice(&place.get().to_be_bytes());
    }
    RingDigest::from_u128(xxh3_128(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_shown_and_parsed_as_32_hex_digits() {
        let digest = RingDigest::from_bytes(*b"0123456789abcdef");
        let text = digest.to_string();
        assert_eq!(text, "30313233343536373839616263646566");
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(digest.to_bytes(), *b"0123456789abcdef");
        assert_eq!("30".parse::<RingDigest>(), Err(ParseIdError));
    }
}
