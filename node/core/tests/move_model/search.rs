//! Every state that can be reached, each once.

use crate::course::Course;
use crate::judge::{unfinished, wrong};
use crate::rules::Rules;
use crate::state::{B, P, State};

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) writes: usize,
    pub(crate) crashes: u8,
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    /// States in which nothing can happen any more.
    pub(crate) ends: usize,
    /// The first that is wrong.
    pub(crate) wrong: Option<String>,
}

#[expect(
    clippy::disallowed_types,
    reason = "asked only whether it has a state, by millions: its order is never seen"
)]
pub(crate) fn search(rules: Rules, bounds: Bounds) -> Found {
    let first = State {
        crashes: bounds.crashes,
        ..State::default()
    };
    let course = Course {
        rules,
        writes: bounds.writes,
    };
    let alike = rules.may_lose(B) == rules.may_lose(P);
    let (mut seen, mut open) = (std::collections::HashSet::from([first]), vec![first]);
    let (mut ends, mut next) = (0, Vec::new());
    let mut found = None;
    while let Some(state) = open.pop() {
        found = wrong(&state, rules);
        course.nexts(&state, &mut next);
        if next.is_empty() && found.is_none() {
            ends += 1;
            found = unfinished(&state);
        }
        if found.is_some() {
            break;
        }
        for state in next.drain(..) {
            let state = if alike { state.one_of_two() } else { state };
            if seen.insert(state) {
                open.push(state);
            }
        }
    }
    Found {
        states: seen.len(),
        ends,
        wrong: found,
    }
}
