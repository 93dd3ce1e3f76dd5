//! A seed that failed, told: what was broken, the smallest run that still breaks it, what happened there to
//! the key concerned, and how to see it again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::config::Config;
use super::fault_words::name;
use super::history::Key;
use super::minimise::{Bound, Size, Smallest, Symptom, Tried, minimise};
use super::overrides::Case;
use super::run::{Report, Verdict, run_case};
use super::story::Story;
use super::trace::Trace;
use super::world::Prepare;
use crate::checkers::Violation;

/// Runs spent on making a failing one smaller, at most.
const RUNS_MAX: u32 = 200;
/// Time spent on it, at most.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Violations told of one run.
const VIOLATIONS_MAX: usize = 3;

/// One run of a case, whatever became of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What it said; `None` if the core panicked.
    pub report: Option<Report>,
    /// What the panic said.
    pub panic: String,
    /// The faults that began, also before a panic.
    pub faults: BTreeSet<u64>,
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics are kept for [`attempt`] instead of being printed: a run that is repeated two hundred
/// times would repeat its message, too.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        LAST_PANIC.with(|last| *last.borrow_mut() = panic.to_string());
    }));
}

/// Runs a case and bears a panic.
#[must_use]
pub fn attempt(case: &Case, trace: Trace, prepare: Prepare<'_>) -> Attempt {
    let begun = trace.begun();
    let report = catch_unwind(AssertUnwindSafe(|| run_case(case, trace, prepare))).ok();
    let faults = begun.borrow().iter().map(|fault| fault.number).collect();
    let panic = match &report {
        Some(_) => String::new(),
        None => LAST_PANIC.with(RefCell::take),
    };
    Attempt {
        report,
        panic,
        faults,
    }
}

impl Attempt {
    /// The ways in which it failed, the most telling one first; none if it is clean.
    #[must_use]
    pub fn symptoms(&self) -> Vec<Symptom> {
        match self.report.as_ref().map(|report| &report.verdict) {
            None => vec!["panic".to_owned()],
            Some(Verdict::Clean) => Vec::new(),
            Some(Verdict::Stuck(_)) => vec!["stuck".to_owned()],
            Some(Verdict::Broken(violations)) => violations
                .iter()
                .map(|violation| violation.invariant.to_owned())
                .collect(),
        }
    }

    /// What tells one course from another: the hash of its trace and the number of its events.
    #[must_use]
    pub fn course(&self) -> String {
        match &self.report {
            Some(report) => format!("{:016x} of {} events", report.hash, report.events),
            None => format!("a panic after {} faults: {}", self.faults.len(), self.panic),
        }
    }

    fn tried(&self, case: &Case) -> Tried {
        let config = Config::of(case);
        Tried {
            symptoms: self.symptoms().into_iter().collect(),
            faults: self.faults.clone(),
            size: Size {
                nodes: u32::try_from(config.map.members.len()).unwrap_or(0),
                clients: config.clients,
                operations: config.operations,
                keys: config.keys,
            },
        }
    }

    fn lines(&self, symptom: &str) -> Vec<String> {
        match self.report.as_ref().map(|report| &report.verdict) {
            None => vec![format!("the core panicked: {}", self.panic)],
            Some(Verdict::Clean) => Vec::new(),
            Some(Verdict::Stuck(why)) => vec![format!("stuck: {why}")],
            Some(Verdict::Broken(violations)) => {
                let mut own: Vec<&Violation> = violations.iter().collect();
                own.sort_by_key(|violation| violation.invariant != symptom);
                let more = own.len().saturating_sub(VIOLATIONS_MAX);
                let told = own.into_iter().take(VIOLATIONS_MAX);
                let mut lines: Vec<String> = told.map(ToString::to_string).collect();
                if more > 0 {
                    lines.push(format!("and {more} more"));
                }
                lines
            }
        }
    }

    /// The key that the failure is about.
    fn key(&self, symptom: &str) -> Option<Key> {
        let concerned = &self.report.as_ref()?.concerned;
        let own = concerned.iter().find(|(broken, _)| broken == symptom);
        own.map(|(_, key)| *key)
    }
}

/// How much effort [`Teller::explain`] spends unless told otherwise.
#[must_use]
pub fn usual_bound() -> Bound {
    Bound {
        runs: RUNS_MAX,
        until: Some(Instant::now() + TIME_MAX),
    }
}

/// The smallest run found that fails as this one does; `None` if this one does not fail.
#[must_use]
pub fn smallest(case: &Case, bound: Bound, prepare: Prepare<'_>) -> Option<(Symptom, Smallest)> {
    let first = attempt(case, Trace::default(), prepare);
    let symptom = first.symptoms().into_iter().next()?;
    let mut run = |case: &Case| attempt(case, Trace::default(), prepare).tried(case);
    let found = minimise(case, first.tried(case), &symptom, bound, &mut run);
    Some((symptom, found))
}

/// Who tells: how runs are prepared, and the option that prepares them so.
#[derive(Clone, Copy)]
pub struct Teller<'a> {
    /// Called on every replica.
    pub prepare: Prepare<'a>,
    /// What a command line has beside the case's own options.
    pub option: &'a str,
}

impl Teller<'_> {
    fn again(&self, case: &Case) -> String {
        format!("quorate-sim {case}{} --trace", self.option)
    }

    /// Tells a failing case in lines: minimised, with what happened to the key concerned.
    #[must_use]
    pub fn explain(&self, case: &Case, failed: &Attempt, bound: Bound) -> Vec<String> {
        let mut lines = self.brief(case, failed);
        let Some((symptom, found)) = smallest(case, bound, self.prepare) else {
            lines.push("  I19: when it is run again it is clean".to_owned());
            return lines;
        };
        let Size {
            nodes,
            clients,
            operations,
            keys,
        } = found.tried.size;
        lines.push(format!(
            "  the smallest run found that fails so ({} tried): {nodes} nodes, {clients} clients of {operations} operations, {keys} keys, {} faults",
            found.runs,
            found.tried.faults.len()
        ));
        lines.extend(indented("  ", self.told(&found.case, &symptom)));
        lines.push(format!(
            "  again, the smallest: {}",
            self.again(&found.case)
        ));
        lines
    }

    /// Tells a failing run as it is: what was broken, and how to see it again.
    #[must_use]
    pub fn brief(&self, case: &Case, failed: &Attempt) -> Vec<String> {
        let symptom = failed.symptoms().into_iter().next().unwrap_or_default();
        let summary = Config::of(case).summary();
        let mut lines = vec![format!("seed {} failed ({summary})", case.seed)];
        lines.extend(indented("  ", failed.lines(&symptom)));
        lines.push(format!("  again: {}", self.again(case)));
        lines
    }

    /// The violations of a case and the story of their key.
    fn told(&self, case: &Case, symptom: &str) -> Vec<String> {
        let whole = attempt(case, Trace::default(), self.prepare);
        let mut lines = whole.lines(symptom);
        if let Some(key) = whole.key(symptom) {
            let config = Config::of(case);
            let primaries = config.primaries(key);
            let names: Vec<String> = primaries.iter().copied().map(name).collect();
            let story = Story::new(key, config.class_of(key), primaries);
            let again = attempt(case, Trace::default().about(story), self.prepare);
            lines.push(format!(
                "what happened to {key}, whose primaries are {}:",
                names.join(" ")
            ));
            let story = again.report.map(|report| report.timeline);
            lines.extend(indented("  ", story.unwrap_or_default()));
        }
        lines
    }
}

fn indented(by: &str, lines: Vec<String>) -> Vec<String> {
    lines.iter().map(|line| format!("{by}{line}")).collect()
}
