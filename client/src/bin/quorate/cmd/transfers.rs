//! Copies on their way, for `quorate handoff`.

use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};
use quorate_client::{ClusterMap, MovesReport, RingProgress, Transfer};
use serde_json::{Value, json};

use crate::connect::name_of;
use crate::outcome::Done;
use crate::output::{Out, table};

/// What all nodes say.
pub(crate) fn show(map: &ClusterMap, reports: &[&MovesReport], out: &mut Out) -> Done {
    show_transfers(map, reports, out)?;
    show_pace(map, reports, out)?;
    match newest(reports.iter().copied()) {
        Some(ring) => show_ring(map, ring, reports, out),
        None => out.line("no node that knows how far the ring's change has come answers"),
    }
}

fn show_transfers(map: &ClusterMap, reports: &[&MovesReport], out: &mut Out) -> Done {
    let mut rows = table(&[
        "TO",
        "PARTITION",
        "FROM",
        "HERE",
        "OF",
        "RATE",
        "LEFT",
        "TRANSFER",
    ]);
    let mut more = 0;
    for report in reports {
        more += report.more;
        for transfer in &report.transfers {
            rows.add_row([
                name_of(map, report.node),
                transfer.class.to_string(),
                transfer
                    .from
                    .map_or_else(|| "-".to_owned(), |node| name_of(map, node)),
                HumanBytes(transfer.here.bytes).to_string(),
                HumanBytes(transfer.there.bytes).to_string(),
                rate(transfer)
                    .map_or_else(|| "-".to_owned(), |rate| format!("{}/s", HumanBytes(rate))),
                left(transfer)
                    .map_or_else(|| "-".to_owned(), |left| HumanDuration(left).to_string()),
                match transfer.from {
                    Some(_) => transfer.id.to_string(),
                    None => "-".to_owned(),
                },
            ]);
        }
    }
    if rows.is_empty() {
        return out.line("no copies travel");
    }
    out.table(&rows)?;
    if more > 0 {
        out.line(format_args!("and {more} more"))?;
    }
    Ok(())
}

/// Bytes a second.
fn rate(transfer: &Transfer) -> Option<u64> {
    (transfer.for_ms > 0 && transfer.received > 0)
        .then(|| transfer.received.saturating_mul(1000) / transfer.for_ms)
}

/// About how long it still takes, at that rate.
fn left(transfer: &Transfer) -> Option<Duration> {
    let rate = rate(transfer).filter(|rate| *rate > 0)?;
    let bytes = transfer.there.bytes.saturating_sub(transfer.here.bytes);
    Some(Duration::from_secs(bytes / rate))
}

/// Only what is out of the ordinary.
fn show_pace(map: &ClusterMap, reports: &[&MovesReport], out: &mut Out) -> Done {
    for report in reports {
        let (name, pace) = (name_of(map, report.node), &report.pace);
        if pace.paused {
            out.line(format_args!("{name} fills no new places until resumed"))?;
        }
        if pace.now < pace.most {
            let micros = Duration::from_micros;
            out.line(format_args!(
                "{name} has slowed down to {}/s of {}/s: one request of twenty takes more than {:.1?}, {:.1?} is the bound",
                HumanBytes(pace.now),
                HumanBytes(pace.most),
                micros(pace.latency_us),
                micros(pace.bound_us),
            ))?;
        }
    }
    Ok(())
}

fn show_ring(
    map: &ClusterMap,
    ring: &RingProgress,
    reports: &[&MovesReport],
    out: &mut Out,
) -> Done {
    if ring.is_over() {
        return out.line(format_args!(
            "all {} partitions stand where the ring wants them (map version {})",
            ring.classes, ring.version
        ));
    }
    let left = ring.behind + ring.reading_old + ring.reading_new;
    out.line(format_args!(
        "{left} of {} partitions move: {} wait, {} are being copied, {} are read at their new places already (map version {})",
        ring.classes, ring.behind, ring.reading_old, ring.reading_new, ring.version
    ))?;
    for node in &ring.nodes {
        let mut parts = Vec::new();
        let mut say = |count: u32, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        say(node.filling, "to receive");
        say(node.departing, "to give up");
        say(node.awaited, "wait for it to take up their placement");
        if node.goes {
            parts.push("leaves the cluster".to_owned());
        }
        let name = name_of(map, node.node);
        out.line(format_args!("  {name}: {}", parts.join(", ")))?;
    }
    match left_in_all(reports) {
        Some(left) => out.line(format_args!(
            "about {} left for what travels now",
            HumanDuration(left)
        )),
        None => Ok(()),
    }
}

/// The longest of what nodes have left to receive by what each receives at.
fn left_in_all(reports: &[&MovesReport]) -> Option<Duration> {
    let of_node = |report: &&MovesReport| {
        let moving: Vec<&Transfer> = report.transfers.iter().collect();
        let rate: u64 = moving.iter().filter_map(|one| rate(one)).sum();
        let bytes = moving
            .iter()
            .map(|one| one.there.bytes.saturating_sub(one.here.bytes));
        (rate > 0).then(|| Duration::from_secs(bytes.sum::<u64>() / rate))
    };
    reports.iter().filter_map(of_node).max()
}

/// The progress of the node that knows the newest version.
fn newest<'r>(reports: impl Iterator<Item = &'r MovesReport>) -> Option<&'r RingProgress> {
    reports
        .filter_map(|report| report.ring.as_ref())
        .max_by_key(|ring| (ring.version, !ring.is_over()))
}

/// One node's report, with stable names.
pub(crate) fn as_json(map: &ClusterMap, node: &str, report: &MovesReport) -> Value {
    let transfers: Vec<_> = report
        .transfers
        .iter()
        .map(|transfer| {
            json!({
                "transfer": transfer.id.to_string(), "n": transfer.class.n,
                "partition": transfer.class.partition.get(), "from": transfer.from.map(|node| name_of(map, node)),
                "keys_here": transfer.here.keys, "bytes_here": transfer.here.bytes,
                "keys_there": transfer.there.keys, "bytes_there": transfer.there.bytes,
                "bytes_received": transfer.received, "for_ms": transfer.for_ms,
                "bytes_per_s": rate(transfer), "seconds_left": left(transfer).map(|left| left.as_secs()),
                "newcomer": transfer.newcomer,
            })
        })
        .collect();
    let pace = &report.pace;
    json!({
        "node": node, "transfers": transfers, "more": report.more,
        "pace": {
            "paused": pace.paused, "bytes_per_s_most": pace.most, "bytes_per_s_now": pace.now,
            "latency_us": pace.latency_us, "latency_us_bound": pace.bound_us,
        },
    })
}

/// How far the ring's change has come, with stable names.
pub(crate) fn ring_json<'r>(
    map: &ClusterMap,
    reports: impl Iterator<Item = &'r MovesReport>,
) -> Value {
    let Some(ring) = newest(reports) else {
        return Value::Null;
    };
    let nodes: Vec<_> = ring
        .nodes
        .iter()
        .map(|node| {
            json!({
                "node": name_of(map, node.node), "to_receive": node.filling, "to_give_up": node.departing,
                "awaited": node.awaited, "leaves": node.goes,
            })
        })
        .collect();
    json!({
        "version": ring.version.get(), "over": ring.is_over(), "partitions": ring.classes, "waiting": ring.behind,
        "read_old": ring.reading_old, "read_new": ring.reading_new, "nodes": nodes,
        "can_be_cancelled": ring.can_be_cancelled,
    })
}
