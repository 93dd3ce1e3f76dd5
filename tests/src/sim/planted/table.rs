//! The table: which rule is broken, where that happened to others, who must notice, and how soon.

use quorate_core::Plant;

use super::super::config::Profile;
use super::{Needs, Weather};

/// One planted bug.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The rule.
    pub plant: Plant,
    /// Where the same went wrong elsewhere: a row of the catalogue of such bugs, or an edge of the design.
    pub catalogue: &'static str,
    /// Invariants of which one must be found broken; `stuck` where the healed cluster must not settle.
    pub by: &'static [&'static str],
    /// Within so many seeds.
    pub seeds: u64,
    /// The weather in which it is looked for.
    pub weather: Weather,
    /// What it needs beside.
    pub needs: Option<Needs>,
}

const fn row(plant: Plant, catalogue: &'static str, by: &'static [&'static str]) -> Row {
    Row {
        plant,
        catalogue,
        by,
        seeds: 300,
        weather: None,
        needs: None,
    }
}

const RETURNING: Weather = Some(Profile::Returning);

const STORM: Weather = Some(Profile::Storm);

/// Three times as long: what is broken needs a rare meeting of several things.
const LONG: Needs = |config| {
    config.fault_us *= 3;
    config.operations *= 3;
};

/// Clients that ask for buckets.
const FOUNDING: Needs = |config| config.found_buckets();

/// Many values that live for a limited time.
const EXPIRING: Needs = |config| config.let_values_expire(500);

impl Row {
    const fn in_weather(self, weather: Weather) -> Self {
        Self { weather, ..self }
    }

    const fn within(self, seeds: u64) -> Self {
        Self { seeds, ..self }
    }

    const fn needing(self, needs: Needs) -> Self {
        Self {
            needs: Some(needs),
            ..self
        }
    }
}

/// All planted bugs that seeds catch, in the order of their names. Those that need deaths in an order
/// which no weather plays have a walk each in the core's `tests/scenarios/planted.rs`.
#[must_use]
pub fn rows() -> Vec<Row> {
    Plant::ALL
        .iter()
        .filter_map(|&plant| row_of(plant))
        .collect()
}

fn row_of(plant: Plant) -> Option<Row> {
    Some(match plant {
        Plant::AbsenceClaimedByFallback => {
            row(plant, "scenario R07", &["P4"]).in_weather(RETURNING)
        }
        Plant::AckCountedTwice => row(plant, "row 47", &["I10"]).in_weather(STORM),
        Plant::AcksGuessed => row(plant, "row 54", &["I10"]),
        Plant::ActorReused => row(plant, "rows 1, 4, 8", &["I11"])
            .in_weather(STORM)
            .needing(|config| config.faults.power = true),
        Plant::BucketToldEarly => row(plant, "row 99", &["buckets"]).needing(FOUNDING),
        Plant::CatchingUpCounted => row(plant, "scenarios R10, R12", &["P4"]).in_weather(RETURNING),
        Plant::ClockWithoutObject => row(plant, "edge 1", &["I1", "stuck"]),
        Plant::ConcurrentOverwritten => row(plant, "row 18", &["I1"]),
        Plant::ContextDroppedEarly => row(plant, "rows 21, 26", &["I3", "P4", "stuck"])
            .in_weather(STORM)
            .needing(LONG),
        Plant::ContextIgnored => row(plant, "row 9", &["I4"]),
        Plant::DenialBelieved => row(plant, "edge 6", &["I1", "P4"])
            .in_weather(STORM)
            .needing(|config| {
                config.faults.every_us = 500_000;
                config.let_records_vanish(true);
            }),
        Plant::DominatedShown => row(plant, "row 15", &["I4", "P4"]),
        Plant::DoubtReportedAsFailure => row(plant, "row 91", &["I2"]),
        Plant::DurableBeforeFsync => row(plant, "edge 4", &["I10"]),
        Plant::DurableTooEarly => row(plant, "rows 92, 99", &["I10"]),
        Plant::ExpiredShown => row(plant, "row 27", &["TTL"]).needing(EXPIRING),
        Plant::ExpiredStored => row(plant, "row 27", &["stuck", "TTL"]).needing(EXPIRING),
        Plant::ExpiryByArrival => row(plant, "row 27", &["TTL"]).needing(EXPIRING),
        Plant::FallbackActorKept => row(plant, "edge 3", &["I1"])
            .in_weather(RETURNING)
            .needing(LONG),
        Plant::FallbackAsPrimary => row(plant, "rows 47, 54", &["I10"]),
        Plant::HandoffUnverified => row(plant, "row 42", &["I1"]).in_weather(RETURNING),
        Plant::HintAckedUnstored => row(plant, "row 71", &["I10"]),
        Plant::HintDroppedUnacknowledged => row(plant, "rows 43, 72", &["I1"])
            .in_weather(RETURNING)
            .needing(|config| {
                config.network.loss = 200;
                for bucket in &mut config.map.buckets {
                    bucket.props.n = 1;
                }
            }),
        Plant::LateAckCounted => row(plant, "row 68", &["I10"]),
        Plant::LogDroppedEarly => row(plant, "edge 4", &["stuck"]),
        Plant::MajorityAgrees => row(plant, "row 48", &["buckets"])
            .in_weather(STORM)
            .needing(|config| {
                config.faults.every_us = 500_000;
                config.faults.wipe = true;
                config.found_buckets();
            }),
        Plant::MarkerDroppedWhileAway => row(plant, "rows 26, 28", &["I3", "P4", "stuck"]),
        Plant::OldRevisionTaken => row(plant, "row 17", &["buckets"]).needing(FOUNDING),
        Plant::RepairOnEveryRead => row(plant, "rows 13, 30", &["I6"]),
        Plant::RetryMintsAgain => row(plant, "rows 10, 11", &["I11"]).in_weather(RETURNING),
        Plant::SealedInUse => row(plant, "edge 7", &["I1", "stuck"]),
        Plant::SessionUnchecked => row(plant, "row 66", &["I7"]).in_weather(STORM),
        Plant::SettlesIgnored => row(plant, "edge 2", &["stuck"]),
        Plant::SiblingLimitStopsRepair => row(plant, "row 19", &["stuck"]),
        Plant::StampOfLocalClock => row(plant, "rows 40, 96", &["I8"])
            .in_weather(STORM)
            .needing(|config| {
                config.faults.clocks = false;
                config.drift_ppm = 20_000;
            }),
        Plant::StrictFallback => {
            row(plant, "row 47", &["P4"])
                .in_weather(STORM)
                .needing(|config| {
                    config.faults.partition = true;
                    config.strict = 700;
                })
        }
        Plant::TimeToLiveAnew => row(plant, "row 27", &["TTL"]).needing(EXPIRING),
        Plant::VoteNotKept => row(plant, "row 98", &["buckets"]).needing(FOUNDING),
        Plant::RebuildTrustsOldClock | Plant::SnapshotClockAtEnd => {
            row(plant, "edges 4, 5, 6", &["I1", "I3", "I6", "I18", "stuck"])
                .within(600)
                .in_weather(STORM)
                .needing(|config| {
                    config.faults.every_us = 500_000;
                    (config.faults.damage, config.faults.wipe) = (true, true);
                })
        }
        Plant::CurrentWithoutHints
        | Plant::ExpiryForgetsContext
        | Plant::DifferenceIgnored
        | Plant::ScrubIgnoresWrites
        | Plant::ForgetsWhoWasAlive
        | Plant::OldStorageTrusted
        | Plant::PromiseBroken
        | Plant::RefusedAndCurrent
        | Plant::SealedWhileIncomplete
        | Plant::SealedWithoutHints
        | Plant::ToldWhileTakenForDead
        | Plant::TrustsAnIncompleteWitness
        | Plant::WriterNotTold => return None,
    })
}
