//! What was found, and whether it is as it must be.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::check::Checked;
use super::run::Returned;
use super::stored::{FAMILIES, Stored};
use super::{COPIES, Settings};
use crate::load::Loaded;

/// Families of which nothing may be left once all members know everything. Requests are kept for the time in
/// which they may be tried again, vnodes for ever.
const FORGOTTEN: [&str; 4] = ["chunks", "hints", "log", "expiry"];

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// How the cluster was filled.
    pub loaded: Loaded,
    /// How keys were deleted.
    pub deleted: Loaded,
    /// How the node came back.
    pub returned: Returned,
    /// What reading every key found, through each node.
    pub checked: Vec<Checked>,
    /// Replicas that these reads found behind.
    pub repairs: u64,
    /// What each node's database held before anything was deleted,
    pub before: Vec<Stored>,
    /// at the end,
    pub after: Vec<Stored>,
    /// and after one compaction.
    pub compacted: Vec<Stored>,
}

impl Report {
    /// Whatever is not as it must be; nothing if all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (node, checked) in self.checked.iter().enumerate() {
            if let Some(first) = &checked.first {
                problems.push(format!(
                    "n{}: {} resurrected, {} missing, {} wrong, {} could not be read; the first: {first}",
                    node + 1,
                    checked.resurrected,
                    checked.missing,
                    checked.wrong,
                    checked.unread
                ));
            }
        }
        if self.repairs > 0 {
            problems.push(format!(
                "reading found {} replicas behind, of a cluster whose replicas were proved equal",
                self.repairs
            ));
        }
        let living = self.settings.keys - self.deleted.written;
        problems.extend(copies(&self.before, self.settings.keys, "before"));
        for (stored, when) in [(&self.after, "at the end"), (&self.compacted, "compacted")] {
            problems.extend(copies(stored, living, when));
            let nodes = stored.iter().enumerate();
            problems.extend(nodes.flat_map(|(node, stored)| leftovers(node, stored, when)));
        }
        problems
    }

    /// All figures.
    #[must_use]
    pub fn json(&self) -> Value {
        let settings = &self.settings;
        let all = |stored: &[Stored]| stored.iter().map(stored_json).collect::<Vec<_>>();
        json!({
            "nodes": settings.nodes, "partitions": settings.partitions, "keys": settings.keys,
            "value_bytes": settings.size, "contexts": settings.contexts, "clients": settings.clients,
            "seed": settings.seed,
            "load": { "written": self.loaded.written, "rate": self.loaded.rate() },
            "delete": { "deleted": self.deleted.written, "rate": self.deleted.rate() },
            "return": {
                "seconds_until_serving": self.returned.serving.as_secs_f64(),
                "seconds": self.returned.equal.as_secs_f64(),
                "seconds_until_forgotten": self.returned.forgotten.as_secs_f64(),
                "bytes": self.returned.used.sent, "cpu_seconds": self.returned.used.cpu.as_secs_f64(),
            },
            "checked": self.checked.iter().map(checked_json).collect::<Vec<_>>(),
            "read_repairs": self.repairs,
            "before": all(&self.before), "after": all(&self.after), "compacted": all(&self.compacted),
            "problems": self.problems(),
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let families = FAMILIES.map(str::to_uppercase);
        let mut header = vec!["NODE".to_owned(), "WHEN".to_owned()];
        header.extend(families);
        header.extend(["CONTEXTS", "FILES", "META/OBJECT"].map(str::to_owned));
        table.set_header(header);
        for node in 0..self.settings.nodes {
            let times = [
                ("before", &self.before),
                ("after", &self.after),
                ("compacted", &self.compacted),
            ];
            for (when, stored) in times {
                if let Some(stored) = stored.get(node) {
                    table.add_row(cells(node, when, stored));
                }
            }
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if place > 1 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

/// Every key has its copies, over all nodes, and no object more.
fn copies(stored: &[Stored], keys: u64, when: &str) -> Option<String> {
    let (found, expected) = (
        stored.iter().map(|one| one.of("objects")).sum::<u64>(),
        keys * COPIES,
    );
    (found != expected)
        .then(|| format!("{when}: {found} objects on all nodes, {expected} would be right"))
}

/// What should be gone once everybody knows of the deletes.
fn leftovers(node: usize, stored: &Stored, when: &str) -> Vec<String> {
    let families = FORGOTTEN.map(|family| (stored.of(family), family));
    let others = [
        (stored.deleted, "objects without a value"),
        (stored.contexts, "contexts"),
        (stored.values_max.saturating_sub(1), "values beside another"),
        (stored.unreadable, "unreadable records"),
    ];
    let all = families.into_iter().chain(others);
    all.filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("n{} {when}: {count} left of {what}", node + 1))
        .collect()
}

fn cells(node: usize, when: &str, stored: &Stored) -> Vec<String> {
    let mut cells = vec![format!("n{}", node + 1), when.to_owned()];
    cells.extend(stored.entries.iter().map(u64::to_string));
    cells.push(stored.contexts.to_string());
    cells.push(HumanBytes(stored.file_bytes).to_string());
    let metadata = stored.metadata_per_object();
    cells.push(metadata.map_or_else(String::new, |bytes| format!("{bytes:.1}")));
    cells
}

fn stored_json(stored: &Stored) -> Value {
    let entries: serde_json::Map<String, Value> = FAMILIES
        .iter()
        .map(|family| ((*family).to_owned(), stored.of(family).into()))
        .collect();
    json!({
        "entries": entries, "deleted": stored.deleted, "contexts": stored.contexts,
        "values_max": stored.values_max, "client_bytes": stored.client_bytes,
        "metadata_bytes": stored.metadata_bytes, "metadata_per_object": stored.metadata_per_object(),
        "unreadable": stored.unreadable, "file_bytes": stored.file_bytes,
    })
}

fn checked_json(checked: &Checked) -> Value {
    json!({
        "read": checked.read, "resurrected": checked.resurrected, "missing": checked.missing,
        "wrong": checked.wrong, "unread": checked.unread, "first": checked.first,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (settings, returned) = (&self.settings, &self.returned);
        writeln!(
            f,
            "{} keys of {} bytes on {} nodes, {COPIES} copies, {} partitions; one node killed, {} keys deleted {}",
            settings.keys,
            settings.size,
            settings.nodes,
            settings.partitions,
            self.deleted.written,
            if settings.contexts {
                "through the context of a read"
            } else {
                "without a context"
            },
        )?;
        writeln!(
            f,
            "loaded at {:.0} a second, deleted at {:.0}; back, the node served after {:.2} s, all replicas were equal after {:.2} s \
             ({} between nodes, {:.1} s of CPU time), and nothing was kept of the deletes after {:.2} s",
            self.loaded.rate(),
            self.deleted.rate(),
            returned.serving.as_secs_f64(),
            returned.equal.as_secs_f64(),
            HumanBytes(returned.used.sent),
            returned.used.cpu.as_secs_f64(),
            returned.forgotten.as_secs_f64(),
        )?;
        let sum = |count: fn(&Checked) -> u64| self.checked.iter().map(count).sum::<u64>();
        writeln!(
            f,
            "{} reads with r = 1, of every key through every node: {} resurrected, {} missing, {} wrong, {} failed; {} replicas repaired\n",
            sum(|one| one.read),
            sum(|one| one.resurrected),
            sum(|one| one.missing),
            sum(|one| one.wrong),
            sum(|one| one.unread),
            self.repairs
        )?;
        for line in self.table().lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        let problems = self.problems();
        if problems.is_empty() {
            return writeln!(
                f,
                "\nnothing came back, nothing is missing, nothing is left"
            );
        }
        writeln!(f)?;
        problems
            .iter()
            .try_for_each(|problem| writeln!(f, "NOT RIGHT: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn stored(objects: u64) -> Stored {
        let mut stored = Stored {
            values_max: 1,
            ..Stored::default()
        };
        stored.entries[0] = objects;
        stored
    }

    fn report() -> Report {
        let settings = Settings {
            nodes: 3,
            partitions: 8,
            keys: 10,
            deleted: 4,
            contexts: false,
            size: 100,
            clients: 1,
            seed: 1,
            patience: Duration::ZERO,
        };
        let loaded = |written| Loaded {
            written,
            ..Loaded::default()
        };
        Report {
            settings,
            loaded: loaded(10),
            deleted: loaded(4),
            returned: Returned::default(),
            checked: vec![Checked::default(); 3],
            repairs: 0,
            before: vec![stored(10); 3],
            after: vec![stored(6); 3],
            compacted: vec![stored(6); 3],
        }
    }

    #[test]
    fn all_is_well_where_every_living_key_has_three_copies_and_nothing_else_is_there() {
        assert_eq!(report().problems(), Vec::<String>::new());
        assert!(report().to_string().contains("nothing came back"));
    }

    #[test]
    fn a_key_that_is_back_or_missing_is_a_problem() {
        let mut report = report();
        report.checked[2].resurrected = 1;
        report.checked[2].first = Some("key 7: is back".to_owned());
        let problems = report.problems();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("n3: 1 resurrected, 0 missing"),
            "{problems:?}"
        );
        assert!(report.to_string().contains("NOT RIGHT: n3"));
    }

    #[test]
    fn too_many_and_too_few_objects_are_problems_and_so_is_each_thing_left_over() {
        let mut wrong = report();
        wrong.after[0] = stored(7);
        assert_eq!(
            wrong.problems(),
            ["at the end: 19 objects on all nodes, 18 would be right"]
        );
        let mut left = report();
        left.after[1].entries[3] = 5;
        left.compacted[1].contexts = 2;
        left.repairs = 1;
        assert_eq!(
            left.problems(),
            [
                "reading found 1 replicas behind, of a cluster whose replicas were proved equal",
                "n2 at the end: 5 left of log",
                "n2 compacted: 2 left of contexts"
            ]
        );
    }
}
