//! What requests took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Longer than any deadline, microseconds: what takes longer counts as this.
const LONGEST_US: u64 = 120_000_000;
/// Three digits of each time are kept.
const DIGITS: u8 = 3;
/// The share of requests of which times are told.
pub(crate) const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// Times of one kind of request.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Default for Latencies {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self(times.unwrap_or_else(|error| unreachable!("these bounds are sound: {error}")))
    }
}

impl Latencies {
    /// One more request.
    pub fn add(&mut self, took: Duration) {
        self.0.saturating_record(micros(took).clamp(1, LONGEST_US));
    }

    /// Those of another measurement, too.
    pub(crate) fn join(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of them ended, 0 to 1.
    #[must_use]
    pub fn at(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share))
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Reads.
    pub gets: Latencies,
    /// Writes through a context.
    pub puts: Latencies,
    /// What failed after all tries of the client library, by the error's code.
    pub errors: BTreeMap<&'static str, u64>,
    /// From the first request to the end of the last one.
    pub took: Duration,
}

impl Measured {
    /// As JSON: times in microseconds.
    #[must_use]
    pub fn figures(&self) -> Value {
        let of = |times: &Latencies| {
            let mut figures = json!({ "requests": times.count() });
            for (name, share) in QUANTILES {
                figures[name] = json!(micros(times.at(share)));
            }
            figures
        };
        json!({
            "gets": of(&self.gets),
            "puts": of(&self.puts),
            "errors": self.errors,
            "seconds": self.took.as_secs_f64(),
        })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in [("get", &self.gets), ("put", &self.puts)] {
            write!(f, "{what:<5}{:>9}", times.count())?;
            for (name, share) in QUANTILES {
                let ms = times.at(share).as_secs_f64() * 1e3;
                write!(f, "   {name} {ms:.2} ms")?;
            }
            writeln!(f)?;
        }
        let errors: u64 = self.errors.values().sum();
        writeln!(
            f,
            "{errors} errors after all tries, {:.1} s",
            self.took.as_secs_f64()
        )?;
        let mut errors = self.errors.iter();
        errors.try_for_each(|(code, count)| writeln!(f, "  {code}: {count}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_requests_are_told_with_the_time_in_which_they_ended() {
        let mut times = Latencies::default();
        (1..=1000).for_each(|ms| times.add(Duration::from_millis(ms)));
        let close = |share, ms: f64| (times.at(share).as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.002;
        assert!(close(0.5, 500.0) && close(0.99, 990.0) && close(1.0, 1000.0));
        assert_eq!(times.count(), 1000);
    }

    #[test]
    fn what_takes_longer_than_can_be_told_is_not_left_out() {
        let mut times = Latencies::default();
        times.add(Duration::from_secs(10_000));
        assert_eq!(times.count(), 1);
        assert!(times.at(1.0) >= Duration::from_secs(119));
    }
}
