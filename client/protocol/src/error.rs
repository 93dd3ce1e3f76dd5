//! Errors as they travel: a stable code, the facts, and words for a person.

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $stable:literal;)*) => {
        /// What went wrong. The numbers and names are part of the wire format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code of a later version.
            Unknown(u16),
        }

        impl ErrorCode {
            /// The number that travels.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $code,)* Self::Unknown(code) => code }
            }

            /// The stable name that tools print.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $stable,)* Self::Unknown(_) => "unknown" }
            }
        }

        impl From<u16> for ErrorCode {
            fn from(code: u16) -> Self {
                match code { $($code => Self::$name,)* other => Self::Unknown(other) }
            }
        }
    };
}

codes! {
    /// Fewer answers than asked for: see `needed`, `got` and `nodes`.
    QuorumNotMet = 1, "quorum_not_met";
    /// No answer can be given now without guessing; `nodes` are those whose return would help.
    Unavailable = 2, "unavailable";
    /// A write may or may not have happened; `got` acknowledgements came.
    InDoubt = 3, "in_doubt";
    /// The deadline passed before the request did anything.
    DeadlineExceeded = 4, "deadline_exceeded";
    /// Key, value, metadata, sibling set or message over its limit.
    TooLarge = 5, "too_large";
    /// The context token is damaged, forged, or of another key.
    BadContext = 6, "bad_context";
    /// The certificate does not allow this.
    NotAuthorised = 7, "not_authorised";
    /// Refused early for load; try again after `retry_after_ms`.
    Overloaded = 8, "overloaded";
    /// The request is wrong in itself.
    Invalid = 9, "invalid_request";
    /// The peer does not speak the protocol as it should.
    Protocol = 10, "protocol";
    /// No bucket of that id; refresh the cluster map.
    NoSuchBucket = 11, "no_such_bucket";
    /// Understood, but not offered in this mode or version.
    NotSupported = 12, "not_supported";
    /// A bucket of that name exists with another definition.
    Conflict = 13, "conflict";
    /// The node cannot store: disk full, read-only or failing.
    StorageFailed = 14, "storage_failed";
    /// Sent under an older ring version than the node's.
    StaleRing = 15, "stale_ring";
    /// The node is stopping; another one answers.
    Stopping = 16, "stopping";
    /// A time stamp lies too far ahead of this node's clock.
    ClockAhead = 17, "clock_ahead";
    /// The node is no member of the cluster; another one answers.
    NoMember = 18, "no_member";
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(Self::from)
    }
}

/// An error as it travels to a client or peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// What kind of error.
    pub code: ErrorCode,
    /// What was wrong with what, and what to do.
    pub message: String,
    /// Answers needed, where that is the matter.
    pub needed: Option<u8>,
    /// Answers that came.
    pub got: Option<u8>,
    /// The nodes concerned: those that answered badly or not at all.
    pub nodes: Vec<NodeId>,
    /// How long to wait before trying again, milliseconds; absent where trying again is useless.
    pub retry_after_ms: Option<u32>,
}

impl WireError {
    /// An error without further facts.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            needed: None,
            got: None,
            nodes: Vec::new(),
            retry_after_ms: None,
        }
    }

    /// Adds how many answers were needed and how many came.
    #[must_use]
    pub fn counted(mut self, needed: u8, got: u8) -> Self {
        self.needed = Some(needed);
        self.got = Some(got);
        self
    }

    /// Adds the nodes concerned.
    #[must_use]
    pub fn naming(mut self, nodes: impl IntoIterator<Item = NodeId>) -> Self {
        self.nodes = nodes.into_iter().collect();
        self
    }

    /// Says that trying again after `ms` milliseconds makes sense.
    #[must_use]
    pub const fn retry_after(mut self, ms: u32) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}
