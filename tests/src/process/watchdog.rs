//! Ends a cluster's processes when the test process is gone, however it went.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Trouble;

/// Waits until its input ends, which the system sees to, and kills whoever has a file in `$1` that
/// is named like its process number, if that process still runs the program `$2`.
const SCRIPT: &str = r#"
read -r _
for record in "$1"/*; do
    pid=${record##*/}
    case $(readlink "/proc/$pid/exe") in "$2"*) kill -9 "$pid" ;; esac
done
"#;

/// A shell that outlives this process for a moment.
pub struct Watchdog {
    records: PathBuf,
    shell: Child,
}

impl Watchdog {
    /// Starts it. `records` is a directory of its own.
    ///
    /// # Errors
    /// The directory or the shell cannot be made.
    pub fn start(records: &Path, program: &Path) -> Result<Self, Trouble> {
        fs::create_dir_all(records).map_err(Trouble::io(records.display().to_string()))?;
        let program =
            fs::canonicalize(program).map_err(Trouble::io(program.display().to_string()))?;
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(SCRIPT)
            .arg("watchdog")
            .arg(records)
            .arg(program);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Ctrl-C at the terminal reaches this process and not the watchdog.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let shell = command
            .spawn()
            .map_err(Trouble::io("the watchdog's shell"))?;
        Ok(Self {
            records: records.to_owned(),
            shell,
        })
    }

    /// Puts a process under its watch.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn watch(&self, pid: u32) -> Result<(), Trouble> {
        let record = self.records.join(pid.to_string());
        fs::write(&record, "").map_err(Trouble::io(record.display().to_string()))
    }

    /// The process has ended and was waited for: its number may be another's soon.
    pub fn forget(&self, pid: u32) {
        // A record that stays behind names a number whose program is looked at before it is killed.
        let _ = fs::remove_file(self.records.join(pid.to_string()));
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // It ends by itself now; only its remains are collected.
        let _ = self.shell.wait();
    }
}
