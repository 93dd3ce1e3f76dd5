//! Where the choices of an input come from: a seed, or bytes that somebody else chose (a fuzzer that
//! watches coverage). Equal sources give equal inputs.

/// A stream of choices.
#[derive(Clone, Debug)]
pub struct Source<'a>(Kind<'a>);

#[derive(Clone, Debug)]
enum Kind<'a> {
    /// The state of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators",
    /// 2014): a few nanoseconds for each choice.
    Seed(u64),
    /// What is left; zeros follow its end.
    Bytes(&'a [u8]),
}

impl<'a> Source<'a> {
    /// Choices without end, decided by a seed.
    #[must_use]
    pub const fn seed(seed: u64) -> Self {
        Self(Kind::Seed(seed))
    }

    /// Choices that these bytes decide, as few bytes for each as will do.
    #[must_use]
    pub const fn bytes(bytes: &'a [u8]) -> Self {
        Self(Kind::Bytes(bytes))
    }

    /// Whether only zeros will follow.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        match &self.0 {
            Kind::Seed(_) => false,
            Kind::Bytes(rest) => rest.is_empty(),
        }
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        match &mut self.0 {
            Kind::Seed(state) => next(state),
            Kind::Bytes(rest) => take(rest, 8),
        }
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bits = match &mut self.0 {
            Kind::Seed(state) => next(state),
            Kind::Bytes(rest) => take(rest, bytes_for(bound)),
        };
        bits % bound.max(1)
    }

    /// True in one of `many` cases.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 1 % many.max(1)
    }

    /// An index into something of this length; 0 if it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One of these, which must be some.
    pub fn pick<T: Copy, const N: usize>(&mut self, from: [T; N]) -> T {
        from[self.index(N)]
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.below(256).to_be_bytes()[7]
    }

    /// So many bytes.
    pub fn fill(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.bits().to_be_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const fn bytes_for(bound: u64) -> usize {
    match bound {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        0x1_0001..=0x1_0000_0000 => 4,
        _ => 8,
    }
}

fn take(rest: &mut &[u8], count: usize) -> u64 {
    let (taken, left) = rest.split_at(count.min(rest.len()));
    *rest = left;
    taken
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_choices_and_zeros_follow_their_end() {
        let mut source = Source::bytes(&[5, 1, 2, 9]);
        assert_eq!(source.below(4), 1);
        assert_eq!(source.below(1000), 258);
        assert!(!source.is_spent());
        assert_eq!(source.bits(), 9);
        assert!(source.is_spent());
        assert_eq!((source.bits(), source.below(7)), (0, 0));
    }

    #[test]
    fn equal_seeds_give_equal_choices() {
        let (mut one, mut same) = (Source::seed(7), Source::seed(7));
        let choices = |source: &mut Source<'_>| -> Vec<u64> {
            (0..50).map(|_| source.below(1 << 40)).collect()
        };
        assert_eq!(choices(&mut one), choices(&mut same));
        assert_ne!(choices(&mut one), choices(&mut Source::seed(8)));
    }
}
