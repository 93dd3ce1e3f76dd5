//! The table, and the same as JSON.

use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};

use super::Settings;
use super::mix::Kind;
use super::page::page;
use super::run::Measured;
use super::tally::Second;
use crate::rate::{Latencies, QUANTILES, micros};
use crate::spread::Spread;

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// Every run.
    pub measured: Vec<Measured>,
}

impl Measured {
    /// Requests that succeeded in a second.
    pub(super) fn throughput(&self) -> f64 {
        self.tally.operations() as f64 / self.took.as_secs_f64().max(1e-6)
    }

    /// What each request took of a CPU, failed ones included: they cost something, too. Nothing if there were none.
    pub(super) fn cpu_us(&self, cpu: Duration) -> Option<f64> {
        let requests = self.tally.operations() + self.tally.failed() - self.tally.not_begun;
        (requests > 0).then(|| cpu.as_secs_f64() * 1e6 / requests as f64)
    }

    /// All figures, each by its name.
    fn figures(&self) -> Vec<(String, f64)> {
        let mut figures = vec![
            ("operations a second".to_owned(), self.throughput()),
            ("errors".to_owned(), self.tally.failed() as f64),
            ("reads of nothing".to_owned(), self.tally.missing as f64),
            (
                "updates that read first".to_owned(),
                self.reads_first as f64,
            ),
        ];
        let cpus = [
            ("server", self.server_cpu),
            ("client", Some(self.client_cpu)),
        ];
        for (whose, cpu) in cpus {
            if let Some(each) = cpu.and_then(|cpu| self.cpu_us(cpu)) {
                figures.push((format!("{whose} CPU us per operation"), each));
            }
        }
        for kind in Kind::ALL {
            let Some(times) = self.tally.kinds.get(&kind) else {
                continue;
            };
            for (name, share) in QUANTILES {
                let us = micros(times.at(share)) as f64;
                figures.push((format!("{} {name} us", kind.name()), us));
            }
        }
        figures
    }

    fn json(&self) -> Value {
        let seconds = self.tally.seconds.iter();
        json!({
            "figures": self.figures().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "operations": self.tally.operations(),
            "seconds": self.took.as_secs_f64(),
            "server_cpu_seconds": self.server_cpu.map(|cpu| cpu.as_secs_f64()),
            "client_cpu_seconds": self.client_cpu.as_secs_f64(),
            "errors": self.tally.errors,
            "not_begun": self.tally.not_begun,
            "time_line": seconds.map(second_json).collect::<Vec<_>>(),
        })
    }
}

fn second_json(second: &Second) -> Value {
    let us = |share| micros(second.times.at(share));
    json!({
        "operations": second.times.count(), "errors": second.errors,
        "p50_us": us(0.5), "p99_us": us(0.99),
    })
}

impl Report {
    /// Medians and spreads, in the order of the table: figures that every run has.
    pub(super) fn spreads(&self) -> Vec<(String, Spread)> {
        let runs: Vec<_> = self.measured.iter().map(Measured::figures).collect();
        let Some(first) = runs.first() else {
            return Vec::new();
        };
        let of = |wanted: &str| {
            let found = runs
                .iter()
                .map(|run| run.iter().find(|(name, _)| name == wanted));
            let all: Option<Vec<f64>> = found.map(|one| one.map(|(_, figure)| *figure)).collect();
            Spread::of(&all?)
        };
        let names = first.iter().map(|(name, _)| name);
        names
            .filter_map(|name| Some((name.clone(), of(name)?)))
            .collect()
    }

    /// Times of all kinds and runs together.
    pub(super) fn latencies(&self) -> Latencies {
        let mut all = Latencies::default();
        self.measured
            .iter()
            .for_each(|run| all.join(&run.tally.all()));
        all
    }

    /// All figures: medians, and every run with its time line.
    #[must_use]
    pub fn json(&self) -> Value {
        let settings = &self.settings;
        let spreads = self.spreads().into_iter();
        let figures: Map<_, _> = spreads
            .map(|(name, spread)| (name, spread.json()))
            .collect();
        json!({
            "command": "ycsb",
            "settings": {
                "workload": settings.mix.name, "distribution": settings.distribution.name(),
                "keys": settings.keys, "value_bytes": settings.value_bytes,
                "outstanding": settings.outstanding, "rate": settings.rate,
                "warm_up": settings.warm_up.as_secs_f64(), "seconds": settings.time.as_secs_f64(),
                "runs": settings.runs, "seed": settings.seed,
            },
            "figures": figures,
            "runs": self.measured.iter().map(Measured::json).collect::<Vec<_>>(),
        })
    }

    /// One page of HTML with plots, which needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        page(self)
    }

    /// What was asked for, in a line.
    pub(super) fn title(&self) -> String {
        let settings = &self.settings;
        let pace = match settings.rate {
            None => "one after the other".to_owned(),
            Some(rate) => format!("{rate} due a second"),
        };
        format!(
            "workload {}, {} keys of {} bytes, {}; {} outstanding, {pace}; medians of {} runs of {} s",
            settings.mix.name,
            settings.keys,
            settings.value_bytes,
            settings.distribution.name(),
            settings.outstanding,
            self.measured.len(),
            settings.time.as_secs_f64(),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["FIGURE", "MEDIAN", "MIN", "MAX"]);
        for (name, Spread { median, min, max }) in self.spreads() {
            let figures = [median, min, max].map(|figure| format!("{figure:.1}"));
            table.add_row(std::iter::once(name).chain(figures));
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if place > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Instant;

    use super::*;
    use crate::ycsb::{Distribution, Tally};

    /// Two runs: 100 reads of 1 ms, then as many of 3 ms, each with one error.
    pub(in crate::ycsb) fn report() -> Report {
        let run = |ms: u64| {
            let (begin, took) = (Instant::now(), Duration::from_millis(ms));
            let mut tally = Tally::new(begin, Duration::from_secs(2));
            (0..100).for_each(|_| tally.add(Kind::Read, begin, begin + took, Ok(true)));
            tally.add(Kind::Read, begin, begin + took, Err("timeout"));
            Measured {
                tally,
                took: Duration::from_secs(2),
                server_cpu: Some(Duration::from_micros(101 * 20 * ms)),
                reads_first: 0,
                client_cpu: Duration::from_micros(101 * 7),
            }
        };
        let settings = Settings {
            mix: "get"
                .parse()
                .unwrap_or_else(|_| unreachable!("it is one of them")),
            distribution: Distribution::Uniform,
            keys: 10,
            value_bytes: 100,
            outstanding: 4,
            rate: None,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(2),
            runs: 2,
            seed: 1,
        };
        Report {
            settings,
            measured: vec![run(1), run(3)],
        }
    }

    fn near(value: &Value, wanted: f64) -> bool {
        value
            .as_f64()
            .is_some_and(|value| (value / wanted - 1.0).abs() < 0.002)
    }

    #[test]
    fn figures_are_medians_of_runs_with_both_ends() {
        let json = report().json();
        let figures = &json["figures"];
        let server = &figures["server CPU us per operation"];
        assert!(
            near(&server["median"], 40.0) && near(&server["min"], 20.0),
            "{server}"
        );
        assert!(near(&figures["client CPU us per operation"]["max"], 7.0));
        assert!(near(&figures["operations a second"]["median"], 50.0));
        assert!(
            near(&figures["read p50 us"]["median"], 2_000.0),
            "{figures}"
        );
        assert!(near(&figures["errors"]["max"], 1.0));
        assert!(figures.get("update p50 us").is_none());
        assert_eq!(json["runs"][0]["time_line"][0]["operations"], 100);
        assert_eq!(json["runs"][1]["time_line"][1]["operations"], 0);
    }

    #[test]
    fn the_table_has_every_figure_of_the_file() {
        let (text, json) = (report().to_string(), report().json());
        let figures = json["figures"].as_object().cloned().unwrap_or_default();
        assert!(figures.len() >= 8);
        assert!(
            figures.keys().all(|name| text.contains(name.as_str())),
            "{text}"
        );
    }
}
