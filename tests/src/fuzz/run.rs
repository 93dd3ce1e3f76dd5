//! Feeds targets: many inputs, drawn from a seed; a panic, a broken promise, time and memory are findings.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::memory::{Peak, thread_ran_ns};
use super::source::Source;
use super::{Tally, Target, make};

/// Most processor time that one input may take. In a debug build on a slow machine the longest
/// scripts take a tenth of it.
pub const TIME_MAX: Duration = Duration::from_secs(2);
/// How far the inputs of one target may drive up the memory of this process, bytes.
pub const MEMORY_MAX: u64 = 64 * 1024 * 1024;
/// Kinds of findings after which a target is left alone.
const FINDINGS_MAX: usize = 8;
/// Calls between two looks at memory.
const LOOK_EVERY: u64 = 512;

/// What to feed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The targets.
    pub targets: Vec<&'static Target>,
    /// Inputs over all targets, about.
    pub inputs: u64,
    /// Decides every input.
    pub seed: u64,
    /// Threads.
    pub jobs: usize,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub target: &'static str,
    /// The input of this number under the plan's seed.
    pub number: u64,
    /// What happened.
    pub what: String,
    /// The input, as small as it could be made.
    pub input: Vec<u8>,
}

/// What came of one target.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The target's name.
    pub target: &'static str,
    /// Its inputs.
    pub tally: Tally,
    /// What feeding them took, over all threads.
    pub took: Duration,
    /// The longest that one call took; a script of many messages is one call.
    pub longest: Duration,
}

/// What came of a plan.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One line for each target.
    pub lines: Vec<Line>,
    /// What must not be, one of each kind.
    pub findings: Vec<Finding>,
    /// Peaks at the end.
    pub peak: Option<Peak>,
    /// Peaks at the end above those before the first input.
    pub grown: Option<Peak>,
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Feeds one input; a panic is told like any other finding.
///
/// # Errors
/// What must not be.
pub fn feed(target: &Target, input: &[u8]) -> Result<Tally, String> {
    match panic::catch_unwind(AssertUnwindSafe(|| (target.check)(input))) {
        Ok(result) => result,
        Err(_) => Err(PANIC
            .with_borrow_mut(Option::take)
            .unwrap_or_else(|| "it panicked".to_owned())),
    }
}

/// Feeds every target of a plan its share.
///
/// While it runs, the process's panic hook is one that keeps the message for the finding.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    let before = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        PANIC.set(Some(format!("it panicked: {info}").replace('\n', " ")));
    }));
    let mut report = Report::default();
    let share = plan.inputs / (plan.targets.len().max(1) as u64);
    warm_up(plan.jobs.max(1));
    let floor = Peak::now();
    for target in &plan.targets {
        let calls = (share / target.weight).max(1);
        let feeder = Feeder::new(plan, target, calls);
        let line = feeder.run();
        report.lines.push(line);
        report.findings.extend(feeder.into_findings());
    }
    panic::set_hook(before);
    report.peak = Peak::now();
    report.grown = report
        .peak
        .zip(floor)
        .map(|(peak, floor)| peak.above(floor));
    report
}

/// As many threads at once as will run, each with a heap of its own: the allocator reserves address space
/// for each, which no input is to blame for. Each is waited for to its very end, since it gives its heap to the
/// next thread only then; the end of a scope waits for less.
fn warm_up(jobs: usize) {
    let all_there = Barrier::new(jobs);
    std::thread::scope(|scope| {
        let touch = || {
            std::hint::black_box(vec![0_u8; 4096]);
            all_there.wait();
        };
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(touch)).collect();
        for thread in threads {
            if let Err(panicked) = thread.join() {
                panic::resume_unwind(panicked);
            }
        }
    });
}

/// The input of one number: nothing but seed, target and number decide it.
#[must_use]
pub fn input(seed: u64, target: &Target, number: u64) -> Vec<u8> {
    let name = xxhash_rust::xxh3::xxh3_64_with_seed(target.name.as_bytes(), seed);
    let mut source = Source::seed(name ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    make(target, &mut source)
}

/// Feeds one target from all threads.
struct Feeder<'a> {
    plan: &'a Plan,
    target: &'static Target,
    calls: u64,
    next: AtomicU64,
    stop: AtomicBool,
    floor: Option<Peak>,
    findings: Mutex<Vec<Finding>>,
}

impl<'a> Feeder<'a> {
    fn new(plan: &'a Plan, target: &'static Target, calls: u64) -> Self {
        Self {
            plan,
            target,
            calls,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            floor: Peak::now(),
            findings: Mutex::new(Vec::new()),
        }
    }

    fn run(&self) -> Line {
        let lines: Vec<Line> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.plan.jobs.max(1))
                .map(|_| scope.spawn(|| self.work()))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        });
        let mut sum = Line {
            target: self.target.name,
            ..Line::default()
        };
        for line in lines {
            sum.tally.add(line.tally);
            sum.took += line.took;
            sum.longest = sum.longest.max(line.longest);
        }
        sum
    }

    fn into_findings(self) -> Vec<Finding> {
        self.findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next numbers until none is left or something was found.
    fn work(&self) -> Line {
        let mut line = Line::default();
        while !self.stop.load(Ordering::Relaxed) {
            let from = self.next.fetch_add(LOOK_EVERY, Ordering::Relaxed);
            if from >= self.calls {
                break;
            }
            let upto = self.calls.min(from + LOOK_EVERY);
            for number in from..upto {
                if let Err(what) = self.one(number, &mut line) {
                    self.found(number, what);
                }
            }
            if let Some(what) = self.memory_over() {
                let (number, which) = match self.hungriest(from, upto) {
                    Some(number) => (number, String::new()),
                    None => (
                        from,
                        format!(", by all numbers from {from} to {upto} together"),
                    ),
                };
                self.found(number, format!("{what}{which}"));
                self.stop.store(true, Ordering::Relaxed);
            }
        }
        line
    }

    fn one(&self, number: u64, line: &mut Line) -> Result<(), String> {
        let input = input(self.plan.seed, self.target, number);
        let started = Instant::now();
        let tally = feed(self.target, &input)?;
        let took = started.elapsed();
        line.tally.add(tally);
        line.took += took;
        line.longest = line.longest.max(took);
        if took > TIME_MAX && self.is_slow(&input) {
            return Err(format!(
                "it takes more than {} ms of processor time",
                TIME_MAX.as_millis()
            ));
        }
        Ok(())
    }

    /// Whether an input that took long took long because of itself: this thread may have waited.
    fn is_slow(&self, input: &[u8]) -> bool {
        (0..2).all(|_| {
            let before = thread_ran_ns();
            drop(feed(self.target, input));
            let ran = thread_ran_ns()
                .zip(before)
                .map(|(now, before)| now - before);
            ran.is_none_or(|ns| Duration::from_nanos(ns) > TIME_MAX)
        })
    }

    fn memory_over(&self) -> Option<String> {
        let grown = Peak::now()?.above(self.floor?);
        let worst = grown.resident.max(grown.reserved);
        (worst > MEMORY_MAX).then(|| {
            format!(
                "memory grew by {} MiB resident and {} MiB reserved",
                grown.resident >> 20,
                grown.reserved >> 20
            )
        })
    }

    /// The one of these inputs that takes half of the bound by itself, if one does.
    fn hungriest(&self, from: u64, upto: u64) -> Option<u64> {
        (from..upto).find(|&number| {
            let input = input(self.plan.seed, self.target, number);
            let before = Peak::restart().then(Peak::now).flatten();
            drop(feed(self.target, &input));
            let grown = Peak::now()
                .zip(before)
                .map(|(now, before)| now.above(before));
            grown.is_some_and(|grown| grown.resident.max(grown.reserved) > MEMORY_MAX / 2)
        })
    }

    /// Keeps a finding if it is of a new kind.
    fn found(&self, number: u64, what: String) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if findings
            .iter()
            .any(|known| kind(&known.what) == kind(&what))
        {
            return;
        }
        let whole = input(self.plan.seed, self.target, number);
        findings.push(Finding {
            target: self.target.name,
            number,
            input: shrink(self.target, whole, &what),
            what,
        });
        if findings.len() >= FINDINGS_MAX {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Tries of making a failing input smaller.
const SHRINKS_MAX: usize = 600;

/// What a finding is about, apart from its numbers.
fn kind(what: &str) -> String {
    what.chars()
        .filter(|letter| !letter.is_ascii_hexdigit())
        .take(120)
        .collect()
}

/// Leaves out whatever the failure does not need: halves, quarters, and so on.
fn shrink(target: &Target, mut input: Vec<u8>, what: &str) -> Vec<u8> {
    let fails = |input: &[u8]| feed(target, input).is_err_and(|found| kind(&found) == kind(what));
    if !fails(&input) {
        return input; // it was slow, or one of many that together took much memory
    }
    let (mut tries, mut part) = (0, input.len().div_ceil(2));
    while part > 0 && tries < SHRINKS_MAX {
        let mut at = 0;
        while at < input.len() && tries < SHRINKS_MAX {
            let mut less = input.clone();
            less.drain(at..(at + part).min(input.len()));
            tries += 1;
            if fails(&less) {
                input = less;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    input
}
