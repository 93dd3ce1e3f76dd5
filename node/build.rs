//! Derives the build id from the sources that make up the node, so that two builds have one id only
//! if they were made from the same text.

use std::path::Path;

mod build_id;

fn main() {
    for source in build_id::SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let id = build_id::build_id(Path::new("."), env!("CARGO_PKG_VERSION"));
    println!("cargo::rustc-env=QUORATE_BUILD={id}");
}
