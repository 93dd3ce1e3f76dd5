//! A node's report on itself, put together from its parts.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_core::ReplicaStatus;
use quorate_core::effects::Now;
use quorate_core::keeper::Keeper;
use quorate_core::membership::Membership;
use quorate_protocol::client::{PeerStatus, StatusReport};
use quorate_protocol::map::Member;
use quorate_ring::NodeId;
use tokio::sync::oneshot;

use super::context::Context;
use super::inbox::{Control, Outlet};
use super::maps;

/// A shard that does not report by then is left out, and named.
const PATIENCE: Duration = Duration::from_secs(2);

/// The report without the replicas' part.
pub(super) fn base<S, N>(
    context: &Context<S, N>,
    keeper: &Keeper,
    membership: &Membership,
    now: Now,
) -> StatusReport {
    let version = keeper.map();
    let map = &version.map;
    let standing = maps::standing(keeper);
    let others = map
        .members
        .iter()
        .filter(|member| member.id != context.node);
    let under_replicated = map.ring.under_replicated(map.ring.copies()).count();
    let mut warnings: Vec<String> = others
        .clone()
        .filter_map(|peer| clock_warning(peer, membership, now))
        .collect();
    if under_replicated > 0 {
        warnings.push(format!(
            "{under_replicated} partitions have fewer members than the {} copies the ring places",
            map.ring.copies()
        ));
    }
    warnings.extend(maps::warnings(&standing, map));
    StatusReport {
        node: context.node,
        build: crate::BUILD.to_owned(),
        uptime_ms: context.clock.uptime_ms(),
        peers: others
            .map(|peer| peer_status(peer.id, membership, now))
            .collect(),
        vnodes_total: 0,
        vnodes_current: 0,
        under_replicated: u32::try_from(under_replicated).unwrap_or(u32::MAX),
        vnodes: Vec::new(),
        map: standing,
        counters: context.counters.list(),
        warnings,
    }
}

fn peer_status(node: NodeId, membership: &Membership, now: Now) -> PeerStatus {
    let view = membership.view(now, node);
    PeerStatus {
        node,
        reachable: view.is_some_and(|view| view.up),
        silent_ms: view.map_or(0, |view| view.silent_ms),
        hints: 0,
        hints_delivered: 0,
        hints_in_flight: 0,
        lag: 0,
        lead: 0,
    }
}

fn clock_warning(peer: &Member, membership: &Membership, now: Now) -> Option<String> {
    let skew = membership
        .view(now, peer.id)?
        .skew
        .filter(quorate_core::membership::Skew::is_off)?;
    Some(format!(
        "the clock of {} ({}) differs from this node's by {} ms (+-{}): set both by a time service",
        peer.name, peer.id, skew.ms, skew.error_ms
    ))
}

/// Asks every shard for its part.
pub(super) fn ask(shards: &[Outlet]) -> Vec<oneshot::Receiver<ReplicaStatus>> {
    let ask_one = |shard: &Outlet| {
        let (report, reported) = oneshot::channel();
        shard.tell(Control::Status(report));
        reported
    };
    shards.iter().map(ask_one).collect()
}

/// Adds the shards' parts, each vnode's line only where asked.
pub(super) async fn gather(
    mut report: StatusReport,
    parts: Vec<oneshot::Receiver<ReplicaStatus>>,
    vnodes: bool,
) -> StatusReport {
    let end = tokio::time::Instant::now() + PATIENCE;
    for (number, part) in parts.into_iter().enumerate() {
        match tokio::time::timeout_at(end, part).await {
            Ok(Ok(part)) => add(&mut report, part, vnodes),
            Ok(Err(_)) => report
                .warnings
                .push(format!("shard {number} has no storage at the moment")),
            Err(_) => report
                .warnings
                .push(format!("shard {number} did not report in time")),
        }
    }
    report.vnodes.sort_by_key(|vnode| vnode.class);
    report
}

fn add(report: &mut StatusReport, part: ReplicaStatus, vnodes: bool) {
    let mut peers: BTreeMap<NodeId, &mut PeerStatus> = report
        .peers
        .iter_mut()
        .map(|peer| (peer.node, peer))
        .collect();
    for theirs in &part.peers {
        if let Some(peer) = peers.get_mut(&theirs.node) {
            peer.hints += theirs.hints;
            peer.hints_delivered += theirs.hints_delivered;
            peer.hints_in_flight += theirs.hints_in_flight;
            peer.lag += theirs.lag;
            peer.lead += theirs.lead;
        }
    }
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    report.vnodes_total += count(part.vnodes.len());
    report.vnodes_current += count(part.vnodes.iter().filter(|vnode| vnode.current).count());
    let damaged = part.vnodes.iter().filter(|vnode| vnode.damaged);
    report.warnings.extend(damaged.map(|vnode| {
        format!(
            "damaged data in {}: its absences count for nothing",
            vnode.class
        )
    }));
    let rebuilt = part.vnodes.iter();
    let rebuilt = rebuilt.filter_map(|vnode| Some((vnode.class, vnode.rebuilding?)));
    report.warnings.extend(rebuilt.map(|(class, objects)| {
        format!("{class} is being rebuilt from a peer: {objects} objects so far")
    }));
    let bad: u64 = part.vnodes.iter().map(|vnode| vnode.bad_records).sum();
    if bad > 0 {
        report.warnings.push(format!(
            "{bad} records were found unreadable by reading everything through, since the node's start"
        ));
    }
    if vnodes {
        report.vnodes.extend(part.vnodes);
    }
}
