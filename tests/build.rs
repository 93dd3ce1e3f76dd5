//! Tells the process tests which build of the node the sources at hand would make.

use std::path::Path;

#[path = "../node/build_id.rs"]
mod build_id;

const NODE: &str = "../node";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for source in build_id::SOURCES {
        println!("cargo::rerun-if-changed={NODE}/{source}");
    }
    let id = build_id::build_id(Path::new(NODE), env!("CARGO_PKG_VERSION"));
    println!("cargo::rustc-env=QUORATE_BUILD={id}");
}
