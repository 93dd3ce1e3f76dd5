//! The one error of the library: few kinds that say what to do, and the facts beside them.

use std::fmt;
use std::time::Duration;

use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is wrong with the request, and a write was certainly not applied: the same request
    /// may succeed later. [`Error::retry_after`] says how long to wait, where a node knows.
    Retry,
    /// The request or the configuration is wrong. It will fail again until it is changed.
    Fix,
    /// A write may have been applied, on some replicas or on all. Read the key to find out, or
    /// write again with the context of a read: both are safe, guessing is not.
    InDoubt,
    /// The other side breaks the protocol or is of another version. Neither waiting nor changing
    /// the request helps; the software does.
    GiveUp,
}

impl Kind {
    /// A stable name for output and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Fix => "fix",
            Self::InDoubt => "in_doubt",
            Self::GiveUp => "give_up",
        }
    }
}

/// Why a request did not succeed.
///
/// The text says what was wrong with what and what to do; [`Error::kind`] says the latter to
/// programs, and [`Error::code`] is the precise reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    code: ErrorCode,
    message: String,
    needed: Option<u8>,
    got: Option<u8>,
    nodes: Vec<NodeId>,
    retry_after: Option<Duration>,
    trace: Option<u64>,
}

impl Error {
    /// What to do.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The precise reason, with a stable name.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// How many answers were needed, where that is the matter.
    #[must_use]
    pub const fn needed(&self) -> Option<u8> {
        self.needed
    }

    /// How many answers came. For [`Kind::InDoubt`]: the acknowledgements known of.
    #[must_use]
    pub const fn got(&self) -> Option<u8> {
        self.got
    }

    /// The nodes concerned: those that refused, or whose return would help.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// How long to wait before the next try, where a node said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The request's trace id, if it was sent: nodes that worked on it name it in their logs, as 16 hex
    /// digits.
    #[must_use]
    pub const fn trace(&self) -> Option<u64> {
        self.trace
    }

    pub(crate) const fn traced(mut self, trace: u64) -> Self {
        self.trace = Some(trace);
        self
    }

    pub(crate) fn new(kind: Kind, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            needed: None,
            got: None,
            nodes: Vec::new(),
            retry_after: None,
            trace: None,
        }
    }

    /// An error of the caller's making.
    pub(crate) fn fix(message: impl Into<String>) -> Self {
        Self::new(Kind::Fix, ErrorCode::Invalid, message)
    }

    /// Nothing could be asked.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Retry, ErrorCode::Unavailable, message)
    }

    /// The other side is not as it should be.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(Kind::GiveUp, ErrorCode::Protocol, message)
    }

    /// An error that a node answered with, to a read or to a write.
    pub(crate) fn answered(wire: WireError, write: bool) -> Self {
        Self {
            kind: kind_of(&wire, write),
            code: wire.code,
            message: wire.message,
            needed: wire.needed,
            got: wire.got,
            nodes: wire.nodes,
            retry_after: wire
                .retry_after_ms
                .map(|ms| Duration::from_millis(ms.into())),
            trace: None,
        }
    }

    pub(crate) fn naming(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.nodes = nodes.into_iter().collect();
        self
    }

    /// The same end of a write of which an earlier try may have been applied.
    pub(crate) fn doubting(mut self) -> Self {
        if self.kind != Kind::InDoubt {
            self.message = format!(
                "the write may have been applied by an earlier try, whose answer was lost; the last one ended so: {}",
                self.message
            );
            self.kind = Kind::InDoubt;
            self.code = ErrorCode::InDoubt;
            self.got = Some(0);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<WireError> for Error {
    /// An error that a check on this side found, in the words of the protocol.
    fn from(wire: WireError) -> Self {
        Self::answered(wire, false)
    }
}

fn kind_of(wire: &WireError, write: bool) -> Kind {
    match wire.code {
        ErrorCode::InDoubt => Kind::InDoubt,
        // It was sent to replicas, and some may have it whatever the count says: that may be of
        // primaries or of synced copies only, and one that was lost meanwhile is not in it.
        ErrorCode::QuorumNotMet if write => Kind::InDoubt,
        ErrorCode::QuorumNotMet
        | ErrorCode::Unavailable
        | ErrorCode::DeadlineExceeded
        | ErrorCode::Overloaded
        | ErrorCode::StorageFailed
        | ErrorCode::StaleRing
        | ErrorCode::Stopping
        | ErrorCode::NoMember => Kind::Retry,
        ErrorCode::TooLarge
        | ErrorCode::BadContext
        | ErrorCode::NotAuthorised
        | ErrorCode::Invalid
        | ErrorCode::NoSuchBucket
        | ErrorCode::NotSupported
        | ErrorCode::Conflict
        | ErrorCode::ClockAhead => Kind::Fix,
        ErrorCode::Protocol | ErrorCode::Unknown(_) => Kind::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: ErrorCode, got: Option<u8>, write: bool) -> Kind {
        let mut wire = WireError::new(code, "x");
        wire.got = got;
        Error::answered(wire, write).kind()
    }

    #[test]
    fn a_write_that_missed_its_quorum_is_in_doubt_and_not_failed() {
        assert_eq!(kind(ErrorCode::QuorumNotMet, Some(2), true), Kind::InDoubt);
        assert_eq!(kind(ErrorCode::QuorumNotMet, Some(0), true), Kind::InDoubt);
        assert_eq!(kind(ErrorCode::QuorumNotMet, Some(2), false), Kind::Retry);
        assert_eq!(kind(ErrorCode::InDoubt, None, true), Kind::InDoubt);
    }

    #[test]
    fn a_lost_first_try_leaves_the_whole_write_in_doubt() {
        let error = Error::unavailable("nobody there").doubting();
        assert_eq!(
            (error.kind(), error.code()),
            (Kind::InDoubt, ErrorCode::InDoubt)
        );
        assert!(error.to_string().ends_with("nobody there"));
        assert_eq!(error.clone().doubting(), error);
    }
}
