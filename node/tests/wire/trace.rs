//! What happened in a run, line by line, so that two runs can be compared.
//!
//! Ciphertext differs from run to run: keys are drawn by the TLS library. So a line tells of a
//! datagram when it went where and how long it was; and of what was inside after it was decoded.

use std::fmt::Arguments;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

/// Lines shown before the first one that differs.
const LINES_BEFORE: usize = 12;

/// The trace of one run. Clones write into the same one.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    start: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    /// An empty one that counts from now.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            lines: Arc::default(),
        }
    }

    /// The moment it counts from.
    pub(crate) const fn start(&self) -> Instant {
        self.start
    }

    /// Adds a line with the time.
    pub(crate) fn note(&self, what: Arguments<'_>) {
        let us = self.start.elapsed().as_micros();
        self.lines.lock().unwrap().push(format!("{us} {what}"));
    }

    /// All lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// One number for all lines.
pub(crate) fn hash(lines: &[String]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for line in lines {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Where two traces part, with what came before; `None` where they are equal.
pub(crate) fn difference(one: &[String], other: &[String]) -> Option<String> {
    let longest = one.len().max(other.len());
    let at = (0..longest).find(|&at| one.get(at) != other.get(at))?;
    let before = one[at.saturating_sub(LINES_BEFORE)..at].join("\n");
    let show = |lines: &[String]| lines.get(at).map_or("the end", String::as_str).to_owned();
    Some(format!(
        "line {at}:\n{before}\n< {}\n> {}",
        show(one),
        show(other)
    ))
}
