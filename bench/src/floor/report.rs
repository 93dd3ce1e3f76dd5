//! The table: what the floor takes, what the real thing takes, and how many times the floor that is.

use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};

use super::{Request, Settings};
use crate::rate::{Latencies, micros};
use crate::spread::Spread;
use crate::ycsb;

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Counted {
    /// What requests took that succeeded.
    pub times: Latencies,
    /// Requests that failed.
    pub failed: u64,
    /// Reads that found nothing.
    pub missing: u64,
    /// From the end of the warm-up to the last answer.
    pub took: Duration,
    /// CPU time of the three servers meanwhile.
    pub server_cpu: Duration,
    /// CPU time of this process meanwhile.
    pub client_cpu: Duration,
}

impl From<ycsb::Measured> for Counted {
    fn from(run: ycsb::Measured) -> Self {
        Self {
            times: run.tally.all(),
            failed: run.tally.failed(),
            missing: run.tally.missing,
            took: run.took,
            server_cpu: run.server_cpu.unwrap_or_default(),
            client_cpu: run.client_cpu,
        }
    }
}

impl Counted {
    fn server_us(&self) -> f64 {
        self.each_us(self.server_cpu)
    }

    /// Failed requests cost something, too.
    fn each_us(&self, cpu: Duration) -> f64 {
        let requests = self.times.count() + self.failed;
        cpu.as_secs_f64() * 1e6 / requests.max(1) as f64
    }

    fn figures(&self) -> [(&'static str, f64); 6] {
        let rate = self.times.count() as f64 / self.took.as_secs_f64().max(1e-6);
        [
            ("server CPU us per operation", self.server_us()),
            ("client CPU us per operation", self.each_us(self.client_cpu)),
            ("operations a second", rate),
            ("p50 us", micros(self.times.at(0.5)) as f64),
            ("errors", self.failed as f64),
            ("reads of nothing", self.missing as f64),
        ]
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, us) = (self.times.count(), self.server_us());
        write!(f, "{done} operations at {us:.1} us of server CPU")
    }
}

/// All runs of one request with values of one size.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What was asked for.
    pub request: Request,
    /// Bytes of each value.
    pub bytes: usize,
    /// Of the bare program.
    pub floor: Vec<Counted>,
    /// Of the real nodes, each right after its counterpart.
    pub real: Vec<Counted>,
}

impl Measured {
    fn name(&self) -> String {
        format!("{} {} B", self.request.name(), self.bytes)
    }

    /// The ratio of both medians, and the least and the most of any turn.
    #[must_use]
    pub(crate) fn times_the_floor(&self) -> Option<Spread> {
        let of = |runs: &[Counted]| -> Vec<f64> { runs.iter().map(Counted::server_us).collect() };
        let (floor, real) = (of(&self.floor), of(&self.real));
        let turns = real.iter().zip(&floor).map(|(real, floor)| real / floor);
        let turns: Vec<f64> = turns.collect();
        let median = Spread::of(&real)?.median / Spread::of(&floor)?.median;
        let Spread { min, max, .. } = Spread::of(&turns)?;
        Some(Spread { median, min, max })
    }

    /// All figures of both by name, and the ratio.
    fn spreads(&self) -> Vec<(String, Spread)> {
        let mut spreads = Vec::new();
        for (whose, runs) in [("floor", &self.floor), ("real", &self.real)] {
            let runs: Vec<_> = runs.iter().map(Counted::figures).collect();
            let names = runs.first().into_iter().flatten().enumerate();
            for (place, (name, _)) in names {
                let figures: Vec<f64> = runs.iter().map(|run| run[place].1).collect();
                let name = format!("{}, {whose}: {name}", self.name());
                spreads.extend(Spread::of(&figures).map(|spread| (name, spread)));
            }
        }
        let name = format!("{}: times the floor", self.name());
        spreads.extend(self.times_the_floor().map(|spread| (name, spread)));
        spreads
    }

    fn json(&self) -> Value {
        let run = |run: &Counted| -> Map<String, Value> {
            let figures = run.figures().into_iter();
            figures
                .map(|(name, figure)| (name.to_owned(), json!(figure)))
                .collect()
        };
        json!({
            "request": self.request.name(), "value_bytes": self.bytes,
            "floor": self.floor.iter().map(run).collect::<Vec<_>>(),
            "real": self.real.iter().map(run).collect::<Vec<_>>(),
        })
    }
}

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub settings: Settings,
    /// By size, then by request.
    pub measured: Vec<Measured>,
}

impl Report {
    /// All figures: medians, and every run.
    #[must_use]
    pub fn json(&self) -> Value {
        let settings = &self.settings;
        let figures: Map<_, _> = self
            .measured
            .iter()
            .flat_map(Measured::spreads)
            .map(|(name, spread)| (name, spread.json()))
            .collect();
        json!({
            "command": "floor",
            "settings": {
                "keys": settings.keys, "outstanding": settings.outstanding,
                "warm_up": settings.warm_up.as_secs_f64(), "seconds": settings.time.as_secs_f64(),
                "runs": settings.runs, "seed": settings.seed,
            },
            "figures": figures,
            "runs": self.measured.iter().map(Measured::json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        writeln!(
            f,
            "server CPU us per operation; {} keys, {} outstanding, medians (min..max) of {} turns of {} s each",
            settings.keys,
            settings.outstanding,
            settings.runs,
            settings.time.as_secs_f64(),
        )?;
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["REQUEST", "FLOOR", "REAL", "TIMES THE FLOOR"]);
        for measured in &self.measured {
            let of = |runs: &[Counted]| {
                let each: Vec<f64> = runs.iter().map(Counted::server_us).collect();
                Spread::of(&each).map_or_else(String::new, Spread::text)
            };
            let ratio = measured.times_the_floor().map(|ratio| {
                let Spread { median, min, max } = ratio;
                format!("{median:.2} ({min:.2}..{max:.2})")
            });
            table.add_row([
                measured.name(),
                of(&measured.floor),
                of(&measured.real),
                ratio.unwrap_or_default(),
            ]);
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if place > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")?;
        self.say_what_went_wrong(f)
    }
}

impl Report {
    fn say_what_went_wrong(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for measured in &self.measured {
            for (whose, runs) in [("floor", &measured.floor), ("real", &measured.real)] {
                let failed: u64 = runs.iter().map(|run| run.failed).sum();
                let missing: u64 = runs.iter().map(|run| run.missing).sum();
                if failed + missing > 0 {
                    let name = measured.name();
                    writeln!(
                        f,
                        "{name}, {whose}: {failed} failed, {missing} found nothing"
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;

    /// 10 requests of so many microseconds each.
    fn run(server_us: u64) -> Counted {
        let mut times = Latencies::default();
        (0..10).for_each(|_| times.add(Duration::from_micros(100)));
        Counted {
            times,
            failed: 0,
            missing: 0,
            took: Duration::from_secs(1),
            server_cpu: Duration::from_micros(10 * server_us),
            client_cpu: Duration::from_micros(50),
        }
    }

    fn report() -> Report {
        let settings = Settings {
            program: "quorate-bench".into(),
            sizes: vec![100],
            keys: 10,
            outstanding: 4,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(1),
            runs: 3,
            seed: 1,
        };
        let measured = Measured {
            request: Request::Put,
            bytes: 100,
            floor: vec![run(10), run(20), run(30)],
            real: vec![run(40), run(40), run(45)],
        };
        Report {
            settings,
            measured: vec![measured],
        }
    }

    #[test]
    fn the_ratio_is_that_of_medians_between_the_least_and_the_most_of_a_turn() {
        let ratio = report().measured[0].times_the_floor().unwrap_or_default();
        assert_eq!((ratio.min, ratio.median, ratio.max), (1.5, 2.0, 4.0));
        assert!(report().to_string().contains("2.00 (1.50..4.00)"));
    }

    #[test]
    fn failed_requests_share_the_cpu_time_and_are_told() {
        let mut report = report();
        report.measured[0].real[0].failed = 10;
        assert_eq!(report.measured[0].real[0].server_us(), 20.0);
        let text = report.to_string();
        assert!(text.contains("put 100 B, real: 10 failed"), "{text}");
    }

    #[test]
    fn two_reports_can_be_compared() {
        let (one, mut other) = (report(), report());
        other.measured[0].floor = vec![run(40), run(40), run(40)];
        let table = compare(&one.json(), &other.json()).unwrap_or_default();
        let line = |name: &str| table.lines().find(|line| line.contains(name));
        let line = line("put 100 B, floor: server CPU us").unwrap_or_default();
        assert!(line.contains("2.00"), "{table}");
        assert!(table.contains("put 100 B: times the floor"), "{table}");
    }
}
