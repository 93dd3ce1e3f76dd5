//! What a node keeps of the cluster map on its disk: one file, replaced as a whole, and the id of the storage that votes.

use quorate_core::keeper::Keeper;
use quorate_core::register::{Pace, Register, RegisterConfig, StoredRegisterError, Version};
use quorate_protocol::StorageId;
use quorate_ring::NodeId;

use super::counters::Counter;
use super::dice::Dice;
use super::node::Want;

/// The file, and what is on its way to it.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The number of the state in the file, in the life that wrote it, and its bytes.
    file: Option<(u64, Vec<u8>)>,
    /// Given to the disk by the present life, and not known to have arrived.
    under_way: Vec<(u64, Vec<u8>)>,
    /// How many storages there were before.
    storages: u64,
}

impl Kept {
    /// Opens the map in a new life. A damaged file is refused, and the node goes on with another storage, as the
    /// refusal says.
    ///
    /// # Errors
    /// What the register said when it could not be opened.
    pub fn keeper(
        &mut self,
        node: NodeId,
        given: &Version,
        seed: [u8; 32],
        wants: &mut Vec<Want>,
    ) -> Result<Keeper, String> {
        let open = |storage: StorageId, stored: Option<&[u8]>| {
            let config = RegisterConfig {
                me: node,
                storage,
                pace: Pace::default(),
            };
            Keeper::open(config, given.clone(), stored, seed)
        };
        let storage = self.storage(node);
        let mut opened = open(storage, self.open());
        if let Err(StoredRegisterError::Damaged(_)) = &opened {
            wants.push(Want::Count(Counter::Map("damaged file refused")));
            self.replace(None);
            opened = open(self.storage(node), None);
        }
        opened.map_err(|error| error.to_string())
    }

    /// The storage that votes.
    #[must_use]
    pub const fn storage(&self, node: NodeId) -> StorageId {
        StorageId::new(node.get() << 32 | self.storages)
    }

    /// Whether the storage was never replaced.
    #[must_use]
    pub const fn has_first_storage(&self) -> bool {
        self.storages == 0
    }

    /// What a new life finds. Numbers count the states of one life.
    fn open(&mut self) -> Option<&[u8]> {
        self.under_way.clear();
        let (number, bytes) = self.file.as_mut()?;
        *number = 0;
        Some(bytes)
    }

    /// A state is given to the disk.
    pub fn write(&mut self, number: u64, bytes: Vec<u8>) {
        self.under_way.push((number, bytes));
    }

    /// A state has arrived; one that is older than what is there is not looked for any more.
    pub fn arrived(&mut self, number: u64, bytes: Vec<u8>) {
        self.under_way.retain(|(other, _)| *other > number);
        if self.file.as_ref().is_none_or(|(last, _)| *last < number) {
            self.file = Some((number, bytes));
        }
    }

    /// The process ends. What was under way may have arrived, without anybody having been told. Returns
    /// whether something did.
    pub fn cut_off(&mut self, dice: &mut Dice) -> bool {
        let arrives = !self.under_way.is_empty() && dice.chance(800);
        if arrives {
            let (number, bytes) = self.under_way.swap_remove(dice.index(self.under_way.len()));
            self.arrived(number, bytes);
        }
        self.under_way.clear();
        arrives
    }

    /// The file as it is.
    #[must_use]
    pub fn copy(&self) -> Option<Vec<u8>> {
        self.file.as_ref().map(|(_, bytes)| bytes.clone())
    }

    /// Puts a file in its place, or none: an empty disk, or an older copy. Either way the storage is another one from
    /// now on. That is what a new directory and a restore do; the same id with an older state is what no
    /// consensus survives, and what nobody may start.
    pub fn replace(&mut self, bytes: Option<Vec<u8>>) {
        self.file = bytes.map(|bytes| (0, bytes));
        self.storages += 1;
    }

    /// Puts a backup in the place of an empty disk, as a restore does: with another storage, and no votes.
    ///
    /// # Errors
    /// The backup's file is of no use.
    pub fn restore(
        &mut self,
        node: NodeId,
        given: &Version,
        file: Option<&[u8]>,
        all: bool,
    ) -> Result<(), String> {
        let restored = Register::restored(given, file, self.storage(node), all);
        let bytes = restored.map_err(|error| error.to_string())?;
        self.file = Some((0, bytes));
        Ok(())
    }

    /// Flips a bit of what the file's checksum covers, or of the checksum. Returns whether there is a file.
    pub fn damage(&mut self, dice: &mut Dice) -> bool {
        let covered = self.file.as_mut().and_then(|(_, bytes)| bytes.get_mut(8..));
        let Some(covered) = covered.filter(|bytes| !bytes.is_empty()) else {
            return false;
        };
        let at = dice.index(covered.len());
        covered[at] ^= 1 << dice.below(8);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_arrival_of_an_older_state_changes_nothing() {
        let mut kept = Kept::default();
        kept.arrived(2, vec![2]);
        kept.arrived(1, vec![1]);
        assert_eq!(kept.copy(), Some(vec![2]));
        assert_eq!(kept.open(), Some(&[2][..]));
        kept.arrived(1, vec![3]);
        assert_eq!(kept.copy(), Some(vec![3]));
    }

    #[test]
    fn a_cut_leaves_the_file_old_or_new_and_never_in_between() {
        let mut dice = Dice::new(1, "kept");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let mut kept = Kept::default();
            kept.arrived(1, vec![1]);
            kept.write(2, vec![2]);
            kept.cut_off(&mut dice);
            seen.extend(kept.copy());
        }
        assert_eq!(seen, [vec![1], vec![2]].into());
    }

    #[test]
    fn another_file_is_another_storage() {
        let (node, mut kept) = (NodeId::new(3), Kept::default());
        kept.arrived(1, vec![1]);
        let before = kept.storage(node);
        kept.replace(Some(vec![1]));
        assert_ne!(kept.storage(node), before);
    }
}
