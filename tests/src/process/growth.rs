//! Clusters that change their members.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use quorate_client::{ClassState, NodeId, VersionedMap};

use super::provisioned::name;
use super::{Cluster, Finished, Index, NodeProcess, Tool, Trouble, free_ports, until};

/// How long moving the little data of a test may take, beside a compiler.
const MOVE_WAIT: Duration = Duration::from_secs(120);

impl Cluster {
    /// Stages a new node by `quorate cluster COMMAND...`, which is `join` or `replace NODE`, and makes its files.
    /// Nothing is started.
    ///
    /// # Errors
    /// It is refused; its words are in the error.
    pub fn newcomer(&mut self, command: &[&str]) -> Result<Index, Trouble> {
        let index = self.files.ports.len();
        let ports = free_ports(1)?[0];
        let (dir, made) = (
            self.files.node_dir(index),
            self.files.node_dir(index).join("from"),
        );
        let described = format!(
            "name={},peer=127.0.0.1:{},client=127.0.0.1:{}",
            name(index),
            ports.peer,
            ports.client
        );
        let (authority, out) = (
            self.files.dir.display().to_string(),
            made.display().to_string(),
        );
        let mut words = vec!["--json", "cluster"];
        words.extend(command);
        words.extend([
            "--node",
            &described,
            "--authority",
            &authority,
            "--out",
            &out,
        ]);
        let staged = self.tool(&words)?;
        let id = id_in(&staged.out)?;
        for (ending, from) in [("pem", "pem"), ("key", "key")] {
            let from = made.join(format!("{}.{from}", name(index)));
            let to = dir.join(format!("node.{ending}"));
            fs::rename(&from, to).map_err(Trouble::io(from.display().to_string()))?;
        }
        self.files.ports.push(ports);
        self.files.joined.insert(index, id);
        self.files.write_configuration(index, &BTreeMap::new())?;
        self.files
            .init_from(index, &made.join("cluster.map"), &self.programs)?;
        self.nodes.push(NodeProcess::new(
            &name(index),
            &dir,
            &self.programs,
            Arc::clone(&self.watchdog),
        ));
        Ok(index)
    }

    /// Runs the command-line tool, which must do as it is told.
    ///
    /// # Errors
    /// It does not; its words are in the error.
    pub fn tool(&self, arguments: &[&str]) -> Result<Finished, Trouble> {
        let done = Tool::new(self, arguments).run()?;
        if done.code == Some(0) {
            return Ok(done);
        }
        let (words, said) = (arguments.join(" "), done.err.trim());
        Err(Trouble::Made(format!("quorate {words}: {said}")))
    }

    /// Waits until no change of the ring is under way, and everybody who is to vote does.
    ///
    /// # Errors
    /// It does not come to that; the error says what is left.
    pub async fn ring_settled(&self) -> Result<Duration, Trouble> {
        let (_, took) = until("all classes are in their places", MOVE_WAIT, async || {
            let asked = self.client.version().await;
            let version = asked.map_err(Trouble::request("the newest map"))?;
            Ok(left(&version).map_or(Ok(()), Err))
        })
        .await?;
        // The client's own map: who left must not be asked any more.
        let map = self.client.refresh_map().await;
        map.map_err(Trouble::request("the map"))?;
        Ok(took)
    }

    /// A node is no member any more: it counts for nothing, though its process may run.
    pub fn has_left(&mut self, node: Index) {
        self.left.insert(node);
    }
}

/// What a version still wants done; a cluster that was just made is to be complete first.
fn left(version: &VersionedMap) -> Option<String> {
    let moving = version.records.iter();
    let moving = moving.filter(|record| record.state != ClassState::Stable);
    let copies = version.records.iter().map(|record| record.departing.len());
    let (moving, copies) = (moving.count(), copies.sum::<usize>());
    let voteless = version.map.members.iter();
    let voteless = voteless.filter(|member| version.voter(member.id).is_none());
    let voteless = voteless.count();
    let going = version.going.len();
    let is_over =
        version.is_founded() && version.before.is_none() && moving + copies + voteless + going == 0;
    (!is_over).then(|| {
        format!(
            "version {}: {moving} classes move, {copies} old copies, {going} members go, {voteless} have no vote",
            version.version
        )
    })
}

/// The id in what `quorate cluster join --json` prints.
fn id_in(printed: &str) -> Result<NodeId, Trouble> {
    let strange = || Trouble::Made(format!("no id in what quorate prints: {printed}"));
    let (_, rest) = printed.split_once("\"id\":").ok_or_else(strange)?;
    let id = rest.trim_start().trim_start_matches('"');
    id.get(..16)
        .and_then(|id| id.parse().ok())
        .ok_or_else(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_new_node_is_found_in_what_is_printed() {
        let printed = "{\"dir\":\"x\",\"id\":\"00000000000000ff\",\"node\":\"n4\"}";
        assert!(id_in(printed).is_ok_and(|id| id == NodeId::new(255)));
        for strange in ["", "{}", "{\"id\":\"ff\"}"] {
            assert!(id_in(strange).is_err(), "{strange}");
        }
    }
}
