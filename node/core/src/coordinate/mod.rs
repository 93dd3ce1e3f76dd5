//! Coordinating requests: from a client's words to a checked [`Ask`], and on to the machine that
//! carries it out here, or to a node that can.

pub(crate) mod check;
pub(crate) mod forward;
pub(crate) mod get;
pub(crate) mod get_answer;
pub(crate) mod get_repair;
pub(crate) mod listing;
pub(crate) mod put;
pub(crate) mod put_find;
pub(crate) mod reports;

use quorate_protocol::client::SessionNeed;
use quorate_protocol::ids::RequestId;
use quorate_protocol::map::BucketMode;
use quorate_protocol::options::{ReadQuorum, WriteQuorum};

use crate::causality::Content;
use crate::causality::VersionVector;
use crate::shared::Asker;
use crate::shelf::Place;

/// A checked read.
#[derive(Clone, Debug)]
pub(crate) struct ReadAsk {
    pub(crate) quorum: ReadQuorum,
    pub(crate) mode: BucketMode,
    pub(crate) session: Option<SessionNeed>,
    pub(crate) explain: bool,
    pub(crate) head: bool,
    /// Delete what is read, rather than answer it.
    pub(crate) then_delete: Option<Box<WriteAsk>>,
}

/// A checked write.
#[derive(Clone, Debug)]
pub(crate) struct WriteAsk {
    /// `None` deletes.
    pub(crate) content: Option<Content>,
    /// What the writer has seen of the key, and replaces.
    pub(crate) seen: VersionVector,
    pub(crate) quorum: WriteQuorum,
    pub(crate) mode: BucketMode,
    pub(crate) request: RequestId,
    pub(crate) retry: bool,
    pub(crate) explain: bool,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Read(ReadAsk),
    Write(WriteAsk),
}

/// A checked request that is to be coordinated here.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) asker: Asker,
    pub(crate) place: Place,
    pub(crate) deadline_us: u64,
    pub(crate) work: Work,
}
