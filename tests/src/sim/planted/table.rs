//! The table: which rule is broken, where that happened to others, who must notice, and how soon.

use quorate_core::Plant;

use super::super::config::Profile;
use super::super::dice::Dice;
use super::super::map;
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

/// Disks damaged and destroyed, often.
const DAMAGED: Needs = |config| {
    config.faults.every_us = 500_000;
    (config.faults.damage, config.faults.wipe) = (true, true);
};

/// Clients that ask for buckets.
const FOUNDING: Needs = |config| config.found_buckets();

/// Clients that ask for buckets, which are dropped again.
const DROPPING: Needs = |config| {
    config.found_buckets();
    config.drop_buckets();
};

/// Three nodes, whose votes are wanted all the time while they die and are cut off.
const RIVALS: Needs = |config| {
    let mut dice = Dice::new(config.seed, "three nodes");
    config.map = map::draw(&mut dice, 3);
    config.faults.every_us = 300_000;
    (config.faults.kill, config.faults.partition) = (true, true);
    config.faults.slow_sync = true;
    config.found_buckets();
    if let Some(plan) = &mut config.founding {
        plan.askers = 6;
        let more = |_| (dice.below(config.fault_us), dice.index(plan.names.len()));
        plan.meetings.extend((0..60).map(more));
        plan.meetings.sort_unstable();
    }
};

/// Operators who change the ring all the time.
const MOVING: Needs = |config| {
    let mut dice = Dice::new(config.seed, "six nodes");
    config.map = map::draw(&mut dice, 6);
    config.operate_every_us = 2_000_000;
};

/// A majority that is lost for good while the ring changes.
const LOSING: Needs = |config| {
    config.turnover.every_us = 4_000_000;
    config.lose_a_majority();
};

/// Members that are removed by force and given up, and come back with their old disks.
const COMEBACKS: Needs = |config| config.let_the_given_up_come_back();

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

/// All planted bugs that seeds catch, in the order of their names.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = [
        requests(),
        fallbacks(),
        convergence(),
        times(),
        buckets(),
        moves(),
        recoveries(),
    ]
    .concat();
    rows.sort_by_key(|row| row.plant);
    rows
}

/// Classes that move, and who decides that they do.
fn moves() -> Vec<Row> {
    let lost: &[&str] = &["I1", "I3", "I4", "P4", "stuck"];
    vec![
        row(Plant::ClaimsAssumed, "ring changes, rule 5", lost).needing(MOVING),
        row(Plant::GoesOnUnheard, "ring changes, rule 2", lost).needing(MOVING),
        row(Plant::GoneAssumed, "ring changes, rule 7", lost).needing(MOVING),
    ]
}

/// A majority is lost for good, and the cluster is recovered.
fn recoveries() -> Vec<Row> {
    let lost: &[&str] = &["I1", "I3", "I4", "P4", "map", "stuck"];
    let row = |plant, by| {
        let row = row(plant, "a lost majority", by);
        row.in_weather(STORM).needing(LOSING)
    };
    vec![
        row(Plant::DoorOpen, lost),
        row(Plant::ExpelledLetIn, lost).needing(COMEBACKS),
        row(Plant::GivenUpWaitedFor, &["stuck"]),
        row(Plant::PledgeOfAFew, &["map", "stuck"]),
        row(Plant::VetoOfThePast, &["stuck"]),
    ]
}

/// What coordinators and clients are told.
fn requests() -> Vec<Row> {
    vec![
        row(Plant::AckCountedTwice, "row 47", &["I10"]).in_weather(STORM),
        row(Plant::AcksGuessed, "row 54", &["I10"]),
        row(Plant::CatchingUpCounted, "scenarios R10, R12", &["P4"]).in_weather(RETURNING),
        row(Plant::ConcurrentOverwritten, "row 18", &["I1"]),
        row(Plant::ContextIgnored, "row 9", &["I4"]),
        row(Plant::DominatedShown, "row 15", &["I4", "P4"]),
        row(Plant::DoubtReportedAsFailure, "row 91", &["I2"]),
        row(Plant::DurableTooEarly, "rows 92, 99", &["I10"]),
        row(Plant::LateAckCounted, "row 68", &["I10"]),
        row(Plant::RepairOnEveryRead, "rows 13, 30", &["I6"]),
        row(Plant::RetryMintsAgain, "rows 10, 11", &["I11"]).in_weather(RETURNING),
        row(Plant::SessionUnchecked, "row 66", &["I7"]).in_weather(STORM),
    ]
}

/// Fallbacks and their hints.
fn fallbacks() -> Vec<Row> {
    vec![
        row(Plant::AbsenceClaimedByFallback, "scenario R07", &["P4"]).in_weather(RETURNING),
        row(Plant::FallbackActorKept, "edge 3", &["I1"])
            .in_weather(RETURNING)
            .needing(LONG),
        row(Plant::FallbackAsPrimary, "rows 47, 54", &["I10"]),
        row(Plant::HandoffUnverified, "row 42", &["I1"]).in_weather(RETURNING),
        row(Plant::HintAckedUnstored, "row 71", &["I10"]),
        row(Plant::HintDroppedUnacknowledged, "rows 43, 72", &["I1"])
            .in_weather(RETURNING)
            .needing(|config| {
                config.network.loss = 200;
                for bucket in &mut config.map.buckets {
                    bucket.props.n = 1;
                }
            }),
        row(Plant::StrictFallback, "row 47", &["P4"])
            .in_weather(STORM)
            .needing(|config| {
                config.faults.partition = true;
                config.strict = 700;
            }),
    ]
}

/// What vnodes keep, and how they come to the same.
fn convergence() -> Vec<Row> {
    vec![
        row(Plant::ActorReused, "rows 1, 4, 8", &["I11"])
            .in_weather(STORM)
            .needing(|config| config.faults.power = true),
        row(Plant::ClockWithoutObject, "edge 1", &["I1", "stuck"]),
        row(
            Plant::ContextDroppedEarly,
            "rows 21, 26",
            &["I3", "P4", "stuck"],
        )
        .in_weather(STORM)
        .needing(LONG),
        row(Plant::DenialBelieved, "edge 6", &["I1", "P4"])
            .in_weather(STORM)
            .needing(|config| {
                config.faults.every_us = 500_000;
                config.let_records_vanish(true);
            }),
        row(Plant::DurableBeforeFsync, "edge 4", &["I10"]),
        row(Plant::LogDroppedEarly, "edge 4", &["stuck"]),
        row(
            Plant::MarkerDroppedWhileAway,
            "rows 26, 28",
            &["I3", "P4", "stuck"],
        ),
        row(Plant::SealedInUse, "edge 7", &["I1", "stuck"]),
        row(Plant::SettlesIgnored, "edge 2", &["stuck"]),
        row(Plant::SiblingLimitStopsRepair, "row 19", &["stuck"]),
        row(
            Plant::SpansUnchecked,
            "edge 5",
            &["I1", "I3", "I6", "I18", "stuck"],
        )
        .in_weather(STORM)
        .needing(DAMAGED),
        row(
            Plant::RebuildTrustsOldClock,
            "edges 4, 5, 6",
            &["I1", "I3", "I6", "I18", "stuck"],
        )
        .within(600)
        .in_weather(STORM)
        .needing(DAMAGED),
        row(
            Plant::SnapshotClockAtEnd,
            "edges 4, 5, 6",
            &["I1", "I3", "I6", "I18", "stuck"],
        )
        .within(600)
        .in_weather(STORM)
        .needing(DAMAGED),
    ]
}

/// Times to live, and time stamps.
fn times() -> Vec<Row> {
    vec![
        row(Plant::ExpiredShown, "row 27", &["TTL"]).needing(EXPIRING),
        row(Plant::ExpiredStored, "row 27", &["stuck", "TTL"]).needing(EXPIRING),
        row(Plant::ExpiryByArrival, "row 27", &["TTL"]).needing(EXPIRING),
        row(Plant::StampOfLocalClock, "rows 40, 96", &["I8"])
            .in_weather(STORM)
            .needing(|config| {
                config.faults.clocks = false;
                config.drift_ppm = 20_000;
            }),
        row(Plant::TimeToLiveAnew, "row 27", &["TTL"]).needing(EXPIRING),
    ]
}

/// What the cluster agrees on.
fn buckets() -> Vec<Row> {
    vec![
        row(Plant::AcceptedValueIgnored, "row 48", &["map"])
            .in_weather(STORM)
            .needing(FOUNDING),
        row(Plant::AmnesiacVotes, "row 98", &["map"])
            .within(600)
            .in_weather(STORM)
            .needing(|config| {
                RIVALS(config);
                config.faults.wipe = true;
            }),
        row(Plant::VoteBeforeFsync, "row 99", &["map"])
            .within(600)
            .in_weather(STORM)
            .needing(|config| {
                RIVALS(config);
                config.faults.several = true;
                config.faults.partition = false;
                config.faults.every_us = 150_000;
            }),
        row(Plant::LowerBallotTaken, "row 48", &["map"])
            .in_weather(STORM)
            .needing(FOUNDING),
        row(Plant::OlderMapTaken, "row 17", &["map"]).needing(FOUNDING),
        row(Plant::DroppedForgotten, "row 37", &["stuck"])
            .in_weather(STORM)
            .needing(|config| {
                DROPPING(config);
                (config.faults.kill, config.faults.full) = (true, true);
                config.faults.every_us = 200_000;
            }),
        row(Plant::DroppedIdUsedAgain, "row 29", &["map"]).needing(DROPPING),
        row(Plant::DroppedTaken, "row 26", &["stuck", "I18"])
            .in_weather(STORM)
            .needing(|config| {
                DROPPING(config);
                config.faults.partition = true;
            }),
    ]
}

#[cfg(test)]
/// Those that need deaths or delays in an order which no weather plays, or hardly ever: each has a walk in the core's `tests/scenarios`.
const WALKED: &[Plant] = &[
    Plant::CurrentWithoutHints,
    Plant::CutForgotten,
    Plant::DifferenceIgnored,
    Plant::ExpiryForgetsContext,
    Plant::FoldTakenBlindly,
    Plant::FoldedWhileOpen,
    Plant::ForgetsWhoWasAlive,
    Plant::LateTryTrusted,
    Plant::OldStorageTrusted,
    Plant::PromiseBroken,
    Plant::RangeLossIgnored,
    Plant::RangeProofIgnored,
    Plant::RefusedAndCurrent,
    Plant::RetryShipsAbsence,
    Plant::ScrubIgnoresWrites,
    Plant::SealedWhileIncomplete,
    Plant::SealedWithoutHints,
    Plant::TakenAgain,
    Plant::ToldWhileTakenForDead,
    Plant::TrustsAnIncompleteWitness,
    Plant::WriterNotTold,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_bug_is_looked_for_once() {
        let mut looked_for: Vec<Plant> = rows().iter().map(|row| row.plant).collect();
        looked_for.extend(WALKED);
        // The register and classes that move have tests of their own; some of these bugs are looked for here, too.
        let others = [Plant::OF_REGISTER, Plant::OF_MOVES].concat().into_iter();
        let others: Vec<Plant> = others.filter(|plant| !looked_for.contains(plant)).collect();
        looked_for.extend(others);
        looked_for.sort();
        assert_eq!(looked_for, Plant::ALL);
    }
}
