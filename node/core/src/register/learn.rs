//! Learning what was decided.

use quorate_protocol::peer::{MapAsk, MapDecided, MapNewest};
use quorate_protocol::versioned::{MapName, MapVersion};
use quorate_ring::NodeId;

use super::acceptor::Acceptor;
use super::{Register, RegisterEffect, RegisterMessage, Version};
use crate::plant::Plant;

impl Register {
    /// A peer says which version is the newest there.
    pub(super) fn newest_of(&mut self, from: NodeId, MapNewest { newest }: MapNewest) {
        let mine = self.known.name();
        if self.contradicts(from, newest) || newest.version == mine.version {
            return;
        }
        if !self.is_later(newest.version, mine.version) {
            let message = MapNewest { newest: mine };
            return self.send_once_durable(from, RegisterMessage::Newest(message));
        }
        if !self.may_learn(newest.version) {
            return;
        }
        let pledged = self.pledge.as_ref().and_then(|one| one.accepted.as_ref());
        let mut accepted = self.acceptor.accepted.iter().chain(pledged);
        let held = accepted.find(|(_, version)| version.name() == newest);
        match held.map(|(_, version)| version.clone()) {
            Some(version) => self.adopt(version),
            None => self.ask(from),
        }
    }

    /// A peer has that version and wants to know a newer one.
    pub(super) fn asked(&mut self, from: NodeId, MapAsk { have }: MapAsk) {
        let mine = self.known.name().version;
        if !self.contradicts(from, have) && self.is_later(mine, have.version) {
            self.send_newest(from);
        }
    }

    /// A peer sends a decided version.
    pub(super) fn decided(&mut self, from: NodeId, MapDecided { map }: &MapDecided) {
        let Ok(version) = Version::parse(map) else {
            return;
        };
        let (mine, theirs) = (self.known.name(), version.name());
        let same_cluster = version.map().map.cluster == self.known.map().map.cluster;
        if !same_cluster || self.contradicts(from, theirs) {
            return;
        }
        if self.breaks(Plant::OlderMapTaken) && theirs != mine {
            return self.adopt(version);
        }
        if !self.is_later(theirs.version, mine.version) {
            return;
        }
        if !self.may_learn(theirs.version) {
            return;
        }
        if version.remembers(mine) == Some(false) || !self.is_of_this_line(&version) {
            self.report(from, theirs);
        } else if self.is_given_up_by(&version) {
            let (by, peer) = (theirs, from);
            self.outbox.now(RegisterEffect::GivenUp { by, peer });
        } else {
            self.adopt(version);
        }
    }

    /// Whether a version is later than that one: by its lineage first.
    fn is_later(&self, version: MapVersion, than: MapVersion) -> bool {
        if self.breaks(Plant::LineageIgnored) {
            version.count() > than.count()
        } else {
            version > than
        }
    }

    /// Whoever gave up this lineage has told what it knew of it: a version of it that comes late is not part of what was
    /// recovered.
    fn may_learn(&self, theirs: MapVersion) -> bool {
        let mine = self.known.name().version;
        !self.has_forsaken() || theirs.lineage() > mine.lineage()
    }

    /// Whether a version comes from the same recoveries as the one here, and none of them went back before it.
    fn is_of_this_line(&self, version: &Version) -> bool {
        let mine = self.known.name();
        let (theirs, lineage) = (version.map(), usize::from(mine.version.lineage()));
        let left = theirs.recoveries.get(lineage).map(|next| next.after);
        let kept = left.is_none_or(|after| after.version >= mine.version);
        theirs.shares_lineage(self.known.map()) && (kept || self.is_given_up_by(version))
    }

    /// Whether a version of a later lineage calls this member gone, or is without it otherwise.
    fn is_given_up_by(&self, version: &Version) -> bool {
        let (me, mine) = (self.config.me, self.known.name().version);
        let later = version.name().version.lineage() > mine.lineage();
        later && self.is_member(me) && !version.map().admits(me)
    }

    /// Whether a message is about the version after the newest one here. If not, whoever is behind is
    /// helped.
    pub(super) fn is_about_next(&mut self, from: NodeId, parent: MapName) -> bool {
        if self.contradicts(from, parent) {
            return false;
        }
        let mine = self.known.name().version;
        if parent.version < mine {
            self.send_newest(from);
        } else if parent.version > mine {
            self.ask(from);
        }
        parent.version == mine
    }

    /// Takes a decided version: the word on it is worth nothing any more, and what waits for it is
    /// answered once it is durable.
    pub(super) fn adopt(&mut self, version: Version) {
        let before = self.known.name().version.lineage();
        self.known = version.clone();
        if version.name().version.lineage() > before {
            self.recovered_to();
        }
        let named = self
            .known
            .map()
            .voter(self.config.me)
            .and_then(|voter| voter.storage);
        self.anew = self.anew && named != Some(self.config.storage);
        self.acceptor = Acceptor::default();
        self.round = None;
        self.seen_round = 0;
        self.wake_us = None;
        self.overtaken = 0;
        self.outbox.changed();
        let changed = RegisterEffect::Changed(version);
        self.outbox.once_durable(changed);
        for (wanted, tickets) in self.waiting.take_all() {
            let made = self.made(wanted.version.map().change.request);
            let refusal = self.stale(wanted.base);
            for ticket in tickets {
                match made {
                    Some(name) => self.tell(ticket, name),
                    None => self.refuse(ticket, refusal.clone()),
                }
            }
        }
    }

    fn ask(&mut self, from: NodeId) {
        let have = self.known.name();
        self.send(from, RegisterMessage::Ask(MapAsk { have }));
    }

    fn send_newest(&mut self, to: NodeId) {
        let map = self.known.bytes().clone();
        self.send_once_durable(to, RegisterMessage::Decided(MapDecided { map }));
    }

    /// Whether a version that is decided elsewhere cannot be, by what is known here. Reported once for
    /// each peer and version.
    fn contradicts(&mut self, peer: NodeId, there: MapName) -> bool {
        let mine = self.known.name();
        let fits = if there.version == mine.version {
            there == mine
        } else {
            self.known.remembers(there) != Some(false)
        };
        if !fits {
            self.report(peer, there);
        }
        !fits
    }

    fn report(&mut self, peer: NodeId, there: MapName) {
        if self.contradicted.insert(peer, there) != Some(there) {
            let here = self.known.name();
            let effect = RegisterEffect::Contradiction { here, there, peer };
            self.outbox.now(effect);
        }
    }
}
