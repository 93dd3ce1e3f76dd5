//! Buckets that a run makes: the clients that ask for them, what checkers are shown of it, and when keys
//! begin to live in them.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::Ticket;
use quorate_protocol::client::{ClientReply, PutBucket};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::map::Bucket;
use quorate_protocol::versioned::{MapVersion, Voter};
use quorate_ring::BucketId;

use super::asking::{Asker, Lent};
use super::clients::ClientEvent;
use super::config::Config;
use super::counters::Counter;
use super::dice::Dice;
use super::event::Event;
use super::world::World;
use crate::checkers::maps::Maps;
use quorate_core::record::Restored;
use quorate_core::register::Version;

/// Everything about buckets that a run makes.
pub struct Founding {
    /// The checker.
    pub maps: Maps,
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
    /// Buckets that were dropped, or are about to be.
    pub(super) dropped: BTreeSet<BucketId>,
    /// Until when clients go on with some of them, microseconds.
    pub(super) fading: BTreeMap<BucketId, u64>,
    pub(super) drop_dice: Dice,
    /// Copies of files of buckets that were taken and may come back.
    old_files: BTreeMap<usize, Option<Vec<u8>>>,
}

impl Founding {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            maps: Maps::new(config.nodes().len(), &config.first_version()),
            askers: Vec::new(),
            dice: Dice::new(config.seed, "founding"),
            asked: BTreeMap::new(),
            probes: BTreeMap::new(),
            unfinished: Vec::new(),
            told: Vec::new(),
            dropped: BTreeSet::new(),
            fading: BTreeMap::new(),
            drop_dice: Dice::new(config.seed, "drops"),
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
        let nodes = self.asked_nodes();
        let mut lent = Lent {
            counters: &mut self.counters,
            map: &self.config.map,
            nodes: &nodes,
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
            id: BucketId::new(0),
            name: request.name.clone(),
            revision: 1,
            props: request.props.clone(),
        };
        if bucket.check(self.config.map.ring.copies()).is_ok() {
            founding.maps.asked(request);
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
                self.founding.maps.told(node, &request, &stored.bucket);
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
            | ClientReply::ScrubState(_)
            | ClientReply::MapLog(_)
            | ClientReply::RingChanged(_)
            | ClientReply::RingPlan(_)
            | ClientReply::MovesReport(_)
            | ClientReply::Version(_) => {}
        }
        self.blame_maps();
    }

    fn count_bucket(&mut self, what: &'static str) {
        self.counters.count(Counter::Bucket(what));
    }

    /// This version is the newest at a node.
    pub(super) fn note_in_force(&mut self, node: usize, version: &Version) {
        let before = self.founding.maps.newest(node).map(Version::name);
        let name = version.name();
        if before.is_some_and(|before| before.version.next() < name.version) {
            let what = "another version than the next was learnt";
            self.counters.count(Counter::Map(what));
        }
        if before.is_none_or(|before| before.version == MapVersion::FIRST)
            && name.version > MapVersion::FIRST
        {
            self.counters.count(Counter::Map("founded"));
        }
        if version.map().change.what.contains("another storage") {
            self.counters.count(Counter::Map("another storage named"));
        }
        let newest = self.newest_version();
        self.founding.maps.in_force(node, version);
        self.judge_members(newest.as_ref(), version);
        self.note_removals(node, version);
        self.note_drops(version.map());
        self.blame_maps();
        self.settle_in();
    }

    pub(super) fn blame_maps(&mut self) {
        let found = self.founding.maps.take_violations();
        self.violations.extend(found);
    }

    /// Keys begin to live in buckets that clients were told of: at once, while others may not know the bucket
    /// yet.
    fn settle_in(&mut self) {
        self.forget_dropped();
        for bucket in std::mem::take(&mut self.founding.told) {
            if self.newest_map().has_dropped(bucket.id) {
                continue; // the news is old
            }
            let dropped = &self.founding.dropped;
            let buckets = &mut self.config.map.buckets;
            buckets.retain(|other| other.name != bucket.name || !dropped.contains(&other.id));
            if buckets.iter().all(|other| other.name != bucket.name) {
                let id = bucket.id;
                buckets.push(bucket);
                buckets.sort_by(|a, b| a.name.cmp(&b.name));
                self.order_drop(id);
            }
        }
    }

    /// Whether the votes on the next version of the map can do without a node's storage: more than half of the voters that
    /// the newest version names keep theirs, and two others have that version. If more lose theirs before the first of
    /// them is named anew, nothing can be decided any more, and nothing should be. Before the founding: more than half have
    /// never lost theirs, for the version that names them may be decided and known to nobody.
    pub(super) fn may_lose_votes(&mut self, lost: usize) -> bool {
        let maps = &self.founding.maps;
        let others = (0..self.nodes.len()).filter(|&node| node != lost);
        let newest = others.filter_map(|node| maps.newest(node));
        let newest: Vec<&Version> = newest.collect();
        let Some(last) = newest.iter().max_by_key(|version| version.name()) else {
            return false;
        };
        let keeps = |voter: &&Voter| {
            let node = self.nodes.iter().find(|node| node.id == voter.node);
            node.is_some_and(|node| {
                let named = match voter.storage {
                    Some(storage) => storage == node.kept.storage(node.id),
                    None => node.kept.has_first_storage(),
                };
                node.index != lost && named
            })
        };
        let voters = &last.map().voters;
        let known = newest.iter().filter(|version| *version == last).count();
        let bears = 2 * voters.iter().filter(keeps).count() > voters.len() && known >= 2;
        if !bears {
            let what = "a disk is spared for the votes on it";
            self.counters.count(Counter::Map(what));
        }
        bears
    }

    /// A process ended: what it gave to the disk last may have arrived all the same.
    pub(super) fn cut_off_file(&mut self, node: usize) {
        if self.nodes[node].kept.cut_off(&mut self.founding.dice) {
            self.counters.count(Counter::Map("written and never told"));
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

    /// Puts a backup's file in the place of the one that is there, as the real restore does.
    pub(super) fn restore_file(
        &mut self,
        node: usize,
        file: Option<&[u8]>,
        restored: Restored,
    ) -> Result<(), String> {
        self.replace_file(node, None);
        self.nodes[node].restore_kept(file, restored == Restored::Cluster)
    }

    /// Puts a file in the place of the one that is there, or none.
    pub(super) fn replace_file(&mut self, node: usize, file: Option<Vec<u8>>) {
        self.nodes[node].kept.replace(file);
        self.founding.maps.lost(node);
        self.counters.count(Counter::Map("file lost"));
    }

    /// Now and then the file is among the damaged records.
    pub(super) fn maybe_damage_file(&mut self, node: usize) {
        let dice = &mut self.founding.dice;
        if dice.chance(300) && self.nodes[node].kept.damage(dice) {
            self.founding.maps.lost(node);
            self.counters.count(Counter::Map("file damaged"));
        }
    }
}
