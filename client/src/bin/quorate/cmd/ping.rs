//! `quorate ping`: asks nodes for a sign of life.

use clap::Args;
use quorate_client::Member;
use serde_json::json;
use tokio::task::JoinSet;

use crate::connect::{Connect, member};
use crate::outcome::{Done, Failure, error_json};
use crate::output::{Out, table};

#[derive(Args)]
pub(crate) struct Ping {
    /// The nodes, by name or id [default: all]
    nodes: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Ping, out: &mut Out) -> Done {
    let client = args.connect.client().await?;
    let map = client.map();
    let members: Vec<Member> = if args.nodes.is_empty() {
        map.members.clone()
    } else {
        args.nodes
            .iter()
            .map(|name| member(&map, name).cloned())
            .collect::<Result<_, _>>()?
    };
    let mut asked = JoinSet::new();
    for member in members {
        let client = client.clone();
        asked.spawn(async move { (member.name, client.ping(member.id).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by(|(a, _), (b, _)| a.cmp(b));
    client.close().await;
    let mut rows = table(&["NODE", "TIME", "BUILD"]);
    for (name, answer) in &answers {
        let [time, build] = match answer {
            Ok(pong) => [
                format!("{:.3} ms", pong.time.as_secs_f64() * 1000.0),
                pong.build.clone(),
            ],
            Err(error) => ["-".to_owned(), error.to_string()],
        };
        rows.add_row([name.clone(), time, build]);
    }
    if out.is_json() {
        let nodes: Vec<_> = answers
            .iter()
            .map(|(name, answer)| match answer {
                Ok(pong) => json!({ "node": name, "alive": true, "time_us": pong.time.as_micros(), "build": pong.build }),
                Err(error) => json!({ "node": name, "alive": false, "error": error_json(error) }),
            })
            .collect();
        out.json(&json!({ "nodes": nodes }))?;
    } else {
        out.table(&rows)?;
    }
    if answers.iter().all(|(_, answer)| answer.is_ok()) {
        Ok(())
    } else {
        Err(Failure::Shown(2))
    }
}
