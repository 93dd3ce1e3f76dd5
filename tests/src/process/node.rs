//! One node's process: started, asked for by signals, waited for.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use super::{Programs, Trouble, Watchdog};

pub use rustix::process::Signal;

/// How long a start may take, on a machine that compiles beside. Ten times what it takes alone.
const READY_WAIT: Duration = Duration::from_secs(30);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 25;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// From the signal, or from the beginning of the wait, to the end.
    pub took: Duration,
}

/// A node that can be started and ended again and again on one directory.
pub struct NodeProcess {
    name: String,
    program: PathBuf,
    config: PathBuf,
    log: PathBuf,
    watchdog: Arc<Watchdog>,
    child: Option<Child>,
    log_start: u64,
    environment: Vec<(String, PathBuf)>,
    wrapper: Vec<String>,
}

impl NodeProcess {
    /// The node whose files are in `dir`. Nothing is started yet.
    #[must_use]
    pub fn new(name: &str, dir: &Path, programs: &Programs, watchdog: Arc<Watchdog>) -> Self {
        Self {
            name: name.to_owned(),
            program: programs.node.clone(),
            config: dir.join("node.toml"),
            log: dir.join("log"),
            watchdog,
            child: None,
            log_start: 0,
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// Puts variables into the environment of all processes started from now on.
    pub fn set_environment<'a>(&mut self, variables: impl IntoIterator<Item = (&'a str, PathBuf)>) {
        self.environment = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
    }

    /// Starts all processes through another program from now on; see [`Self::spawn_by`].
    pub fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its log, standard output included, over all its lives.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Whether a process was started and has not been waited for.
    #[must_use]
    pub const fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// The number of a process that was started and has not been waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process, and does not wait until it is ready.
    ///
    /// # Errors
    /// It runs already, or the system refuses.
    pub fn spawn(&mut self) -> Result<(), Trouble> {
        let wrapper = self.wrapper.clone();
        let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        self.spawn_by(&words)
    }

    /// As [`Self::spawn`], through another program such as a shell that sets limits first: the
    /// node's own command line is appended to `wrapper`.
    ///
    /// # Errors
    /// As there.
    pub fn spawn_by(&mut self, wrapper: &[&str]) -> Result<(), Trouble> {
        if self.child.is_some() {
            return Err(self.trouble("runs already"));
        }
        let log = open_log(&self.log)?;
        self.log_start = log.metadata().map_err(Trouble::io("the log's size"))?.len();
        let errors = log.try_clone().map_err(Trouble::io("the log"))?;
        let mut command = match wrapper {
            [] => Command::new(&self.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command.args(["run", "--config"]).arg(&self.config);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command
            .spawn()
            .map_err(Trouble::io(format!("starting {}", self.name)))?;
        let watched = self.watchdog.watch(child.id());
        self.child = Some(child);
        watched
    }

    /// Waits until the process says that it serves.
    ///
    /// # Errors
    /// It ends, or takes too long; the error shows its log's end.
    pub async fn ready(&mut self) -> Result<(), Trouble> {
        let end = Instant::now() + READY_WAIT;
        loop {
            if self
                .log_of_this_life()
                .lines()
                .any(|line| line.starts_with("ready "))
            {
                return Ok(());
            }
            if let Some(status) = self.try_wait()? {
                return Err(self.trouble(&format!("ended instead of becoming ready ({status})")));
            }
            if Instant::now() > end {
                return Err(self.trouble(&format!("was not ready after {READY_WAIT:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<(), Trouble> {
        // A child that was not waited for keeps its number.
        let child = self
            .child
            .as_ref()
            .ok_or_else(|| self.trouble("does not run"))?;
        kill_process(Pid::from_child(child), signal)
            .map_err(|errno| Trouble::io(format!("a signal to {}", self.name))(errno.into()))
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> Result<(), Trouble> {
        self.signal(Signal::KILL)?;
        self.end(Duration::from_secs(20)).await.map(drop)
    }

    /// SIGTERM, and waits for the end, at most `patience`.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn terminate(&mut self, patience: Duration) -> Result<Ended, Trouble> {
        self.signal(Signal::TERM)?;
        self.end(patience).await
    }

    /// Waits until the process has ended by itself or by a signal sent before.
    ///
    /// # Errors
    /// It still runs after `patience`.
    pub async fn end(&mut self, patience: Duration) -> Result<Ended, Trouble> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(Ended {
                    status,
                    took: begin.elapsed(),
                });
            }
            if begin.elapsed() > patience {
                return Err(self.trouble(&format!("had not ended after {patience:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How the process ended by itself, if it did since it was started; it can be started again then.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn ended_by_itself(&mut self) -> Result<Option<ExitStatus>, Trouble> {
        if self.child.is_none() {
            return Ok(None);
        }
        self.try_wait()
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, Trouble> {
        let Some(child) = &mut self.child else {
            return Err(self.trouble("does not run"));
        };
        let ended = child
            .try_wait()
            .map_err(Trouble::io(format!("waiting for {}", self.name)))?;
        if ended.is_some() {
            self.watchdog.forget(child.id());
            self.child = None;
        }
        Ok(ended)
    }

    /// What the process has printed since it was started last, on both of its outputs.
    #[must_use]
    pub fn log_of_this_life(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start)
            .unwrap_or(usize::MAX)
            .min(log.len());
        String::from_utf8_lossy(&log[start..]).into_owned()
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = self.log_of_this_life();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines[from..]
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect()
    }

    fn trouble(&self, what: &str) -> Trouble {
        Trouble::Node {
            name: self.name.clone(),
            what: what.to_owned(),
            log: self.log_end(),
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; either way it is waited for.
            let _ = child.kill();
            let _ = child.wait();
            self.watchdog.forget(child.id());
        }
    }
}

fn open_log(path: &Path) -> Result<File, Trouble> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Trouble::io(path.display().to_string()))
}
