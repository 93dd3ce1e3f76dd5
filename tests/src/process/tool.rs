//! The command-line tool, run as a person would run it.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Cluster, Trouble};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// A command of `quorate`, with a cluster's seeds and certificates in its environment.
pub struct Tool {
    command: Command,
}

impl Tool {
    /// Prepares `quorate ARGUMENTS...`.
    #[must_use]
    pub fn new(cluster: &Cluster, arguments: &[&str]) -> Self {
        let files = cluster.files();
        let tls = files.tls("admin");
        let mut command = Command::new(&cluster.programs().tool);
        command.args(arguments);
        command.env("QUORATE_SEEDS", files.seeds().join(","));
        command
            .env("QUORATE_CA", tls.ca)
            .env("QUORATE_CERT", tls.cert)
            .env("QUORATE_KEY", tls.key);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub fn run(&mut self) -> Result<Finished, Trouble> {
        let child = self.start()?;
        finish(child)
    }

    /// Runs it with these bytes as its input.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(&mut self, input: &[u8]) -> Result<Finished, Trouble> {
        self.command.stdin(Stdio::piped());
        let mut child = self.start()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads only a part closes the pipe early.
            let _ = stdin.write_all(input);
        }
        finish(child)
    }

    /// Starts it; its outputs are piped to this process.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> Result<Child, Trouble> {
        self.command
            .spawn()
            .map_err(Trouble::io("starting quorate"))
    }
}

/// Reads both outputs to their ends and waits.
pub(super) fn finish(mut child: Child) -> Result<Finished, Trouble> {
    let begin = Instant::now();
    let err = child.stderr.take();
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        err.map(|mut err| err.read_to_end(&mut text));
        text
    });
    let mut out = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_end(&mut out)
            .map_err(Trouble::io("reading what quorate prints"))?;
    }
    while begin.elapsed() < PATIENCE {
        if let Some(status) = child
            .try_wait()
            .map_err(Trouble::io("waiting for quorate"))?
        {
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            // The thread only reads: it does not panic.
            let err = text(errors.join().unwrap_or_default());
            return Ok(Finished {
                code: status.code(),
                out: text(out),
                err,
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // It is ours and was not waited for.
    let _ = child.kill();
    let _ = child.wait();
    Err(Trouble::Made(format!(
        "quorate did not end within {PATIENCE:?}"
    )))
}
