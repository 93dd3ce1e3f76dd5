//! What requests use where they say nothing themselves.

use std::time::Duration;

use quorate_protocol::limits::DEADLINE_MS_MAX;
use quorate_protocol::options::{Count, ReadOptions, WriteOptions};

use crate::error::Error;

/// The deadline of a request where neither it nor the client's profile sets one.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(5);

/// Defaults of a client for its requests. Where a field is `None` the bucket's own default holds.
///
/// Of a key's *n* copies, *r* answers end a read and *w* acknowledgements end a write. With
/// r + w > n the two sets share a replica, so a read sees the last acknowledged write. Smaller
/// numbers are faster and bear more failures; larger ones see more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Answers that end a read.
    pub r: Option<Count>,
    /// How many of them must come from the key's own replicas, its primaries.
    pub pr: Option<Count>,
    /// Acknowledgements that end a write.
    pub w: Option<Count>,
    /// How many of them must come from primaries.
    pub pw: Option<Count>,
    /// How many of them must have synced the write to disk.
    pub dw: Option<Count>,
    /// Whether a stand-in's "nothing here" counts as an answer of the primary it stands in for.
    pub notfound_ok: Option<bool>,
    /// Whether "not found" may be answered once more than half of n say so.
    pub basic_quorum: Option<bool>,
    /// Whether other nodes stand in for primaries that cannot be reached.
    pub sloppy: Option<bool>,
    /// Rather return a value that may be stale, marked so, than fail or wait.
    pub stale_ok: bool,
    /// Time for a request, all its tries included; 5 s if `None`, 55 s at most.
    pub deadline: Option<Duration>,
}

impl Profile {
    pub(crate) const fn read_options(&self) -> ReadOptions {
        ReadOptions {
            r: self.r,
            pr: self.pr,
            notfound_ok: self.notfound_ok,
            basic_quorum: self.basic_quorum,
            sloppy: self.sloppy,
            stale_ok: self.stale_ok,
            explain: false,
            head: false,
        }
    }

    pub(crate) const fn write_options(&self) -> WriteOptions {
        WriteOptions {
            w: self.w,
            pw: self.pw,
            dw: self.dw,
            sloppy: self.sloppy,
            if_none_match: false,
            explain: false,
        }
    }

    /// The deadline of a request that asks for `own`.
    pub(crate) fn deadline_of(&self, own: Option<Duration>) -> Result<Duration, Error> {
        let deadline = own.or(self.deadline).unwrap_or(DEADLINE_DEFAULT);
        let bounds = Duration::from_millis(1)..=Duration::from_millis(DEADLINE_MS_MAX.into());
        if bounds.contains(&deadline) {
            Ok(deadline)
        } else {
            Err(Error::fix(format!(
                "a deadline of {deadline:?} cannot be kept: it is from 1 ms to {} s",
                DEADLINE_MS_MAX / 1000
            )))
        }
    }
}

/// What can say how many replicas: a number such as `2`, or a [`Count`] such as [`Count::Quorum`].
pub trait ToCount {
    /// The count.
    fn to_count(self) -> Count;
}

impl ToCount for u8 {
    /// Exactly so many. 0, and numbers above the bucket's n, are refused when the request is sent.
    fn to_count(self) -> Count {
        Count::Exactly(self)
    }
}

impl ToCount for Count {
    fn to_count(self) -> Count {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_deadline_counts_and_absurd_ones_are_refused() {
        let profile = Profile {
            deadline: Some(Duration::from_secs(2)),
            ..Profile::default()
        };
        assert_eq!(profile.deadline_of(None), Ok(Duration::from_secs(2)));
        assert_eq!(
            profile.deadline_of(Some(Duration::from_secs(1))),
            Ok(Duration::from_secs(1))
        );
        assert_eq!(Profile::default().deadline_of(None), Ok(DEADLINE_DEFAULT));
        for absurd in [
            Duration::ZERO,
            Duration::from_micros(999),
            Duration::from_secs(56),
            Duration::MAX,
        ] {
            assert!(profile.deadline_of(Some(absurd)).is_err(), "{absurd:?}");
        }
    }
}
