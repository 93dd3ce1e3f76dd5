//! What a stopped node's database holds, as `quorate-node inspect` counts it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use quorate_tests::process::{Cluster, Index, Trouble};

use crate::failure::Failure;

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
    /// Reads `NAME NUMBER` lines; those with other names are for others.
    ///
    /// # Errors
    /// A figure is missing, or is no number.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let figures: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let figure = |name: &str| {
            let found = figures
                .get(name)
                .and_then(|number| number.trim().parse().ok());
            found.ok_or_else(|| Failure::Count {
                what: format!("no number is given for {name}"),
            })
        };
        let mut entries = [0; FAMILIES.len()];
        for (count, family) in entries.iter_mut().zip(FAMILIES) {
            *count = figure(&format!("{family}.entries"))?;
        }
        Ok(Self {
            entries,
            deleted: figure("objects.deleted")?,
            contexts: figure("objects.contexts")?,
            values_max: figure("objects.dots_max")?,
            client_bytes: figure("objects.client_bytes")?,
            metadata_bytes: figure("objects.metadata_bytes")?,
            unreadable: figure("unreadable")?,
            file_bytes: figure("file_bytes")?,
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

/// Counts what a stopped node's database holds, after a compaction if wanted.
///
/// # Errors
/// The node runs, or its database cannot be counted.
pub(super) async fn stored(
    cluster: &mut Cluster,
    node: Index,
    compacted: bool,
) -> Result<Stored, Failure> {
    let program = cluster.programs().node.clone();
    let config = cluster.node(node).config().to_owned();
    let counted = tokio::task::spawn_blocking(move || inspect(&program, &config, compacted)).await;
    match counted {
        Ok(text) => Stored::parse(&text?),
        // It is never cancelled: it panicked, and so does whoever waits for it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn inspect(program: &Path, config: &Path, compacted: bool) -> Result<String, Failure> {
    let mut command = Command::new(program);
    command.arg("inspect").arg("--config").arg(config);
    if compacted {
        command.arg("--compact");
    }
    let output = command
        .output()
        .map_err(Trouble::io("quorate-node inspect"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::Count {
        what: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines() -> String {
        let mut text = String::from("objects.key_bytes 9\nsomething else\n");
        for (place, family) in FAMILIES.iter().enumerate() {
            text.push_str(&format!("{family}.entries {}\n", place + 4));
        }
        for (place, name) in [
            "deleted",
            "contexts",
            "dots_max",
            "client_bytes",
            "metadata_bytes",
        ]
        .iter()
        .enumerate()
        {
            text.push_str(&format!("objects.{name} {}\n", place + 20));
        }
        text + "unreadable 1\nfile_bytes 1000\n"
    }

    #[test]
    fn figures_are_found_by_their_names() {
        let stored = Stored::parse(&lines()).unwrap();
        assert_eq!(stored.entries, [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!((stored.of("log"), stored.of("nothing")), (7, 0));
        assert_eq!((stored.deleted, stored.values_max), (20, 22));
        assert_eq!((stored.unreadable, stored.file_bytes), (1, 1_000));
        assert_eq!(stored.metadata_per_object(), Some(6.0));
        assert_eq!(Stored::default().metadata_per_object(), None);
    }

    #[test]
    fn a_missing_figure_is_named() {
        let text = lines().replace("log.entries", "dog.entries");
        let failure = Stored::parse(&text).unwrap_err();
        assert!(failure.to_string().contains("log.entries"), "{failure}");
    }
}
