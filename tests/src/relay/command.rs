//! The lines by which a relay is told what to do.

use std::fmt::Write as _;
use std::str::FromStr;

use super::faults::{Faults, LinkFaults};
use super::route::{Label, Pair};

/// One line for the relay. Nodes are numbers or `*` for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// `cut I J`: nothing passes between the two.
    Cut(Nodes),
    /// `cut-oneway I J`: nothing passes from I to J.
    CutOneWay(Nodes),
    /// `delay I J MS [JITTER]`: packets between the two are late.
    Delay(Nodes, u32, u32),
    /// `loss I J PERCENT`: packets between the two are lost.
    Loss(Nodes, Percent),
    /// `duplicate I J PERCENT`: they come twice.
    Duplicate(Nodes, Percent),
    /// `corrupt I J PERCENT`: they are damaged.
    Corrupt(Nodes, Percent),
    /// `reorder I J PERCENT`: they are held back for some milliseconds.
    Reorder(Nodes, Percent),
    /// `heal [I J]`: all faults end, or those between the two.
    Heal(Option<Nodes>),
    /// `stats`: what passed and what did not.
    Stats,
}

/// Two nodes; `None` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// The one.
    pub one: Option<Label>,
    /// The other.
    pub other: Option<Label>,
}

/// A chance, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

/// Why a line was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such command.
    #[error(
        "'{0}' is no command: use cut, cut-oneway, delay, loss, duplicate, corrupt, reorder, heal or stats"
    )]
    Unknown(String),
    /// Too few or too many words.
    #[error("'{0}' has the wrong number of words: write {1}")]
    Words(String, &'static str),
    /// Not a node.
    #[error("'{0}' is no node: write its number, or * for all")]
    Node(String),
    /// Not a number in range.
    #[error("'{0}' is no {1}")]
    Number(String, &'static str),
    /// A node that no route names.
    #[error("node {0} is on no route of this relay")]
    NoRoute(Label),
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<_> = line.split_whitespace().collect();
        let wrong = |usage| Err(CommandError::Words(line.trim().to_owned(), usage));
        match words[..] {
            ["cut", one, other] => Ok(Self::Cut(nodes(one, other)?)),
            ["cut", ..] => wrong("cut I J"),
            ["cut-oneway", one, other] => Ok(Self::CutOneWay(nodes(one, other)?)),
            ["cut-oneway", ..] => wrong("cut-oneway I J"),
            ["delay", one, other, ms] => Ok(Self::Delay(nodes(one, other)?, millis(ms)?, 0)),
            ["delay", one, other, ms, jitter] => Ok(Self::Delay(
                nodes(one, other)?,
                millis(ms)?,
                millis(jitter)?,
            )),
            ["delay", ..] => wrong("delay I J MS [JITTER]"),
            ["loss", one, other, chance] => Ok(Self::Loss(nodes(one, other)?, percent(chance)?)),
            ["loss", ..] => wrong("loss I J PERCENT"),
            ["duplicate", one, other, chance] => {
                Ok(Self::Duplicate(nodes(one, other)?, percent(chance)?))
            }
            ["duplicate", ..] => wrong("duplicate I J PERCENT"),
            ["corrupt", one, other, chance] => {
                Ok(Self::Corrupt(nodes(one, other)?, percent(chance)?))
            }
            ["corrupt", ..] => wrong("corrupt I J PERCENT"),
            ["reorder", one, other, chance] => {
                Ok(Self::Reorder(nodes(one, other)?, percent(chance)?))
            }
            ["reorder", ..] => wrong("reorder I J PERCENT"),
            ["heal"] => Ok(Self::Heal(None)),
            ["heal", one, other] => Ok(Self::Heal(Some(nodes(one, other)?))),
            ["heal", ..] => wrong("heal or heal I J"),
            ["stats"] => Ok(Self::Stats),
            ["stats", ..] => wrong("stats"),
            [other, ..] => Err(CommandError::Unknown(other.to_owned())),
            [] => Err(CommandError::Unknown(String::new())),
        }
    }
}

fn nodes(one: &str, other: &str) -> Result<Nodes, CommandError> {
    Ok(Nodes {
        one: node(one)?,
        other: node(other)?,
    })
}

fn node(text: &str) -> Result<Option<Label>, CommandError> {
    if text == "*" {
        return Ok(None);
    }
    text.parse()
        .map(|number| Some(Label(number)))
        .map_err(|_| CommandError::Node(text.to_owned()))
}

fn millis(text: &str) -> Result<u32, CommandError> {
    let number = text.parse().ok().filter(|ms| *ms <= 60_000);
    number.ok_or_else(|| {
        CommandError::Number(text.to_owned(), "number of milliseconds from 0 to 60000")
    })
}

fn percent(text: &str) -> Result<Percent, CommandError> {
    let number = text
        .parse()
        .ok()
        .filter(|percent| (0.0..=100.0).contains(percent));
    number
        .map(Percent)
        .ok_or_else(|| CommandError::Number(text.to_owned(), "percentage from 0 to 100"))
}

impl Command {
    pub(super) fn apply(&self, faults: &mut Faults) -> Result<String, CommandError> {
        match *self {
            Self::Cut(nodes) => nodes.both_ways(faults, |link| link.cut = true),
            Self::CutOneWay(nodes) => nodes.one_way(faults, |link| link.cut = true),
            Self::Delay(nodes, ms, jitter) => nodes.both_ways(faults, |link| {
                (link.delay_ms, link.jitter_ms) = (ms, jitter)
            }),
            Self::Loss(nodes, Percent(chance)) => {
                nodes.both_ways(faults, |link| link.loss = chance)
            }
            Self::Duplicate(nodes, Percent(chance)) => {
                nodes.both_ways(faults, |link| link.duplicate = chance)
            }
            Self::Corrupt(nodes, Percent(chance)) => {
                nodes.both_ways(faults, |link| link.corrupt = chance)
            }
            Self::Reorder(nodes, Percent(chance)) => {
                nodes.both_ways(faults, |link| link.reorder = chance)
            }
            Self::Heal(Some(nodes)) => {
                nodes.both_ways(faults, |link| *link = LinkFaults::default())
            }
            Self::Heal(None) => {
                faults.heal();
                Ok("all links healed".into())
            }
            Self::Stats => Ok(stats(faults)),
        }
    }
}

impl Nodes {
    fn both_ways(
        self,
        faults: &mut Faults,
        change: impl Fn(&mut LinkFaults),
    ) -> Result<String, CommandError> {
        self.changed(
            faults,
            |pair| self.match_one_way(pair) || self.match_one_way(pair.back()),
            change,
        )
    }

    fn one_way(
        self,
        faults: &mut Faults,
        change: impl Fn(&mut LinkFaults),
    ) -> Result<String, CommandError> {
        self.changed(faults, |pair| self.match_one_way(pair), change)
    }

    fn match_one_way(self, pair: Pair) -> bool {
        self.one.is_none_or(|one| one == pair.from)
            && self.other.is_none_or(|other| other == pair.to)
    }

    fn changed(
        self,
        faults: &mut Faults,
        matches: impl Fn(Pair) -> bool,
        change: impl Fn(&mut LinkFaults),
    ) -> Result<String, CommandError> {
        let strange = [self.one, self.other]
            .into_iter()
            .flatten()
            .find(|label| !faults.knows(*label));
        if let Some(label) = strange {
            return Err(CommandError::NoRoute(label));
        }
        let pairs: Vec<_> = faults
            .pairs()
            .into_iter()
            .filter(|pair| matches(*pair))
            .collect();
        for pair in &pairs {
            faults.change(*pair, &change);
        }
        Ok(format!("{} directions changed", pairs.len()))
    }
}

fn stats(faults: &Faults) -> String {
    let mut text = String::new();
    for (pair, stats) in faults.stats() {
        let link = faults.faults(pair);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{pair}: packets {} bytes {} cut {} lost {} duplicated {} corrupted {} reordered {} overflowed {}{}",
            stats.packets,
            stats.bytes,
            stats.cut,
            stats.lost,
            stats.duplicated,
            stats.corrupted,
            stats.reordered,
            stats.overflowed,
            if link == LinkFaults::default() {
                ""
            } else {
                " (faulty)"
            },
        );
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn faults() -> Faults {
        let pair = |from, to| Pair::new(Label(from), Label(to));
        Faults::new(1, [pair(1, 2), pair(1, 3), pair(2, 3)].into_iter())
    }

    fn cut_pairs(lines: &[&str]) -> Vec<String> {
        let mut faults = faults();
        for line in lines {
            line.parse::<Command>().unwrap().apply(&mut faults).unwrap();
        }
        let cut = faults
            .pairs()
            .into_iter()
            .filter(|pair| faults.faults(*pair).cut);
        cut.map(|pair| pair.to_string()).collect()
    }

    #[test]
    fn a_cut_takes_both_directions_and_a_one_way_cut_one() {
        assert_eq!(cut_pairs(&["cut 1 2"]), ["1 -> 2", "2 -> 1"]);
        assert_eq!(cut_pairs(&["cut-oneway 2 1"]), ["2 -> 1"]);
        assert_eq!(
            cut_pairs(&["cut 2 *"]),
            ["1 -> 2", "2 -> 1", "2 -> 3", "3 -> 2"]
        );
    }

    #[test]
    fn healing_ends_all_faults_or_those_of_a_pair() {
        assert_eq!(cut_pairs(&["cut * *", "heal"]), Vec::<String>::new());
        assert_eq!(cut_pairs(&["cut 1 *", "heal 1 2"]), ["1 -> 3", "3 -> 1"]);
    }

    #[test]
    fn every_fault_is_set_by_its_command() {
        let mut faults = faults();
        for line in [
            "delay 1 2 20 5",
            "loss 1 2 1.5",
            "duplicate 1 2 2",
            "corrupt 1 2 3",
            "reorder 1 2 4",
        ] {
            line.parse::<Command>().unwrap().apply(&mut faults).unwrap();
        }
        let expected = LinkFaults {
            cut: false,
            delay_ms: 20,
            jitter_ms: 5,
            loss: 1.5,
            duplicate: 2.0,
            corrupt: 3.0,
            reorder: 4.0,
        };
        assert_eq!(faults.faults(Pair::new(Label(2), Label(1))), expected);
        assert_eq!(
            faults.faults(Pair::new(Label(1), Label(3))),
            LinkFaults::default()
        );
        assert!(stats(&faults).contains("1 -> 2: packets 0 bytes 0 cut 0"));
    }

    #[test]
    fn other_lines_are_refused_and_say_what_to_write() {
        for (line, words) in [
            ("", "is no command"),
            ("sever 1 2", "'sever' is no command"),
            ("cut 1", "write cut I J"),
            ("cut 1 x", "'x' is no node"),
            ("delay 1 2", "write delay I J MS [JITTER]"),
            ("delay 1 2 -5", "milliseconds"),
            ("delay 1 2 60001", "milliseconds"),
            ("loss 1 2 101", "percentage"),
            ("loss 1 2 NaN", "percentage"),
            ("heal 1", "write heal"),
            ("stats now", "write stats"),
        ] {
            let error = line.parse::<Command>().unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
        let unknown = "cut 1 9"
            .parse::<Command>()
            .unwrap()
            .apply(&mut faults())
            .unwrap_err();
        assert_eq!(unknown.to_string(), "node 9 is on no route of this relay");
    }
}
