//! Standard output: tables for people, one JSON value for programs, never a panic on a closed pipe.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::outcome::Done;

/// Where results go.
pub(crate) struct Out {
    json: bool,
    to: BufWriter<Stdout>,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            to: BufWriter::new(io::stdout()),
        }
    }

    /// Whether `--json` was given.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// A value as it is; on a terminal a line's end follows, so that the prompt does not stick to it.
    pub(crate) fn value(&mut self, bytes: &[u8]) -> Done {
        self.raw(bytes)?;
        if io::stdout().is_terminal() && !bytes.ends_with(b"\n") {
            return self.raw(b"\n");
        }
        Ok(())
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Done {
        Ok(self.to.write_all(bytes)?)
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Done {
        Ok(writeln!(self.to, "{text}")?)
    }

    /// Writes one JSON value on a line of its own.
    pub(crate) fn json(&mut self, value: &Value) -> Done {
        Ok(writeln!(self.to, "{value}")?)
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, table: &Table) -> Done {
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Writes what is buffered.
    pub(crate) fn flush(&mut self) -> Done {
        Ok(self.to.flush()?)
    }
}

/// A plain table with these columns, aligned and without lines.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
