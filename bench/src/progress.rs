//! How far a long run has come, on standard error: a bar on a terminal, otherwise a line a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(1);
const TEMPLATE: &str = "{prefix} [{wide_bar}] {pos}/{len} {per_sec} {msg} {eta}";

/// Counts writes and failures.
pub(crate) struct Progress {
    what: String,
    total: u64,
    done: u64,
    failed: u64,
    /// What stands in place of the rate and of failures.
    told: Option<String>,
    begin: Instant,
    shown: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(what: &str, total: u64) -> Self {
        let now = Instant::now();
        Self {
            what: what.to_owned(),
            total,
            done: 0,
            failed: 0,
            told: None,
            begin: now,
            shown: now,
            bar: io::stderr().is_terminal().then(|| bar(what, total)),
        }
    }

    /// One more write has ended.
    pub(crate) fn step(&mut self, ok: bool) {
        self.failed += u64::from(!ok);
        let message = (!ok).then(|| format!("{} failed", self.failed));
        self.show(message);
    }

    /// One more of something that cannot fail by itself; `told` is how it looks by now.
    pub(crate) fn step_telling(&mut self, told: String) {
        self.told = Some(told.clone());
        self.show(Some(told));
    }

    fn show(&mut self, message: Option<String>) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
            if let Some(message) = message {
                bar.set_message(message);
            }
        } else if self.shown.elapsed() >= LINE_EVERY {
            self.shown = Instant::now();
            say(&self.line());
        }
    }

    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> String {
        if let Some(told) = &self.told {
            return format!("{}: {} of {}, {told}", self.what, self.done, self.total);
        }
        let seconds = self.begin.elapsed().as_secs_f64();
        let rate = self.done as f64 / seconds.max(1e-3);
        format!(
            "{}: {} of {}, {rate:.0} a second, {} failed",
            self.what, self.done, self.total, self.failed
        )
    }
}

/// A line for whoever watches.
pub(crate) fn say(text: &str) {
    // Nobody may be listening there.
    let _ = writeln!(io::stderr(), "{text}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_well_formed() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_line_says_what_how_much_and_what_failed() {
        let mut progress = Progress::new("load", 3);
        progress.step(true);
        progress.step(false);
        let line = progress.line();
        assert!(line.starts_with("load: 2 of 3, "), "{line}");
        assert!(line.ends_with(" a second, 1 failed"), "{line}");
    }

    #[test]
    fn what_is_told_stands_behind_the_steps() {
        let mut progress = Progress::new("put 1 of 5, seconds", 10);
        progress.step_telling("7 operations done, 2 failed".to_owned());
        let line = progress.line();
        assert_eq!(
            line,
            "put 1 of 5, seconds: 1 of 10, 7 operations done, 2 failed"
        );
    }
}
