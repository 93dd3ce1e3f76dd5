//! After the last fault: the move ends, the old copies go, all members become equal, and everything is there.

use quorate_core::Family;
use quorate_ring::NodeId;

use crate::oracle::record_of;
use crate::world::World;

/// Milliseconds of virtual time after which a run that has not come to rest is stuck.
const PATIENCE_MS: u64 = 240_000;

impl World {
    /// Ends the run. Says what is wrong, if anything is.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        if let Some(wrong) = self.wrongs.first() {
            return Err(wrong.clone());
        }
        self.heal();
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.start(id);
        }
        let mut left = PATIENCE_MS;
        while let Some(why) = self.unrest() {
            if left == 0 {
                return Err(format!("stuck: {why}"));
            }
            left -= 500;
            self.nodes
                .keys()
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|id| self.adopt(id));
            self.go_on();
            self.calm(500);
        }
        self.forget_clients();
        self.at_rest = true;
        self.read_everything()?;
        self.members_are_equal()
    }

    /// What has not come to rest.
    fn unrest(&self) -> Option<String> {
        let record = record_of(&self.version);
        if record.state != quorate_protocol::versioned::ClassState::Stable {
            let stand: Vec<_> = self
                .nodes
                .values()
                .map(|node| (node.id, node.replica.as_ref().map(|r| r.status().vnodes)))
                .collect();
            return Some(format!(
                "the class moves: {record:?}, words {:?}, {stand:?}",
                self.words()
            ));
        }
        if !record.departing.is_empty() {
            return Some(format!(
                "copies depart: {record:?}, words {:?}",
                self.words()
            ));
        }
        for node in self.nodes.values() {
            let replica = node.replica.as_ref()?;
            if node.version.version != self.version.version {
                return Some(format!("{} has not adopted the last version", node.id));
            }
            if !replica.word().departing.is_empty() {
                return Some(format!("{} still has a departing copy", node.id));
            }
            let status = replica.status();
            if let Some(vnode) = status
                .vnodes
                .iter()
                .find(|vnode| !vnode.current || vnode.log_entries > 0)
            {
                return Some(format!("{}: {vnode:?}", node.id));
            }
            if let Some(peer) = status
                .peers
                .iter()
                .find(|peer| peer.hints > 0 || peer.lag > 0)
            {
                return Some(format!("{}: {peer:?}", node.id));
            }
        }
        None
    }

    fn read_everything(&mut self) -> Result<(), String> {
        for key in 0..self.keys() {
            let at: Vec<NodeId> = self.running();
            self.read_all(at[0], key);
            self.calm(500);
            if self.waits() {
                return Err(format!("key {key} cannot be read from all members at rest"));
            }
        }
        self.wrongs
            .first()
            .map_or(Ok(()), |wrong| Err(wrong.clone()))
    }

    /// Members hold the same to the byte, and nobody else holds anything.
    fn members_are_equal(&self) -> Result<(), String> {
        let record = record_of(&self.version);
        let members: Vec<NodeId> = record.old.iter().map(|place| place.node).collect();
        let objects = |id: &NodeId| self.nodes[id].records(Family::Objects);
        let first = objects(&members[0]);
        if let Some(other) = members.iter().find(|id| objects(id) != first) {
            return Err(format!("{other} does not hold what {} holds", members[0]));
        }
        let mut others = self.nodes.keys().filter(|id| !members.contains(id));
        match others.find(|id| !objects(id).is_empty()) {
            Some(other) => Err(format!("{other} has no place and still holds objects")),
            None => Ok(()),
        }
    }
}
