//! What replaces parts of what a seed decides: how a minimised run is told apart from the whole one, and
//! told again.

use std::collections::BTreeSet;

use super::config::{Config, Goals};

/// Parts of a run that are not as its seed decides. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Nodes of the cluster, 1 to 9.
    pub nodes: Option<u32>,
    /// Clients, 1 to as many as the seed decides.
    pub clients: Option<u32>,
    /// Operations of each client, at most.
    pub operations: Option<u32>,
    /// Keys of each bucket.
    pub keys: Option<u32>,
    /// Faults that do not happen, by their number in the order in which they are drawn, from 1.
    pub without_faults: BTreeSet<u64>,
    /// A majority of the members is lost for good, whatever the seed decides.
    pub majority_lost: bool,
}

impl Overrides {
    /// Whether there is as much of everything as the seed decides.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                majority_lost: self.majority_lost,
                ..Self::default()
            }
    }

    /// Changes all but the nodes, which are needed before the rest is drawn.
    pub(super) fn apply(&self, config: &mut Config) {
        let fewer = |own: &mut u32, wanted: Option<u32>| {
            if let Some(wanted) = wanted {
                *own = wanted;
            }
        };
        fewer(&mut config.clients, self.clients);
        fewer(&mut config.operations, self.operations);
        fewer(&mut config.keys, self.keys);
        config.without_faults.clone_from(&self.without_faults);
        if !self.is_empty() {
            config.goals = Goals::default(); // with less of everything it is not to last longer
        }
    }
}

/// A run: its seed and what is not as the seed decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// The differences.
    pub overrides: Overrides,
}

impl From<u64> for Case {
    fn from(seed: u64) -> Self {
        Self {
            seed,
            overrides: Overrides::default(),
        }
    }
}

/// As options of the command line.
impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--seed {}", self.seed)?;
        let Overrides {
            nodes,
            clients,
            operations,
            keys,
            without_faults,
            majority_lost,
        } = &self.overrides;
        for (option, value) in [
            ("nodes", nodes),
            ("clients", clients),
            ("operations", operations),
            ("keys", keys),
        ] {
            if let Some(value) = value {
                write!(f, " --{option} {value}")?;
            }
        }
        if !without_faults.is_empty() {
            write!(f, " --without-faults {}", as_ranges(without_faults))?;
        }
        if *majority_lost {
            write!(f, " --majority-lost")?;
        }
        Ok(())
    }
}

/// `1-4,7`: numbers and ranges of numbers, both ends included.
fn as_ranges(numbers: &BTreeSet<u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let texts: Vec<String> = ranges
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    texts.join(",")
}

/// Numbers of faults, as `3,5,9-12`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(pub BTreeSet<u64>);

impl std::str::FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            part.parse::<u64>()
                .map_err(|_| format!("'{part}' is no number of a fault; write 3,5,9-12"))
        };
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last || last - first > 100_000 {
                return Err(format!("'{part}' is no range of numbers; write 9-12"));
            }
            numbers.extend(first..=last);
        }
        Ok(Self(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_written_as_the_options_that_run_it_again() {
        let case = Case {
            seed: 7,
            overrides: Overrides {
                nodes: Some(5),
                operations: Some(40),
                without_faults: BTreeSet::from([3, 5, 9, 10, 11]),
                ..Overrides::default()
            },
        };
        assert_eq!(
            case.to_string(),
            "--seed 7 --nodes 5 --operations 40 --without-faults 3,5,9-11"
        );
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let numbers = BTreeSet::from([1, 2, 3, 7, 9, 10]);
        assert_eq!(as_ranges(&numbers).parse(), Ok(Numbers(numbers)));
        for wrong in ["", "a", "3-", "5-2", "1,,2", "0-9999999999"] {
            assert!(wrong.parse::<Numbers>().is_err(), "{wrong}");
        }
    }
}
