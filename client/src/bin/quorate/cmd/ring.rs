//! `quorate ring`: how partitions are spread over nodes.

use clap::Args;
use quorate_client::ClusterMap;
use quorate_ring::{Class, PartitionId};
use serde_json::json;

use crate::connect::{Connect, name_of};
use crate::outcome::Done;
use crate::output::{Out, table};

#[derive(Args)]
pub(crate) struct Ring {
    /// Show the list of each partition
    #[arg(long)]
    partitions: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Ring, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let map = client.map();
    client.close().await;
    if out.is_json() {
        return json_of(&map, out);
    }
    let ring = &map.ring;
    out.line(format_args!(
        "cluster {} ({}), ring version {}, {} partitions, up to {} copies",
        map.name,
        map.cluster,
        ring.version(),
        ring.partitions(),
        ring.copies()
    ))?;
    let mut rows = table(&[
        "NODE",
        "ID",
        "PARTITIONS",
        "SHARE",
        "ZONE",
        "WEIGHT",
        "CLIENTS",
    ]);
    let total: u32 = map
        .members
        .iter()
        .map(|member| ring.load_of(member.id))
        .sum();
    for member in &map.members {
        let load = ring.load_of(member.id);
        rows.add_row([
            member.name.clone(),
            member.id.to_string(),
            load.to_string(),
            format!("{:.1} %", 100.0 * f64::from(load) / f64::from(total.max(1))),
            member.zone.to_string(),
            member.weight.to_string(),
            member.client_addresses.join(" "),
        ]);
    }
    out.table(&rows)?;
    for bucket in &map.buckets {
        let short = ring.under_replicated(bucket.props.n).count();
        if short > 0 {
            out.line(format_args!(
                "under-replicated: bucket {} asks for {} copies, {short} partitions have {}",
                bucket.name,
                bucket.props.n,
                ring.members().len()
            ))?;
        }
    }
    if args.partitions {
        partitions(&map, out)
    } else {
        Ok(())
    }
}

fn partitions(map: &ClusterMap, out: &mut Out) -> Done {
    let mut rows = table(&["PARTITION", "NODES"]);
    for partition in map.ring.partitions().partitions() {
        rows.add_row([partition.to_string(), list(map, partition).join(" ")]);
    }
    out.table(&rows)
}

fn list(map: &ClusterMap, partition: PartitionId) -> Vec<String> {
    let class = Class {
        n: map.ring.copies(),
        partition,
    };
    map.ring
        .primaries(class)
        .iter()
        .map(|&node| name_of(map, node))
        .collect()
}

fn json_of(map: &ClusterMap, out: &mut Out) -> Done {
    let ring = &map.ring;
    let nodes: Vec<_> = map
        .members
        .iter()
        .map(|member| {
            json!({
                "node": member.name, "id": member.id.to_string(), "partitions": ring.load_of(member.id),
                "zone": member.zone.as_str(), "weight": member.weight.get(),
                "peer_addresses": member.peer_addresses, "client_addresses": member.client_addresses,
            })
        })
        .collect();
    let under_replicated: Vec<_> = map
        .buckets
        .iter()
        .map(|bucket| (bucket, ring.under_replicated(bucket.props.n).count()))
        .filter(|(_, partitions)| *partitions > 0)
        .map(|(bucket, partitions)| json!({ "bucket": bucket.name, "n": bucket.props.n, "partitions": partitions }))
        .collect();
    out.json(&json!({
        "cluster": map.cluster.to_string(), "name": map.name, "ring_version": ring.version().get(),
        "copies": ring.copies(), "nodes": nodes, "under_replicated": under_replicated,
        "partitions": ring.partitions().partitions().map(|partition| list(map, partition)).collect::<Vec<_>>(),
    }))
}
