//! The voter's side: questions about the version after the newest.

use bytes::Bytes;
use quorate_protocol::peer::{Ballot, MapAccept, MapAccepted, MapPrepare, MapPromise, MapRefused};
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

use super::acceptor::Overtaken;
use super::{Register, RegisterMessage, Version};
use crate::effects::Now;
use crate::plant::Plant;

impl Register {
    pub(super) fn prepare(
        &mut self,
        now: Now,
        from: NodeId,
        MapPrepare { parent, ballot }: MapPrepare,
    ) {
        if !self.may_answer(from, parent) {
            return;
        }
        match self.acceptor.prepare(ballot) {
            Err(overtaken) => self.overtaken_by(from, parent, ballot, overtaken),
            Ok(news) => {
                if news {
                    self.outbox.changed();
                }
                self.give_way(now, from);
                let bytes =
                    |(ballot, version): &(Ballot, Version)| (*ballot, version.bytes().clone());
                let promise = MapPromise {
                    parent,
                    ballot,
                    storage: self.config.storage,
                    accepted: self.acceptor.accepted.as_ref().map(bytes),
                };
                self.send_once_durable(from, RegisterMessage::Promise(promise));
            }
        }
    }

    pub(super) fn accept(&mut self, now: Now, from: NodeId, message: MapAccept) {
        let MapAccept {
            parent,
            ballot,
            map,
        } = message;
        if !self.may_answer(from, parent) {
            return;
        }
        // A version that cannot follow is answered by nothing: its proposer has another idea of the rules.
        let Some(version) = self.possible(&map) else {
            return;
        };
        let answer = if self.breaks(Plant::LowerBallotTaken) {
            Ok(self.acceptor.take(ballot, version))
        } else {
            self.acceptor.accept(ballot, version)
        };
        match answer {
            Err(overtaken) => self.overtaken_by(from, parent, ballot, overtaken),
            Ok(news) => {
                if news {
                    self.outbox.changed();
                }
                self.give_way(now, from);
                let accepted = MapAccepted {
                    parent,
                    ballot,
                    storage: self.config.storage,
                };
                self.send_once_durable(from, RegisterMessage::Accepted(accepted));
            }
        }
    }

    /// A version that could follow the newest.
    pub(super) fn possible(&self, bytes: &Bytes) -> Option<Version> {
        let version = Version::parse(bytes).ok()?;
        version.check_follows(&self.known).ok()?;
        Some(version)
    }

    /// Whether a question about the version after `parent` is one for this voter.
    fn may_answer(&mut self, from: NodeId, parent: MapName) -> bool {
        let about_next = self.is_about_next(from, parent);
        about_next && self.is_member(from) && self.votes_here() && !self.has_forsaken()
    }

    fn overtaken_by(
        &mut self,
        from: NodeId,
        parent: MapName,
        ballot: Ballot,
        Overtaken(promised): Overtaken,
    ) {
        let refused = MapRefused {
            parent,
            ballot,
            promised,
        };
        self.send_once_durable(from, RegisterMessage::Refused(refused));
    }
}
