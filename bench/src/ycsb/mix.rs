//! What requests do, and how many of each kind.

use std::str::FromStr;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Reads a key.
    Read,
    /// Replaces a key's value.
    Update,
    /// Writes a key that was not there.
    Insert,
    /// Reads a key and replaces what it read.
    ReadModifyWrite,
}

impl Kind {
    /// All, in the order of reports.
    pub const ALL: [Self; 4] = [
        Self::Read,
        Self::Update,
        Self::Insert,
        Self::ReadModifyWrite,
    ];

    /// For people and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::ReadModifyWrite => "read-modify-write",
        }
    }
}

/// Shares of reads and of what else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// What it is called.
    pub name: &'static str,
    /// Reads in a hundred requests.
    reads: u64,
    /// What the others are.
    other: Kind,
}

/// Why there is no such mix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoSuchMix {
    /// Scans.
    #[error(
        "workload e scans ranges of keys in order: Quorate places keys by hash and lists them by partition, so there is no such scan"
    )]
    Scans,
    /// A name that nothing has.
    #[error("there is no workload {0}: give one of a, b, c, d, f, get, put")]
    Unknown(String),
}

const MIXES: [Mix; 7] = [
    mix("a", 50, Kind::Update),
    mix("b", 95, Kind::Update),
    mix("c", 100, Kind::Update),
    mix("d", 95, Kind::Insert),
    mix("f", 50, Kind::ReadModifyWrite),
    Mix::GET,
    Mix::PUT,
];

impl Mix {
    /// Reads alone.
    pub const GET: Self = mix("get", 100, Kind::Update);
    /// Updates alone.
    pub const PUT: Self = mix("put", 0, Kind::Update);
}

const fn mix(name: &'static str, reads: u64, other: Kind) -> Mix {
    Mix { name, reads, other }
}

impl FromStr for Mix {
    type Err = NoSuchMix;

    fn from_str(name: &str) -> Result<Self, NoSuchMix> {
        let name = name.to_ascii_lowercase();
        match MIXES.iter().find(|mix| mix.name == name) {
            Some(mix) => Ok(*mix),
            None if name == "e" => Err(NoSuchMix::Scans),
            None => Err(NoSuchMix::Unknown(name)),
        }
    }
}

impl Mix {
    /// The kind of a request that drew this number.
    #[must_use]
    pub const fn kind(self, drawn: u64) -> Kind {
        if drawn % 100 < self.reads {
            Kind::Read
        } else {
            self.other
        }
    }

    /// Whether it makes new keys: what was written last is what its reads ask for.
    #[must_use]
    pub const fn inserts(self) -> bool {
        matches!(self.other, Kind::Insert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &str) -> Result<[usize; 4], NoSuchMix> {
        let mix: Mix = name.parse()?;
        Ok(Kind::ALL.map(|kind| (0..100).filter(|&drawn| mix.kind(drawn) == kind).count()))
    }

    #[test]
    fn of_a_hundred_requests_as_many_are_of_each_kind_as_the_workload_says() {
        assert_eq!(counts("A"), Ok([50, 50, 0, 0]));
        assert_eq!(counts("b"), Ok([95, 5, 0, 0]));
        assert_eq!(counts("c"), Ok([100, 0, 0, 0]));
        assert_eq!(counts("d"), Ok([95, 0, 5, 0]));
        assert_eq!(counts("f"), Ok([50, 0, 0, 50]));
        assert_eq!(counts("get"), Ok([100, 0, 0, 0]));
        assert_eq!(counts("put"), Ok([0, 100, 0, 0]));
    }

    #[test]
    fn scans_are_refused_with_their_reason() {
        assert_eq!(counts("e"), Err(NoSuchMix::Scans));
        assert_eq!(counts("x"), Err(NoSuchMix::Unknown("x".to_owned())));
    }
}
