//! What happened, as one rolling hash, and as text where a reader wants it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::faults::Fault;

/// A fault that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number, in the order in which faults are drawn.
    pub number: u64,
    /// When, microseconds.
    pub at_us: u64,
    /// What it was.
    pub fault: Fault,
}

/// The trace of one run. Two runs with the same hash took the same course.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    print: bool,
    faults: Vec<Begun>,
}

impl Trace {
    /// An empty trace; with `print` every event goes to standard output as it happens.
    #[must_use]
    pub fn new(print: bool) -> Self {
        Self {
            print,
            ..Self::default()
        }
    }

    /// Takes in an event: its time, whom it concerns, and its bytes.
    pub fn event(&mut self, at_us: u64, node: usize, what: u64, bytes: &[u8]) {
        let mut head = [0; 24];
        head[..8].copy_from_slice(&at_us.to_be_bytes());
        head[8..16].copy_from_slice(&(node as u64).to_be_bytes());
        head[16..].copy_from_slice(&what.to_be_bytes());
        self.hash = xxh3_64_with_seed(&head, self.hash);
        if !bytes.is_empty() {
            self.hash = xxh3_64_with_seed(bytes, self.hash);
        }
        self.events += 1;
    }

    /// Takes in a fault that begins.
    pub fn fault(&mut self, at_us: u64, number: u64, fault: &Fault) {
        self.faults.push(Begun {
            number,
            at_us,
            fault: fault.clone(),
        });
    }

    /// All faults so far.
    #[must_use]
    pub fn faults(&self) -> &[Begun] {
        &self.faults
    }

    /// A line for people, made only if somebody reads it.
    pub fn say(&self, at_us: u64, line: impl FnOnce() -> String) {
        if self.print {
            println!("{:>10.3} ms  {}", at_us as f64 / 1000.0, line());
        }
    }

    /// The hash of all events so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }
}
