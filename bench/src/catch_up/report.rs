//! The table, and the same as JSON.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::Settings;
use super::choose::DELETE_EVERY;
use super::run::{Idle, Measured};
use crate::cpu::CPU_STEP;
use crate::load::Loaded;
use crate::spread::median;

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// How the cluster was filled.
    pub loaded: Loaded,
    /// The cluster at rest.
    pub idle: Idle,
    /// Every return, in the order in which they were made.
    pub measured: Vec<Measured>,
}

/// Medians of all returns with the same number of changed keys.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    changed: f64,
    missed: f64,
    hints: f64,
    fetched: f64,
    rebuilt: f64,
    /// By clocks, everything, by tree.
    bytes: [f64; 3],
    cpu: [f64; 3],
    seconds: f64,
    serving: f64,
    to_node: f64,
    from_node: f64,
    hash_bytes: f64,
    leaves: f64,
    messages: f64,
    build: f64,
    /// Differences of CPU seconds below this mean nothing.
    cpu_step: f64,
}

const WAYS: [&str; 3] = ["clocks", "everything", "hash tree"];

impl Report {
    /// In the order in which they were asked for, the return without a change first.
    fn rows(&self) -> Vec<Row> {
        let mut counts: Vec<usize> = Vec::new();
        for measured in &self.measured {
            if !counts.contains(&measured.changed) {
                counts.push(measured.changed);
            }
        }
        counts.iter().map(|&count| self.row(count)).collect()
    }

    fn row(&self, changed: usize) -> Row {
        let same = |one: &&Measured| one.changed == changed;
        let of =
            |figure: fn(&Measured) -> f64| median(self.measured.iter().filter(same).map(figure));
        Row {
            changed: changed as f64,
            missed: of(|one| one.missed as f64),
            hints: of(|one| one.hints as f64),
            fetched: of(|one| one.returned.fetched as f64),
            rebuilt: of(|one| one.returned.rebuilt as f64),
            bytes: [
                of(|one| one.all.sent as f64),
                of(|one| one.compared.everything.bytes as f64),
                of(|one| one.compared.tree.bytes as f64),
            ],
            cpu: [
                of(|one| one.all.cpu.as_secs_f64()),
                of(|one| one.compared.everything.cpu.as_secs_f64()),
                of(|one| one.compared.tree.cpu.as_secs_f64()),
            ],
            seconds: of(|one| one.equal.as_secs_f64()),
            serving: of(|one| one.serving.as_secs_f64()),
            to_node: of(|one| one.returned.received as f64),
            from_node: of(|one| one.returned.sent as f64),
            hash_bytes: of(|one| one.compared.hash_bytes as f64),
            leaves: of(|one| one.compared.leaves as f64),
            messages: of(|one| one.compared.messages as f64),
            build: of(|one| one.compared.build.as_secs_f64()),
            cpu_step: CPU_STEP.as_secs_f64() * self.settings.nodes as f64,
        }
    }

    /// All figures: medians, and every return.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows();
        let base = rows.first().copied().unwrap_or_default();
        let settings = &self.settings;
        json!({
            "nodes": settings.nodes, "partitions": settings.partitions, "keys": settings.keys,
            "value_bytes": settings.size, "runs": settings.runs, "hints": settings.hints,
            "clients": settings.clients, "leaf_keys": settings.leaf_keys, "seed": settings.seed,
            "delete_every": DELETE_EVERY,
            "load": { "written": self.loaded.written, "seconds": self.loaded.took.as_secs_f64(), "rate": self.loaded.rate() },
            "idle_a_second": { "bytes": self.idle.bytes, "cpu_seconds": self.idle.cpu.as_secs_f64() },
            "medians": rows.iter().map(|row| row.json(&base)).collect::<Vec<_>>(),
            "returns": self.measured.iter().map(one_json).collect::<Vec<_>>(),
        })
    }

    fn table(&self, rows: &[Row]) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header([
            "CHANGED",
            "MISSED",
            "WAY",
            "BYTES",
            "PER KEY",
            "SECONDS",
            "CPU s",
            "CPU us PER KEY",
        ]);
        let base = rows.first().copied().unwrap_or_default();
        for row in rows {
            for way in 0..WAYS.len() {
                table.add_row(row.cells(way, &base));
            }
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if place != 2 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

impl Row {
    /// Bytes for changed keys. By clocks, what a return without a change costs is not counted: nodes that
    /// start and talk do so whatever changed.
    fn bytes_for_changes(&self, way: usize, base: &Self) -> f64 {
        self.bytes[way] - if way == 0 { base.bytes[0] } else { 0.0 }
    }

    /// The same for CPU seconds; `None` where the system's clocks are too coarse to tell.
    fn cpu_for_changes(&self, way: usize, base: &Self) -> Option<f64> {
        if way > 0 {
            return Some(self.cpu[way]);
        }
        let more = self.cpu[0] - base.cpu[0];
        (more >= base.cpu_step).then_some(more)
    }

    /// A cost for each key that was missed.
    fn per_key(&self, cost: f64) -> Option<f64> {
        (self.missed > 0.0).then(|| cost / self.missed)
    }

    fn cells(&self, way: usize, base: &Self) -> [String; 8] {
        let bytes = self.per_key(self.bytes_for_changes(way, base));
        let bytes = bytes.map(|bytes| format!("{bytes:.0}"));
        let cpu = self.cpu_for_changes(way, base).map(|cpu| self.per_key(cpu));
        let cpu = match cpu {
            Some(Some(cpu)) => format!("{:.2}", cpu * 1e6),
            None if self.missed > 0.0 => "too small".to_owned(),
            Some(None) | None => String::new(),
        };
        let first = |text: String| if way == 0 { text } else { String::new() };
        let (changed, missed) = (self.changed.to_string(), self.missed.to_string());
        let (changed, missed) = (first(changed), first(missed));
        let seconds = first(format!("{:.2}", self.seconds));
        [
            changed,
            missed,
            WAYS[way].to_owned(),
            human(self.bytes[way]),
            bytes.unwrap_or_default(),
            seconds,
            format!("{:.4}", self.cpu[way]),
            cpu,
        ]
    }

    fn json(&self, base: &Self) -> Value {
        let way = |way: usize| {
            let cpu = self.cpu_for_changes(way, base);
            json!({
                "bytes": self.bytes[way], "cpu_seconds": self.cpu[way],
                "bytes_per_key": self.per_key(self.bytes_for_changes(way, base)),
                "cpu_seconds_per_key": cpu.and_then(|cpu| self.per_key(cpu)),
            })
        };
        json!({
            "changed": self.changed, "missed": self.missed, "seconds": self.seconds, "seconds_until_serving": self.serving,
            "bytes_to_node": self.to_node, "bytes_from_node": self.from_node,
            "hints_stored": self.hints, "fetched": self.fetched, "rebuilds": self.rebuilt,
            "clocks": way(0), "everything": way(1), "tree": way(2),
            "tree_hash_bytes": self.hash_bytes, "tree_leaves": self.leaves, "tree_messages": self.messages,
            "tree_build_cpu_seconds": self.build,
        })
    }
}

fn one_json(one: &Measured) -> Value {
    json!({
        "changed": one.changed, "missed": one.missed, "seconds": one.equal.as_secs_f64(),
        "bytes": one.all.sent, "cpu_seconds": one.all.cpu.as_secs_f64(), "hints_stored": one.hints,
        "hints_delivered": one.all.hints_delivered, "fetched": one.returned.fetched,
        "bytes_to_node": one.returned.received, "bytes_from_node": one.returned.sent,
        "tree_bytes": one.compared.tree.bytes, "everything_bytes": one.compared.everything.bytes,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (settings, rows) = (&self.settings, self.rows());
        writeln!(
            f,
            "{} keys of {} bytes on {} nodes, 3 copies, {} partitions; {}; medians of {}",
            settings.keys,
            settings.size,
            settings.nodes,
            settings.partitions,
            if settings.hints {
                "hints as they come"
            } else {
                "no hints"
            },
            settings.runs.max(1)
        )?;
        writeln!(
            f,
            "one change in {DELETE_EVERY} is a delete; loaded at {:.0} a second; at rest all nodes together send {} and use {:.1} ms of CPU a second\n",
            self.loaded.rate(),
            human(self.idle.bytes),
            self.idle.cpu.as_secs_f64() * 1e3
        )?;
        for line in self.table(&rows).lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\n{WHAT}\n")?;
        for row in &rows {
            writeln!(
                f,
                "{} changed: {} hints were stored, {} objects fetched by clocks, {} vnodes filled from snapshots; \
                 it served after {:.2} s, was sent {} and sent {}; of the tree {} leaves differed, {} of hashes in {} messages, \
                 and building one costs {:.3} s",
                row.changed,
                row.hints,
                row.fetched,
                row.rebuilt,
                row.serving,
                human(row.to_node),
                human(row.from_node),
                row.leaves,
                human(row.hash_bytes),
                row.messages,
                row.build
            )?;
        }
        growth(f, &rows)
    }
}

const WHAT: &str = "\
clocks: measured. Bytes of all frames between all nodes; CPU time of all node processes, TLS, storage and \
the start of one of them included; per key that was missed, without what a return without a change costs.
everything, hash tree: computed on the same data. Bytes of frames; CPU time of hashing, comparing, writing and \
reading messages, with objects in memory: no network, no TLS, no storage. Compare it with itself, not with the nodes'.";

/// How each cost grows from one number of changes to the next.
fn growth(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let base = rows.first().copied().unwrap_or_default();
    let with_changes: Vec<&Row> = rows.iter().filter(|row| row.changed > 0.0).collect();
    for pair in with_changes.windows(2) {
        let [few, many] = [pair[0], pair[1]];
        let bytes = WAYS.iter().enumerate().map(|(way, name)| {
            let [few, many] = [few, many].map(|row| row.bytes_for_changes(way, &base));
            format!("{name} {:.1}", many / few)
        });
        let cpu = WAYS.iter().enumerate().map(|(way, name)| {
            let costs = [few, many].map(|row| row.cpu_for_changes(way, &base));
            match costs {
                [Some(few), Some(many)] => format!("{name} {:.1}", many / few),
                [None, _] | [_, None] => format!("{name} too small to tell"),
            }
        });
        writeln!(
            f,
            "\n{:.0} times as many changes: times as many bytes: {}; times as much CPU time: {}",
            many.changed / few.changed,
            bytes.collect::<Vec<_>>().join(", "),
            cpu.collect::<Vec<_>>().join(", ")
        )?;
    }
    Ok(())
}

/// A number of bytes for people.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of a count, or a mean of two
fn human(bytes: f64) -> String {
    HumanBytes(bytes.max(0.0) as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_of_a_restart_is_no_price_of_a_change() {
        let base = Row {
            bytes: [1_000.0, 0.0, 0.0],
            cpu: [0.5, 0.0, 0.0],
            cpu_step: 0.1,
            ..Row::default()
        };
        let row = |cpu| Row {
            missed: 10.0,
            bytes: [4_000.0, 9_000.0, 0.0],
            cpu: [cpu, 0.2, 0.0],
            ..base
        };
        assert_eq!(row(0.7).bytes_for_changes(0, &base), 3_000.0);
        assert_eq!(row(0.7).bytes_for_changes(1, &base), 9_000.0);
        assert_eq!(row(0.75).cpu_for_changes(0, &base), Some(0.25));
        assert_eq!(row(0.55).cpu_for_changes(0, &base), None);
        assert_eq!(row(0.55).cpu_for_changes(1, &base), Some(0.2));
        assert_eq!(row(0.7).per_key(3_000.0), Some(300.0));
        assert_eq!(base.per_key(3_000.0), None);
    }
}
