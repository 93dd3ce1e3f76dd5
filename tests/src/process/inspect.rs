//! What lies in the database of a stopped node, by `quorate-node inspect`.

use std::collections::BTreeMap;
use std::process::Command;

use super::{Cluster, Index, Trouble};

/// The figures that `quorate-node inspect` prints, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection(BTreeMap<String, u64>);

impl Inspection {
    /// One of the figures.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn figure(&self, name: &str) -> Result<u64, Trouble> {
        let found = self.0.get(name).copied();
        found.ok_or_else(|| Trouble::Made(format!("quorate-node inspect tells no {name}")))
    }

    fn parse(text: &str) -> Option<Self> {
        let figure = |line: &str| {
            let (name, number) = line.split_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        text.lines().map(figure).collect::<Option<_>>().map(Self)
    }
}

impl Cluster {
    /// Counts all that a stopped node's database holds; compacts it first if wanted.
    ///
    /// # Errors
    /// The node runs, or its database cannot be read.
    pub fn inspect(&mut self, node: Index, compact: bool) -> Result<Inspection, Trouble> {
        let mut command = Command::new(&self.programs().node);
        command.arg("inspect").arg("--config");
        command.arg(self.node(node).config());
        if compact {
            command.arg("--compact");
        }
        let ended = command
            .output()
            .map_err(Trouble::io("quorate-node inspect"))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(Trouble::Made(format!("quorate-node inspect: {said}")));
        }
        let text = String::from_utf8_lossy(&ended.stdout);
        Inspection::parse(&text)
            .ok_or_else(|| Trouble::Made(format!("quorate-node inspect printed {text:?}")))
    }
}
