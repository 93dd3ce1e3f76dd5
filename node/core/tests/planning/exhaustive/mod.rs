//! One partition's move, searched through: every order in which clients' writes, the move, its cancelling, a kill and a
//! power cut can come. Hints are not in it, so neither is what only they bring about (rules 7 and 8).
//!
//! The versions are made by the real functions; what replicas do under them is a model of the rules, as small as it can
//! be without losing a counterexample. What only helps is left out: nobody is told more than the rules ask for. A message
//! that is never delivered is lost, one that is delivered late is late. Reads are judged wherever one could be answered:
//! two nodes of the read set of an epoch, both working under it, must have every acknowledged write between them.

mod search;
mod state;
mod steps;
mod versions;

use quorate_protocol::versioned::ClassState;

use self::search::{Found, search};
use self::state::{Budget, Wrong};

/// Searches all of it, and returns how many states there are.
fn passes(budget: Budget) -> usize {
    match search(budget, None) {
        Found::Nothing { states, versions } => {
            assert!(versions.contains(&ClassState::JointNew));
            assert!(versions.len() >= 5, "the move does not end: {versions:?}");
            states
        }
        Found::Bad { why, path } => panic!("{why}\n{}", path.join("\n")),
    }
}

const fn budget(writes: usize, kills: u8, power_cuts: u8, cancels: u8) -> Budget {
    Budget {
        writes,
        kills,
        power_cuts,
        cancels,
    }
}

/// As many writes, kills, power cuts and cancellings as `QUORATE_MOVE` says, such as "3 1 1 1": that takes hours.
fn wanted() -> Option<Budget> {
    let text = std::env::var("QUORATE_MOVE").ok()?;
    let numbers: Vec<u8> = text.split(' ').map(|part| part.parse().unwrap()).collect();
    let [writes, kills, power_cuts, cancels] = numbers[..] else {
        panic!("QUORATE_MOVE is {text:?} and not four numbers");
    };
    Some(budget(usize::from(writes), kills, power_cuts, cancels))
}

#[test]
fn no_order_of_a_move_writes_and_faults_loses_a_write_or_reads_stale() {
    let few = [budget(1, 1, 1, 0), budget(1, 0, 1, 1), budget(2, 0, 0, 0)];
    for budget in wanted().map_or(few.to_vec(), |one| vec![one]) {
        eprintln!("{} states of {budget:?}", passes(budget));
    }
}

#[test]
fn each_broken_rule_is_found() {
    for wrong in Wrong::ALL {
        let budget = budget(1, 0, wrong.power_cuts(), 0);
        let Found::Bad { why, path } = search(budget, Some(wrong)) else {
            panic!("{wrong:?} changes nothing");
        };
        eprintln!("{wrong:?}: {why} after {} steps", path.len());
    }
}
