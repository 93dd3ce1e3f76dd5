//! What targets draw and take: inputs from seeds, kept ones and golden messages.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use quorate_tests::fuzz::run::{feed, input};
use quorate_tests::fuzz::source::Source;
use quorate_tests::fuzz::{TARGETS, Target, target, unhex};

#[test]
fn what_targets_draw_whole_is_mostly_taken() {
    for target in TARGETS {
        let drawn = (0..200).map(|seed| (target.draw)(&mut Source::seed(seed)));
        let taken = drawn
            .filter(|input| feed(target, input).is_ok_and(|tally| tally.accepted > 0))
            .count();
        assert!(taken >= 50, "{} takes {taken} of 200", target.name);
    }
}

#[test]
fn one_seed_gives_one_input() {
    let target = target("peer").unwrap();
    assert_eq!(input(7, target, 3), input(7, target, 3));
    assert_ne!(input(7, target, 3), input(7, target, 4));
    assert_ne!(input(7, target, 3), input(8, target, 3));
}

fn corpus(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", "corpus", target]
        .iter()
        .collect()
}

/// The first few short inputs that a target draws and takes: what coverage-guided fuzzing begins with.
fn write_corpus(target: &Target) {
    let folder = corpus(target.name);
    fs::create_dir_all(&folder).unwrap();
    let taken = (0..5000).filter_map(|seed| {
        let input = (target.draw)(&mut Source::seed(seed));
        let taken = feed(target, &input).unwrap();
        (input.len() < 300 && taken.accepted > 0).then_some((seed, input))
    });
    for (seed, input) in taken.take(4) {
        fs::write(folder.join(format!("drawn-{seed}")), input).unwrap();
    }
}

/// Written once with `QUORATE_WRITE_FIXTURES=1`; what fuzzing finds is added by hand.
#[test]
fn kept_inputs_are_clean() {
    for target in TARGETS {
        let folder = corpus(target.name);
        if !folder.exists() && std::env::var_os("QUORATE_WRITE_FIXTURES").is_some() {
            write_corpus(target);
        }
        let kept = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", target.name));
        for file in kept {
            let path = file.unwrap().path();
            let fed = feed(target, &fs::read(&path).unwrap());
            assert!(fed.is_ok(), "{}: {fed:?}", path.display());
        }
        let program = folder.join(format!("../../fuzz_targets/{}.rs", target.name));
        assert!(
            program.exists(),
            "{} has no program in tests/fuzz",
            target.name
        );
    }
}

/// Every golden message of both wires is an input that is taken.
#[test]
fn golden_messages_are_taken() {
    for (wire, name) in [("client", "client"), ("peer", "peer")] {
        let target = target(name).unwrap();
        let folder: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "../client/protocol/tests/fixtures",
            wire,
        ]
        .iter()
        .collect();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let (_, digits) = text.trim_end().rsplit_once("\n\n").unwrap();
            let opcode = &path.file_name().unwrap().to_str().unwrap()[..4];
            let input = unhex(&format!("{opcode}{}", digits.replace('\n', ""))).unwrap();
            let taken = feed(target, &input).unwrap();
            assert_eq!(taken.accepted, 1, "{}", path.display());
        }
    }
}

#[test]
fn an_input_is_printed_as_digits_that_are_read_back() {
    assert_eq!(unhex("00ff7f"), Some(vec![0, 255, 127]));
    assert_eq!(unhex("0"), None);
    assert_eq!(unhex("0g"), None);
    assert_eq!(unhex("é1"), None);
}
