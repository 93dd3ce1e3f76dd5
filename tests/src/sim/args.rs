//! The options of `quorate-sim`.

use std::ops::Range;
use std::str::FromStr;

use clap::Parser;

use super::overrides::{Case, Numbers, Overrides};
use crate::scenario::stage::Weather;

/// Runs a whole cluster in one process, under virtual time and faults that one seed decides.
#[derive(Debug, Parser)]
#[command(name = "quorate-sim", version, after_help = EXAMPLES)]
pub(super) struct Args {
    /// Run this seed.
    #[arg(long, conflicts_with = "seeds", value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Run these seeds, from A up to but without B. Without --seed, --seeds and --minutes: 0..100.
    #[arg(long, value_name = "A..B")]
    pub(super) seeds: Option<Seeds>,
    /// Run seeds for so many minutes, from the first of --seeds, or from 0.
    #[arg(long, value_name = "N", conflicts_with = "seed")]
    pub(super) minutes: Option<u64>,
    /// Print every event of the run; with --seed, or with --scenario.
    #[arg(long)]
    pub(super) trace: bool,
    /// Go on after a seed that failed.
    #[arg(long)]
    pub(super) keep_going: bool,
    /// Fail if something that should be provoked never happened, or a run did not reach what it must.
    #[arg(long)]
    pub(super) all_notes: bool,
    /// Run every seed twice and fail if the two courses differ (I19).
    #[arg(long)]
    pub(super) twice: bool,
    /// Show a failing seed as it is, without looking for a smaller run that fails in the same way.
    #[arg(long)]
    pub(super) whole: bool,
    /// With --seed: so many nodes instead of those the seed decides.
    #[arg(long, value_name = "N", requires = "seed", value_parser = clap::value_parser!(u32).range(1..=9))]
    nodes: Option<u32>,
    /// With --seed: so many clients.
    #[arg(long, value_name = "N", requires = "seed", value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: Option<u32>,
    /// With --seed: so many operations of each client.
    #[arg(long, value_name = "N", requires = "seed")]
    operations: Option<u32>,
    /// With --seed: so many keys of each bucket.
    #[arg(long, value_name = "N", requires = "seed", value_parser = clap::value_parser!(u32).range(1..))]
    keys: Option<u32>,
    /// With --seed: leave out these faults, by their numbers in the order in which they are drawn.
    #[arg(long, value_name = "3,5,9-12", requires = "seed")]
    without_faults: Option<Numbers>,
    /// In every run of a large cluster a majority of the members is lost for good, and the cluster is recovered.
    #[arg(long, conflicts_with = "scenario")]
    pub(super) majority_lost: bool,
    /// Walk a scenario with commentary: its name, such as r10, or all; list names them. With --seed or --seeds
    /// in the weather that the seed decides: messages late, repeated and lost, clocks that jump, slow fsyncs.
    #[arg(long, value_name = "NAME|all|list", conflicts_with_all = ["minutes", "plant", "nodes", "clients", "operations", "keys", "without_faults", "twice"])]
    pub(super) scenario: Option<String>,
    /// With --scenario: keys of scenarios that need many; 2000 if not given, 200 with seeds.
    #[arg(long, value_name = "N", requires = "scenario", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) many: Option<u32>,
    /// With --scenario and seeds: calm, windy or stormy, and no worse than a scenario stands.
    #[arg(
        long,
        value_name = "WEATHER",
        requires = "scenario",
        default_value = "stormy"
    )]
    pub(super) weather: Weather,
    /// Break a rule on purpose and see which checker notices, after how many seeds: a rule's name, or all.
    /// With --seed: break it in that run. Needs a build with the feature `planted`.
    #[arg(long, value_name = "NAME|all")]
    pub(super) plant: Option<String>,
    #[command(flatten)]
    pub(super) fuzz: crate::fuzz::command::Options,
}

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  quorate-sim --seeds 0..2000               two thousand clusters; ends at the first that fails
  quorate-sim --minutes 30 --keep-going     as many as fit into half an hour, all failures told
  quorate-sim --seed 7 --trace              one run, event by event
  quorate-sim --seed 7 --nodes 5 --clients 2 --operations 40 --without-faults 3,5,9
                                            the same with fewer parts: how a minimised failure is replayed
  quorate-sim --seeds 0..20 --twice         the same seed takes the same course
  quorate-sim --scenario r10                what the store does while a node catches up
  quorate-sim --scenario r10 --many 100000  the same with a hundred thousand keys
  quorate-sim --scenario a07 --seeds 0..200 --weather windy
                                            one scenario under many seeds, nothing lost on links
  quorate-sim --scenario all --seeds 0..20  every scenario in twenty kinds of weather
  quorate-sim --fuzz --inputs 1000000       malformed input for every decoder and a live replica
  quorate-sim --plant all                   every planted bug, who notices it, and how soon

Exit codes:
  0 all clean   1 an invariant was broken   2 a healed cluster did not settle   3 the core panicked
  64 the command line is wrong";

impl Args {
    /// The run of this seed that `--seed` and its companions describe.
    pub(super) fn case(&self, seed: u64) -> Case {
        let overrides = Overrides {
            nodes: self.nodes,
            clients: self.clients,
            operations: self.operations,
            keys: self.keys,
            without_faults: self.without_faults.clone().unwrap_or_default().0,
            majority_lost: self.majority_lost,
        };
        Case { seed, overrides }
    }
}

/// Seeds from the first up to but without the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seeds(pub(super) Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| format!("'{text}' is no number"))
        };
        let (from, to) = text
            .split_once("..")
            .ok_or("seeds are given as A..B, such as 1..2000")?;
        let range = parse(from)?..parse(to)?;
        if range.is_empty() {
            return Err(format!("{text} holds no seed: A must be less than B"));
        }
        Ok(Self(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_options_fit_together() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_case_is_read_as_it_is_written() -> Result<(), clap::Error> {
        let options = "--seed 7 --nodes 5 --clients 2 --operations 40 --keys 3 --without-faults 3,5,9-11 --majority-lost";
        let case = parse(&format!("quorate-sim {options}"))?.case(7);
        assert_eq!(case.to_string(), options);
        Ok(())
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            "--seed 1 --seeds 1..2",
            "--seeds 5..5",
            "--seeds 5",
            "--nodes 5",
            "--seed 1 --nodes 0",
            "--seed 1 --keys 0",
            "--seed 1 --minutes 1",
            "--seed x",
        ] {
            assert!(parse(&format!("quorate-sim {wrong}")).is_err(), "{wrong}");
        }
    }
}
