//! The floor: a bare program that does what no store of this design can leave out, measured in turn with the real one.
//!
//! Three servers keep three copies in RocksDB and talk over QUIC, all of it with the node's own options. A put is a
//! read-modify-write on all three, answered when two have done it, and leaves behind what a put must: the object, an
//! entry in the dot log, and the clock. A get asks all three, and is answered when two have. There is nothing else:
//! no membership, no siblings, no repair, no deadlines, no way to be down.
//!
//! It is the cheapest such program that we could write in few lines. Each server is one thread (and those of RocksDB).
//! All members have one connection with each other and one long-lived stream each way; frames are a length and a few
//! fields. A server takes everything that waits as one inbox: one `multi_get` of the objects that it touches, one
//! batch for all its writes, one send for each other member. The client is one more member, in this process, whose
//! CPU time is counted apart.

mod client;
mod link;
mod report;
mod run;
mod server;
mod stage;
mod store;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use report::{Counted, Measured, Report};
pub use run::run;
pub use server::serve;
pub use stage::SERVE;

use crate::ycsb::Mix;

const SERVERS: usize = 3;
/// The client's place among the members, behind the servers.
const CLIENT: usize = SERVERS;
const MEMBERS: usize = SERVERS + 1;

/// What is asked for all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Writes of keys that hold something.
    Put,
    /// Reads.
    Get,
}

impl From<Request> for Mix {
    fn from(request: Request) -> Self {
        match request {
            Request::Put => Self::PUT,
            Request::Get => Self::GET,
        }
    }
}

impl Request {
    /// Both, in the order of the report.
    pub const ALL: [Self; 2] = [Self::Put, Self::Get];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
        }
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This program, started again as a server of the bare kind.
    pub program: PathBuf,
    /// Sizes of values, bytes: each is measured by itself, on keys of its own.
    pub sizes: Vec<usize>,
    /// Keys of each size.
    pub keys: u64,
    /// Requests under way, 1 to 1,024.
    pub outstanding: u16,
    /// What is not counted at the beginning of each run.
    pub warm_up: Duration,
    /// What is.
    pub time: Duration,
    /// Repetitions of each, the floor and the real thing in turn.
    pub runs: usize,
    /// What chance starts from.
    pub seed: u64,
}

/// The bare program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A file or a program cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// Which one.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// There are no ports, or files cannot be written.
    #[error(transparent)]
    Setup(#[from] quorate_tests::process::Trouble),
    /// Certificates cannot be made.
    #[error(transparent)]
    Certificates(#[from] quorate_client::provision::SpecError),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] quorate_node::tls::TlsError),
    /// The endpoint cannot be opened.
    #[error(transparent)]
    Endpoint(#[from] quorate_node::net::NetError),
    /// The database failed.
    #[error("RocksDB: {0}")]
    Database(#[from] rocksdb::Error),
    /// Nobody listens there.
    #[error("the bare server at {0} does not answer")]
    Silent(SocketAddr),
    /// A link ended.
    #[error("a link of the bare program ended: {0}")]
    Ended(String),
    /// Something came that no member of this program says.
    #[error("what a member of the bare program said or left in a file is not understood")]
    Foreign,
}

impl Broken {
    fn io(what: &Path, source: io::Error) -> Self {
        let what = what.display().to_string();
        Self::Io { what, source }
    }

    fn ended(why: impl ToString) -> Self {
        Self::Ended(why.to_string())
    }
}
