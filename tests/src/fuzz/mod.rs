//! Malformed input: every decoder and every sequence of messages against bytes that nobody honest sent.
//!
//! ```text
//! source    where choices come from: a seed, or bytes
//! draw      values of any type, made of choices
//! mutate    valid bytes, broken
//! wire      targets: frames, bodies of both wires, hellos
//! stored    targets: map files, context tokens, records, storage keys
//! values    targets: clocks, contexts and objects as peers send them
//! sequence  target: a live replica under hostile messages
//! cluster   target: failure detection and the keeper of the cluster map under hostile messages
//! run       feeds the targets; panics, time and memory are findings
//! memory    what the process uses
//! command   `quorate-sim --fuzz`
//! ```
//!
//! An input is bytes. Each target can draw valid ones, which are then broken, and checks any: no panic, what
//! is accepted encodes to the very same bytes again, nothing takes long or much memory. The
//! coverage-guided fuzz targets beside this crate (`tests/fuzz`) call the same checks.

pub mod cluster;
pub mod command;
pub mod draw;
pub mod memory;
mod messages;
pub mod mutate;
pub mod run;
pub mod sequence;
pub mod source;
mod stored;
mod values;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};

use self::source::Source;

/// Set while one input is fed for a person to see what it does.
static TELLING: AtomicBool = AtomicBool::new(false);

/// Prints what happens in a sequence, if somebody asked for it.
fn tell(line: impl FnOnce() -> String) {
    if TELLING.load(Ordering::Relaxed) {
        println!("{}", line());
    }
}

/// What became of one input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Inputs: one, or the messages of a sequence.
    pub inputs: u64,
    /// Those that were taken.
    pub accepted: u64,
    /// Those that were refused.
    pub refused: u64,
}

impl Tally {
    const ACCEPTED: Self = Self {
        inputs: 1,
        accepted: 1,
        refused: 0,
    };
    const REFUSED: Self = Self {
        inputs: 1,
        accepted: 0,
        refused: 1,
    };

    /// Adds another's counts.
    pub const fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.accepted += other.accepted;
        self.refused += other.refused;
    }
}

/// One thing that reads bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is fed to it, in a few words.
    pub about: &'static str,
    /// Makes an input that is well formed.
    pub draw: fn(&mut Source<'_>) -> Vec<u8>,
    /// Feeds an input. An error, or a panic, is a finding.
    pub check: fn(&[u8]) -> Result<Tally, String>,
    /// Inputs that one call of `check` is worth, about.
    pub weight: u64,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    wire::FRAME,
    wire::HELLO,
    wire::CLIENT,
    wire::PEER,
    stored::MAP,
    stored::TOKEN,
    stored::OBJECT,
    stored::HINT,
    stored::LOG,
    stored::VNODE,
    stored::REQUEST,
    stored::ALIVE,
    stored::DIGEST,
    values::PIECE,
    stored::KEY,
    values::CLOCK,
    values::CONTEXT,
    values::VERSIONS,
    cluster::TARGET,
    sequence::TARGET,
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Makes an input of a target: random bytes, a valid one, or a valid one broken.
#[must_use]
pub fn make(target: &Target, source: &mut Source<'_>) -> Vec<u8> {
    match source.below(10) {
        0 => {
            let length = match source.below(8) {
                0 => source.index(4096),
                _ => source.index(64),
            };
            source.fill(length)
        }
        1 => (target.draw)(source),
        _ => {
            let (whole, other) = ((target.draw)(source), (target.draw)(source));
            mutate::broken(whole, &other, source)
        }
    }
}

/// The verdict on a decoder's input: what was read must encode to the very bytes it was read from.
fn canonical<E>(what: &str, decoded: Result<Vec<u8>, E>, bytes: &[u8]) -> Result<Tally, String> {
    match decoded {
        Err(_) => Ok(Tally::REFUSED),
        Ok(again) if again == bytes => Ok(Tally::ACCEPTED),
        Ok(again) => Err(format!(
            "{what} was accepted and is written otherwise: {}",
            hex(&again)
        )),
    }
}

/// Says what must hold.
fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Bytes as digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digits as bytes; `None` if they are none.
#[must_use]
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}
