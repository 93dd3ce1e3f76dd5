//! How a command ends: what it prints last, and its exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::json;

use crate::output::Out;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Refused, or not found: the request is at fault, or there is nothing there. Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// As `Refused`, and everything worth saying was printed.
    #[error("")]
    Shown,
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

    const fn code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Shown => 1,
            Self::Failed(_) => 2,
            Self::OutputClosed => 0,
        }
    }
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
    let Err(failure) = done else { return ExitCode::SUCCESS };
    match &failure {
        Failure::Refused(message) | Failure::Failed(message) => {
            if out.is_json() {
                let kind = if failure.code() == 1 { "refused" } else { "failed" };
                // Nothing is left to do where even this cannot be written.
                let _ = out.json(&json!({ "error": { "kind": kind, "message": message } }));
            }
            let _ = writeln!(io::stderr(), "quorate: {message}");
        }
        Failure::Shown | Failure::OutputClosed => {}
    }
    let _ = out.flush();
    ExitCode::from(failure.code())
}
