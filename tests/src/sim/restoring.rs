//! Backups of nodes, and nodes restored from them.
//!
//! A backup is what a disk holds at one moment, and the file in which it keeps the cluster map and its votes. What is
//! done to it before a process opens it again is what the real restore does
//! ([`quorate_core::record::restored_writes`]).

use quorate_core::Batch;
use quorate_core::record::{Restored, restored_writes};

use super::counters::Counter;
use super::dice::Dice;
use super::disk::{Copy, Disk};
use super::history::{Kind, Outcome};
use super::world::World;

/// A backup of one node.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The node.
    pub node: usize,
    copy: Copy,
    file: Option<Vec<u8>>,
}

impl World<'_> {
    /// Backs up what a node has now.
    #[must_use]
    pub fn back_up(&self, node: usize) -> Backup {
        let from = &self.nodes[node];
        Backup {
            node,
            copy: from.disk.copy(),
            file: from.kept.copy(),
        }
    }

    /// Puts a backup in the place of what a node has that does not run.
    ///
    /// # Errors
    /// It runs, or its backup cannot be read.
    pub fn restore(&mut self, backup: &Backup, restored: Restored) -> Result<(), String> {
        let node = backup.node;
        if self.nodes[node].is_running() {
            return Err(format!("n{} runs", node + 1));
        }
        let mut dice = Dice::new(self.dice.bits(), "storages");
        let copy = self.made_fit(backup.copy.clone(), restored, &mut dice)?;
        let (upto, synced) = (copy.upto, self.nodes[node].disk.synced());
        self.nodes[node].disk.restore(copy);
        self.restore_file(node, backup.file.as_deref(), restored)?;
        self.destroyed(node, upto, synced);
        Ok(())
    }

    /// A copy of a disk as a restore leaves it.
    fn made_fit(&self, copy: Copy, restored: Restored, dice: &mut Dice) -> Result<Copy, String> {
        let upto = copy.upto;
        let mut disk = Disk::default();
        disk.restore(copy);
        let ring = &self.config.map.ring;
        let has_peers = |class| ring.primaries(class).len() > 1;
        let writes = restored_writes(&disk, restored, has_peers, &mut || dice.bits())
            .map_err(|error| error.to_string())?;
        disk.amend(&Batch { writes });
        let mut fit = disk.copy();
        fit.upto = upto;
        Ok(fit)
    }

    /// Some old copies of disks come back by a restore: of one node, while the others go on.
    pub(super) fn maybe_made_fit(&mut self, copy: Copy) -> Copy {
        // Dice of its own: what else happens does not depend on it.
        let mut dice = Dice::new(self.config.seed ^ self.at_us, "restored");
        if !dice.chance(300) {
            return copy;
        }
        match self.made_fit(copy.clone(), Restored::Node, &mut dice) {
            Ok(fit) => {
                self.counters
                    .count(Counter::World("restored from a backup"));
                fit
            }
            // It held damaged records: nobody restores that.
            Err(_) => copy,
        }
    }

    /// Everything that clients asked for since then may have been lost by a restore, or not.
    pub fn forgive_since(&mut self, from_us: u64) {
        for operation in &mut self.history.operations {
            let late = operation.completed_us > from_us;
            if late && matches!(operation.kind, Kind::Write { .. }) {
                operation.outcome = Outcome::Unknown;
                operation.dot = None;
            }
        }
    }
}
