//! A12: a thousand nodes. No cluster of that size runs here: what a plan moves, and how even it leaves the ring, is a value.

use quorate_ring::{Change, NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use super::Scenario;
use super::failure::Failure;
use super::stage::{Stage, Weather};
use super::walk::Walk;

pub(super) const ALL: &[Scenario] = &[Scenario {
    name: "a12",
    sentence: "1,000 nodes and 16,384 partitions: a hundred are replaced, ten join, ten leave; every change moves the least there is and leaves nobody more than one copy above another.",
    weather: Weather::Calm,
    stage: Stage::FIVE,
    walk: a12,
}];

const NODES: u64 = 1_000;
const PARTITIONS: u32 = 16_384;
const AT_A_TIME: u64 = 20;

fn placed(id: u64) -> Placed {
    Placed {
        id: NodeId::new(id),
        zone: Zone::default(),
        weight: Weight::default(),
    }
}

fn wrong(what: &str) -> Failure {
    Failure::Unlike {
        what: what.to_owned(),
        should: "possible".to_owned(),
        is: "refused".to_owned(),
    }
}

fn a12(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut members: Vec<Placed> = (1..=NODES).map(placed).collect();
    let partitions = PartitionCount::new(PARTITIONS).map_err(|_| wrong("so many partitions"))?;
    let mut ring = Ring::first(partitions, 3, &members).map_err(|_| wrong("a ring"))?;
    for step in 0..5 {
        let gone = step * AT_A_TIME + 1..=(step + 1) * AT_A_TIME;
        let changes = gone.map(|id| Change::Replace {
            node: NodeId::new(id),
            by: placed(NODES + id),
        });
        (ring, members) = change(walk, &ring, &members, changes.collect())?;
    }
    let join = (5_001..=5_010).map(|id| Change::Join(placed(id)));
    (ring, members) = change(walk, &ring, &members, join.collect())?;
    let leave = (201..=210).map(|id| Change::Leave(NodeId::new(id)));
    change(walk, &ring, &members, leave.collect()).map(|_| ())
}

/// Who goes gives up all that it holds; who comes gets its share, rounded down at least. No plan moves less than the greater
/// of the two.
fn change(
    walk: &mut Walk<'_>,
    ring: &Ring,
    members: &[Placed],
    changes: Vec<Change>,
) -> Result<(Ring, Vec<Placed>), Failure> {
    let staged = ring
        .stage(members, &changes, &[3], &[])
        .map_err(|_| wrong("the changes"))?;
    let stays = |id: NodeId| staged.members.iter().any(|placed| placed.id == id);
    let was = |id: NodeId| members.iter().any(|placed| placed.id == id);
    let load = |ring: &Ring, id: NodeId| u64::from(ring.load_of(id));
    let given_up: u64 = members
        .iter()
        .filter(|placed| !stays(placed.id))
        .map(|placed| load(ring, placed.id))
        .sum();
    let share = 3 * u64::from(PARTITIONS) / staged.members.len() as u64;
    let come = staged
        .members
        .iter()
        .filter(|placed| !was(placed.id))
        .count() as u64;
    let least = given_up.max(share * come);
    let moved = staged.plan.copies_moved();
    let loads = staged
        .members
        .iter()
        .map(|placed| load(&staged.ring, placed.id));
    let (low, high) = (loads.clone().min(), loads.max());
    walk.say(format!(
        "{} changes: {moved} copies move, {least} at least must; a node holds {low:?} to {high:?} then",
        changes.len()
    ));
    walk.expect("copies that move", least, moved, moved == least)?;
    let even = low.zip(high).is_some_and(|(low, high)| high - low <= 1);
    walk.expect(
        "the least and the most that a node holds",
        "one apart",
        (low, high),
        even,
    )?;
    Ok((staged.ring, staged.members))
}
