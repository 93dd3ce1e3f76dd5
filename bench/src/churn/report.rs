//! What a churn came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::page::Wrong;

/// Counts of one part of it, or of all.
#[derive(Clone, Debug, Default)]
pub struct Churned {
    /// Keys written for the first time, acknowledged.
    pub fresh: u64,
    /// Values replaced, acknowledged.
    pub replaced: u64,
    /// Reads judged during the changes.
    pub reads: u64,
    /// Of all these, those that took this program more than one try.
    pub retried: u64,
    /// Writes that ended in doubt after all tries.
    pub doubts: u64,
    /// What failed after all tries, by the error's code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Reads during the changes that returned what they must not.
    pub wrong: BTreeMap<&'static str, u64>,
    /// Keys read when all was over.
    pub checked: u64,
    /// Of these, keys that do not hold what was acknowledged.
    pub lost: BTreeMap<&'static str, u64>,
    /// The time of the load.
    pub took: Duration,
    /// How long it took afterwards until all replicas had the same; `None`: too long.
    pub converged: Option<Duration>,
}

impl Churned {
    /// Counts a judgement of a read.
    pub fn judge(&mut self, judged: Result<(), Wrong>) {
        if let Err(wrong) = judged {
            *self.wrong.entry(wrong.name()).or_default() += 1;
        }
    }

    /// Counts a judgement of a last read.
    pub fn judge_last(&mut self, judged: Result<(), Wrong>) {
        self.checked += 1;
        if let Err(wrong) = judged {
            *self.lost.entry(wrong.name()).or_default() += 1;
        }
    }

    /// Adds another part's counts, times aside.
    pub fn add(&mut self, other: Self) {
        self.fresh += other.fresh;
        self.replaced += other.replaced;
        self.reads += other.reads;
        self.retried += other.retried;
        self.doubts += other.doubts;
        self.checked += other.checked;
        let maps = [
            (&mut self.errors, other.errors),
            (&mut self.wrong, other.wrong),
            (&mut self.lost, other.lost),
        ];
        for (sum, more) in maps {
            for (name, count) in more {
                *sum.entry(name).or_default() += count;
            }
        }
    }

    /// Whether all is as it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let none = [&self.errors, &self.wrong, &self.lost];
        let counted = none.into_iter().all(BTreeMap::is_empty);
        counted && self.doubts == 0 && self.converged.is_some() && self.reads > 0
    }

    /// The same for programs.
    #[must_use]
    pub fn figures(&self) -> Value {
        let count = |counts: &BTreeMap<&'static str, u64>| json!(counts);
        json!({
            "clean": self.is_clean(), "seconds": self.took.as_secs_f64(), "fresh": self.fresh,
            "replaced": self.replaced, "reads": self.reads, "retried": self.retried, "doubts": self.doubts,
            "errors": count(&self.errors), "wrong": count(&self.wrong), "checked": self.checked,
            "lost": count(&self.lost), "converged_seconds": self.converged.map(|time| time.as_secs_f64()),
        })
    }
}

fn counted(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let parts = counts.iter().map(|(name, count)| format!("{count} {name}"));
    parts.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Churned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.fresh + self.replaced;
        let rate = all as f64 / self.took.as_secs_f64().max(1e-3);
        let converged = self.converged.map_or_else(
            || "not in time".to_owned(),
            |time| format!("{:.1} s", time.as_secs_f64()),
        );
        let lines = [
            ("time of load", format!("{:.0} s", self.took.as_secs_f64())),
            ("writes acknowledged", format!("{all}, {rate:.0} a second")),
            ("  of them fresh keys", self.fresh.to_string()),
            ("reads judged", self.reads.to_string()),
            ("tried again", self.retried.to_string()),
            ("errors after all tries", counted(&self.errors)),
            ("writes left in doubt", self.doubts.to_string()),
            ("wrong reads meanwhile", counted(&self.wrong)),
            ("converged after", converged),
            ("keys checked at the end", self.checked.to_string()),
            ("lost or wrong at the end", counted(&self.lost)),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:<28} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Churned {
        Churned {
            reads: 5,
            converged: Some(Duration::from_secs(1)),
            ..Churned::default()
        }
    }

    #[test]
    fn any_wrong_read_error_or_doubt_spoils_it() {
        assert!(clean().is_clean());
        let spoils: [fn(&mut Churned); 5] = [
            |all| all.judge(Err(Wrong::Stale)),
            |all| all.judge_last(Err(Wrong::NotFound)),
            |all| all.doubts = 1,
            |all| all.converged = None,
            |all| {
                all.errors.insert("unavailable", 1);
            },
        ];
        for spoil in spoils {
            let mut all = clean();
            spoil(&mut all);
            assert!(!all.is_clean(), "{all}");
            let mut sum = clean();
            let converged = all.converged.is_some();
            sum.add(all);
            assert!(!converged || !sum.is_clean());
        }
    }
}
