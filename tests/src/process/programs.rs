//! The programs under test: where they are, and that they are of the sources at hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::Trouble;

/// What a node built from the sources at hand calls itself.
const EXPECTED: &str = env!("QUORATE_BUILD");
/// Names the directory of the programs where it is not that of the tests.
const VARIABLE: &str = "QUORATE_PROGRAMS";

/// `quorate-node` and `quorate`.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The node.
    pub node: PathBuf,
    /// The command-line tool.
    pub tool: PathBuf,
}

impl Programs {
    /// Looks beside this test's own executable, or where `QUORATE_PROGRAMS` says.
    ///
    /// # Errors
    /// One is missing, or was not built from the sources that these tests were built from.
    pub fn find() -> Result<Self, Trouble> {
        let dir = match std::env::var_os(VARIABLE) {
            Some(dir) => PathBuf::from(dir),
            None => beside_this_test()?,
        };
        let programs = Self {
            node: dir.join("quorate-node"),
            tool: dir.join("quorate"),
        };
        for path in [&programs.node, &programs.tool] {
            if !path.is_file() {
                return Err(Trouble::Missing { path: path.clone() });
            }
        }
        check_build(&programs.node)?;
        check_age(&programs.tool)?;
        Ok(programs)
    }
}

/// Cargo puts tests one directory below programs.
fn beside_this_test() -> Result<PathBuf, Trouble> {
    let test = std::env::current_exe().map_err(Trouble::io("this test's own path"))?;
    let dir = match test.parent() {
        Some(dir) if dir.ends_with("deps") => dir.parent(),
        dir => dir,
    };
    dir.map(Path::to_owned)
        .ok_or_else(|| Trouble::Made(format!("{} has no directory above", test.display())))
}

fn check_build(node: &Path) -> Result<(), Trouble> {
    let output = Command::new(node)
        .arg("--version")
        .output()
        .map_err(Trouble::io(node.display().to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text
        .split_whitespace()
        .last()
        .unwrap_or("nothing")
        .to_owned();
    if found == EXPECTED {
        Ok(())
    } else {
        Err(Trouble::Stale {
            path: node.to_owned(),
            found,
            expected: EXPECTED.to_owned(),
        })
    }
}

/// The tool carries no build id: it must be younger than all that it is made from.
fn check_age(tool: &Path) -> Result<(), Trouble> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let sources = ["client/src", "client/protocol/src", "ring/src"].map(|source| root.join(source));
    let newest = sources.iter().filter_map(|source| newest(source)).max();
    let built = modified(tool);
    if newest <= built {
        return Ok(());
    }
    let age = |time: Option<SystemTime>| {
        format!(
            "{:?}",
            time.and_then(|time| time.elapsed().ok())
                .unwrap_or_default()
        )
    };
    Err(Trouble::Stale {
        path: tool.to_owned(),
        found: format!("built {} ago", age(built)),
        expected: format!("less than {}", age(newest)),
    })
}

fn newest(path: &Path) -> Option<SystemTime> {
    match fs::read_dir(path) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| newest(&entry.path()))
            .max(),
        Err(_) => modified(path),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}
