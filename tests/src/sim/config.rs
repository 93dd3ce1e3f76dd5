//! What a seed decides before a run begins: the cluster, its buckets, the network, the faults.

use std::collections::BTreeSet;

use quorate_core::Timing;
use quorate_core::register::Version;
use quorate_protocol::map::ClusterMap;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{Class, NodeId};

use super::asking::Plan;
use super::dice::Dice;
use super::dropping;
use super::history::Key;
use super::losses;
use super::map;
use super::overrides::{Case, Overrides};
use super::returning;
use super::turnover::{self, TurnoverPlan};
use super::vanishing;
use super::{operators, repairing};

/// What kind of weather a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// No faults at all.
    Calm,
    /// At most one node is down at a time, nothing else happens: reads with r + w > n stay fresh.
    OneDown,
    /// Nodes come back where it hurts, by a script: see `returning`. Reads with r + w > n stay fresh.
    Returning,
    /// Whatever was drawn.
    Storm,
}

/// How messages fare between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Messages lost, of a thousand.
    pub loss: u32,
    /// Messages that arrive twice, of a thousand.
    pub duplication: u32,
    /// The least delay, microseconds.
    pub delay_min_us: u64,
    /// The mean of what comes on top, microseconds.
    pub delay_more_us: u64,
    /// Whether messages to a process that ended reach the one that follows it.
    pub outlive: bool,
}

/// Which faults may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Mean time between two faults, microseconds; 0: none.
    pub every_us: u64,
    /// Processes are killed and started again.
    pub kill: bool,
    /// The power of single nodes goes off.
    pub power: bool,
    /// Processes stand still for a while.
    pub pause: bool,
    /// Groups of nodes are cut from each other.
    pub partition: bool,
    /// Links work in one direction only.
    pub one_way: bool,
    /// Links come and go.
    pub flap: bool,
    /// Links hold everything back for a while.
    pub clog: bool,
    /// Wall clocks jump.
    pub clocks: bool,
    /// More than one node may be down at a time.
    pub several: bool,
    /// Reads of a disk fail now and then.
    pub bad_reads: bool,
    /// A write fails now and then.
    pub bad_writes: bool,
    /// Disks take no writes for a while.
    pub full: bool,
    /// Fsyncs take long now and then.
    pub slow_sync: bool,
    /// Fsyncs fail now and then.
    pub bad_sync: bool,
    /// A process comes back on an empty disk.
    pub wipe: bool,
    /// A process comes back on an old copy of its disk.
    pub rewind: bool,
    /// Records fail their checksums.
    pub damage: bool,
    /// Records vanish: pieces of long values, and log entries.
    pub vanish: bool,
    /// Whole objects vanish too.
    pub vanish_objects: bool,
}

impl FaultPlan {
    /// Whether disks, or parts of them, are destroyed.
    #[must_use]
    pub const fn destroys(&self) -> bool {
        self.wipe || self.rewind || self.damage || self.vanish
    }

    /// Whether there is any fault to draw.
    #[must_use]
    pub fn provokes_something(&self) -> bool {
        let nothing = Self {
            every_us: self.every_us,
            several: self.several,
            ..Self::default()
        };
        self.every_us > 0 && *self != nothing
    }

    /// The same, with killed processes if there were nothing at all.
    fn or_kill(self) -> Self {
        let kill = self.kill || !self.provokes_something();
        Self { kill, ..self }
    }
}

/// What the phase with faults must reach before it ends; it lasts three times as long as planned at
/// most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goals {
    /// Operations of clients begun.
    pub operations: u64,
    /// Faults begun.
    pub faults: u64,
}

/// Everything that a seed decides in advance.
#[derive(Clone, Debug)]
pub struct Config {
    /// The seed.
    pub seed: u64,
    /// The weather.
    pub profile: Profile,
    /// The map that all nodes hold.
    pub map: ClusterMap,
    /// Keys of each bucket that are used.
    pub keys: u32,
    /// Clients.
    pub clients: u32,
    /// Operations of each client.
    pub operations: u32,
    /// Mean pause of a client between two operations, microseconds.
    pub think_us: u64,
    /// The phase with faults lasts so long at least, microseconds, and until [`Config::goals`] are reached.
    pub fault_us: u64,
    /// What the phase with faults must reach.
    pub goals: Goals,
    /// The network until it is healed.
    pub network: NetworkPlan,
    /// The faults.
    pub faults: FaultPlan,
    /// Operations without fallbacks, of a thousand, where a key's operations vary.
    pub strict: u32,
    /// Inputs that a node takes in one step, at most.
    pub inputs_per_step: u64,
    /// Faults that are drawn and left out, by their numbers.
    pub without_faults: BTreeSet<u64>,
    /// Replicas of each node, which share its partitions.
    pub shards: u16,
    /// A vnode is scrubbed again so long after it was, microseconds.
    pub scrub_every_us: u64,
    /// At most so fast.
    pub scrub_bytes_per_s: u64,
    /// Bytes of a vnode's dot log beyond which it is cut.
    pub log_bytes_max: u64,
    /// With so many retired actors in one clock they are folded.
    pub fold_actors: usize,
    /// How much faster or slower than the world a clock runs at most, millionths.
    pub drift_ppm: u64,
    /// Which buckets clients ask for, if they do.
    pub founding: Option<Plan>,
    /// Puts whose values live for a limited time, of a thousand.
    pub expiring: u32,
    /// Mean time between two orders to repair a range, microseconds; 0: none.
    pub repair_every_us: u64,
    /// Buckets that clients make and that are dropped again, of a thousand.
    pub dropping: u32,
    /// Mean time between two visits of an operator, microseconds; 0: none.
    pub operate_every_us: u64,
    /// How nodes become members, are replaced and removed.
    pub turnover: TurnoverPlan,
}

impl Config {
    /// The configuration of a seed.
    ///
    /// One seed in twenty has a small cluster of 1 to 4 nodes, and maybe no faults at all.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        Self::of(&Case::from(seed))
    }

    /// The configuration of a seed, with other parts than it decides.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let drawn = match Dice::new(case.seed, "weather").below(10) {
            0..=1 if is_small(case.seed) => Profile::Calm,
            0..=1 => Profile::OneDown,
            2 if !is_small(case.seed) => Profile::Returning,
            _ => Profile::Storm,
        };
        let losing = case.overrides.majority_lost && !is_small(case.seed);
        let profile = if losing { Profile::Storm } else { drawn };
        let mut config = Self::drawn(case.seed, profile, &case.overrides);
        if Dice::new(case.seed, "buckets").chance(FOUNDING) {
            config.found_buckets();
        }
        let mut dice = Dice::new(case.seed, "times to live");
        if dice.chance(EXPIRING) {
            let permille = small(dice.between(50, 600));
            config.let_values_expire(permille);
        }
        repairing::draw(&mut config);
        operators::draw(&mut config);
        turnover::draw(&mut config);
        if losing {
            config.lose_a_majority();
        }
        dropping::draw(&mut config);
        case.overrides.apply(&mut config);
        config
    }

    /// Lets so many of a thousand puts name a time to live; where there is a third bucket, it has one
    /// by default in every other run.
    pub fn let_values_expire(&mut self, permille: u32) {
        self.expiring = permille;
        let mut dice = Dice::new(self.seed, "default time to live");
        if let Some(bucket) = self.map.buckets.get_mut(2).filter(|_| dice.chance(500)) {
            bucket.props.defaults.ttl_ms = dice.between(500, 15_000);
        }
    }

    /// Lets clients ask for buckets.
    pub fn found_buckets(&mut self) {
        let lossy = self.faults.destroys() || self.turnover.forced;
        let least = if lossy { 2 } else { 1 };
        let mut dice = Dice::new(self.seed, "buckets to make");
        self.founding = Some(Plan::draw(&mut dice, &self.map, self.fault_us, least));
    }

    /// The configuration of a seed, in a weather of choice.
    #[must_use]
    pub fn in_weather(seed: u64, profile: Profile) -> Self {
        Self::drawn(seed, profile, &Overrides::default())
    }

    fn drawn(seed: u64, profile: Profile, overrides: &Overrides) -> Self {
        let mut dice = Dice::new(seed, "config");
        let nodes = if is_small(seed) {
            dice.between(1, 4)
        } else {
            dice.between(5, 9)
        };
        let nodes = overrides.nodes.map_or(nodes, u64::from);
        let map = map::draw(&mut dice, nodes);
        let clients = dice.between(4, 12);
        let operations = dice.between(550, 800) / clients;
        let fault_us = dice.between(60, 75) * 1_000_000;
        let mut config = Self {
            seed,
            profile,
            map,
            keys: small(dice.between(2, 30)),
            clients: small(clients),
            operations: small(operations),
            think_us: fault_us / operations.max(1) / 2,
            fault_us,
            goals: if is_small(seed) {
                Goals::default()
            } else {
                GOALS
            },
            network: draw_network(&mut dice, profile),
            faults: draw_faults(&mut dice, profile),
            strict: if dice.chance(300) { 700 } else { 200 },
            inputs_per_step: dice.between(1, 8),
            without_faults: BTreeSet::new(),
            shards: if dice.chance(300) {
                u16::try_from(dice.between(2, 3)).unwrap_or(2)
            } else {
                1
            },
            scrub_every_us: 30_000_000,
            scrub_bytes_per_s: 16 * 1024,
            log_bytes_max: Timing::default().log_bytes_max,
            fold_actors: draw_folding(seed),
            drift_ppm: if dice.chance(300) { 10_000 } else { 0 },
            founding: None,
            expiring: 0,
            repair_every_us: 0,
            operate_every_us: 0,
            turnover: TurnoverPlan::default(),
            dropping: 0,
        };
        if profile == Profile::Returning {
            returning::reshape(&mut config, &mut dice);
        }
        losses::draw_short_logs(&mut config);
        if profile == Profile::Storm && !is_small(seed) {
            losses::draw_destruction(&mut config);
            vanishing::draw(&mut config);
        }
        config
    }

    /// The waiting times of its replicas.
    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing {
            scrub_every_us: self.scrub_every_us,
            scrub_bytes_per_s: self.scrub_bytes_per_s,
            log_bytes_max: self.log_bytes_max,
            fold_actors: self.fold_actors,
            ..Timing::default()
        }
    }

    /// The version of the map that all nodes are given.
    #[must_use]
    pub fn first_version(&self) -> Version {
        let first = VersionedMap::created(self.map.clone(), 0);
        Version::seal(first).unwrap_or_else(|error| unreachable!("what is drawn is valid: {error}"))
    }

    /// All nodes: the first members, and those that may become members.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        let members = self.map.members.iter().chain(&self.turnover.spares);
        members.map(|member| member.id).collect()
    }

    /// The class of a key, if its bucket is there.
    #[must_use]
    pub fn class_of(&self, key: Key) -> Option<Class> {
        let bucket = self.map.bucket(key.bucket)?;
        Some(Class {
            n: bucket.props.n,
            partition: self.map.ring.partition_of(bucket.id, &key.bytes()),
        })
    }

    /// The places of a key's primaries.
    #[must_use]
    pub fn primaries(&self, key: Key) -> BTreeSet<usize> {
        let Some(class) = self.class_of(key) else {
            return BTreeSet::new();
        };
        let ids = self.map.ring.primaries(class);
        let place = |id: &NodeId| self.map.members.iter().position(|member| member.id == *id);
        ids.iter().filter_map(place).collect()
    }

    /// A line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let copies: BTreeSet<u8> = self.map.buckets.iter().map(|b| b.props.n).collect();
        format!(
            "{:?}: {} nodes, {} partitions, n {:?}, {} keys, {} clients of {} operations, loss {}/1000, duplication {}/1000, delay {}+{} us, {:?}",
            self.profile,
            self.map.members.len(),
            self.map.ring.partitions().get(),
            copies,
            self.keys,
            self.clients,
            self.operations,
            self.network.loss,
            self.network.duplication,
            self.network.delay_min_us,
            self.network.delay_more_us,
            self.faults,
        )
    }
}

/// In so many of a thousand runs values expire.
const EXPIRING: u32 = 350;

/// In so many of a thousand runs clients ask for buckets.
const FOUNDING: u32 = 250;

/// What a run of 5 to 9 nodes must reach.
pub const GOALS: Goals = Goals {
    operations: 500,
    faults: 20,
};

/// Whether a seed has a small cluster.
#[must_use]
pub const fn is_small(seed: u64) -> bool {
    seed % 20 == 19
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn draw_network(dice: &mut Dice, profile: Profile) -> NetworkPlan {
    let storm = profile == Profile::Storm;
    let sometimes = |dice: &mut Dice, most: u64| {
        if storm && dice.chance(500) {
            small(dice.below(most))
        } else {
            0
        }
    };
    NetworkPlan {
        loss: sometimes(dice, 300),
        duplication: sometimes(dice, 500),
        delay_min_us: dice.between(50, 2_000),
        delay_more_us: if profile != Profile::Calm && dice.chance(300) {
            dice.between(1_000, 100_000)
        } else {
            dice.between(50, 3_000)
        },
        outlive: storm && dice.chance(300),
    }
}

fn draw_faults(dice: &mut Dice, profile: Profile) -> FaultPlan {
    match profile {
        Profile::Calm | Profile::Returning => FaultPlan::default(),
        Profile::OneDown => FaultPlan {
            every_us: dice.between(400_000, 1_500_000),
            kill: true,
            power: dice.chance(500),
            ..FaultPlan::default()
        },
        Profile::Storm => FaultPlan {
            every_us: dice.between(300_000, 2_000_000),
            kill: dice.chance(700),
            power: dice.chance(400),
            pause: dice.chance(400),
            partition: dice.chance(600),
            one_way: dice.chance(300),
            flap: dice.chance(300),
            clog: dice.chance(300),
            clocks: dice.chance(400),
            several: dice.chance(600),
            bad_reads: dice.chance(200),
            bad_writes: dice.chance(200),
            full: dice.chance(200),
            slow_sync: dice.chance(300),
            bad_sync: dice.chance(200),
            ..FaultPlan::default()
        }
        .or_kill(),
    }
}

/// In every other run actors are folded whenever a few are retired.
fn draw_folding(seed: u64) -> usize {
    let mut dice = Dice::new(seed, "folding");
    if dice.chance(500) {
        usize::try_from(dice.between(2, 8)).unwrap_or(2)
    } else {
        Timing::default().fold_actors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_of_a_large_cluster_draws_some_fault() {
        for seed in (0..3_000).filter(|&seed| !is_small(seed)) {
            let config = Config::draw(seed);
            assert!(config.faults.provokes_something(), "seed {seed}");
        }
    }

    #[test]
    fn every_seed_gives_a_valid_map_of_as_many_nodes_as_it_should() {
        for seed in 0..200 {
            let config = Config::draw(seed);
            assert_eq!(config.map.check(), Ok(()), "seed {seed}");
            let nodes = config.map.members.len();
            let wanted = if is_small(seed) { 1..=4 } else { 5..=9 };
            assert!(wanted.contains(&nodes), "seed {seed}: {nodes}");
        }
    }
}
