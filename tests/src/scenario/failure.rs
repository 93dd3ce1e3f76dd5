//! Why a walk does not hold what its scenario promises.

use quorate_protocol::error::{ErrorCode, WireError};
use quorate_ring::NodeId;

/// A walk that did not hold what its scenario promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Something is not as it should be.
    #[error("{what}: should be {should}, is {is}")]
    Unlike {
        /// What.
        what: String,
        /// As it should be.
        should: String,
        /// As it is.
        is: String,
    },
    /// Something did not come to pass in time.
    #[error("{what}: should be so within {within_ms} ms, is not: {is}")]
    Late {
        /// What.
        what: String,
        /// In what time, milliseconds.
        within_ms: u64,
        /// How it is instead.
        is: String,
    },
    /// A request failed that should have succeeded.
    #[error("{what} should succeed: {refused}")]
    Refused {
        /// What was asked.
        what: String,
        /// What came instead.
        refused: Refused,
    },
    /// A request succeeded that should have failed.
    #[error("{what} should fail as {should}, and gave {is}")]
    Allowed {
        /// What was asked.
        what: String,
        /// How it should have failed.
        should: String,
        /// What came instead.
        is: String,
    },
    /// The end was not as every walk's end must be.
    #[error("with all faults off: {0}")]
    End(String),
    /// The core, or the walk, panicked.
    #[error("panic: {0}")]
    Panic(String),
}

/// Why a request did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the node answered; `None`: the connection ended, or nothing came.
    pub code: Option<ErrorCode>,
    /// Answers needed, where that is the matter.
    pub needed: Option<u8>,
    /// Answers that came.
    pub got: Option<u8>,
    /// The nodes concerned.
    pub nodes: Vec<NodeId>,
    /// In words.
    pub message: String,
}

impl From<WireError> for Refused {
    fn from(error: WireError) -> Self {
        Self {
            code: Some(error.code),
            needed: error.needed,
            got: error.got,
            nodes: error.nodes,
            message: error.message,
        }
    }
}

impl Refused {
    /// Nothing came.
    #[must_use]
    pub fn silence() -> Self {
        Self {
            code: None,
            needed: None,
            got: None,
            nodes: Vec::new(),
            message: "nothing came in time".to_owned(),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.code.map_or("no answer", ErrorCode::name);
        write!(f, "{name}")?;
        if let (Some(needed), Some(got)) = (self.needed, self.got) {
            write!(f, " (needed {needed}, got {got})")?;
        }
        write!(f, ": {}", self.message)
    }
}
