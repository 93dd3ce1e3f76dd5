//! Quorum options: what a bucket sets by default and a request may override.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, WireError};
use crate::limits::TTL_MS_MAX;

/// How many answers: a number, or a word that depends on n.
///
/// On the wire numbers travel as they are, `quorum` as 256 and `all` as 257: so a 0 arrives as a 0 and
/// is refused by who knows n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum Count {
    /// Exactly so many; `one` is `Exactly(1)`. Judged against n when used.
    Exactly(u8),
    /// More than half of n.
    Quorum,
    /// n.
    All,
}

const QUORUM: u16 = 256;
const ALL: u16 = 257;

impl TryFrom<u16> for Count {
    type Error = &'static str;

    fn try_from(raw: u16) -> Result<Self, Self::Error> {
        match raw {
            QUORUM => Ok(Self::Quorum),
            ALL => Ok(Self::All),
            number => u8::try_from(number)
                .map(Self::Exactly)
                .map_err(|_| "a count of a later version"),
        }
    }
}

impl From<Count> for u16 {
    fn from(count: Count) -> Self {
        match count {
            Count::Quorum => QUORUM,
            Count::All => ALL,
            Count::Exactly(number) => Self::from(number),
        }
    }
}

impl std::str::FromStr for Count {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "one" => Ok(Self::Exactly(1)),
            "quorum" => Ok(Self::Quorum),
            "all" => Ok(Self::All),
            number => match number.parse::<u8>() {
                Ok(number @ 1..) => Ok(Self::Exactly(number)),
                Ok(_) | Err(_) => Err(WireError::new(
                    ErrorCode::Invalid,
                    format!(
                        "'{number}' is not a count: use one, quorum, all, or a number from 1 to n"
                    ),
                )),
            },
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(number) => write!(f, "{number}"),
            Self::Quorum => f.write_str("quorum"),
            Self::All => f.write_str("all"),
        }
    }
}

impl Count {
    /// The number of answers out of `n`.
    ///
    /// # Errors
    /// `Invalid`, naming `option`, when the number is 0 or above `n`.
    pub fn resolve(self, option: &str, n: u8) -> Result<u8, WireError> {
        match self {
            Self::Quorum => Ok(n / 2 + 1),
            Self::All => Ok(n),
            Self::Exactly(number) if (1..=n).contains(&number) => Ok(number),
            Self::Exactly(number) => Err(WireError::new(
                ErrorCode::Invalid,
                format!(
                    "{option}={number} cannot be met: the bucket keeps n={n} copies, so {option} is 1 to {n}, one, quorum or all"
                ),
            )),
        }
    }
}

/// Overrides of a read. `None` takes the bucket's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOptions {
    /// Answers needed.
    pub r: Option<Count>,
    /// Answers of primaries needed.
    pub pr: Option<Count>,
    /// Whether a fallback's empty answer may stand in for its unreachable primary.
    pub notfound_ok: Option<bool>,
    /// Whether `not found` may be answered once more than half of n said so, although fewer than r did.
    pub basic_quorum: Option<bool>,
    /// Whether fallbacks may answer for unreachable primaries.
    pub sloppy: Option<bool>,
    /// Return what there is, marked as possibly stale, rather than fail or wait.
    pub stale_ok: bool,
    /// Report each replica's part.
    pub explain: bool,
    /// Leave out the values: dots, sizes and metadata only.
    pub head: bool,
}

/// Overrides of a write. `None` takes the bucket's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteOptions {
    /// Acknowledgements needed, fallbacks included.
    pub w: Option<Count>,
    /// Acknowledgements of primaries needed.
    pub pw: Option<Count>,
    /// Acknowledgements after an fsync needed, on any of them. Absent and no bucket default: none.
    pub dw: Option<Count>,
    /// Whether fallbacks may take the place of unreachable primaries.
    pub sloppy: Option<bool>,
    /// Write only where nothing is there. Cannot be kept honestly without consensus: refused.
    pub if_none_match: bool,
    /// Report each replica's part.
    pub explain: bool,
}

/// What a bucket uses where a request says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumDefaults {
    /// See [`ReadOptions::r`].
    pub r: Count,
    /// See [`ReadOptions::pr`]; absent: 0.
    pub pr: Option<Count>,
    /// See [`WriteOptions::w`].
    pub w: Count,
    /// See [`WriteOptions::pw`]; absent: 0.
    pub pw: Option<Count>,
    /// See [`WriteOptions::dw`]; absent: 0.
    pub dw: Option<Count>,
    /// See [`ReadOptions::notfound_ok`].
    pub notfound_ok: bool,
    /// See [`ReadOptions::basic_quorum`].
    pub basic_quorum: bool,
    /// Sloppy quorums, for reads and writes.
    pub sloppy: bool,
    /// How long the values of puts live that do not say it themselves, milliseconds; 0: for ever.
    pub ttl_ms: u64,
}

impl Default for QuorumDefaults {
    fn default() -> Self {
        Self {
            r: Count::Quorum,
            pr: None,
            w: Count::Quorum,
            pw: None,
            dw: None,
            notfound_ok: true,
            basic_quorum: false,
            sloppy: true,
            ttl_ms: 0,
        }
    }
}

/// A read's options with every default and word resolved against n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadQuorum {
    /// Copies of the bucket.
    pub n: u8,
    /// Answers needed, 1 to n.
    pub r: u8,
    /// Primary answers needed, 0 to n.
    pub pr: u8,
    /// See [`ReadOptions::notfound_ok`].
    pub notfound_ok: bool,
    /// See [`ReadOptions::basic_quorum`].
    pub basic_quorum: bool,
    /// See [`ReadOptions::sloppy`].
    pub sloppy: bool,
    /// See [`ReadOptions::stale_ok`].
    pub stale_ok: bool,
}

/// A write's options with every default and word resolved against n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteQuorum {
    /// Copies of the bucket.
    pub n: u8,
    /// Acknowledgements needed, 1 to n.
    pub w: u8,
    /// Primary acknowledgements needed, 0 to n.
    pub pw: u8,
    /// Durable acknowledgements needed, 0 to w.
    pub dw: u8,
    /// See [`WriteOptions::sloppy`].
    pub sloppy: bool,
}

impl QuorumDefaults {
    /// Resolves a read's options.
    ///
    /// # Errors
    /// `Invalid` for a count of 0 or above n.
    pub fn read(&self, n: u8, options: &ReadOptions) -> Result<ReadQuorum, WireError> {
        Ok(ReadQuorum {
            n,
            r: options.r.unwrap_or(self.r).resolve("r", n)?,
            pr: optional("pr", options.pr.or(self.pr), n)?,
            notfound_ok: options.notfound_ok.unwrap_or(self.notfound_ok),
            basic_quorum: options.basic_quorum.unwrap_or(self.basic_quorum),
            sloppy: options.sloppy.unwrap_or(self.sloppy),
            stale_ok: options.stale_ok,
        })
    }

    /// Resolves a write's options.
    ///
    /// # Errors
    /// `Invalid` for a count of 0 or above n, or dw above w; `NotSupported` for `if_none_match`.
    pub fn write(&self, n: u8, options: &WriteOptions) -> Result<WriteQuorum, WireError> {
        if options.if_none_match {
            return Err(WireError::new(
                ErrorCode::NotSupported,
                "if_none_match needs a strong bucket, which this version does not offer: two writers that do not see each other would both succeed",
            ));
        }
        let w = options.w.unwrap_or(self.w).resolve("w", n)?;
        let dw = optional("dw", options.dw.or(self.dw), n)?;
        if dw > w {
            return Err(WireError::new(
                ErrorCode::Invalid,
                format!(
                    "dw={dw} is above w={w}: the write is answered after w acknowledgements, so dw is at most w"
                ),
            ));
        }
        Ok(WriteQuorum {
            n,
            w,
            pw: optional("pw", options.pw.or(self.pw), n)?,
            dw,
            sloppy: options.sloppy.unwrap_or(self.sloppy),
        })
    }

    /// How long the value of a put lives that names this time to live, or none: milliseconds, 0 for
    /// ever. What the put says goes before the default.
    ///
    /// # Errors
    /// `Invalid` for more than [`TTL_MS_MAX`].
    pub fn lifetime(&self, named_ms: Option<u64>) -> Result<u64, WireError> {
        let ttl_ms = named_ms.unwrap_or(self.ttl_ms);
        if ttl_ms <= TTL_MS_MAX {
            return Ok(ttl_ms);
        }
        Err(too_long(u128::from(ttl_ms)))
    }
}

/// A time to live as it travels, in milliseconds; what is finer is rounded up.
///
/// # Errors
/// `Invalid` for no time at all and for more than [`TTL_MS_MAX`].
pub fn ttl_ms(ttl: Duration) -> Result<u64, WireError> {
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    match u64::try_from(ms) {
        Ok(0) => Err(WireError::new(
            ErrorCode::Invalid,
            "a time to live of 0 would be over at once: it is at least 1 ms, and a value that is to last has none",
        )),
        Ok(ms) if ms <= TTL_MS_MAX => Ok(ms),
        Ok(_) | Err(_) => Err(too_long(ms)),
    }
}

fn too_long(ms: u128) -> WireError {
    WireError::new(
        ErrorCode::Invalid,
        format!(
            "a time to live of {ms} ms is too long: the most is {TTL_MS_MAX} ms, ten years; a value that is to last has none"
        ),
    )
}

fn optional(option: &str, count: Option<Count>, n: u8) -> Result<u8, WireError> {
    count.map_or(Ok(0), |count| count.resolve(option, n))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_a_put_says_of_its_time_to_live_goes_before_the_default() {
        let defaults = QuorumDefaults {
            ttl_ms: 5_000,
            ..QuorumDefaults::default()
        };
        assert_eq!(defaults.lifetime(None), Ok(5_000));
        assert_eq!(defaults.lifetime(Some(7)), Ok(7));
        assert_eq!(defaults.lifetime(Some(0)), Ok(0));
        assert_eq!(QuorumDefaults::default().lifetime(None), Ok(0));
        assert_eq!(defaults.lifetime(Some(TTL_MS_MAX)), Ok(TTL_MS_MAX));
        for most in [TTL_MS_MAX + 1, u64::MAX] {
            let error = defaults.lifetime(Some(most)).unwrap_err();
            assert_eq!(error.code, ErrorCode::Invalid);
            assert!(error.message.contains("ten years"), "{error}");
        }
    }

    #[test]
    fn a_time_to_live_has_at_least_a_millisecond_and_at_most_ten_years() {
        assert_eq!(ttl_ms(Duration::from_nanos(1)), Ok(1));
        assert_eq!(ttl_ms(Duration::from_millis(1)), Ok(1));
        assert_eq!(ttl_ms(Duration::from_micros(1_001)), Ok(2));
        assert_eq!(ttl_ms(Duration::from_millis(TTL_MS_MAX)), Ok(TTL_MS_MAX));
        let beyond = Duration::from_millis(TTL_MS_MAX) + Duration::from_nanos(1);
        for wrong in [Duration::ZERO, beyond, Duration::MAX] {
            assert_eq!(ttl_ms(wrong).unwrap_err().code, ErrorCode::Invalid);
        }
    }
}
