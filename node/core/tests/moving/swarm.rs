//! Random runs of the sound replicas.

use quorate_core::Note;

use crate::dice::Dice;
use crate::world::{Weather, World};

pub(crate) fn weather(seed: u64) -> Weather {
    let mut dice = Dice::new(seed ^ 0x7731);
    Weather {
        nodes: 4 + dice.below(3) as u64,
        spares: 0,
        keys: 1 + dice.small(3),
        steps: 300 + dice.below(1200),
        loss: [0, 5, 25, 40][dice.below(4)],
        power: dice.chance(40),
        crashes: dice.chance(75),
        strict: dice.chance(60),
        slow: dice.chance(60),
        moves: dice.chance(97),
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let from = number("QUORATE_MOVING_FROM").unwrap_or(0);
    from..from + number("QUORATE_MOVING_SEEDS").unwrap_or(150)
}

#[test]
fn nothing_is_lost_stale_or_stuck_whatever_moves() {
    let (mut answered, mut acknowledged) = (0, 0);
    let mut notes = std::collections::BTreeMap::<Note, u64>::new();
    let mut wrong = Vec::new();
    for seed in seeds() {
        let mut world = World::new(seed, weather(seed), None);
        world.run();
        if let Err(error) = world.end() {
            eprintln!("seed {seed}: {error}");
            wrong.push(seed);
        }
        answered += world.answered;
        acknowledged += world.history.acknowledged();
        for (&note, &count) in &world.notes {
            *notes.entry(note).or_default() += count;
        }
    }
    eprintln!("{answered} answers, {acknowledged} acknowledged writes, {notes:?}");
    assert!(wrong.is_empty(), "seeds {wrong:?}");
    let wanted = [
        Note::Fenced,
        Note::ShippedAnew,
        Note::Joined,
        Note::Departing,
        Note::Departed,
        Note::Regained,
        Note::HintDelivered,
    ];
    for note in wanted {
        assert!(notes.contains_key(&note), "{note:?} never happened");
    }
}
