//! One walk from its beginning to its end. The end is the same for all: faults off, every acknowledged
//! write readable or causally replaced, replicas identical, no hints left, lag 0, and all that the
//! simulator's checkers know.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Scenario;
use super::failure::Failure;
use super::stage::{self, Weather};
use super::walk::{ALL, Walk};
use crate::sim::run::{Verdict, end};
use crate::sim::trace::Trace;
use crate::sim::world::Prepare;

/// How a walk is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// The seed; it decides the weather and all chance.
    pub seed: u64,
    /// What goes on around it: no worse than the scenario stands.
    pub weather: Weather,
    /// How many keys scenarios that need many write; 0: as many as usual.
    pub many: u32,
    /// Whether lines are printed while they are told.
    pub aloud: bool,
    /// Whether every event is printed.
    pub trace: bool,
}

/// Keys written by scenarios that need many.
pub const MANY: u32 = 2_000;
/// Keys where the weather is played, many times over.
pub const MANY_STORMY: u32 = 200;

/// What came of a walk.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was told.
    pub told: Vec<String>,
    /// Whether it held.
    pub result: Result<(), Failure>,
    /// The hash of its trace.
    pub hash: u64,
}

/// Plays a scenario once.
#[must_use]
pub fn play(scenario: &Scenario, how: How) -> Played {
    play_with(scenario, how, &|_| {})
}

/// As [`play`], with every replica prepared once it is open.
#[must_use]
pub fn play_with(scenario: &Scenario, how: How, prepare: Prepare<'_>) -> Played {
    let told = RefCell::new(Vec::new());
    let played = catch_unwind(AssertUnwindSafe(|| walk(scenario, how, prepare, &told)));
    let (result, hash) = played.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        (Err(Failure::Panic(text.unwrap_or_default())), 0)
    });
    Played {
        told: told.into_inner(),
        result,
        hash,
    }
}

fn walk(
    scenario: &Scenario,
    how: How,
    prepare: Prepare<'_>,
    told: &RefCell<Vec<String>>,
) -> (Result<(), Failure>, u64) {
    let weather = how.weather.min(scenario.weather);
    let many = match (how.many, how.weather) {
        (0, Weather::Calm) => MANY,
        (0, Weather::Windy | Weather::Stormy) => MANY_STORMY,
        (many, _) => many,
    };
    // Of all keys about three fifths have a given primary; the key of the scenario is number 0.
    let config = stage::config(how.seed, weather, scenario.stage, 1);
    let trace = Trace::new(how.trace);
    let mut walk = Walk::new(config, weather, many, trace, how.aloud, prepare);
    introduce(&mut walk, scenario);
    let result = (scenario.walk)(&mut walk).and_then(|()| finish(&mut walk));
    told.borrow_mut().append(&mut walk.told);
    (result, walk.world.trace.hash())
}

fn introduce(walk: &mut Walk<'_>, scenario: &Scenario) {
    let number = scenario.name.to_uppercase();
    walk.say(format!("{number}: {}", scenario.sentence));
    let who: Vec<String> = ALL.iter().map(|&who| walk.name(who)).collect();
    walk.say(format!(
        "5 nodes, {} partitions, 3 copies of every key, 2 answers needed. Of the key that this is about, {}, {} and {} are the primaries; {} and {} are the fallbacks, in this order",
        scenario.stage.partitions, who[0], who[1], who[2], who[3], who[4]
    ));
}

fn finish(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.say("all faults end");
    let (settled_us, verdict) = end(&mut walk.world);
    match verdict {
        Verdict::Clean => {
            walk.say(format!(
                "within {:.1} s all replicas are identical, no hint is left, nobody misses a write, and every acknowledged write is readable or was replaced by one that had seen it",
                settled_us as f64 / 1e6
            ));
            Ok(())
        }
        Verdict::Stuck(why) => Err(Failure::End(format!("it does not settle: {why}"))),
        Verdict::Broken(violations) => {
            let lines: Vec<String> = violations.iter().take(3).map(ToString::to_string).collect();
            Err(Failure::End(lines.join("; ")))
        }
    }
}
