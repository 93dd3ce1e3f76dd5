//! What a member should hold.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// How many partitions a member should hold by its weight, as an exact fraction.
///
/// It holds this many rounded down or up: less than one partition away.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ExactShare {
    copies: u64,
    among: NonZeroU64,
}

impl ExactShare {
    /// The share of a node that is to hold nothing.
    pub const NOTHING: Self = Self {
        copies: 0,
        among: NonZeroU64::MIN,
    };

    /// The fraction `copies / among`.
    pub(crate) const fn new(copies: u64, among: NonZeroU64) -> Self {
        Self { copies, among }
    }

    /// The share, rounded down.
    pub const fn floor(self) -> u64 {
        self.copies / self.among.get()
    }

    /// The share, rounded up.
    pub const fn ceil(self) -> u64 {
        self.copies.div_ceil(self.among.get())
    }

    /// The share as a fraction: numerator, and denominator above 0. Not in lowest terms.
    pub const fn as_fraction(self) -> (u64, u64) {
        (self.copies, self.among.get())
    }

    /// The share in hundredths of a partition, rounded to the nearest.
    pub fn hundredths(self) -> u64 {
        let (copies, among) = (u128::from(self.copies), u128::from(self.among.get()));
        u64::try_from((copies * 200 + among) / (among * 2)).unwrap_or(u64::MAX)
    }
}

impl PartialEq for ExactShare {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ExactShare {}

impl PartialOrd for ExactShare {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ExactShare {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let product = |copies: u64, among: NonZeroU64| u128::from(copies) * u128::from(among.get());
        product(self.copies, other.among).cmp(&product(other.copies, self.among))
    }
}

impl fmt::Display for ExactShare {
    /// A whole number, or two decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.floor() == self.ceil() {
            return self.floor().fmt(f);
        }
        let hundredths = self.hundredths();
        f.pad(&format!("{}.{:02}", hundredths / 100, hundredths % 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(copies: u64, among: u64) -> ExactShare {
        ExactShare::new(copies, NonZeroU64::new(among).unwrap())
    }

    #[test]
    fn a_share_is_shown_with_two_decimals_unless_it_is_whole() {
        let shown = [(192, 5), (192, 3), (2, 3), (1, 1000), (999, 1000)]
            .map(|(c, a)| share(c, a).to_string());
        assert_eq!(shown, ["38.40", "64", "0.67", "0.00", "1.00"]);
    }

    #[test]
    fn shares_are_compared_by_their_value() {
        assert_eq!(share(2, 4), share(1, 2));
        assert!(share(1, 3) < share(1, 2));
        assert!(serde_json::from_str::<ExactShare>(r#"{"copies":1,"among":0}"#).is_err());
    }
}
