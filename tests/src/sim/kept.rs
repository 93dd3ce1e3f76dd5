//! What a node's agreement on buckets keeps on its disk: one file, replaced as a whole.

use quorate_core::agreement::{Agreement, AgreementError, StoredError};
use quorate_protocol::map::ClusterMap;
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
}

impl Kept {
    /// Opens the agreement of a new life. A damaged file is refused, and removed as the refusal says.
    ///
    /// # Errors
    /// What the agreement said when it could not be opened.
    pub fn agreement(
        &mut self,
        node: NodeId,
        map: &ClusterMap,
        seed: [u8; 32],
        wants: &mut Vec<Want>,
    ) -> Result<Agreement, String> {
        let open = |stored: Option<&[u8]>| Agreement::open(node, map.clone(), stored, seed);
        let mut opened = open(self.open());
        if let Err(AgreementError::Stored(StoredError::Damaged(_))) = &opened {
            wants.push(Want::Count(Counter::Bucket("damaged file refused")));
            self.replace(None);
            opened = open(None);
        }
        opened.map_err(|error| error.to_string())
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

    /// Puts a file in its place, or none. Returns whether that is another one.
    pub fn replace(&mut self, bytes: Option<Vec<u8>>) -> bool {
        let changed = self.copy() != bytes;
        self.file = bytes.map(|bytes| (0, bytes));
        changed
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
}
