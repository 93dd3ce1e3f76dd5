//! One class moves, and every course that this can take within bounds is gone through: C replaces A while B and P stay,
//! clients write, and nodes crash.
//!
//! What is searched is a model of the rules and not the machines: those are played by dice (`moving`) and in the whole
//! simulator, where courses are long and never all of them. Here they are short, and all of them. The model has the four
//! records of a move with its barrier, fences, quorums of both sets, a newcomer that is complete by clocks, restarts after which
//! a node serves nothing before it has heard all others, and copies without a place, each as in the core. It has neither
//! fallbacks nor deletes. Each rule is then left out, and a wrong read, a lost write or a move without an end must be
//! found. What only more crashes bring to light, or another rule here keeps as well, stands in the schedules beside
//! it (`moving/directed.rs`).

mod course;
mod judge;
mod rules;
mod search;
mod state;

use crate::rules::{Broken, Rules};
use crate::search::{Bounds, Found, search};

/// Nodes that may lose what they had not fsynced, by their place in a state, and by which acknowledgements count.
const LOSSES: [Rules; 4] = [
    Rules::losing(state::A),
    Rules::losing(state::B),
    Rules::losing(state::C),
    Rules::all_losing(),
];

fn all_hold(bounds: Bounds) {
    for rules in LOSSES {
        let Found {
            states,
            ends,
            wrong,
        } = search(rules, bounds);
        eprintln!("{rules:?}: {states} states, {ends} ends");
        assert_eq!(wrong, None, "{rules:?}");
        assert!(ends > 0, "{rules:?}: a course without an end");
    }
}

/// Rules concern each write by itself, and what is asked of a newcomer for another one only makes it wait: a course that
/// is wrong for one of several writes is wrong for it alone. So more writes find nothing that one does not, which the larger
/// search shows for two.
#[test]
fn no_course_of_a_move_with_a_write_and_a_crash_is_wrong() {
    all_hold(Bounds {
        writes: 1,
        crashes: 1,
    });
}

#[test]
#[ignore = "takes ten minutes: cargo test -p quorate-core --test move_model -- --ignored"]
fn no_course_of_a_move_with_two_crashes_or_two_writes_is_wrong() {
    all_hold(Bounds {
        writes: 1,
        crashes: 2,
    });
    all_hold(Bounds {
        writes: 2,
        crashes: 1,
    });
}

#[test]
fn without_any_of_the_rules_some_course_is_wrong() {
    for broken in Broken::SETS {
        let found = LOSSES.into_iter().find_map(|rules| {
            let rules = Rules { broken, ..rules };
            let bounds = Bounds {
                writes: 1,
                crashes: 2,
            };
            search(rules, bounds).wrong
        });
        let Some(wrong) = found else {
            panic!("{broken:?} changes nothing");
        };
        eprintln!("{broken:?}: {wrong}");
    }
}
