//! Checksums that tell whether two byte strings are the same.

use clap::ValueEnum;
use xxhash_rust::xxh3::xxh3_128;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Checksum {
    /// XXH3, 128 bits: fast, finds every accident
    Xxh3,
    /// CRC-32
    Crc32,
    /// BLAKE3: finds forgeries too
    Blake3,
}

impl Checksum {
    /// The checksum of these bytes.
    pub(crate) fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Xxh3 => xxh3_128(bytes).to_be_bytes().to_vec(),
            Self::Crc32 => crc32fast::hash(bytes).to_be_bytes().to_vec(),
            Self::Blake3 => blake3::hash(bytes).as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::hex;

    #[test]
    fn the_functions_are_the_published_ones() {
        assert_eq!(hex(&Checksum::Crc32.of(b"123456789")), "cbf43926");
        assert_eq!(
            hex(&Checksum::Xxh3.of(b"")),
            "99aa06d3014798d86001c324468d497f"
        );
        assert!(hex(&Checksum::Blake3.of(b"")).starts_with("af1349b9f5f9a1a6"));
    }
}
