//! What a member must not forget while its lineage is given up.

use quorate_protocol::peer::Ballot;
use quorate_ring::NodeId;

use super::acceptor::Overtaken;
use super::version::Version;

/// A member's word to take part in no decision of its lineage any more, and its word on the first version of the next
/// one. Durable before anybody hears of it, and in force until a version of a later lineage is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pledge {
    /// Takes part in no attempt to recover before this one.
    pub(super) promised: Ballot,
    /// Who was called gone in that attempt.
    pub(super) gone: Vec<NodeId>,
    /// What it accepted last.
    pub(super) accepted: Option<(Ballot, Version)>,
}

impl Pledge {
    /// Promises; returns whether that is news. The same question may come again.
    pub(super) fn prepare(&mut self, ballot: Ballot, gone: Vec<NodeId>) -> Result<bool, Overtaken> {
        if ballot < self.promised {
            return Err(Overtaken(self.promised));
        }
        let news = ballot > self.promised;
        (self.promised, self.gone) = (ballot, gone);
        Ok(news)
    }

    /// Accepts; returns whether that is news.
    pub(super) fn accept(&mut self, ballot: Ballot, version: Version) -> Result<bool, Overtaken> {
        if ballot < self.promised {
            return Err(Overtaken(self.promised));
        }
        let accepted = Some((ballot, version));
        let news = self.accepted != accepted;
        self.promised = ballot;
        self.accepted = accepted;
        Ok(news)
    }
}
