//! What is asked in a walk.

use std::collections::BTreeSet;

use bytes::Bytes;
use quorate_protocol::options::{Count, ReadOptions, WriteOptions};

use super::ask::{Seen, Wrote};
use super::walk::KEY;
use crate::sim::history::{Key, WriteId};

/// Deadline of a request unless it says otherwise, milliseconds.
const DEADLINE_MS: u32 = 10_000;

/// What a write replaces.
#[derive(Clone, Debug)]
pub struct Over {
    pub(super) context: Bytes,
    pub(super) seen: BTreeSet<WriteId>,
}

impl From<&Seen> for Over {
    fn from(seen: &Seen) -> Self {
        Self {
            context: seen.context.clone(),
            seen: seen.writes.iter().copied().collect(),
        }
    }
}

impl From<&Wrote> for Over {
    fn from(wrote: &Wrote) -> Self {
        Self {
            context: wrote.context.clone(),
            seen: BTreeSet::from([wrote.id]),
        }
    }
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) key: Key,
    pub(super) what: What,
    pub(super) deadline_ms: u32,
    pub(super) session: bool,
    pub(super) silent: bool,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Get(ReadOptions),
    Write {
        /// The write, if it was begun before.
        id: Option<WriteId>,
        name: Option<String>,
        over: Option<Over>,
        options: WriteOptions,
    },
}

/// Reads the key.
#[must_use]
pub fn get() -> Request {
    Request::new(What::Get(ReadOptions::default()))
}

/// Writes a value of this name.
#[must_use]
pub fn put(name: impl Into<String>) -> Request {
    Request::new(What::Write {
        id: None,
        name: Some(name.into()),
        over: None,
        options: WriteOptions::default(),
    })
}

/// Deletes what was read.
#[must_use]
pub fn delete(over: impl Into<Over>) -> Request {
    Request::new(What::Write {
        id: None,
        name: None,
        over: Some(over.into()),
        options: WriteOptions::default(),
    })
}

impl Request {
    const fn new(what: What) -> Self {
        Self {
            key: KEY,
            what,
            deadline_ms: DEADLINE_MS,
            session: false,
            silent: false,
        }
    }

    /// Of another key.
    #[must_use]
    pub const fn of(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Answers needed of a read.
    #[must_use]
    pub fn r(self, r: u8) -> Self {
        self.reading(|options| options.r = Some(Count::Exactly(r)))
    }

    /// Changes a read's options.
    #[must_use]
    pub fn reading(mut self, change: impl FnOnce(&mut ReadOptions)) -> Self {
        if let What::Get(options) = &mut self.what {
            change(options);
        }
        self
    }

    /// Acknowledgements needed of a write.
    #[must_use]
    pub fn w(self, w: u8) -> Self {
        self.writing(|options| options.w = Some(Count::Exactly(w)))
    }

    /// Changes a write's options.
    #[must_use]
    pub fn writing(mut self, change: impl FnOnce(&mut WriteOptions)) -> Self {
        if let What::Write { options, .. } = &mut self.what {
            change(options);
        }
        self
    }

    /// The write replaces what was read.
    #[must_use]
    pub fn over(mut self, read: impl Into<Over>) -> Self {
        if let What::Write { over, .. } = &mut self.what {
            *over = Some(read.into());
        }
        self
    }

    /// The write is a retry of this one.
    #[must_use]
    pub fn again(mut self, first: WriteId) -> Self {
        if let What::Write { id, .. } = &mut self.what {
            *id = Some(first);
        }
        self
    }

    /// The request is one of the walk's session.
    #[must_use]
    pub const fn in_session(mut self) -> Self {
        self.session = true;
        self
    }

    /// Its deadline, milliseconds.
    #[must_use]
    pub const fn deadline_ms(mut self, ms: u32) -> Self {
        self.deadline_ms = ms;
        self
    }

    /// It is not told.
    #[must_use]
    pub const fn silently(mut self) -> Self {
        self.silent = true;
        self
    }
}
