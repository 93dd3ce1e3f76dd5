//! Values, contexts and the parts of replicas, for people and for programs.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_client::{ClusterMap, ReplicaReport, ReplyInfo, Role, Value};
use serde_json::{Value as Json, json};

use crate::connect::name_of;
use crate::outcome::Done;
use crate::output::{Out, table};

/// A value with everything known of it. Its bytes stand under `text` if they are UTF-8, otherwise
/// under `base64`.
pub(crate) fn value_json(value: &Value) -> Json {
    let mut shown = json!({
        "dot": value.dot.to_string(),
        "size": value.size,
        "content_type": value.content_type,
        "modified_ms": ms(value.modified),
        "expires_ms": value.expires.map(ms),
        "meta": value.meta.iter().map(|(name, data)| (name.clone(), bytes_json(data))).collect::<serde_json::Map<_, _>>(),
    });
    match std::str::from_utf8(&value.data) {
        Ok(text) => shown["text"] = text.into(),
        Err(_) => shown["base64"] = STANDARD.encode(&value.data).into(),
    }
    shown
}

/// Bytes as text if they are UTF-8, otherwise as an object with `base64`.
pub(crate) fn bytes_json(bytes: &[u8]) -> Json {
    std::str::from_utf8(bytes)
        .map_or_else(|_| json!({ "base64": STANDARD.encode(bytes) }), Json::from)
}

/// Milliseconds since 1970.
fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How a reply came about.
pub(crate) fn info_json(map: &ClusterMap, info: &ReplyInfo) -> Json {
    let names = |nodes: &[quorate_client::NodeId]| {
        nodes
            .iter()
            .map(|&node| name_of(map, node))
            .collect::<Vec<_>>()
    };
    json!({
        "coordinator": info.coordinator.map(|node| name_of(map, node)),
        "answered": info.answered,
        "primaries": info.primaries,
        "fallbacks": info.fallbacks,
        "durable": info.durable,
        "catching_up": info.catching_up,
        "partition": info.class.map(|class| class.partition.get()),
        "preference": names(&info.preference),
        "replicas": info.replicas.iter().map(|replica| replica_json(map, replica)).collect::<Vec<_>>(),
        "reason": info.reason,
        "warnings": info.warnings,
    })
}

fn replica_json(map: &ClusterMap, replica: &ReplicaReport) -> Json {
    json!({
        "node": name_of(map, replica.node),
        "role": role(replica.role),
        "stands_for": replica.stands_for.map(|node| name_of(map, node)),
        "answer": replica.answer,
        "counted": replica.counted,
        "catching_up": replica.catching_up,
        "dots": replica.dots.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "latency_us": replica.latency_us,
    })
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Fallback => "fallback",
    }
}

/// What `--explain` shows to people: the preference list, each replica's part, the reason.
pub(crate) fn explain(map: &ClusterMap, info: &ReplyInfo, out: &mut Out) -> Done {
    let names: Vec<String> = info
        .preference
        .iter()
        .map(|&node| name_of(map, node))
        .collect();
    out.line(format_args!("preference list  {}", names.join(" ")))?;
    if let Some(node) = info.coordinator {
        out.line(format_args!("coordinator      {}", name_of(map, node)))?;
    }
    out.line(format_args!(
        "counted          {} answers: {} of primaries, {} of fallbacks, {} after a sync",
        info.answered, info.primaries, info.fallbacks, info.durable
    ))?;
    if !info.reason.is_empty() {
        out.line(format_args!("reason           {}", info.reason))?;
    }
    let mut rows = table(&["REPLICA", "ROLE", "ANSWER", "COUNTED", "LATENCY", "DOTS"]);
    for replica in &info.replicas {
        let stands_for = replica
            .stands_for
            .map(|node| format!(" for {}", name_of(map, node)))
            .unwrap_or_default();
        let catching_up = if replica.catching_up {
            ", catching up"
        } else {
            ""
        };
        rows.add_row([
            name_of(map, replica.node),
            format!("{}{stands_for}", role(replica.role)),
            format!("{}{catching_up}", replica.answer),
            if replica.counted { "yes" } else { "no" }.to_owned(),
            replica.latency_us.map_or_else(
                || "-".to_owned(),
                |us| format!("{}.{:03} ms", us / 1000, us % 1000),
            ),
            replica
                .dots
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        ]);
    }
    out.table(&rows)
}
