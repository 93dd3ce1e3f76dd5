//! What a register is at, for people.

use quorate_protocol::RequestId;
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use super::Register;

/// An attempt that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How many attempts there were at this version before, as far as this one's node knew, and one.
    pub round: u64,
    /// What voters are asked to accept; `None` while they are asked for promises.
    pub offer: Option<MapName>,
    /// Voters whose answer is missing. It may not be needed.
    pub missing: Vec<NodeId>,
}

/// What a register is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterStatus {
    /// The newest version durably adopted here.
    pub newest: MapName,
    /// Whether this node votes on the next one.
    pub votes: bool,
    /// Whether every voter's storage is known; if not, all must run once before the map can change.
    pub founded: bool,
    /// Accepted here, and not known to be decided.
    pub undecided: Option<MapName>,
    /// Requests that wait here.
    pub waiting: Vec<RequestId>,
    /// The attempt that runs here.
    pub attempt: Option<Attempt>,
}

impl Register {
    /// What it is at.
    #[must_use]
    pub fn status(&self) -> RegisterStatus {
        let attempt = self.round.as_ref().map(|round| Attempt {
            round: round.ballot.round,
            offer: round.offer().map(super::Version::name),
            missing: round.missing(&self.known, self.is_founded()),
        });
        let accepted = self.acceptor.accepted.as_ref();
        RegisterStatus {
            newest: self.durable.name(),
            votes: self.votes_here(),
            founded: self.is_founded(),
            undecided: accepted.map(|(_, version)| version.name()),
            waiting: self.waiting.requests(),
            attempt,
        }
    }
}
