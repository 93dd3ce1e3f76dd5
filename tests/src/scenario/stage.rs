//! What scenarios are played on: five nodes, 64 partitions, three copies, and the weather around the walk.

use quorate_protocol::ids::ClusterId;
use quorate_protocol::map::{BucketMode, ClusterMap, FORMAT_LEVEL, Member};

use crate::sim::config::{Config, FaultPlan, NetworkPlan, Profile};
use crate::sim::dice::Dice;
use crate::sim::map::{bucket, first_ring, member};
use crate::sim::turnover::TurnoverPlan;

/// Nodes of every scenario.
pub const NODES: u64 = 5;
/// Partitions of every scenario.
const PARTITIONS: u32 = 64;
/// Copies of every key.
const COPIES: u8 = 3;

/// What goes on around a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing.
    Calm,
    /// Messages are late, overtake each other and come twice, clocks jump and some fsyncs are slow.
    Windy,
    /// And messages are lost.
    Stormy,
}

/// The configuration of a walk; the seed decides how bad the weather is, and everything else by chance.
#[must_use]
pub fn config(seed: u64, weather: Weather, keys: u32) -> Config {
    let mut dice = Dice::new(seed, "stage");
    let mut config = Config::draw(seed);
    config.founding = None;
    config.operate_every_us = 0;
    config.turnover = TurnoverPlan::default();
    config.map = map();
    config.profile = Profile::Storm; // the walk itself says which reads must be fresh
    config.keys = keys;
    config.clients = 0;
    config.operations = 0;
    config.inputs_per_step = 8;
    config.network = network(&mut dice, weather);
    config.faults = FaultPlan {
        every_us: if weather == Weather::Calm {
            0
        } else {
            1_500_000
        },
        slow_sync: true,
        ..FaultPlan::default()
    };
    if weather == Weather::Calm {
        (config.shards, config.drift_ppm) = (1, 0);
    }
    config
}

fn network(dice: &mut Dice, weather: Weather) -> NetworkPlan {
    let calm = NetworkPlan {
        delay_min_us: 200,
        delay_more_us: 300,
        ..NetworkPlan::default()
    };
    let mut permille = |most: u64| u32::try_from(dice.below(most)).unwrap_or(0);
    let (loss, duplication) = (permille(50), permille(300));
    match weather {
        Weather::Calm => calm,
        Weather::Windy | Weather::Stormy => NetworkPlan {
            loss: if weather == Weather::Stormy { loss } else { 0 },
            duplication,
            delay_min_us: dice.between(50, 2_000),
            delay_more_us: dice.between(100, 15_000),
            ..calm
        },
    }
}

fn map() -> ClusterMap {
    let members: Vec<Member> = (1..=NODES).map(member).collect();
    let ring = first_ring(PARTITIONS, COPIES, &members);
    ClusterMap {
        cluster: ClusterId::new(5, 64),
        name: "scenario".to_owned(),
        format_level: FORMAT_LEVEL,
        members,
        ring,
        buckets: vec![bucket(1, "siblings", COPIES, BucketMode::Siblings)],
    }
}
