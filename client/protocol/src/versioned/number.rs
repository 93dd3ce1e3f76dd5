//! The number of a version of the cluster map, and its lineage.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of a version of the cluster map. The one that a cluster is created with has number 1.
///
/// The upper 16 bits are its *lineage*: how many times the cluster was recovered after a majority of its members was
/// gone for good. So every version of a later lineage is later than all of an earlier one, however far that one goes on
/// elsewhere. Written `13` in lineage 0 and `2.13` in lineage 2.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MapVersion(u64);

/// A text that is no version's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version of the cluster map is written like 13, or 1.13 after a recovery")]
pub struct MapVersionError;

const LINEAGE_BIT: u32 = 48;
const COUNT_MAX: u64 = (1 << LINEAGE_BIT) - 1;

impl MapVersion {
    /// The version that a cluster is created with.
    pub const FIRST: Self = Self(1);

    /// The version of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, lineage and all.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many times the cluster was recovered before it.
    #[must_use]
    pub const fn lineage(self) -> u16 {
        // Sixteen bits are left.
        (self.0 >> LINEAGE_BIT) as u16
    }

    /// The how-many-eth it is of all that led to it.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.0 & COUNT_MAX
    }

    /// The version after this one. The largest of a lineage follows itself, and nothing is decided there.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.count() == COUNT_MAX {
            self
        } else {
            Self(self.0 + 1)
        }
    }

    /// The same number in the lineage after this one: what follows it is the first version of that lineage. The last
    /// lineage follows itself.
    #[must_use]
    pub const fn in_next_lineage(self) -> Self {
        match self.0.checked_add(1 << LINEAGE_BIT) {
            Some(number) => Self(number),
            None => self,
        }
    }

    /// Whether this is a number that may come right after that one, in its lineage or at the begin of the next.
    #[must_use]
    pub const fn follows(self, before: Self) -> bool {
        let same = self.0 == before.next().0;
        (same || self.0 == before.in_next_lineage().next().0) && self.0 > before.0
    }
}

impl fmt::Display for MapVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lineage() {
            0 => self.0.fmt(f),
            lineage => f.pad(&format!("{lineage}.{}", self.count())),
        }
    }
}

impl FromStr for MapVersion {
    type Err = MapVersionError;

    fn from_str(text: &str) -> Result<Self, MapVersionError> {
        let (lineage, count) = text.split_once('.').unwrap_or(("0", text));
        let lineage: u16 = lineage.parse().map_err(|_| MapVersionError)?;
        let count: u64 = count.parse().map_err(|_| MapVersionError)?;
        if count > COUNT_MAX {
            return Err(MapVersionError);
        }
        Ok(Self(u64::from(lineage) << LINEAGE_BIT | count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> MapVersion {
        text.parse().unwrap()
    }

    #[test]
    fn a_later_lineage_is_later_than_every_version_of_an_earlier_one() {
        let far = MapVersion::new(COUNT_MAX);
        assert_eq!(far.next(), far);
        assert!(version("1.2") > far && version("2.1") > version("1.900"));
        assert_eq!(version("13").in_next_lineage().next(), version("1.14"));
    }

    #[test]
    fn a_number_comes_back_from_what_is_shown() {
        for text in ["13", "1.13", "65535.1"] {
            assert_eq!(version(text).to_string(), text);
        }
        assert_eq!(format!("{:<6}|", version("1.13")), "1.13  |");
        assert_eq!(format!("{:<6}|", version("13")), "13    |");
        for wrong in [
            "",
            ".",
            "1.",
            ".1",
            "1.2.3",
            "-1",
            "281474976710656",
            "70000.1",
        ] {
            assert_eq!(wrong.parse::<MapVersion>(), Err(MapVersionError), "{wrong}");
        }
    }

    #[test]
    fn only_the_next_number_follows_in_the_same_lineage_or_the_next() {
        let follows = |a: &str, b: &str| version(a).follows(version(b));
        assert!(follows("14", "13") && follows("1.14", "13") && follows("1.15", "1.14"));
        assert!(!follows("13", "13") && !follows("2.14", "13") && !follows("1.13", "13"));
        assert!(!follows("14", "1.13") && !follows("1.15", "13"));
    }
}
