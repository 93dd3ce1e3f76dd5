//! Two measurements side by side: the figures that both files have under the same names.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use crate::spread::Spread;

/// Why two files cannot be compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Incomparable {
    /// Not written by a command that gives medians of runs.
    #[error("the {0} file has no `figures`: write it with `ycsb --json` or `floor --json`")]
    NoFigures(&'static str),
    /// Nothing is measured in both.
    #[error("the files have no figure in common")]
    NothingInCommon,
}

/// A table of medians, spreads and ratios, the second to the first, and settings that differ.
///
/// # Errors
/// See [`Incomparable`].
pub fn compare(first: &Value, second: &Value) -> Result<String, Incomparable> {
    let of = |value: &Value, which| {
        let figures = value.get("figures").and_then(Value::as_object);
        figures.cloned().ok_or(Incomparable::NoFigures(which))
    };
    let (left, right) = (of(first, "first")?, of(second, "second")?);
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["FIGURE", "A (min..max)", "B (min..max)", "B/A"]);
    let mut rows = 0;
    for (name, value) in &left {
        let both = (Spread::read(value), right.get(name).and_then(Spread::read));
        if let (Some(a), Some(b)) = both {
            table.add_row([name.clone(), a.text(), b.text(), ratio(a, b)]);
            rows += 1;
        }
    }
    if rows == 0 {
        return Err(Incomparable::NothingInCommon);
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if place > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    Ok(format!("{}{table}\n", differing(first, second)))
}

/// Nothing is a multiple of nothing. A star: the runs of both overlap.
fn ratio(a: Spread, b: Spread) -> String {
    if a.median == 0.0 {
        return "-".to_owned();
    }
    let overlap = a.min <= b.max && b.min <= a.max;
    let star = if overlap { "*" } else { " " };
    format!("{:.2}{star}", b.median / a.median)
}

fn differing(first: &Value, second: &Value) -> String {
    let (Some(left), Some(right)) = (settings(first), settings(second)) else {
        return String::new();
    };
    let mut text = String::new();
    for (name, value) in left {
        let other = right.get(name).unwrap_or(&Value::Null);
        if value != other {
            text.push_str(&format!("{name}: A {value}, B {other}\n"));
        }
    }
    text
}

fn settings(file: &Value) -> Option<&serde_json::Map<String, Value>> {
    file.get("settings")?.as_object()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(outstanding: u64, figures: &[f64]) -> Value {
        let spread = Spread::of(figures).map(Spread::json);
        json!({ "settings": { "outstanding": outstanding }, "figures": { "p50": spread } })
    }

    #[test]
    fn medians_stand_beside_each_other_with_their_ratio_and_what_differs_is_told() {
        let table = compare(&file(1, &[1.0, 2.0, 3.0]), &file(64, &[5.0, 6.0, 9.0]));
        let table = table.unwrap_or_default();
        assert!(table.contains("2.0 (1.0..3.0)"), "{table}");
        assert!(table.contains("6.0 (5.0..9.0)"), "{table}");
        assert!(
            table.contains("3.00") && !table.contains("3.00*"),
            "{table}"
        );
        assert!(table.contains("outstanding: A 1, B 64"), "{table}");
    }

    #[test]
    fn a_difference_within_the_spread_is_marked() {
        let table = compare(&file(1, &[1.0, 2.0, 3.0]), &file(1, &[3.0, 4.0, 5.0]));
        assert!(table.unwrap_or_default().contains("2.00*"));
    }

    #[test]
    fn files_without_medians_are_refused() {
        let (full, empty) = (file(1, &[1.0]), json!({}));
        assert_eq!(
            compare(&empty, &full),
            Err(Incomparable::NoFigures("first"))
        );
        let other = json!({ "figures": { "else": {} } });
        assert_eq!(compare(&full, &other), Err(Incomparable::NothingInCommon));
    }
}
