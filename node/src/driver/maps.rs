//! What a node says of the cluster map: the log of versions, where it stands, and what is wrong.

use quorate_core::keeper::Keeper;
use quorate_core::register::Register;
use quorate_protocol::client::{MapHistory, MapLine, MapLog, MapStanding};
use quorate_protocol::map::ClusterMap;
use quorate_protocol::versioned::MapName;
use quorate_ring::NodeId;

/// The log of versions, as far as it is remembered.
pub(super) fn log(node: NodeId, register: &Register, request: MapHistory) -> MapLog {
    let history = register.newest().history();
    let asked = history.filter(|past| past.name.version > request.after);
    let versions = asked.map(|past| MapLine {
        version: past.name.version,
        digest: past.name.digest,
        by: past.change.by,
        wall_ms: past.change.wall_ms,
        what: past.change.what,
    });
    MapLog {
        node,
        versions: versions.collect(),
    }
}

/// Where the node stands.
pub(super) fn standing(keeper: &Keeper) -> MapStanding {
    let status = keeper.register().status();
    MapStanding {
        newest: status.newest,
        votes: status.votes,
        founded: status.founded,
        silent: keeper.silent(),
        undecided: status.undecided,
        waiting: u32::try_from(status.waiting.len()).unwrap_or(u32::MAX),
        attempt: status.attempt.map(|attempt| attempt.round),
    }
}

/// What an operator should know of it.
pub(super) fn warnings(standing: &MapStanding, map: &ClusterMap) -> Vec<String> {
    let name = |node: &NodeId| {
        let member = map.member(*node);
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    let mut warnings = Vec::new();
    if !standing.founded {
        let silent: Vec<String> = standing.silent.iter().map(name).collect();
        warnings.push(if silent.is_empty() {
            "the cluster is not complete yet: its members are about to learn of each other".to_owned()
        } else {
            format!(
                "the cluster is not complete yet, and the cluster map cannot change before every member has run: {} missing",
                silent.join(", ")
            )
        });
    } else if !standing.votes {
        warnings.push(
            "this node does not vote on the cluster map: its storage is another one than the map names, the others name it as soon as a majority of them answers"
                .to_owned(),
        );
    }
    warnings
}

/// Two versions of one number.
pub(super) fn contradiction(here: MapName, there: MapName, peer: NodeId) -> String {
    format!(
        "node {peer} has version {there} of the cluster map, and this node {here}: a node was started from an old copy of its files, or from another cluster's map, or two sides gave each other up with `quorate cluster recover`. \
         Restore the one that is wrong with `quorate-node restore`, or give it an empty directory"
    )
}
