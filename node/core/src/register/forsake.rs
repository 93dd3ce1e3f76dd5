//! A member that is left when others are gone for good: it gives up its lineage, and accepts the first version of the next.

use quorate_protocol::peer::{
    MapAsk, MapForsake, MapForsaken, MapNotForsaken, MapRecover, MapRecovered,
};
use quorate_ring::NodeId;

use super::acceptor::Overtaken;
use super::{Register, RegisterMessage, Version};
use crate::plant::Plant;

impl Register {
    /// Whether this node has given up its lineage: it decides nothing in it any more, and learns of nothing that was.
    pub(super) fn has_forsaken(&self) -> bool {
        self.pledge.is_some()
    }

    pub(super) fn forsake(&mut self, from: NodeId, message: MapForsake) {
        let MapForsake {
            lineage,
            ballot,
            gone,
        } = message;
        let me = self.config.me;
        let named = |node| gone.contains(&node);
        if !self.may_leave(from, lineage) || named(me) || named(from) {
            return;
        }
        let pledge = self.pledge.get_or_insert_default();
        match pledge.prepare(ballot, gone) {
            Err(Overtaken(promised)) => self.not_forsaken(from, lineage, ballot, promised),
            Ok(news) => {
                if news {
                    self.outbox.changed();
                }
                self.round = None;
                self.wake_us = None;
                let bytes = |(ballot, version): &(_, Version)| (*ballot, version.bytes().clone());
                let recovered = self.pledge.as_ref().and_then(|one| one.accepted.as_ref());
                let forsaken = MapForsaken {
                    lineage,
                    ballot,
                    storage: self.config.storage,
                    newest: self.known.bytes().clone(),
                    accepted: self.acceptor.accepted.as_ref().map(bytes),
                    recovered: recovered.map(bytes),
                };
                self.pledged(from, RegisterMessage::Forsaken(forsaken));
            }
        }
    }

    pub(super) fn accept_recovered(&mut self, from: NodeId, message: &MapRecover) {
        let &MapRecover {
            lineage, ballot, ..
        } = message;
        if !self.may_leave(from, lineage) {
            return;
        }
        let Some(version) = self.recoverable(&message.map) else {
            return;
        };
        let pledge = self.pledge.get_or_insert_default();
        match pledge.accept(ballot, version) {
            Err(Overtaken(promised)) => self.not_forsaken(from, lineage, ballot, promised),
            Ok(news) => {
                if news {
                    self.outbox.changed();
                }
                let recovered = MapRecovered {
                    lineage,
                    ballot,
                    storage: self.config.storage,
                };
                self.pledged(from, RegisterMessage::Recovered(recovered));
            }
        }
    }

    /// A version that could begin the next lineage, with this node in it.
    pub(super) fn recoverable(&self, bytes: &bytes::Bytes) -> Option<Version> {
        let version = Version::parse(bytes).ok()?;
        let (mine, theirs) = (self.known.map(), version.map());
        let fits = version.begins_after(self.known.name().version.lineage())
            && theirs.map.cluster == mine.map.cluster
            && theirs.shares_lineage(mine)
            && theirs.admits(self.config.me);
        fits.then_some(version)
    }

    /// Whether a member's question about giving up a lineage is about the one that is here. If not, whoever is behind is
    /// helped.
    fn may_leave(&mut self, from: NodeId, lineage: u16) -> bool {
        let mine = self.known.name().version.lineage();
        if lineage < mine {
            let map = self.known.bytes().clone();
            let newest = quorate_protocol::peer::MapDecided { map };
            self.send_once_durable(from, RegisterMessage::Decided(newest));
        } else if lineage > mine {
            let have = self.known.name();
            self.send(from, RegisterMessage::Ask(MapAsk { have }));
        }
        let me = self.config.me;
        lineage == mine && self.is_member(from) && self.is_member(me)
    }

    fn pledged(&mut self, to: NodeId, message: RegisterMessage) {
        if self.breaks(Plant::PledgeUnsynced) {
            self.send(to, message);
        } else {
            self.send_once_durable(to, message);
        }
    }

    fn not_forsaken(
        &mut self,
        to: NodeId,
        lineage: u16,
        ballot: quorate_protocol::peer::Ballot,
        promised: quorate_protocol::peer::Ballot,
    ) {
        let refused = MapNotForsaken {
            lineage,
            ballot,
            promised,
            alive: Vec::new(),
        };
        self.send_once_durable(to, RegisterMessage::NotForsaken(refused));
    }
}
