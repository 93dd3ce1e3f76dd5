//! A failing run made smaller: fewer faults, operations, clients, keys and nodes, as long as it still fails
//! in the same way.
//!
//! Parts are taken away by halves first and one by one in the end (the delta debugging of Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002, for the faults; bisection for the
//! numbers). Every try is a whole run. The same case, symptom and number of runs give the same result.

use std::collections::BTreeSet;
use std::time::Instant;

use super::overrides::{Case, Overrides};

/// How a run failed: the name of an invariant, `stuck` or `panic`.
pub type Symptom = String;

/// What came of one run, as far as it concerns making it smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// All ways in which it failed.
    pub symptoms: BTreeSet<Symptom>,
    /// Numbers of the faults that began.
    pub faults: BTreeSet<u64>,
    /// What it consisted of.
    pub size: Size,
}

/// The numbers that are made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Nodes.
    pub nodes: u32,
    /// Clients.
    pub clients: u32,
    /// Operations of each client.
    pub operations: u32,
    /// Keys of each bucket.
    pub keys: u32,
}

/// How much effort is spent.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Runs at most.
    pub runs: u32,
    /// No run begins after this time.
    pub until: Option<Instant>,
}

/// The smallest case found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smallest {
    /// The case.
    pub case: Case,
    /// What came of it.
    pub tried: Tried,
    /// How many runs it took.
    pub runs: u32,
}

/// Makes a failing case smaller. `tried` is what came of it.
pub fn minimise(
    case: &Case,
    tried: Tried,
    symptom: &str,
    bound: Bound,
    run: &mut dyn FnMut(&Case) -> Tried,
) -> Smallest {
    let mut search = Search {
        best: Smallest {
            case: case.clone(),
            tried,
            runs: 0,
        },
        symptom,
        bound,
        run,
    };
    while search.round() {}
    search.best
}

struct Search<'a> {
    best: Smallest,
    symptom: &'a str,
    bound: Bound,
    run: &'a mut dyn FnMut(&Case) -> Tried,
}

/// A number of a case that may be made smaller.
#[derive(Clone, Copy)]
struct Field {
    least: u32,
    of: fn(&Size) -> u32,
    set: fn(&mut Overrides) -> &mut Option<u32>,
}

const FIELDS: [Field; 4] = [
    Field {
        least: 1,
        of: |size| size.clients,
        set: |overrides| &mut overrides.clients,
    },
    Field {
        least: 1,
        of: |size| size.operations,
        set: |overrides| &mut overrides.operations,
    },
    Field {
        least: 1,
        of: |size| size.keys,
        set: |overrides| &mut overrides.keys,
    },
    Field {
        least: 3,
        of: |size| size.nodes,
        set: |overrides| &mut overrides.nodes,
    },
];

impl Search<'_> {
    /// Tries everything once. Returns whether something became smaller and more tries are allowed.
    fn round(&mut self) -> bool {
        let mut smaller = self.fewer_faults();
        for field in FIELDS {
            smaller |= self.fewer(field);
        }
        smaller && !self.is_spent()
    }

    fn is_spent(&self) -> bool {
        let late = |until| Instant::now() >= until;
        self.best.runs >= self.bound.runs || self.bound.until.is_some_and(late)
    }

    /// Runs a case; if it still fails in the same way, it is the best one from now on.
    fn takes(&mut self, case: Case) -> bool {
        if self.is_spent() {
            return false;
        }
        self.best.runs += 1;
        let tried = (self.run)(&case);
        let fails = tried.symptoms.contains(self.symptom);
        if fails {
            self.best.case = case;
            self.best.tried = tried;
        }
        fails
    }

    fn fewer(&mut self, field: Field) -> bool {
        let mut smaller = false;
        loop {
            let own = (field.of)(&self.best.tried.size);
            let mut wanted = vec![field.least, own / 2, own - own / 4, own.saturating_sub(1)];
            wanted.retain(|&number| number >= field.least && number < own);
            wanted.dedup();
            let taken = wanted.into_iter().any(|number| {
                let mut case = self.best.case.clone();
                *(field.set)(&mut case.overrides) = Some(number);
                self.takes(case)
            });
            if !taken {
                return smaller;
            }
            smaller = true;
        }
    }

    fn fewer_faults(&mut self) -> bool {
        let mut smaller = false;
        let mut parts = 1;
        loop {
            let faults: Vec<u64> = self.best.tried.faults.iter().copied().collect();
            if faults.is_empty() || self.is_spent() {
                return smaller;
            }
            let length = faults.len().div_ceil(parts);
            if faults
                .chunks(length)
                .any(|part| self.takes(self.without(part)))
            {
                smaller = true;
                parts = parts.saturating_sub(1).max(1);
            } else if length == 1 {
                return smaller;
            } else {
                parts = (parts * 2).min(faults.len());
            }
        }
    }

    fn without(&self, faults: &[u64]) -> Case {
        let mut case = self.best.case.clone();
        case.overrides.without_faults.extend(faults);
        case
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Size = Size {
        nodes: 7,
        clients: 6,
        operations: 120,
        keys: 20,
    };

    /// Fails as `I1` where faults 4 and 11, two clients and 17 operations are left.
    fn needs_two_faults(case: &Case) -> Tried {
        let of = |own, wanted: Option<u32>| wanted.unwrap_or(own);
        let overrides = &case.overrides;
        let size = Size {
            nodes: of(WHOLE.nodes, overrides.nodes),
            clients: of(WHOLE.clients, overrides.clients),
            operations: of(WHOLE.operations, overrides.operations),
            keys: of(WHOLE.keys, overrides.keys),
        };
        let faults: BTreeSet<u64> = (1..=30)
            .filter(|fault| !overrides.without_faults.contains(fault))
            .collect();
        let fails = faults.contains(&4)
            && faults.contains(&11)
            && size.clients >= 2
            && size.operations >= 17;
        let name = if fails { "I1" } else { "I4" };
        Tried {
            symptoms: BTreeSet::from([name.to_owned()]),
            faults,
            size,
        }
    }

    fn smallest(runs: u32) -> Smallest {
        let case = Case::from(1);
        let whole = needs_two_faults(&case);
        let bound = Bound { runs, until: None };
        minimise(&case, whole, "I1", bound, &mut needs_two_faults)
    }

    #[test]
    fn what_is_left_is_needed() {
        let Smallest { tried, runs, .. } = smallest(200);
        assert_eq!(tried.faults, BTreeSet::from([4, 11]));
        let size = Size {
            nodes: 3,
            clients: 2,
            operations: 17,
            keys: 1,
        };
        assert_eq!(tried.size, size);
        assert!(runs < 80, "{runs}");
    }

    #[test]
    fn another_failure_does_not_count() {
        assert!(smallest(200).tried.symptoms.contains("I1"));
    }

    #[test]
    fn effort_is_bounded_and_the_result_still_fails() {
        for bound in 0..20 {
            let Smallest { tried, runs, .. } = smallest(bound);
            assert!(runs <= bound && tried.symptoms.contains("I1"));
        }
    }
}
