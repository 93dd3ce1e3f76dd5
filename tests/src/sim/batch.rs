//! Many runs over several threads, told in the order of their seeds, with the processor time of each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What became of one seed.
#[derive(Debug)]
pub struct Done<T> {
    /// The seed.
    pub seed: u64,
    /// What the run returned; `None` if it panicked.
    pub report: Option<T>,
    /// Processor time that it took.
    pub took: Duration,
}

/// Runs seeds on `jobs` threads and hands the results on in the order of the seeds, until `take` returns
/// false.
pub fn run_in_order<T: Send>(
    seeds: std::ops::Range<u64>,
    jobs: usize,
    run: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(Done<T>) -> bool,
) {
    let next = AtomicU64::new(seeds.start);
    let ended = AtomicBool::new(false);
    // A thread that is far ahead of the slowest run waits: results are not to pile up.
    let (results, done) = mpsc::sync_channel(2 * jobs.max(1));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (results, run) = (results.clone(), &run);
            let (next, ended, end) = (&next, &ended, seeds.end);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || results.send(one(seed, run)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut early = BTreeMap::new();
        let mut wanted = seeds.start;
        for result in &done {
            early.insert(result.seed, result);
            while let Some(result) = early.remove(&wanted) {
                wanted += 1;
                if !ended.load(Ordering::Relaxed) && !take(result) {
                    ended.store(true, Ordering::Relaxed);
                }
            }
        }
    });
}

fn one<T>(seed: u64, run: &impl Fn(u64) -> T) -> Done<T> {
    let clock = ThreadClock::start();
    let report = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed))).ok();
    Done {
        seed,
        report,
        took: clock.elapsed(),
    }
}

/// Counts the processor time of the calling thread; where the system does not tell, the time that passes.
#[derive(Debug)]
struct ThreadClock {
    started: Instant,
    used: Option<Duration>,
}

impl ThreadClock {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            used: used(),
        }
    }

    fn elapsed(&self) -> Duration {
        match (self.used, used()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            (_, _) => self.started.elapsed(),
        }
    }
}

/// The first number of a thread's `schedstat` is its time on a processor, nanoseconds.
fn used() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_seeds_whoever_is_faster() {
        let mut seen = Vec::new();
        let slow_first = |seed: u64| {
            if seed.is_multiple_of(3) {
                std::thread::sleep(Duration::from_millis(5));
            }
            seed * 2
        };
        run_in_order(5..30, 3, slow_first, |done| {
            seen.push((done.seed, done.report));
            true
        });
        let wanted: Vec<_> = (5..30).map(|seed| (seed, Some(seed * 2))).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn a_panic_is_told_and_the_taker_may_end_it() {
        let mut seen = Vec::new();
        let run = |seed: u64| assert!(seed != 2, "as it should");
        run_in_order(0..1_000, 2, run, |done| {
            seen.push(done.report.is_some());
            seen.len() < 4
        });
        assert_eq!(seen, [true, true, false, true]);
    }
}
