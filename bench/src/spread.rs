//! One figure of several runs.

use serde_json::{Value, json};

/// The figure in the middle, and those at both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of no runs.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(figures.iter().copied()),
            min: figures.iter().copied().min_by(f64::total_cmp)?,
            max: figures.iter().copied().max_by(f64::total_cmp)?,
        })
    }

    pub(crate) fn json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }

    /// What [`Self::json`] wrote.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let of = |name: &str| value.get(name)?.as_f64();
        Some(Self {
            median: of("median")?,
            min: of("min")?,
            max: of("max")?,
        })
    }

    pub(crate) fn text(self) -> String {
        let Self { median, min, max } = self;
        format!("{median:.1} ({min:.1}..{max:.1})")
    }
}

/// 0 of nothing.
pub(crate) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match (figures.get(middle), figures.len() % 2) {
        (None, _) => 0.0,
        (Some(one), 1) => *one,
        (Some(upper), _) => f64::midpoint(figures[middle - 1], *upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_between_both_ends_whatever_the_order() {
        let spread = Spread::of(&[9.0, 1.0, 4.0]).unwrap_or_default();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 4.0, 9.0));
        let even = Spread::of(&[9.0, 1.0, 4.0, 2.0]).unwrap_or_default();
        assert_eq!(even.median, 3.0);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let spread = Spread::of(&[1.5, 2.5, 7.0]);
        assert_eq!(
            spread.and_then(|spread| Spread::read(&spread.json())),
            spread
        );
        assert_eq!(Spread::read(&json!({ "median": 1 })), None);
    }
}
