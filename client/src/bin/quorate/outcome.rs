//! How a command ends: what it prints last, and its exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use quorate_client::{Error, Kind};
use serde_json::{Value, json};

use crate::output::Out;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Refused, or not found: the request is at fault, or there is nothing there. Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// As `Refused`, by the library or a node.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// Everything worth saying was printed. Exit code as given.
    #[error("")]
    Shown(u8),
    /// Something failed that may work another time. Exit code 2.
    #[error("{0}")]
    Failed(String),
    /// Whoever read our output has enough of it. Exit code 0, and not a word.
    #[error("the output was closed")]
    OutputClosed,
}

/// What commands return.
pub(crate) type Done = Result<(), Failure>;

impl Failure {
    /// An error of the file system, about `what`.
    pub(crate) fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }

    fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Cluster(error) if error.kind() == Kind::Fix => 1,
            Self::Cluster(_) | Self::Failed(_) => 2,
            Self::Shown(code) => *code,
            Self::OutputClosed => 0,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Cluster(error) => error_json(error),
            Self::Refused(_) | Self::Shown(_) => {
                json!({ "kind": "fix", "code": "refused", "message": self.to_string() })
            }
            Self::Failed(_) | Self::OutputClosed => {
                json!({ "kind": "retry", "code": "failed", "message": self.to_string() })
            }
        }
    }
}

/// An error of the library, with stable names.
pub(crate) fn error_json(error: &Error) -> Value {
    json!({
        "kind": error.kind().name(),
        "code": error.code().name(),
        "message": error.to_string(),
        "needed": error.needed(),
        "got": error.got(),
        "nodes": error.nodes().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "retry_after_ms": error.retry_after().map(|time| time.as_millis()),
        "trace": error.trace().map(|trace| format!("{trace:016x}")),
    })
}

impl From<io::Error> for Failure {
    /// An error of writing our own output.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Failed(format!("the output could not be written: {error}"))
        }
    }
}

/// Says what went wrong, on standard error and under `--json` on standard output too.
pub(crate) fn end(done: Done, out: &mut Out) -> ExitCode {
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    match &failure {
        Failure::Refused(_) | Failure::Cluster(_) | Failure::Failed(_) => {
            // What was printed before comes first. Nothing is left to do where even this fails.
            let _ = out.flush();
            if out.is_json() {
                let _ = out.json(&json!({ "error": failure.json() }));
            }
            complain(&failure);
        }
        Failure::Shown(_) | Failure::OutputClosed => {}
    }
    let _ = out.flush();
    ExitCode::from(failure.code())
}

/// One line on standard error.
pub(crate) fn complain(what: impl std::fmt::Display) {
    // Nobody may be listening there.
    let _ = writeln!(io::stderr(), "quorate: {what}");
}
