//! What can go wrong with the harness itself, or with what it waits for.

use std::path::PathBuf;
use std::time::Duration;

/// A test cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A program that the tests drive is not there.
    #[error(
        "{path} is missing: build it first, with `cargo build -p quorate-node -p quorate-client`"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A program was built from other sources than the tests.
    #[error(
        "{path} was built from other sources than these tests ({found}, expected {expected}): \
         build it again, with `cargo build -p quorate-node -p quorate-client`"
    )]
    Stale {
        /// The program.
        path: PathBuf,
        /// What it says of itself.
        found: String,
        /// What the sources at hand would give.
        expected: String,
    },
    /// The file system or a process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A node did not come up, or ended by itself.
    #[error("node {name} {what}; the end of its log:\n{log}")]
    Node {
        /// Its name.
        name: String,
        /// What it did.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// A cluster could not be made.
    #[error("the cluster cannot be made: {0}")]
    Made(String),
    /// Something did not happen in time.
    #[error("after {waited:.1?} still not so: {what}; last seen: {seen}")]
    NeverHappened {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// How far it was.
        seen: String,
    },
    /// A client's request failed where it must not.
    #[error("{what}: {error} ({code})")]
    Request {
        /// Which one.
        what: String,
        /// How.
        error: Box<quorate_client::Error>,
        /// Its code's name.
        code: &'static str,
    },
    /// What the cluster holds is not what it acknowledged.
    #[error("the cluster does not hold what it acknowledged:\n{0}")]
    Lost(String),
}

impl Trouble {
    /// For `map_err`: says what was tried on the file system or with a process.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what: what.into(),
            source,
        }
    }

    /// For `map_err`: says which request failed.
    pub fn request(what: impl Into<String>) -> impl FnOnce(quorate_client::Error) -> Self {
        move |error| Self::Request {
            what: what.into(),
            code: error.code().name(),
            error: Box::new(error),
        }
    }
}
