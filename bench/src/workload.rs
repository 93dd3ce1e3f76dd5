//! Keys by number, and values that say which write they come from.
//!
//! ```text
//! value:  seed (8) | key number (8) | write number (8) | filling, a function of the three
//! ```
//!
//! Integers are big-endian. The filling makes damage visible anywhere in a value.

/// Bytes of a value in front of its filling, and the length of the shortest value.
pub const HEADER_BYTES: usize = 24;

/// A set of keys and the values written to them. Two workloads with different seeds share no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    seed: u64,
    value_bytes: usize,
}

/// What a value read back turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The value of this write to the key asked for.
    Write(u64),
    /// A value of this workload under a key that it was not written to.
    OtherKey {
        /// The number of the key that it was written to.
        key: u64,
    },
    /// Nothing that this workload ever wrote.
    Foreign,
}

impl Workload {
    /// Values are `value_bytes` long, at least [`HEADER_BYTES`].
    #[must_use]
    pub fn new(seed: u64, value_bytes: usize) -> Self {
        Self {
            seed,
            value_bytes: value_bytes.max(HEADER_BYTES),
        }
    }

    /// The key of this number.
    #[must_use]
    pub fn key(&self, number: u64) -> Vec<u8> {
        format!("{:016x}/{number:016x}", self.seed).into_bytes()
    }

    /// What write number `write` puts under key number `key`.
    #[must_use]
    pub fn value(&self, key: u64, write: u64) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.value_bytes + 8);
        for word in [self.seed, key, write] {
            value.extend_from_slice(&word.to_be_bytes());
        }
        let mut filling = mix(self.seed ^ mix(key ^ mix(write)));
        while value.len() < self.value_bytes {
            filling = mix(filling);
            value.extend_from_slice(&filling.to_be_bytes());
        }
        value.truncate(self.value_bytes);
        value
    }

    /// Which write the value read under key number `key` comes from.
    #[must_use]
    pub fn recognise(&self, key: u64, value: &[u8]) -> Seen {
        let (Some(written), Some(write)) = (word(value, 1), word(value, 2)) else {
            return Seen::Foreign;
        };
        if value != self.value(written, write) {
            Seen::Foreign
        } else if written == key {
            Seen::Write(write)
        } else {
            Seen::OtherKey { key: written }
        }
    }
}

fn word(value: &[u8], index: usize) -> Option<u64> {
    let bytes = value.get(8 * index..8 * index + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// Spreads the bits of one number over another. Any function would do that changes about half of
/// the output's bits with each bit of the input: two multiplications by odd numbers whose bits
/// look random, each between folds of the upper half into the lower one.
const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Workload = Workload {
        seed: 7,
        value_bytes: 100,
    };

    #[test]
    fn a_value_names_its_write() {
        for write in [0, 1, u64::MAX] {
            assert_eq!(LOAD.recognise(3, &LOAD.value(3, write)), Seen::Write(write));
        }
        assert_eq!(LOAD.value(3, 1).len(), 100);
        assert_eq!(Workload::new(7, 0).value(3, 1).len(), HEADER_BYTES);
    }

    #[test]
    fn a_value_under_a_wrong_key_is_told_from_garbage() {
        assert_eq!(
            LOAD.recognise(4, &LOAD.value(3, 1)),
            Seen::OtherKey { key: 3 }
        );
        assert_eq!(LOAD.recognise(3, b"short"), Seen::Foreign);
        assert_eq!(
            LOAD.recognise(3, &Workload::new(8, 100).value(3, 1)),
            Seen::Foreign
        );
    }

    #[test]
    fn one_changed_bit_anywhere_is_seen() {
        let value = LOAD.value(3, 1);
        for bit in 0..8 * value.len() {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(LOAD.recognise(3, &damaged), Seen::Foreign, "bit {bit}");
        }
    }

    #[test]
    fn keys_are_distinct_across_numbers_and_seeds() {
        assert_ne!(LOAD.key(1), LOAD.key(2));
        assert_ne!(LOAD.key(1), Workload::new(8, 100).key(1));
    }
}
