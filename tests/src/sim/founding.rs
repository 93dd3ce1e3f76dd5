//! Buckets that a run makes: the clients that ask for them, what checkers are shown of it, and when keys
//! begin to live in them.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Ticket;
use quorate_protocol::client::{ClientReply, PutBucket};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::map::Bucket;

use super::asking::{Asker, Lent};
use super::clients::ClientEvent;
use super::config::Config;
use super::counters::Counter;
use super::dice::Dice;
use super::event::Event;
use super::world::World;
use crate::checkers::buckets::Agreed;

/// Everything about buckets that a run makes.
pub struct Founding {
    /// The checker.
    pub agreed: Agreed,
    pub(super) askers: Vec<Asker>,
    pub(super) dice: Dice,
    /// Requests under way: the node, and what it is asked for.
    pub(super) asked: BTreeMap<Ticket, (usize, PutBucket)>,
    /// Requests of the end, and what was answered.
    pub(super) probes: BTreeMap<Ticket, Option<ClientReply>>,
    /// Nodes that began with a request and did not come to an end with it.
    unfinished: Vec<(PutBucket, BTreeSet<usize>)>,
    /// Clients were told of these; no keys live there yet.
    told: Vec<Bucket>,
    /// Copies of files of buckets that were taken and may come back.
    old_files: BTreeMap<usize, Option<Vec<u8>>>,
}

impl Founding {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            agreed: Agreed::new(config.map.members.len(), &config.map.buckets),
            askers: Vec::new(),
            dice: Dice::new(config.seed, "founding"),
            asked: BTreeMap::new(),
            probes: BTreeMap::new(),
            unfinished: Vec::new(),
            told: Vec::new(),
            old_files: BTreeMap::new(),
        }
    }

    /// Writing a file takes so much longer than an fsync, microseconds: now and then long enough for a
    /// process to die meanwhile.
    pub(super) fn more_us(&mut self) -> u64 {
        if self.dice.chance(200) {
            self.dice.between(50_000, 500_000)
        } else {
            0
        }
    }

    fn not_finished(&mut self, node: usize, request: PutBucket) {
        let known = self
            .unfinished
            .iter_mut()
            .find(|(other, _)| *other == request);
        match known {
            Some((_, nodes)) => {
                nodes.insert(node);
            }
            None => self.unfinished.push((request, BTreeSet::from([node]))),
        }
    }

    fn was_left_by_another(&self, node: usize, request: &PutBucket) -> bool {
        let mut left = self.unfinished.iter().filter(|(other, _)| other == request);
        left.any(|(_, nodes)| nodes.iter().any(|&other| other != node))
    }
}

impl World<'_> {
    /// Those who ask for buckets know when they meet.
    pub(super) fn invite_askers(&mut self) {
        let Some(plan) = &self.config.founding else {
            return;
        };
        let seed = self.config.seed;
        let asker = |number| Asker::new(plan, Dice::new(seed, &format!("asker {number}")));
        let askers: Vec<(Asker, Vec<u64>)> = (0..plan.askers).map(asker).collect();
        for (asker, times) in askers {
            let client = self.clients.len() + self.founding.askers.len();
            self.founding.askers.push(asker);
            for after_us in times {
                self.schedule(after_us, Event::Client(client, ClientEvent::Go));
            }
        }
    }

    /// Something happens to one of them. `client` is the number among all clients.
    pub(super) fn asker(&mut self, client: usize, event: ClientEvent) {
        let asker = client - self.clients.len();
        let mut lent = Lent {
            counters: &mut self.counters,
            map: &self.config.map,
            names: self
                .config
                .founding
                .as_ref()
                .map_or(&[], |plan| &plan.names),
            last_ticket: &mut self.last_ticket,
            healed: self.healed,
            wants: Vec::new(),
            told: None,
        };
        self.founding.askers[asker].on_event(&mut lent, event);
        let (wants, told) = (lent.wants, lent.told);
        self.founding.told.extend(told);
        self.settle_in();
        self.grant_client(client, wants);
    }

    /// A request for a bucket reaches a node.
    pub(super) fn asks_for_bucket(&mut self, node: usize, ticket: Ticket, request: &PutBucket) {
        let founding = &mut self.founding;
        let bucket = Bucket {
            id: quorate_ring::BucketId::new(0),
            name: request.name.clone(),
            revision: 1,
            props: request.props.clone(),
        };
        if bucket.check(self.config.map.ring.copies()).is_ok() {
            founding.agreed.asked(request);
        }
        founding.asked.insert(ticket, (node, request.clone()));
    }

    /// A node ended before it had answered.
    pub(super) fn left_unanswered(&mut self, ticket: Ticket) {
        if let Some((node, request)) = self.founding.asked.remove(&ticket) {
            self.founding.not_finished(node, request);
        }
    }

    /// A node answers a client who asked for a bucket.
    pub(super) fn answers_about_bucket(&mut self, ticket: Ticket, reply: &ClientReply) {
        let Some((node, request)) = self.founding.asked.remove(&ticket) else {
            return;
        };
        match reply {
            ClientReply::BucketStored(stored) => {
                self.founding.agreed.told(node, &request, &stored.bucket);
                self.count_bucket(if stored.changed {
                    "stored"
                } else {
                    "was so already"
                });
                if stored.bucket.revision > 1 {
                    self.count_bucket("defaults changed");
                }
                if stored.changed && self.founding.was_left_by_another(node, &request) {
                    self.count_bucket("completed by another node");
                }
            }
            ClientReply::Failed(error) if error.code == ErrorCode::Conflict => {
                self.count_bucket("conflict");
            }
            ClientReply::Failed(error) if error.code == ErrorCode::Invalid => {
                self.count_bucket("refused");
            }
            ClientReply::Failed(_) => {
                self.count_bucket("not agreed on in time");
                self.founding.not_finished(node, request);
            }
            ClientReply::Got(_)
            | ClientReply::Written(_)
            | ClientReply::KeyPage(_)
            | ClientReply::Map(_)
            | ClientReply::Pong(_)
            | ClientReply::StatusReport(_)
            | ClientReply::ReplicaPage(_)
            | ClientReply::BackupReport(_)
            | ClientReply::ScrubState(_) => {}
        }
        self.blame_buckets();
    }

    fn count_bucket(&mut self, what: &'static str) {
        self.counters.count(Counter::Bucket(what));
    }

    /// What is in force at a node may have changed.
    pub(super) fn note_in_force(&mut self, node: usize) {
        let founding = &mut self.founding;
        if let Some(buckets) = self.nodes[node].buckets() {
            founding.agreed.in_force(node, buckets);
        }
        self.blame_buckets();
        self.settle_in();
    }

    pub(super) fn blame_buckets(&mut self) {
        let found = self.founding.agreed.take_violations();
        self.violations.extend(found);
    }

    /// Keys begin to live in buckets that clients were told of: at once, while others may not know the bucket
    /// yet; where disks are destroyed, once no lost disk can undo it.
    fn settle_in(&mut self) {
        if self.founding.told.is_empty() {
            return;
        }
        let (agreed, destroys) = (&self.founding.agreed, self.config.faults.destroys());
        let told = std::mem::take(&mut self.founding.told);
        let ready = |bucket: &Bucket| !destroys || agreed.is_established(bucket);
        let (ready, later) = told.into_iter().partition(ready);
        self.founding.told = later;
        let ready: Vec<Bucket> = ready;
        for bucket in ready {
            let buckets = &mut self.config.map.buckets;
            if buckets.iter().all(|other| other.name != bucket.name) {
                buckets.push(bucket);
                buckets.sort_by(|a, b| a.name.cmp(&b.name));
            }
        }
    }

    /// A process ended: what it gave to the disk last may have arrived all the same.
    pub(super) fn cut_off_file(&mut self, node: usize) {
        if self.nodes[node].kept.cut_off(&mut self.founding.dice) {
            self.count_bucket("written and never told");
        }
    }

    /// A copy of a disk is taken, to come back some day.
    pub(super) fn copy_file(&mut self, node: usize) {
        let copy = self.nodes[node].kept.copy();
        self.founding.old_files.insert(node, copy);
    }

    /// The disk is an old copy from now on, or empty.
    pub(super) fn lose_file(&mut self, node: usize, old_copy: bool) {
        let old = self.founding.old_files.remove(&node).flatten();
        self.replace_file(node, old.filter(|_| old_copy));
    }

    /// Puts a file in the place of the one that is there, or none.
    pub(super) fn replace_file(&mut self, node: usize, file: Option<Vec<u8>>) {
        if self.nodes[node].kept.replace(file) {
            self.founding.agreed.lost(node);
            self.count_bucket("file lost");
        }
    }

    /// Now and then the file is among the damaged records.
    pub(super) fn maybe_damage_file(&mut self, node: usize) {
        let dice = &mut self.founding.dice;
        if dice.chance(300) && self.nodes[node].kept.damage(dice) {
            self.founding.agreed.lost(node);
            self.count_bucket("file damaged");
        }
    }
}
