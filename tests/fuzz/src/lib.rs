//! Hands what libFuzzer makes up to the targets of `quorate-tests`: the checks are the same as those of
//! `quorate-sim --fuzz`, the inputs follow what the code was seen to do with earlier ones.

use quorate_tests::fuzz::target;

/// Feeds one input to the target of that name.
///
/// # Panics
/// The input was not dealt with as it should be: libFuzzer keeps it and stops.
pub fn feed(name: &str, input: &[u8]) {
    let target = target(name).expect("each fuzz target is named after one of quorate-tests");
    if let Err(what) = (target.check)(input) {
        panic!("{name}: {what}");
    }
}
