//! Derives the build id from the sources that make up the node, so that two builds have one id only
//! if they were made from the same text.

use std::fs;
use std::path::{Path, PathBuf};

/// What goes into the node, relative to this file.
const SOURCES: [&str; 6] = ["src", "core/src", "../client/protocol/src", "../ring/src", "Cargo.toml", "../Cargo.lock"];

fn main() {
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files);
    }
    files.sort();
    let mut hash = FNV_START;
    for file in files {
        hash = fold(hash, file.to_string_lossy().as_bytes());
        // A file that vanishes between listing and reading changes the id on the next build.
        hash = fold(hash, &fs::read(&file).unwrap_or_default());
    }
    println!("cargo::rustc-env=QUORATE_BUILD={}+{hash:016x}", env!("CARGO_PKG_VERSION"));
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) => files.push(path.to_owned()),
    }
}

/// FNV-1a, 64 bits: no more than a fingerprint is needed, and no dependency.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
