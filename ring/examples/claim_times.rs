//! Prints how long claims of large rings take, and what they move.
//!
//! `cargo run -p quorate-ring --example claim_times [MEMBERS [PARTITIONS [COPIES]]]`: 1,000 members,
//! 16,384 partitions and 3 copies unless said otherwise. Each time is the best of three.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use quorate_ring::{Change, NodeId, PartitionCount, Placed, Plan, Ring, Weight, Zone};

/// What is measured: how members stand and what they weigh.
struct Layout {
    name: &'static str,
    zone_of: fn(u64) -> String,
    weight_of: fn(u64) -> u16,
}

const LAYOUTS: [Layout; 6] = [
    Layout {
        name: "no zones",
        zone_of: |_| String::new(),
        weight_of: |_| 100,
    },
    Layout {
        name: "no zones, weights 1 to 1000",
        zone_of: |_| String::new(),
        weight_of: mixed_weight,
    },
    Layout {
        name: "2 zones of 10 racks",
        zone_of: |id| format!("z{}/r{}", id % 2, id / 2 % 10),
        weight_of: |_| 100,
    },
    Layout {
        name: "3 zones",
        zone_of: |id| format!("z{}", id % 3),
        weight_of: |_| 100,
    },
    Layout {
        name: "4 zones, weights 1 to 1000",
        zone_of: |id| format!("z{}", id % 4),
        weight_of: mixed_weight,
    },
    Layout {
        name: "200 zones, weights 100 to 300",
        zone_of: |id| format!("z{}", id % 200),
        weight_of: |id| [100, 200, 300][usize::from(id.to_be_bytes()[7]) % 3],
    },
];

fn mixed_weight(id: u64) -> u16 {
    // A multiplicative hash; any other spread of weights would do.
    let [high, low, ..] = id.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    1 + u16::from_be_bytes([high, low]) % 1000
}

fn main() -> ExitCode {
    match numbers().and_then(|(members, partitions, copies)| run(members, partitions, copies)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn numbers() -> Result<(u64, u32, u8), String> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: u32| match arguments.next() {
        Some(text) => text
            .parse::<u32>()
            .map_err(|error| format!("'{text}' is no number: {error}")),
        None => Ok(default),
    };
    let (members, partitions, copies) = (next(1000)?, next(16_384)?, next(3)?);
    let copies = u8::try_from(copies).map_err(|error| format!("{copies} copies: {error}"))?;
    Ok((u64::from(members), partitions, copies))
}

fn run(count: u64, partitions: u32, copies: u8) -> Result<(), String> {
    let partitions = PartitionCount::new(partitions).map_err(|error| error.to_string())?;
    println!("{count} members, {partitions} partitions, {copies} copies");
    for layout in LAYOUTS {
        println!("{}", layout.name);
        let members = (1..=count)
            .map(|id| layout.member(id))
            .collect::<Result<Vec<_>, _>>()?;
        let first = || Ring::first(partitions, copies, &members);
        let (ring, time) = best_of_three(first).map_err(|error| error.to_string())?;
        println!("  from nothing                    {time:>10.1?}");
        for (name, changes) in changes(&layout, count)? {
            let stage = || ring.stage(&members, &changes, &[], &[]);
            let (staged, time) = best_of_three(stage).map_err(|error| error.to_string())?;
            let plan = Plan::new(&ring, &staged.ring, &[copies], &[]);
            let moved = plan.map_err(|error| error.to_string())?.copies_moved();
            println!("  {name:<30}  {time:>10.1?}  {moved:>6} copies move");
        }
    }
    Ok(())
}

type NamedChanges = (&'static str, Vec<Change>);

fn changes(layout: &Layout, count: u64) -> Result<Vec<NamedChanges>, String> {
    let tenth = count.div_ceil(10);
    let weigh = |weight| Weight::new(weight).map_err(|error| error.to_string());
    let (half, twice) = (weigh(50)?, weigh(200)?);
    let replace = |id| {
        let by = Placed {
            id: NodeId::new(count + id),
            ..layout.member(id)?
        };
        let node = NodeId::new(id);
        Ok::<_, String>(Change::Replace { node, by })
    };
    let replaced = (1..=tenth).map(replace).collect::<Result<Vec<_>, _>>()?;
    let joined = (count + 1..=count + tenth)
        .map(|id| layout.member(id).map(Change::Join))
        .collect::<Result<Vec<_>, _>>()?;
    let left = (1..=tenth).map(|id| Change::Leave(NodeId::new(id)));
    let weighed = (1..=tenth).map(|id| Change::Weight {
        node: NodeId::new(id),
        weight: if id % 2 == 0 { half } else { twice },
    });
    Ok(vec![
        ("one joins", joined[..1].to_vec()),
        ("one leaves", vec![Change::Leave(NodeId::new(count))]),
        ("one is replaced", replaced[..1].to_vec()),
        ("a tenth joins", joined),
        ("a tenth leaves", left.collect()),
        ("a tenth is replaced", replaced),
        ("a tenth weighs half or twice", weighed.collect()),
    ])
}

impl Layout {
    fn member(&self, id: u64) -> Result<Placed, String> {
        let zone = (self.zone_of)(id).parse::<Zone>();
        Ok(Placed {
            id: NodeId::new(id),
            zone: zone.map_err(|error| error.to_string())?,
            weight: Weight::new((self.weight_of)(id)).map_err(|error| error.to_string())?,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the example measures; the crate has no clock"
)]
fn best_of_three<T, E>(make: impl Fn() -> Result<T, E>) -> Result<(T, Duration), E> {
    let timed = || {
        let start = Instant::now();
        make().map(|made| (made, start.elapsed()))
    };
    let (made, first) = timed()?;
    let best = first.min(timed()?.1).min(timed()?.1);
    Ok((made, best))
}
