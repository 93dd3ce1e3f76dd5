//! Everything that can go wrong, in random order: lost, repeated and late messages, cuts, crashes
//! between a state's way to the disk and its arrival, lost disks, members that come and go, and
//! several who want different things at once. Then the faults end, and all must come to one version.

use quorate_core::Plant;
use quorate_core::register::{Draft, Outcome, Proposal, Version};
use quorate_protocol::RequestId;
use quorate_protocol::versioned::{MapName, MapVersion, Voter};
use quorate_ring::NodeId;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::world::{World, id, join, leave, vote};

/// What a run has provoked: a fault that never happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) versions: u64,
    pub(crate) made: u64,
    pub(crate) refused: u64,
    pub(crate) in_doubt: u64,
    pub(crate) crashes: u64,
    pub(crate) wipes: u64,
    pub(crate) founded: u64,
    pub(crate) renamed: u64,
    pub(crate) joined: u64,
    pub(crate) left: u64,
}

struct Swarm {
    world: World,
    rng: ChaCha12Rng,
    counts: Counts,
    /// Few faults: more versions, and more of what they change.
    calm: bool,
    /// Wipes may take more storages than a majority can spare: nothing then need be decided.
    reckless: bool,
    /// Proposals that may be tried again.
    asked: Vec<Proposal>,
    requests: u64,
}

/// Runs a seed, until something is wrong that contains these words; gives back what was wrong, and what was
/// provoked.
pub(crate) fn run(seed: u64, plant: Option<Plant>, until: &str) -> (Vec<String>, Counts) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let members = 1 + rng.next_u64() % 5;
    let nodes = members + rng.next_u64() % 3;
    let founded = !rng.next_u64().is_multiple_of(4);
    let reckless = rng.next_u64().is_multiple_of(4);
    let calm = rng.next_u64().is_multiple_of(2);
    let mut swarm = Swarm {
        world: World::new(members, nodes, founded, seed, plant),
        rng,
        counts: Counts::default(),
        calm,
        reckless,
        asked: Vec::new(),
        requests: 0,
    };
    for _ in 0..600 {
        swarm.step();
        let mut wrong = swarm.world.facts.violations.iter();
        if wrong.any(|what| what.contains(until)) {
            break;
        }
    }
    if swarm.world.facts.violations.is_empty() {
        swarm.heal();
    }
    swarm.world.facts.at_the_end();
    (swarm.world.facts.violations.clone(), swarm.count())
}

impl Swarm {
    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    fn node(&mut self) -> NodeId {
        let nodes = self.world.nodes.len() as u64;
        id(1 + self.below(nodes))
    }

    fn step(&mut self) {
        let node = self.node();
        let up = self.world.is_up(node);
        let dice = self.below(100);
        // Faults stand from 50 to 53, from 79 to 81, and at 91.
        let fault = matches!(dice, 50..=53 | 91) || up && matches!(dice, 79..=81);
        if fault && self.calm && self.below(8) > 0 {
            return self.deliver();
        }
        match dice {
            0..=49 => self.deliver(),
            50..=51 => self.repeat(),
            52..=53 => self.lose(),
            54..=78 if up => self.world.write(node),
            79..=80 if up => self.crash(node),
            81 if up => self.wipe(node),
            79..=84 if !up => self.world.start(node),
            85..=88 if up => self.propose(node),
            89..=90 if up => self.retry(node),
            91 => self.cut(),
            92 => self.world.cut.clear(),
            93..=94 => {
                let to = self.node();
                self.world.heartbeat(node, to);
            }
            95..=99 => {
                let us = self.below(1_500_000);
                self.world.pass(us);
            }
            _ => {}
        }
    }

    fn deliver(&mut self) {
        let under_way = self.world.wire.len() as u64;
        // Mostly in order: reordering everything would let hardly any attempt end.
        let at = if self.below(3) == 0 {
            self.below(under_way)
        } else {
            0
        };
        self.world.deliver(usize::try_from(at).unwrap());
    }

    fn repeat(&mut self) {
        let at = self.below(self.world.wire.len() as u64);
        let packet = self.world.wire.get(usize::try_from(at).unwrap()).cloned();
        self.world.wire.extend(packet);
    }

    fn lose(&mut self) {
        let at = self.below(self.world.wire.len() as u64);
        self.world.wire.remove(usize::try_from(at).unwrap());
    }

    fn crash(&mut self, node: NodeId) {
        let written = self.below(3);
        self.world.crash(node, usize::try_from(written).unwrap());
        self.counts.crashes += 1;
    }

    fn wipe(&mut self, node: NodeId) {
        if self.remembers_without(node) && (self.reckless || self.can_spare(node)) {
            self.world.wipe(node);
            self.counts.wipes += 1;
        }
    }

    /// Whether a voter of the first version, unless that names storages, keeps its first one: nothing
    /// helps a cluster of whose first nodes each one starts anew.
    fn remembers_without(&self, node: NodeId) -> bool {
        let first = self.world.facts.decided[&MapVersion::FIRST].map();
        let mut others = first.voters.iter().filter(|voter| voter.node != node);
        first.is_founded() || others.any(|voter| self.world.nodes[&voter.node].generation == 0)
    }

    /// Whether something can still be decided without this node's storage: a majority keep theirs of
    /// those who may have the newest version, of those who vote on the next, and of those who vote after
    /// anything that may be decided next.
    fn can_spare(&self, node: NodeId) -> bool {
        let facts = &self.world.facts;
        let known = [Some(facts.last()), facts.last_but_one()];
        let names: Vec<MapName> = known.into_iter().flatten().map(Version::name).collect();
        let possible = self
            .asked
            .iter()
            .filter(|asked| names.contains(&asked.base));
        let possible = possible.map(|asked| &asked.draft.voters);
        let decided = known.into_iter().flatten();
        let mut groups = decided.map(|version| &version.map().voters).chain(possible);
        groups.all(|voters| self.has_majority(voters, Some(node)))
    }

    /// Whether a majority of voters still have the storages they vote with, without one of them.
    fn has_majority(&self, voters: &[Voter], without: Option<NodeId>) -> bool {
        let keeps = |voter: &&Voter| {
            let storage = self.world.storage(voter.node);
            let untouched = self.world.nodes[&voter.node].generation == 0;
            let same = voter.storage.map_or(untouched, |named| named == storage);
            same && without != Some(voter.node)
        };
        2 * voters.iter().filter(keeps).count() > voters.len()
    }

    /// One direction, or one node from all others.
    fn cut(&mut self) {
        let (from, to) = (self.node(), self.node());
        if self.below(2) == 0 {
            self.world.cut.insert((from, to));
        } else {
            for other in self.world.ids() {
                self.world.cut.extend([(from, other), (other, from)]);
            }
            self.world.cut.remove(&(from, from));
        }
    }

    fn propose(&mut self, node: NodeId) {
        let newest = self.world.newest(node);
        let mut draft = newest.draft();
        let what = self.draw_change(&mut draft);
        if !self.reckless && !self.has_majority(&draft.voters, None) {
            return;
        }
        self.requests += 1;
        let proposal = Proposal {
            request: RequestId::new(2, self.requests),
            base: newest.name(),
            what,
            draft,
        };
        self.ask(node, proposal);
    }

    fn ask(&mut self, node: NodeId, proposal: Proposal) {
        self.asked.push(proposal.clone());
        let deadline_ms = u32::try_from(500 + self.below(20_000)).unwrap();
        self.world.propose(node, proposal, deadline_ms);
    }

    /// The same request again, wherever; sometimes with the change made anew from what is there.
    fn retry(&mut self, node: NodeId) {
        let at = self.below(self.asked.len() as u64);
        let Some(mut proposal) = self.asked.get(usize::try_from(at).unwrap()).cloned() else {
            return;
        };
        if self.below(4) == 0 {
            let newest = self.world.newest(node);
            proposal.base = newest.name();
            proposal.draft = newest.draft();
        }
        self.ask(node, proposal);
    }

    fn draw_change(&mut self, draft: &mut Draft) -> String {
        let node = self.node();
        let storage = self.world.storage(node);
        let member = draft.map.member(node).is_some();
        let voter = draft
            .voters
            .iter()
            .find(|voter| voter.node == node)
            .copied();
        let others = draft.voters.iter().any(|voter| voter.node != node);
        match (self.below(4), voter) {
            (0..3, Some(voter)) if voter.storage != Some(storage) => {
                vote(draft, node, storage);
                format!("rename {node}")
            }
            (1, None) if member => {
                vote(draft, node, storage);
                format!("vote {node}")
            }
            (2, _) if !member => {
                join(draft, node, storage);
                format!("join {node}")
            }
            (3, _) if member && others => {
                leave(draft, node);
                format!("leave {node}")
            }
            _ => {
                draft.map.name = format!("named {}", self.requests);
                "name".to_owned()
            }
        }
    }

    /// Faults end. Unless too much was lost, all nodes come to the newest version, and the map can be
    /// changed again.
    fn heal(&mut self) {
        self.world.cut.clear();
        for node in self.world.ids() {
            if !self.world.is_up(node) {
                self.world.start(node);
            }
        }
        self.world.calm(60);
        if self.reckless || !self.world.facts.violations.is_empty() {
            return;
        }
        self.agree();
        let members = &self.world.facts.last().map().map.members;
        let some = members[0].id;
        let ticket = self
            .world
            .change(some, "healed", |draft| draft.map.name = "healed".into());
        self.world.calm(20);
        if self.world.made(ticket).is_none() {
            let outcome = self.world.outcome(ticket).cloned();
            self.wrong(format!("nothing can be changed after healing: {outcome:?}"));
        }
        self.agree();
    }

    fn agree(&mut self) {
        let last = self.world.facts.last().name();
        for node in self.world.ids() {
            let status = self.world.register(node).status();
            if status.newest != last || status.attempt.is_some() || status.undecided.is_some() {
                self.wrong(format!("{node} has not come to {last}: {status:?}"));
            }
        }
        let answered = self.world.facts.unanswered();
        self.wrong_if(answered);
    }

    fn wrong_if(&mut self, what: Option<String>) {
        self.world.facts.violations.extend(what);
    }

    fn wrong(&mut self, what: String) {
        self.world.facts.violations.push(what);
    }

    fn count(&self) -> Counts {
        let facts = &self.world.facts;
        let mut counts = self.counts;
        counts.versions = facts.decided.len() as u64 - 1;
        for outcome in facts.outcomes.values() {
            match outcome {
                Outcome::Made(_) => counts.made += 1,
                Outcome::Refused(refusal) if refusal.is_certain() => counts.refused += 1,
                Outcome::Refused(_) => counts.in_doubt += 1,
            }
        }
        for version in facts.decided.values().skip(1) {
            let founding = version.name().version == MapVersion::new(2)
                && !facts.decided[&MapVersion::FIRST].map().is_founded();
            let did = |what| u64::from(version.map().change.what.starts_with(what));
            counts.founded += u64::from(founding);
            counts.renamed += did("rename");
            counts.joined += did("join");
            counts.left += did("leave");
        }
        counts
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.versions += other.versions;
        self.made += other.made;
        self.refused += other.refused;
        self.in_doubt += other.in_doubt;
        self.crashes += other.crashes;
        self.wipes += other.wipes;
        self.founded += other.founded;
        self.renamed += other.renamed;
        self.joined += other.joined;
        self.left += other.left;
    }
}

/// Seeds that a plain run of the tests takes; `QUORATE_REGISTER_SEEDS` asks for more.
const SEEDS: u64 = 1000;

#[test]
fn versions_are_decided_once_whatever_goes_wrong_and_decided_again_when_it_ends() {
    let more = std::env::var("QUORATE_REGISTER_SEEDS").ok();
    let seeds = more.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut total = Counts::default();
    for seed in 0..seeds {
        let (violations, counts) = run(seed, None, "");
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        total.add(counts);
    }
    println!("{seeds} seeds: {total:?}");
    let Counts {
        versions,
        made,
        refused,
        in_doubt,
        crashes,
        wipes,
        founded,
        renamed,
        joined,
        left,
    } = total;
    let provoked = [
        versions, made, refused, in_doubt, crashes, wipes, founded, renamed, joined, left,
    ];
    assert!(
        provoked.iter().all(|&count| count > seeds / 100),
        "{total:?}"
    );
}
