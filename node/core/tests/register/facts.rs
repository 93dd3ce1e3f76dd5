//! What must hold, judged from outside: by what leaves the nodes, counted anew.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Ticket;
use quorate_core::register::{Outcome, Proposal, Refusal, RegisterMessage, Version};
use quorate_protocol::peer::Ballot;
use quorate_protocol::versioned::{MapName, MapVersion, VersionedMap};
use quorate_protocol::{RequestId, StorageId};
use quorate_ring::NodeId;

/// One register: the one that decides the version after this one.
type Parent = MapName;

/// All that was seen, and what was wrong with it.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    /// The one content of each version that is decided, whether or not any node knows.
    pub(crate) decided: BTreeMap<MapVersion, Version>,
    /// What nodes have adopted, the first of each version.
    adopted: BTreeMap<MapVersion, MapName>,
    /// What each attempt offers.
    offers: BTreeMap<(Parent, Ballot), Version>,
    /// Who has accepted it, and told so.
    accepted: BTreeMap<(Parent, Ballot), BTreeSet<(NodeId, StorageId)>>,
    /// The highest ballot that each voter promised, and told so.
    promised: BTreeMap<(Parent, NodeId, StorageId), Ballot>,
    /// The newest version that each storage was known to have durably.
    newest: BTreeMap<(NodeId, StorageId), MapName>,
    /// What was asked for.
    bases: BTreeMap<RequestId, BTreeSet<MapName>>,
    tickets: BTreeMap<Ticket, RequestId>,
    pub(crate) outcomes: BTreeMap<Ticket, Outcome>,
    /// Whose node ended before it answered.
    lost: BTreeSet<Ticket>,
    at: BTreeMap<Ticket, NodeId>,
    pub(crate) violations: Vec<String>,
}

/// Counted without the register's help: a majority of the pairs, or all nodes where no storage is known.
pub(crate) fn decides(map: &VersionedMap, accepted: &BTreeSet<(NodeId, StorageId)>) -> bool {
    let founded = map.voters.iter().any(|voter| voter.storage.is_some());
    let said_yes = map.voters.iter().filter(|voter| {
        let mut all = accepted.iter();
        all.any(|(node, storage)| {
            *node == voter.node && (!founded || voter.storage == Some(*storage))
        })
    });
    let yes = said_yes.count();
    if founded {
        2 * yes > map.voters.len()
    } else {
        yes == map.voters.len()
    }
}

impl Facts {
    pub(crate) fn new(first: &Version) -> Self {
        let mut facts = Self::default();
        facts.decided.insert(MapVersion::FIRST, first.clone());
        facts
    }

    /// The newest version that is decided.
    pub(crate) fn last(&self) -> &Version {
        self.decided.values().next_back().unwrap()
    }

    /// The one before.
    pub(crate) fn last_but_one(&self) -> Option<&Version> {
        self.decided.values().rev().nth(1)
    }

    pub(crate) fn asked(&mut self, ticket: Ticket, node: NodeId, proposal: &Proposal) {
        self.at.insert(ticket, node);
        self.bases
            .entry(proposal.request)
            .or_default()
            .insert(proposal.base);
        self.tickets.insert(ticket, proposal.request);
    }

    /// A node's process has ended: whoever waited there waits in vain.
    pub(crate) fn crashed(&mut self, node: NodeId) {
        let there = self.at.iter().filter(|(_, at)| **at == node);
        self.lost.extend(there.map(|(ticket, _)| *ticket));
    }

    /// A node starts with what its disk has.
    pub(crate) fn opened(&mut self, node: NodeId, storage: StorageId, newest: &Version) {
        let known = self.newest.get(&(node, storage));
        if known.is_some_and(|known| newest.name().version < known.version) {
            let known = known.copied();
            self.wrong(format!("{node} had {known:?} durably and opens {newest:?}"));
        }
        self.changed(node, storage, newest);
    }

    /// A node has a decided version durably.
    pub(crate) fn changed(&mut self, node: NodeId, storage: StorageId, version: &Version) {
        let name = version.name();
        let before = self.newest.insert((node, storage), name);
        if before.is_some_and(|before| before.version > name.version) {
            self.wrong(format!("{node} goes back from {before:?} to {name}"));
        }
        let other = *self.adopted.entry(name.version).or_insert(name);
        if other != name {
            self.wrong(format!("{other} and {name} are both adopted"));
        }
        match self.decided.get(&name.version) {
            Some(decided) if *decided == *version => {}
            Some(decided) => {
                let decided = decided.name();
                self.wrong(format!("{node} adopts {name}, and {decided} is decided"));
            }
            None => self.wrong(format!("{node} adopts {name}, which nobody decided")),
        }
    }

    /// A message leaves a node.
    pub(crate) fn said(&mut self, node: NodeId, storage: StorageId, message: &RegisterMessage) {
        match message {
            RegisterMessage::Promise(promise) => {
                self.is_voter(node, storage, promise.parent);
                let key = (promise.parent, node, storage);
                let promised = self.promised.entry(key).or_default();
                *promised = promise.ballot.max(*promised);
            }
            RegisterMessage::Accept(accept) => {
                let version = Version::parse(&accept.map).unwrap();
                self.offered(accept.parent, accept.ballot, version);
            }
            RegisterMessage::Accepted(accepted) => {
                self.is_voter(node, storage, accepted.parent);
                self.accepts(node, storage, accepted.parent, accepted.ballot);
            }
            RegisterMessage::Prepare(_)
            | RegisterMessage::Refused(_)
            | RegisterMessage::Newest(_)
            | RegisterMessage::Ask(_)
            | RegisterMessage::Decided(_) => {}
        }
    }

    fn offered(&mut self, parent: Parent, ballot: Ballot, version: Version) {
        let key = (parent, ballot);
        let before = self.offers.entry(key).or_insert_with(|| version.clone());
        if *before != version {
            let before = before.name();
            let other = version.name();
            self.wrong(format!("{ballot:?} offers {before} and {other}"));
        }
    }

    fn accepts(&mut self, node: NodeId, storage: StorageId, parent: Parent, ballot: Ballot) {
        let promised = self.promised.get(&(parent, node, storage));
        if promised.is_some_and(|promised| *promised > ballot) {
            self.wrong(format!("{node} accepts {ballot:?} after {promised:?}"));
        }
        let key = (parent, ballot);
        let accepted = self.accepted.entry(key).or_default();
        accepted.insert((node, storage));
        self.check_decided(parent, ballot);
    }

    fn check_decided(&mut self, parent: Parent, ballot: Ballot) {
        let (Some(accepted), Some(version)) = (
            self.accepted.get(&(parent, ballot)),
            self.offers.get(&(parent, ballot)),
        ) else {
            return;
        };
        let Some(before) = self.decided.get(&parent.version) else {
            return;
        };
        if before.name() == parent && decides(before.map(), accepted) {
            self.decide(version.clone());
        }
    }

    fn decide(&mut self, version: Version) {
        let name = version.name();
        let known = self.decided.entry(name.version).or_insert(version).name();
        if known != name {
            self.wrong(format!("{known} and {name} are both decided"));
        }
        self.check_chain(name.version);
    }

    fn check_chain(&mut self, number: MapVersion) {
        let version = self.decided[&number].clone();
        let before = MapVersion::new(number.get() - 1);
        let parent = self.decided.get(&before).map(|parent| parent.name().digest);
        if parent != version.map().parent {
            self.wrong(format!("{version:?} does not follow the version before it"));
        }
        let request = version.map().change.request;
        let other = |(other, decided): (&MapVersion, &Version)| {
            *other != number && decided.map().change.request == request
        };
        if self.decided.iter().any(other) {
            self.wrong(format!("{request} was made twice"));
        }
        let bases = self.bases.get(&request);
        if bases.is_some_and(|bases| bases.iter().all(|base| base.version != before)) {
            self.wrong(format!(
                "{request}, made from {bases:?}, became {version:?}"
            ));
        }
    }

    fn is_voter(&mut self, node: NodeId, storage: StorageId, parent: Parent) {
        let Some(before) = self.decided.get(&parent.version) else {
            return self.wrong(format!(
                "{node} votes on what follows {parent}, not decided"
            ));
        };
        let voter = before.map().voter(node);
        if voter.is_none_or(|voter| voter.storage.is_some_and(|named| named != storage)) {
            self.wrong(format!("{node} votes with {storage} after {parent}"));
        }
    }

    /// A client is told what became of its proposal.
    pub(crate) fn told(&mut self, ticket: Ticket, outcome: Outcome) {
        let request = self.tickets[&ticket];
        if let Outcome::Made(name) = outcome {
            let made = self.decided.get(&name.version);
            if made.is_none_or(|made| made.name() != name || made.map().change.request != request) {
                self.wrong(format!("{request} is said to be {name}, and is not"));
            }
        }
        if self.outcomes.insert(ticket, outcome).is_some() {
            self.wrong(format!("{ticket:?} is answered twice"));
        }
    }

    /// At the end: what was said to be certain is so.
    pub(crate) fn at_the_end(&mut self) {
        let made: BTreeSet<RequestId> = self
            .decided
            .values()
            .map(|version| version.map().change.request)
            .collect();
        let mut wrong = Vec::new();
        for (&request, bases) in &self.bases {
            let of_it = |(ticket, _): &(&Ticket, &RequestId)| self.tickets[*ticket] == request;
            let tickets = self.tickets.iter().filter(of_it);
            let outcomes: Vec<Option<&Outcome>> = tickets
                .map(|(ticket, _)| self.outcomes.get(ticket))
                .collect();
            let certainly_not = outcomes.iter().all(|outcome| match outcome {
                Some(Outcome::Refused(refusal)) => refusal.is_certain(),
                Some(Outcome::Made(_)) | None => false,
            });
            let stale = bases.len() == 1
                && outcomes.iter().any(|outcome| {
                    matches!(outcome, Some(Outcome::Refused(Refusal::Stale { .. })))
                });
            if made.contains(&request) && (certainly_not || stale) {
                wrong.push(format!("{request} was refused ({outcomes:?}) and made"));
            }
        }
        self.violations.extend(wrong);
    }

    /// A proposal at a node that did not end and that was not answered.
    pub(crate) fn unanswered(&self) -> Option<String> {
        let answered =
            |ticket: &&Ticket| self.outcomes.contains_key(*ticket) || self.lost.contains(*ticket);
        let open = self.tickets.keys().find(|ticket| !answered(ticket))?;
        Some(format!("{open:?} was never answered"))
    }

    fn wrong(&mut self, what: String) {
        self.violations.push(what);
    }
}
