//! What a stopped node's database holds, as `quorate-node inspect` counts it.

use quorate_tests::process::{Inspection, Trouble};

/// The kinds of records, by the names that the node gives them.
pub const FAMILIES: [&str; 7] = [
    "objects", "chunks", "hints", "log", "requests", "expiry", "vnodes",
];

/// What one database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Records of each of [`FAMILIES`].
    pub entries: [u64; FAMILIES.len()],
    /// Objects without a value: deletes that somebody may not know yet.
    pub deleted: u64,
    /// Objects that name what they superseded.
    pub contexts: u64,
    /// The most values that one object has.
    pub values_max: u64,
    /// Bytes of objects that clients gave: keys and values.
    pub client_bytes: u64,
    /// All other bytes of objects and their storage keys.
    pub metadata_bytes: u64,
    /// Records that are not what they should be.
    pub unreadable: u64,
    /// Bytes of the database's files.
    pub file_bytes: u64,
}

impl Stored {
    /// What was counted.
    ///
    /// # Errors
    /// A figure is missing.
    pub fn of_database(counted: &Inspection) -> Result<Self, Trouble> {
        let mut entries = [0; FAMILIES.len()];
        for (count, family) in entries.iter_mut().zip(FAMILIES) {
            *count = counted.figure(&format!("{family}.entries"))?;
        }
        Ok(Self {
            entries,
            deleted: counted.figure("objects.deleted")?,
            contexts: counted.figure("objects.contexts")?,
            values_max: counted.figure("objects.dots_max")?,
            client_bytes: counted.figure("objects.client_bytes")?,
            metadata_bytes: counted.figure("objects.metadata_bytes")?,
            unreadable: counted.figure("unreadable")?,
            file_bytes: counted.figure("file_bytes")?,
        })
    }

    /// Records of one of [`FAMILIES`]; 0 of any other.
    #[must_use]
    pub fn of(&self, family: &str) -> u64 {
        let place = FAMILIES.iter().position(|name| *name == family);
        place.map_or(0, |place| self.entries[place])
    }

    /// Bytes of metadata for each object; `None` without objects.
    #[must_use]
    pub fn metadata_per_object(&self) -> Option<f64> {
        let objects = self.of("objects");
        (objects > 0).then(|| self.metadata_bytes as f64 / objects as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_given_for_each_object_where_there_are_any() {
        let mut stored = Stored {
            metadata_bytes: 24,
            ..Stored::default()
        };
        assert_eq!(stored.metadata_per_object(), None);
        stored.entries[0] = 4;
        assert_eq!(stored.metadata_per_object(), Some(6.0));
        assert_eq!((stored.of("objects"), stored.of("nothing")), (4, 0));
    }
}
