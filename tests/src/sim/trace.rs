//! What happened, as one rolling hash, and as text where a reader wants it.

use std::cell::RefCell;
use std::rc::Rc;

use quorate_core::Write;
use quorate_protocol::peer::PeerMessage;
use quorate_ring::NodeId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::faults::Fault;
use super::history::History;
use super::story::Story;

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
    /// Shared, so that it outlives a world that panics.
    begun: Rc<RefCell<Vec<Begun>>>,
    story: Option<Story>,
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
        self.begun.borrow_mut().push(Begun {
            number,
            at_us,
            fault: fault.clone(),
        });
    }

    /// All faults so far, and those to come.
    #[must_use]
    pub fn begun(&self) -> Rc<RefCell<Vec<Begun>>> {
        Rc::clone(&self.begun)
    }

    /// The same trace, which also notes what happens to one key.
    #[must_use]
    pub fn about(self, story: Story) -> Self {
        Self {
            story: Some(story),
            ..self
        }
    }

    /// A node wrote a batch.
    pub fn wrote(&mut self, at_us: u64, node: usize, writes: &[Write]) {
        if let Some(story) = &mut self.story {
            story.wrote(at_us, node, writes);
        }
    }

    /// A message arrived.
    pub fn delivered(&mut self, at_us: u64, from: NodeId, to: NodeId, message: &PeerMessage) {
        if let Some(story) = &mut self.story {
            story.delivered(at_us, from, to, message);
        }
    }

    /// What happened to the key that was noted.
    #[must_use]
    pub fn story(&self, history: &History) -> Option<Vec<String>> {
        let story = self.story.clone()?;
        Some(story.tell(history, &self.begun.borrow()))
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
