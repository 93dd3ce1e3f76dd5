//! Breaks valid bytes in the ways in which wires, disks, other versions and ill will break them.

use super::source::Source;

/// Most bytes of a mutated input.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes that announce more than follows: MessagePack lists, byte strings and texts of 4 GiB and of
/// 64 KiB, numbers of the longest form, an endless and an overflowing LEB128 number.
const INFLATED: [&[u8]; 10] = [
    &[0xdd, 0xff, 0xff, 0xff, 0xff],
    &[0xc6, 0xff, 0xff, 0xff, 0xff],
    &[0xdb, 0xff, 0xff, 0xff, 0xff],
    &[0xdc, 0xff, 0xff],
    &[0xc5, 0xff, 0xff],
    &[0xda, 0xff, 0xff],
    &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xce, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
];
const DEEPEST: u64 = 3000;

/// Breaks `bytes` once to four times; `other` is a second valid input to splice with.
#[must_use]
pub fn broken(mut bytes: Vec<u8>, other: &[u8], source: &mut Source<'_>) -> Vec<u8> {
    for _ in 0..=source.below(4) {
        break_once(&mut bytes, other, source);
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

fn break_once(bytes: &mut Vec<u8>, other: &[u8], source: &mut Source<'_>) {
    let at = source.index(bytes.len() + 1);
    let byte = source.byte();
    match source.below(13) {
        0 | 1 => flip(bytes, source),
        2 => overwrite(bytes, at, &[byte]),
        3 => bytes.insert(at, byte),
        4 => drop((at < bytes.len()).then(|| bytes.remove(at))),
        5 => bytes.truncate(at),
        6 => bytes.extend(source.fill(usize::from(byte) % 20)),
        7 => repeat_part(bytes, at, source),
        8 => splice(bytes, at, other, source),
        9 => overwrite(bytes, at, source.pick(INFLATED)),
        10 => insert(bytes, at, source.pick(INFLATED)),
        11 => nest(bytes, at, source),
        _ => extreme_number(bytes, at, source),
    }
}

fn flip(bytes: &mut [u8], source: &mut Source<'_>) {
    let at = source.index(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << source.below(8);
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (place, byte) in bytes.iter_mut().skip(at).zip(with) {
        *place = *byte;
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, with: &[u8]) {
    bytes.splice(at..at, with.iter().copied());
}

/// A field that comes twice.
fn repeat_part(bytes: &mut Vec<u8>, at: usize, source: &mut Source<'_>) {
    let length = source.index(40).min(bytes.len() - at);
    let part = bytes[at..at + length].to_vec();
    insert(bytes, at, &part);
}

fn splice(bytes: &mut Vec<u8>, at: usize, other: &[u8], source: &mut Source<'_>) {
    let from = source.index(other.len() + 1);
    bytes.truncate(at);
    bytes.extend_from_slice(&other[from..]);
}

/// Lists within lists within lists, of one element each.
fn nest(bytes: &mut Vec<u8>, at: usize, source: &mut Source<'_>) {
    let depth = source.index(usize::try_from(DEEPEST).unwrap_or(1));
    bytes.splice(at..at, std::iter::repeat_n(0x91, depth));
}

/// A big-endian number beside an end of its range.
fn extreme_number(bytes: &mut [u8], at: usize, source: &mut Source<'_>) {
    let number = source.pick([0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1]);
    let width = source.pick([1, 2, 4, 8]);
    overwrite(bytes, at, &number.to_be_bytes()[8 - width..]);
}
