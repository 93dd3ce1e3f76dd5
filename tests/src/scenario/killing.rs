//! A07: processes that die at each step of a transfer.

use quorate_protocol::client::Moves;

use super::Scenario;
use super::failure::Failure;
use super::moving::{N6, keys_at, replace, write_each};
use super::stage::{Stage, Weather};
use super::walk::{P1, Walk};
use crate::sim::snipers::{KINDS, Shot, Who};

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "a07",
    sentence: "Sender, receiver or another node is killed at every step of a transfer: it resumes where it was, there are never fewer than three copies, and none goes before its successors are complete.",
    weather: Weather::Stormy,
    stage: Stage::with_spares(1),
    walk: a07,
}];

/// Changes of the ring in one walk, and deaths in each.
const CHANGES: usize = 4;
const DEATHS: usize = 5;
/// Who dies starts again after this time, microseconds.
const DOWN_US: u64 = 150_000;
/// Values that rest, and keys that are written meanwhile.
const RESTING: u32 = 12;
const LOADED: u32 = 4;

/// All deaths there are: at each kind of message that carries a move, on each side, before it is taken and after.
fn deaths() -> Vec<Shot> {
    let sides = [Who::Receiver, Who::Sender, Who::Bystander];
    let moments = sides
        .into_iter()
        .flat_map(|who| [true, false].map(|before| (who, before)));
    moments
        .flat_map(|(who, before)| {
            KINDS.map(|kind| Shot {
                kind,
                who,
                before,
                pass: 0,
                down_us: DOWN_US,
            })
        })
        .collect()
}

fn a07(walk: &mut Walk<'_>) -> Result<(), Failure> {
    walk.guard(RESTING)?;
    walk.begin_load(LOADED);
    let deaths = deaths();
    let first = usize::try_from(walk.world.config.seed).unwrap_or(0) * CHANGES * DEATHS;
    let (mut here, mut there, mut fired) = (walk.place(P1), N6, 0);
    for change in 0..CHANGES {
        let armed = (0..DEATHS).map(|death| {
            let at = (first + change * DEATHS + death) % deaths.len();
            Shot {
                pass: walk.chance_below(4),
                ..deaths[at]
            }
        });
        let armed: Vec<Shot> = armed.collect();
        walk.say(format!("who dies: {armed:?}"));
        let replaces = replace(walk, here, there);
        walk.stage(&[replaces])?;
        walk.world.aim(armed);
        walk.commit(quorate_protocol::client::Commit::default())?;
        // A message that does not come in this change is no occasion: the next death is due.
        while walk.has_moved().is_err() && walk.world.shots_left() > 0 {
            let left = walk.world.shots_left();
            walk.pass(700);
            walk.check_load()?;
            walk.check_guard()?;
            if walk.world.shots_left() == left {
                walk.world.skip_shot();
            } else {
                fired += left - walk.world.shots_left();
            }
        }
        walk.world.aim(Vec::new());
        walk.moved()?;
        (here, there) = (there, here);
    }
    walk.say(format!(
        "{fired} processes died at messages that carried a move"
    ));
    walk.end_load()?;
    walk.end_guard()?;
    resumes(walk, here, there)
}

/// What a newcomer has taken in before it is killed is there when it starts, and it goes on from there.
fn resumes(walk: &mut Walk<'_>, here: usize, there: usize) -> Result<(), Failure> {
    walk.at_rest()?;
    let keys = keys_at(walk, here, 60);
    write_each(walk, &keys, "to be copied", &[])?;
    walk.at_rest()?;
    let slow = Moves {
        bytes_per_s: Some(3_000),
        ..Moves::default()
    };
    walk.moves_everywhere(slow)?;
    let replaces = replace(walk, here, there);
    walk.begin(&[replaces])?;
    let count = |walk: &Walk<'_>| {
        keys.iter()
            .filter(|&&key| walk.has_object(there, key))
            .count()
    };
    walk.until("a part has been copied", 30_000, |walk| {
        let copied = count(walk);
        (copied > 5)
            .then_some(())
            .ok_or_else(|| format!("{copied} are there"))
    })?;
    let before = count(walk);
    walk.kill_at(there);
    walk.pass(200);
    walk.start_at(there);
    walk.pass(10);
    let after = count(walk);
    walk.expect(
        "values at the newcomer after its restart",
        before,
        after,
        after >= before,
    )?;
    let fast = Moves {
        bytes_per_s: Some(0),
        ..Moves::default()
    };
    walk.pass(1_000);
    walk.moves_everywhere(fast)?;
    walk.at_rest()?;
    walk.equal("values at the newcomer in the end", keys.len(), count(walk))
}
