//! Changes of the ring in a walk: what operators order, and how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::RequestId;
use quorate_protocol::client::{
    ChangeRing, ClientReply, ClientRequest, Commit, Moves, MovesReport, PlanRing, RingChange,
    RingPlan,
};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::map::Member;
use quorate_protocol::versioned::{ClassState, StagedChange, VersionedMap};
use quorate_ring::{Change, Class, NodeId};

use super::failure::{Failure, Refused};
use super::walk::Walk;
use crate::sim::clients::ClientEvent;
use crate::sim::history::Key;
use crate::sim::operators::unfinished;

/// What an order is given, milliseconds.
const DEADLINE_MS: u32 = 4_000;
/// An order is asked for so often.
const TRIES: usize = 30;
/// So many refuse what cannot be.
const ASKED: usize = 8;
/// Within this time a change of the ring comes to its end, milliseconds.
const SETTLE_MS: u64 = 60_000;

/// Which node has which classes: what a change of the ring changes.
pub(super) type Places = BTreeMap<Class, BTreeSet<NodeId>>;

impl Walk<'_> {
    /// The id of the node at a place.
    #[must_use]
    pub fn id(&self, place: usize) -> NodeId {
        self.world.nodes[place].id
    }

    /// The node at a place, as a member.
    #[must_use]
    pub fn as_member(&self, place: usize) -> Member {
        let config = &self.world.config;
        let mut all = config.map.members.iter().chain(&config.turnover.spares);
        let id = self.id(place);
        let found = all.find(|member| member.id == id);
        found
            .unwrap_or_else(|| unreachable!("{id} is on the stage"))
            .clone()
    }

    /// Whether a node lets clients in: it is a member by the map that it has.
    #[must_use]
    pub fn is_open(&self, place: usize) -> bool {
        let newest = self.world.nodes[place].newest();
        newest.is_some_and(|newest| newest.map().map.member(self.id(place)).is_some())
    }

    /// Members that run and do not stand still.
    #[must_use]
    pub fn running(&self) -> Vec<usize> {
        let mut members = self.world.members();
        members.retain(|&place| {
            let node = &self.world.nodes[place];
            node.is_running() && node.paused_until_us == 0
        });
        members
    }

    /// Asks one node once.
    ///
    /// # Errors
    /// It refused, or nothing came in time.
    pub fn call(&mut self, place: usize, request: ClientRequest) -> Result<ClientReply, Refused> {
        let ticket = self.world.call(place, request, DEADLINE_MS);
        let until_us = self.world.at_us + u64::from(DEADLINE_MS) * 1_500;
        let event = loop {
            if let Some(event) = self.world.called(ticket) {
                break Some(event);
            }
            if self.world.at_us >= until_us {
                break None;
            }
            self.pass(1);
        };
        self.world.hang_up(ticket);
        match event {
            Some(ClientEvent::Reply(_, reply)) => {
                if let ClientReply::Failed(error) = *reply {
                    Err(Refused::from(error))
                } else {
                    Ok(*reply)
                }
            }
            Some(_) | None => Err(Refused::silence()),
        }
    }

    /// Asks members, one after the other, until one has done it.
    ///
    /// # Errors
    /// It was refused for good, or nobody answered.
    pub fn order(&mut self, change: RingChange) -> Result<(), Refused> {
        let request = RequestId::new(0x6f72_6465, self.world.new_write().0);
        let mut last = Refused::silence();
        for round in 0..TRIES {
            let running = self.running();
            let Some(&place) = running.get(round % running.len().max(1)) else {
                return Err(last);
            };
            let asked = ChangeRing::new(request, change.clone()).into();
            match self.call(place, asked) {
                Ok(_) => return Ok(()),
                // Who has not heard of the newest version may refuse what it allows: several are asked.
                Err(refused) if refused.code == Some(ErrorCode::Invalid) && round >= ASKED => {
                    return Err(refused);
                }
                Err(refused) => last = refused,
            }
            self.pass(200);
        }
        Err(last)
    }

    fn ordered(&mut self, what: &str, change: RingChange) -> Result<(), Failure> {
        let what = what.to_owned();
        self.order(change)
            .map_err(|refused| Failure::Refused { what, refused })
    }

    /// Stages changes.
    ///
    /// # Errors
    /// One is refused.
    pub fn stage(&mut self, changes: &[StagedChange]) -> Result<(), Failure> {
        let founded = |walk: &Self| match walk.world.newest_map().is_founded() {
            true => Ok(()),
            false => Err("some storage is not named yet".to_owned()),
        };
        if founded(self).is_err() {
            self.until("every member has run once", 10_000, founded)?;
        }
        for change in changes {
            self.say(format!("staged: {}", told(change)));
            self.ordered("a staged change", RingChange::Stage(change.clone()))?;
        }
        Ok(())
    }

    /// Commits what is staged.
    ///
    /// # Errors
    /// It is refused.
    pub fn commit(&mut self, commit: Commit) -> Result<(), Failure> {
        self.ordered("a commit", RingChange::Commit(commit))?;
        self.say("committed");
        Ok(())
    }

    /// Stages changes and commits them.
    ///
    /// # Errors
    /// Something is refused.
    pub fn begin(&mut self, changes: &[StagedChange]) -> Result<(), Failure> {
        self.stage(changes)?;
        self.commit(Commit::default())
    }

    /// Stages changes, commits them, and waits for the end.
    ///
    /// # Errors
    /// Something is refused, or it does not end.
    pub fn make(&mut self, changes: &[StagedChange]) -> Result<(), Failure> {
        self.begin(changes)?;
        self.moved().map(|_| ())
    }

    /// The change under way is taken back.
    ///
    /// # Errors
    /// It is refused.
    pub fn cancel(&mut self) -> Result<(), Failure> {
        self.ordered("a cancellation", RingChange::Cancel)?;
        self.say("cancelled");
        Ok(())
    }

    /// A member whose machine is gone is removed by force, and nobody waits for its copies.
    ///
    /// # Errors
    /// It is refused, or does not end.
    pub fn force_out(&mut self, place: usize) -> Result<(), Failure> {
        let id = self.id(place);
        self.stage(&[StagedChange::force_remove(id)])?;
        self.commit(Commit {
            force: true,
            loss_of: vec![id],
            plan: None,
        })?;
        // Until then newcomers wait for what it may have taken alone.
        self.ordered("to wait for it no more", RingChange::Forget(id))?;
        self.moved().map(|_| ())
    }

    /// What a commit would do.
    ///
    /// # Errors
    /// Nobody says.
    pub fn plan(&mut self) -> Result<RingPlan, Failure> {
        for round in 0..TRIES {
            let running = self.running();
            let reply = self.call(running[round % running.len()], PlanRing {}.into());
            if let Ok(ClientReply::RingPlan(plan)) = reply {
                return Ok(plan);
            }
            self.pass(200);
        }
        let (what, refused) = ("a plan".to_owned(), Refused::silence());
        Err(Failure::Refused { what, refused })
    }

    /// How copies travel to a node, and an order about them.
    ///
    /// # Errors
    /// It does not say.
    pub fn moves(&mut self, place: usize, order: Moves) -> Result<MovesReport, Failure> {
        let mut refused = Refused::silence();
        for _ in 0..TRIES {
            match self.call(place, order.into()) {
                Ok(ClientReply::MovesReport(report)) => return Ok(report),
                Ok(_) => {}
                Err(why) => refused = why,
            }
            self.pass(200);
        }
        let what = "a question about moves".to_owned();
        Err(Failure::Refused { what, refused })
    }

    /// The same order for every node that runs.
    ///
    /// # Errors
    /// One does not answer.
    pub fn moves_everywhere(&mut self, order: Moves) -> Result<(), Failure> {
        for place in self.running() {
            self.moves(place, order)?;
        }
        Ok(())
    }

    /// Whether no change of the ring is under way, by the newest version that anybody has.
    ///
    /// # Errors
    /// What is left to do.
    pub fn has_moved(&self) -> Result<(), String> {
        match unfinished(&self.world.newest_map()) {
            Some(why) => Err(why),
            None if self.world.newest_map().going.is_empty() => Ok(()),
            None => Err("somebody goes and is not gone".to_owned()),
        }
    }

    /// Waits until the ring's change has come to its end. Returns how long it took, milliseconds.
    ///
    /// # Errors
    /// It has not after a minute.
    pub fn moved(&mut self) -> Result<u64, Failure> {
        self.until("the ring has settled", SETTLE_MS, |walk| walk.has_moved())
    }

    /// Waits until all is where the ring wants it, everybody who runs has caught up, and no hint is left.
    ///
    /// # Errors
    /// It is not so after a minute.
    pub fn at_rest(&mut self) -> Result<u64, Failure> {
        self.until("everything is where it belongs", SETTLE_MS, |walk| {
            walk.has_moved()?;
            for place in walk.running() {
                walk.is_up_to_date(place)?;
            }
            match walk.hints(None, None) {
                0 => Ok(()),
                left => Err(format!("{left} hints are left")),
            }
        })
    }

    /// Where each class stands by the newest version: all nodes that have a place in it.
    #[must_use]
    pub fn places_of_all(&self) -> Places {
        let newest = self.world.newest_map();
        let partitions = newest.map.ring.partitions().partitions();
        partitions
            .map(|partition| Class { n: 3, partition })
            .map(|class| (class, standing(&newest, class).all))
            .collect()
    }

    /// How the class of a key stands by the newest version.
    #[must_use]
    pub fn standing(&self, key: Key) -> Standing {
        let newest = self.world.newest_map();
        let class = self.class(key);
        standing(&newest, class)
    }

    /// The class of a key.
    #[must_use]
    pub fn class(&self, key: Key) -> Class {
        let class = self.world.config.class_of(key);
        class.unwrap_or_else(|| unreachable!("the stage has the bucket"))
    }
}

/// How a class stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How far it has moved.
    pub state: ClassState,
    /// The set of before, or the one that is.
    pub old: BTreeSet<NodeId>,
    /// The set to come; empty where nothing moves.
    pub new: BTreeSet<NodeId>,
    /// The set that is read.
    pub read: BTreeSet<NodeId>,
    /// All of them.
    pub all: BTreeSet<NodeId>,
    /// Those of whom nothing is expected.
    pub dead: BTreeSet<NodeId>,
}

fn standing(version: &VersionedMap, class: Class) -> Standing {
    let nodes = |places: &[quorate_protocol::versioned::Place]| -> BTreeSet<NodeId> {
        places.iter().map(|place| place.node).collect()
    };
    let gone = version.going.iter().filter(|going| going.is_dead());
    let mut dead: BTreeSet<NodeId> = gone.map(|going| going.node).collect();
    let at = version
        .records
        .binary_search_by_key(&class, |record| record.class);
    match at {
        Ok(at) => {
            let record = &version.records[at];
            dead.extend(&record.dead);
            Standing {
                state: record.state,
                old: nodes(&record.old),
                new: nodes(&record.new),
                read: nodes(record.read_set()),
                all: nodes(&record.places()),
                dead,
            }
        }
        Err(_) => {
            let set: BTreeSet<NodeId> = version.map.ring.primaries(class).iter().copied().collect();
            Standing {
                state: ClassState::Stable,
                old: set.clone(),
                new: BTreeSet::new(),
                read: set.clone(),
                all: set,
                dead,
            }
        }
    }
}

fn told(change: &StagedChange) -> String {
    match change.change() {
        Ok(Change::Join(placed)) => format!("{} joins", placed.id),
        Ok(Change::Leave(node)) => format!("{node} leaves"),
        Ok(Change::ForceRemove(node)) => format!("{node} is removed by force"),
        Ok(Change::Replace { node, by }) => format!("{} replaces {node}", by.id),
        Ok(Change::Zone { node, zone }) => format!("{node} stands in zone {zone}"),
        Ok(Change::Weight { node, weight }) => format!("{node} has weight {}", weight.get()),
        Err(error) => error.to_string(),
    }
}
