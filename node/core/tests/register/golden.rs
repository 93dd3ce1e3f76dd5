//! The bytes of a voter's stored state, fixed, and with them those of a version of the map. The file in
//! `fixtures/` is never edited once a version was released: a layout that has to change gets the next
//! number. Where it is missing the test prints what belongs there.

use std::path::Path;

use quorate_core::register::{Pace, Register, RegisterConfig};

use crate::walks::{name, three, until_accepted};
use crate::world::{first, id, storage};

#[test]
fn a_stored_state_has_the_bytes_of_format_3() {
    let mut world = three();
    name(&mut world, 1, "renamed");
    until_accepted(&mut world, id(2));
    (0..3).for_each(|_| world.write(id(2)));
    let bytes = world.nodes[&id(2)].disk.clone().unwrap();
    let fixture = compare(&bytes);
    let config = RegisterConfig {
        me: id(2),
        storage: storage(id(2), 0),
        pace: Pace::default(),
    };
    let opened = Register::open(config, first(3, true), Some(&fixture), [9; 32]).unwrap();
    let status = opened.status();
    assert_eq!(status.newest, first(3, true).name());
    assert_eq!(status.undecided, world.register(id(2)).status().undecided);
}

/// Both directions: today's writer makes these bytes, and today's reader is given them.
fn compare(bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/register-4.hex");
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<String> = hex.chunks(32).map(|line| line.concat()).collect();
    let actual = lines.join("\n") + "\n";
    let Ok(expected) = std::fs::read_to_string(&path) else {
        panic!("{} is missing; it is:\n{actual}", path.display());
    };
    assert_eq!(actual, expected, "the bytes of a stored register changed");
    let digits: Vec<u32> = expected
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}
