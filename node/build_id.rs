// The build id of `quorate-node`: one id means one source text. Shared by the build scripts of the
// node, which carries it, and of the process tests, which refuse to test a binary of other sources.

use std::fs;
use std::path::Path;

/// What goes into the node, relative to its directory.
pub(crate) const SOURCES: [&str; 10] = [
    "src",
    "core/src",
    "../client/protocol/src",
    "../ring/src",
    "Cargo.toml",
    "core/Cargo.toml",
    "../client/protocol/Cargo.toml",
    "../ring/Cargo.toml",
    "../Cargo.toml",
    "../Cargo.lock",
];

/// The version and a fingerprint of all sources; `node` is the directory of the node's package.
pub(crate) fn build_id(node: &Path, version: &str) -> String {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(node, source, &mut files);
    }
    files.sort();
    let mut hash = FNV_START;
    for file in files {
        hash = fold(hash, file.as_bytes());
        // A file that vanishes between listing and reading changes the id on the next build.
        hash = fold(hash, &fs::read(node.join(&file)).unwrap_or_default());
    }
    format!("{version}+{hash:016x}")
}

/// The files at and below `path`, named relative to `node`: the same wherever the repository lies.
fn collect(node: &Path, path: &str, files: &mut Vec<String>) {
    match fs::read_dir(node.join(path)) {
        Ok(entries) => entries.flatten().for_each(|entry| {
            collect(
                node,
                &format!("{path}/{}", entry.file_name().to_string_lossy()),
                files,
            );
        }),
        Err(_) => files.push(path.to_owned()),
    }
}

/// FNV-1a, 64 bits: no more than a fingerprint is needed, and no dependency.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
