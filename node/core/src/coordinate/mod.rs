//! Coordinating requests: from a client's words to a checked [`Ask`], and on to the machine that
//! carries it out here, or to a node that can.

pub(crate) mod check;
pub(crate) mod copies;
mod fence;
pub(crate) mod forward;
pub(crate) mod get;
pub(crate) mod get_answer;
pub(crate) mod get_differ;
pub(crate) mod get_repair;
pub(crate) mod get_reply;
pub(crate) mod listing;
pub(crate) mod put;
pub(crate) mod put_find;
pub(crate) mod put_ship;
pub(crate) mod reports;
pub(crate) mod void_deletes;

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
    /// How long the value lives, milliseconds; 0: for ever.
    pub(crate) ttl_ms: u64,
    /// What the writer has seen of the key, and replaces.
    pub(crate) seen: VersionVector,
    pub(crate) quorum: WriteQuorum,
    pub(crate) mode: BucketMode,
    pub(crate) request: RequestId,
    pub(crate) retry: bool,
    /// A delete without a context: it deletes what is there, so that must be read before.
    pub(crate) reads_first: bool,
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

/// The read that finds out what a delete without a context deletes.
pub(crate) fn read_first(ask: WriteAsk) -> ReadAsk {
    ReadAsk {
        quorum: ReadQuorum {
            n: ask.quorum.n,
            r: ask.quorum.n / 2 + 1,
            pr: 0,
            notfound_ok: true,
            basic_quorum: false,
            sloppy: ask.quorum.sloppy,
            stale_ok: false,
        },
        mode: ask.mode,
        session: None,
        explain: false,
        head: true,
        then_delete: Some(Box::new(WriteAsk {
            retry: false,
            reads_first: false,
            ..ask
        })),
    }
}
