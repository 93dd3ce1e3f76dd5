//! Faults below a node: a library between it and the system that moves its wall clock and spoils its disk.
//!
//! It is made with the machine's C compiler; where there is none, [`Shim::build`] says so and callers
//! count what they leave out.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Trouble;

const SOURCE: &str = include_str!("shim.c");

/// What one node is to suffer. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Added to its wall clock, milliseconds.
    pub clock_ms: i64,
    /// How long every sync waits, milliseconds.
    pub sync_ms: i64,
    /// Whether every sync fails.
    pub sync_fails: bool,
    /// Whether files can grow no more.
    pub full: bool,
}

impl Orders {
    /// Four numbers of eight bytes, as `shim.c` maps them.
    fn bytes(self) -> [u8; 32] {
        let numbers = [
            self.clock_ms,
            self.sync_ms,
            self.sync_fails.into(),
            self.full.into(),
        ];
        let mut bytes = [0; 32];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }
}

/// The library, and one node's orders.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    orders: PathBuf,
    file: File,
    now: Orders,
}

impl Shim {
    /// Makes the library in a directory. `None` where no C compiler does that.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn build(dir: &Path) -> Result<Option<PathBuf>, Trouble> {
        let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
        fs::write(&source, SOURCE).map_err(Trouble::io(source.display().to_string()))?;
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(&source)
            .arg("-ldl")
            .output();
        Ok(made
            .is_ok_and(|made| made.status.success())
            .then_some(library))
    }

    /// Orders for one node, in this file: none so far.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new(library: &Path, orders: &Path) -> Result<Self, Trouble> {
        let named = || orders.display().to_string();
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(orders)
            .map_err(Trouble::io(named()))?;
        let mut shim = Self {
            library: library.to_owned(),
            orders: orders.to_owned(),
            file,
            now: Orders::default(),
        };
        shim.order(|_| ())?;
        Ok(shim)
    }

    /// What a node's process needs in its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("QUORATE_SHIM", self.orders.clone()),
        ]
    }

    /// Changes the orders; the process obeys from its next system call on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn order(&mut self, change: impl FnOnce(&mut Orders)) -> Result<(), Trouble> {
        change(&mut self.now);
        // In place: the file is mapped, and must never be shorter.
        self.file
            .write_all_at(&self.now.bytes(), 0)
            .map_err(Trouble::io(self.orders.display().to_string()))
    }
}
