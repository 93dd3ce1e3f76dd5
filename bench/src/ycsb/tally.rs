//! What the requests of one run came to, second by second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::mix::Kind;
use crate::rate::Latencies;

/// What began, or was due, within one second.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Requests that succeeded, and what they took.
    pub times: Latencies,
    /// Requests that failed after all tries.
    pub errors: u64,
}

/// All requests of the time that counts.
#[derive(Clone, Debug)]
pub struct Tally {
    /// What began before does not count.
    begin: Instant,
    end: Instant,
    /// By kind.
    pub kinds: BTreeMap<Kind, Latencies>,
    /// The time line.
    pub seconds: Vec<Second>,
    /// By the error's code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Reads that found nothing.
    pub missing: u64,
    /// Requests that were due and for which no task became free in time.
    pub not_begun: u64,
}

impl Tally {
    /// Of so much time from then on.
    #[must_use]
    pub fn new(begin: Instant, time: Duration) -> Self {
        let seconds = time.as_secs_f64().ceil();
        let mut all = Vec::new();
        while (all.len() as f64) < seconds {
            all.push(Second::default());
        }
        Self {
            begin,
            end: begin + time,
            kinds: BTreeMap::new(),
            seconds: all,
            errors: BTreeMap::new(),
            missing: 0,
            not_begun: 0,
        }
    }

    /// A request that began or was due at `from`. `found`: whether it read something, if it read.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        from: Instant,
        ended: Instant,
        done: Result<bool, &'static str>,
    ) {
        let Some(second) = self.second(from) else {
            return;
        };
        match done {
            Ok(found) => {
                let took = ended.saturating_duration_since(from);
                second.times.add(took);
                self.kinds.entry(kind).or_default().add(took);
                self.missing += u64::from(!found);
            }
            Err(code) => {
                second.errors += 1;
                *self.errors.entry(code).or_default() += 1;
            }
        }
    }

    /// A request that was due and did not begin.
    pub(super) fn leave_out(&mut self, due: Instant) {
        if let Some(second) = self.second(due) {
            second.errors += 1;
            self.not_begun += 1;
        }
    }

    fn second(&mut self, from: Instant) -> Option<&mut Second> {
        if from >= self.end {
            return None;
        }
        let after = from.checked_duration_since(self.begin)?;
        let place = usize::try_from(after.as_secs()).ok()?;
        self.seconds.get_mut(place)
    }

    /// Requests that succeeded.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.kinds.values().map(Latencies::count).sum()
    }

    /// Requests that failed, and that did not begin.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.not_begun
    }

    /// What requests of all kinds took.
    #[must_use]
    pub fn all(&self) -> Latencies {
        let mut all = Latencies::default();
        self.kinds.values().for_each(|times| all.join(times));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn requests_count_in_the_second_in_which_they_were_due_however_long_they_took() {
        let begin = Instant::now();
        let mut tally = Tally::new(begin + 1_000 * MS, 2_000 * MS);
        let mut add = |from: u32, took: u32, done| {
            let from = begin + from * MS;
            tally.add(Kind::Read, from, from + took * MS, done);
        };
        add(999, 5, Ok(true)); // warm-up
        add(1_000, 5_000, Ok(true));
        add(2_999, 7, Ok(false));
        add(2_998, 7, Err("timeout"));
        add(3_000, 5, Ok(true)); // too late
        let counts: Vec<_> = tally
            .seconds
            .iter()
            .map(|one| (one.times.count(), one.errors))
            .collect();
        assert_eq!(counts, [(1, 0), (1, 1)]);
        assert_eq!(
            (tally.operations(), tally.failed(), tally.missing),
            (2, 1, 1)
        );
        assert!(tally.all().at(1.0) >= 4_990 * MS);
    }

    #[test]
    fn what_could_not_begin_is_not_forgotten() {
        let begin = Instant::now();
        let mut tally = Tally::new(begin, 1_000 * MS);
        tally.leave_out(begin + 500 * MS);
        assert_eq!(
            (tally.operations(), tally.failed(), tally.seconds[0].errors),
            (0, 1, 1)
        );
    }
}
