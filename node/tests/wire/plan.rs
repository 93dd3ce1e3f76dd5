//! What a seed decides.

use std::time::Duration;

use quorate_ring::NodeId;

use super::cluster::Shape;
use super::dice::Dice;
use super::ether::Weather;

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Its packets reach no other node, or theirs do not reach it, or both.
    Cut { mute: bool, deaf: bool },
    /// It is stopped in order.
    Stop,
    /// It is killed, with the power: of what was not synced so many batches survive.
    Kill { keep: usize },
}

/// A mishap with its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Episode {
    pub(crate) pause: Duration,
    pub(crate) node: NodeId,
    pub(crate) mishap: Mishap,
    pub(crate) lasts: Duration,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) shape: Shape,
    pub(crate) weather: Weather,
    pub(crate) clients: u64,
    pub(crate) operations: u64,
    pub(crate) keys: u64,
    /// Largest value written, bytes.
    pub(crate) value_bytes_max: u64,
    pub(crate) episodes: Vec<Episode>,
}

impl Plan {
    /// What follows from a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 2);
        let shape = Shape {
            seed,
            nodes: dice.between(3, 5),
            shards: dice.pick(&[1, 1, 2]),
            discover_mtu: dice.pick(&[1200, 1452, 6500]),
        };
        let weather = Weather {
            loss: dice.pick(&[0, 5, 20, 60]),
            double: dice.pick(&[0, 10, 50]),
            delay_ms: dice.between(1, 4),
            jitter_ms: dice.pick(&[0, 2, 20]),
        };
        // Each kind befalls some node once, in an order that differs.
        let mut mishaps = vec![
            Mishap::Stop,
            Mishap::Kill {
                keep: usize::try_from(dice.below(20)).unwrap(),
            },
            dice.pick(&[
                Mishap::Cut {
                    mute: true,
                    deaf: true,
                },
                Mishap::Cut {
                    mute: true,
                    deaf: false,
                },
                Mishap::Cut {
                    mute: false,
                    deaf: true,
                },
            ]),
        ];
        let mut episodes = Vec::new();
        while !mishaps.is_empty() {
            let at = usize::try_from(dice.below(mishaps.len() as u64)).unwrap();
            episodes.push(Episode {
                pause: dice.ms(1000, 4000),
                node: NodeId::new(dice.between(1, shape.nodes)),
                mishap: mishaps.swap_remove(at),
                lasts: dice.ms(500, 6000),
            });
        }
        Self {
            seed,
            shape,
            weather,
            clients: dice.between(2, 3),
            operations: 30,
            keys: dice.pick(&[4, 8]),
            value_bytes_max: dice.pick(&[100, 70_000, 70_000, 300_000]),
            episodes,
        }
    }
}
