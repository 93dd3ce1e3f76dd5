//! What happens to packets: pure state, asked once for each packet.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::route::{Label, Pair};

/// A packet held back by reordering waits so long at most: others overtake it, and time-outs of a
/// second and more are not reached.
const REORDER_MS_MAX: u64 = 20;

/// The faults of one direction. All chances are percentages, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkFaults {
    /// Nothing passes.
    pub cut: bool,
    /// Every packet is late by so much, milliseconds.
    pub delay_ms: u32,
    /// And by a part of this, drawn for each packet; packets may overtake each other by it.
    pub jitter_ms: u32,
    /// Chance that a packet is lost.
    pub loss: f64,
    /// Chance that it comes twice.
    pub duplicate: f64,
    /// Chance that one of its bytes is changed.
    pub corrupt: f64,
    /// Chance that it is held back for some milliseconds.
    pub reorder: f64,
}

/// What happened to the packets of one direction since the relay started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets that came in.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dropped by a cut.
    pub cut: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Damaged.
    pub corrupted: u64,
    /// Held back by reordering.
    pub reordered: u64,
    /// Dropped because too many were waiting, or the system did not take them.
    pub overflowed: u64,
}

/// One packet to send: how late, and which byte to damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) delay: Duration,
    pub(super) damage: Option<usize>,
}

/// The faults of all directions and the randomness behind them.
#[derive(Debug)]
pub(super) struct Faults {
    links: BTreeMap<Pair, (LinkFaults, LinkStats)>,
    random: ChaCha8Rng,
}

impl Faults {
    /// Knows both directions of the given pairs.
    pub(super) fn new(seed: u64, pairs: impl Iterator<Item = Pair>) -> Self {
        let both = pairs.flat_map(|pair| [pair, pair.back()]);
        let links = both.map(|pair| (pair, Default::default())).collect();
        Self {
            links,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(super) fn knows(&self, label: Label) -> bool {
        self.links.keys().any(|pair| pair.from == label)
    }

    pub(super) fn change(&mut self, pair: Pair, change: impl FnOnce(&mut LinkFaults)) {
        change(&mut self.links.entry(pair).or_default().0);
    }

    pub(super) fn pairs(&self) -> Vec<Pair> {
        self.links.keys().copied().collect()
    }

    pub(super) fn heal(&mut self) {
        for (faults, _) in self.links.values_mut() {
            *faults = LinkFaults::default();
        }
    }

    pub(super) fn stats(&self) -> BTreeMap<Pair, LinkStats> {
        self.links
            .iter()
            .map(|(pair, (_, stats))| (*pair, *stats))
            .collect()
    }

    pub(super) fn faults(&self, pair: Pair) -> LinkFaults {
        self.links
            .get(&pair)
            .map_or_else(LinkFaults::default, |(faults, _)| *faults)
    }

    pub(super) fn overflowed(&mut self, pair: Pair) {
        self.links.entry(pair).or_default().1.overflowed += 1;
    }

    /// What becomes of a packet of `bytes` bytes: nothing, one copy or two.
    pub(super) fn decide(&mut self, pair: Pair, bytes: usize) -> Vec<Copy> {
        let (faults, stats) = self.links.entry(pair).or_default();
        stats.packets += 1;
        stats.bytes += bytes as u64;
        if faults.cut {
            stats.cut += 1;
            return Vec::new();
        }
        let random = &mut self.random;
        if chance(random, faults.loss) {
            stats.lost += 1;
            return Vec::new();
        }
        let twice = chance(random, faults.duplicate);
        stats.duplicated += u64::from(twice);
        (0..=usize::from(twice))
            .map(|_| copy(random, faults, stats, bytes))
            .collect()
    }
}

fn copy(random: &mut ChaCha8Rng, faults: &LinkFaults, stats: &mut LinkStats, bytes: usize) -> Copy {
    let mut delay_ms = u64::from(faults.delay_ms) + below(random, u64::from(faults.jitter_ms) + 1);
    if chance(random, faults.reorder) {
        stats.reordered += 1;
        delay_ms += 1 + below(random, REORDER_MS_MAX);
    }
    let damaged = bytes > 0 && chance(random, faults.corrupt);
    stats.corrupted += u64::from(damaged);
    let damage = damaged.then(|| usize::try_from(below(random, bytes as u64)).unwrap_or(0));
    Copy {
        delay: Duration::from_millis(delay_ms),
        damage,
    }
}

/// True with a chance in percent. Draws nothing for 0, so that links without faults cost nothing.
fn chance(random: &mut ChaCha8Rng, percent: f64) -> bool {
    percent > 0.0 && f64::from(random.next_u32()) / f64::from(u32::MAX) * 100.0 < percent
}

/// A number from 0 up to and without `bound`; the bias of the remainder is of no matter here.
fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    if bound <= 1 {
        0
    } else {
        random.next_u64() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Pair = Pair::new(Label(1), Label(2));

    fn faults() -> Faults {
        Faults::new(7, [PAIR].into_iter())
    }

    #[test]
    fn without_faults_every_packet_passes_once_unchanged_and_at_once() {
        let mut faults = faults();
        for _ in 0..100 {
            assert_eq!(
                faults.decide(PAIR, 10),
                [Copy {
                    delay: Duration::ZERO,
                    damage: None
                }]
            );
        }
        assert_eq!(
            faults.stats()[&PAIR],
            LinkStats {
                packets: 100,
                bytes: 1000,
                ..LinkStats::default()
            }
        );
    }

    #[test]
    fn a_cut_stops_one_direction_only_and_healing_ends_it() {
        let mut faults = faults();
        faults.change(PAIR, |link| link.cut = true);
        assert!(faults.decide(PAIR, 10).is_empty());
        assert_eq!(faults.decide(PAIR.back(), 10).len(), 1);
        faults.heal();
        assert_eq!(faults.decide(PAIR, 10).len(), 1);
    }

    #[test]
    fn chances_are_met_roughly_and_repeat_with_the_seed() {
        let run = || {
            let mut faults = faults();
            faults.change(PAIR, |link| {
                *link = LinkFaults {
                    loss: 20.0,
                    duplicate: 30.0,
                    corrupt: 10.0,
                    reorder: 50.0,
                    ..*link
                };
            });
            let copies: Vec<_> = (0..10_000).map(|_| faults.decide(PAIR, 100)).collect();
            (copies, faults.stats()[&PAIR])
        };
        let (copies, stats) = run();
        assert!((1800..2200).contains(&stats.lost), "{stats:?}");
        assert!((2150..2650).contains(&stats.duplicated), "{stats:?}");
        assert!((900..1200).contains(&stats.corrupted), "{stats:?}");
        assert!((4900..5500).contains(&stats.reordered), "{stats:?}");
        assert_eq!((copies, stats), run());
    }

    #[test]
    fn delays_stay_within_their_bounds() {
        let mut faults = faults();
        faults.change(PAIR, |link| (link.delay_ms, link.jitter_ms) = (20, 5));
        let delays: Vec<_> = (0..1000).map(|_| faults.decide(PAIR, 1)[0].delay).collect();
        assert_eq!(delays.iter().min(), Some(&Duration::from_millis(20)));
        assert_eq!(delays.iter().max(), Some(&Duration::from_millis(25)));
    }
}
