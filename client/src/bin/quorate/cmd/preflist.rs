//! `quorate preflist`: who holds a key, and who stands in.

use clap::Args;
use quorate_client::Member;
use quorate_ring::{Class, Role};
use serde_json::json;

use crate::connect::Connect;
use crate::options::Place;
use crate::outcome::Done;
use crate::output::{Out, table};

#[derive(Args)]
pub(crate) struct Preflist {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Preflist, out: &mut Out) -> Done {
    let key = args.place.key()?;
    let client = args.connect.client().await?;
    let bucket = client.bucket(&args.place.bucket).definition().await?;
    let map = client.map();
    let class = Class {
        n: bucket.props.n,
        partition: map.ring.partition_of(bucket.id, &key),
    };
    let list = map.ring.preference_list(class);
    let rows: Vec<(&Member, &str, usize)> = list
        .iter()
        .filter_map(|(node, role)| {
            let (role, place) = match role {
                Role::Primary(place) => ("primary", place + 1),
                Role::Fallback(place) => ("fallback", place + 1),
            };
            Some((map.member(node)?, role, place))
        })
        .collect();
    client.close().await;
    if out.is_json() {
        let nodes: Vec<_> = rows
            .iter()
            .map(|(member, role, place)| {
                json!({
                    "node": member.name, "id": member.id.to_string(), "role": role, "place": place,
                    "zone": member.zone.as_str(), "client_addresses": member.client_addresses,
                })
            })
            .collect();
        return out.json(&json!({
            "bucket": bucket.name, "partition": class.partition.get(), "n": class.n,
            "ring_version": map.ring.version().get(), "nodes": nodes,
        }));
    }
    out.line(format_args!(
        "partition {} of {}, n={}",
        class.partition,
        map.ring.partitions(),
        class.n
    ))?;
    let mut shown = table(&["NODE", "ROLE", "ID", "ZONE", "CLIENTS"]);
    for (member, role, place) in rows {
        shown.add_row([
            member.name.clone(),
            format!("{role} {place}"),
            member.id.to_string(),
            member.zone.to_string(),
            member.client_addresses.join(" "),
        ]);
    }
    out.table(&shown)
}
