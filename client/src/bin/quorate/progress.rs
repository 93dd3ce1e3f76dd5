//! Progress on standard error: a bar on a terminal, otherwise a line a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(1);

/// How far a long command has come.
pub(crate) struct Progress {
    what: String,
    total: u64,
    done: u64,
    bytes: u64,
    started: Instant,
    shown: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of `total` files; `what` says what happens to them.
    pub(crate) fn new(what: impl Into<String>, total: usize) -> Self {
        let (what, now) = (what.into(), Instant::now());
        let total = total as u64;
        let bar = io::stderr().is_terminal().then(|| bar(&what, total));
        Self {
            what,
            total,
            done: 0,
            bytes: 0,
            started: now,
            shown: now,
            bar,
        }
    }

    /// One more file of so many bytes is done.
    pub(crate) fn step(&mut self, bytes: u64) {
        self.done += 1;
        self.bytes += bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            bar.set_message(HumanBytes(self.bytes).to_string());
        } else if self.shown.elapsed() >= LINE_EVERY {
            self.shown = Instant::now();
            // Nobody may be listening there.
            let _ = writeln!(io::stderr(), "{}", self.line());
        }
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> String {
        let seconds = self.elapsed().as_secs();
        format!(
            "{}: {} of {} files, {}, {seconds} s",
            self.what,
            self.done,
            self.total,
            HumanBytes(self.bytes)
        )
    }
}

fn bar(what: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // A template without mistakes: it is a constant, checked by a test.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}

const TEMPLATE: &str = "{prefix} [{wide_bar}] {pos}/{len} {msg} {eta}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_well_formed() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_line_says_what_how_much_and_how_long() {
        let mut progress = Progress::new("load", 3);
        progress.step(2048);
        assert_eq!(progress.line(), "load: 1 of 3 files, 2.00 KiB, 0 s");
    }
}
