//! Sessions: reads that see one's own writes and never go back in time.

mod seen;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_protocol::client::{ReplyInfo, SessionNeed, Written};
use quorate_ring::Class;

use crate::bucket::Bucket;
use crate::client::Client;
use crate::error::Error;
use seen::Seen;

/// Remembers what its requests have written and read, and asks for at least that much in later
/// reads, through whichever node they go.
///
/// Without a session a read at r = 1, or one that other nodes stand in for, may miss a write that
/// the same client made a moment ago. With it such a read waits until the write is known, or fails
/// when the deadline passes. It costs a few bytes in each request.
///
/// The memory is bounded: [`quorate_protocol::limits::SESSION_DOTS_MAX`] exact writes. Beyond that
/// the oldest are remembered as "everything up to this one from that writer", which asks for more
/// than was seen, never for less.
///
/// A session is carried to another process by [`Session::export`] and [`Session::import`].
///
/// ```no_run
/// # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
/// let session = client.session();
/// let carts = session.bucket("carts");
/// carts.put("alice", "2 apples").w(1).send().await?;
/// let read = carts.get("alice").r(1).send().await?;
/// assert!(read.is_found());
/// let token = session.export();
/// # let _ = token;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Session {
    client: Client,
    seen: Arc<Mutex<Seen>>,
}

impl Session {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            seen: Arc::default(),
        }
    }

    /// A bucket whose requests belong to this session.
    #[must_use]
    pub fn bucket(&self, name: impl Into<String>) -> Bucket {
        Bucket::new(self.client.clone(), name.into(), Some(self.clone()))
    }

    /// The session as text, for another process or a later time.
    #[must_use]
    pub fn export(&self) -> String {
        token::encode(self.client.map().cluster, &self.lock())
    }

    /// Adds what an exported session has seen.
    ///
    /// # Errors
    /// The text is no session token of this version, is damaged, or belongs to another cluster.
    pub fn import(&self, text: &str) -> Result<(), Error> {
        let imported = token::decode(self.client.map().cluster, text)?;
        self.lock().merge(imported);
        Ok(())
    }

    pub(crate) fn need(&self, class: Class) -> Option<SessionNeed> {
        self.lock().need(class)
    }

    pub(crate) fn saw(&self, info: &ReplyInfo) {
        if let Some(class) = info.class {
            self.lock().add(class, &info.session);
        }
    }

    pub(crate) fn wrote(&self, written: &Written) {
        self.saw(&written.info);
        if let (Some(class), Some(dot)) = (written.info.class, written.dot) {
            self.lock().add(class, &[dot]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Each change is whole before anything can panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
