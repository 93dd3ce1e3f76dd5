//! The report as one page of HTML. Plots are a few lines and bars of SVG, which is less to carry than a library for them.

use super::report::Report;
use super::run::Measured;
use crate::rate::micros;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
/// Room for names at the left and below.
const LEFT: f64 = 80.0;
const BELOW: f64 = 24.0;
/// One colour for each line or bar.
const COLOURS: [&str; 3] = ["#1f6feb", "#d1242f", "#8250df"];
/// Where the latency plot looks.
const SHARES: [f64; 11] = [
    0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0,
];

/// Lines over the same places.
struct Plot {
    title: &'static str,
    places: Vec<String>,
    lines: Vec<(&'static str, Vec<f64>)>,
    bars: bool,
}

pub(super) fn page(report: &Report) -> String {
    let mut text =
        String::from("<!doctype html><meta charset=\"utf-8\"><title>quorate-bench ycsb</title>\n");
    text.push_str("<style>body{font:14px sans-serif;margin:2em;max-width:60em}td,th{text-align:right;padding:2px 12px}");
    text.push_str("td:first-child,th:first-child{text-align:left}</style>\n");
    text.push_str(&format!(
        "<h1>quorate-bench ycsb</h1>\n<p>{}</p>\n<table>",
        report.title()
    ));
    text.push_str("<tr><th>figure<th>median<th>min<th>max");
    for (name, spread) in report.spreads() {
        let (median, min, max) = (spread.median, spread.min, spread.max);
        text.push_str(&format!(
            "\n<tr><td>{name}<td>{median:.1}<td>{min:.1}<td>{max:.1}"
        ));
    }
    text.push_str("\n</table>\n");
    for plot in [latencies(report), rates(report), times(report), cpu(report)] {
        text.push_str(&plot.svg());
    }
    text
}

fn latencies(report: &Report) -> Plot {
    let all = report.latencies();
    Plot {
        title: "latency by share of requests, all runs, us",
        places: SHARES.map(|share| format!("{}%", share * 100.0)).to_vec(),
        lines: vec![(
            "us",
            SHARES.map(|share| micros(all.at(share)) as f64).to_vec(),
        )],
        bars: false,
    }
}

/// Seconds of all runs, one run after the other.
fn line(report: &Report, of: impl Fn(&super::tally::Second) -> f64) -> Vec<f64> {
    let seconds = report.measured.iter().flat_map(|run| &run.tally.seconds);
    seconds.map(of).collect()
}

fn places(report: &Report) -> Vec<String> {
    let seconds = |run: &Measured| run.tally.seconds.len();
    let runs = report.measured.iter().enumerate();
    let names = runs.flat_map(|(run, measured)| {
        (0..seconds(measured)).map(move |second| format!("{}:{second}", run + 1))
    });
    names.collect()
}

fn rates(report: &Report) -> Plot {
    Plot {
        title: "operations and errors by run:second",
        places: places(report),
        lines: vec![
            (
                "operations",
                line(report, |second| second.times.count() as f64),
            ),
            ("errors", line(report, |second| second.errors as f64)),
        ],
        bars: false,
    }
}

fn times(report: &Report) -> Plot {
    let of = |share| line(report, move |second| micros(second.times.at(share)) as f64);
    Plot {
        title: "latency by run:second, us",
        places: places(report),
        lines: vec![("p50", of(0.5)), ("p99", of(0.99))],
        bars: false,
    }
}

fn cpu(report: &Report) -> Plot {
    let runs = &report.measured;
    let each = |run: &Measured, cpu| run.cpu_us(cpu).unwrap_or(0.0);
    let client = runs.iter().map(|run| each(run, run.client_cpu));
    let mut lines = vec![("client", client.collect())];
    let server: Option<Vec<f64>> = runs
        .iter()
        .map(|run| run.server_cpu.map(|cpu| each(run, cpu)))
        .collect();
    lines.extend(server.map(|server| ("server", server)));
    Plot {
        title: "CPU time per operation by run, us",
        places: (1..=runs.len()).map(|run| run.to_string()).collect(),
        lines,
        bars: true,
    }
}

impl Plot {
    fn svg(&self) -> String {
        let high = self.lines.iter().flat_map(|(_, line)| line).copied();
        let high = high.fold(0.0, f64::max).max(1.0);
        let mut text = format!(
            "<h2>{}</h2>\n<svg width=\"{}\" height=\"{}\" font-size=\"11\">\n",
            self.title,
            LEFT + WIDTH + 20.0,
            HEIGHT + BELOW + 10.0
        );
        for part in [0.0, 0.5, 1.0] {
            let y = level(part);
            text.push_str(&format!(
                "<path d=\"M{LEFT} {y}h{WIDTH}\" stroke=\"#ccc\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0}</text>\n",
                LEFT - 6.0,
                y + 4.0,
                high * part
            ));
        }
        text.push_str(&self.names());
        for (place, (name, line)) in self.lines.iter().enumerate() {
            let colour = COLOURS[place % COLOURS.len()];
            let x = LEFT + 10.0 + 90.0 * place as f64;
            text.push_str(&format!(
                "<text x=\"{x}\" y=\"20\" fill=\"{colour}\">{name}</text>\n"
            ));
            text.push_str(&if self.bars {
                self.bars(place, line, high)
            } else {
                self.path(line, high, colour)
            });
        }
        text.push_str("</svg>\n");
        text
    }

    /// The middle of a place.
    fn at(&self, place: usize) -> f64 {
        LEFT + WIDTH * (place as f64 + 0.5) / self.places.len().max(1) as f64
    }

    /// A dozen at most: more would cover each other.
    fn names(&self) -> String {
        let every = self.places.len().div_ceil(12).max(1);
        let shown = self.places.iter().enumerate().step_by(every);
        let y = HEIGHT + BELOW;
        let one = |(place, name): (usize, &String)| {
            let x = self.at(place);
            format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{name}</text>\n")
        };
        shown.map(one).collect()
    }

    fn path(&self, line: &[f64], high: f64, colour: &str) -> String {
        let point = |(place, figure): (usize, &f64)| {
            format!("{:.1},{:.1} ", self.at(place), level(figure / high))
        };
        let points: String = line.iter().enumerate().map(point).collect();
        format!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n"
        )
    }

    fn bars(&self, row: usize, line: &[f64], high: f64) -> String {
        let colour = COLOURS[row % COLOURS.len()];
        let wide = WIDTH / self.places.len().max(1) as f64 * 0.7 / self.lines.len().max(1) as f64;
        let middle = self.lines.len() as f64 / 2.0;
        let one = |(place, figure): (usize, &f64)| {
            let (x, y) = (
                self.at(place) + (row as f64 - middle) * wide,
                level(figure / high),
            );
            let tall = level(0.0) - y;
            format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"{colour}\"/>\n"
            )
        };
        line.iter().enumerate().map(one).collect()
    }
}

/// How far down this part of the highest figure is drawn.
fn level(part: f64) -> f64 {
    10.0 + (HEIGHT - 10.0) * (1.0 - part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ycsb::report::tests::report;

    #[test]
    fn the_page_has_all_plots_and_asks_nobody_for_anything() {
        let html = page(&report());
        assert_eq!(html.matches("<svg").count(), 4);
        assert_eq!(html.matches("</svg>").count(), 4);
        assert_eq!(
            html.matches("<rect").count(),
            4,
            "two runs, server and client"
        );
        assert!(html.contains("server CPU us per operation"));
        for outside in ["http", "src=", "<script", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_highest_figure_is_at_the_top_and_nothing_at_the_bottom() {
        assert_eq!((level(1.0), level(0.0)), (10.0, HEIGHT));
    }
}
