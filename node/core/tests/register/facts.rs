//! What must hold, judged from outside: by what leaves the nodes, counted anew.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Ticket;
use quorate_core::register::{Outcome, Proposal, Refusal, RegisterMessage, Version};
use quorate_protocol::peer::Ballot;
use quorate_protocol::versioned::{MapName, MapVersion, VersionedMap};
use quorate_protocol::{RequestId, StorageId};
use quorate_ring::NodeId;

/// Nodes with the storages that they said something with.
type Pairs = BTreeSet<(NodeId, StorageId)>;
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
    /// What each attempt to recover offers, and who has accepted it.
    recoveries: BTreeMap<(u16, Ballot), (Version, Pairs)>,
    /// Who has given up which lineage, and told so.
    forsaken: BTreeSet<(u16, NodeId, StorageId)>,
    /// Orders to recover.
    orders: BTreeSet<Ticket>,
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

    /// An operator orders a recovery.
    pub(crate) fn ordered(&mut self, ticket: Ticket, node: NodeId, request: RequestId) {
        self.at.insert(ticket, node);
        self.tickets.insert(ticket, request);
        self.orders.insert(ticket);
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
            RegisterMessage::Forsaken(told) => {
                self.forsaken.insert((told.lineage, node, storage));
            }
            RegisterMessage::Recover(offer) => {
                let version = Version::parse(&offer.map).unwrap();
                let key = (offer.lineage, offer.ballot);
                let entry = || (version.clone(), BTreeSet::new());
                let before = self.recoveries.entry(key).or_insert_with(entry).0.name();
                if before != version.name() {
                    self.wrong(format!("{key:?} offers {before} and {version:?}"));
                }
            }
            RegisterMessage::Recovered(told) => {
                self.recovers(node, storage, (told.lineage, told.ballot));
            }
            RegisterMessage::Prepare(_)
            | RegisterMessage::NotForsaken(_)
            | RegisterMessage::Forsake(_)
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

    /// A member has accepted the first version of the next lineage: with the last of those who are left it is decided.
    fn recovers(&mut self, node: NodeId, storage: StorageId, key: (u16, Ballot)) {
        let Some((version, accepted)) = self.recoveries.get_mut(&key) else {
            return;
        };
        accepted.insert((node, storage));
        let map = version.map();
        let is_left = |node: NodeId| map.going(node).is_none_or(|going| !going.is_dead());
        let members = map.map.members.iter().map(|member| member.id);
        let mut left = members.filter(|&node| is_left(node));
        if left.all(|node| accepted.iter().any(|(by, _)| *by == node)) {
            let version = version.clone();
            self.keeps_what_is_left(&version);
            self.decide(version);
        } else if map
            .voters
            .iter()
            .all(|voter| accepted.iter().any(|(by, _)| *by == voter.node))
        {
            let name = version.name();
            self.wrong(format!("{name} leaves out members that live"));
        }
    }

    /// What was decided with the acceptance of anybody who is left is part of what is recovered; what only those
    /// who are gone knew never was.
    fn keeps_what_is_left(&mut self, version: &Version) {
        let Some(recovery) = version.map().recoveries.last().cloned() else {
            return self.wrong(format!("{version:?} comes from no recovery"));
        };
        let after = recovery.after;
        let offered = self.offers.values().find(|offer| offer.name() == after);
        if let Some(base) = offered.cloned() {
            // Nobody can decide anything else any more.
            self.decided.entry(after.version).or_insert(base);
        }
        if self.decided.get(&after.version).map(Version::name) != Some(after) {
            self.wrong(format!(
                "{version:?} is made from {after}, which was never offered or lost"
            ));
        }
        let lineage = after.version.lineage();
        let later = self.decided.range(after.version.next()..);
        let later = later.filter(|(number, _)| number.lineage() == lineage);
        let later: Vec<Version> = later.map(|(_, version)| version.clone()).collect();
        for lost in later {
            let is_left = |node: &NodeId| version.map().voter(*node).is_some();
            let knew = |(key, by): (&(Parent, Ballot), &BTreeSet<(NodeId, StorageId)>)| {
                self.offers.get(key) == Some(&lost) && by.iter().any(|(node, _)| is_left(node))
            };
            if self.accepted.iter().any(knew) {
                self.wrong(format!(
                    "{lost:?} was decided with one who is left, and is forgotten"
                ));
            }
            self.decided.remove(&lost.name().version);
        }
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
        let recovery = version.map().recoveries.last();
        let begins = recovery.filter(|recovery| recovery.version == number);
        let last = MapVersion::new(number.get() - 1);
        let before = begins.map_or(last, |recovery| recovery.after.version);
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
        let lineage = parent.version.lineage();
        if self.forsaken.contains(&(lineage, node, storage)) {
            self.wrong(format!("{node} votes after it gave up lineage {lineage}"));
        }
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
            let ordered = self.orders.contains(&ticket);
            if ordered && name.version.lineage() == 0 {
                self.wrong(format!("{ticket:?}: recovered as {name}"));
            }
            let made = self.decided.get(&name.version).filter(|_| !ordered);
            let other =
                |made: &Version| made.name() != name || made.map().change.request != request;
            if !ordered && made.is_none_or(other) {
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
