//! A member of the cluster as placement sees it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::zone::Zone;

/// The capacity of a member relative to the others: 0 to 1,000, 100 unless said otherwise.
///
/// A member of weight 200 is given twice the partitions of one of weight 100, as far as distinct
/// nodes and distinct zones allow. A member of weight 0 is drained: it is given none, and a ring
/// made of such members and others has the others only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

/// A number that cannot be a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("weight {0}: a weight is from 0 to 1000")]
pub struct WeightError(pub u16);

impl Weight {
    /// The largest weight. Keeps the fractions of the claim exact in 64 bits.
    pub const MAX: Self = Self(1000);

    /// The weight of a member that is to hold nothing.
    pub const DRAINED: Self = Self(0);

    /// Parses a weight.
    ///
    /// # Errors
    /// If it is above 1,000.
    pub const fn new(weight: u16) -> Result<Self, WeightError> {
        if weight > Self::MAX.0 {
            Err(WeightError(weight))
        } else {
            Ok(Self(weight))
        }
    }

    /// The number behind the weight.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether this is [`Weight::DRAINED`].
    pub const fn is_drained(self) -> bool {
        self.0 == 0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u16> for Weight {
    type Error = WeightError;

    fn try_from(weight: u16) -> Result<Self, Self::Error> {
        Self::new(weight)
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A member of the cluster as placement sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// Who it is.
    pub id: NodeId,
    /// Where it stands.
    pub zone: Zone,
    /// How much it can carry.
    pub weight: Weight,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_from_0_to_1000() {
        assert_eq!(Weight::new(0), Ok(Weight::DRAINED));
        assert_eq!(Weight::new(1001), Err(WeightError(1001)));
        assert_eq!(Weight::new(1000), Ok(Weight::MAX));
        assert_eq!(Weight::default().get(), 100);
        assert!(serde_json::from_str::<Weight>("1001").is_err());
    }
}
