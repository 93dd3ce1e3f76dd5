//! What scenarios are played on: five nodes, 64 partitions, three copies, and the weather around the walk.

use std::str::FromStr;

use quorate_protocol::ids::ClusterId;
use quorate_protocol::map::{BucketMode, ClusterMap, FORMAT_LEVEL, Member};

use crate::sim::config::{Config, FaultPlan, NetworkPlan, Profile};
use crate::sim::dice::Dice;
use crate::sim::map::{bucket, first_ring, member};
use crate::sim::turnover::TurnoverPlan;

/// Nodes of every scenario.
pub const NODES: u64 = 5;
/// Partitions of a scenario unless it says otherwise.
const PARTITIONS: u32 = 64;
/// Copies of every key.
const COPIES: u8 = 3;

/// Who there is beside the five nodes that every walk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Nodes that run and are no members at first: n6, n7 and so on.
    pub spares: u64,
    /// Whether all of them stand in three zones, in turn.
    pub zoned: bool,
    /// Partitions of the ring.
    pub partitions: u32,
}

impl Stage {
    /// The five nodes and nobody else.
    pub const FIVE: Self = Self::with_spares(0);

    /// The five nodes and so many that may join.
    #[must_use]
    pub const fn with_spares(spares: u64) -> Self {
        Self {
            spares,
            zoned: false,
            partitions: PARTITIONS,
        }
    }

    /// The same in three zones.
    #[must_use]
    pub const fn in_zones(self) -> Self {
        Self {
            zoned: true,
            ..self
        }
    }
}

/// What goes on around a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weather {
    /// Nothing.
    #[default]
    Calm,
    /// Messages are late, overtake each other and come twice, clocks jump and some fsyncs are slow.
    Windy,
    /// And messages are lost.
    Stormy,
}

impl Weather {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Calm, Self::Windy, Self::Stormy];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Windy => "windy",
            Self::Stormy => "stormy",
        }
    }
}

impl FromStr for Weather {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| format!("'{text}' is no weather: there are calm, windy and stormy"))
    }
}

/// The configuration of a walk; the seed decides how bad the weather is, and everything else by chance.
#[must_use]
pub fn config(seed: u64, weather: Weather, stage: Stage, keys: u32) -> Config {
    let mut dice = Dice::new(seed, "stage");
    let mut config = Config::draw(seed);
    config.founding = None;
    config.operate_every_us = 0;
    config.repair_every_us = 0;
    config.map = map(stage.partitions);
    config.turnover = TurnoverPlan {
        spares: (NODES + 1..=NODES + stage.spares).map(member).collect(),
        ..TurnoverPlan::default()
    };
    if stage.zoned {
        config.turnover.zoned = true;
        config.stand_in_zones();
    }
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

fn map(partitions: u32) -> ClusterMap {
    let members: Vec<Member> = (1..=NODES).map(member).collect();
    let ring = first_ring(partitions, COPIES, &members);
    ClusterMap {
        cluster: ClusterId::new(NODES, u64::from(partitions)),
        name: "scenario".to_owned(),
        format_level: FORMAT_LEVEL,
        members,
        ring,
        buckets: vec![bucket(1, "siblings", COPIES, BucketMode::Siblings)],
    }
}
