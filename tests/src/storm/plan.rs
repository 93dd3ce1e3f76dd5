//! What goes wrong when, drawn from a seed before anything runs.

use crate::process::Index;
use crate::relay::LinkFaults;
use crate::sim::dice::Dice;

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// `kill -9`; the end is a start.
    Kill(Index),
    /// SIGSTOP; the end is SIGCONT.
    Pause(Index),
    /// SIGTERM and a start of each node in turn.
    Roll,
    /// A node reaches none of the others.
    Isolate(Index),
    /// Nothing passes between two nodes.
    Cut(Index, Index),
    /// Nothing passes from the one to the other.
    CutOneWay(Index, Index),
    /// Packets from the one to the other suffer.
    Noise(Index, Index, LinkFaults),
    /// A node's files cannot grow.
    FullDisk(Index),
    /// Every sync of a node takes so much longer, milliseconds.
    SlowSync(Index, i64),
    /// Every sync of a node fails.
    FailingSync(Index),
    /// A node's wall clock is moved by so much, milliseconds.
    Clock(Index, i64),
}

impl Fault {
    /// Names for reports, in their order.
    pub const KINDS: [&'static str; 11] = [
        "kill -9",
        "pause",
        "rolling restart",
        "isolated node",
        "cut link",
        "one-way cut",
        "bad link",
        "full disk",
        "slow fsync",
        "failing fsync",
        "clock step",
    ];

    /// Its place in [`Self::KINDS`].
    #[must_use]
    pub const fn kind(&self) -> usize {
        match self {
            Self::Kill(_) => 0,
            Self::Pause(_) => 1,
            Self::Roll => 2,
            Self::Isolate(_) => 3,
            Self::Cut(..) => 4,
            Self::CutOneWay(..) => 5,
            Self::Noise(..) => 6,
            Self::FullDisk(_) => 7,
            Self::SlowSync(..) => 8,
            Self::FailingSync(_) => 9,
            Self::Clock(..) => 10,
        }
    }

    /// The node that takes part in nothing while it lasts.
    const fn disables(&self) -> Option<Index> {
        match self {
            Self::Kill(node)
            | Self::Pause(node)
            | Self::Isolate(node)
            | Self::FullDisk(node)
            | Self::FailingSync(node) => Some(*node),
            Self::Roll
            | Self::Cut(..)
            | Self::CutOneWay(..)
            | Self::Noise(..)
            | Self::SlowSync(..)
            | Self::Clock(..) => None,
        }
    }
}

/// One fault and its time, milliseconds since the storm began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// When it begins.
    pub from_ms: u64,
    /// When it ends.
    pub until_ms: u64,
    /// What it is.
    pub fault: Fault,
}

/// Quiet at the beginning, so that there is something to lose, milliseconds.
const QUIET_MS: u64 = 500;
/// Most nodes that take part in nothing at the same time: of five, the others can still serve all.
const DISABLED_MAX: usize = 2;

/// The faults of a storm of so many nodes and milliseconds; `gap_ms` is the mean time between two.
#[must_use]
pub fn draw(seed: u64, nodes: usize, length_ms: u64, gap_ms: u64) -> Vec<Episode> {
    let mut dice = Dice::new(seed, "storm");
    let mut episodes: Vec<Episode> = Vec::new();
    let mut at_ms = QUIET_MS;
    while at_ms < length_ms {
        let fault = fault(&mut dice, nodes);
        let until_ms = (at_ms + dice.between(200, 4_000)).min(length_ms);
        let episode = Episode {
            from_ms: at_ms,
            until_ms,
            fault,
        };
        if fits(&episodes, &episode) {
            episodes.push(episode);
        }
        at_ms += 50 + dice.exponential(gap_ms);
    }
    episodes
}

fn fits(episodes: &[Episode], new: &Episode) -> bool {
    let Some(node) = new.fault.disables() else {
        return true;
    };
    let now = episodes
        .iter()
        .filter(|episode| episode.until_ms >= new.from_ms);
    let disabled: Vec<Index> = now.filter_map(|episode| episode.fault.disables()).collect();
    !disabled.contains(&node) && disabled.len() < DISABLED_MAX
}

fn fault(dice: &mut Dice, nodes: usize) -> Fault {
    let one = dice.index(nodes);
    let other = (one + 1 + dice.index(nodes - 1)) % nodes;
    match dice.below(100) {
        0..20 => Fault::Kill(one),
        20..32 => Fault::Pause(one),
        32..34 => Fault::Roll,
        34..40 => Fault::Isolate(one),
        40..50 => Fault::Cut(one, other),
        50..58 => Fault::CutOneWay(one, other),
        58..76 => Fault::Noise(one, other, noise(dice)),
        76..82 => Fault::FullDisk(one),
        82..88 => Fault::SlowSync(one, i64::try_from(dice.between(20, 1_500)).unwrap_or(20)),
        88..92 => Fault::FailingSync(one),
        _ => Fault::Clock(one, clock_step(dice)),
    }
}

fn noise(dice: &mut Dice) -> LinkFaults {
    let mut percent = |most: u32| {
        let drawn = u32::try_from(dice.below(u64::from(most) * 20)).unwrap_or(0);
        // Half of all links have each kind.
        f64::from(drawn.saturating_sub(most * 10)) / 10.0
    };
    let (loss, duplicate, corrupt, reorder) = (percent(20), percent(30), percent(5), percent(30));
    let delay_ms = u32::try_from(dice.between(0, 60)).unwrap_or(0);
    LinkFaults {
        cut: false,
        delay_ms,
        jitter_ms: delay_ms / 2,
        loss,
        duplicate,
        corrupt,
        reorder,
    }
}

/// Mostly within what replicas tolerate of each other, now and then seconds beyond.
fn clock_step(dice: &mut Dice) -> i64 {
    let most = if dice.chance(250) { 20_000 } else { 500 };
    let step = i64::try_from(dice.between(100, most)).unwrap_or(100);
    if dice.chance(500) { step } else { -step }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_storm_and_every_kind_comes() {
        let storm = draw(1, 5, 600_000, 1_000);
        assert_eq!(storm, draw(1, 5, 600_000, 1_000));
        assert_ne!(storm, draw(2, 5, 600_000, 1_000));
        for kind in 0..Fault::KINDS.len() {
            assert!(storm.iter().any(|episode| episode.fault.kind() == kind));
        }
    }

    #[test]
    fn most_nodes_take_part_at_any_time() {
        let storm = draw(3, 5, 600_000, 300);
        for episode in &storm {
            let at = episode.from_ms;
            let disabled = storm
                .iter()
                .filter(|other| other.from_ms <= at && other.until_ms >= at)
                .filter_map(|other| other.fault.disables());
            assert!(disabled.count() <= DISABLED_MAX);
        }
    }

    #[test]
    fn everything_ends_with_the_storm() {
        let ends = draw(4, 3, 20_000, 200).into_iter();
        assert!(ends.map(|episode| episode.until_ms).max() <= Some(20_000));
    }
}
