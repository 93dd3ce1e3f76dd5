//! `quorate-sim --scenario`: walks scenarios and tells them, or runs them under many seeds.

use std::ops::Range;
use std::process::ExitCode;

use super::failure::Failure;
use super::play::{How, Played, play};
use super::stage::Weather;
use super::{Scenario, all};
use crate::sim::hour;

/// What the hour promises.
const HOUR: &str =
    "after an hour of everything metadata and logs are back at their floor (no part of `all`)";
/// The seed of an hour where none is given.
const HOUR_SEED: u64 = 1;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A scenario's name, `all`, or `list`.
    pub name: String,
    /// Seeds of the weather; none: one walk in calm weather.
    pub seeds: Option<Range<u64>>,
    /// The weather under those seeds, no worse than a scenario stands.
    pub weather: Weather,
    /// Whether seeds go on after one that failed.
    pub keep_going: bool,
    /// Keys of scenarios that need many; 0: as many as usual.
    pub many: u32,
    /// Whether every event is printed.
    pub trace: bool,
}

/// Walks what is wished for. Ends with 0 if all held, 1 if not, 3 after a panic; `None` if there is no such
/// scenario.
#[must_use]
pub fn main(wish: &Wish) -> Option<ExitCode> {
    if wish.name == "list" {
        for Scenario { name, sentence, .. } in all() {
            println!("{name:<5} {sentence}");
        }
        println!("hour  {HOUR}");
        return Some(ExitCode::SUCCESS);
    }
    let name = wish.name.to_lowercase();
    if name == "hour" {
        let seed = wish.seeds.as_ref().map_or(HOUR_SEED, |seeds| seeds.start);
        return Some(hour::main(seed));
    }
    let mut chosen = all();
    chosen.retain(|scenario| name == "all" || scenario.name == name);
    if chosen.is_empty() {
        let names: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
        eprintln!(
            "there is no scenario {}; there are: {}, hour, all, list",
            wish.name,
            names.join(", ")
        );
        return None;
    }
    let worst = chosen.iter().map(|scenario| match &wish.seeds {
        None => aloud(scenario, wish),
        Some(seeds) => under_seeds(scenario, wish, seeds.clone()),
    });
    Some(ExitCode::from(worst.fold(0, u8::max)))
}

fn code(result: &Result<(), Failure>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(Failure::Panic(_)) => 3,
        Err(
            Failure::Unlike { .. }
            | Failure::Late { .. }
            | Failure::Refused { .. }
            | Failure::Allowed { .. }
            | Failure::End(_),
        ) => 1,
    }
}

/// One walk in calm weather, told while it goes.
fn aloud(scenario: &Scenario, wish: &Wish) -> u8 {
    let how = How {
        many: wish.many,
        aloud: true,
        trace: wish.trace,
        ..How::default()
    };
    let Played { result, .. } = play(scenario, how);
    match &result {
        Ok(()) => println!("{} holds\n", scenario.name.to_uppercase()),
        Err(failure) => println!(
            "{} does not hold: {failure}\n",
            scenario.name.to_uppercase()
        ),
    }
    code(&result)
}

/// Many walks in the weather that seeds decide; told only where one does not hold.
fn under_seeds(scenario: &Scenario, wish: &Wish, seeds: Range<u64>) -> u8 {
    let (mut walked, mut failed, mut worst) = (0, 0, 0);
    let one = seeds.end - seeds.start == 1;
    for seed in seeds {
        let how = How {
            seed,
            weather: wish.weather,
            many: wish.many,
            aloud: one,
            trace: wish.trace,
        };
        let Played { told, result, .. } = play(scenario, how);
        walked += 1;
        if let Err(failure) = &result {
            if !one {
                told.iter().for_each(|line| println!("{line}"));
            }
            println!(
                "{} does not hold with seed {seed}: {failure}\n  again: quorate-sim --scenario {} --seed {seed} --weather {}",
                scenario.name.to_uppercase(),
                scenario.name,
                wish.weather.name()
            );
            worst = worst.max(code(&result));
            failed += 1;
            if !wish.keep_going {
                break;
            }
        }
    }
    if failed > 0 {
        println!(
            "{:<5} does not hold with {failed} of {walked} seeds",
            scenario.name
        );
    } else {
        println!(
            "{:<5} holds under {walked} seeds, {}",
            scenario.name,
            wish.weather.min(scenario.weather).name()
        );
    }
    worst
}
