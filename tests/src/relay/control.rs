//! Telling a running relay what to do: lines over a Unix socket, each answered by `ok` or `error`
//! and words. The socket's file appears when the relay is ready and goes with it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::Relay;
use super::command::Command;

/// Longest line that is read, bytes.
const LINE_BYTES_MAX: u64 = 1024;
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Why a relay could not be told, or could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another relay answers there.
    #[error("another relay is running at {}", .0.display())]
    InUse(PathBuf),
    /// The socket's file cannot be made.
    #[error("cannot listen at {}: {source}", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No relay answers there.
    #[error("no relay answers at {}: {source}", path.display())]
    Unreachable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The relay refused the line.
    #[error("{0}")]
    Refused(String),
}

/// Takes lines at `path` until `until` is over, then removes the file. A file left by a relay that
/// was killed is replaced.
///
/// # Errors
/// Another relay uses the path, or nothing can be made there.
pub async fn serve(
    relay: &Relay,
    path: &Path,
    until: impl Future<Output = ()>,
) -> Result<(), ControlError> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(ControlError::InUse(path.to_path_buf()));
    }
    let failed = |source| ControlError::Listen {
        path: path.to_path_buf(),
        source,
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    tokio::pin!(until);
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                // A conversation that breaks off concerns nobody else.
                let _ = timeout(ANSWER_WAIT, converse(relay, stream)).await;
            },
            () = &mut until => break,
        }
    }
    let _ = std::fs::remove_file(path);
    Ok(())
}

async fn converse(relay: &Relay, stream: UnixStream) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(LINE_BYTES_MAX)).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match line
            .parse::<Command>()
            .and_then(|command| relay.apply(&command))
        {
            Ok(words) => format!("ok\n{words}\n"),
            Err(error) => format!("error\n{error}\n"),
        };
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Sends one line to the relay at `path` and returns its answer.
///
/// # Errors
/// No relay answers, or it refuses the line.
pub async fn ask(path: &Path, line: &str) -> Result<String, ControlError> {
    let unreachable = |source| ControlError::Unreachable {
        path: path.to_path_buf(),
        source,
    };
    let conversation = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(ANSWER_WAIT, conversation)
        .await
        .unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "it does not answer",
            ))
        })
        .map_err(unreachable)?;
    match answer.split_once('\n') {
        Some(("ok", words)) => Ok(words.trim_end().to_owned()),
        Some((_, words)) => Err(ControlError::Refused(words.trim_end().to_owned())),
        None => Err(unreachable(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "it hung up",
        ))),
    }
}
