//! The first question to a cluster: its map, asked of addresses that somebody wrote down.

use std::sync::Arc;

use quorate_protocol::ErrorCode;
use quorate_protocol::client::{ClientReply, GetMap};
use quorate_protocol::map::ClusterMap;
use quorate_ring::RingVersion;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{Error, Kind};
use crate::net::{Answer, Connection, DialError, Envelope, Pool};

/// Asks all seeds at once and takes the first map: a dead seed beside live ones costs nothing.
pub(super) async fn map_of_any(
    pool: &Arc<Pool>,
    seeds: &[String],
    deadline: Instant,
) -> Result<ClusterMap, Error> {
    let mut problems = Vec::new();
    let mut asked = JoinSet::new();
    for seed in seeds {
        asked.spawn(ask(Arc::clone(pool), seed.clone(), deadline));
    }
    loop {
        match tokio::time::timeout_at(deadline, asked.join_next()).await {
            Ok(Some(Ok(Ok(map)))) => return Ok(map),
            Ok(Some(Ok(Err(problem)))) => problems.push(problem),
            // A task of ours neither panics nor is cancelled before this function returns.
            Ok(Some(Err(_))) => {}
            Ok(None) => return Err(nobody(&problems)),
            Err(_) => {
                problems.push(DialError::Unreachable(
                    "the others did not answer within the deadline".to_owned(),
                ));
                return Err(nobody(&problems));
            }
        }
    }
}

async fn ask(pool: Arc<Pool>, seed: String, deadline: Instant) -> Result<ClusterMap, DialError> {
    let connection = pool.dial_seed(&seed).await?;
    of_connection(&connection, deadline)
        .await
        .map_err(|why| DialError::Unreachable(format!("{seed}: {why}")))
}

/// Asks the node at the other side for its map.
pub(super) async fn of_connection(
    connection: &Connection,
    deadline: Instant,
) -> Result<ClusterMap, String> {
    let envelope = Envelope {
        deadline,
        ring: RingVersion::new(0),
        trace: 0,
    };
    let asked = connection.call(&GetMap::default().into(), envelope).await;
    let Answer { reply, .. } = asked.map_err(|error| error.to_string())?;
    match reply {
        ClientReply::Map(reply) => reply.map.check().map(|()| reply.map),
        ClientReply::Failed(wire) => Err(wire.message),
        ClientReply::Got(_)
        | ClientReply::Written(_)
        | ClientReply::KeyPage(_)
        | ClientReply::Pong(_)
        | ClientReply::BucketStored(_)
        | ClientReply::StatusReport(_)
        | ClientReply::ReplicaPage(_)
        | ClientReply::BackupReport(_)
        | ClientReply::ScrubState(_)
        | ClientReply::MapLog(_)
        | ClientReply::RingChanged(_)
        | ClientReply::RingPlan(_)
        | ClientReply::MovesReport(_)
        | ClientReply::Version(_) => {
            Err(format!("{} came instead of the cluster map", reply.name()))
        }
    }
}

fn nobody(problems: &[DialError]) -> Error {
    let refused = problems
        .iter()
        .any(|problem| matches!(problem, DialError::Refused(_)));
    let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let message = format!("no seed gave the cluster map: {}", words.join("; "));
    if refused {
        Error::new(Kind::Fix, ErrorCode::NotAuthorised, message)
    } else {
        Error::unavailable(message)
    }
}
