//! What one client knows of one key.

use crate::workload::Seen;

/// Writes of one key, by number, as their only client knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The one acknowledged last.
    acknowledged: Option<u64>,
    /// Those whose outcome is not known, and that nothing acknowledged has seen.
    doubts: Vec<u64>,
    /// How many there were.
    writes: u64,
}

/// What is wrong with a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Nothing was found, and a write was acknowledged.
    NotFound,
    /// The write acknowledged last is missing, and something else was found.
    Stale,
    /// A write was found that had been replaced, beside what is right.
    Back,
    /// A value was found that nobody wrote there.
    Foreign,
}

impl Wrong {
    /// For people, and for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Stale => "stale",
            Self::Back => "back",
            Self::Foreign => "foreign",
        }
    }
}

impl Page {
    /// Whether anything was ever written.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.writes == 0
    }

    /// The number of the next write.
    pub const fn next(&mut self) -> u64 {
        let number = self.writes;
        self.writes += 1;
        number
    }

    /// What is wrong with these values, if anything.
    ///
    /// # Errors
    /// The gravest.
    pub fn judge(&self, found: &[Seen]) -> Result<(), Wrong> {
        let numbers: Vec<u64> = found.iter().filter_map(number).collect();
        let unknown = |&write: &u64| write >= self.writes;
        if numbers.len() < found.len() || numbers.iter().any(unknown) {
            return Err(Wrong::Foreign);
        }
        if let Some(last) = self.acknowledged {
            // What was written after it had seen it.
            let replaces = |write: &u64| *write > last && self.doubts.contains(write);
            if !numbers.contains(&last) && !numbers.iter().any(replaces) {
                return Err(match numbers.is_empty() {
                    true => Wrong::NotFound,
                    false => Wrong::Stale,
                });
            }
        }
        let replaced =
            |write: &u64| self.acknowledged != Some(*write) && !self.doubts.contains(write);
        match numbers.iter().any(replaced) {
            true => Err(Wrong::Back),
            false => Ok(()),
        }
    }

    /// A write was acknowledged that had seen these values.
    pub fn acknowledge(&mut self, write: u64, seen: &[Seen]) {
        let seen: Vec<u64> = seen.iter().filter_map(number).collect();
        self.acknowledged = Some(write);
        self.doubts.retain(|doubt| !seen.contains(doubt));
    }

    /// A write's outcome is not known.
    pub fn doubt(&mut self, write: u64) {
        self.doubts.push(write);
    }

    /// What is to be found there, for people.
    #[must_use]
    pub fn expected(&self) -> String {
        match (self.acknowledged, self.doubts.as_slice()) {
            (Some(last), []) => format!("write {last}"),
            (Some(last), doubts) => format!("write {last}, in doubt are {doubts:?}"),
            (None, doubts) => format!("nothing acknowledged, in doubt are {doubts:?}"),
        }
    }
}

const fn number(seen: &Seen) -> Option<u64> {
    match seen {
        Seen::Write(number) => Some(*number),
        Seen::OtherKey { .. } | Seen::Foreign => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of these writes: the acknowledged one, and those in doubt.
    fn page(writes: u64, acknowledged: Option<u64>, doubts: &[u64]) -> Page {
        Page {
            acknowledged,
            doubts: doubts.to_vec(),
            writes,
        }
    }

    fn judged(page: &Page, found: &[u64]) -> Result<(), Wrong> {
        let found: Vec<Seen> = found.iter().copied().map(Seen::Write).collect();
        page.judge(&found)
    }

    #[test]
    fn the_last_acknowledged_write_must_be_there_unless_a_later_one_in_doubt_is() {
        let known = page(5, Some(2), &[]);
        assert_eq!(judged(&known, &[2]), Ok(()));
        assert_eq!(judged(&known, &[]), Err(Wrong::NotFound));
        assert_eq!(judged(&known, &[1]), Err(Wrong::Stale));
        assert_eq!(judged(&known, &[2, 1]), Err(Wrong::Back));
        assert_eq!(judged(&known, &[2, 7]), Err(Wrong::Foreign));
        assert_eq!(known.judge(&[Seen::Foreign]), Err(Wrong::Foreign));
        let doubtful = page(5, Some(2), &[1, 3]);
        assert_eq!(judged(&doubtful, &[3]), Ok(()));
        assert_eq!(judged(&doubtful, &[2, 1]), Ok(()));
        assert_eq!(judged(&doubtful, &[1]), Err(Wrong::Stale));
    }

    #[test]
    fn what_an_acknowledged_write_has_seen_must_not_come_back() {
        let mut page = page(4, Some(2), &[1, 3]);
        let write = page.next();
        page.acknowledge(write, &[Seen::Write(3)]);
        assert_eq!(judged(&page, &[4]), Ok(()));
        assert_eq!(judged(&page, &[4, 3]), Err(Wrong::Back));
        assert_eq!(judged(&page, &[4, 1]), Ok(()), "nobody has seen it");
        assert_eq!(judged(&page, &[2]), Err(Wrong::Stale));
    }

    #[test]
    fn a_key_that_was_never_acknowledged_may_hold_nothing() {
        let mut page = Page::default();
        assert!(page.is_fresh());
        let write = page.next();
        page.doubt(write);
        assert!(!page.is_fresh());
        assert_eq!(judged(&page, &[]), Ok(()));
        assert_eq!(judged(&page, &[0]), Ok(()));
    }
}
