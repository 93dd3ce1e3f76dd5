//! Asking every member for its status at once.

use std::time::Duration;

use quorate_client::{Client, ClusterMap, Error, Member, Profile, StatusReport};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::connect::name_of;
use crate::outcome::error_json;

/// What one member said, or why it said nothing.
pub(crate) struct Said {
    pub(crate) member: Member,
    pub(crate) report: Result<StatusReport, Error>,
}

/// Time for each member: a dead one must not hold up what the others say.
const TIME: Duration = Duration::from_millis(1500);

/// Every member's answer, ordered by name.
pub(crate) async fn survey(client: &Client, vnodes: bool) -> Vec<Said> {
    let client = client.with_profile(Profile {
        deadline: Some(TIME),
        ..Profile::default()
    });
    let mut asked = JoinSet::new();
    for member in client.map().members.clone() {
        let client = client.clone();
        asked.spawn(async move {
            let report = client.status(member.id, vnodes).await;
            Said { member, report }
        });
    }
    let mut said = asked.join_all().await;
    said.sort_by(|a, b| a.member.name.cmp(&b.member.name));
    said
}

impl Said {
    /// Hints that this node keeps for others.
    pub(crate) fn hints(&self) -> u64 {
        self.sum(|peer| peer.hints)
    }

    /// Of these, hints that are on their way.
    pub(crate) fn hints_in_flight(&self) -> u64 {
        self.sum(|peer| peer.hints_in_flight)
    }

    /// Writes that peers have and this node lacks, as far as it knows; a write that two peers have
    /// counts twice.
    pub(crate) fn lag(&self) -> u64 {
        self.sum(|peer| peer.lag)
    }

    /// Whether it answers and all its vnodes are current.
    pub(crate) fn is_current(&self) -> bool {
        self.report
            .as_ref()
            .is_ok_and(|report| report.vnodes_current == report.vnodes_total)
    }

    /// Whether it is current and reaches those of its peers that are up.
    pub(crate) fn is_ready(&self, is_up: impl Fn(quorate_client::NodeId) -> bool) -> bool {
        let reaches = |report: &StatusReport| {
            report
                .peers
                .iter()
                .all(|peer| peer.reachable || !is_up(peer.node))
        };
        self.is_current() && self.report.as_ref().is_ok_and(reaches)
    }

    /// Whether it answers, keeps no hints and lacks no write, as far as all its peers can tell it.
    pub(crate) fn is_idle(&self) -> bool {
        self.report.as_ref().is_ok_and(|report| {
            let idle = |peer: &quorate_client::PeerStatus| {
                peer.reachable
                    && peer.hints == 0
                    && peer.hints_in_flight == 0
                    && peer.lag == 0
                    && peer.lead == 0
            };
            self.is_current() && report.peers.iter().all(idle)
        })
    }

    /// With stable names.
    pub(crate) fn json(&self, map: &ClusterMap) -> Value {
        let mut shown = json!({ "node": self.member.name, "id": self.member.id.to_string() });
        match &self.report {
            Ok(report) => {
                shown["reachable"] = true.into();
                shown["current"] = self.is_current().into();
                shown["idle"] = self.is_idle().into();
                shown["hints"] = self.hints().into();
                shown["lag"] = self.lag().into();
                shown["report"] = report_json(map, report);
            }
            Err(error) => {
                shown["reachable"] = false.into();
                shown["error"] = error_json(error);
            }
        }
        shown
    }

    fn sum(&self, of: impl Fn(&quorate_client::PeerStatus) -> u64) -> u64 {
        self.report.as_ref().map_or(0, |report| {
            report.peers.iter().map(of).fold(0, u64::saturating_add)
        })
    }
}

fn report_json(map: &ClusterMap, report: &StatusReport) -> Value {
    let peers: Vec<_> = report
        .peers
        .iter()
        .map(|peer| {
            json!({
                "node": name_of(map, peer.node), "reachable": peer.reachable, "silent_ms": peer.silent_ms,
                "hints": peer.hints, "hints_delivered": peer.hints_delivered, "hints_in_flight": peer.hints_in_flight,
                "lag": peer.lag, "lead": peer.lead,
            })
        })
        .collect();
    let vnodes: Vec<_> = report
        .vnodes
        .iter()
        .map(|vnode| {
            json!({
                "n": vnode.class.n, "partition": vnode.class.partition.get(), "vnode": vnode.vnode.to_string(),
                "current": vnode.current, "lag": vnode.lag, "log_entries": vnode.log_entries,
                "log_bytes": vnode.log_bytes, "damaged": vnode.damaged,
                "rebuilding": vnode.rebuilding, "digest": vnode.digest.to_string(), "scrubbed_ms": vnode.scrubbed_ms,
                "scrubbing": vnode.scrubbing, "bad_records": vnode.bad_records,
                "waits_for": vnode.waits_for.iter().map(|&node| name_of(map, node)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "build": report.build, "uptime_ms": report.uptime_ms, "peers": peers,
        "vnodes_total": report.vnodes_total, "vnodes_current": report.vnodes_current,
        "under_replicated": report.under_replicated, "vnodes": vnodes,
        "counters": report.counters.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect::<serde_json::Map<_, _>>(),
        "map": {
            "version": report.map.newest.version.get(), "digest": report.map.newest.digest.to_string(),
            "votes": report.map.votes, "founded": report.map.founded,
            "silent": report.map.silent.iter().map(|&node| name_of(map, node)).collect::<Vec<_>>(),
            "undecided": report.map.undecided.map(|version| version.to_string()),
            "waiting": report.map.waiting, "attempt": report.map.attempt,
        },
        "warnings": report.warnings,
    })
}

#[cfg(test)]
mod tests {
    use quorate_client::{MapDigest, MapName, MapStanding, MapVersion, NodeId, PeerStatus};

    use super::*;

    fn said(peer: PeerStatus, current: u32) -> Said {
        let node = NodeId::new(1);
        let member = Member {
            id: node,
            name: "n1".to_owned(),
            peer_addresses: Vec::new(),
            client_addresses: Vec::new(),
            zone: Default::default(),
            weight: Default::default(),
        };
        let report = StatusReport {
            node,
            build: String::new(),
            uptime_ms: 1,
            peers: vec![peer],
            vnodes_total: 8,
            vnodes_current: current,
            under_replicated: 0,
            vnodes: Vec::new(),
            map: MapStanding {
                newest: MapName {
                    version: MapVersion::FIRST,
                    digest: MapDigest::new(1, 2),
                },
                votes: true,
                founded: true,
                silent: Vec::new(),
                undecided: None,
                waiting: 0,
                attempt: None,
            },
            counters: Vec::new(),
            warnings: Vec::new(),
        };
        Said {
            member,
            report: Ok(report),
        }
    }

    const PEER: PeerStatus = PeerStatus {
        node: NodeId::new(2),
        reachable: true,
        silent_ms: 0,
        hints: 0,
        hints_delivered: 9,
        hints_in_flight: 0,
        lag: 0,
        lead: 0,
    };

    #[test]
    fn a_node_is_ready_when_it_reaches_its_live_peers_and_all_its_vnodes_are_current() {
        let cut = PeerStatus {
            reachable: false,
            ..PEER
        };
        assert!(said(PEER, 8).is_ready(|_| true));
        assert!(!said(PEER, 7).is_ready(|_| true));
        assert!(!said(cut.clone(), 8).is_ready(|_| true));
        assert!(said(cut, 8).is_ready(|_| false));
        assert!(said(PeerStatus { hints: 3, ..PEER }, 8).is_ready(|_| true));
    }

    #[test]
    fn a_node_is_idle_when_nobody_lacks_anything() {
        assert!(said(PEER, 8).is_idle());
        for busy in [
            PeerStatus {
                reachable: false,
                ..PEER
            },
            PeerStatus { hints: 1, ..PEER },
            PeerStatus {
                hints_in_flight: 1,
                ..PEER
            },
            PeerStatus { lag: 1, ..PEER },
            PeerStatus { lead: 1, ..PEER },
        ] {
            assert!(!said(busy, 8).is_idle());
        }
        assert!(!said(PEER, 7).is_idle());
    }
}
