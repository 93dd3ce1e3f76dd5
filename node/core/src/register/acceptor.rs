//! What a voter must not forget, and the two questions that change it.

use quorate_protocol::peer::Ballot;

use super::version::Version;

/// A voter's word on the version after the newest. Durable before anybody hears of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acceptor {
    /// Takes part in no attempt before this one.
    pub(super) promised: Ballot,
    /// What it accepted last.
    pub(super) accepted: Option<(Ballot, Version)>,
}

/// A later attempt has the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overtaken(pub(super) Ballot);

impl Acceptor {
    /// Promises; returns whether that is news. The same question may come again.
    pub(super) fn prepare(&mut self, ballot: Ballot) -> Result<bool, Overtaken> {
        if ballot < self.promised {
            return Err(Overtaken(self.promised));
        }
        let news = ballot > self.promised;
        self.promised = ballot;
        Ok(news)
    }

    /// Accepts; returns whether that is news.
    pub(super) fn accept(&mut self, ballot: Ballot, version: Version) -> Result<bool, Overtaken> {
        if ballot < self.promised {
            return Err(Overtaken(self.promised));
        }
        Ok(self.take(ballot, version))
    }

    /// Accepts whatever was promised. Nobody may: see [`crate::Plant::LowerBallotTaken`].
    pub(super) fn take(&mut self, ballot: Ballot, version: Version) -> bool {
        let accepted = Some((ballot, version));
        let news = self.accepted != accepted;
        self.promised = self.promised.max(ballot);
        self.accepted = accepted;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::{ballot, version};

    #[test]
    fn a_promise_keeps_earlier_attempts_out() {
        let mut acceptor = Acceptor::default();
        assert_eq!(acceptor.prepare(ballot(2, 1)), Ok(true));
        assert_eq!(acceptor.prepare(ballot(2, 1)), Ok(false));
        assert_eq!(acceptor.prepare(ballot(1, 9)), Err(Overtaken(ballot(2, 1))));
        assert_eq!(
            acceptor.accept(ballot(1, 9), version("a")),
            Err(Overtaken(ballot(2, 1)))
        );
        assert_eq!(acceptor.accepted, None);
    }

    #[test]
    fn accepting_promises_too_and_the_last_one_stays() {
        let mut acceptor = Acceptor::default();
        assert_eq!(acceptor.accept(ballot(1, 1), version("a")), Ok(true));
        assert_eq!(acceptor.accept(ballot(1, 1), version("a")), Ok(false));
        assert_eq!(acceptor.promised, ballot(1, 1));
        assert_eq!(acceptor.prepare(ballot(1, 2)), Ok(true));
        assert_eq!(acceptor.accepted, Some((ballot(1, 1), version("a"))));
        assert_eq!(acceptor.accept(ballot(1, 2), version("b")), Ok(true));
        assert_eq!(acceptor.accepted, Some((ballot(1, 2), version("b"))));
    }
}
